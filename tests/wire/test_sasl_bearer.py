"""OAUTHBEARER, XOAUTH2 and EXTERNAL: each against its own other side, and against the examples of the standards."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire import sasl
from estafeta.wire.sasl.bearer import MAX_ERROR

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
USER = "user@example.com"
REFUSED = sasl.TokenError("invalid_token", "example_scope", "https://example.com/.well-known/openid-config")


def server(name: str) -> sasl.BearerServer:
    made = sasl.server_mechanism(name, nonce="", channel_binding=None)
    assert isinstance(made, sasl.BearerServer)
    return made


def malformed(name: str, response: bytes) -> bool:
    step = server(name).step(response)
    return isinstance(step, sasl.Failure) and step.is_malformed


@pytest.mark.rfc("7628 §4.1", "The initial responses of the examples for IMAP and SMTP are read.")
@pytest.mark.parametrize(
    "encoded",
    [
        "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyI"
        "HZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB",
        "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyI"
        "HZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB",
    ],
)
def test_the_successful_examples_are_read(encoded: str) -> None:
    mechanism = server("oauthbearer")
    step = mechanism.step(base64.b64decode(encoded))
    assert step == sasl.CheckToken(USER, TOKEN)
    assert TOKEN not in repr(step)
    assert mechanism.token_checked(USER) == sasl.Success(USER)


@pytest.mark.rfc("7628 §3.1", "The client says what the example says.")
def test_the_client_says_what_the_example_says() -> None:
    client = sasl.BearerClient("OAUTHBEARER", USER, TOKEN, "server.example.com", 587)
    wanted = f"n,a={USER},\x01host=server.example.com\x01port=587\x01auth=Bearer {TOKEN}\x01\x01"
    assert client.initial() == wanted.encode()
    assert client.is_complete


@pytest.mark.rfc("7628 §4.3", "A client that shows no token is told of the scope.")
@pytest.mark.rfc("7628 §3.2.2", "The server's error is the JSON document of the example.")
@pytest.mark.rfc("7628 §3.2.3", "The client's dummy response ends the exchange.")
@pytest.mark.parametrize("dummy", [b"\x01", b"", b"anything"])
def test_the_failed_example(dummy: bytes) -> None:
    mechanism = server("OAUTHBEARER")
    example = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9AQE="
    assert mechanism.step(base64.b64decode(example)) == sasl.CheckToken(USER, "")
    step = mechanism.token_checked(None, REFUSED)
    assert isinstance(step, sasl.Challenge)
    assert base64.b64encode(step.octets).decode() == (
        "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczov"
        "L2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWcifQ=="
    )
    ended = mechanism.step(dummy)
    assert isinstance(ended, sasl.Failure) and not ended.is_malformed
    with pytest.raises(sasl.SaslError):
        mechanism.step(dummy)


def test_scope_and_configuration_are_said_only_where_there_are_any() -> None:
    mechanism = server("OAUTHBEARER")
    mechanism.step(b"n,,\x01auth=Bearer abc\x01\x01")
    step = mechanism.token_checked(None)
    assert isinstance(step, sasl.Challenge)
    assert json.loads(step.octets) == {"status": "invalid_token"}


def test_xoauth2_reads_the_example_of_its_author() -> None:
    example = (
        "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1s"
        "emRHRXVZMjl0CgEB"
    )
    decoded = base64.b64decode(example).replace(b"\n", b"")
    assert server("XOAUTH2").step(decoded) == sasl.CheckToken(
        "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29t"
    )


def test_xoauth2_says_the_error_as_its_author_does() -> None:
    client, mechanism = sasl.BearerClient("XOAUTH2", USER, TOKEN), server("XOAUTH2")
    mechanism.step(client.initial())
    step = mechanism.token_checked(None, sasl.TokenError("invalid_token", "https://mail.google.com/"))
    assert isinstance(step, sasl.Challenge)
    assert json.loads(step.octets) == {"status": "401", "schemes": "bearer", "scope": "https://mail.google.com/"}
    assert client.step(step.octets) == b""
    assert client.error == sasl.TokenError("401", "https://mail.google.com/")
    assert isinstance(mechanism.step(b""), sasl.Failure)


@pytest.mark.parametrize("name", sasl.TOKEN_MECHANISMS)
@pytest.mark.parametrize("identity", [USER, "josé,=2@example.com", "=2C@example.com"])
def test_both_sides_understand_each_other(name: str, identity: str) -> None:
    client, mechanism = sasl.BearerClient(name, identity, TOKEN, "mx.example.com", 465), server(name)
    asked = mechanism.step(None)
    assert asked == sasl.Challenge(b"")
    assert mechanism.step(client.initial()) == sasl.CheckToken(identity, TOKEN)
    assert mechanism.token_checked(identity) == sasl.Success(identity)
    assert client.is_complete


@pytest.mark.rfc("7628 §3.2.3", "The client answers the error with one %x01, and does not take the login for done.")
def test_the_client_learns_why_and_ends_the_exchange() -> None:
    client, mechanism = sasl.BearerClient("OAUTHBEARER", USER, TOKEN), server("OAUTHBEARER")
    mechanism.step(client.initial())
    step = mechanism.token_checked(None, REFUSED)
    assert isinstance(step, sasl.Challenge)
    assert client.step(step.octets) == b"\x01"
    assert client.error == REFUSED
    assert not client.is_complete
    with pytest.raises(sasl.SaslError):
        client.step(b"{}")


@pytest.mark.parametrize(
    "said", [b"", b"no json", b"[]", b'{"status": 5}', b"[" * 5000, b'{"status":"' + b"x" * MAX_ERROR + b'"}', b"\xff"]
)
def test_an_error_that_is_none_does_not_trouble_the_client(said: bytes) -> None:
    client = sasl.BearerClient("OAUTHBEARER", USER, TOKEN)
    client.initial()
    assert client.step(said) == b"\x01"
    assert client.error == sasl.TokenError()


@pytest.mark.rfc("7628 §3.1", "Keys that are not known are ignored, and so are host and port.")
@pytest.mark.rfc("7628 §4", "The word Bearer comes in any case.")
@pytest.mark.parametrize(
    "response",
    [
        b"n,,\x01auth=Bearer abc\x01\x01",
        b"y,,\x01auth=bearer abc\x01\x01",
        b"n,,\x01auth=BeArEr  abc\x01\x01",
        b"n,,\x01host=x\x01auth=Bearer abc\x01port=0\x01\x01",
        b"n,,\x01qs=a=b&c d\t\r\n\x01auth=Bearer abc\x01\x01",
    ],
)
def test_what_may_be_said_in_other_words(response: bytes) -> None:
    assert server("OAUTHBEARER").step(response) == sasl.CheckToken("", "abc")


@pytest.mark.rfc("7628 §3.1", "What is not client-resp fails.")
@pytest.mark.parametrize(
    "response",
    [
        b"n,user=someuser@example.com,\x01auth=Bearer abc\x01\x01",  # as in §4.4, against the grammar
        b"",
        b"\x01",
        b"\x01\x01",
        b"n,,",
        b"n,,\x01\x01",
        b"n,,\x01auth=Bearer abc\x01",
        b"n,,\x01auth=Bearer abc",
        b"n,,\x01auth=Bearer abc\x01\x01\x01",
        b"n,,auth=Bearer abc\x01\x01",
        b"p=tls-server-end-point,,\x01auth=Bearer abc\x01\x01",
        b"n,a=,\x01auth=Bearer abc\x01\x01",
        b"n,a=a,b,\x01auth=Bearer abc\x01\x01",
        b"n,a=a=2Db,\x01auth=Bearer abc\x01\x01",
        b"n,a=\xff,\x01auth=Bearer abc\x01\x01",
        b"n,a=\x07,\x01auth=Bearer abc\x01\x01",
        b"n,,\x01auth=Bearer\x01\x01",
        b"n,,\x01auth=Bearer a b\x01\x01",
        b"n,,\x01auth=Bearer a=b\x01\x01",
        b"n,,\x01auth=Bearer \xc3\xa9\x01\x01",
        b"n,,\x01auth=Basic abc\x01\x01",
        b"n,,\x01auth=Bearer abc\x01auth=Bearer abc\x01\x01",
        b"n,,\x01host=\0\x01auth=Bearer abc\x01\x01",
        b"n,,\x01ho st=x\x01auth=Bearer abc\x01\x01",
        b"n,,\x01host\x01auth=Bearer abc\x01\x01",
        b"n,,\x01auth=Bearer " + b"a" * (sasl.MAX_TOKEN + 1) + b"\x01\x01",
        b"n,a=" + b"a" * 1025 + b",\x01auth=Bearer abc\x01\x01",
        b"n,,\x01host=" + b"a" * 20_000 + b"\x01auth=Bearer abc\x01\x01",
    ],
)
def test_malformed_oauthbearer_fails(response: bytes) -> None:
    assert malformed("OAUTHBEARER", response)


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"user=a",
        b"user=a\x01auth=Bearer abc\x01",
        b"user=\x01auth=Bearer abc\x01\x01",
        b"user=a\x01auth=Basic abc\x01\x01",
        b"auth=Bearer abc\x01user=a\x01\x01",
        b"user=a\xff\x01auth=Bearer abc\x01\x01",
        b"user=a\x01auth=Bearer " + b"a" * (sasl.MAX_TOKEN + 1) + b"\x01\x01",
    ],
)
def test_malformed_xoauth2_fails(response: bytes) -> None:
    assert malformed("XOAUTH2", response)


def test_a_token_of_the_largest_size_is_read() -> None:
    token = "a" * sasl.MAX_TOKEN
    response = sasl.BearerClient("OAUTHBEARER", USER, token, "mx.example.com", 587).initial()
    assert server("OAUTHBEARER").step(response) == sasl.CheckToken(USER, token)


@pytest.mark.parametrize("name", sasl.TOKEN_MECHANISMS)
@given(response=st.binary(max_size=60) | st.text("nya=,\x01uthBer c", max_size=40).map(str.encode))
def test_any_octets_are_read_or_fail(name: str, response: bytes) -> None:
    step = server(name).step(response)
    assert isinstance(step, sasl.CheckToken) or (isinstance(step, sasl.Failure) and step.is_malformed)


@pytest.mark.parametrize("name", sasl.TOKEN_MECHANISMS)
def test_a_server_that_is_driven_out_of_order_says_so(name: str) -> None:
    mechanism = server(name)
    with pytest.raises(sasl.SaslError):
        mechanism.token_checked(USER)
    mechanism.step(None)
    failed = mechanism.step(None)
    assert isinstance(failed, sasl.Failure) and failed.is_malformed
    mechanism = server(name)
    mechanism.step(sasl.BearerClient(name, USER, TOKEN).initial())
    with pytest.raises(sasl.SaslError):
        mechanism.step(b"")


@pytest.mark.parametrize(
    ("identity", "token"), [("", TOKEN), ("a\x01b", TOKEN), (USER, ""), (USER, "a b"), (USER, "é"), ("\ud800", TOKEN)]
)
def test_the_client_says_nothing_that_could_be_misread(identity: str, token: str) -> None:
    for name in sasl.TOKEN_MECHANISMS:
        with pytest.raises(sasl.SaslError):
            sasl.BearerClient(name, identity, token)


# EXTERNAL


def external(identity: str = USER) -> sasl.ServerMechanism:
    return sasl.server_mechanism("external", nonce="", channel_binding=None, certified=identity)


@pytest.mark.rfc(
    "4422 appendix A.1", "An empty response asks to act as whom the certificate names, another to act for somebody."
)
@pytest.mark.parametrize("authorization", ["", USER, "josé@example.com"])
@pytest.mark.parametrize("asks", [True, False])
def test_external_says_whom_to_act_for(authorization: str, asks: bool) -> None:
    client, mechanism = sasl.ExternalClient(authorization), external()
    if asks:
        assert mechanism.step(None) == sasl.Challenge(b"")
    assert mechanism.step(client.initial()) == sasl.CheckCertificate(USER, authorization)
    assert client.is_complete


@pytest.mark.parametrize("response", [None, b"\0", b"a\0b", b"\xff", b"\x07", b"a" * 1025])
def test_malformed_external_fails(response: bytes | None) -> None:
    mechanism = external()
    mechanism.step(None)
    step = mechanism.step(response)
    assert isinstance(step, sasl.Failure) and step.is_malformed
    with pytest.raises(sasl.SaslError):
        mechanism.step(b"")


def test_external_is_nothing_without_a_certificate() -> None:
    with pytest.raises(sasl.SaslError):
        sasl.server_mechanism("EXTERNAL", nonce="", channel_binding=None)
    with pytest.raises(sasl.SaslError):
        sasl.ExternalClient("a\0b")
    with pytest.raises(sasl.SaslError):
        sasl.ExternalClient().step(b"")
