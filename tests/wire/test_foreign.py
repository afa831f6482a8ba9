"""First octets of other protocols, and those of mail that must not be taken for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.foreign import Foreign, foreign_protocol
from estafeta.wire.proxy import SIGNATURE
from estafeta.wire.smtp.verbs import VERBS


@pytest.mark.parametrize(
    ("octets", "foreign"),
    [
        (b"GET / HTTP/1.1\r\nHost: mx\r\n", Foreign.HTTP),
        (b"POST http://mx:25/ HTTP/1.0\r\n", Foreign.HTTP),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Foreign.HTTP),
        (b"CONNECT mx.example.org:25 HTTP/1.1\r\n", Foreign.HTTP),
        (b"OPTIONS sip:nm SIP/2.0\r\n", Foreign.HTTP),
        (b"PROPFIND /dav HTTP/1.1\r\n", Foreign.HTTP),
        (b"GET /", Foreign.HTTP),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Foreign.SSH),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", Foreign.TLS),
        (b"PROXY TCP4 192.0.2.1 192.0.2.25 1 25\r\n", Foreign.PROXY),
        (SIGNATURE + b"\x21\x11", Foreign.PROXY),
        (b"\0\0\0\x85\xffSMBr", Foreign.BINARY),
        (b"\x03\0\0\x13\x0e\xe0", Foreign.BINARY),
        (b"\x16", Foreign.BINARY),
        (b"abc\0def\r\n", Foreign.BINARY),
        (b"\xff\xfb\x1f", Foreign.BINARY),
    ],
)
def test_other_protocols_are_known_by_their_first_octets(octets: bytes, foreign: Foreign) -> None:
    assert foreign_protocol(octets) is foreign


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_no_verb_is_taken_for_another_protocol(verb: str) -> None:
    for line in (verb, f"{verb} x", verb.lower(), f"{verb} a b c"):
        for end in ("\r\n", "\n", ""):
            for cut in range(1, len(line) + 1):
                assert foreign_protocol((line[:cut] + end).encode()) is None


@pytest.mark.parametrize(
    "line", ["", " ", "\t", "EHLO ünïcode", "FOO", "XYZZY /", "GETTING", "ehlo x\r\n\0", "POSTMASTER"]
)
def test_lines_of_people_who_try_are_for_the_engine_to_answer(line: str) -> None:
    assert foreign_protocol(f"{line}\r\n".encode()) is None


@given(st.binary(min_size=1))
def test_anything_can_be_asked(octets: bytes) -> None:
    assert foreign_protocol(octets) in (None, *Foreign)
