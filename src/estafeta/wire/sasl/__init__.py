"""SASL mechanisms as steps, both sides: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and -PLUS (RFC 5802, 7677).

A mechanism neither reads nor looks anything up. The server's side says what it needs (a password to be
checked, the keys of an identity) and is told; the client's side turns challenges into responses. Nonces
and channel bindings are given. Base64, and the `*` that gives an exchange up, are the protocol's matter.
"""

from __future__ import annotations

from estafeta.wire.sasl.client import MAX_CLIENT_ITERATIONS, ClientMechanism, client_mechanism
from estafeta.wire.sasl.messages import MAX_FIELD, prepare
from estafeta.wire.sasl.offer import choose_mechanism, offered
from estafeta.wire.sasl.server import MAX_RESPONSE, ServerMechanism, server_mechanism
from estafeta.wire.sasl.steps import (
    LOGIN,
    MECHANISMS,
    PLAIN,
    SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS,
    SERVER_MECHANISMS,
    Challenge,
    CheckPassword,
    Failure,
    FetchKeys,
    SaslError,
    Step,
    Success,
)

__all__ = [
    "LOGIN",
    "MAX_CLIENT_ITERATIONS",
    "MAX_FIELD",
    "MAX_RESPONSE",
    "MECHANISMS",
    "PLAIN",
    "SCRAM_SHA_256",
    "SCRAM_SHA_256_PLUS",
    "SERVER_MECHANISMS",
    "Challenge",
    "CheckPassword",
    "ClientMechanism",
    "Failure",
    "FetchKeys",
    "SaslError",
    "ServerMechanism",
    "Step",
    "Success",
    "choose_mechanism",
    "client_mechanism",
    "offered",
    "prepare",
    "server_mechanism",
]
