"""The PROXY header: both versions at every cut, bounds, and what makes a connection worth closing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.proxy import (
    MAX_V1,
    MAX_V2,
    SIGNATURE,
    Endpoint,
    ProxyFault,
    ProxyHeader,
    ProxyReader,
    crc32c,
    write_v1,
    write_v2,
)

CLIENT, SERVER = Endpoint("203.0.113.7", 51234), Endpoint("192.0.2.25", 25)
CLIENT6, SERVER6 = Endpoint("2001:db8::7", 51234), Endpoint("2001:db8:25::25", 25)
V4, V6 = ProxyHeader(2, CLIENT, SERVER), ProxyHeader(2, CLIENT6, SERVER6)


def read(octets: bytes) -> tuple[ProxyHeader, bytes] | None:
    return ProxyReader().feed(octets)


def v2(kind: bytes, body: bytes) -> bytes:
    return SIGNATURE + kind + len(body).to_bytes(2, "big") + body


INET = bytes([203, 0, 113, 7, 192, 0, 2, 25]) + (51234).to_bytes(2, "big") + (25).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("octets", "header"),
    [
        (b"PROXY TCP4 203.0.113.7 192.0.2.25 51234 25\r\n", ProxyHeader(1, CLIENT, SERVER)),
        (b"PROXY TCP6 2001:db8::7 2001:db8:25::25 51234 25\r\n", ProxyHeader(1, CLIENT6, SERVER6)),
        (b"PROXY UNKNOWN\r\n", ProxyHeader(1)),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", ProxyHeader(1)),
        (v2(b"\x21\x11", INET), V4),
        (v2(b"\x21\x11", INET + b"\x02\0\x03abc" + b"\xe0\0\0"), V4),
        (write_v2(CLIENT6, SERVER6, checksum=True), V6),
        (v2(b"\x20\x00", b""), ProxyHeader(2)),
        (v2(b"\x20\x11", b"anything"), ProxyHeader(2)),
        (v2(b"\x21\x00", b"anything"), ProxyHeader(2)),
        (v2(b"\x21\x12", INET), ProxyHeader(2)),
        (v2(b"\x21\x31", b"/run/proxy".ljust(108, b"\0") * 2), ProxyHeader(2)),
    ],
)
def test_a_header_is_read_at_every_cut_and_nothing_behind_it(octets: bytes, header: ProxyHeader) -> None:
    assert read(octets + b"EHLO c\r\n") == (header, b"EHLO c\r\n")
    for cut in range(1, len(octets)):
        reader = ProxyReader()
        assert reader.feed(octets[:cut]) is None
        assert reader.feed(octets[cut:]) == (header, b"")


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO c\r\n",
        b"proxy TCP4 203.0.113.7 192.0.2.25 51234 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 51234\r\n",
        b"PROXY TCP4  203.0.113.7 192.0.2.25 51234 25\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::8 51234 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 51234 65536\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 051234 25\r\n",
        b"PROXY TCP4 203.0.113.256 192.0.2.25 51234 25\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.25 51234 25\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.25 ٣ 25\r\n".encode(),
        b"PROXY UNKNOWN " + b"x" * MAX_V1,
        b"\r\n\r\n\0\r\nQUIT\r\n",
        v2(b"\x11\x11", INET),
        v2(b"\x22\x11", INET),
        v2(b"\x21\x41", INET),
        v2(b"\x21\x13", INET),
        v2(b"\x21\x11", INET[:-1]),
        v2(b"\x21\x11", INET + b"\x02\0\x09abc"),
        v2(b"\x21\x11", INET + b"\x02"),
        v2(b"\x21\x11", INET + b"\x03\0\x04\0\0\0\0"),
        v2(b"\x21\x11", INET + b"\x03\0\x01\0"),
        SIGNATURE + b"\x21\x11" + (MAX_V2 - 15).to_bytes(2, "big"),
    ],
)
def test_what_is_no_header_is_a_fault_at_once(octets: bytes) -> None:
    with pytest.raises(ProxyFault):
        read(octets)


def test_a_header_of_the_greatest_length_is_read() -> None:
    longest = v2(b"\x21\x11", INET + b"\x04" + (MAX_V2 - 16 - 12 - 3).to_bytes(2, "big") + bytes(MAX_V2 - 31))
    assert len(longest) == MAX_V2 and read(longest) == (V4, b"")
    line = b"PROXY UNKNOWN ".ljust(MAX_V1 - 2, b"x") + b"\r\n"
    assert read(line) == (ProxyHeader(1), b"")


def test_the_checksum_is_the_one_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    spoilt = bytearray(write_v2(CLIENT, SERVER, checksum=True))
    spoilt[17] ^= 1
    with pytest.raises(ProxyFault, match="checksum"):
        read(bytes(spoilt))


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
ends = st.one_of(st.none(), st.builds(Endpoint, addresses, st.integers(0, 65535)))


@given(ends, ends, st.booleans())
def test_what_is_written_is_read(source: Endpoint | None, destination: Endpoint | None, checksum: bool) -> None:
    same = source and destination and (":" in source.ip) == (":" in destination.ip)
    known = (source, destination) if same else (None, None)
    assert read(write_v1(source, destination)) == (ProxyHeader(1, *known), b"")
    assert read(write_v2(source, destination, checksum=checksum)) == (ProxyHeader(2, *known), b"")


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21"]))
def test_no_octets_raise_anything_but_the_fault(octets: bytes, start: bytes) -> None:
    reader = ProxyReader()
    try:
        for at in range(0, len(octets), 7):
            if reader.feed((start if at == 0 else b"") + octets[at : at + 7]) is not None:
                break
    except ProxyFault:
        pass
