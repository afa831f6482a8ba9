"""How sessions open: early talkers, other protocols, slow and stubborn clients, and the edges of the limits."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from ipaddress import ip_network
from typing import Any

import pytest
from tests.agents.counter import Counter

from estafeta.agents.environment import Role
from estafeta.agents.opening import Pace
from estafeta.agents.settings import SmtpLimits
from estafeta.net.address import PeerAddress
from estafeta.wire.proxy import SIGNATURE

HELLO = "EHLO client.example.net"
MAIL, RCPT = "MAIL FROM:<someone@example.net>", "RCPT TO:<ana@example.org>"
CONTENT = "Subject: x\r\n\r\nbody\r\n."


@pytest.mark.rfc("5321 §3.1", "A client that speaks before the greeting can be told 554, and the connection is closed.")
@pytest.mark.parametrize("after", [0.0, 5.0])
def test_an_early_talker_is_told_so_in_place_of_the_greeting(run: Any, after: float) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, early=b"EHLO spam\r\n", greet_after=after, refuse_early_talkers=True)
        assert await counter.rest() == b"554 spoke before the greeting, closing\r\n"
        facts = await counter.ended()
        assert facts["ended"] == "early-talker" and facts["decisions"][0]["reason"] == "early-talker"

    run(test)


def test_who_waits_is_greeted_after_the_pause_and_not_before(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, greet_after=0.05, refuse_early_talkers=True)
        begun = asyncio.get_running_loop().time()
        assert (await counter.reply()).startswith("220")
        assert asyncio.get_running_loop().time() - begun > 0.04
        assert await counter.codes(HELLO, "QUIT") == ["250", "221"]

    run(test)


def test_early_talk_that_is_not_refused_is_read_after_the_greeting(run: Any) -> None:
    async def test(office: Any) -> None:
        for seconds in (5.0, 0.0):
            early = b"HELO early\r\nQUIT\r\n"
            counter = Counter(office, early=early, refuse_early_commands=False, greet_after=seconds)
            assert [line[:3] for line in (await counter.rest()).splitlines()] == [b"220", b"250", b"221"]

    run(test)


@pytest.mark.parametrize(
    "kind", [{"role": Role.LMTP}, {"role": Role.SUBMISSION}, {"peer": PeerAddress("192.0.2.10", 9)}]
)
def test_only_strangers_of_an_smtp_listener_are_watched(run: Any, kind: dict[str, Any]) -> None:
    async def test(office: Any) -> None:
        trusted = (ip_network("192.0.2.0/24"),) if "peer" in kind else ()
        counter = Counter(
            office,
            early=b"NOOP\r\nQUIT\r\n",
            greet_after=30.0,
            refuse_early_talkers=True,
            trusted_networks=trusted,
            **kind,
        )
        assert [line[:3] for line in (await counter.rest()).splitlines()] == [b"220", b"250", b"221"]

    run(test)


def test_a_client_that_leaves_during_the_pause_is_lost(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, greet_after=30.0)
        await asyncio.sleep(0)
        assert (await counter.ended())["ended"] == "lost"

    run(test)


@pytest.mark.rfc("5321 §3.8", "A server that closes says 421, also to who has not been greeted yet.")
def test_the_pause_ends_when_the_server_closes(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, greet_after=30.0)
        await asyncio.sleep(0)
        counter.reception.close_idle()
        assert (await counter.rest()).startswith(b"421 ")
        assert (await counter.ended())["ended"] == "closing"

    run(test)


@pytest.mark.rfc("5321 §4.2.3", "Another protocol on the port is answered once with 554, and closed.")
@pytest.mark.parametrize(
    ("first", "what"),
    [
        (b"GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\nEHLO x\r\nMAIL FROM:<a@example.net>\r\n", "HTTP"),
        (b"POST / HTTP/1.1\r\n\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.25 1 25\r\n", "PROXY header"),
        (SIGNATURE, "PROXY header"),
        (b"\x00\x00\x00\x85\xffSMBr\x00", "binary"),
    ],
)
@pytest.mark.parametrize("role", [Role.MX, Role.LMTP])
def test_another_protocol_gets_one_reply(run: Any, first: bytes, what: str, role: Role) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, role=role)
        await counter.reply()
        counter.client.send(first)
        assert await counter.rest() == b"554 5.5.0 this server speaks SMTP, closing\r\n"
        facts = await counter.ended()
        assert facts["ended"] == "foreign-protocol" and facts["decisions"][0]["detail"] == what

    run(test)


def test_tls_on_a_plain_port_is_closed_without_a_word(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office)
        await counter.reply()
        counter.client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200))
        assert await counter.rest() == b""
        assert (await counter.ended())["ended"] == "foreign-protocol"

    run(test)


def test_another_protocol_is_known_octet_by_octet_and_only_at_the_first_line(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office)
        await counter.reply()
        for octet in b"GET /":
            counter.client.send(bytes([octet]))
            await asyncio.sleep(0)
        assert (await counter.rest()).startswith(b"554 5.5.0")
        later = Counter(office)
        await later.reply()
        assert await later.codes(HELLO, "GET / HTTP/1.1", "QUIT") == ["250", "500", "221"]

    run(test)


# Slow clients.


@pytest.mark.rfc("5321 §4.5.3.2.7", "The wait for a command has a deadline, and 421 says that it has passed.")
@pytest.mark.parametrize("is_first", [True, False])
def test_a_command_line_must_come_within_its_time_however_its_octets_drip(run: Any, is_first: bool) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, limits=SmtpLimits(command_line_after=0.1, command_after=60.0))
        await counter.reply()
        if not is_first:
            assert await counter.codes(HELLO) == ["250"]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not counter.client.pending and loop.time() - begun < 10:
            counter.client.send(b"N")
            await asyncio.sleep(0.005)
        assert await counter.rest() == b"421 4.4.2 waited too long, closing\r\n"
        assert (await counter.ended())["ended"] == "timeout"

    run(test)


def test_lines_that_are_cut_anywhere_have_each_their_time(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, limits=SmtpLimits(command_line_after=0.2, command_after=60.0))
        await counter.reply()
        counter.client.send(b"EHLO client.example.net\r\n")
        await counter.reply()
        for _ in range(15):  # each arrival ends one line and begins another
            counter.client.send(b"OP\r\nNO" if _ else b"NO")
            await asyncio.sleep(0.02)
        counter.client.send(b"OP\r\nQUIT\r\n")
        assert (await counter.rest()).count(b"250 2.0.0") == 15

    run(test)


def test_a_line_without_end_is_not_kept(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, limits=SmtpLimits(command_line_after=5.0))
        await counter.reply()
        await counter.say(HELLO)
        for _ in range(64):
            counter.client.send(b"x" * 65536)
            await counter.client.drain()
        await asyncio.sleep(0)
        (session,) = counter._sessions
        assert len(session.engine._buffer) + session.stream.pending < 1_000_000
        assert await counter.codes("", "QUIT") == ["500", "221"]

    run(test)


def test_pace_asks_for_an_average_over_each_window() -> None:
    pace = Pace(SmtpLimits(data_octets_per_second=10, data_rate_over=60.0))
    pace.begin(1000.0)
    assert not pace.is_too_slow(1030.0, 1)  # a pause within the window
    assert not pace.is_too_slow(1060.0, 599)  # just enough
    assert not pace.is_too_slow(1061.0, 10_000)
    assert not pace.is_too_slow(1121.0, 0)
    assert pace.is_too_slow(1181.0, 599)  # what came before counts no more


def test_no_least_rate_is_no_rate() -> None:
    pace = Pace(SmtpLimits(data_octets_per_second=0))
    pace.begin(0.0)
    assert not pace.is_too_slow(1e9, 0)


@pytest.mark.parametrize("chunks", [False, True])
def test_mail_data_that_drips_ends_the_session(run: Any, chunks: bool) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, limits=SmtpLimits(data_octets_per_second=10, data_rate_over=60.0))
        await counter.reply()
        await counter.say(HELLO, MAIL, RCPT)
        if chunks:
            counter.client.send(b"BDAT 5000 LAST\r\n")
        else:
            await counter.say("DATA")
        begun = counter.clock.now
        while not counter.client.pending:
            counter.client.send(b"x")
            for _ in range(4):
                await asyncio.sleep(0)
            counter.clock.now += 1
        assert 60 <= counter.clock.now - begun < 65
        assert await counter.rest() == b"421 4.4.2 mail data comes too slowly, closing\r\n"
        assert (await counter.ended())["ended"] == "too-slow"
        assert await office.mailbox("ana@example.org") == []

    run(test)


def test_mail_data_that_comes_slowly_but_well_enough_is_taken(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, limits=SmtpLimits(data_octets_per_second=10, data_rate_over=60.0))
        await counter.reply()
        await counter.say(HELLO, MAIL, RCPT, "DATA")
        for _ in range(300):
            counter.client.send(b"twelve char\r\n")
            for _ in range(4):
                await asyncio.sleep(0)
            counter.clock.now += 1
        assert (await counter.say("."))[0].startswith("250")

    run(test)


def test_a_session_has_its_time_inside_of_mail_data_too(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, limits=SmtpLimits(session_after=1000.0))
        await counter.reply()
        await counter.say(HELLO, MAIL, RCPT, "DATA")
        counter.clock.now += 1001
        counter.client.send(b"x" * 5000)
        assert await counter.rest() == b"421 4.4.2 waited too long, closing\r\n"

    run(test)


@pytest.mark.parametrize("command", ["NOOP", "HELP", "VRFY ana@example.org", "RSET", "HELP NOOP"])
def test_replies_that_nobody_reads_make_no_heap(run: Any, command: str) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, limits=SmtpLimits(command_after=0.3), refuse_early_commands=False)
        await counter.reply()
        await counter.say(HELLO)
        wire, clients = counter.server._wire, counter.client._wire
        assert wire is not None and clients is not None
        clients.pause_reading()
        counter.client.send((command + "\r\n").encode() * 40_000)
        (session,) = counter._sessions
        most = 0
        while not counter.task.done():
            held = sum(map(len, session.engine._output)) + wire._octets
            most = max(most, held)
            await asyncio.sleep(0.001)
        assert 0 < most < 400_000
        assert (await counter.ended())["ended"] == "timeout"

    run(test)


# Limits at their edges.


@pytest.mark.parametrize(("most", "codes"), [(2, ["250", "250", "421"]), (3, ["250", "250", "250"])])
def test_transactions_up_to_the_limit(run: Any, most: int, codes: list[str]) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office, limits=SmtpLimits(transactions=most))
        await counter.reply()
        await counter.say(HELLO)
        told = []
        for _ in range(3):
            told += await counter.codes(MAIL)
            if told[-1] == "250":
                await counter.say("RSET")
        assert told == codes

    run(test)


@pytest.mark.rfc("5321 §4.5.3.1.10", "The recipient behind the last one taken gets 452, and the others their mail.")
def test_recipients_up_to_the_limit(run: Any) -> None:
    async def test(office: Any) -> None:
        for most, codes in ((1, ["250", "452", "452"]), (2, ["250", "250", "452"]), (3, ["250"] * 3)):
            counter = Counter(office, limits=SmtpLimits(recipients=most))
            await counter.reply()
            await counter.say(HELLO, MAIL)
            assert await counter.codes(RCPT, "RCPT TO:<luis@example.org>", RCPT) == codes
            assert await counter.codes("DATA", CONTENT, "QUIT") == ["354", "250", "221"]

    run(test)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_refusals_and_faults_up_to_the_limit(run: Any, count: int) -> None:
    async def test(office: Any) -> None:
        for line, code in (("RCPT TO:<nobody@example.org>", "550"), ("BOGUS", "500")):
            counter = Counter(office, limits=SmtpLimits(refusals=3, faults=3))
            await counter.reply()
            await counter.say(HELLO, MAIL)
            assert await counter.codes(*[line] * count) == [code] * count
            if count <= 3:
                assert await counter.codes("NOOP") == ["250"]
            else:
                assert (await counter.rest()).startswith(b"421 4.7.0 too many errors")
                assert (await counter.ended())["ended"] == "too-many"

    run(test)


def test_a_thousand_transactions_in_one_session_leave_nothing_behind(run: Any) -> None:
    async def test(office: Any) -> None:
        counter = Counter(office)
        await counter.reply()
        await counter.say(HELLO)

        async def some(count: int) -> int:
            for _ in range(count):
                assert await counter.codes(MAIL, RCPT, "RSET") == ["250"] * 3
                lines = (MAIL, RCPT, "RCPT TO:<nobody@example.org>", "DATA", CONTENT)
                assert await counter.codes(*lines) == ["250", "250", "550", "354", "250"]
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = await some(100)
            after = await some(900)
        finally:
            tracemalloc.stop()
        assert after - before < 100_000

    run(test, limits=SmtpLimits(refusals=10_000))
