"""BDAT (RFC 3030) by the client engine: dialogues, fed whole and octet by octet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Recipient, Sender
from estafeta.wire.errors import ExtensionMissing, LocalProtocolError, RemoteProtocolError
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.dialogue import Answered, Closing, Command, Event, Phase, Verb

SENDER = Sender(ReversePath(Address("from", "example.org")))
ANN, BEN, CAT = (Recipient(ForwardPath(Address(name, "example.net"))) for name in ("ann", "ben", "cat"))

Feed = Callable[[ClientEngine, str], list[Event]]


@pytest.fixture(params=[1000, 1], ids=["whole", "octets"])
def feed(request: pytest.FixtureRequest) -> Feed:
    cut: int = request.param

    def function(engine: ClientEngine, text: str) -> list[Event]:
        octets = text.encode().replace(b"\n", b"\r\n")
        found: list[Event] = []
        for start in range(0, len(octets), cut):
            engine.feed(octets[start : start + cut])
            while (event := engine.next_event()) is not None:
                found.append(event)
        return found

    return function


def ready(*keywords: str, lmtp: bool = False) -> ClientEngine:
    engine = ClientEngine(lmtp)
    engine.feed(b"220 mx\r\n")
    engine.next_event()
    engine.ehlo("c")
    engine.feed(b"250-mx\r\n" + b"".join(f"250-{keyword}\r\n".encode() for keyword in keywords) + b"250 HELP\r\n")
    engine.next_event()
    return engine


def grouped(engine: ClientEngine, *recipients: Recipient) -> bytes:
    return engine.mail(SENDER) + b"".join(engine.rcpt(each) for each in recipients)


def answers(found: list[Event]) -> list[tuple[Verb, int]]:
    return [(event.command.verb, event.reply.code) for event in found if isinstance(event, Answered)]


def test_a_message_is_one_group(feed: Feed) -> None:
    engine = ready("PIPELINING", "CHUNKING")
    octets = grouped(engine, ANN, BEN) + engine.bdat(b".\r\nx\r\n", last=True)
    assert octets == (
        b"MAIL FROM:<from@example.org>\r\nRCPT TO:<ann@example.net>\r\nRCPT TO:<ben@example.net>\r\n"
        b"BDAT 6 LAST\r\n.\r\nx\r\n"
    )
    assert engine.waiting[-1] == Command(Verb.CONTENT)
    found = feed(engine, "250 OK\n250 OK\n550 no\n250 2.0.0 6 octets received\n")
    assert answers(found) == [(Verb.MAIL, 250), (Verb.RCPT, 250), (Verb.RCPT, 550), (Verb.CONTENT, 250)]
    assert engine.phase is Phase.READY
    assert grouped(engine, ANN)


def test_without_pipelining_each_chunk_waits_for_its_reply(feed: Feed) -> None:
    engine = ready("CHUNKING")
    engine.mail(SENDER)
    with pytest.raises(LocalProtocolError):
        engine.bdat(b"x", last=True)
    feed(engine, "250 OK\n")
    engine.rcpt(ANN)
    feed(engine, "250 OK\n")
    assert engine.bdat(b"ab\r", last=False) == b"BDAT 3\r\nab\r"
    with pytest.raises(LocalProtocolError):
        engine.bdat(b"", last=True)
    assert answers(feed(engine, "250 3 octets\n")) == [(Verb.BDAT, 250)]
    assert engine.has_open_transaction
    assert engine.bdat(b"", last=True) == b"BDAT 0 LAST\r\n"
    assert answers(feed(engine, "250 OK\n")) == [(Verb.CONTENT, 250)]
    assert engine.phase is Phase.READY


def test_chunks_go_in_groups_with_pipelining(feed: Feed) -> None:
    engine = ready("PIPELINING", "CHUNKING")
    octets = grouped(engine, ANN) + engine.bdat(b"ab", last=False) + engine.bdat(b"cd\r\n", last=True)
    assert octets.endswith(b"BDAT 2\r\nabBDAT 4 LAST\r\ncd\r\n")
    found = feed(engine, "250 OK\n250 OK\n250 2\n250 OK\n")
    assert answers(found)[2:] == [(Verb.BDAT, 250), (Verb.CONTENT, 250)]
    assert not engine.has_open_transaction


@pytest.mark.parametrize("reply", ["503 no recipients", "554 no", "452 full"])
def test_after_a_refused_chunk_a_reset_is_due(feed: Feed, reply: str) -> None:
    # RFC 3030 §2
    engine = ready("PIPELINING", "CHUNKING")
    grouped(engine, ANN)
    engine.bdat(b"x\r\n", last=True)
    feed(engine, f"250 OK\n550 no\n{reply}\n")
    assert engine.has_open_transaction
    with pytest.raises(LocalProtocolError):
        engine.mail(SENDER)
    assert engine.abandon() + engine.mail(SENDER) == b"RSET\r\nMAIL FROM:<from@example.org>\r\n"
    assert answers(feed(engine, "250 OK\n250 OK\n")) == [(Verb.RSET, 250), (Verb.MAIL, 250)]
    assert engine.phase is Phase.TRANSACTION


def test_no_chunk_follows_a_refused_one(feed: Feed) -> None:
    engine = ready("PIPELINING", "CHUNKING")
    grouped(engine, ANN)
    engine.bdat(b"x", last=False)
    feed(engine, "250 OK\n250 OK\n452 full\n")
    with pytest.raises(LocalProtocolError):
        engine.bdat(b"y", last=True)
    assert engine.abandon() == b"RSET\r\n"


def test_a_refused_sender_with_the_content_behind_it_is_reset(feed: Feed) -> None:
    engine = ready("PIPELINING", "CHUNKING")
    grouped(engine, ANN)
    engine.bdat(b"x", last=True)
    feed(engine, "550 no\n503 no\n503 no\n")
    assert engine.abandon() == b"RSET\r\n"
    feed(engine, "250 OK\n")
    assert engine.phase is Phase.READY


def test_chunks_and_data_are_not_mixed_and_recipients_come_before(feed: Feed) -> None:
    engine = ready("PIPELINING", "CHUNKING")
    with pytest.raises(LocalProtocolError):
        engine.bdat(b"x", last=True)
    grouped(engine, ANN)
    engine.bdat(b"x", last=False)
    with pytest.raises(LocalProtocolError):
        engine.data()
    with pytest.raises(LocalProtocolError):
        engine.rcpt(BEN)
    engine.bdat(b"x", last=True)
    with pytest.raises(LocalProtocolError):
        engine.bdat(b"x", last=True)
    with pytest.raises(LocalProtocolError):
        engine.mail(SENDER)
    feed(engine, "250 OK\n250 OK\n250 OK\n250 OK\n")
    grouped(engine, ANN)
    engine.data()
    with pytest.raises(LocalProtocolError):
        engine.bdat(b"x", last=True)


def test_chunks_need_an_announcement_and_a_recipient(feed: Feed) -> None:
    engine = ready("PIPELINING")
    grouped(engine, ANN)
    with pytest.raises(ExtensionMissing):
        engine.bdat(b"x", last=True)
    other = ready("PIPELINING", "CHUNKING")
    grouped(other, ANN)
    feed(other, "250 OK\n550 no\n")
    with pytest.raises(LocalProtocolError):
        other.bdat(b"x", last=True)


def test_lmtp_answers_the_last_chunk_for_each_accepted_recipient(feed: Feed) -> None:
    # RFC 2033 §4.3
    engine = ready("PIPELINING", "CHUNKING", lmtp=True)
    grouped(engine, ANN, BEN, CAT)
    with pytest.raises(LocalProtocolError):
        engine.bdat(b"x", last=True)
    feed(engine, "250 OK\n250 OK\n550 no\n250 OK\n")
    engine.bdat(b"x", last=False)
    engine.bdat(b"y", last=True)
    found = feed(engine, "250 1 octet\n452 full\n250 OK\n")
    assert [(event.command, event.reply.code) for event in found if isinstance(event, Answered)] == [
        (Command(Verb.BDAT), 250),
        (Command(Verb.CONTENT, ANN), 452),
        (Command(Verb.CONTENT, CAT), 250),
    ]
    assert engine.phase is Phase.READY


def test_lmtp_that_refuses_the_content_for_all_is_reset(feed: Feed) -> None:
    engine = ready("PIPELINING", "CHUNKING", lmtp=True)
    grouped(engine, ANN, BEN)
    feed(engine, "250 OK\n250 OK\n250 OK\n")
    engine.bdat(b"y", last=True)
    feed(engine, "452 full\n452 full\n")
    assert engine.abandon() == b"RSET\r\n"


def test_a_chunk_is_not_answered_with_354(feed: Feed) -> None:
    engine = ready("PIPELINING", "CHUNKING")
    grouped(engine, ANN)
    engine.bdat(b"x", last=True)
    with pytest.raises(RemoteProtocolError):
        feed(engine, "250 OK\n250 OK\n354 go on\n")


def test_421_between_chunks_names_what_was_not_answered(feed: Feed) -> None:
    engine = ready("PIPELINING", "CHUNKING")
    grouped(engine, ANN)
    engine.bdat(b"x", last=False)
    engine.bdat(b"y", last=True)
    (*_, closing) = feed(engine, "250 OK\n250 OK\n421 4.3.2 going down\n")
    assert isinstance(closing, Closing)
    assert closing.unanswered == (Command(Verb.BDAT), Command(Verb.CONTENT))
