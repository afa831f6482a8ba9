"""Attempts at hosts that do as they are told: who is asked, who is not, and what becomes of each recipient."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.agents.outbound.street import (
    CONTENT,
    DEFERRED,
    DELIVERED,
    DROP,
    FAILED,
    HANG,
    MODERN,
    OLD,
    RELAYED,
    Host,
    Street,
    fates,
    server_tls,
    street,
    the_one,
)

from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings, GatewayTls
from estafeta.agents.outbound.outcome import HostFacts
from estafeta.client import SmtpClient, TlsMode
from estafeta.mail.address import NULL_REVERSE_PATH
from estafeta.mail.envelope import Ret
from estafeta.mail.reply import EnhancedStatusCode
from estafeta.net.authority import Issued, issue
from estafeta.routing.security import TlsLevel, TlsRule

ONE = """
example.com. MX 10 mx.example.com.
mx.example.com. A 127.0.0.2
"""
TWO = """
example.com. MX 10 mx1.example.com.
example.com. MX 20 mx2.example.com.
mx1.example.com. A 127.0.0.2
mx2.example.com. A 127.0.0.3
"""

Test = Callable[[Street], Awaitable[None]]
Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a test's coroutine with a street; keywords are those of `street`."""

    def run_it(test: Test, zone: str = TWO, **settings: Any) -> None:
        async def main() -> None:
            async with street(tmp_path, zone, **settings) as made:
                await test(made)

        asyncio.run(main())

    return run_it


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """A certificate for the hosts."""
    return issue(tmp_path_factory.mktemp("tls"), ["mx.example.com", "mx1.example.com"])


# Which host.


def test_the_preferred_host_gets_the_message_as_it_is(run: Run) -> None:
    async def test(street: Street) -> None:
        first, second = await street.open(2, Host()), await street.open(3, Host())
        attempt = await street.attempt("ann@example.com", "ben@example.com")
        assert fates(attempt) == [RELAYED, RELAYED]
        [taken] = first.taken
        assert taken.content == CONTENT
        assert [each.split()[0] for each in taken.recipients] == ["TO:<ann@example.com>", "TO:<ben@example.com>"]
        assert second.connections == 0
        assert attempt.troubles == []
        outcome = attempt.outcomes[0]
        assert outcome.host == HostFacts("mx1.example.com", f"127.0.0.2:{street.port}")
        assert (outcome.stage, outcome.is_remote, str(outcome.reply)) == ("content", True, "250 2.0.0 taken")
        assert outcome.takes_dsn

    run(test)


@pytest.mark.rfc("5321 §4.2.1", "After a 4yz the next host is asked.")
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "CONTENT"])
def test_after_a_transient_reply_the_next_host_is_asked(run: Run, verb: str) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(*OLD, says={verb: "451 4.3.0 not now"}))
        second = await street.open(3, Host())
        attempt = await street.attempt("ann@example.com")
        assert fates(attempt) == [RELAYED]
        assert len(second.taken) == 1
        assert [(each.host, str(each.reply)) for each in attempt.troubles] == [("mx1.example.com", "451 4.3.0 not now")]

    run(test)


@pytest.mark.rfc("5321 §4.2.1", "After a 5yz no other host is asked.")
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "CONTENT"])
def test_after_a_permanent_reply_no_other_is(run: Run, verb: str) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(*OLD, says={verb: "550 5.7.1 never"}))
        second = await street.open(3, Host())
        attempt = await street.attempt("ann@example.com")
        assert fates(attempt) == [FAILED]
        assert str(the_one(attempt).reply) == "550 5.7.1 never"
        assert second.connections == 0
        assert not attempt.is_dead

    run(test)


@pytest.mark.parametrize("greeting", ["421 4.3.2 too busy", "554 5.7.1 not you", "521 5.3.2 no mail here", DROP])
def test_a_host_that_does_not_want_us_is_passed_by(run: Run, greeting: str) -> None:
    async def test(street: Street) -> None:
        first, second = await street.open(2, Host(says={"GREETING": greeting})), await street.open(3, Host())
        attempt = await street.attempt("ann@example.com")
        assert fates(attempt) == [RELAYED]
        assert (first.connections, len(second.taken)) == (1, 1)
        [trouble] = attempt.troubles
        assert (trouble.host, trouble.stage) == ("mx1.example.com", "greeting")

    run(test)


@pytest.mark.parametrize("hello", ["554 5.7.1 not you", "421 4.3.2 too busy"])
def test_a_host_that_does_not_like_our_hello_is_passed_by(run: Run, hello: str) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(says={"EHLO": hello, "HELO": hello}))
        second = await street.open(3, Host())
        assert fates(await street.attempt("ann@example.com")) == [RELAYED]
        assert len(second.taken) == 1

    run(test)


@pytest.mark.parametrize("greeting", ["421 4.3.2 too busy", "554 5.7.1 not you", "521 5.3.2 no mail here"])
def test_mail_is_kept_where_no_host_wants_us(run: Run, greeting: str) -> None:
    async def test(street: Street) -> None:
        for number in (2, 3):
            await street.open(number, Host(says={"GREETING": greeting}))
        attempt = await street.attempt("ann@example.com")
        outcome = the_one(attempt)
        assert outcome.fate.value == DEFERRED
        assert outcome.status.klass == 4
        assert outcome.is_remote
        assert outcome.host is not None and outcome.host.name == "mx2.example.com"
        assert attempt.is_dead
        assert len(attempt.troubles) == 2

    run(test)


def test_where_nobody_answers_the_destination_is_dead(run: Run) -> None:
    async def test(street: Street) -> None:
        attempt = await street.attempt("ann@example.com")
        assert attempt.is_dead
        outcome = the_one(attempt)
        assert (outcome.fate.value, str(outcome.status), outcome.stage) == (DEFERRED, "4.4.1", "connect")
        assert [each.host for each in attempt.troubles] == ["mx1.example.com", "mx2.example.com"]

    run(test)


def test_an_address_that_did_not_answer_is_tried_after_the_others_for_a_while(run: Run) -> None:
    async def test(street: Street) -> None:
        second = await street.open(3, Host())
        assert len((await street.attempt("ann@example.com")).troubles) == 1
        first = await street.open(2, Host())
        assert (await street.attempt("ann@example.com")).troubles == []
        assert (first.connections, len(second.taken)) == (0, 2)
        street.now += 301
        assert fates(await street.attempt("ann@example.com")) == [RELAYED]
        assert len(first.taken) == 1

    run(test)


def test_all_addresses_are_tried_though_none_answered_lately(run: Run) -> None:
    async def test(street: Street) -> None:
        assert (await street.attempt("ann@example.com")).is_dead
        first = await street.open(2, Host())
        assert fates(await street.attempt("ann@example.com")) == [RELAYED]
        assert len(first.taken) == 1

    run(test)


def test_a_host_that_breaks_off_before_a_word_about_the_message_is_as_good_as_dead(run: Run) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(*OLD, says={"MAIL": DROP}))
        attempt = await street.attempt("ann@example.com")
        outcome = the_one(attempt)
        assert attempt.is_dead
        assert (outcome.fate.value, str(outcome.status), outcome.stage) == (DEFERRED, "4.4.2", "MAIL")

    run(test, ONE)


@pytest.mark.parametrize("verb", ["RCPT", "DATA"])
def test_a_host_that_breaks_off_later_is_alive_and_the_next_one_is_asked(run: Run, verb: str) -> None:
    async def test(street: Street) -> None:
        first = await street.open(2, Host("8BITMIME", says={verb: DROP}))
        attempt = await street.attempt("ann@example.com")
        assert fates(attempt) == [DEFERRED]
        assert not attempt.is_dead
        second = await street.open(3, Host())
        assert fates(await street.attempt("ann@example.com")) == [RELAYED]
        assert (first.connections, len(second.taken)) == (2, 1)

    run(test)


@pytest.mark.rfc("5321 §4.5.3.2", "The relay leaves a silent host after the time of the settings, and asks the next.")
def test_a_host_that_falls_silent_costs_its_time_and_the_next_one_is_asked(run: Run) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(says={"GREETING": HANG}))
        second = await street.open(3, Host())
        attempt = await street.attempt("ann@example.com")
        assert fates(attempt) == [RELAYED]
        assert len(second.taken) == 1
        assert "did not answer in time" in str(attempt.troubles[0].reply)

    run(test, reply_after=0.2)


# Each recipient for himself.


def test_each_recipient_has_a_result_of_his_own(run: Run) -> None:
    async def test(street: Street) -> None:
        says: dict[str, str | list[str]] = {"RCPT ben": "550 5.1.1 nobody", "RCPT cat": "450 4.2.0 greylisted"}
        first = await street.open(2, Host(says=says))
        second = await street.open(3, Host(says={"RCPT cat": "451 4.7.1 not now"}))
        attempt = await street.attempt("ann@example.com", "ben@example.com", "cat@example.com")
        assert fates(attempt) == [RELAYED, FAILED, DEFERRED]
        # Only whom the first put off is offered to the second, and its word is the last.
        assert [each for each in second.heard if each.startswith("RCPT")] == ["RCPT TO:<cat@example.com>"]
        assert str(attempt.outcomes[2].reply) == "451 4.7.1 not now"
        assert [str(each.reply) for each in attempt.troubles] == ["450 4.2.0 greylisted"]
        assert len(first.taken) == 1

    run(test)


@pytest.mark.rfc("5321 §4.5.3.1.10", "The relay offers recipients that got 452 as too many in another transaction.")
def test_recipients_that_were_too_many_are_offered_again_at_once(run: Run) -> None:
    async def test(street: Street) -> None:
        class Narrow(Host):
            def _reply(self, verb: str, argument: str, usual: str) -> str:
                if verb == "MAIL":
                    self.count = 0
                if verb == "RCPT":
                    self.count += 1
                    if self.count > 2:
                        return "452 4.5.3 too many recipients"
                return super()._reply(verb, argument, usual)

        host = await street.open(2, Narrow())
        attempt = await street.attempt(*(f"u{number}@example.com" for number in range(5)))
        assert fates(attempt) == [RELAYED] * 5
        assert host.connections == 1
        assert [len(each.recipients) for each in host.taken] == [2, 2, 1]

    run(test, ONE)


def test_a_full_mailbox_is_not_one_recipient_too_many(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(says={"RCPT ben": "552 5.2.2 mailbox full", "RCPT cat": "452 4.2.2 full"}))
        attempt = await street.attempt("ann@example.com", "ben@example.com", "cat@example.com")
        assert fates(attempt) == [RELAYED, FAILED, DEFERRED]
        assert host.verbs.count("MAIL") == 1

    run(test, ONE)


def test_a_host_that_never_has_room_for_all_is_not_asked_for_ever(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(says={"RCPT ben": "452 4.5.3 too many"}))
        assert fates(await street.attempt("ann@example.com", "ben@example.com")) == [RELAYED, DEFERRED]
        assert host.verbs.count("MAIL") == 2

    run(test, ONE)


@pytest.mark.rfc("2033 §3", "What LMTP took is delivered, recipient by recipient.")
def test_lmtp_gives_each_recipient_a_reply_after_the_content(run: Run) -> None:
    office = GatewaySettings("office", GatewayKind.LMTP, host="127.0.0.2", tls=GatewayTls.NONE)

    async def test(street: Street) -> None:
        host = await street.open(2, Host(lmtp=True, says={"CONTENT ben": "552 5.2.2 full", "CONTENT cat": "451 no"}))
        attempt = await street.attempt(
            "ann@example.com", "ben@example.com", "cat@example.com", destination="gateway:office"
        )
        assert fates(attempt) == [DELIVERED, FAILED, DEFERRED]
        assert "LHLO" in host.verbs

    run(test, gateways=[office])


# Connections.


def test_a_connection_is_kept_for_the_next_message(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        for _ in range(3):
            assert fates(await street.attempt("ann@example.com")) == [RELAYED]
        assert host.connections == 1
        assert len(host.taken) == 3

    run(test, ONE)


@pytest.mark.rfc("5321 §4.5.4.2", "Several messages for one host go over one connection.")
def test_domains_that_share_a_host_share_its_connections(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        await street.attempt("ann@example.com")
        await street.attempt("ben@example.net")
        assert (host.connections, len(host.taken)) == (1, 2)

    run(test, ONE + "example.net. MX 5 mx.example.com.\n")


def test_a_connection_is_not_shared_where_more_is_demanded(run: Run, issued: Issued) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(tls=server_tls(issued)))
        assert the_one(await street.attempt("ann@example.com")).host.tls.endswith("not verified")  # type: ignore[union-attr]
        attempt = await street.attempt("ben@strict.example")
        assert the_one(attempt).host.tls.endswith("by an authority, for mx.example.com")  # type: ignore[union-attr]
        assert (host.connections, len(host.taken)) == (2, 2)
        # Each is used again for its like.
        await street.attempt("ann@example.com")
        await street.attempt("ben@strict.example")
        assert host.connections == 2

    zone = ONE + "strict.example. MX 5 mx.example.com.\n"
    rules = [TlsRule("strict.example", TlsLevel.VERIFY)]
    run(test, zone, rules=rules, authority=issued.authority)


def test_a_kept_connection_that_the_host_has_ended_is_replaced(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        await street.attempt("ann@example.com")
        await host.hang_up()
        attempt = await street.attempt("ann@example.com")
        assert fates(attempt) == [RELAYED]
        assert attempt.troubles == []
        assert host.connections == 2

    run(test, ONE)


@pytest.mark.parametrize("extensions", [MODERN, OLD, ("8BITMIME",)])
@pytest.mark.parametrize("last_words", [b"", b"421 4.3.2 one message is enough\r\n"])
def test_a_host_that_closes_after_each_message_gets_all_at_once(
    run: Run, extensions: tuple[str, ...], last_words: bytes
) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*extensions))
        host.closes_after, host.last_words = 1, last_words
        for _ in range(10):
            attempt = await street.attempt("ann@example.com")
            assert fates(attempt) == [RELAYED]
            assert not attempt.is_dead
        assert len(host.taken) == host.connections == 10

    run(test, ONE)


@pytest.mark.parametrize("reply", ["421 4.7.0 too many messages", DROP])
@pytest.mark.parametrize("extensions", [MODERN, ("8BITMIME",)])
def test_a_host_that_ends_a_kept_connection_at_the_next_message_is_connected_anew(
    run: Run, extensions: tuple[str, ...], reply: str
) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(*extensions, says={"MAIL": ["250 fine", reply, "250 fine"]}))
        await street.attempt("ann@example.com")
        attempt = await street.attempt("ann@example.com")
        assert fates(attempt) == [RELAYED]
        assert (host.connections, len(host.taken)) == (2, 2)

    run(test, ONE)


def test_a_421_on_a_new_connection_is_a_reply(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(says={"MAIL": "421 4.7.0 too many messages"}))
        attempt = await street.attempt("ann@example.com")
        assert fates(attempt) == [DEFERRED]
        assert str(the_one(attempt).reply) == "421 4.7.0 too many messages"
        assert host.connections == 1

    run(test, ONE)


def test_a_connection_ends_after_so_many_messages(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        for _ in range(4):
            await street.attempt("ann@example.com")
        assert host.connections == 2

    run(test, ONE, messages=2)


# Uncertainty.


@pytest.mark.rfc("5321 §4.5.3.2.6", "A connection lost after the final dot is recorded, and no other host is asked.")
@pytest.mark.parametrize("extensions", [MODERN, OLD])
def test_a_connection_lost_after_the_final_dot_is_recorded_and_no_other_host_is_asked(
    run: Run, extensions: tuple[str, ...]
) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(*extensions, says={"CONTENT": DROP}))
        second = await street.open(3, Host())
        attempt = await street.attempt("ann@example.com", "ben@example.com")
        assert fates(attempt) == [DEFERRED, DEFERRED]
        outcome = attempt.outcomes[0]
        assert (outcome.stage, str(outcome.status), outcome.is_remote) == ("content", "4.4.2", False)
        assert "the host may have the message" in str(outcome.reply)
        assert second.connections == 0
        assert not attempt.is_dead

    run(test)


def test_that_a_host_may_have_the_message_goes_before_what_another_said(run: Run) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(says={"RCPT": "450 4.2.0 greylisted"}))
        await street.open(3, Host(says={"CONTENT": DROP}))
        attempt = await street.attempt("ann@example.com")
        assert "the host may have the message" in str(the_one(attempt).reply)

    run(test)


def test_who_was_refused_before_keeps_his_reply_when_the_connection_is_lost(run: Run) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(*OLD, says={"RCPT ben": "550 5.1.1 nobody", "CONTENT": DROP}))
        attempt = await street.attempt("ann@example.com", "ben@example.com")
        assert fates(attempt) == [DEFERRED, FAILED]

    run(test, ONE)


# What a host cannot take.


EIGHT_BIT = "From: ana@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n" + (
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nmañana\r\n"
)


@pytest.mark.rfc("6152 §3", "The relay converts 8-bit mail for a host of 7 bits.")
def test_mail_of_8_bits_is_converted_for_a_host_of_7(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host("PIPELINING", "SIZE 1000000"))
        attempt = await street.attempt("ann@example.com", content=EIGHT_BIT.encode(), body="8BITMIME")
        assert fates(attempt) == [RELAYED]
        [taken] = host.taken
        assert b"Content-Transfer-Encoding: quoted-printable" in taken.content
        assert b"ma=C3=B1ana" in taken.content
        assert "BODY" not in taken.mail
        assert f"SIZE={len(taken.content)}" in taken.mail

    run(test, ONE)


def test_mail_of_7_bits_that_was_said_to_have_8_goes_as_it_is(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host("PIPELINING"))
        assert fates(await street.attempt("ann@example.com", body="8BITMIME")) == [RELAYED]
        assert host.taken[0].content == CONTENT

    run(test, ONE)


def test_mail_that_cannot_be_made_7_bits_fails_where_no_host_takes_8(run: Run) -> None:
    content = b"From: a\r\nContent-Type: multipart/mixed\r\n\r\n\xf1\r\n"

    async def test(street: Street) -> None:
        await street.open(2, Host("PIPELINING"))
        attempt = await street.attempt("ann@example.com", content=content, body="8BITMIME")
        outcome = the_one(attempt)
        assert (outcome.fate.value, str(outcome.status)) == (FAILED, "5.6.3")

    run(test, ONE)


def test_mail_that_cannot_be_made_7_bits_waits_for_a_host_that_may_take_8(run: Run) -> None:
    content = b"From: a\r\nContent-Type: multipart/mixed\r\n\r\n\xf1\r\n"

    async def test(street: Street) -> None:
        await street.open(2, Host("PIPELINING"))
        assert fates(await street.attempt("ann@example.com", content=content, body="8BITMIME")) == [DEFERRED]
        second = await street.open(3, Host())
        assert fates(await street.attempt("ann@example.com", content=content, body="8BITMIME")) == [RELAYED]
        assert len(second.taken) == 1

    run(test)


def test_international_mail_fails_for_whom_no_host_takes_it_and_goes_to_the_others(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host("PIPELINING", "8BITMIME"))
        attempt = await street.attempt("ann@example.com", "пошта@example.com")
        assert fates(attempt) == [RELAYED, FAILED]
        assert str(attempt.outcomes[1].status) == "5.6.7"
        assert host.taken[0].recipients == ["TO:<ann@example.com>"]

    run(test, ONE)


def test_international_mail_goes_to_the_host_that_takes_it(run: Run) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host("PIPELINING", "8BITMIME"))
        second = await street.open(3, Host())
        attempt = await street.attempt("пошта@example.com", smtputf8=True)
        assert fates(attempt) == [RELAYED]
        assert "SMTPUTF8" in second.taken[0].mail

    run(test)


def test_a_message_larger_than_the_host_takes_is_not_sent(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host("PIPELINING", "SIZE 20"))
        second = await street.open(3, Host())
        attempt = await street.attempt("ann@example.com")
        outcome = the_one(attempt)
        assert (outcome.fate.value, str(outcome.status), outcome.is_remote) == (FAILED, "5.3.4", False)
        assert "MAIL" not in host.verbs
        assert second.connections == 0

    run(test)


def test_what_the_sender_asked_for_goes_along(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        await street.attempt("ann@example.com", envid="x7", ret=Ret.HDRS)
        assert "ENVID=x7" in host.taken[0].mail and "RET=HDRS" in host.taken[0].mail

    run(test, ONE)


# TLS.


def test_tls_is_used_where_it_is_offered(run: Run, issued: Issued) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(tls=server_tls(issued)))
        outcome = the_one(await street.attempt("ann@example.com"))
        assert outcome.host is not None
        assert outcome.host.tls.startswith("TLSv1.3 ")
        assert outcome.host.tls.endswith(", not verified")

    run(test, ONE)


@pytest.mark.rfc("7435", "A host that cannot do the TLS it offers gets mail in the clear.")
@pytest.mark.parametrize("reply", ["220 and nonsense", "220 and gone", DROP, HANG, "454 4.7.0 not now"])
def test_a_host_that_cannot_do_the_tls_it_offers_gets_mail_in_the_clear(run: Run, issued: Issued, reply: str) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(tls=server_tls(issued), says={"STARTTLS": reply}))
        attempt = await street.attempt("ann@example.com")
        assert fates(attempt) == [RELAYED]
        assert the_one(attempt).host == HostFacts("mx.example.com", f"127.0.0.2:{street.port}")
        assert len(host.taken) == 1
        # That it could not is a trouble that is told of, unless it said so itself.
        assert [each.stage for each in attempt.troubles] == ([] if reply.startswith("454") else ["TLS"])

    run(test, ONE, reply_after=0.5)


def test_a_host_without_tls_gets_nothing_where_it_is_demanded(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host())
        attempt = await street.attempt("ann@example.com")
        outcome = the_one(attempt)
        assert (outcome.fate.value, str(outcome.status), outcome.stage) == (DEFERRED, "4.7.4", "STARTTLS")
        assert "MAIL" not in host.verbs

    run(test, ONE, rules=[TlsRule("*", TlsLevel.MUST)])


def test_a_wrong_certificate_gets_nothing_where_it_is_to_be_verified(run: Run, issued: Issued) -> None:
    async def test(street: Street) -> None:
        first = await street.open(2, Host(tls=server_tls(issued)))
        second = await street.open(3, Host(tls=server_tls(issued)))
        attempt = await street.attempt("ann@example.com")
        # The second host's name is not in the certificate, the first one's is.
        assert fates(attempt) == [RELAYED]
        assert (len(first.taken), second.connections) == (1, 0)
        await first.hang_up()
        first.says["GREETING"] = "421 4.3.2 not now"
        attempt = await street.attempt("ann@example.com")
        outcome = the_one(attempt)
        assert (outcome.fate.value, str(outcome.status), outcome.stage) == (DEFERRED, "4.7.5", "TLS")
        assert "MAIL" not in second.verbs

    run(test, rules=[TlsRule("*", TlsLevel.VERIFY)], authority=issued.authority, keep_for=0.0)


def test_a_message_that_demands_tls_says_nothing_of_its_destination(run: Run) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host())
        attempt = await street.attempt("ann@example.com", requires_tls=True)
        assert fates(attempt) == [DEFERRED]
        assert attempt.tells_nothing
        # A notification of such a message goes as it can.
        attempt = await street.attempt("ann@example.com", requires_tls=True, reverse_path=NULL_REVERSE_PATH)
        assert fates(attempt) == [RELAYED]

    run(test, ONE, authentic=True)


@pytest.mark.rfc("8689 §4.2.1", "A message that requires TLS fails where no host announces REQUIRETLS.")
def test_a_message_that_needs_requiretls_fails_where_no_host_has_it(run: Run, issued: Issued) -> None:
    async def test(street: Street) -> None:
        await street.open(2, Host(tls=server_tls(issued)))
        attempt = await street.attempt("ann@example.com", requires_tls=True)
        outcome = the_one(attempt)
        assert (outcome.fate.value, str(outcome.status)) == (FAILED, "5.7.30")

    run(test, ONE, authentic=True, authority=issued.authority)


# Gateways.


def smarthost(password: Path, **more: Any) -> GatewaySettings:
    return GatewaySettings("smart", GatewayKind.SMTP, host="127.0.0.2", username="us", password_file=password, **more)


def test_a_smarthost_is_logged_in_at(run: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")

    async def test(street: Street) -> None:
        host = await street.open(2, Host(*MODERN, "AUTH PLAIN"))
        for _ in range(2):
            assert fates(await street.attempt("ann@example.com", destination="gateway:smart")) == [RELAYED]
        assert host.verbs.count("AUTH") == 1

    run(test, gateways=[smarthost(tmp_path / "password", tls=GatewayTls.NONE)])


@pytest.mark.parametrize(
    ("written", "extensions", "says"),
    [
        ("wrong\n", ("AUTH PLAIN",), {"AUTH": "535 5.7.8 wrong password"}),
        ("secret\n", (), {}),
        ("", ("AUTH PLAIN",), {}),
        (None, ("AUTH PLAIN",), {}),
        (b"\xff", ("AUTH PLAIN",), {}),
    ],
)
def test_a_login_that_fails_keeps_the_mail(
    run: Run, tmp_path: Path, written: str | bytes | None, extensions: tuple[str, ...], says: dict[str, Any]
) -> None:
    if written is not None:
        (tmp_path / "password").write_bytes(written if isinstance(written, bytes) else written.encode())

    async def test(street: Street) -> None:
        host = await street.open(2, Host(*MODERN, *extensions, says=says))
        attempt = await street.attempt("ann@example.com", destination="gateway:smart")
        outcome = the_one(attempt)
        assert (outcome.fate.value, outcome.stage, outcome.status) == (DEFERRED, "AUTH", EnhancedStatusCode(4, 7, 8))
        assert attempt.is_dead
        assert "MAIL" not in host.verbs
        assert "secret" not in str(outcome.reply)

    run(test, gateways=[smarthost(tmp_path / "password", tls=GatewayTls.NONE)])


def test_a_gateway_can_speak_tls_from_the_first_octet(run: Run, issued: Issued) -> None:
    smart = GatewaySettings("smart", GatewayKind.SMTP, host="mx.example.com", tls=GatewayTls.IMPLICIT, port=0)

    async def test(street: Street) -> None:
        host = await street.open(2, Host(), tls=server_tls(issued))
        attempt = await street.attempt("ann@example.com", destination="gateway:smart")
        assert fates(attempt) == [RELAYED]
        assert the_one(attempt).host.tls.endswith("by an authority, for mx.example.com")  # type: ignore[union-attr]
        assert len(host.taken) == 1

    run(test, ONE, gateways=[smart], authority=issued.authority)


# Roles turned.


def test_mail_goes_over_a_connection_that_is_there(run: Run) -> None:
    async def test(street: Street) -> None:
        host = await street.open(2, Host(says={"RCPT ben": "550 5.1.1 nobody"}))
        client = await SmtpClient.connect("127.0.0.2", street.port, local_name="mx.example.org", tls=TlsMode.NONE)
        facts = HostFacts("customer.example", "127.0.0.2:366")
        job = street.job("ann@example.com", "ben@example.com")
        attempt = await street.relay.over(client, facts, job, CONTENT)
        assert fates(attempt) == [RELAYED, FAILED]
        assert not attempt.is_dead
        await host.hang_up()
        attempt = await street.relay.over(client, facts, street.job("ann@example.com"), CONTENT)
        assert fates(attempt) == [DEFERRED]
        assert attempt.is_dead
        await client.quit()

    run(test)
