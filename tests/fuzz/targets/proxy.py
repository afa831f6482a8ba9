"""Whatever stands at the start of a connection, in whatever cuts: it is refused with ProxyFault, or gives the same
header and the same octets behind it, and no more is held than a header may have; what is written is read again."""

from __future__ import annotations

from ipaddress import ip_address

from tests.fuzz.inputs import OCTETS, WHOLE, Input, pieces

from estafeta.wire.proxy import MAX_V2, SIGNATURE, ProxyFault, ProxyHeader, ProxyReader, write_v1, write_v2


def read(octets: bytes, cut: int) -> tuple[ProxyHeader | None, bytes, bool]:
    """The header, what stands behind it, and whether it was refused."""
    reader = ProxyReader()
    at = 0
    for piece in pieces(octets, cut):
        at += len(piece)
        try:
            found = reader.feed(piece)
        except ProxyFault as fault:
            assert str(fault)
            return None, b"", True
        if found is not None:
            header, rest = found
            return header, rest + octets[at:], False
        assert len(reader._octets) < MAX_V2
    return None, b"", False


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    message = given.octets
    if given.has(0):  # as version 2 begins, so that the fuzzer need not find it
        message = SIGNATURE + message
    found = read(message, given.cut)
    for other in {WHOLE, OCTETS} - {given.cut}:
        assert read(message, other) == found
    header, rest, _ = found
    if header is None:
        return
    assert message.endswith(rest)
    if header.source is None or header.destination is None:
        assert header.source is header.destination is None
        return
    assert ip_address(header.source.ip).version == ip_address(header.destination.ip).version
    ends = (header.source, header.destination)
    for written in (write_v1(*ends), write_v2(*ends), write_v2(*ends, checksum=True)):
        again, behind, _ = read(written + b"EHLO x\r\n", given.cut)
        assert again is not None and (again.source, again.destination, behind) == (*ends, b"EHLO x\r\n")
