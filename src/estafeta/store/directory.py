"""The directory: which domains, accounts and aliases there are, as one version number.

Routes are found outside of the commit that relies on them; the version tells whether they still hold.
"""

from __future__ import annotations

from estafeta.store.engine import Transaction
from estafeta.store.statements import Statements

_sql = Statements("directory")


def version(tx: Transaction) -> int:
    """The version now; every change of domains, accounts, aliases and removal of mailboxes gives another."""
    row = tx.peek(_sql.directory_version)
    assert row is not None
    return int(row[0])


def changed(tx: Transaction) -> None:
    """Note that the directory is another now."""
    tx.do(_sql.bump_directory_version)
