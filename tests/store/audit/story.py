"""A post office on loopback to which everything happens that can happen to mail, and the store that it leaves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.agents.conftest import NO_DNS, Client, Office, populate
from tests.agents.test_leaving import NextHost, listening, until

from estafeta.agents.outbound.settings import RelaySettings
from estafeta.app import PostOffice, new_event_loop
from estafeta.config.settings import Listen, ListenerKind, Settings, SmtpSettings, StoreSettings, TlsSettings
from estafeta.mail.address import Address
from estafeta.net.authority import Issued
from estafeta.store import accounts, aliases, flags, lists, mailboxes, messages, queue
from estafeta.store.audit import Audit, Gap
from estafeta.store.records import Content, Instant, Mailbox, QueueStatus
from estafeta.store.store import Store, Transaction

LETTER = b"From: ana@example.org\r\nSubject: hello\r\n\r\nhello\r\n"
LARGE = LETTER + b"0123456789abcdef\r\n" * 500
HERE = "[127.0.0.1]"


def tell(data: Path, issued: Issued, port: int) -> list[Gap]:
    """Let it all happen; gives what an audit finds while the post office runs."""
    kinds = (ListenerKind.SMTP, ListenerKind.SUBMISSION, ListenerKind.LMTP)
    settings = Settings(
        hostname="mx.example.org",
        data=data,
        listen=tuple(Listen(kind=kind, address="127.0.0.1", port=0) for kind in kinds),
        tls=TlsSettings(certificate=issued.certificate, key=issued.key),
        smtp=SmtpSettings(),
        relay=RelaySettings(port=port, allow_loopback=True),
        store=StoreSettings(large_content=4096),
        dns=NO_DNS,
    )
    host = NextHost()
    host.replies = {
        "RCPT TO:<bad": "550 5.1.1 nobody of that name",
        "RCPT TO:<later": "451 4.2.1 not now",
    }

    async def main() -> list[Gap]:
        async with PostOffice(settings) as made, listening(host, port):
            await made.store.write(populate)
            office = Office(made, issued)
            try:
                async with asyncio.timeout(30):
                    return await _live(office)
            finally:
                await office.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main())


async def _live(office: Office) -> list[Gap]:
    await office.change(_name)
    await _submit(await office.submitter())
    await _receive(office)
    await until(lambda: _is_quiet(office))
    await office.change(_use)
    await office.change(_use_more)
    client = await office.submitter()
    assert (await client.send("ana@example.org", f"bad6@{HERE}", LETTER)).startswith("250")
    await until(lambda: _is_told(office))
    assert (await client.send("ana@example.org", "ana@example.org", LETTER)).startswith("250")
    await office.change(lambda tx: None)  # what waits to be written is written
    store = office.office.store
    return await found_in(store)


async def found_in(store: Store) -> list[Gap]:
    """What an audit finds in a store, step by step."""
    audit = Audit(Instant(time.time()), measure=store.content.measure)
    gaps: list[Gap] = []
    while not audit.is_over:
        gaps += await store.read(audit.step)
    assert audit.messages > 15 and audit.recipients > audit.messages
    return gaps


def _name(tx: Transaction) -> None:
    """A list, and an address that forwards to elsewhere."""
    for name, members in (("list", ("luis@example.org", f"far@{HERE}")), ("away", (f"away@{HERE}",))):
        aliases.add(tx, Address(name, "example.org"), [Address.parse(each) for each in members])
    lists.set_owner(tx, Address("list", "example.org"), Address("ana", "example.org"))


async def _submit(client: Client) -> None:
    async def send(
        to: str, content: bytes = LETTER, *, said: str = "MAIL FROM:<ana@example.org>", more: str = ""
    ) -> None:
        codes = await client.say_all(said, *(f"RCPT TO:<{each}>{more}" for each in to.split()), "DATA")
        assert codes[-1] == 354, (to, codes)
        assert (await client.say(content + b".")).startswith("250")

    await send("luis@example.org")
    await send("team@example.org ana@example.org", LARGE)
    await send("list@example.org")
    await send(f"good@{HERE} luis@example.org")
    await send(f"good@{HERE} bad@{HERE}")
    await send(f"bad2@{HERE}", more=" NOTIFY=NEVER")
    await send(f"bad3@{HERE}", said="MAIL FROM:<>")
    await send(f"bad4@{HERE} bad5@{HERE}", LARGE)
    await send(f"later@{HERE} good2@{HERE}")
    await send("luis@example.org", more=" NOTIFY=SUCCESS")
    await send("luis@example.org", said="MAIL FROM:<ana@example.org> HOLDFOR=3600")


async def _receive(office: Office) -> None:
    client = await office.client()
    for to in ("ana", "ana", "luis", "away", "team", "list"):
        assert (await client.send("eva@example.net", f"{to}@example.org", LETTER)).startswith("250")
    for to in ("nobody@example.org", "ana@elsewhere.example"):
        assert (await client.send("eva@example.net", to, LETTER)).startswith("55")
        await client.say("RSET")


async def _is_quiet(office: Office) -> bool:
    """What can leave has left: one waits for its next attempt, and one for its time."""
    rows = await office.queued()
    left = sorted((str(each.forward_path), each.holder is None, each.status) for each in rows)
    return left == [(f"later@{HERE}", True, QueueStatus.DEFERRED), ("luis@example.org", True, QueueStatus.ACTIVE)]


async def _is_told(office: Office) -> bool:
    """The last failure has come back."""
    return any(b"bad6@" in octets for octets in await office.mailbox("ana@example.org"))


def box(tx: Transaction, name: str, mailbox: str = "INBOX") -> Mailbox:
    """One mailbox of a user."""
    account = accounts.find(tx, Address(name, "example.org"))
    assert account is not None
    found = mailboxes.find(tx, account.account_id, mailbox)
    assert found is not None
    return found


def _use(tx: Transaction) -> None:
    """What owners do with their mail."""
    now = Instant(time.time())
    ana, luis = box(tx, "ana"), box(tx, "luis")
    for name in ("Kept", "Gone"):
        mailboxes.add(tx, ana.account_id, name, now=now)
    kept, gone = box(tx, "ana", "Kept"), box(tx, "ana", "Gone")
    uids = [each.uid for each in messages.list_of(tx, ana.mailbox_id)]
    assert len(uids) > 6
    messages.change_flags(tx, ana.mailbox_id, [(1, 3)], add=flags.SEEN)
    messages.copy(tx, ana.mailbox_id, uids[:3], kept.mailbox_id, now=now)
    messages.move(tx, ana.mailbox_id, uids[1:3], gone.mailbox_id, now=now)
    messages.expunge(tx, ana.mailbox_id, uids[3:5])
    messages.change_flags(tx, ana.mailbox_id, [(uids[5], uids[5])], add=flags.DELETED)
    drafts = [messages.Draft(Content(len(LETTER), LETTER), ("\\Seen", "$Junk"), now) for _ in range(2)]
    messages.append(tx, kept.mailbox_id, drafts, now=now)
    messages.move(tx, kept.mailbox_id, [1], luis.mailbox_id, now=now)
    last = messages.list_of(tx, luis.mailbox_id)[0]
    messages.expunge(tx, luis.mailbox_id, [last.uid])


def _use_more(tx: Transaction) -> None:
    """A mailbox goes with what is in it; what waits is held, and let go again."""
    mailboxes.remove(tx, box(tx, "ana", "Gone"))
    now = Instant(time.time())
    [later] = [each for each in queue.list_all(tx, limit=9) if each.status is QueueStatus.DEFERRED]
    queue.hold(tx, later.recipient_id)
    queue.retry(tx, later.recipient_id, now=Instant(now + 3600))
