"""What breaks in the store, and what it refuses; the texts are fit for an operator's eyes."""

from __future__ import annotations

import errno


class StoreError(Exception):
    """The store could not do it; nothing of the change was done."""


class NotFound(StoreError):
    """What was asked for is not there."""


class AlreadyExists(StoreError):
    """What should be added is there already."""


class InUse(StoreError):
    """What should be removed still holds something."""


class DirectoryChanged(StoreError):
    """Accounts, aliases or domains changed after the routes of an acceptance were found; find them again."""


class OverQuota(StoreError):
    """A delivery would put the account over one of its quotas."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is over its quota")
        self.address = address


class DiskFull(StoreError):
    """No space is left for the commit or the content."""


class Damaged(StoreError):
    """The database is not what was written to it: what is damaged, and what to do, in one line."""


class NewerSchema(StoreError):
    """The data directory was last used by a later version of Estafeta."""


class ConstraintViolated(StoreError):
    """The change would break an invariant that the schema holds."""


class StoreClosed(StoreError):
    """The store was closed before."""


def damaged(what: str, remedy: str = "stop the server and run `estafeta repair`") -> Damaged:
    """The error for what is damaged, with the remedy."""
    return Damaged(f"{what}: {remedy}")


def os_error(error: OSError) -> StoreError:
    """The store's word for an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("no space is left on the disk of the data directory")
    return StoreError(f"{error.strerror or error}")
