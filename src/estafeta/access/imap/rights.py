"""Which flags rights let be changed (RFC 4314 §4)."""

from __future__ import annotations

from collections.abc import Iterable

from estafeta.store.flags import ALL_FLAGS, DELETED, SEEN, system_bit


def allowed_flags(rights: str) -> int:
    """The bits that may be changed: `s` is for \\Seen, `t` for \\Deleted, and `w` for all others."""
    allowed = ALL_FLAGS & ~(SEEN | DELETED) if "w" in rights else 0
    return allowed | (SEEN if "s" in rights else 0) | (DELETED if "t" in rights else 0)


def permitted(names: Iterable[str], rights: str) -> tuple[str, ...]:
    """Those of the flags that may be changed."""
    allowed = allowed_flags(rights)
    # A keyword has no bit before it is known; one that no system flag has stands for it.
    return tuple(name for name in names if (system_bit(name) or 1 << 62) & allowed)
