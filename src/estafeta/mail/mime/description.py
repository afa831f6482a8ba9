"""All that is kept beside a message, so that nobody need read it again: FETCH, SORT and THREAD answer out of this."""

from __future__ import annotations

from estafeta.mail.mime.addresses import Address
from estafeta.mail.mime.decoding import characters
from estafeta.mail.mime.fields import Fields
from estafeta.mail.mime.index import indexed, pack
from estafeta.mail.mime.sorting import base_subject, casemapped, message_ids, sent_at
from estafeta.mail.mime.structure import envelope_with, people_of, structures
from estafeta.mail.mime.text import header_text, name_text, preview
from estafeta.mail.value import value


@value
class Description:
    """Of one message; the octets in it are those of FETCH responses."""

    envelope: bytes
    body: bytes
    body_structure: bytes
    parts: bytes
    """For `index.unpack`."""
    preview: str
    """At most 200 letters (RFC 8970)."""
    sent_at: float | None
    """The instant of Date; None: as it came (RFC 5256 §2.2)."""
    sent_day: str | None
    """The day of Date as it was written, such as 2030-01-31."""
    subject: str
    """The base subject, for sorting."""
    is_reply: bool
    """Whether the base subject was that of a reply or a forward (RFC 5256 §3)."""
    sort_from: str
    sort_to: str
    sort_cc: str
    """The first mailbox of each, for sorting (RFC 5256 §3)."""
    display_from: str
    display_to: str
    """The first name of each, for sorting (RFC 5957 §3)."""
    message_id: str | None
    references: tuple[str, ...]
    """References, or else the first of In-Reply-To (RFC 5256 §3)."""


def describe(octets: bytes) -> Description:
    """Describe a message; nothing in it is an error."""
    root, found = indexed(octets)
    people = people_of(found)
    short, long = structures(octets, root)
    sent = sent_at(found[b"date"][0]) if b"date" in found else None
    subject, is_reply = base_subject(header_text(found[b"subject"][0])) if b"subject" in found else ("", False)
    sort_from, display_from = _keys(people.get(b"from"))
    sort_to, display_to = _keys(people.get(b"to"))
    ids = message_ids(found[b"message-id"][0]) if b"message-id" in found else ()
    return Description(
        envelope_with(found, people),
        short,
        long,
        pack(root),
        preview(octets, root),
        None if sent is None else sent[0],
        None if sent is None else sent[1].isoformat(),
        casemapped(subject),
        is_reply,
        sort_from,
        sort_to,
        _keys(people.get(b"cc"))[0],
        display_from,
        display_to,
        ids[0] if ids else None,
        _references(found),
    )


def _references(found: Fields) -> tuple[str, ...]:
    """RFC 5256 §3: In-Reply-To counts where there is no valid id in References."""
    for body in found.get(b"references", ()):
        if references := message_ids(body):
            return references
    for body in found.get(b"in-reply-to", ()):
        if references := message_ids(body):
            return references[:1]
    return ()


def _keys(people: list[Address] | None) -> tuple[str, str]:
    """The mailbox of the first address (RFC 5256 §3), and its name or else the address (RFC 5957 §3)."""
    if not people:
        return "", ""
    first = people[0]
    mailbox = characters(first.mailbox or b"", "")
    shown = name_text(first) or (f"{mailbox}@{characters(first.host, '')}" if first.host else mailbox)
    return casemapped(mailbox), casemapped(shown)
