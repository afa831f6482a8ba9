"""The secret of the house: made-up SCRAM keys and rewritten reverse-paths come from it, the same after each restart."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from estafeta.store.files import open_private, sync_folder

NAME = "secret"
_OCTETS = 32


def house_secret(data: Path) -> bytes:
    """The secret of a data directory, made when there is none. Raises OSError.

    It is durable and whole before it has its name: with one that a loss of power had emptied, anybody could make
    addresses that lead back through us.
    """
    path = data / NAME
    with suppress(FileNotFoundError):
        found = path.read_bytes()
        if len(found) >= _OCTETS:
            return found
        path.unlink()
    part = data / f"{NAME}.{os.getpid()}.part"
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(open_private(part, is_new=True), "wb") as file:
            file.write(secrets.token_bytes(_OCTETS))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster
            path.hardlink_to(part)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(data)
    return path.read_bytes()
