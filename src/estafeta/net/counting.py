"""What the net room counts, for whoever asks: connections and octets of a listener, answers of the DNS."""

from __future__ import annotations

from collections import Counter
from typing import Any

from estafeta.net.dns import Answer, MxRecord, Resolver, TlsaRecord

DnsTally = Counter[tuple[str, str]]
"""Questions by type and by status of the answer; those that a cache answered count too."""


class ListenerTally:
    """Of one listener; it outlives it where the settings are read again."""

    __slots__ = ("received", "refused", "sent", "taken")

    def __init__(self) -> None:
        self.taken = 0
        """Connections that got a session."""
        self.refused = 0
        """Connections refused for the limits."""
        self.received = 0
        """Octets from clients, without those of TLS."""
        self.sent = 0
        """Octets to clients."""


class CountingResolver:
    """Asks another and counts what it says."""

    def __init__(self, resolver: Resolver, tally: DnsTally) -> None:
        self._resolver = resolver
        self._tally = tally

    async def mx(self, name: str) -> Answer[MxRecord]:
        """See `Resolver`, as for all below."""
        return self._counted("MX", await self._resolver.mx(name))

    async def ipv4(self, name: str) -> Answer[str]:
        """Type A."""
        return self._counted("A", await self._resolver.ipv4(name))

    async def ipv6(self, name: str) -> Answer[str]:
        """Type AAAA."""
        return self._counted("AAAA", await self._resolver.ipv6(name))

    async def txt(self, name: str) -> Answer[str]:
        """Type TXT."""
        return self._counted("TXT", await self._resolver.txt(name))

    async def tlsa(self, name: str) -> Answer[TlsaRecord]:
        """Type TLSA."""
        return self._counted("TLSA", await self._resolver.tlsa(name))

    async def close(self) -> None:
        """End what is under way."""
        await self._resolver.close()

    def _counted(self, rdtype: str, answer: Answer[Any]) -> Answer[Any]:
        self._tally[rdtype, answer.status.value] += 1
        return answer
