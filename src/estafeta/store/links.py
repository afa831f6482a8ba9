"""What an IMAP URL names, as octets, and the signatures that let others fetch it (RFC 5092, RFC 4467, RFC 5593).

A signature is HMAC-SHA256 of the URL up to and with `;URLAUTH=access`, by the key that the user in the URL has for
the mailbox. A URL that cannot be fetched is answered the same way whatever the reason (RFC 4467 §8): who asks does
not learn what is there.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

from estafeta.mail.address import AddressError
from estafeta.mail.mime.index import Part, find, index
from estafeta.mail.mime.section import section
from estafeta.mail.value import value
from estafeta.store import accounts, acl, mailboxes, messages, url_keys
from estafeta.store.addresses import address_of, key_of
from estafeta.store.content import ContentStore
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, StoreError
from estafeta.store.records import Account, Mailbox
from estafeta.wire.imap.url import BadUrl, ImapUrl, parse

_OTHER_USERS = "Other Users/"
MECHANISM = "INTERNAL"
_PORTS = (None, 143, 993)


class LinkFailed(StoreError):
    """The URL names nothing that may be fetched; the text is for the operator."""


class Elsewhere(LinkFailed):
    """The URL is of another host."""


class TooLarge(LinkFailed):
    """What the URL names is larger than is wanted."""


@value
class Asker:
    """Who fetches, and where."""

    account: Account | None
    """None for a session that is anonymous."""
    hostname: str
    """Of this house."""
    now: float
    is_submission: bool = False
    """A submission server that acts for the account (RFC 4468)."""


@value
class Linked:
    """What a URL names."""

    octets: bytes
    """Of the section, or of the part of it that PARTIAL says."""
    message: bytes
    """The whole message."""
    part: Part | None = None
    """The body part that is named, or the message; None where a section is named that is none."""
    is_whole: bool = False
    """The message is named."""
    partial: tuple[int, int | None] | None = None
    """First octet and how many, of what is named."""

    def cut(self, octets: bytes) -> bytes:
        """The part of what is named that PARTIAL says."""
        if self.partial is None:
            return octets
        first, count = self.partial
        return octets[first : None if count is None else first + count]


def shown(text: str) -> str:
    """A URL for the journal, without what would let its readers fetch it."""
    rump = text.lower().find(";urlauth=")
    return text[: rump if rump >= 0 else None][:200]


def fetch(tx: Transaction, contents: ContentStore, text: str, asker: Asker, *, most: int | None = None) -> bytes:
    """The octets that an absolute URL names: a signed one, or for the user himself one that is not.

    Raises LinkFailed, Elsewhere, TooLarge.
    """
    return look(tx, contents, text, asker, most=most).octets


def look(tx: Transaction, contents: ContentStore, text: str, asker: Asker, *, most: int | None = None) -> Linked:
    """The same, with the message around it."""
    try:
        url = parse(text)
    except BadUrl as error:
        raise LinkFailed("not an IMAP URL") from error
    owner = _owner(tx, url, asker)
    if url.access is None:
        if asker.account is None or owner.account_id != asker.account.account_id:
            raise LinkFailed("not signed")
        mailbox = _mailbox(tx, owner, url)
    else:
        mailbox = _verified(tx, owner, url, asker)
    return read(tx, contents, mailbox, url, most=most)


def sign(tx: Transaction, text: str, asker: Asker, new_key: bytes) -> str:
    """A URL with its signature; makes the key where there is none (RFC 4467 §7). Raises LinkFailed."""
    try:
        url = parse(text)
    except BadUrl as error:
        raise LinkFailed("not an IMAP URL") from error
    owner = _owner(tx, url, asker)
    # RFC 4467 §7: the user in the URL is the one who signs, and what is signed is a message or a part of one.
    if asker.account is None or owner.account_id != asker.account.account_id:
        raise LinkFailed("of another user")
    if url.access is None or url.token is not None or url.uid is None or not _is_access(url.access):
        raise LinkFailed("nothing to sign")
    mailbox = _mailbox(tx, owner, url)
    key = url_keys.ensure(tx, owner.account_id, mailbox.mailbox_id, new_key)
    return f"{text}:{MECHANISM}:{_token(key, text)}"


def read(tx: Transaction, contents: ContentStore, mailbox: Mailbox, url: ImapUrl, *, most: int | None = None) -> Linked:
    """What a URL names in a mailbox that the asker may read (RFC 5092 §6). Raises LinkFailed, TooLarge."""
    if url.uid is None or (url.uid_validity is not None and url.uid_validity != mailbox.uid_validity):
        raise LinkFailed("no such message")
    sizes = messages.sizes(tx, mailbox.mailbox_id, url.uid, url.uid)
    if not sizes:
        raise LinkFailed("no such message")
    if url.section is None and url.partial is None and most is not None and sizes[0][1] > most:
        raise TooLarge("too large")
    try:
        message = messages.read_content(tx, contents, mailbox.mailbox_id, url.uid)
    except NotFound:
        raise LinkFailed("no such message") from None
    root = index(message)
    part: Part | None = root
    octets: bytes | None = message
    is_whole = url.section is None or not (url.section.path or url.section.text)
    if url.section is not None and not is_whole:
        part = find(root, url.section.path) if not url.section.text else None
        octets = section(message, root, url.section.path, url.section.text, url.section.fields)
    if octets is None:
        raise LinkFailed("no such section")
    linked = Linked(octets, message, part, is_whole, url.partial)
    octets = linked.cut(octets)
    if most is not None and len(octets) > most:
        raise TooLarge("too large")
    return Linked(octets, message, part, is_whole, url.partial)


def _owner(tx: Transaction, url: ImapUrl, asker: Asker) -> Account:
    """The account that a URL names. Its host is ours by name, or the account's domain (RFC 5092 §3)."""
    host = (url.host or "").lower()
    if not host or url.port not in _PORTS:
        raise Elsewhere("of another host")
    user = url.user or (str(asker.account.address) if asker.account is not None and url.access is None else "")
    named = user if "@" in user else f"{user}@{host}"
    account = None
    if user:
        try:
            account = accounts.find(tx, address_of(named.lower()))
        except AddressError:
            account = None
    is_ours = host == asker.hostname.lower() or (account is not None and account.address.domain.lower() == host)
    if not is_ours:
        raise Elsewhere("of another host")
    if account is None and user and "@" not in user and asker.account is not None:
        # The local-part alone, at the host's own name: a user of the asker's domain.
        try:
            account = accounts.find(tx, address_of(f"{user}@{asker.account.address.domain}".lower()))
        except AddressError:
            account = None
    if account is None or not account.is_enabled:
        raise LinkFailed("no such account")
    return account


def _mailbox(tx: Transaction, user: Account, url: ImapUrl) -> Mailbox:
    """The mailbox of a URL as its user sees it, with the right to read it (RFC 4467 §7)."""
    owner_id, name = user.account_id, unicodedata.normalize("NFC", url.mailbox)
    if name.startswith(_OTHER_USERS):
        address, _, name = name.removeprefix(_OTHER_USERS).partition("/")
        found = acl.account_of(tx, address.lower())
        if found is None:
            raise LinkFailed("no such mailbox")
        owner_id = found
    mailbox = mailboxes.find(tx, owner_id, name) if name and not name.startswith("/") else None
    if mailbox is None or "r" not in acl.rights_of(tx, mailbox, user.account_id, key_of(user.address)):
        raise LinkFailed("no such mailbox")
    return mailbox


def _verified(tx: Transaction, owner: Account, url: ImapUrl, asker: Asker) -> Mailbox:
    """The mailbox of a signed URL that this asker may fetch now (RFC 4467 §6)."""
    if url.token is None or (url.mechanism or "").upper() != MECHANISM:
        raise LinkFailed("not signed")
    if url.expires_at is not None and asker.now >= url.expires_at:
        raise LinkFailed("its time is over")
    if not _may(url.access or "", asker, owner.address.domain):
        raise LinkFailed("signed for another user")
    mailbox = _mailbox(tx, owner, url)
    key = url_keys.find(tx, owner.account_id, mailbox.mailbox_id)
    if key is None or not hmac.compare_digest(_token(key, url.rump), url.token.lower()):
        raise LinkFailed("not signed")
    return mailbox


def _token(key: bytes, rump: str) -> str:
    return hmac.new(key, rump.encode("utf-8"), hashlib.sha256).hexdigest()


def _is_access(access: str) -> bool:
    kind, _, user = access.partition("+")
    return (kind.lower() in ("user", "submit") and bool(user)) or access.lower() in ("authuser", "anonymous")


def _may(access: str, asker: Asker, domain: str) -> bool:
    """RFC 4467 §3: who an access identifier means, said by a user of this domain."""
    kind, _, user = access.partition("+")
    kind = kind.lower()
    if kind == "anonymous" and not user:
        return True
    if asker.account is None:
        return False
    if kind == "authuser" and not user:
        return True
    if kind == "submit":
        return asker.is_submission and _is_user(user, asker.account, domain)
    return kind == "user" and _is_user(user, asker.account, domain)


def _is_user(user: str, account: Account, domain: str) -> bool:
    """An account is named by its address, or one of the same domain by its local-part."""
    return (user if "@" in user else f"{user}@{domain}").lower() == key_of(account.address)
