"""What the store gives and takes: rows as frozen values, and the ids that must not be mixed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from estafeta.mail.address import Address, ForwardPath, ReversePath

AccountId = NewType("AccountId", int)
DomainId = NewType("DomainId", int)
MailboxId = NewType("MailboxId", int)
ContentId = NewType("ContentId", int)
MessageId = NewType("MessageId", int)
"""One accepted mail object: the queue id, made before the commit, so that 250 and Received can name it."""
SessionId = NewType("SessionId", int)
Uid = NewType("Uid", int)
ModSeq = NewType("ModSeq", int)
Instant = NewType("Instant", float)
"""Seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain whose mail ends here. `catch_all` takes what no account or alias takes."""

    domain_id: DomainId
    name: str
    catch_all: Address | None
    created_at: Instant


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """RFC 5802 §3: what a server keeps instead of a password, for SHA-256."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True, slots=True)
class HashedPassword:
    """What is kept of a password, for logins that send it and for those that only prove it."""

    argon2: str
    scram_sha_256: ScramKeys


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against."""

    account: Account
    argon2: str
    scram_sha_256: ScramKeys


@dataclass(frozen=True, slots=True)
class Alias:
    """One address that stands for others, ours or not."""

    address: Address
    members: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Message:
    """One message in one mailbox. `size` counts the octets as a reader gets them (prefix and content)."""

    mailbox_id: MailboxId
    uid: Uid
    content_id: ContentId
    message_id: MessageId
    modseq: ModSeq
    flags: frozenset[str]
    internal_at: Instant
    size: int


class QueueStatus(StrEnum):
    """Where a queued recipient stands."""

    ACTIVE = "active"
    """Due, or being tried."""
    DEFERRED = "deferred"
    """Tried without success; waits for its next attempt."""
    HELD = "held"
    """Waits for the operator."""


@dataclass(frozen=True, slots=True)
class QueuedRecipient:
    """One recipient that waits to be relayed."""

    recipient_id: int
    message_id: MessageId
    reverse_path: ReversePath
    forward_path: ForwardPath
    destination: str
    """The domain whose hosts are asked next, or a host given by a route."""
    status: QueueStatus
    attempts: int
    accepted_at: Instant
    next_attempt_at: Instant
    last_reply: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One local recipient of an acceptance."""

    mailbox_id: MailboxId
    forward_path: ForwardPath
    """As RCPT gave it, before aliases."""


@dataclass(frozen=True, slots=True)
class Relaying:
    """One remote recipient of an acceptance."""

    destination: str
    forward_path: ForwardPath


@dataclass(frozen=True, slots=True)
class Content:
    """The octets of a message as they are kept: exactly as received, after our trace fields.

    Small content is in `octets`; large content is in a synced file named `file`, below the content folder.
    """

    size: int
    octets: bytes | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """All that one 250 after the final dot promises; the store takes it in one commit."""

    message_id: MessageId
    accepted_at: Instant
    reverse_path: ReversePath
    smtputf8: bool
    body: str | None
    prefix: bytes
    """Fields put before the content at delivery (Return-Path); relayed copies do not carry them."""
    content: Content
    deliveries: tuple[Delivery, ...]
    relayings: tuple[Relaying, ...]
    directory_version: int
    """The version of the directory that the routes were found in."""
    entry: JournalEntry


class EntryKind(StrEnum):
    """What a row of the journal tells of."""

    SESSION = "session"
    TRANSACTION = "transaction"
    ATTEMPT = "attempt"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One row of the journal. `facts` is JSON-ready; `keys` are the texts by which trace finds it."""

    kind: EntryKind
    at: Instant
    session_id: SessionId | None
    message_id: MessageId | None
    facts: dict[str, object]
    keys: tuple[str, ...] = field(default=())
    """Addresses and Message-IDs, in lower case; ids are found without being named here."""
