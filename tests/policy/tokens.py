"""Tokens and the keys that sign them, as an authorization server has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example.org/realms/mail"
AUDIENCE = "mail"
NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Signer:
    """A key of the issuer."""

    name: str
    algorithm: str
    key: Any

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half, as the issuer publishes it."""
        public = self.key.public_key()
        if self.algorithm[:2] in ("RS", "PS"):
            described = RSAAlgorithm.to_jwk(public, as_dict=True)
        elif self.algorithm[:2] == "ES":
            described = ECAlgorithm.to_jwk(public, as_dict=True)
        else:
            described = OKPAlgorithm.to_jwk(public, as_dict=True)
        return dict(described) | {"kid": self.name, "use": "sig"}

    def sign(self, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token of this issuer for this server that lives an hour, but for what `claims` say; None takes one away."""
        said = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": NOW + 3600,
            "email": "ana@example.org",
        } | claims
        payload = {name: value for name, value in said.items() if value is not None}
        headers = {name: value for name, value in ({"kid": self.name} | (header or {})).items() if value is not None}
        return jwt.PyJWS().encode(json.dumps(payload).encode(), self.key, self.algorithm, headers)


@cache
def signer(algorithm: str, name: str = "first") -> Signer:
    """The key of this name, always the same."""
    if algorithm[:2] in ("RS", "PS"):
        return Signer(name, algorithm, rsa.generate_private_key(65537, 2048))
    if algorithm == "ES256":
        return Signer(name, algorithm, ec.generate_private_key(ec.SECP256R1()))
    if algorithm == "ES384":
        return Signer(name, algorithm, ec.generate_private_key(ec.SECP384R1()))
    return Signer(name, algorithm, ed25519.Ed25519PrivateKey.generate())


def key_set(*signers: Signer) -> str:
    """The document at jwks_url."""
    return json.dumps({"keys": [each.jwk for each in signers]})
