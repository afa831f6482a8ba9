"""Password hashes: argon2id for logins that send the password, SCRAM keys for those that only prove it.

Both are made from the password as SASLprep leaves it (RFC 4013), so that every mechanism takes the same one.
"""

from __future__ import annotations

import argon2
import scramp
from scramp.utils import saslprep

from estafeta.store.records import HashedPassword, ScramKeys

_HASHER = argon2.PasswordHasher()
"""Argon2id with the library's profile, RFC 9106 §4's second choice: 64 MiB, 3 passes, 4 lanes."""

SCRAM_ITERATIONS = 15_000
"""RFC 7677 §4 asks for 4096 at least and for 15,000 where it can be; the client pays for them at each login,
and phones are clients too."""


class UnfitPassword(ValueError):
    """The text cannot be a password; the message says why."""


def hash_password(password: str) -> HashedPassword:
    """Hash a password; takes about a tenth of a second, so do it in a thread. Raises UnfitPassword."""
    prepared = _prepared(password)
    salt, stored_key, server_key, iterations = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(
        prepared, iteration_count=SCRAM_ITERATIONS
    )
    return HashedPassword(
        argon2=_HASHER.hash(prepared),
        scram_sha_256=ScramKeys(salt, iterations, stored_key, server_key),
    )


def verify_password(argon2_text: str, password: str) -> bool:
    """Whether this is the password that was hashed; as slow as hashing, so do it in a thread."""
    try:
        return _HASHER.verify(argon2_text, _prepared(password))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError, UnfitPassword):
        return False


def _prepared(password: str) -> str:
    try:
        prepared = str(saslprep(password))
    except scramp.ScramException as error:
        raise UnfitPassword(f"the password cannot be used: {error}") from error
    if not prepared:
        raise UnfitPassword("the password is empty")
    return prepared
