"""Addresses as the store keeps them: as text, our own ones in lower case."""

from __future__ import annotations

from estafeta.mail.address import Address, parse_local_part


# Departs from RFC 6531 §3.3: local-parts in UTF-8 are compared without Unicode's normalization.
def key_of(address: Address) -> str:
    """The form in which an address of ours is kept and looked up.

    RFC 5321 §2.4 lets a host treat its local-parts as it likes; ours do not depend on case.
    """
    return str(address).lower()


def address_of(text: str) -> Address:
    """Read a kept address; the reserved `postmaster` has no domain (RFC 5321 §4.5.1)."""
    return Address.parse(text) if "@" in text else Address(parse_local_part(text), "")
