"""Copies of a store: made while it is used, restored to an empty place, and verified octet by octet."""

from estafeta.store.backup.making import make_backup
from estafeta.store.backup.manifest import BackupError, Generation, Manifest, generations
from estafeta.store.backup.restoring import Queue, Restored, restore
from estafeta.store.backup.verifying import verify_backup, verify_store

__all__ = [
    "BackupError",
    "Generation",
    "Manifest",
    "Queue",
    "Restored",
    "generations",
    "make_backup",
    "restore",
    "verify_backup",
    "verify_store",
]
