"""All ends of a mail object: each mailbox and each address elsewhere once, under the envelope that is its own."""

from __future__ import annotations

from itertools import count
from typing import Any, cast

import pytest

from estafeta.agents.envelopes import Addressed, Addressing, Outward
from estafeta.agents.outbound.notifier import Notifier
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Body, Notify, OriginalRecipient, Recipient, Ret, Sender
from estafeta.mail.lists import Listed, list_fields
from estafeta.routing.routes import End, Expansion, Route, ToHost, ToMailbox, ToNowhere
from estafeta.store.ids import IdSource
from estafeta.store.records import HolderId, MailboxId, MessageId, QueuedMessage, QueuedRecipient

NOW = 1_700_000_000.0
SENDER = Sender(ReversePath(Address.parse("ana@elsewhere.example")))
TEAM = Address.parse("team@example.org")
LIST = Listed(Address.parse("news@example.org"), Address.parse("owner@example.org"))
FOREIGN = Listed(Address.parse("news@example.org"), Address.parse("owner@owner.example"))


class Room:
    """Has room for all destinations but one, and remembers who asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, QueuedMessage]] = []

    def room_for(self, destination: str, message: QueuedMessage) -> HolderId | None:
        self.asked.append((destination, message))
        return None if destination == "full.example" else HolderId(7)

    def accepted(self, recipients: object, content: object) -> None:
        raise AssertionError("nothing is accepted here")

    def adopt(self, recipients: object) -> None:
        raise AssertionError("nothing is adopted here")


def forward(reverse_path: ReversePath, address: Address) -> ReversePath:
    """As SRS does, in fewer letters."""
    if reverse_path.is_null:
        return reverse_path
    return ReversePath(Address(f"srs-{reverse_path.address}".replace("@", "="), address.domain))


def path(text: str) -> ForwardPath:
    return ForwardPath(Address.parse(text))


def elsewhere(text: str, destination: str = "", **more: Any) -> ToHost:
    return ToHost(destination or text.partition("@")[2], path(text), "", **more)


def mailbox(number: int, **more: Any) -> ToMailbox:
    return ToMailbox(MailboxId(number), Address.parse(f"u{number}@example.org"), "", **more)


def expansion(*ends: End) -> Expansion:
    return Expansion(TEAM, ends, "")


def to(text: str, notify: frozenset[Notify] | None = None, original: OriginalRecipient | None = None) -> Recipient:
    return Recipient(path(text), notify, original)


def addressed(
    *recipients: tuple[Recipient, Route],
    sender: Sender = SENDER,
    head: bytes = b"Subject: x\r\n\r\n",
    is_ours: bool = False,
    account: str | None = None,
    room: Room | None = None,
) -> Addressed:
    outward = Outward(forward, room or Room(), cast(Notifier, None), 14_400.0, 432_000.0)
    clock = count(1)
    made = Addressing(
        outward,
        IdSource(lambda: NOW + next(clock), worker=0),
        sender,
        message_id=MessageId(5),
        account=None if account is None else Address.parse(account),
        size=100,
        head=head,
        is_ours=is_ours,
        at=NOW,
    )
    for recipient, route in recipients:
        made.add(recipient, route)
    return made.ends()


def the_one(found: Addressed) -> QueuedRecipient:
    [queued] = found.queued
    return queued


def test_most_recipients_go_on_under_the_envelope_that_came() -> None:
    sender = Sender(
        SENDER.reverse_path, body=Body.EIGHT_BIT, smtputf8=True, ret=Ret.HDRS, envid="x7", requires_tls=True
    )
    found = addressed(
        (to("a@one.example"), elsewhere("a@one.example")),
        (to("b@two.example"), elsewhere("b@two.example")),
        sender=sender,
        account="ana@example.org",
    )
    assert [each.destination for each in found.queued] == ["one.example", "two.example"]
    [message] = {each.message for each in found.queued}
    assert (message.message_id, message.content_id, message.account) == (5, 5, "ana@example.org")
    assert (message.body, message.smtputf8, message.ret, message.envid) == ("8BITMIME", True, Ret.HDRS, "x7")
    assert message.requires_tls
    assert len({each.recipient_id for each in found.queued}) == 2
    assert not found.deliveries


def test_where_there_is_room_it_is_claimed_and_where_not_it_is_looked_at_in_time() -> None:
    room = Room()
    found = addressed(
        (to("a@one.example"), elsewhere("a@one.example")),
        (to("b@full.example"), elsewhere("b@full.example")),
        room=room,
    )
    assert [(each.holder, each.review_at, each.next_attempt_at) for each in found.queued] == [
        (7, None, NOW),
        (None, NOW + 14_400, NOW),
    ]
    assert [name for name, _ in room.asked] == ["one.example", "full.example"]
    assert room.asked[0][1] == found.queued[0].message


def test_what_waits_for_a_call_is_nobodys_and_not_due_before_its_end() -> None:
    room = Room()
    queued = the_one(addressed((to("a@c.example"), elsewhere("a@c.example", "on-demand:c.example")), room=room))
    assert (queued.holder, queued.next_attempt_at, queued.review_at) == (None, NOW + 432_000, NOW + 14_400)
    assert not room.asked


def test_each_address_elsewhere_and_each_mailbox_is_reached_once() -> None:
    found = addressed(
        (to("a@one.example"), elsewhere("a@one.example")),
        (to("team@example.org"), expansion(elsewhere("a@one.example", alias=TEAM), mailbox(1), mailbox(2))),
        (to("u1@example.org"), mailbox(1)),
    )
    assert the_one(found).forward_path == path("a@one.example")
    assert [each.mailbox_id for each in found.deliveries] == [1, 2]


def test_the_same_address_by_two_ways_is_reached_by_both() -> None:
    found = addressed(
        (to("a@one.example"), elsewhere("a@one.example")),
        (to("b@one.example"), elsewhere("a@one.example", "gateway:office")),
    )
    assert [each.destination for each in found.queued] == ["one.example", "gateway:office"]


def test_what_is_let_go_has_no_end() -> None:
    found = addressed((to("a@one.example"), ToNowhere("")), (to("team@example.org"), expansion(ToNowhere(""))))
    assert found == Addressed((), (), ())


# Aliases.


def test_a_strangers_mail_that_an_alias_forwards_has_a_reverse_path_of_ours() -> None:
    ends = (elsewhere("a@one.example", alias=TEAM), elsewhere("b@two.example", alias=TEAM))
    found = addressed((to("team@example.org"), expansion(*ends)), (to("c@one.example"), elsewhere("c@one.example")))
    first, second, direct = found.queued
    assert first.message is second.message
    assert str(first.message.reverse_path) == "srs-ana=elsewhere.example@example.org"
    assert first.message.content_id == 5 != first.message.message_id
    assert direct.message.message_id == 5
    assert direct.message.reverse_path == SENDER.reverse_path


@pytest.mark.parametrize(("sender", "is_ours"), [(SENDER, True), (Sender(NULL_REVERSE_PATH), False)])
def test_our_own_and_the_null_reverse_path_stay(sender: Sender, is_ours: bool) -> None:
    route = expansion(elsewhere("a@one.example", alias=TEAM))
    queued = the_one(addressed((to("team@example.org"), route), sender=sender, is_ours=is_ours))
    assert queued.message.message_id == 5
    assert queued.message.reverse_path == sender.reverse_path


@pytest.mark.rfc("3461 §4.2", "Behind an alias, ORCPT names the address that the sender knows.")
@pytest.mark.parametrize(
    ("asked", "original", "named"),
    [
        ("team@example.org", None, OriginalRecipient("rfc822", "team@example.org")),
        ("команда@example.org", None, OriginalRecipient("utf-8", "команда@example.org")),
        ("team@example.org", OriginalRecipient("x", "first"), OriginalRecipient("x", "first")),
    ],
)
def test_a_notification_will_name_the_address_that_the_sender_knows(
    asked: str, original: OriginalRecipient | None, named: OriginalRecipient
) -> None:
    route = expansion(elsewhere("a@one.example", alias=TEAM))
    assert the_one(addressed((to(asked, original=original), route))).original == named


def test_an_address_that_nothing_changed_needs_no_other_name() -> None:
    assert the_one(addressed((to("a@one.example"), elsewhere("a@one.example")))).original is None


@pytest.mark.rfc("3461 §5.2.7.2", "An alias with one end keeps what NOTIFY asked for.")
@pytest.mark.rfc("3461 §5.2.7.3", "Success of an alias with several ends is its expansion.")
@pytest.mark.parametrize(
    ("notify", "one", "several"),
    [
        ({Notify.SUCCESS}, {Notify.SUCCESS}, {Notify.NEVER}),
        ({Notify.SUCCESS, Notify.FAILURE}, {Notify.SUCCESS, Notify.FAILURE}, {Notify.FAILURE}),
        ({Notify.NEVER}, {Notify.NEVER}, {Notify.NEVER}),
    ],
)
def test_success_of_an_alias_with_several_members_is_its_expansion(
    notify: set[Notify], one: set[Notify], several: set[Notify]
) -> None:
    recipient = to("team@example.org", frozenset(notify))
    end = elsewhere("a@one.example", alias=TEAM)
    assert the_one(addressed((recipient, expansion(end)))).notify == frozenset(one)
    assert the_one(addressed((recipient, expansion(end, mailbox(1))))).notify == frozenset(several)


# Lists.


@pytest.mark.rfc("5321 §3.9.2", "A list's mail goes on in its owner's name.")
@pytest.mark.rfc("3461 §5.2.7.1", "A list's mail is the list's own, and so are its notifications.")
def test_a_lists_mail_goes_on_in_its_owners_name_with_the_fields_of_a_list() -> None:
    recipient = to("news@example.org", frozenset({Notify.NEVER}), OriginalRecipient("rfc822", "x"))
    ends = (elsewhere("a@one.example", listed=LIST), elsewhere("b@two.example", listed=LIST), mailbox(1, listed=LIST))
    sender = Sender(SENDER.reverse_path, envid="x7", ret=Ret.FULL)
    found = addressed((recipient, expansion(*ends)), sender=sender)
    first, second = found.queued
    assert first.message is second.message
    message = first.message
    assert str(message.reverse_path) == "owner@example.org"
    assert message.prefix == list_fields(LIST)
    assert message.size == 100 + len(message.prefix)
    # It is the list's message, and its notifications are the owner's.
    assert (message.envid, message.ret, first.notify, first.original) == (None, None, None, None)
    [delivery] = found.deliveries
    assert delivery.prefix == b"Return-Path: <owner@example.org>\r\n" + list_fields(LIST)


def test_an_owner_elsewhere_is_written_so_that_spf_holds() -> None:
    found = addressed((to("news@example.org"), expansion(elsewhere("a@one.example", listed=FOREIGN))))
    assert str(the_one(found).message.reverse_path) == "srs-owner=owner.example@example.org"


def test_a_notification_that_was_posted_to_a_list_causes_no_other() -> None:
    found = addressed(
        (to("news@example.org"), expansion(elsewhere("a@one.example", listed=LIST), mailbox(1, listed=LIST))),
        sender=Sender(NULL_REVERSE_PATH),
    )
    assert the_one(found).message.reverse_path.is_null
    assert found.deliveries[0].prefix.startswith(b"Return-Path: <>\r\n")


def test_a_post_that_comes_back_to_its_list_does_not_go_through_it_again() -> None:
    route = expansion(elsewhere("a@one.example", listed=LIST), mailbox(1, listed=LIST))
    head = list_fields(LIST) + b"Subject: x\r\n\r\n"
    assert addressed((to("news@example.org"), route), head=head) == Addressed((), (), (LIST.address,))


def test_a_list_and_an_alias_have_envelopes_of_their_own() -> None:
    found = addressed(
        (to("news@example.org"), expansion(elsewhere("a@one.example", listed=LIST))),
        (to("team@example.org"), expansion(elsewhere("b@one.example", alias=TEAM))),
        (to("c@one.example"), elsewhere("c@one.example")),
    )
    assert len({each.message.message_id for each in found.queued}) == 3
    assert {each.message.content_id for each in found.queued} == {5}
