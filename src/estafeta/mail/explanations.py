"""Why mail was not taken, in words for people: a sentence on the cause, and one on what to do.

What a reply means is found in `known_replies`; the texts of each language stand in a module of their own.
"""

from __future__ import annotations

import re
from enum import StrEnum

from estafeta.mail import explanations_en, explanations_es
from estafeta.mail.known_replies import KNOWN
from estafeta.mail.reply import Reply
from estafeta.mail.value import value

MAX_TEXT = 2000
"""Characters of a reply that are looked at; hosts say what matters at the beginning."""


class Language(StrEnum):
    """What people are told in."""

    EN = "en"
    """English."""
    ES = "es"
    """Spanish."""


@value
class Explanation:
    """What to tell of a reply."""

    key: str
    """The name of the explanation, the same in all languages."""
    why: str
    """The cause, in one sentence."""
    what_to_do: str
    """For the sender, should the message have failed."""


def explain(reply: Reply, stage: str, language: Language, *, is_remote: bool = True) -> Explanation:
    """Explain a reply of 4yz or 5yz to the verb, or at the step, that `stage` names; not `is_remote`: in our words."""
    text = _ADDRESS.sub(" ", " ".join(str(reply)[:MAX_TEXT].lower().split()))
    known = next((each for each in KNOWN if each.fits(reply, text, stage, is_remote=is_remote)), None)
    key = known.key if known is not None else "put-off" if reply.is_transient else "refused"
    why, what_to_do = TEXTS[language][key]
    return Explanation(key, why, what_to_do)


TEXTS = {Language.EN: explanations_en.TEXTS, Language.ES: explanations_es.TEXTS}

# Addresses are no words: who has the domain spam.example is not suspected of it. (Each try ends within 64 letters.)
_ADDRESS = re.compile(r"(?<![^\s<>(\"':,;])[^\s<>()\"':,;@]{1,64}@[a-z0-9.-]{1,255}")
