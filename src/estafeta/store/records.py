"""What the store gives and takes: rows as frozen values, and the ids that must not be mixed."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from hashlib import blake2b
from typing import NewType

from estafeta.mail.address import Address, ForwardPath, ReversePath
from estafeta.mail.envelope import ByMode, Notify, OriginalRecipient, Ret
from estafeta.mail.value import value
from estafeta.wire.sasl import ScramKeys

AccountId = NewType("AccountId", int)
DomainId = NewType("DomainId", int)
MailboxId = NewType("MailboxId", int)
ContentId = NewType("ContentId", int)
MessageId = NewType("MessageId", int)
"""One accepted mail object: the queue id, made before the commit, so that 250 and Received can name it."""
RecipientId = NewType("RecipientId", int)
SessionId = NewType("SessionId", int)
Uid = NewType("Uid", int)
ModSeq = NewType("ModSeq", int)
Instant = NewType("Instant", float)
"""Seconds since 1970, UTC."""


@value
class Domain:
    """A domain whose mail ends here. `catch_all` takes what no account or alias takes."""

    domain_id: DomainId
    name: str
    catch_all: Address | None
    created_at: Instant


@value
class Account:
    """A person or program with mailboxes; the password itself is never read back."""

    account_id: AccountId
    address: Address
    is_enabled: bool
    has_password: bool
    quota_octets: int | None
    quota_messages: int | None
    used_octets: int
    used_messages: int
    created_at: Instant


@value
class HashedPassword:
    """What is kept of a password, for logins that send it and for those that only prove it."""

    argon2: str
    scram_sha_256: ScramKeys
    scram_sha_1: ScramKeys | None = None
    """None where the mechanism was off when the password was given; its salt and iterations are the same."""
    cram_md5: bytes | None = None
    """The inner and the outer state of the keyed hash; None where the mechanism was off."""


@value
class Credentials:
    """What a login is checked against."""

    account: Account
    hashed: HashedPassword


@value
class Alias:
    """One address that stands for others, ours or not."""

    address: Address
    members: tuple[Address, ...]


@value
class Mailbox:
    """What IMAP opens (RFC 9051 §2.3); `special_use` is an attribute of RFC 6154 such as `\\Sent`."""

    mailbox_id: MailboxId
    account_id: AccountId
    name: str
    special_use: str | None
    uid_validity: int
    uid_next: Uid
    highest_modseq: ModSeq
    messages: int
    octets: int
    unseen: int
    deleted: int
    deleted_octets: int
    recent_uid: Uid
    """The first UID that no session was told of as \\Recent."""
    expunged_after: ModSeq
    """Every expunge after this MODSEQ is known."""
    flagged_after: ModSeq
    """And where every change of flags was."""


@value
class Message:
    """One message in one mailbox. `size` counts the octets as a reader gets them (prefix and content)."""

    mailbox_id: MailboxId
    uid: Uid
    content_id: ContentId
    message_id: MessageId
    modseq: ModSeq
    flags: int
    """See `store.flags`."""
    internal_at: Instant
    saved_at: Instant
    """When it came into this mailbox."""
    size: int
    prefix: bytes
    """Fields that go before the content."""


class QueueStatus(StrEnum):
    """Where a queued recipient stands."""

    ACTIVE = "active"
    """Due, or being tried."""
    DEFERRED = "deferred"
    """Tried without success; waits for its next attempt."""
    HELD = "held"
    """Waits for the operator."""


HolderId = NewType("HolderId", int)
"""One process that relays; what it has claimed is its own until it settles it, or is known to be dead."""


@value
class Deadline:
    """Until when a message is to be delivered, and what happens then (RFC 2852 §4)."""

    at: Instant
    mode: ByMode
    is_traced: bool = False
    """The sender is told of each relaying."""

    @property
    def returns(self) -> bool:
        """Whether the message goes back then."""
        return self.mode is ByMode.RETURN


@value
class QueuedMessage:
    """One envelope under which a content goes on. An alias or a list gives the content another envelope."""

    message_id: MessageId
    content_id: ContentId
    """The id of the accepted mail object that the content came with; the journal tells of attempts under it."""
    reverse_path: ReversePath
    accepted_at: Instant
    size: int
    """Octets of content and prefix."""
    account: str | None = None
    """Who handed it in; None for mail from elsewhere, and for what the house itself writes."""
    smtputf8: bool = False
    body: str | None = None
    envid: str | None = None
    ret: Ret | None = None
    requires_tls: bool = False
    priority: int = 0
    """-9 to 9, the higher the sooner (RFC 6710 §3)."""
    prefix: bytes = b""
    """Fields that go before the content (those of a list)."""
    deliver_by: Deadline | None = None
    hold: str | None = None
    """What its sender asked for, as notifications repeat it (RFC 4865 §5.1.2): `for;3600`, or `until;` and when."""
    release_at: Instant | None = None
    """When it leaves, or left; for those with `hold`."""

    @property
    def begins_at(self) -> Instant:
        """From when its lifetime counts."""
        return self.accepted_at if self.release_at is None else self.release_at


@value
class QueuedRecipient:
    """One recipient that waits to be relayed."""

    recipient_id: RecipientId
    message: QueuedMessage
    forward_path: ForwardPath
    destination: str
    """What it waits for, as `routing.destinations` reads it: a domain, a gateway, a customer who calls."""
    status: QueueStatus
    next_attempt_at: Instant
    review_at: Instant | None
    """When to look at it even if nothing was tried: its sender is due a notice of delay, or its time is over.
    None while it is first tried by the process that accepted it."""
    original: OriginalRecipient | None = None
    notify: frozenset[Notify] | None = None
    attempts: int = 0
    last_reply: str | None = None
    holder: HolderId | None = None
    """The process that has claimed it."""
    is_delay_told: bool = False
    is_by_told: bool = False
    """Its sender was told that the time of BY is over."""


class Fate(StrEnum):
    """What became of a recipient at an attempt."""

    RELAYED = "relayed"
    """The next host has it."""
    DELIVERED = "delivered"
    """It is where it was to go, by a gateway."""
    DEFERRED = "deferred"
    """Not now."""
    FAILED = "failed"
    """Never."""
    EXPIRED = "expired"
    """Not within its time."""
    RELEASED = "released"
    """It was held for its time, and is in its mailbox or goes on."""

    __hash__ = str.__hash__  # Enum's own is written in Python

    @property
    def is_final(self) -> bool:
        """The recipient leaves the queue."""
        return self is not Fate.DEFERRED


@value
class Settlement:
    """One recipient's row after an attempt, or after it was looked at."""

    recipient_id: RecipientId
    fate: Fate
    reply: str | None = None
    next_attempt_at: Instant = Instant(0)
    """For DEFERRED."""
    review_at: Instant | None = None
    counts_as_attempt: bool = True
    """False where it was only put back, or its sender was told of the delay."""
    is_delay_told: bool = False
    is_by_told: bool = False


@value
class DestinationState:
    """A destination that as a whole does not take mail now."""

    destination: str
    blocked_until: Instant
    failures: int
    """One after the other, without a success."""
    last_reply: str


@value
class Delivery:
    """One local recipient of an acceptance."""

    mailbox_id: MailboxId
    forward_path: ForwardPath
    """As RCPT gave it, before aliases."""
    prefix: bytes
    """Fields put before the content at delivery: Return-Path, and those of a list."""


@value
class Content:
    """The octets of a message as they are kept: exactly as received, after our trace fields.

    Small content is in `octets`; large content is in a synced file named `file`, below the content folder.
    """

    size: int
    octets: bytes | None = None
    file: str | None = None
    digest: bytes | None = None
    """Of the octets (`content_digest`); of small content it may be left out, it is found then."""

    def found_digest(self) -> bytes | None:
        """Its digest; None of a file of which nobody has said it."""
        if self.digest is None and self.octets is not None:
            return content_digest(self.octets)
        return self.digest


def new_digest() -> blake2b:
    """What the octets of a content are given to in pieces: BLAKE2b of 32 octets, twice as fast as SHA-256."""
    return blake2b(digest_size=32)


def content_digest(octets: bytes) -> bytes:
    """What a content is known by: were one octet another, so would this be."""
    return blake2b(octets, digest_size=32).digest()


@value
class Acceptance:
    """All that one 250 after the final dot promises; the store takes it in one commit."""

    message_id: MessageId
    accepted_at: Instant
    content: Content
    deliveries: tuple[Delivery, ...]
    queued: tuple[QueuedRecipient, ...]
    directory_version: int
    """The version of the directory that the routes were found in."""
    entry: JournalEntry


class EntryKind(StrEnum):
    """What a row of the journal tells of."""

    SESSION = "session"
    TRANSACTION = "transaction"
    ATTEMPT = "attempt"
    OPERATOR = "operator"


@value
class JournalEntry:
    """One row of the journal. `facts` is JSON-ready; `keys` are the texts by which trace finds it."""

    kind: EntryKind
    at: Instant
    session_id: SessionId | None
    message_id: MessageId | None
    facts: dict[str, object]
    keys: tuple[str, ...] = field(default=())
    """Addresses and Message-IDs, in lower case; ids are found without being named here."""
