"""DELIVERBY (RFC 2852), FUTURERELEASE (RFC 4865) and MT-PRIORITY (RFC 6710): what each engine reads and writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.address import Address, ReversePath
from estafeta.mail.envelope import ByMode, DeliverBy, Hold, Sender
from estafeta.mail.reply import Reply
from estafeta.wire.errors import ExtensionMissing
from estafeta.wire.smtp import events
from estafeta.wire.smtp.client import ClientEngine
from estafeta.wire.smtp.extensions.deliver_by import least_time
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions

FROM = ReversePath(Address("ana", "example.org"))
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
WEEK = 604_800
OPTIONS = ServerOptions(
    "mx.example.net",
    deliver_by=0,
    hold_for=WEEK,
    hold_until=lambda: NOW + timedelta(seconds=WEEK),
    priority_policy="",
)
NOTHING = ServerOptions("mx.example.net")


def greeted(options: ServerOptions = OPTIONS) -> tuple[ServerEngine, Reply]:
    """An engine that has heard EHLO, and what it said."""
    engine = ServerEngine(options)
    engine.feed(b"EHLO c\r\n")
    assert isinstance(engine.next_event(), events.Hello)
    reply = engine.hello_reply("mx.example.net")
    engine.answer(reply)
    engine.take_output()
    return engine, reply


def hear(parameters: str, options: ServerOptions = OPTIONS) -> events.Event:
    """What MAIL with these parameters means."""
    engine, _ = greeted(options)
    engine.feed(f"MAIL FROM:<ana@example.org> {parameters}\r\n".encode())
    event = engine.next_event()
    assert event is not None
    return event


def sender(parameters: str, options: ServerOptions = OPTIONS) -> Sender:
    event = hear(parameters, options)
    assert isinstance(event, events.Mail), event
    return event.sender


def refusal(parameters: str, options: ServerOptions = OPTIONS) -> str:
    """The reply without its text."""
    event = hear(parameters, options)
    assert isinstance(event, events.Faulty), event
    return f"{event.reply.code} {event.reply.status}"


def client(*extensions: str, lmtp: bool = False) -> ClientEngine:
    """One that was told of these extensions."""
    engine = ClientEngine(lmtp)
    engine.feed(b"220 mx ready\r\n")
    engine.next_event()
    engine.ehlo("c")
    engine.feed("\r\n".join([*(f"250-{each}" for each in ("mx", *extensions)), "250 HELP", ""]).encode())
    engine.next_event()
    return engine


# What is offered.


@pytest.mark.rfc("2852 §2", "EHLO names DELIVERBY, with the least time where there is one.")
@pytest.mark.rfc("4865 §3", "EHLO names FUTURERELEASE with the longest interval and the last instant in UTC.")
@pytest.mark.rfc("6710 §3", "EHLO names MT-PRIORITY, with the policy where it is told.")
def test_what_ehlo_offers() -> None:
    _, reply = greeted()
    assert {"DELIVERBY", f"FUTURERELEASE {WEEK} 2026-11-29T12:00:00Z", "MT-PRIORITY"} <= set(reply.lines)
    _, reply = greeted(replace(OPTIONS, deliver_by=60, priority_policy="MIXER"))
    assert {"DELIVERBY 60", "MT-PRIORITY MIXER"} <= set(reply.lines)
    _, reply = greeted(NOTHING)
    assert not [line for line in reply.lines if line.startswith(("DELIVERBY", "FUTURERELEASE", "MT-PRIORITY"))]


@pytest.mark.parametrize("parameter", ["BY=60;R", "HOLDFOR=60", "HOLDUNTIL=2026-11-23T00:00:00Z", "MT-PRIORITY=-1"])
def test_what_is_not_offered_is_not_known(parameter: str) -> None:
    assert refusal(parameter, NOTHING) == "555 5.5.4"


# BY.


@pytest.mark.rfc("2852 §4", "BY is a time in seconds, N or R, and T for traces; with N it may be over already.")
@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("120;R", DeliverBy(120, ByMode.RETURN)),
        ("+120;r", DeliverBy(120, ByMode.RETURN)),
        ("999999999;RT", DeliverBy(999_999_999, ByMode.RETURN, True)),
        ("-999999999;Nt", DeliverBy(-999_999_999, ByMode.NOTIFY, True)),
        ("0;N", DeliverBy(0, ByMode.NOTIFY)),
        ("-0;n", DeliverBy(0, ByMode.NOTIFY)),
        ("000000007;N", DeliverBy(7, ByMode.NOTIFY)),
    ],
)
def test_by_is_read(value: str, read: DeliverBy) -> None:
    assert sender(f"BY={value}").deliver_by == read


@pytest.mark.rfc("2852 §4", "A time of 0 or less with R is a syntax error: 501 5.5.4.")
@pytest.mark.parametrize(
    "value",
    ["0;R", "-1;R", "-0;RT", "120", "120;", ";R", "120;X", "120;RN", "120;RTT", "1000000000;R", "1.5;R", "٣;R", "60,R"],
)
def test_what_is_no_by(value: str) -> None:
    assert refusal(f"BY={value}") == "501 5.5.4"


def test_by_needs_a_value() -> None:
    assert refusal("BY") == "501 5.5.4"


@pytest.mark.rfc(
    "2852 §3", "R with less than the announced minimum is refused for good (55z); N is not measured by it."
)
def test_the_least_time() -> None:
    options = replace(OPTIONS, deliver_by=60)
    assert refusal("BY=59;R", options) == "555 5.5.4"
    assert sender("BY=60;R", options).deliver_by == DeliverBy(60, ByMode.RETURN)
    assert sender("BY=1;N", options).deliver_by == DeliverBy(1, ByMode.NOTIFY)


@pytest.mark.parametrize(
    ("words", "least"),
    [((), 0), (("240",), 240), (("30,x-more",), 30), ((",x-more",), 0), (("x",), 0), (("9999999999",), 0), (("٣",), 0)],
)
def test_the_least_time_of_another_host(words: tuple[str, ...], least: int) -> None:
    assert least_time(words) == least


# HOLDFOR and HOLDUNTIL.


@pytest.mark.rfc("4865 §3", "HOLDFOR is an interval of 1 to 999999999 seconds, HOLDUNTIL a date-time of RFC 3339.")
@pytest.mark.parametrize(
    ("parameter", "read"),
    [
        ("HOLDFOR=1", Hold(seconds=1)),
        (f"HOLDFOR={WEEK}", Hold(seconds=WEEK)),
        ("HOLDUNTIL=2026-11-22T12:00:01Z", Hold(until=NOW + timedelta(seconds=1))),
        ("HOLDUNTIL=2026-11-29T12:00:00Z", Hold(until=NOW + timedelta(seconds=WEEK))),
        ("holduntil=2026-11-23t13:00:00.5+01:00", Hold(until=NOW + timedelta(days=1, seconds=0.5))),
        ("HOLDUNTIL=2026-11-23T12:00:00.1234567Z", Hold(until=NOW + timedelta(days=1, microseconds=123_456))),
        ("HOLDUNTIL=2026-11-22T23:59:60Z", Hold(until=NOW.replace(hour=23, minute=59, second=59))),
    ],
)
def test_hold_is_read(parameter: str, read: Hold) -> None:
    assert sender(parameter).hold == read


@pytest.mark.rfc("4865 §4.2", "More than the maximum, or what is invalid otherwise, is refused with 501 5.5.4.")
@pytest.mark.parametrize(
    "parameter",
    [
        "HOLDFOR",
        "HOLDFOR=0",
        "HOLDFOR=007",
        "HOLDFOR=-1",
        "HOLDFOR=1e3",
        f"HOLDFOR={WEEK + 1}",
        "HOLDFOR=9999999999",
        "HOLDFOR=٣",
        "HOLDUNTIL",
        "HOLDUNTIL=2026-11-29T12:00:01Z",
        "HOLDUNTIL=2026-11-22T12:00:00Z",
        "HOLDUNTIL=1999-01-01T00:00:00Z",
        "HOLDUNTIL=0001-01-01T00:00:00+14:00",
        "HOLDUNTIL=2026-11-23",
        "HOLDUNTIL=2026-11-23T00:00:00",
        "HOLDUNTIL=2026-13-23T00:00:00Z",
        "HOLDUNTIL=2026-11-31T00:00:00Z",
        "HOLDUNTIL=2026-W48-1T00:00:00Z",
        "HOLDUNTIL=2026-11-23T25:00:00Z",
        "HOLDUNTIL=2026-11-23T00:00:00+99:99",
        "HOLDUNTIL=20261123T000000Z",
    ],
)
def test_what_is_no_hold(parameter: str) -> None:
    assert refusal(parameter) == "501 5.5.4"


@pytest.mark.rfc("4865 §4.2", "More than one parameter that holds is refused with 501 5.5.4.")
@pytest.mark.parametrize(
    "parameters", ["HOLDFOR=60 HOLDUNTIL=2026-11-23T00:00:00Z", "HOLDUNTIL=2026-11-23T00:00:00Z HOLDFOR=60"]
)
def test_one_hold_alone(parameters: str) -> None:
    assert refusal(parameters) == "501 5.5.4"


# MT-PRIORITY.


@pytest.mark.rfc("6710 §7", "A priority is 0, or a digit from 1 to 9 with a minus where it is below 0.")
@pytest.mark.parametrize("priority", range(-9, 10))
def test_priorities(priority: int) -> None:
    assert sender(f"MT-PRIORITY={priority}").priority == priority


@pytest.mark.rfc("6710 §4.1", "What is no priority is 501 5.5.2; so is one that is given twice an error.")
@pytest.mark.parametrize("value", ["10", "-10", "+1", "-0", "01", "high", "1.0", "٣"])
def test_what_is_no_priority(value: str) -> None:
    assert refusal(f"MT-PRIORITY={value}") == "501 5.5.2"
    assert refusal("MT-PRIORITY=1 MT-PRIORITY=1").startswith("501")


# What the client says.


@pytest.mark.rfc(
    "2852 §4.1.4.1", "A message with R goes to no host without DELIVERBY, nor to one that wants more time."
)
@pytest.mark.rfc("4865 §4.1", "A message that is to be held is handed only to a host that offers to hold it.")
@pytest.mark.parametrize(
    ("asking", "offered"),
    [
        (Sender(FROM, deliver_by=DeliverBy(60, ByMode.RETURN)), ("PIPELINING",)),
        (Sender(FROM, deliver_by=DeliverBy(60, ByMode.RETURN)), ("DELIVERBY 61",)),
        (Sender(FROM, deliver_by=DeliverBy(0, ByMode.RETURN)), ("DELIVERBY",)),
        (Sender(FROM, hold=Hold(seconds=60)), ("MT-PRIORITY",)),
    ],
)
def test_what_cannot_be_promised_is_not_sent(asking: Sender, offered: tuple[str, ...]) -> None:
    engine = client(*offered)
    with pytest.raises(ExtensionMissing):
        engine.mail(asking)


@pytest.mark.rfc("6710 §4.3", "The parameter is left out where MT-PRIORITY is not announced.")
@pytest.mark.rfc("2852 §4.1.4.2", "With N the message goes on without BY where DELIVERBY is not announced.")
def test_the_rest_is_left_out_where_it_is_not_known() -> None:
    asking = Sender(FROM, priority=3, deliver_by=DeliverBy(-5, ByMode.NOTIFY))
    assert client("PIPELINING").mail(asking) == b"MAIL FROM:<ana@example.org>\r\n"
    assert client("DELIVERBY 900", "MT-PRIORITY STANAG4406").mail(asking) == (
        b"MAIL FROM:<ana@example.org> BY=-5;N MT-PRIORITY=3\r\n"
    )


by_values = st.builds(DeliverBy, st.integers(-999_999_999, 999_999_999), st.just(ByMode.NOTIFY), st.booleans()) | (
    st.builds(DeliverBy, st.integers(1, 999_999_999), st.just(ByMode.RETURN), st.booleans())
)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
holds = st.builds(Hold, seconds=st.integers(1, WEEK)) | st.builds(
    Hold,
    until=st.builds(
        lambda seconds, zone: (NOW + timedelta(seconds=seconds)).astimezone(zone), st.integers(1, WEEK), zones
    ),
)


@given(
    by=st.none() | by_values,
    hold=st.none() | holds,
    priority=st.none() | st.integers(-9, 9),
)
@pytest.mark.rfc("2852 §2", "BY lengthens MAIL by 17 characters at most.")
@pytest.mark.rfc("4865 §3", "HOLDFOR or HOLDUNTIL lengthens MAIL by 34 characters at most.")
@pytest.mark.rfc("6710 §3", "MT-PRIORITY lengthens MAIL by 15 characters at most.")
def test_face_to_face(by: DeliverBy | None, hold: Hold | None, priority: int | None) -> None:
    said = Sender(FROM, deliver_by=by, hold=hold, priority=priority)
    line = client("DELIVERBY", f"FUTURERELEASE {WEEK} 2026-11-29T12:00:00Z", "MT-PRIORITY").mail(said)
    plain = client().mail(Sender(FROM))
    longest = (17 if by else 0) + (34 if hold else 0) + (15 if priority is not None else 0)
    assert len(line) - len(plain) <= longest
    engine, _ = greeted()
    engine.feed(line)
    event = engine.next_event()
    assert isinstance(event, events.Mail)
    assert event.sender == said  # instants are equal in any zone


def test_a_fraction_is_rounded_so_that_nothing_leaves_too_early() -> None:
    said = Sender(FROM, hold=Hold(until=NOW + timedelta(days=1, seconds=0.1)))
    line = client(f"FUTURERELEASE {WEEK} 2026-11-29T12:00:00Z").mail(said)
    assert line == b"MAIL FROM:<ana@example.org> HOLDUNTIL=2026-11-23T12:00:01Z\r\n"


@pytest.mark.rfc("4865 §3", "The latest instant that EHLO names moves with the clock.")
def test_the_latest_release_moves_with_the_clock() -> None:
    now = [datetime(2026, 11, 22, 12, tzinfo=UTC)]
    options = ServerOptions("mx", hold_for=3600, hold_until=lambda: now[0])
    for hour in (12, 13):
        now[0] = datetime(2026, 11, 22, hour, tzinfo=UTC)
        engine = ServerEngine(options)
        engine.feed(b"EHLO c\r\n")
        engine.next_event()
        engine.answer(engine.hello_reply("mx"))
        assert b"250-FUTURERELEASE 3600 2026-11-22T%d:00:00Z\r\n" % hour in engine.take_output()
