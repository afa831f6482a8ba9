"""CRAM-MD5, both sides, and the keyed hash from kept states that the server's needs (RFC 2195, RFC 2104)."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire import sasl
from estafeta.wire.sasl.cram import CramClient, CramServer
from estafeta.wire.sasl.md5 import finish, keyed_hash, keyed_states

# RFC 2195 §2
CHALLENGE = b"<1896.697170952@postoffice.reston.mci.net>"
RESPONSE = b"tim b913a602c7eda7a495b4e6e7334d3890"
PASSWORD = "tanstaaftanstaaf"


@pytest.mark.rfc("2195 §2", "The example of the standard.")
def test_the_example_of_the_standard() -> None:
    assert CramClient("tim", PASSWORD).step(CHALLENGE) == RESPONSE
    assert keyed_hash(keyed_states(PASSWORD.encode()), CHALLENGE).hex() == RESPONSE[4:].decode()


@pytest.mark.rfc("2104 §4", "States that are kept in place of the key give the same hash.")
@given(st.binary(max_size=200), st.binary(max_size=300))
def test_kept_states_hash_as_the_key_does(key: bytes, text: bytes) -> None:
    states = keyed_states(key)
    assert len(states) == 32
    assert keyed_hash(states, text) == hmac.digest(key, text, "md5")


@given(st.binary(max_size=300))
def test_a_hash_from_the_beginning_is_md5(text: bytes) -> None:
    start = bytes.fromhex("0123456789abcdeffedcba9876543210")
    assert finish(start, text, 0) == hashlib.md5(text, usedforsecurity=False).digest()


def play(client: CramClient, keys: bytes) -> sasl.Step:
    """Both sides face to face."""
    server = sasl.server_mechanism("CRAM-MD5", nonce="n0nce", channel_binding=None)
    assert isinstance(server, CramServer)
    challenge = server.step(None)
    assert challenge == sasl.Challenge(b"<n0nce@estafeta>")
    fetch = server.step(client.step(b"<n0nce@estafeta>"))
    assert fetch == sasl.FetchCramKeys("ana@example.org")
    return server.cram_keys_found(keys)


def test_both_sides_agree_on_a_password_alone() -> None:
    keys = keyed_states("correct horse ñ".encode())
    assert play(CramClient("ana@example.org", "correct horse ñ"), keys) == sasl.Success("ana@example.org")
    wrong = play(CramClient("ana@example.org", "correct horse n"), keys)
    assert isinstance(wrong, sasl.Failure) and not wrong.is_malformed


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"ana",
        b"ana ",
        b" " + b"0" * 32,
        b"ana " + b"0" * 31,
        b"ana " + b"0" * 33,
        b"\xff " + b"0" * 32,
        b"a\0b " + b"0" * 32,
        b"x" * 1100 + b" " + b"0" * 32,
    ],
)
def test_what_is_no_response_is_malformed(response: bytes) -> None:
    server = CramServer("n")
    server.step(None)
    failure = server.step(response)
    assert isinstance(failure, sasl.Failure) and failure.is_malformed


@pytest.mark.rfc("4954 §4", "An initial response to a mechanism where the server speaks first is a fault.")
def test_an_initial_response_is_a_fault() -> None:
    failure = CramServer("n").step(RESPONSE)
    assert isinstance(failure, sasl.Failure) and failure.is_malformed


def test_nobody_speaks_out_of_turn() -> None:
    server = CramServer("n")
    with pytest.raises(sasl.SaslError):
        server.cram_keys_found(b"\0" * 32)
    with pytest.raises(sasl.SaslError):
        server.password_checked(True)
    with pytest.raises(sasl.SaslError):
        server.keys_found(b"", 1, b"", b"")
    server.step(None)
    server.step(RESPONSE)
    with pytest.raises(sasl.SaslError):
        server.step(RESPONSE)
    client = CramClient("tim", PASSWORD)
    with pytest.raises(sasl.SaslError):
        client.step(b"x" * 2000)
    client.step(CHALLENGE)
    with pytest.raises(sasl.SaslError):
        client.step(CHALLENGE)
