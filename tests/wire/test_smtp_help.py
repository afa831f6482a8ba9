"""HELP: what it says of verbs, extensions, limits, and of how the session stands."""

from __future__ import annotations

import pytest

from estafeta.mail.catalogue import helps
from estafeta.mail.reply import Reply
from estafeta.mail.wording import Language, Wording
from estafeta.wire.smtp import events
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions
from estafeta.wire.smtp.verbs import VERBS

HELLO = "EHLO client.example.net"


def talk(options: ServerOptions, *lines: str, is_secure: bool = False) -> list[str]:
    """The lines of the last reply; all that is no HELP is said yes to."""
    engine = ServerEngine(options, is_secure=is_secure)
    output = b""
    for line in lines:
        engine.feed(line.encode() + b"\r\n")
        event = engine.next_event()
        if isinstance(event, events.Help):
            engine.answer(engine.help_reply(event.topic))
        elif isinstance(event, events.Hello):
            engine.answer(engine.hello_reply("mx at your service"))
        else:
            engine.answer(Reply.of(250, "ok", "2.0.0"))
        output = engine.take_output()
    return output.decode("ascii").splitlines()


@pytest.mark.rfc("5321 §4.1.1.8", "HELP alone names the commands of this session, and HELP with one tells of it.")
def test_help_alone_names_what_can_be_asked() -> None:
    first, topics, last = talk(ServerOptions("mx"), "HELP")
    assert first.startswith("214-2.0.0 Commands: HELO EHLO ") and "LHLO" not in first
    assert topics == "214-2.0.0 Topics: STATUS LIMITS EXTENSIONS"
    assert last == "214 2.0.0 HELP and one of these words tells more"


@pytest.mark.parametrize("lmtp", [False, True])
def test_each_verb_that_is_named_is_told_of(lmtp: bool) -> None:
    options = ServerOptions("mx", lmtp=lmtp)
    for name in talk(options, "HELP")[0].partition(": ")[2].split():
        lines = talk(options, f"help {name.lower()}")
        assert lines[0].startswith(f"214-2.0.0 {name}") and "section" in lines[2], name
        assert all(line.startswith("214") and len(line) < 510 for line in lines)


def test_there_are_words_for_every_verb() -> None:
    assert {verb.name for verb in VERBS} == set(helps.VERBS)


def test_a_verb_that_is_not_offered_is_no_topic() -> None:
    assert talk(ServerOptions("mx", vrfy=False), "HELP VRFY") == ["504 5.5.4 no help on this topic"]


def test_the_parameters_that_are_offered_now_are_told() -> None:
    lines = talk(ServerOptions("mx"), HELLO, "HELP MAIL")
    assert "214-2.0.0 SIZE: octets as a number (RFC 1870)" in lines
    assert not any("NOTIFY" in line for line in lines)
    without = talk(ServerOptions("mx", smtputf8=False), HELLO, "HELP MAIL")
    assert any("SMTPUTF8" in line for line in lines) and not any("SMTPUTF8" in line for line in without)
    rcpt = talk(ServerOptions("mx"), HELLO, "HELP RCPT")
    assert any("NOTIFY: " in line for line in rcpt) and not any("SIZE" in line for line in rcpt)


def test_extensions_are_told_one_by_one() -> None:
    lines = talk(ServerOptions("mx", message_size=1000), "HELP EXTENSIONS")
    assert "214-2.0.0 SIZE 1000 (RFC 1870)" in lines
    assert talk(ServerOptions("mx"), "HELP SIZE") == [
        "214-2.0.0 Extension SIZE: RFC 1870",
        "214 2.0.0 SIZE: octets as a number (RFC 1870)",
    ]
    for extension in EXTENSIONS:
        assert talk(ServerOptions("mx"), f"HELP {extension.keyword}")[0][:3] in ("214", "504"), extension.keyword


def test_limits_are_those_of_the_listener() -> None:
    lines = talk(ServerOptions("mx", message_size=1000, command_line=2048, recipients=7), "HELP LIMITS")
    assert [line.partition("2.0.0 ")[2] for line in lines[1:]] == ["SIZE=1000", "LINE=2048", "RCPTMAX=7"]


@pytest.mark.rfc("5321 §4.2.2", "211 tells how the system stands: here, what this session has reached.")
def test_the_status_is_that_of_the_session() -> None:
    assert talk(ServerOptions("mx"), "HELP STATUS") == [
        "211-2.0.0 mx is ready",
        "211-2.0.0 TLS: off",
        "211-2.0.0 login: off",
        "211 2.0.0 recipients: 0",
    ]
    lines = talk(ServerOptions("mx"), HELLO, "MAIL FROM:<>", "RCPT TO:<a@example.org>", "HELP STATUS", is_secure=True)
    assert lines[1] == "211-2.0.0 TLS: on" and lines[3] == "211 2.0.0 recipients: 1"


def test_in_other_words_what_follows_stays() -> None:
    options = ServerOptions("mx", wording=Wording(Language.SPANISH, {}))
    lines = talk(options, "HELP SIZE")
    assert lines == ["214-2.0.0 Extension SIZE: RFC 1870", "214 2.0.0 SIZE: octets as a number (RFC 1870)"]
    assert talk(options, "HELP RSET")[1:] == ["214-2.0.0 Anula la transaccion.", "214 2.0.0 RFC 5321 seccion 4.1.1.5"]
    hello = talk(options, HELLO)
    assert hello[0] == "250-mx a su servicio" and "250-PIPELINING" in hello
