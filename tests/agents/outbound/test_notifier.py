"""Who is told what of queued mail, and where the notification goes."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from estafeta.agents.draft import RoutedRecipient
from estafeta.agents.outbound.notifier import MAX_HEADER, Notices, NotificationSettings, Notifier
from estafeta.agents.outbound.outcome import HostFacts, Outcome
from estafeta.mail.address import NULL_REVERSE_PATH, Address, ForwardPath, ReversePath
from estafeta.mail.envelope import Body, Notify, OriginalRecipient, Recipient, Ret, Sender
from estafeta.mail.lists import Listed
from estafeta.mail.notification import Language
from estafeta.mail.reply import Reply
from estafeta.routing.directory import Directory
from estafeta.routing.local import LocalRules
from estafeta.routing.routes import Expansion, Refused, Route, RouteAction, RouteRule, ToHost, ToMailbox
from estafeta.store import acceptance, accounts, aliases, domains, journal, lists, mailboxes, messages, queue
from estafeta.store.errors import DirectoryChanged, NotFound
from estafeta.store.ids import IdSource
from estafeta.store.records import (
    Acceptance,
    Content,
    ContentId,
    Fate,
    Instant,
    MailboxId,
    MessageId,
    QueuedMessage,
    QueuedRecipient,
    QueueStatus,
    RecipientId,
)
from estafeta.store.store import Store, Transaction, open_store

NOW = 1_700_000_000.0
LIFETIME = 432_000.0
CONTENT = (
    b"Received: from x by mx.example.org\r\n"
    b"From: ana@example.org\r\n"
    b"Subject: Lunch\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"\r\n"
    b"Yes?\r\n"
)
ONLY = {each: frozenset({each}) for each in Notify}


def address(text: str) -> Address:
    return Address.parse(text)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "data", clock=lambda: NOW, large_content=100_000)

    def populate(tx: Transaction) -> None:
        domains.add(tx, "example.org", now=Instant(NOW))
        accounts.add(tx, address("ana@example.org"), password=None, now=Instant(NOW))
        accounts.add(tx, address("luis@example.org"), password=None, now=Instant(NOW))
        accounts.add(tx, address("full@example.org"), password=None, quota_octets=10, now=Instant(NOW))

    asyncio.run(store.write(populate))
    yield store
    store.close()


Make = Callable[..., Notifier]


@pytest.fixture
def make(store: Store) -> Make:
    """`make(rules=..., language=...)`: a notifier with these routing rules and settings."""

    def make_it(*rules: RouteRule, **settings: Any) -> Notifier:
        return Notifier(
            "mx.example.org",
            store,
            Directory(store, LocalRules(rules), lambda: NOW),
            NotificationSettings(**settings),
            clock=lambda: NOW,
            lifetime=LIFETIME,
            review_after=14_400.0,
        )

    return make_it


def message(reverse_path: str = "ana@example.org", **more: Any) -> QueuedMessage:
    path = ReversePath(address(reverse_path)) if reverse_path else NULL_REVERSE_PATH
    return replace(QueuedMessage(MessageId(77), ContentId(76), path, Instant(NOW - 3600), len(CONTENT)), **more)


UNKNOWN = Reply.of(550, "no such user", "5.1.1")
OK = Reply.of(250, "queued", "2.0.0")
HOST = HostFacts("mx.example.net", "192.0.2.1:25")


def outcome(
    fate: Fate,
    to: str = "bob@example.net",
    *,
    of: QueuedMessage | None = None,
    notify: frozenset[Notify] | None = None,
    takes_dsn: bool = False,
    **more: Any,
) -> Outcome:
    recipient = QueuedRecipient(
        RecipientId(78), of or message(), ForwardPath(address(to)), address(to).domain, QueueStatus.ACTIVE,
        Instant(NOW), None, notify=notify, **more,
    )  # fmt: skip
    reply = {Fate.RELAYED: OK, Fate.DELIVERED: OK, Fate.DEFERRED: Reply.of(451, "busy", "4.3.2")}.get(fate, UNKNOWN)
    return Outcome(recipient, fate, reply, True, "RCPT", HOST, takes_dsn)


def notices(notifier: Notifier, *outcomes: Outcome, content: bytes = CONTENT) -> Notices:
    return asyncio.run(notifier.notices(outcomes, content))


def the_one(notifier: Notifier, *outcomes: Outcome, content: bytes = CONTENT) -> Acceptance:
    made = notices(notifier, *outcomes, content=content)
    assert made.undeliverable == ()
    (only,) = made.acceptances
    return only


def parsed(made: Acceptance | bytes) -> EmailMessage:
    octets = made if isinstance(made, bytes) else made.content.octets
    assert octets is not None
    found = email.message_from_bytes(octets, policy=email.policy.SMTPUTF8)
    assert isinstance(found, EmailMessage)
    return found


def groups(made: Acceptance | bytes) -> list[EmailMessage]:
    """The status fields of the message, then of each recipient."""
    payload = list(parsed(made).iter_parts())[1].get_payload()
    assert isinstance(payload, list)
    return [group for group in payload if isinstance(group, EmailMessage)]


def told(made: Acceptance | bytes) -> list[tuple[str, str]]:
    """The recipients of the report and what it says was done."""
    return [(str(group["Final-Recipient"]), str(group["Action"])) for group in groups(made)[1:]]


def fields(made: Acceptance) -> EmailMessage:
    """The status fields of the first recipient."""
    return groups(made)[1]


def returned(made: Acceptance) -> str:
    return list(parsed(made).iter_parts())[2].get_content_type()


NEVER, SUCCESS, FAILURE, DELAY = (ONLY[each] for each in (Notify.NEVER, Notify.SUCCESS, Notify.FAILURE, Notify.DELAY))


@pytest.mark.rfc("3461 §5.2.6", "A failure is told unless NOTIFY did not ask for it.")
@pytest.mark.rfc("3464 §2.3.3", "Actions are failed, delayed, relayed and delivered.")
@pytest.mark.rfc("5321 §6.1", "The sender is told of what could not be delivered.")
@pytest.mark.rfc("3461 §5.2", "Senders hear of what NOTIFY asked for, and of nothing else.")
@pytest.mark.parametrize(
    ("fate", "notify", "takes_dsn", "is_review", "action"),
    [
        # RFC 3461 §5.2.6
        (Fate.FAILED, None, False, False, "failed"),
        (Fate.EXPIRED, None, False, False, "failed"),
        (Fate.EXPIRED, FAILURE, False, True, "failed"),
        (Fate.FAILED, FAILURE | SUCCESS, True, False, "failed"),
        (Fate.FAILED, SUCCESS, False, False, None),
        (Fate.FAILED, DELAY, False, False, None),
        (Fate.FAILED, NEVER, False, False, None),
        # §5.2.5: at a review alone
        (Fate.DEFERRED, None, False, True, "delayed"),
        (Fate.DEFERRED, DELAY, False, True, "delayed"),
        (Fate.DEFERRED, None, False, False, None),
        (Fate.DEFERRED, FAILURE, False, True, None),
        (Fate.DEFERRED, NEVER, False, True, None),
        # §5.2.1, §5.2.2
        (Fate.RELAYED, None, False, False, None),
        (Fate.RELAYED, SUCCESS, False, False, "relayed"),
        (Fate.RELAYED, SUCCESS, True, False, None),
        (Fate.RELAYED, FAILURE, False, False, None),
        # §5.2.3
        (Fate.DELIVERED, None, False, False, None),
        (Fate.DELIVERED, SUCCESS, True, False, "delivered"),
        (Fate.DELIVERED, NEVER, False, False, None),
    ],
)
def test_senders_hear_of_what_they_asked_to_hear_of(
    make: Make, fate: Fate, notify: frozenset[Notify] | None, takes_dsn: bool, is_review: bool, action: str | None
) -> None:
    notifier = make()
    found = outcome(fate, notify=notify, takes_dsn=takes_dsn)
    assert notifier.is_due(found, is_review=is_review) is (action is not None)
    if action is not None:
        assert told(the_one(notifier, found)) == [("rfc822; bob@example.net", action)]
    from_nobody = outcome(fate, of=message(""), notify=notify, takes_dsn=takes_dsn)
    assert not notifier.is_due(from_nobody, is_review=is_review)
    assert notices(notifier, from_nobody) == Notices()


@pytest.mark.rfc("3461 §5.2.5", "A delay is told once.")
def test_a_delay_is_told_once(make: Make) -> None:
    assert not make().is_due(outcome(Fate.DEFERRED, is_delay_told=True), is_review=True)


def test_one_notification_tells_of_all_that_are_due_one(make: Make) -> None:
    made = the_one(
        make(),
        outcome(Fate.FAILED, "bob@example.net"),
        outcome(Fate.RELAYED, "eve@example.net"),
        outcome(Fate.FAILED, "tom@example.net", notify=NEVER),
        outcome(Fate.RELAYED, "far@example.net", notify=SUCCESS),
    )
    assert told(made) == [("rfc822; bob@example.net", "failed"), ("rfc822; far@example.net", "relayed")]
    assert made.entry.facts["action"] == "failed, relayed"
    assert notices(make(), outcome(Fate.RELAYED)) == Notices()


def test_a_local_sender_finds_it_in_the_mailbox(make: Make, store: Store) -> None:
    made = the_one(make(), outcome(Fate.FAILED))
    asyncio.run(store.write(lambda tx: acceptance.accept(tx, made)))

    def read(tx: Transaction) -> list[bytes]:
        account = accounts.find(tx, address("ana@example.org"))
        assert account is not None
        inbox = mailboxes.inbox(tx, account.account_id).mailbox_id
        return [messages.read_content(tx, store.content, inbox, each.uid) for each in messages.list_of(tx, inbox)]

    (found,) = asyncio.run(store.read(read))
    assert found.startswith(b"Return-Path: <>\r\nFrom: Mail Delivery System <postmaster@mx.example.org>\r\n")
    assert told(found) == [("rfc822; bob@example.net", "failed")]
    assert asyncio.run(store.read(lambda tx: queue.find(tx, made.message_id))) == []


@pytest.mark.rfc("6710 §4.6", "A notification has the priority of its message.")
@pytest.mark.rfc("3461 §6.1", "A notification goes from the null reverse-path, and asks for none itself.")
def test_a_sender_elsewhere_gets_it_by_the_queue(make: Make, store: Store) -> None:
    made = the_one(make(), outcome(Fate.FAILED, of=message("eva@example.com", priority=3)))
    asyncio.run(store.write(lambda tx: acceptance.accept(tx, made)))
    (queued,) = asyncio.run(store.read(lambda tx: queue.find(tx, made.message_id)))
    assert queued == made.queued[0]
    assert (str(queued.forward_path), queued.destination, queued.status) == (
        "eva@example.com",
        "example.com",
        QueueStatus.ACTIVE,
    )
    assert (queued.next_attempt_at, queued.review_at, queued.holder) == (NOW, NOW + 14_400, None)
    assert queued.notify == NEVER
    sent = queued.message
    assert sent.reverse_path.is_null and sent.account is None and sent.ret is None and sent.envid is None
    assert (sent.priority, sent.body, sent.smtputf8) == (3, Body.SEVEN_BIT.value, False)
    octets = asyncio.run(store.read(lambda tx: queue.read_content(tx, store.content, queued.message.message_id)))
    assert len(octets) == sent.size
    assert parsed(octets)["To"] == "eva@example.com"


def test_the_journal_tells_of_it_by_address_and_message_id(make: Make, store: Store) -> None:
    made = the_one(make(), outcome(Fate.FAILED, of=message("Eva@Example.com")))
    asyncio.run(store.write(lambda tx: acceptance.accept(tx, made)))
    field = str(parsed(made)["Message-ID"])
    assert field == f"<{IdSource.text(made.message_id)}@mx.example.org>"
    for key in ("eva@example.com", field):
        (entry,) = asyncio.run(store.read(partial(journal.by_key, text=key, limit=9)))
        queued = [IdSource.text(each.recipient_id) for each in made.queued]
        assert entry == replace(made.entry, facts=made.entry.facts | {"delivered": [], "queued": queued})
    assert made.entry.facts == {
        "reverse_path": "",
        "recipients": [
            {
                "forward_path": "Eva@example.com",
                "route": "<Eva@example.com> by way of example.com",
                "reason": "domain is not ours",
            }
        ],
        "notification_of": IdSource.text(76),
        "action": "failed",
        "size": made.content.size,
        "verdict": "accept",
        "ended": "accepted",
        "message_id_field": field,
    }


def test_what_came_with_the_message_is_told(make: Make) -> None:
    of = message(envid="ENV+1")
    made = the_one(
        make(), outcome(Fate.FAILED, of=of, notify=FAILURE, original=OriginalRecipient("rfc822", "Bob=1@example.net"))
    )
    assert fields(made)["Original-Recipient"] == "rfc822;Bob=1@example.net"
    assert fields(made)["Remote-MTA"] == "dns; mx.example.net"
    assert fields(made)["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    assert fields(made)["Last-Attempt-Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert fields(made)["Final-Log-ID"] == IdSource.text(76)
    first = groups(made)[0]
    assert first["Original-Envelope-Id"] == "ENV+1"
    assert first["Arrival-Date"] == "Tue, 14 Nov 2023 21:13:20 +0000"
    assert parsed(made)["In-Reply-To"] == "<1@example.org>"


def test_a_delay_says_until_when_it_is_tried(make: Make) -> None:
    looked_at = replace(outcome(Fate.DEFERRED), host=None, stage="")
    made = the_one(make(), looked_at)
    assert fields(made)["Will-Retry-Until"] == "Sun, 19 Nov 2023 21:13:20 +0000"
    assert fields(made)["Status"] == "4.3.2"
    # Nothing was tried just now.
    assert "Last-Attempt-Date" not in fields(made)


def test_what_has_expired_failed_for_its_age(make: Make) -> None:
    made = the_one(make(), replace(outcome(Fate.DEFERRED), fate=Fate.EXPIRED))
    assert (fields(made)["Action"], fields(made)["Status"]) == ("failed", "4.4.7")
    letter = next(iter(parsed(made).iter_parts())).get_content()
    assert "We have tried since 14 November 2023 at 21:13 (UTC), and now give up." in " ".join(letter.split())


@pytest.mark.rfc("8689 §5", "Of a message that came with REQUIRETLS the header alone comes back.")
@pytest.mark.rfc("3461 §6.2", "The message comes back with failures alone, whole where RET and its size let it.")
@pytest.mark.parametrize(
    ("fate", "more", "content", "kind"),
    [
        (Fate.FAILED, {}, CONTENT, "message/rfc822"),
        (Fate.FAILED, {"ret": Ret.FULL}, CONTENT, "message/rfc822"),
        (Fate.FAILED, {"ret": Ret.HDRS}, CONTENT, "text/rfc822-headers"),
        (Fate.FAILED, {}, CONTENT + b"x" * 60_000, "text/rfc822-headers"),
        (Fate.FAILED, {"ret": Ret.FULL}, CONTENT + b"x" * 60_000, "text/rfc822-headers"),
        # RFC 8689 §5
        (Fate.FAILED, {"ret": Ret.FULL, "requires_tls": True}, CONTENT, "text/rfc822-headers"),
        # RFC 3461 §6.2: where nothing failed, the header is enough.
        (Fate.DEFERRED, {"ret": Ret.FULL}, CONTENT, "text/rfc822-headers"),
    ],
)
def test_how_much_of_the_message_comes_back(
    make: Make, fate: Fate, more: dict[str, Any], content: bytes, kind: str
) -> None:
    made = the_one(make(), outcome(fate, of=message("eva@example.com", **more)), content=content)
    assert returned(made) == kind
    assert made.queued[0].message.requires_tls is more.get("requires_tls", False)


@pytest.mark.parametrize("line", [b"X-Long: " + b"y" * 70 + b"\r\n", b"X-Long: " + b"y" * 200_000])
def test_a_huge_header_comes_back_cut(make: Make, line: bytes) -> None:
    content = line * 3000 + b"\r\n\r\nhello\r\n" if line.endswith(b"\r\n") else line + b"\r\n\r\nhello\r\n"
    made = the_one(make(), outcome(Fate.FAILED), content=content)
    assert made.content.size < MAX_HEADER + 10_000
    assert parsed(made).defects == []
    assert returned(made) == "text/rfc822-headers"


def test_a_large_notification_is_kept_as_a_file_and_removed_where_it_is_not_accepted(make: Make, store: Store) -> None:
    notifier = make(full_up_to=1_000_000)
    made = the_one(notifier, outcome(Fate.FAILED), content=CONTENT + b"x\r\n" * 50_000)
    assert made.content.file is not None and made.content.octets is None
    assert len(store.content.read(made.content.file)) == made.content.size
    notifier.discard([made])
    with pytest.raises(NotFound):
        store.content.read(made.content.file)


@pytest.mark.parametrize(
    ("account", "reverse_path", "language"),
    [
        ("ana@example.org", "ana@example.org", Language.ES),
        ("Luis@Example.org", "shared@example.org", Language.EN),
        ("eva@example.net", "eva@example.net", Language.ES),
        ("tom@example.com", "ana@example.org", Language.EN),
        (None, "ANA@example.org", Language.ES),
        (None, "x@example.com", Language.EN),
    ],
)
def test_the_language_is_that_of_the_account(
    make: Make, account: str | None, reverse_path: str, language: Language
) -> None:
    notifier = make(languages={"Ana@example.org": Language.ES, "@example.net": Language.ES})
    assert notifier.language_of(account, address(reverse_path)) is language
    assert make(language=Language.ES).language_of(account, address(reverse_path)) is Language.ES
    found = outcome(Fate.FAILED, of=message("ana@example.org", account=account))
    expected = notifier.language_of(account, address("ana@example.org"))
    assert parsed(the_one(notifier, found))["Content-Language"] == expected


def test_answers_go_where_the_settings_say(make: Make) -> None:
    made = the_one(make(author="help@example.org"), outcome(Fate.FAILED))
    assert parsed(made)["From"] == "Mail Delivery System <help@example.org>"


def test_an_address_in_utf8_is_reached_by_smtputf8(make: Make) -> None:
    made = the_one(make(), outcome(Fate.FAILED, of=message("josé@example.com", smtputf8=True)))
    assert made.queued[0].message.smtputf8
    assert made.queued[0].message.body == Body.EIGHT_BIT
    assert parsed(made)["To"] == "josé@example.com"


@pytest.mark.parametrize(
    ("sender", "reason"),
    [("nobody@example.org", "no such mailbox here"), ("full@example.org", "full@example.org is full")],
)
def test_a_sender_that_cannot_be_reached_is_told_to_the_operator(make: Make, sender: str, reason: str) -> None:
    made = notices(make(), outcome(Fate.FAILED, of=message(sender)))
    assert made.acceptances == ()
    (text,) = made.undeliverable
    assert text.startswith(f"<{sender}>: ") and reason in text


def test_a_list_gets_no_notification_as_a_post(make: Make, store: Store) -> None:
    def change(tx: Transaction) -> None:
        aliases.add(tx, address("list@example.org"), [address("ana@example.org"), address("eva@example.com")])
        lists.set_owner(tx, address("list@example.org"), address("luis@example.org"))

    asyncio.run(store.write(change))
    made = notices(make(), outcome(Fate.FAILED, of=message("list@example.org")))
    assert made.acceptances == ()
    assert "is a list" in made.undeliverable[0]


def test_an_alias_as_sender_is_followed_to_its_ends(make: Make, store: Store) -> None:
    members = [address("ana@example.org"), address("eva@example.com"), address("full@example.org")]
    asyncio.run(store.write(lambda tx: aliases.add(tx, address("team@example.org"), members)))
    made = the_one(make(), outcome(Fate.FAILED, of=message("team@example.org")))
    assert [str(delivery.forward_path) for delivery in made.deliveries] == ["team@example.org"]
    assert [str(queued.forward_path) for queued in made.queued] == ["eva@example.com"]


def test_what_the_operator_discards_and_holds_for_callers(make: Make, store: Store) -> None:
    rules = (
        RouteRule("gone.example", action=RouteAction.DISCARD),
        RouteRule("caller.example", action=RouteAction.ON_DEMAND),
    )
    made = the_one(make(*rules), outcome(Fate.FAILED, of=message("x@gone.example")))
    assert made.deliveries == () and made.queued == ()
    asyncio.run(store.write(lambda tx: acceptance.accept(tx, made)))
    made = the_one(make(*rules), outcome(Fate.FAILED, of=message("x@caller.example")))
    # Nobody tries it before the customer calls.
    assert (made.queued[0].destination, made.queued[0].next_attempt_at) == ("on-demand:caller.example", NOW + LIFETIME)


def test_a_directory_that_changes_meanwhile_is_noticed_at_the_commit_and_asked_again(make: Make, store: Store) -> None:
    notifier = make()
    made = the_one(notifier, outcome(Fate.FAILED))
    asyncio.run(store.write(lambda tx: accounts.set_enabled(tx, address("ana@example.org"), False)))
    with pytest.raises(DirectoryChanged):
        asyncio.run(store.write(lambda tx: acceptance.accept(tx, made)))
    assert "disabled" in notices(notifier, outcome(Fate.FAILED)).undeliverable[0]


# At acceptance.

TO_MAILBOX = ToMailbox(MailboxId(5), Address("ana", "example.org"), "account")
TO_HOST = ToHost("example.com", ForwardPath(Address("eva", "example.com")), "domain is not ours")


def asking(to: str, route: Route, notify: frozenset[Notify] | None = SUCCESS) -> RoutedRecipient:
    return RoutedRecipient(Recipient(ForwardPath(address(to)), notify, OriginalRecipient("rfc822", to)), route, 1)


def of_delivery(
    notifier: Notifier, *recipients: RoutedRecipient, sender: str = "luis@example.org", content: Content | None = None
) -> Sequence[Acceptance]:
    path = ReversePath(address(sender)) if sender else NULL_REVERSE_PATH
    return asyncio.run(
        notifier.of_delivery(
            Sender(path, envid="E1", ret=Ret.FULL),
            recipients,
            content or Content(len(CONTENT), CONTENT),
            message_id=MessageId(99),
            account=None,
            hello="client.example.net",
        )
    )


def expansion(*ends: ToMailbox | ToHost) -> Expansion:
    return Expansion(Address("team", "example.org"), ends, "alias")


@pytest.mark.rfc("3461 §5.2.3", "Delivery is told where SUCCESS was asked for.")
def test_what_is_delivered_at_once_is_told_at_once(make: Make) -> None:
    listed = Listed(Address("list", "example.org"), Address("luis", "example.org"))
    (made,) = of_delivery(
        make(),
        asking("ana@example.org", TO_MAILBOX),
        asking("silent@example.org", TO_MAILBOX, FAILURE),
        asking("unsaid@example.org", TO_MAILBOX, None),
        asking("far@example.com", TO_HOST),
        asking("one@example.org", expansion(TO_MAILBOX)),
        asking("forward@example.org", expansion(TO_HOST)),
        asking("team@example.org", expansion(TO_MAILBOX, TO_HOST)),
        asking("list@example.org", expansion(replace(TO_MAILBOX, listed=listed), replace(TO_HOST, listed=listed))),
    )
    # What goes on to one host elsewhere is told of by whoever comes to know (RFC 3461 §5.2.7.2).
    assert told(made) == [
        ("rfc822; ana@example.org", "delivered"),
        ("rfc822; one@example.org", "delivered"),
        ("rfc822; team@example.org", "expanded"),
        ("rfc822; list@example.org", "delivered"),
    ]
    assert fields(made)["Original-Recipient"] == "rfc822;ana@example.org"
    assert fields(made)["Status"] == "2.1.5"
    first = groups(made)[0]
    assert (first["Original-Envelope-Id"], first["Received-From-MTA"]) == ("E1", "dns; client.example.net")
    assert returned(made) == "text/rfc822-headers"
    assert made.entry.facts["notification_of"] == IdSource.text(99)


def test_nothing_is_told_of_deliveries_nobody_asked_about(make: Make) -> None:
    assert of_delivery(make(), asking("ana@example.org", TO_MAILBOX, NEVER), asking("x@example.com", TO_HOST)) == ()
    assert of_delivery(make(), asking("ana@example.org", TO_MAILBOX), sender="") == ()
    refused = Refused(Reply.of(550, "no"), "no")
    assert of_delivery(make(), asking("ana@example.org", refused)) == ()


def test_a_message_in_a_file_is_told_of_by_its_header(make: Make, store: Store) -> None:
    content = store.content.write(CONTENT + b"x" * 1000)
    (made,) = of_delivery(make(), asking("ana@example.org", TO_MAILBOX), content=content)
    assert parsed(made)["In-Reply-To"] == "<1@example.org>"
