"""What a queued recipient waits for, as the queue keeps it: a text that says the kind and the name.

`example.org` or `[192.0.2.1]` are found by the DNS, `gateway:office` is a gateway of the settings,
`on-demand:example.org` waits until its customer calls (ETRN, ATRN, TURN), and `later:` until its time comes (RFC 4865).
"""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.value import value


class DestinationKind(StrEnum):
    """How the next host is found."""

    DOMAIN = ""
    GATEWAY = "gateway"
    ON_DEMAND = "on-demand"
    LATER = "later"


_NAMED = (DestinationKind.GATEWAY, DestinationKind.ON_DEMAND, DestinationKind.LATER)


@value
class Destination:
    """One destination; `name` is a domain, an address literal, the name of a gateway, or nothing."""

    kind: DestinationKind
    name: str

    @staticmethod
    def parse(text: str) -> Destination:
        """Read what `str` gave; every text is one."""
        kind, colon, name = text.partition(":")
        if colon and not text.startswith("[") and kind in _NAMED:
            return Destination(DestinationKind(kind), name)
        return Destination(DestinationKind.DOMAIN, text)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.kind else self.name


LATER = str(Destination(DestinationKind.LATER, ""))
"""Where all held mail waits: where it goes is found when its time comes."""
