"""SASL mechanisms as steps, both sides: PLAIN (RFC 4616), LOGIN, SCRAM (RFC 5802, 7677), CRAM-MD5 (RFC 2195),
OAUTHBEARER (RFC 7628), XOAUTH2, EXTERNAL (RFC 4422).

A mechanism neither reads nor looks anything up. The server's side says what it needs (a password to be
checked, the keys of an identity) and is told; the client's side turns challenges into responses. Nonces
and channel bindings are given. Base64, and the `*` that gives an exchange up, are the protocol's matter.
"""

from __future__ import annotations

from estafeta.wire.sasl.bearer import MAX_TOKEN, BearerClient, BearerServer, TokenError
from estafeta.wire.sasl.client import MAX_CLIENT_ITERATIONS, ClientMechanism, client_mechanism
from estafeta.wire.sasl.external import ExternalClient, ExternalServer
from estafeta.wire.sasl.keys import ScramKeys
from estafeta.wire.sasl.messages import MAX_FIELD, prepare
from estafeta.wire.sasl.offer import choose_mechanism, offered
from estafeta.wire.sasl.server import MAX_RESPONSE, ServerMechanism, server_mechanism
from estafeta.wire.sasl.steps import (
    CRAM_MD5,
    EXTERNAL,
    LOGIN,
    MECHANISMS,
    OAUTHBEARER,
    PLAIN,
    SCRAM_SHA_1,
    SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS,
    SERVER_MECHANISMS,
    TOKEN_MECHANISMS,
    XOAUTH2,
    Challenge,
    CheckCertificate,
    CheckPassword,
    CheckToken,
    Failure,
    FetchCramKeys,
    FetchKeys,
    SaslError,
    Step,
    Success,
)

__all__ = [
    "CRAM_MD5",
    "EXTERNAL",
    "LOGIN",
    "MAX_CLIENT_ITERATIONS",
    "MAX_FIELD",
    "MAX_RESPONSE",
    "MAX_TOKEN",
    "MECHANISMS",
    "OAUTHBEARER",
    "PLAIN",
    "SCRAM_SHA_1",
    "SCRAM_SHA_256",
    "SCRAM_SHA_256_PLUS",
    "SERVER_MECHANISMS",
    "TOKEN_MECHANISMS",
    "XOAUTH2",
    "BearerClient",
    "BearerServer",
    "Challenge",
    "CheckCertificate",
    "CheckPassword",
    "CheckToken",
    "ClientMechanism",
    "ExternalClient",
    "ExternalServer",
    "Failure",
    "FetchCramKeys",
    "FetchKeys",
    "SaslError",
    "ScramKeys",
    "ServerMechanism",
    "Step",
    "Success",
    "TokenError",
    "choose_mechanism",
    "client_mechanism",
    "offered",
    "prepare",
    "server_mechanism",
]
