"""What IMAP sessions need from outside; one for the whole process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from estafeta.access.imap.searching.remembered import Remembered
from estafeta.access.imap.settings import ImapSettings
from estafeta.access.imap.snapshots import Snapshots
from estafeta.access.indexing import Indexing
from estafeta.access.login import Say
from estafeta.access.tally import AccessTally
from estafeta.mail.value import value
from estafeta.policy.login import Authenticator
from estafeta.store.store import Store


@value
class ImapEnvironment:
    """Made by the composition root, anew when the settings are read again; the snapshots stay."""

    hostname: str
    store: Store
    authenticator: Authenticator
    snapshots: Snapshots
    indexing: Indexing
    remembered: Remembered
    settings: ImapSettings
    clock: Callable[[], float]
    """Seconds since 1970."""
    nonce: Callable[[], str]
    """For SCRAM: printable ASCII without comma, new and not to be guessed each time."""
    tally: AccessTally = field(default_factory=AccessTally)
    """Where sessions count."""
    say: Say | None = None
    """The log's lines of logins; None where there are none."""
    say_of_sessions: Say | None = None
    """Those of sessions that have ended."""
