"""Each mechanism against its own other side and, for SCRAM, against the library's and the RFC's dialogues."""

from __future__ import annotations

import base64

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire import sasl
from estafeta.wire.sasl.cram import CramServer
from estafeta.wire.sasl.md5 import keyed_states

IDENTITY = "user@example.org"
PASSWORD = "pencil"
BINDING = b"\x01" * 32
SALT = b"0123456789abcdef"

Keys = tuple[bytes, int, bytes, bytes]


def keys_of(password: str, salt: bytes = SALT, mechanism: str = "SCRAM-SHA-256") -> Keys:
    salt, stored_key, server_key, iterations = scramp.ScramMechanism(mechanism).make_auth_info(password, 4096, salt)
    return salt, iterations, stored_key, server_key


def answer(server: sasl.ServerMechanism, step: sasl.Step, password: str = PASSWORD) -> sasl.Step:
    """Plays the owner: looks nothing up, knows one password."""
    match step:
        case sasl.CheckPassword():
            return server.password_checked(step.password == password)
        case sasl.FetchKeys():
            return server.keys_found(*keys_of(password, mechanism=server.name.removesuffix("-PLUS")))
        case sasl.FetchCramKeys():
            assert isinstance(server, CramServer)
            return server.cram_keys_found(keyed_states(password.encode()))
    return step


def converse(client: sasl.ClientMechanism, server: sasl.ServerMechanism, password: str = PASSWORD) -> sasl.Step:
    step = answer(server, server.step(client.initial()), password)
    while isinstance(step, sasl.Challenge):
        step = answer(server, server.step(client.step(step.octets)), password)
    return step


def pair(
    name: str, password: str = PASSWORD, *, at_client: bytes | None, at_server: bytes | None
) -> tuple[sasl.ClientMechanism, sasl.ServerMechanism]:
    return (
        sasl.client_mechanism(name, IDENTITY, password, nonce="client", channel_binding=at_client),
        sasl.server_mechanism(name, nonce="server", channel_binding=at_server),
    )


def server(name: str, binding: bytes | None = None) -> sasl.ServerMechanism:
    return sasl.server_mechanism(name, nonce="server", channel_binding=binding)


@pytest.mark.parametrize("name", sasl.MECHANISMS)
def test_the_right_password_succeeds(name: str) -> None:
    binding = BINDING if name.endswith("-PLUS") else None
    ours, theirs = pair(name, at_client=binding, at_server=binding)
    assert converse(ours, theirs) == sasl.Success(IDENTITY)
    assert ours.is_complete


@pytest.mark.parametrize("name", sasl.MECHANISMS)
def test_a_wrong_password_fails(name: str) -> None:
    binding = BINDING if name.endswith("-PLUS") else None
    ours, theirs = pair(name, "pencils", at_client=binding, at_server=binding)
    step = converse(ours, theirs)
    assert isinstance(step, sasl.Failure)
    assert not step.is_malformed


@pytest.mark.parametrize("name", sasl.MECHANISMS)
def test_a_server_without_initial_response_asks_for_it(name: str) -> None:
    binding = BINDING if name.endswith("-PLUS") else None
    ours, theirs = pair(name, at_client=binding, at_server=binding)
    step = theirs.step(None)
    assert isinstance(step, sasl.Challenge)
    first = ours.initial()
    step = answer(theirs, theirs.step(ours.step(step.octets) if first is None else first))
    while isinstance(step, sasl.Challenge):
        step = answer(theirs, theirs.step(ours.step(step.octets)))
    assert step == sasl.Success(IDENTITY)


@pytest.mark.parametrize("name", sasl.MECHANISMS)
def test_a_client_that_never_responds_fails(name: str) -> None:
    mechanism = server(name, BINDING)
    mechanism.step(None)
    step = mechanism.step(None)
    assert isinstance(step, sasl.Failure)
    assert step.is_malformed


@pytest.mark.rfc("4616 §4", "The example is read.")
def test_plain_reads_the_example_of_the_rfc() -> None:
    # RFC 4616 §4, the second example
    step = server("plain").step(b"Ursel\0Kurt\0xipj3plmq")
    assert step == sasl.CheckPassword("Kurt", "Ursel", "xipj3plmq")


@pytest.mark.rfc("4616 §2", "Messages that are not well formed fail.")
@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"tim",
        b"\0tim",
        b"\0\0secret",
        b"\0tim\0",
        b"\0tim\0sec\0ret",
        b"\0tim\xff\0secret",
        b"\0tim\0\x07",
        b"\0" + b"a" * 1025 + b"\0secret",
        "\0tim\0\u00ad".encode(),  # a soft hyphen is mapped to nothing, and nothing is no password
    ],
)
def test_bad_plain_messages_fail(message: bytes) -> None:
    step = server("PLAIN").step(message)
    assert isinstance(step, sasl.Failure)
    assert step.is_malformed


def test_passwords_are_prepared() -> None:
    # RFC 4013 §3: the no-break space becomes a space, and the roman numeral nine IX
    step = server("PLAIN").step("\0user\0a\u00a0b\u2168".encode())
    assert isinstance(step, sasl.CheckPassword)
    assert step.password == "a bIX"


def test_login_takes_the_identity_as_initial_response() -> None:
    mechanism = server("LOGIN")
    assert mechanism.step(IDENTITY.encode()) == sasl.Challenge(b"Password:")
    assert mechanism.step(b"pencil") == sasl.CheckPassword(IDENTITY, "", "pencil")
    assert mechanism.password_checked(True) == sasl.Success(IDENTITY)


@pytest.mark.parametrize("responses", [[b""], [b"a\0b"], [b"\xff"], [b"user", b""], [b"user", b"x\0"]])
def test_bad_login_messages_fail(responses: list[bytes]) -> None:
    mechanism = server("LOGIN")
    step: sasl.Step = mechanism.step(None)
    for response in responses:
        step = mechanism.step(response)
    assert isinstance(step, sasl.Failure)


def test_a_password_never_shows_in_a_step() -> None:
    assert "pencil" not in repr(server("PLAIN").step(b"\0user\0pencil"))


@pytest.mark.rfc("4422 §3.6", "An exchange that is over takes nothing more.")
def test_an_exchange_that_is_over_takes_nothing_more() -> None:
    mechanism = server("PLAIN")
    mechanism.step(b"\0user\0pencil")
    with pytest.raises(sasl.SaslError):
        mechanism.step(b"\0user\0pencil")
    mechanism.password_checked(False)
    with pytest.raises(sasl.SaslError):
        mechanism.password_checked(True)
    with pytest.raises(sasl.SaslError):
        mechanism.keys_found(*keys_of(PASSWORD))
    scram = server("SCRAM-SHA-256")
    with pytest.raises(sasl.SaslError):
        scram.keys_found(*keys_of(PASSWORD))
    with pytest.raises(sasl.SaslError):
        scram.password_checked(True)


@pytest.mark.rfc("7677 §3", "The dialogue of the example is held.")
def test_scram_holds_the_dialogue_of_the_rfc() -> None:
    # RFC 7677 §3
    ours = sasl.client_mechanism("SCRAM-SHA-256", "user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO", channel_binding=None)
    theirs = sasl.server_mechanism("SCRAM-SHA-256", nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", channel_binding=None)
    first = ours.initial()
    assert first == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert theirs.step(first) == sasl.FetchKeys("user", "")
    challenge = theirs.keys_found(*keys_of("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")))
    assert challenge == sasl.Challenge(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = ours.step(challenge.octets)
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    proof = theirs.step(final)
    assert proof == sasl.Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert not ours.is_complete
    assert ours.step(proof.octets) == b""
    assert ours.is_complete
    assert theirs.step(b"") == sasl.Success("user")


@pytest.mark.parametrize("name", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_the_librarys_own_client_logs_in(name: str) -> None:
    plus = name.endswith("-PLUS")
    client = scramp.ScramClient(
        [name], IDENTITY, PASSWORD, channel_binding=("tls-server-end-point", BINDING) if plus else None
    )
    mechanism = server(name, BINDING)
    assert mechanism.step(client.get_client_first().encode()) == sasl.FetchKeys(IDENTITY, "")
    challenge = mechanism.keys_found(*keys_of(PASSWORD))
    assert isinstance(challenge, sasl.Challenge)
    client.set_server_first(challenge.octets.decode())
    proof = mechanism.step(client.get_client_final().encode())
    assert isinstance(proof, sasl.Challenge)
    client.set_server_final(proof.octets.decode())
    assert mechanism.step(b"") == sasl.Success(IDENTITY)


@pytest.mark.rfc("5802 §7", "The authorization identity is bound into the proof.")
def test_the_authorization_identity_is_bound_into_scram() -> None:
    # The library's client has none to say, so the message is built here (RFC 5802 §5).
    import hashlib
    import hmac

    mechanism = server("SCRAM-SHA-256")
    bare = "n=a=2Cb=3Dc,r=cnonce"
    assert mechanism.step(f"n,a=boss,{bare}".encode()) == sasl.FetchKeys("a,b=c", "boss")
    challenge = mechanism.keys_found(*keys_of(PASSWORD))
    assert isinstance(challenge, sasl.Challenge)
    without_proof = f"c={base64.b64encode(b'n,a=boss,').decode()},r=cnonceserver"
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, 4096)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    said = f"{bare},{challenge.octets.decode()},{without_proof}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), said, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
    assert isinstance(mechanism.step(f"{without_proof},p={proof}".encode()), sasl.Challenge)
    assert mechanism.step(b"") == sasl.Success("a,b=c")


def test_an_authorization_identity_that_was_changed_on_the_way_fails() -> None:
    ours, theirs = pair("SCRAM-SHA-256", at_client=None, at_server=None)
    first = ours.initial()
    assert first is not None
    step = answer(theirs, theirs.step(first.replace(b"n,,", b"n,a=boss,")))
    assert isinstance(step, sasl.Challenge)
    assert isinstance(theirs.step(ours.step(step.octets)), sasl.Failure)


@pytest.mark.rfc("5929 §4", "Somebody's TLS connection between client and server is found out.")
def test_another_tls_connection_between_us_fails() -> None:
    ours, theirs = pair("SCRAM-SHA-256-PLUS", at_client=b"\x02" * 32, at_server=BINDING)
    assert isinstance(converse(ours, theirs), sasl.Failure)


@pytest.mark.rfc("5802 §6", "A client that was kept from seeing -PLUS fails.")
def test_a_client_that_was_kept_from_seeing_plus_fails() -> None:
    # RFC 5802 §6: "y" where we do support channel binding
    ours, theirs = pair("SCRAM-SHA-256", at_client=BINDING, at_server=BINDING)
    first = ours.initial()
    assert first is not None
    assert first.startswith(b"y,,")
    assert isinstance(answer(theirs, theirs.step(first)), sasl.Failure)


def test_a_client_that_sees_no_plus_where_there_is_none_succeeds() -> None:
    ours, theirs = pair("SCRAM-SHA-256", at_client=BINDING, at_server=None)
    assert converse(ours, theirs) == sasl.Success(IDENTITY)


@pytest.mark.parametrize("header", [b"n,,", b"y,,", b"p=tls-unique,,", b"p=tls-exporter,,", b"q,,"])
def test_plus_wants_our_type_of_channel_binding(header: bytes) -> None:
    mechanism = server("SCRAM-SHA-256-PLUS", BINDING)
    assert isinstance(answer(mechanism, mechanism.step(header + b"n=user,r=nonce")), sasl.Failure)


@pytest.mark.rfc("5802 §9", "An unknown user fails like a wrong password.")
def test_made_up_keys_of_an_unknown_user_fail_like_a_wrong_password() -> None:
    ours, theirs = pair("SCRAM-SHA-256", at_client=None, at_server=None)
    assert isinstance(theirs.step(ours.initial()), sasl.FetchKeys)
    challenge = theirs.keys_found(b"x" * 16, 4096, b"y" * 32, b"z" * 32)
    assert isinstance(challenge, sasl.Challenge)
    assert isinstance(theirs.step(ours.step(challenge.octets)), sasl.Failure)


@pytest.mark.rfc("5802 §7", "First messages that are not well formed fail.")
@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=user",
        b"n,,n=,r=x",
        b"n,,n=a=2Db,r=x",
        b"n,,n=a\0b,r=x",
        b"n,,m=ext,n=user,r=x",
        b"n,b=x,n=user,r=x",
        b"n,,n=\xff,r=x",
        b"p=tls-server-end-point,,n=user,r=x",
        b"n,,n=user,r=\xc3\xa4",
        b"n,,n=user,r=" + b"x" * 5000,
    ],
)
def test_bad_first_messages_of_scram_fail(message: bytes) -> None:
    mechanism = server("SCRAM-SHA-256")
    assert isinstance(answer(mechanism, mechanism.step(message)), sasl.Failure)


@given(first=st.binary(max_size=80), final=st.binary(max_size=80))
def test_no_octets_make_a_server_raise(first: bytes, final: bytes) -> None:
    for name in sasl.MECHANISMS:
        mechanism = server(name, BINDING)
        step = mechanism.step(first)
        if isinstance(step, sasl.Challenge):
            step = mechanism.step(final)
        if isinstance(step, sasl.FetchKeys):
            step = mechanism.keys_found(SALT, 4096, b"y" * 32, b"z" * 32)
        assert not isinstance(step, sasl.Success)


@given(final=st.binary(max_size=60))
def test_no_final_message_without_the_keys_succeeds(final: bytes) -> None:
    for message in (final, b"c=biws,r=nonceserver,p=" + base64.b64encode(final)):
        mechanism = server("SCRAM-SHA-256")
        mechanism.step(b"n,,n=user,r=nonce")
        mechanism.keys_found(SALT, 4096, b"y" * 32, b"z" * 32)
        assert isinstance(mechanism.step(message), sasl.Failure)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"\xff",
        b"e=unknown-user",
        b"r=other,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096",
        b"r=clientserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1",
        b"r=clientserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=9000000",
        b"r=clientserver,s=?,i=4096",
    ],
)
def test_a_client_refuses_bad_challenges(challenge: bytes) -> None:
    ours, _ = pair("SCRAM-SHA-256", at_client=None, at_server=None)
    ours.initial()
    with pytest.raises(sasl.SaslError):
        ours.step(challenge)
    assert not ours.is_complete


def test_a_client_does_not_believe_a_server_that_cannot_prove_itself() -> None:
    ours, theirs = pair("SCRAM-SHA-256", at_client=None, at_server=None)
    theirs.step(ours.initial())
    challenge = theirs.keys_found(*keys_of(PASSWORD))
    assert isinstance(challenge, sasl.Challenge)
    ours.step(challenge.octets)
    with pytest.raises(sasl.SaslError):
        ours.step(b"v=" + base64.b64encode(b"0" * 32))
    assert not ours.is_complete


@pytest.mark.parametrize(("identity", "password"), [("", "x"), ("a\0b", "x"), ("a", "x\0y"), ("a\udc80", "x")])
def test_a_client_refuses_what_cannot_be_said(identity: str, password: str) -> None:
    for name in sasl.MECHANISMS:
        with pytest.raises(sasl.SaslError):
            sasl.client_mechanism(name, identity, password, nonce="n", channel_binding=BINDING)


def test_password_mechanisms_are_never_chosen_on_an_insecure_connection() -> None:
    assert sasl.choose_mechanism(["PLAIN", "LOGIN"], False, None) is None
    assert sasl.choose_mechanism(["PLAIN", "login", "SCRAM-SHA-256"], False, None) == "SCRAM-SHA-256"


def test_the_best_mechanism_is_chosen() -> None:
    everything = ["LOGIN", "PLAIN", "scram-sha-256", "SCRAM-SHA-256-PLUS", "GSSAPI"]
    assert sasl.choose_mechanism(everything, True, BINDING) == "SCRAM-SHA-256-PLUS"
    assert sasl.choose_mechanism(everything, True, None) == "SCRAM-SHA-256"
    assert sasl.choose_mechanism(["LOGIN", "PLAIN"], True, None) == "PLAIN"
    assert sasl.choose_mechanism(["LOGIN"], True, None) == "LOGIN"
    assert sasl.choose_mechanism(["GSSAPI"], True, BINDING) is None


@pytest.mark.rfc("5802 §6", "-PLUS is offered only where there is something to bind.")
def test_a_server_offers_plus_only_where_there_is_something_to_bind() -> None:
    assert sasl.offered(sasl.SERVER_MECHANISMS, True, BINDING) == sasl.SERVER_MECHANISMS
    assert sasl.offered(sasl.SERVER_MECHANISMS, True, None) == sasl.SERVER_MECHANISMS[1:]
    assert sasl.offered(sasl.SERVER_MECHANISMS, False, None) == ("SCRAM-SHA-256", "SCRAM-SHA-1")
    with pytest.raises(sasl.SaslError):
        server("SCRAM-SHA-256-PLUS")
    with pytest.raises(sasl.SaslError):
        server("GSSAPI")


@pytest.mark.rfc("4013", "What SASLprep prohibits is refused.")
def test_preparation_prohibits_what_the_rfc_prohibits() -> None:
    # RFC 4013 §3
    assert sasl.prepare("I\u00adX") == "IX"
    assert sasl.prepare("user") == "user"
    assert sasl.prepare("USER") == "USER"
    assert sasl.prepare("\u00aa") == "a"
    for text in ("\u0007", "\u06271"):
        with pytest.raises(sasl.SaslError):
            sasl.prepare(text)
