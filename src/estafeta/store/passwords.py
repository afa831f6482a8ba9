"""Password hashes: argon2id for logins that send the password, SCRAM keys for those that only prove it.

Both are made from the password as SASLprep leaves it (RFC 4013), so that every mechanism takes the same one.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import replace

import argon2

from estafeta.store.records import HashedPassword
from estafeta.wire.sasl import CRAM_MD5, SCRAM_SHA_1, SaslError, ScramKeys, prepare
from estafeta.wire.sasl.md5 import keyed_states

_HASHER = argon2.PasswordHasher()
"""Argon2id with the library's profile, RFC 9106 §4's second choice: 64 MiB, 3 passes, 4 lanes."""

_SALT = 32
"""Octets of a salt; policy.login makes up as many for users that do not exist."""
SCRAM_ITERATIONS = 15_000
"""RFC 7677 §4 asks for 4096 at least and for 15,000 where it can be; the client pays for them at each login,
and phones are clients too."""


class UnfitPassword(ValueError):
    """The text cannot be a password; the message says why."""


def hash_password(password: str, further: Collection[str] = ()) -> HashedPassword:
    """Hash a password; takes about a tenth of a second, so do it in a thread. Raises UnfitPassword.

    `further`: which of SCRAM-SHA-1 and CRAM-MD5 are to have their keys too. Those of CRAM-MD5 can be tried against
    passwords millions of times faster than the others.
    """
    prepared = _prepared(password)
    keys = ScramKeys.of(prepared, secrets.token_bytes(_SALT), iterations=SCRAM_ITERATIONS)
    return with_keys(HashedPassword(_HASHER.hash(prepared), keys), prepared, further)


def with_keys(hashed: HashedPassword, password: str, further: Collection[str]) -> HashedPassword:
    """The same with the keys that it lacks of these mechanisms; the password must be the one that was hashed."""
    prepared = _prepared(password)
    if SCRAM_SHA_1 in further and hashed.scram_sha_1 is None:
        like = hashed.scram_sha_256
        keys = ScramKeys.of(prepared, like.salt, iterations=like.iterations, mechanism=SCRAM_SHA_1)
        hashed = replace(hashed, scram_sha_1=keys)
    if CRAM_MD5 in further and hashed.cram_md5 is None:
        hashed = replace(hashed, cram_md5=keyed_states(prepared.encode()))
    return hashed


def verify_password(argon2_text: str, password: str) -> bool:
    """Whether this is the password that was hashed; as slow as hashing, so do it in a thread."""
    try:
        return _HASHER.verify(argon2_text, _prepared(password))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError, UnfitPassword):
        return False


def _prepared(password: str) -> str:
    try:
        prepared = prepare(password)
    except SaslError as error:
        raise UnfitPassword(f"the password cannot be used: {error}") from error
    if not prepared:
        raise UnfitPassword("the password is empty")
    return prepared
