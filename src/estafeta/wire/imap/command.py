"""A command as a record: its name, the states that it is for, and how its arguments are read."""

from __future__ import annotations

from collections.abc import Callable

from estafeta.mail.value import value
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request
from estafeta.wire.imap.session import State

NOT_AUTHENTICATED = frozenset((State.NOT_AUTHENTICATED,))
SELECTED = frozenset((State.SELECTED,))
AUTHENTICATED = frozenset((State.AUTHENTICATED, State.SELECTED))
ANY = NOT_AUTHENTICATED | AUTHENTICATED


@value
class Command:
    """One command."""

    name: str
    """As it is said, `UID FETCH` among them."""
    states: frozenset[State]
    read: Callable[[Reader], Request]
    """Reads the arguments; raises GrammarError."""
    capability: str = ""
    """What it belongs to beyond IMAP4rev1; empty for what that has itself."""
