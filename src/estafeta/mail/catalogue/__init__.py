"""The catalogue: every reply that a server of ours can send, named, with its codes and its texts.

`from estafeta.mail.catalogue import recipients`, then `recipients.UNKNOWN` is a reply, and
`syntax.PARAMETER_UNKNOWN.with_(keyword="FOO")` makes one. The modules are the groups; the first digit of a code decides
what a client does (RFC 5321 §4.2.1), and the texts are for people.
"""

from __future__ import annotations

from estafeta.mail.catalogue import (
    clients,
    connections,
    contents,
    helps,
    logins,
    lookups,
    ondemand,
    orders,
    recipients,
    screens,
    senders,
    syntax,
)
from estafeta.mail.catalogue.entry import Entry, Group

GROUPS: tuple[Group, ...] = (
    connections.GROUP,
    clients.GROUP,
    orders.GROUP,
    syntax.GROUP,
    logins.GROUP,
    senders.GROUP,
    recipients.GROUP,
    contents.GROUP,
    screens.GROUP,
    lookups.GROUP,
    helps.GROUP,
    ondemand.GROUP,
)

ENTRIES: dict[str, Entry] = {entry.key: entry for group in GROUPS for entry in group.entries}
"""All of them, by their keys."""
