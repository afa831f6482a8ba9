"""Whatever is said in a SASL exchange, on either side: nothing is raised but SaslError, nobody succeeds without the
password, no text of the client's holds a NUL, and a server that knows no keys is never believed."""

from __future__ import annotations

import base64
import re

from tests.fuzz.inputs import Input, Program

from estafeta.wire import sasl
from estafeta.wire.sasl.cram import CramServer

BINDING = b"\x07" * 32
SALT, ITERATIONS = b"0123456789abcdef", 4096
# The keys of nobody's password: no proof fits them.
KEYS = (SALT, ITERATIONS, b"\1" * 32, b"\2" * 32)
MAX_STEPS = 8

# As a real exchange begins, so that the fuzzer need not find it.
_FIRST = b"r=nonceserver,s=" + base64.b64encode(SALT) + b",i=4096"
_WORK = re.compile(rb"i=[0-9]{5}")


def server(given: Input) -> sasl.ServerMechanism:
    """Each of the mechanisms, by the cut."""
    names = (*sasl.SERVER_MECHANISMS, sasl.CRAM_MD5, sasl.EXTERNAL, sasl.OAUTHBEARER, sasl.XOAUTH2)
    name = names[given.cut % len(names)]
    binding = BINDING if given.has(1) or name == sasl.SCRAM_SHA_256_PLUS else None
    return sasl.server_mechanism(name, nonce="server", channel_binding=binding, certified="user")


def answer(mechanism: sasl.ServerMechanism, step: sasl.Step | None, program: Program) -> sasl.Step:
    """What the owner says, who knows nobody, or what the client says."""
    match step:
        case sasl.CheckPassword(identity, authorization, password):
            assert identity and password and "\0" not in identity + authorization + password
            assert len(identity.encode()) <= 4 * sasl.MAX_FIELD
            return mechanism.password_checked(False)
        case sasl.FetchKeys(identity, authorization):
            assert identity and "\0" not in identity + authorization
            return mechanism.keys_found(*KEYS)
        case sasl.FetchCramKeys(identity):
            assert identity and "\0" not in identity and isinstance(mechanism, CramServer)
            return mechanism.cram_keys_found(b"\1" * 32)
        case sasl.CheckToken(_, token):
            assert token.isascii() and isinstance(mechanism, sasl.BearerServer)
            return mechanism.token_checked(None)
        case sasl.CheckCertificate():
            return sasl.Failure("nobody's certificate")
        case _:
            size = program.number()
            return mechanism.step(None if size == 255 else program.octets(size))


def serve(given: Input) -> None:
    """The server's side, its client hostile."""
    mechanism, program = server(given), Program(given.octets)
    step: sasl.Step | None = None
    for _ in range(MAX_STEPS):
        if isinstance(step, sasl.Failure | sasl.Success):
            break
        try:
            step = answer(mechanism, step, program)
        except sasl.SaslError:
            break
    assert not isinstance(step, sasl.Success), step


def client(given: Input) -> sasl.ClientMechanism:
    """Each of the mechanisms, by the cut."""
    names = (*sasl.MECHANISMS, sasl.CRAM_MD5, sasl.EXTERNAL, sasl.OAUTHBEARER, sasl.XOAUTH2)
    name = names[given.cut % len(names)]
    if name in (sasl.OAUTHBEARER, sasl.XOAUTH2):
        return sasl.BearerClient(name, "user", "token", "mx.example.org", 25)
    if name == sasl.EXTERNAL:
        return sasl.ExternalClient()
    binding = BINDING if name == sasl.SCRAM_SHA_256_PLUS or given.has(1) else None
    return sasl.client_mechanism(name, "user", "pencil", nonce="nonce", channel_binding=binding)


def log_in(given: Input) -> None:
    """The client's side, its server hostile and without the keys."""
    if _WORK.search(given.octets):  # many iterations are allowed, and take long
        return
    mechanism, program = client(given), Program(given.octets)
    mechanism.initial()
    for number in range(MAX_STEPS):
        size = program.number()
        challenge = _FIRST if size == 255 and number == 0 else program.octets(size)
        try:
            response = mechanism.step(challenge)
        except sasl.SaslError:
            break
        if mechanism.name.startswith("SCRAM"):
            assert not mechanism.is_complete
        if mechanism.name not in (sasl.PLAIN, sasl.LOGIN):
            assert b"pencil" not in response


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    if given.has(0):
        serve(given)
    else:
        log_in(given)
