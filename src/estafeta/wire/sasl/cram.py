"""CRAM-MD5, both sides: the password is not sent, but whoever listens can try passwords against it (RFC 2195)."""

from __future__ import annotations

import hmac
from typing import Final

from estafeta.wire.sasl.md5 import keyed_hash
from estafeta.wire.sasl.messages import BadMessage, prepared
from estafeta.wire.sasl.steps import CRAM_MD5, Challenge, Failure, FetchCramKeys, SaslError, Step, Success

# A name of RFC 2195 §2 with 32 digits behind it; names here have 1024 octets at most.
_MAX_RESPONSE: Final = 1100
# Longer challenges than anybody sends are work that a hostile server asks for.
_MAX_CHALLENGE: Final = 1024


class CramServer:
    """The server's side; see ServerMechanism."""

    name = CRAM_MD5

    def __init__(self, nonce: str) -> None:
        # RFC 2195 §2: of the syntax of a msg-id, and new each time.
        self._challenge = f"<{nonce}@estafeta>".encode()
        self._is_asked = False
        self._fetching: tuple[str, bytes] | None = None

    def step(self, response: bytes | None) -> Step:
        """Take the client's response."""
        if self._fetching is not None:
            raise SaslError("not the turn of the client")
        if not self._is_asked:
            self._is_asked = True
            # RFC 4954 §4: the server speaks first here, so that an initial response is a fault.
            return Failure("an initial response", is_malformed=True) if response else Challenge(self._challenge)
        try:
            return self._take(response or b"")
        except BadMessage as error:
            return Failure(str(error), is_malformed=True)

    def _take(self, response: bytes) -> Step:
        # RFC 2195 §2: the user name, a space, and the keyed digest in lower-case hexadecimal
        name, space, digest = response.rpartition(b" ")
        if not space or len(response) > _MAX_RESPONSE or len(digest) != 32:
            raise BadMessage("not a name and a digest")
        self._fetching = prepared(name, "identity"), digest
        return FetchCramKeys(self._fetching[0])

    def cram_keys_found(self, keys: bytes) -> Step:
        """Go on after FetchCramKeys."""
        if self._fetching is None:
            raise SaslError("no keys are being fetched")
        identity, digest = self._fetching
        expected = keyed_hash(keys, self._challenge).hex().encode()
        return Success(identity) if hmac.compare_digest(expected, digest) else Failure("wrong identity or password")

    def keys_found(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> Step:
        """Never its turn."""
        raise SaslError("CRAM-MD5 asks for keys of its own")

    def password_checked(self, ok: bool) -> Step:
        """Never its turn."""
        raise SaslError("CRAM-MD5 asks for no password")


class CramClient:
    """The client's side; see ClientMechanism."""

    name = CRAM_MD5

    def __init__(self, identity: str, password: str) -> None:
        self._identity = identity.encode()
        self._password = password.encode()
        self.is_complete = False

    def initial(self) -> bytes | None:
        """The server speaks first."""
        return None

    def step(self, challenge: bytes) -> bytes:
        """The name and the keyed digest; raises SaslError."""
        if self.is_complete or len(challenge) > _MAX_CHALLENGE:
            raise SaslError("CRAM-MD5 has nothing more to say")
        self.is_complete = True
        digest = hmac.digest(self._password, challenge, "md5").hex()
        return self._identity + b" " + digest.encode()
