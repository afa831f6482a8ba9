"""Which verb is known and legal when: printed from the engine's tables as docs/smtp.md, and walked with the engine.

`ESTAFETA_WRITE_DOCS=1 pytest tests/wire/test_phases.py` writes the page's tables anew.
"""

from __future__ import annotations

import os
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.wire.owner import Owner

from estafeta.agents.settings import SmtpLimits
from estafeta.wire.smtp import events
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.session import Extension, Phase, ServerOptions, Session, Verb
from estafeta.wire.smtp.verbs import VERBS

PAGE = Path(__file__).parents[2] / "docs" / "smtp.md"

EVERYTHING = ServerOptions(
    "mx.example.org",
    starttls=True,
    mechanisms=("PLAIN",),
    insecure_mechanisms=("PLAIN",),
    burl=True,
    recipients=1000,
    transactions=10_000,
    no_soliciting=(),
    screens=True,
    etrn=True,
    atrn=True,
    turn=True,
    deliver_by=0,
    hold_for=604_800,
    hold_until=lambda: datetime(2030, 1, 1, tzinfo=UTC),
    priority_policy="",
    xclient=True,
    xforward=True,
)
"""All that a listener can offer."""

NOTHING = replace(
    EVERYTHING,
    smtputf8=False,
    starttls=False,
    mechanisms=(),
    insecure_mechanisms=(),
    vrfy=False,
    expn=False,
    chunking=False,
    burl=False,
    dsn=False,
    recipients=None,
    transactions=None,
    no_soliciting=None,
    requiretls=False,
    screens=False,
    etrn=False,
    atrn=False,
    turn=False,
    deliver_by=None,
    hold_for=0,
    hold_until=None,
    priority_policy=None,
    xclient=None,
    xforward=None,
)
"""What cannot be switched off is left."""

ARGUMENTS = {
    "HELO": "client.example.org",
    "EHLO": "client.example.org",
    "LHLO": "client.example.org",
    "AUTH": "PLAIN AGEAcGVuY2ls",
    "MAIL": "FROM:<ana@example.org>",
    "SEND": "FROM:<ana@example.org>",
    "SOML": "FROM:<ana@example.org>",
    "SAML": "FROM:<ana@example.org>",
    "RCPT": "TO:<luis@example.net>",
    "BDAT": "0 LAST",
    "BURL": "imap://example.org/a;UID=1 LAST",
    "VRFY": "luis",
    "EXPN": "team",
    "ETRN": "example.org",
    "XCLIENT": "ADDR=192.0.2.1",
    "XFORWARD": "ADDR=192.0.2.1",
}
"""An argument that is well formed, for each verb that needs one."""

WAYS: dict[Phase, tuple[str, ...]] = {
    Phase.GREETED: (),
    Phase.READY: ("{hello} client.example.org",),
    Phase.MAIL: ("{hello} client.example.org", "MAIL FROM:<ana@example.org>"),
    Phase.RCPT: ("{hello} client.example.org", "MAIL FROM:<ana@example.org>", "RCPT TO:<luis@example.net>"),
    Phase.CHUNKS: (
        "{hello} client.example.org",
        "MAIL FROM:<ana@example.org>",
        "RCPT TO:<luis@example.net>",
        "BDAT 0",
    ),
}
"""What leads into each phase."""

VARIANTS: dict[str, dict[str, bool]] = {
    "in the clear": {},
    "over TLS": {"is_secure": True},
    "logged in": {"is_secure": True, "is_authenticated": True},
    "LMTP": {"lmtp": True},
}


def owner(variant: str, phase: Phase = Phase.GREETED, options: ServerOptions = EVERYTHING) -> Owner:
    """A session in a phase."""
    facts = dict(VARIANTS[variant])
    options = replace(options, lmtp=facts.pop("lmtp", False))
    made = Owner(options, **facts)
    for line in WAYS[phase]:
        made.hear(f"{line.format(hello='LHLO' if options.lmtp else 'EHLO')}\r\n".encode())
    assert made.engine.phase is phase, (made.engine.phase, phase)
    made.told.clear()
    return made


def line_of(verb: Verb) -> bytes:
    """The verb with a good argument."""
    return f"{verb.name} {ARGUMENTS.get(verb.name, '')}".strip().encode() + b"\r\n"


def code(variant: str, phase: Phase, verb: Verb) -> str:
    """What the engine itself answers, empty where the event goes to its owner."""
    made = owner(variant, phase)
    made.hear(line_of(verb))
    last = made.told[-1]
    return str(last.reply.code) if isinstance(last, events.Faulty) else ""


def is_known(variant: str, verb: Verb) -> bool:
    """By the tables."""
    made = owner(variant)
    return verb.is_offered is None or verb.is_offered(made.engine._session)


@pytest.mark.rfc("5321 §4.1.4", "Each verb is taken in the phases of its table and in no other, in all sessions.")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("phase", Phase)
def test_every_verb_is_answered_as_the_tables_say(variant: str, phase: Phase) -> None:
    for verb in VERBS:
        made = owner(variant, phase)
        reply = made.hear(line_of(verb))
        last = made.told[-1]
        if not is_known(variant, verb):
            # RFC 5321 §4.2.4: 502 for what others know; RFC 2033 §4.1: 500 for the greetings of the other protocol
            assert isinstance(last, events.Faulty), verb.name
            assert last.reply.code == (500 if verb.name in ("HELO", "EHLO", "LHLO") else 502), verb.name
        elif phase not in verb.phases:
            assert isinstance(last, events.Faulty) and last.reply.code == 503, verb.name
        elif isinstance(last, events.Faulty):
            # What the phase cannot say, the verb does: no recipients yet, no second login, no second TLS.
            assert last.reply.code in (503, 530), (verb.name, last)
        if isinstance(last, events.Faulty):
            assert made.engine.phase is phase, verb.name
        assert reply.endswith(b"\r\n") and made.replies == len(WAYS[phase]) + 1, verb.name


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("phase", Phase)
def test_a_verb_without_its_argument_changes_nothing(variant: str, phase: Phase) -> None:
    for verb in VERBS:
        made = owner(variant, phase)
        made.hear(f"{verb.name}\r\n".encode())
        last = made.told[-1]
        if verb.name in ARGUMENTS and verb.name != "BDAT":
            assert isinstance(last, events.Faulty), verb.name
            assert made.engine.phase is phase and not made.engine.is_ended, verb.name


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_verb_that_is_not_offered_is_not_known(verb: Verb) -> None:
    made = owner("logged in", Phase.READY, NOTHING)
    made.hear(line_of(verb))
    is_faulty = isinstance(made.told[-1], events.Faulty)
    if verb.is_offered is not None and verb.name not in ("HELO", "EHLO", "STARTTLS"):
        assert is_faulty, verb.name


@pytest.mark.rfc("5321 §4.5.3.1.4", "A command line may be as long as all extensions together let it become.")
def test_the_longest_lines_that_extensions_ask_for_fit() -> None:
    for parameters in (
        [parameter.octets for extension in EXTENSIONS for parameter in extension.mail_parameters],
        [parameter.octets for extension in EXTENSIONS for parameter in extension.rcpt_parameters],
    ):
        longest = 512 + sum(parameters)
        assert longest <= ServerOptions("mx.example.org").command_line
        assert longest <= SmtpLimits().command_line


# The page.


def verbs_table() -> str:
    """A row for each verb, a column for each phase."""
    phases = list(Phase)
    rows = ["| verb | " + " | ".join(phase.value for phase in phases) + " |", "|---|" + "---|" * len(phases)]
    for verb in VERBS:
        variant = next(name for name in VARIANTS if is_known(name, verb))
        cells = [code(variant, phase, verb) or "•" for phase in phases]
        rows.append(f"| `{verb.syntax.replace('|', chr(92) + '|')}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def knowledge_table() -> str:
    """A row for each verb that not every session knows."""
    rows = ["| verb | " + " | ".join(VARIANTS) + " |", "|---|" + "---|" * len(VARIANTS)]
    for verb in VERBS:
        known = [is_known(variant, verb) for variant in VARIANTS]
        if not all(known):
            cells = [
                "•" if each else code(variant, Phase.READY, verb) for variant, each in zip(VARIANTS, known, strict=True)
            ]
            rows.append(f"| {verb.name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _session(variant: str, options: ServerOptions) -> Session:
    facts = VARIANTS[variant]
    return Session(
        replace(options, lmtp=facts.get("lmtp", False)),
        is_secure=facts.get("is_secure", False),
        is_authenticated=facts.get("is_authenticated", False),
    )


def _switches(extension: Extension) -> list[str]:
    """The options of a listener without which the extension is offered nowhere."""
    found = []
    for each in fields(ServerOptions):
        value = getattr(NOTHING, each.name)
        if value != getattr(EVERYTHING, each.name):
            options = replace(EVERYTHING, **{each.name: value})
            if not any(extension.offer(_session(variant, options)) for variant in VARIANTS):
                found.append(each.name)
    return found


def extensions_table() -> str:
    """A row for each extension."""
    rows = ["| keyword | standard | verbs | in EHLO | where |", "|---|---|---|---|---|"]
    for extension in EXTENSIONS:
        offers = {variant: extension.offer(_session(variant, EVERYTHING)) for variant in VARIANTS}
        line = next(offer for offer in offers.values() if offer)
        offered = [variant for variant, offer in offers.items() if offer]
        where = "always" if len(offered) == len(VARIANTS) else ", ".join(offered)
        switches = _switches(extension)
        if switches:
            where += ", with " + " and ".join(f"`{name}`" for name in switches)
        verbs = ", ".join(extension.verbs)
        rows.append(f"| {extension.keyword} | {extension.rfc} | {verbs} | `{line}` | {where} |")
    return "\n".join(rows)


def parameters_table() -> str:
    """A row for each parameter of MAIL and RCPT."""
    rows = ["| of | parameter | value | octets | extension |", "|---|---|---|---|---|"]
    for verb, name in (("MAIL", "mail_parameters"), ("RCPT", "rcpt_parameters")):
        total = 0
        for extension in EXTENSIONS:
            for parameter in getattr(extension, name):
                total += parameter.octets
                cells = (verb, parameter.keyword, parameter.form, str(parameter.octets), extension.keyword)
                rows.append(f"| {' | '.join(cells)} |")
        rows.append(f"| {verb} | *all* | | {total} | |")
    return "\n".join(rows)


TABLES = {
    "verbs": verbs_table,
    "sessions": knowledge_table,
    "extensions": extensions_table,
    "parameters": parameters_table,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_says_what_the_engine_does(name: str) -> None:
    page = PAGE.read_text("utf-8")
    start, stop = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, begin, rest = page.partition(start)
    _, end, after = rest.partition(stop)
    assert begin and end
    wanted = f"{before}{start}\n\n{TABLES[name]()}\n\n{stop}{after}"
    if os.environ.get("ESTAFETA_WRITE_DOCS"):
        PAGE.write_text(wanted, "utf-8")
        page = wanted
    assert page == wanted, "ESTAFETA_WRITE_DOCS=1 pytest tests/wire/test_phases.py writes the tables anew"
