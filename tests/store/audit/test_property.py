"""Whatever is done to a store by its own operations, in whatever order and groups: there is never a gap."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.store.conftest import Accept

from estafeta.mail.address import Address
from estafeta.store import accounts, domains, flags, journal, mailboxes, messages, queue
from estafeta.store.acceptance import accept
from estafeta.store.audit import Audit, audit_now
from estafeta.store.errors import AlreadyExists, OverQuota
from estafeta.store.records import (
    Content,
    EntryKind,
    Fate,
    HolderId,
    Instant,
    JournalEntry,
    Mailbox,
    MessageId,
    Settlement,
    Uid,
)
from estafeta.store.store import Store, Transaction, open_store

NOW = 1_700_000_000.0
ME = HolderId(5)
USERS = ("ana", "luis", "eva")
OUTSIDE = tuple(f"{name}@example.com" for name in ("x", "y", "z"))
ENDED = (Fate.RELAYED, Fate.FAILED, Fate.EXPIRED, Fate.DELIVERED)


class Broken(Exception):
    """A change that fails at its end."""


class Life:
    """Things that happen, by chance."""

    def __init__(self, store: Store, chance: random.Random, acceptance: Accept) -> None:
        self.store = store
        self.chance = chance
        self.acceptance = acceptance
        self.now = NOW

    def populate(self, tx: Transaction) -> None:
        domains.add(tx, "example.org", now=Instant(NOW))
        for name in USERS:
            limit = 12 if name == "eva" else None
            accounts.add(tx, Address(name, "example.org"), password=None, quota_messages=limit, now=Instant(NOW))

    # Mail.

    def take(self, tx: Transaction) -> None:
        to = [f"{name}@example.org" for name in USERS if self.chance.random() < 0.4]
        relay = [each for each in OUTSIDE if self.chance.random() < 0.3]
        octets = b"Subject: x\r\n\r\n" + b"x" * self.chance.choice((5, 50, 3000))
        content: Any = octets
        if len(octets) > 1000:
            content = self.store.content.write(octets)
        made = self.acceptance(tx, to=tuple(to), relay=tuple(relay), content=content)
        reverse_path = self.chance.choice(("ana@example.org", ""))
        recipients = [{"forward_path": each, "route": f"mailbox of {each}"} for each in to]
        recipients += [{"forward_path": each, "route": f"<{each}> by way of example.com"} for each in relay]
        facts: dict[str, object] = {"reverse_path": reverse_path, "recipients": recipients}
        accept(tx, replace(made, entry=replace(made.entry, facts=facts)))
        if self.chance.random() < 0.1:
            accept(tx, made)  # a repetition

    def attempt(self, tx: Transaction) -> None:
        """Some are claimed and tried; what failed is told, in one change."""
        claimed = queue.claim(tx, "example.com", ME, now=Instant(self.now), limit=self.chance.randrange(1, 6))
        by_message: dict[int, list[tuple[Any, Fate]]] = {}
        for each in claimed:
            fate = self.chance.choice((*ENDED, Fate.DEFERRED))
            by_message.setdefault(each.message.message_id, []).append((each, fate))
        for message_id, outcomes in by_message.items():
            rows = [
                Settlement(each.recipient_id, fate, "451 later", Instant(self.now + 50), Instant(self.now + 9000))
                for each, fate in outcomes
            ]
            queue.settle(tx, ME, rows)
            told = [
                {
                    "forward_path": str(each.forward_path),
                    "recipient_id": tx.ids.text(each.recipient_id),
                    "fate": fate.value,
                }
                for each, fate in outcomes
            ]
            facts: dict[str, object] = {"recipients": told}
            entry = journal.by_message(tx, message_id)
            has_failed = any(fate in (Fate.FAILED, Fate.EXPIRED) for _, fate in outcomes)
            is_known = bool(entry) and entry[0].facts.get("reverse_path") == "ana@example.org"
            if has_failed and is_known:
                facts["notifications"] = [self.tell(tx, message_id)]
            journal.record(tx, self.entry(facts, message_id))

    def tell(self, tx: Transaction, message_id: int) -> str:
        made = self.acceptance(tx, to=("ana@example.org",))
        facts: dict[str, object] = {"reverse_path": "", "notification_of": tx.ids.text(message_id), "action": "failed"}
        accept(tx, replace(made, entry=replace(made.entry, facts=facts)))
        return tx.ids.text(made.message_id)

    def entry(self, facts: dict[str, object], message_id: int) -> JournalEntry:
        return JournalEntry(EntryKind.ATTEMPT, Instant(self.now), None, MessageId(message_id), facts)

    def operate(self, tx: Transaction) -> None:
        rows = queue.list_all(tx, limit=50)
        if not rows:
            return
        row = self.chance.choice(rows)
        match self.chance.randrange(4):
            case 0:
                queue.hold(tx, row.recipient_id)
            case 1:
                queue.retry(tx, row.message.message_id, now=Instant(self.now))
            case 2:
                gone = queue.remove(tx, row.message.message_id)
                removed = [tx.ids.text(each.recipient_id) for each in gone]
                journal.record(tx, self.entry({"removed": removed}, row.message.content_id))
            case 3:
                claimed = queue.claim(tx, "example.com", ME, now=Instant(self.now), limit=3)
                queue.redirect(tx, holder=ME, recipient_ids=[each.recipient_id for each in claimed], to="example.com")

    # Owners.

    def box(self, tx: Transaction) -> Mailbox:
        account = accounts.find(tx, Address(self.chance.choice(USERS), "example.org"))
        assert account is not None
        return self.chance.choice(mailboxes.list_of(tx, account.account_id))

    def uids(self, tx: Transaction, mailbox: Mailbox) -> list[int]:
        return [each.uid for each in messages.list_of(tx, mailbox.mailbox_id) if self.chance.random() < 0.4]

    def own(self, tx: Transaction) -> None:
        mailbox, now = self.box(tx), Instant(self.now)
        uids = self.uids(tx, mailbox)
        match self.chance.randrange(8):
            case 0:
                messages.copy(tx, mailbox.mailbox_id, uids, self.box(tx).mailbox_id, now=now)
            case 1 | 2:
                messages.move(tx, mailbox.mailbox_id, uids, self.box(tx).mailbox_id, now=now)
            case 3:
                messages.expunge(tx, mailbox.mailbox_id, uids)
            case 4:
                bits = self.chance.choice((flags.SEEN, flags.DELETED, flags.SEEN | flags.DELETED))
                keep = ~self.chance.choice((0, flags.SEEN)) & (messages.ALL * 2 - 1)
                messages.change_flags(tx, mailbox.mailbox_id, messages.ranges_of(uids), add=bits, keep=keep)
            case 5:
                drafts = [messages.Draft(Content(4, b"own!"), ("\\Seen",), now)] * self.chance.randrange(1, 3)
                replaces = Uid(uids[0]) if uids and self.chance.random() < 0.3 else None
                messages.append(tx, mailbox.mailbox_id, drafts, now=now, replaces=replaces)
            case 6:
                mailboxes.add(tx, mailbox.account_id, f"box{self.chance.randrange(3)}", now=now)
            case 7:
                if mailbox.name.startswith("box"):
                    mailboxes.remove(tx, mailbox)
                elif mailbox.name == "INBOX" and self.chance.random() < 0.3:
                    mailboxes.rename(tx, mailbox, f"box{self.chance.randrange(3)}", now=now)

    def keep_journal(self, tx: Transaction) -> None:
        if self.chance.random() < 0.5:
            journal.prune(tx, Instant(self.now - 400), 5)
        else:
            journal.redact(tx, Instant(self.now - 200), 5, ("forward_path", "reverse_path"))

    # All of it.

    def change(self) -> Callable[[Transaction], None]:
        what = self.chance.choice(
            (self.take, self.take, self.attempt, self.operate, self.own, self.own, self.keep_journal)
        )
        breaks = self.chance.random() < 0.1

        def change(tx: Transaction) -> None:
            what(tx)
            if breaks:
                raise Broken

        return change

    async def go_on(self) -> None:
        """Some changes in one group."""
        self.now += self.chance.choice((1, 20, 100))
        writes = [self.store.write(self.change()) for _ in range(self.chance.randrange(1, 5))]
        for result in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, Broken | OverQuota | AlreadyExists):
                raise result


@pytest.fixture
def lives(tmp_path: Path, acceptance: Accept) -> Iterator[Callable[[int], Life]]:
    made: list[Life] = []

    def life(seed: int) -> Life:
        store = open_store(tmp_path / "data", clock=lambda: made[0].now if made else NOW, large_content=1000)
        made.append(Life(store, random.Random(seed), acceptance))
        return made[0]

    yield life
    for each in made:
        each.store.close()


@pytest.mark.parametrize("seed", range(3))
def test_there_is_never_a_gap(lives: Callable[[int], Life], seed: int) -> None:
    life = lives(seed)
    store = life.store

    async def main() -> None:
        await store.write(life.populate)
        for _ in range(100):
            await life.go_on()
            now = Instant(life.now)
            gaps = await store.read(lambda tx, now=now: audit_now(tx, now, measure=store.content.measure))  # type: ignore[misc]
            assert gaps == []
        audit = Audit(Instant(life.now))
        while not audit.is_over:
            await store.read(audit.step)
        assert audit.messages > 5

    asyncio.run(main())
