"""What the server can do, as one table (RFC 9051 §7.2.2): CAPABILITY is made of it, and the documentation."""

from __future__ import annotations

from collections.abc import Callable

from estafeta.mail.value import value
from estafeta.wire.imap.session import Session, State

Words = Callable[[Session], tuple[str, ...]]


@value
class Capability:
    """One capability, or a family of them."""

    name: str
    rfc: str
    words: Words
    """What is said now; nothing where it is not offered."""


def _always(name: str) -> Words:
    return lambda session: (name,)


def _logged_in(name: str) -> Words:
    return lambda session: () if session.state is State.NOT_AUTHENTICATED else (name,)


def _before_login(words: Words) -> Words:
    return lambda session: words(session) if session.state is State.NOT_AUTHENTICATED else ()


def _limit(name: str, limit: Callable[[Session], int | None]) -> Words:
    def words(session: Session) -> tuple[str, ...]:
        number = limit(session)
        return () if number is None or session.state is State.NOT_AUTHENTICATED else (f"{name}={number}",)

    return words


def _compress(session: Session) -> tuple[str, ...]:
    # RFC 4978 §3: not when compression is active
    is_offered = session.offer.compress and not session.is_compressed and session.state is not State.NOT_AUTHENTICATED
    return ("COMPRESS=DEFLATE",) if is_offered else ()


CAPABILITIES: tuple[Capability, ...] = (
    Capability("IMAP4rev2", "9051", _always("IMAP4rev2")),
    Capability("IMAP4rev1", "3501", _always("IMAP4rev1")),
    Capability("STARTTLS", "9051", _before_login(lambda session: ("STARTTLS",) if session.offer.starttls else ())),
    Capability("LOGINDISABLED", "9051", _before_login(lambda s: () if s.offer.login else ("LOGINDISABLED",))),
    Capability("AUTH=", "9051", _before_login(lambda s: tuple(f"AUTH={name}" for name in s.offer.mechanisms))),
    Capability("SASL-IR", "4959", _always("SASL-IR")),
    Capability("LITERAL+", "7888", _always("LITERAL+")),
    Capability("ID", "2971", _always("ID")),
    Capability("ENABLE", "5161", _always("ENABLE")),
    Capability("IDLE", "2177", _always("IDLE")),
    Capability("ACL", "4314", _logged_in("ACL")),
    Capability("RIGHTS=", "4314", _logged_in("RIGHTS=texk")),
    Capability("APPENDLIMIT=", "7889", _limit("APPENDLIMIT", lambda session: session.offer.append_limit)),
    Capability("BINARY", "3516", _logged_in("BINARY")),
    Capability("CATENATE", "4469", _logged_in("CATENATE")),
    Capability("CHILDREN", "3348", _logged_in("CHILDREN")),
    Capability("COMPRESS=DEFLATE", "4978", _compress),
    Capability("CONDSTORE", "7162", _logged_in("CONDSTORE")),
    Capability("CONTEXT=SEARCH", "5267", _logged_in("CONTEXT=SEARCH")),
    Capability("CONTEXT=SORT", "5267", _logged_in("CONTEXT=SORT")),
    Capability("CREATE-SPECIAL-USE", "6154", _logged_in("CREATE-SPECIAL-USE")),
    Capability("ESEARCH", "4731", _logged_in("ESEARCH")),
    Capability("ESORT", "5267", _logged_in("ESORT")),
    Capability("FILTERS", "5466", _logged_in("FILTERS")),
    Capability("INPROGRESS", "9585", _logged_in("INPROGRESS")),
    Capability("LIST-EXTENDED", "5258", _logged_in("LIST-EXTENDED")),
    Capability("LIST-METADATA", "9590", _logged_in("LIST-METADATA")),
    Capability("LIST-MYRIGHTS", "8440", _logged_in("LIST-MYRIGHTS")),
    Capability("LIST-STATUS", "5819", _logged_in("LIST-STATUS")),
    Capability("MESSAGELIMIT=", "9738", _limit("MESSAGELIMIT", lambda session: session.offer.message_limit)),
    Capability("METADATA", "5464", _logged_in("METADATA")),
    Capability("MOVE", "6851", _logged_in("MOVE")),
    Capability("MULTIAPPEND", "3502", _logged_in("MULTIAPPEND")),
    Capability("MULTISEARCH", "7377", _logged_in("MULTISEARCH")),
    Capability("NAMESPACE", "2342", _logged_in("NAMESPACE")),
    Capability("NOTIFY", "5465", _logged_in("NOTIFY")),
    Capability("OBJECTID", "8474", _logged_in("OBJECTID")),
    Capability("PARTIAL", "9394", _logged_in("PARTIAL")),
    Capability("PREVIEW", "8970", _logged_in("PREVIEW")),
    Capability("QRESYNC", "7162", _logged_in("QRESYNC")),
    Capability("QUOTA", "9208", _logged_in("QUOTA")),
    Capability("QUOTA=RES-STORAGE", "9208", _logged_in("QUOTA=RES-STORAGE")),
    Capability("QUOTA=RES-MESSAGE", "9208", _logged_in("QUOTA=RES-MESSAGE")),
    Capability("QUOTA=RES-MAILBOX", "9208", _logged_in("QUOTA=RES-MAILBOX")),
    Capability("REPLACE", "8508", _logged_in("REPLACE")),
    Capability("SAVEDATE", "8514", _logged_in("SAVEDATE")),
    Capability("SEARCHRES", "5182", _logged_in("SEARCHRES")),
    Capability("SORT", "5256", _logged_in("SORT")),
    Capability("SORT=DISPLAY", "5957", _logged_in("SORT=DISPLAY")),
    Capability("SPECIAL-USE", "6154", _logged_in("SPECIAL-USE")),
    Capability("STATUS=DELETED", "9051", _logged_in("STATUS=DELETED")),
    Capability("STATUS=SIZE", "8438", _logged_in("STATUS=SIZE")),
    Capability("THREAD=ORDEREDSUBJECT", "5256", _logged_in("THREAD=ORDEREDSUBJECT")),
    Capability("THREAD=REFERENCES", "5256", _logged_in("THREAD=REFERENCES")),
    Capability("UIDONLY", "9586", _logged_in("UIDONLY")),
    Capability("UIDPLUS", "4315", _logged_in("UIDPLUS")),
    Capability("UNAUTHENTICATE", "8437", _logged_in("UNAUTHENTICATE")),
    Capability("UNSELECT", "3691", _logged_in("UNSELECT")),
    Capability("URLAUTH", "4467", _logged_in("URLAUTH")),
    Capability("URLAUTH=BINARY", "5524", _logged_in("URLAUTH=BINARY")),
    Capability("UTF8=ACCEPT", "6855", _logged_in("UTF8=ACCEPT")),
    Capability("WITHIN", "5032", _logged_in("WITHIN")),
)


def capabilities(session: Session) -> str:
    """What is offered now, after the word CAPABILITY."""
    return " ".join(["CAPABILITY", *(word for each in CAPABILITIES for word in each.words(session))])
