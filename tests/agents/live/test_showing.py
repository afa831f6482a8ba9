"""SEND, SOML and SAML as their users see them: on screens, in mailboxes, and never nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agents.live.accounting import LoggedIn

from estafeta.agents.live.screens import Screens
from estafeta.agents.live.settings import LiveSettings, Senders
from estafeta.config.settings import ListenerKind
from estafeta.mail.address import Address
from estafeta.mail.screen import Screenful
from estafeta.store import accounts, aliases, journal, lists
from estafeta.store.store import Transaction

ANA, LUIS = Address("ana", "example.org"), Address("luis", "example.org")
ON = LiveSettings(enabled=True)
FOR_ANYONE = LiveSettings(enabled=True, senders=Senders.ANYONE)
VERBS = pytest.mark.parametrize("verb", ["SEND", "SOML", "SAML"])
TEXT = b"Subject: lunch\r\n\r\nHola, \xc2\xbfcomemos?\r\n"

With = Callable[..., None]


@pytest.fixture
def live(run: Any) -> With:
    """Run a test with messages to screens on; keywords are as those of `run`."""

    def run_it(test: Any, settings: LiveSettings = ON, **more: Any) -> None:
        run(test, settings={"live": settings} | more.pop("settings", {}), **more)

    return run_it


class Reader:
    """A session of an account that shows what comes, as long as it is attached."""

    def __init__(self, office: Any, account: Address = ANA, name: str = "imap 192.0.2.1:4000") -> None:
        self.seen: list[Screenful] = []
        self.takes = True
        self.detach = office.office.screens.attach(account, name, self._show)

    def _show(self, message: Screenful) -> bool:
        if self.takes:
            self.seen.append(message)
        return self.takes


async def send(
    client: Any, verb: str, *forward_paths: str, content: bytes = TEXT, reverse: str = "luis@example.org"
) -> str:
    """A whole transaction; gives the first reply that is not positive, or the last."""
    for line in (f"{verb} FROM:<{reverse}>", *(f"RCPT TO:<{path}>" for path in forward_paths), "DATA"):
        reply: str = await client.say(line)
        if reply[0] not in "23":
            return reply
    return str(await client.say(content + b"."))


async def facts(office: Any, key: str = "ana@example.org") -> dict[str, Any]:
    """The newest row of the journal about an address."""
    return dict((await office.journal(key))[0].facts)


def make_list(tx: Transaction) -> None:
    """A list with Ana on it."""
    post = Address("post", "example.org")
    aliases.add(tx, post, [ANA])
    lists.set_owner(tx, post, LUIS)


# Off, and for whom.


@VERBS
@pytest.mark.rfc("5321 appendix F.6", "The verbs are off by default, then neither announced nor known.")
def test_it_is_off_unless_the_operator_says_so(run: Any, verb: str) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter()
        assert (await client.say(f"{verb} FROM:<ana@example.org>")).startswith("502 ")
        assert verb not in await client.say("EHLO client.example.net")

    run(test)


@VERBS
def test_where_it_is_on_it_is_announced_to_smtp_and_submission_but_not_to_lmtp(live: With, verb: str) -> None:
    async def test(office: Any) -> None:
        for kind in (ListenerKind.SMTP, ListenerKind.SUBMISSION):
            client = await office.client(kind, tls=True)
            assert verb in [line[4:] for line in (await client.say("EHLO client.example.net")).split("\n")]
        client = await office.client(ListenerKind.LMTP)
        assert verb not in await client.say("LHLO client.example.net")
        assert (await client.say(f"{verb} FROM:<ana@example.org>")).startswith("502 ")

    live(test)


@VERBS
def test_strangers_may_not_unless_anyone_may(live: With, verb: str) -> None:
    async def test(office: Any) -> None:
        client = await office.client()
        assert (await client.say(f"{verb} FROM:<a@example.net>")).startswith("530 5.7.0 ")
        assert (await client.say("MAIL FROM:<a@example.net>")).startswith("250 ")

    live(test)


def test_what_anyone_sends_is_shown_with_the_address_it_came_from(live: With) -> None:
    async def test(office: Any) -> None:
        reader, client = Reader(office), await office.client()
        assert (await send(client, "SEND", "ana@example.org", reverse="a@example.net")).startswith("250 ")
        assert reader.seen[0].heading.startswith("Message from a@example.net by way of 127.0.0.1 at ")

    live(test, FOR_ANYONE)


def test_users_send_to_screens_as_themselves(live: With) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter("luis@example.org")
        assert (await client.say("SEND FROM:<ana@example.org>")).startswith("550 5.7.1 ")
        reader = Reader(office)
        assert (await send(client, "SEND", "ana@example.org", reverse="")).startswith("250 ")
        assert reader.seen[0].heading.startswith("Message from luis@example.org at ")

    live(test)


# SEND.


@pytest.mark.rfc("821 §3.4", "SEND: the message appears on the screen, and in no mailbox.")
def test_send_is_shown_and_not_kept(live: With) -> None:
    async def test(office: Any) -> None:
        reader, client = Reader(office), await office.submitter("luis@example.org")
        assert (await send(client, "SEND", "ana@example.org")).startswith("250 ")
        [message] = reader.seen
        assert message.heading.startswith("Message from luis@example.org at ") and message.is_whole
        assert message.lines == ("Subject: lunch", "Hola, ¿comemos?")
        assert await office.mailbox("ana@example.org") == [] and await office.queued() == []
        told = await facts(office)
        assert told["opening"] == "SEND" and told["ended"] == "accepted"
        assert told["shown"] == [{"account": "ana@example.org", "on": "imap 192.0.2.1:4000"}]

    live(test)


@pytest.mark.rfc("821 §3.4", "SEND: a recipient who is not active is answered with 450 at RCPT.")
def test_send_to_who_is_not_there_is_450(live: With) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter("luis@example.org")
        assert await client.say_all("SEND FROM:<luis@example.org>", "RCPT TO:<ana@example.org>") == [250, 450]
        reader = Reader(office)
        assert await client.say_all("RCPT TO:<ana@example.org>") == [250]
        reader.detach()
        reader.detach()
        assert await client.say_all("RCPT TO:<ana@example.org>") == [450]
        [decision, _] = (await _after_rset(office, client))["decisions"]
        assert (decision["reason"], decision["reply"]) == ("not-active", "450 4.2.1 recipient is not active now")

    live(test)


async def _after_rset(office: Any, client: Any) -> dict[str, Any]:
    await client.say("RSET")
    return await facts(office)


@pytest.mark.rfc("1123 §5.2.4", "SEND: a recipient whose screen is elsewhere is refused instead of mailed.")
@pytest.mark.parametrize("path", ["far@example.net", "mixed@example.org", "post@example.org"])
def test_send_does_not_go_elsewhere(live: With, path: str) -> None:
    async def test(office: Any) -> None:
        def add(tx: Transaction) -> None:
            aliases.add(tx, Address("mixed", "example.org"), [ANA, Address("far", "example.net")])
            make_list(tx)

        await office.change(add)
        Reader(office)
        client = await office.submitter("luis@example.org")
        reply = await send(client, "SEND", path)
        assert reply.startswith("550 5.3.3 ")

    live(test)


def test_send_to_an_alias_is_shown_to_whoever_is_there(live: With) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter("luis@example.org")
        assert (await send(client, "SEND", "team@example.org")).startswith("450 ")
        await client.say("RSET")
        reader = Reader(office)
        assert (await send(client, "SEND", "team@example.org")).startswith("250 ")
        assert len(reader.seen) == 1
        assert await office.mailbox("luis@example.org") == []

    live(test)


def test_send_when_all_have_gone_is_450_at_the_end(live: With) -> None:
    async def test(office: Any) -> None:
        reader, client = Reader(office), await office.submitter("luis@example.org")
        reader.takes = False
        assert (await send(client, "SEND", "ana@example.org")).startswith("450 4.2.1 ")
        assert await office.mailbox("ana@example.org") == []
        assert (await facts(office, "luis@example.org"))["decisions"][-1]["reason"] == "not-active"

    live(test)


def test_the_sender_hears_of_who_went_away_while_another_was_shown_it(live: With) -> None:
    async def test(office: Any) -> None:
        reader, gone = Reader(office), Reader(office, LUIS)
        gone.takes = False
        client = await office.submitter("ana@example.org")
        paths = ("ana@example.org", "luis@example.org")
        assert (await send(client, "SEND", *paths, reverse="ana@example.org")).startswith("250 ")
        assert len(reader.seen) == 1 and await office.mailbox("luis@example.org") == []
        [notice] = await office.mailbox("ana@example.org")
        assert b"Final-Recipient: rfc822; luis@example.org" in notice or b"rfc822;luis@example.org" in notice
        assert b"Action: failed" in notice and b"Status: 5.2.1" in notice

    live(test)


@pytest.mark.parametrize(
    "content",
    [
        b"\r\n" + b"one line more\r\n" * 21,
        b"Content-Type: text/html\r\n\r\n<p>hola\r\n",
        b"\r\n" + b"x" * (20 * 132 + 1) + b"\r\n",
    ],
)
def test_send_of_what_does_not_fit_on_a_screen_is_552(live: With, content: bytes) -> None:
    async def test(office: Any) -> None:
        reader, client = Reader(office), await office.submitter("luis@example.org")
        assert (await send(client, "SEND", "ana@example.org", content=content)).startswith("552 5.3.4 ")
        assert reader.seen == []

    live(test)


# SOML.


@pytest.mark.rfc("821 §3.4", "SOML: to the screen of who is active, to the mailbox of who is not.")
def test_soml_goes_to_the_screen_or_else_to_the_mailbox(live: With) -> None:
    async def test(office: Any) -> None:
        reader, client = Reader(office), await office.submitter("luis@example.org")
        assert (await send(client, "SOML", "ana@example.org", "luis@example.org")).startswith("250 ")
        assert len(reader.seen) == 1 and await office.mailbox("ana@example.org") == []
        [kept] = await office.mailbox("luis@example.org")
        assert kept.endswith(TEXT)
        reader.takes = False
        assert (await send(client, "SOML", "team@example.org")).startswith("250 ")
        assert len(await office.mailbox("ana@example.org")) == 1
        assert (await facts(office, "team@example.org"))["shown"] == []

    live(test)


def test_soml_goes_on_to_other_hosts_as_mail(live: With) -> None:
    async def test(office: Any) -> None:
        client = await office.submitter("luis@example.org")
        assert (await send(client, "SOML", "far@example.net")).startswith("250 ")
        assert [str(each.forward_path) for each in await office.queued()] == ["far@example.net"]

    live(test)


def test_soml_that_does_not_fit_is_begun_on_the_screen_and_whole_in_the_mailbox(live: With) -> None:
    async def test(office: Any) -> None:
        reader, client = Reader(office), await office.submitter("luis@example.org")
        content = b"\r\n" + b"line\r\n" * 21
        assert (await send(client, "SOML", "ana@example.org", content=content)).startswith("250 ")
        assert len(reader.seen[0].lines) == 20 and not reader.seen[0].is_whole
        assert (await office.mailbox("ana@example.org"))[0].endswith(content)

    live(test)


def test_the_post_of_a_list_is_mail(live: With) -> None:
    async def test(office: Any) -> None:
        await office.change(make_list)
        reader, client = Reader(office), await office.submitter("luis@example.org")
        assert (await send(client, "SOML", "post@example.org")).startswith("250 ")
        assert reader.seen == [] and len(await office.mailbox("ana@example.org")) == 1

    live(test)


def test_what_was_shown_and_not_accepted_is_sent_again_and_not_lost(live: With) -> None:
    async def test(office: Any) -> None:
        await office.change(lambda tx: accounts.set_quota(tx, LUIS, quota_octets=10, quota_messages=None))
        reader, client = Reader(office), await office.submitter("ana@example.org")
        paths = ("ana@example.org", "luis@example.org")
        assert (await send(client, "SOML", *paths, reverse="ana@example.org")).startswith("452 ")
        assert [len(await office.mailbox(path)) for path in paths] == [0, 0]
        reader.takes = False
        assert (await send(client, "SOML", "ana@example.org", reverse="ana@example.org")).startswith("250 ")
        assert len(reader.seen) == 1 and len(await office.mailbox("ana@example.org")) == 1

    live(test)


@pytest.mark.rfc("3461 §6.2", "Who asked with NOTIFY=SUCCESS is told of a message that was shown.")
@VERBS
def test_a_sender_who_asks_for_it_is_told_of_the_delivery(live: With, verb: str) -> None:
    async def test(office: Any) -> None:
        Reader(office)
        client = await office.submitter("luis@example.org")
        assert await client.say_all(
            f"{verb} FROM:<luis@example.org>", "RCPT TO:<ana@example.org> NOTIFY=SUCCESS", "DATA"
        ) == [250, 250, 354]
        assert (await client.say(TEXT + b".")).startswith("250 ")
        [notice] = await office.mailbox("luis@example.org")
        assert b"Action: delivered" in notice

    live(test)


# SAML.


@pytest.mark.rfc("821 §3.4", "SAML: to the mailbox in any case, and to the screen of who is active.")
def test_saml_goes_to_both(live: With) -> None:
    async def test(office: Any) -> None:
        reader, client = Reader(office), await office.submitter("luis@example.org")
        assert (await send(client, "SAML", "team@example.org")).startswith("250 ")
        assert len(reader.seen) == 1
        assert [len(await office.mailbox(f"{name}@example.org")) for name in ("ana", "luis")] == [1, 1]
        accepted = (await office.journal("team@example.org"))[0]
        rows = await office.office.store.read(lambda tx: journal.by_message(tx, accepted.message_id))
        shown = rows[-1].facts
        assert [(each["forward_path"], each["fate"], each["reply"]) for each in shown["recipients"]] == [
            ("ana@example.org", "shown", "imap 192.0.2.1:4000"),
            ("luis@example.org", "not shown", "nobody is there"),
        ]

    live(test)


def test_saml_that_the_mailbox_has_no_room_for_is_not_shown(live: With) -> None:
    async def test(office: Any) -> None:
        await office.change(lambda tx: accounts.set_quota(tx, ANA, quota_octets=10, quota_messages=None))
        reader, client = Reader(office), await office.submitter("luis@example.org")
        assert (await send(client, "SAML", "ana@example.org")).startswith("452 ")
        assert reader.seen == []

    live(test)


# How often.


def test_a_sender_has_so_many_messages(live: With) -> None:
    async def test(office: Any) -> None:
        reader, client = Reader(office), await office.submitter("luis@example.org")
        replies = [await send(client, "SEND", "ana@example.org") for _ in range(3)]
        assert [reply[:9] for reply in replies] == ["250 2.0.0", "250 2.0.0", "451 4.7.0"]
        assert len(reader.seen) == 2
        other = await office.submitter("ana@example.org")
        assert (await send(other, "SEND", "ana@example.org", reverse="ana@example.org")).startswith("250 ")

    live(test, LiveSettings(enabled=True, sender_hourly=20))


def test_a_screen_takes_so_many_messages_and_the_mailbox_the_others(live: With) -> None:
    async def test(office: Any) -> None:
        reader, client = Reader(office), await office.submitter("luis@example.org")
        replies = [await send(client, "SOML", "ana@example.org") for _ in range(3)]
        assert {reply[:3] for reply in replies} == {"250"}
        assert len(reader.seen) == 2 and len(await office.mailbox("ana@example.org")) == 1
        assert (await send(client, "SEND", "ana@example.org")).startswith("450 ")

    live(test, LiveSettings(enabled=True, recipient_hourly=20))


# Terminals.


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[LoggedIn]:
    logged_in = LoggedIn(tmp_path)
    yield logged_in
    logged_in.hang_up()


@pytest.mark.parametrize(("domain", "is_there"), [("example.org", True), ("example.net", False), ("", False)])
def test_terminals_are_those_of_the_domain_that_the_operator_names(
    live: With, terminal: LoggedIn, domain: str, is_there: bool
) -> None:
    settings = LiveSettings(enabled=True, terminal_domain=domain)

    async def test(office: Any) -> None:
        screens = Screens(office.office.settings.data, settings, lambda: 1.0, terminal.terminals())
        office.office.screens = screens
        await office.office.reload(office.office.settings)
        client = await office.submitter("luis@example.org")
        reply = await send(client, "SEND", "ana@example.org", content=b"\r\n\x1b[2Jhola \xe2\x80\xae\r\n")
        assert reply.startswith("250 " if is_there else "450 ")
        seen = terminal.seen()
        if is_there:
            assert b"\x1b" not in seen and seen.endswith("\r\n| \ufffd[2Jhola \ufffd\r\n-- end\r\n".encode())
            assert (await facts(office))["shown"] == [{"account": "ana@example.org", "on": terminal.line}]
        else:
            assert seen == b""

    live(test, settings)


def test_a_reload_turns_it_off_for_new_sessions(live: With) -> None:
    async def test(office: Any) -> None:
        before = await office.submitter("luis@example.org")
        settings = office.office.settings
        await office.office.reload(settings.model_copy(update={"live": LiveSettings()}))
        after = await office.submitter("luis@example.org")
        assert (await after.say("SEND FROM:<luis@example.org>")).startswith("502 ")
        assert (await before.say("SEND FROM:<luis@example.org>")).startswith("250 ")

    live(test)
