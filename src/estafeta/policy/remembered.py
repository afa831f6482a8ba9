"""Passwords that were right a little while ago, so that mail programs that log in again and again cost no hashing.

Kept are keyed hashes under a secret that ends with the process, for one account and one network of clients. They
hold what the password is compared with too, so that a changed password is not remembered.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable

MOST = 10_000
"""Logins that are remembered at a time; beyond it the oldest are forgotten."""


class RememberedPasswords:
    """Remembers for so many seconds; 0 remembers nothing."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def key(self, account: str, hashed: str, password: str, network: str) -> bytes:
        """What stands for a login."""
        parts = (account, hashed, password, network)
        octets = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.digest(self._secret, octets, "sha256")

    def has(self, key: bytes | None) -> bool:
        """Whether it was right so lately."""
        if key is None:
            return False
        until = self._until.get(key)
        if until is None:
            return False
        if until <= self._clock():
            del self._until[key]
            return False
        return True

    def add(self, key: bytes | None) -> None:
        """It was right."""
        if key is None or self._seconds <= 0:
            return
        self._until[key] = self._clock() + self._seconds
        self._until.move_to_end(key)
        while len(self._until) > MOST:
            self._until.popitem(last=False)
