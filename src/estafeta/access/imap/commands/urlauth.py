"""GENURLAUTH, RESETKEY, URLFETCH: URLs that let others fetch a message (RFC 4467 §7), with parts decoded (RFC 5524)."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from estafeta.access.imap.naming import resolve_in
from estafeta.mail.mime.index import Part
from estafeta.mail.mime.section import UnknownEncoding, decoded
from estafeta.mail.mime.structure import body_structure
from estafeta.store import links, url_keys
from estafeta.store.engine import Transaction
from estafeta.store.links import Asker, Linked, LinkFailed
from estafeta.wire.imap.commands.urlauth import GenUrlAuth, ResetKey, UrlFetch
from estafeta.wire.imap.completion import Completion, Refused, ok
from estafeta.wire.imap.writing import astring, literal, nstring

if TYPE_CHECKING:
    from estafeta.access.imap.session import Session


def _asker(session: Session) -> Asker:
    return Asker(session.account, session.environment.hostname, session.environment.clock())


async def gen_url_auth(session: Session, request: GenUrlAuth) -> Completion:
    """Sign all of the URLs, or none."""
    if any(mechanism.upper() != links.MECHANISM for _, mechanism in request.requests):
        raise Refused(f"The only mechanism is {links.MECHANISM}")
    asker = _asker(session)
    # A change may run twice, and must give the same.
    new_keys = [secrets.token_bytes(url_keys.OCTETS) for _ in request.requests]

    def change(tx: Transaction) -> list[str]:
        return [
            links.sign(tx, url, asker, new_key) for (url, _), new_key in zip(request.requests, new_keys, strict=True)
        ]

    try:
        signed = await session.environment.store.write(change)
    except LinkFailed:
        raise Refused("There is no message of yours with that URL") from None
    session.send(b"* GENURLAUTH %s\r\n" % b" ".join(astring(url) for url in signed))
    return ok("Genurlauth completed")


async def reset_key(session: Session, request: ResetKey) -> Completion:
    """Make void what was signed, in one mailbox or in all."""
    account = session.account
    assert account is not None
    if any(mechanism.upper() != links.MECHANISM for mechanism in request.mechanisms):
        raise Refused(f"The only mechanism is {links.MECHANISM}")

    def change(tx: Transaction) -> None:
        mailbox_id = None
        if request.mailbox is not None:
            mailbox_id = resolve_in(tx, account, request.mailbox, "r").mailbox.mailbox_id
        url_keys.reset(tx, account.account_id, mailbox_id)

    await session.environment.store.write(change)
    # RFC 4467 §7: the mechanisms whose keys are others now
    return ok("Resetkey completed", f"URLMECH {links.MECHANISM}")


async def url_fetch(session: Session, request: UrlFetch) -> Completion:
    """What the URLs name; NIL for each that names nothing for this user (RFC 4467 §7)."""
    store, asker = session.environment.store, _asker(session)
    for url, wanted in request.urls:

        def query(tx: Transaction, url: str = url, wanted: tuple[str, ...] = wanted) -> bytes:
            try:
                linked = links.look(tx, store.content, url, asker, most=session.environment.settings.message_size)
            except LinkFailed:
                return b"NIL"
            return _answer(linked, wanted)

        # One after the other: each may be as large as a message.
        answer = await store.read(query)
        session.send(b"* URLFETCH %s %s\r\n" % (astring(url), answer))
        await session.flush()
    return ok("Urlfetch completed")


def _answer(linked: Linked, wanted: tuple[str, ...]) -> bytes:
    """The octets, or what of them is asked for by name (RFC 5524 §3)."""
    if not wanted:
        return nstring(linked.octets)
    told = []
    asked = {each.upper() for each in wanted}
    if "BODYPARTSTRUCTURE" in asked:  # RFC 5524 §3.1: before what it describes
        told.append(b"(BODYPARTSTRUCTURE %s)" % _structure(linked, is_binary="BINARY" in asked))
    if "BINARY" in asked:
        told.append(b"(BINARY %s)" % _binary(linked))
    if "BODY" in asked:
        told.append(b"(BODY %s)" % nstring(linked.octets))
    return b" ".join(told)


def _structure(linked: Linked, *, is_binary: bool) -> bytes:
    """The structure of the part that is named, as it is sent; NIL for a section that is no part (RFC 5524 §3.1)."""
    part = linked.part
    if part is None:
        return b"NIL"
    if linked.is_whole:
        lines = linked.message.count(b"\n")
        # The message as it would be within another one.
        part = Part(0, 0, len(linked.message), lines, "message", "rfc822", (), "8bit", parts=(part,))
    if is_binary and not linked.is_whole and not part.parts:
        try:
            octets = decoded(linked.message, part)
        except UnknownEncoding:
            return body_structure(linked.message, part)
        encoding = "binary" if b"\0" in octets else "7bit" if octets.isascii() else "8bit"
        part = replace(part, start=0, body=0, end=len(octets), lines=0, encoding=encoding)
    return body_structure(linked.message, part)


def _binary(linked: Linked) -> bytes:
    """The part without its transfer encoding; NIL for one that is not known (RFC 5524 §3.2)."""
    octets = linked.octets
    if linked.part is not None and not linked.is_whole:
        try:
            octets = linked.cut(decoded(linked.message, linked.part))
        except UnknownEncoding:
            return b"NIL"
    return b"~" + literal(octets) if b"\0" in octets else nstring(octets)
