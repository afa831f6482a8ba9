"""EXTERNAL (RFC 4422 appendix A), both sides: who the client is was shown outside of it, by its certificate in TLS."""

from __future__ import annotations

from estafeta.wire.sasl.messages import BadMessage, prepared
from estafeta.wire.sasl.steps import EXTERNAL, Challenge, CheckCertificate, Failure, SaslError, Step


class ExternalServer:
    """The server's side of one exchange; `identity` is whom the certificate names."""

    name = EXTERNAL

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._is_prompted = False
        self._is_over = False

    def step(self, response: bytes | None) -> Step:
        """Take the authorization identity; raises SaslError when it is not the client's turn."""
        if self._is_over:
            raise SaslError("not the turn of the client")
        if response is None and not self._is_prompted:
            self._is_prompted = True
            return Challenge(b"")
        self._is_over = True
        if response is None:
            return Failure("no response", is_malformed=True)
        # RFC 4422 appendix A.1: initial-response = *( UTF8-char-no-nul ); of no octets: to act for itself
        try:
            if b"\0" in response:
                raise BadMessage("NUL")
            authorization = prepared(response, "authorization identity") if response else ""
        except BadMessage as error:
            return Failure(str(error), is_malformed=True)
        return CheckCertificate(self._identity, authorization)

    def password_checked(self, ok: bool) -> Step:
        """Not asked for; raises SaslError."""
        raise SaslError("EXTERNAL asks for no password")

    def keys_found(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> Step:
        """Not asked for; raises SaslError."""
        raise SaslError("EXTERNAL asks for no keys")


class ExternalClient:
    """The client's side of one exchange; `authorization` is empty for whom the certificate names."""

    name = EXTERNAL

    def __init__(self, authorization: str = "") -> None:
        if "\0" in authorization:
            raise SaslError("authorization identity contains NUL")
        try:
            self._message = authorization.encode()
        except UnicodeEncodeError:
            raise SaslError("authorization identity cannot be said in UTF-8") from None
        self.is_complete = False

    def initial(self) -> bytes | None:
        """The authorization identity, which may have no octets."""
        self.is_complete = True
        return self._message

    def step(self, challenge: bytes) -> bytes:
        """There is nothing to respond; raises SaslError."""
        raise SaslError("EXTERNAL has nothing more to say")
