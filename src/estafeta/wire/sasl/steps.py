"""What the server's side of a mechanism says next, the names of the mechanisms, and the error of both sides."""

from __future__ import annotations

from typing import Final, TypeAlias

from estafeta.mail.value import value

SCRAM_SHA_256_PLUS: Final = "SCRAM-SHA-256-PLUS"
SCRAM_SHA_256: Final = "SCRAM-SHA-256"
SCRAM_SHA_1: Final = "SCRAM-SHA-1"
PLAIN: Final = "PLAIN"
LOGIN: Final = "LOGIN"
CRAM_MD5: Final = "CRAM-MD5"
OAUTHBEARER: Final = "OAUTHBEARER"
XOAUTH2: Final = "XOAUTH2"
EXTERNAL: Final = "EXTERNAL"

# Not done of RFC 4422 §3.7: security layers; TLS is in their place.
MECHANISMS: Final = (SCRAM_SHA_256_PLUS, SCRAM_SHA_256, SCRAM_SHA_1, PLAIN, LOGIN, CRAM_MD5)
"""All that take a password, the best first."""
SERVER_MECHANISMS: Final = MECHANISMS
"""What a server can offer, the best first."""
TOKEN_MECHANISMS: Final = (OAUTHBEARER, XOAUTH2)
"""Those that take a bearer token of OAuth 2.0, the best first."""


class SaslError(Exception):
    """The client's side cannot go on, or a mechanism was driven out of order."""


@value
class Challenge:
    """Send these octets to the client, and give its response to `step`."""

    octets: bytes


@value
class CheckPassword:
    """Check the password, then call `password_checked`.

    `authorization` is whom the client wants to act for, empty when for itself; the owner decides on it.
    """

    identity: str
    authorization: str
    password: str

    def __repr__(self) -> str:
        return f"CheckPassword({self.identity!r}, {self.authorization!r}, password=…)"


@value
class FetchKeys:
    """Fetch the SCRAM keys of the identity, or make up such that fit none, then call `keys_found`.

    `authorization` is whom the client wants to act for, empty when for itself; the owner decides on it.
    """

    identity: str
    authorization: str


@value
class FetchCramKeys:
    """Fetch the keys of CRAM-MD5 of the identity, or make up such that fit none, then call `cram_keys_found`."""

    identity: str


@value
class CheckToken:
    """Find out whose token it is, then call `token_checked`.

    `authorization` is whom the client wants to act for, empty when for whom the token names. The token is empty when
    the client only asks which one it needs (RFC 7628 §4.3).
    """

    authorization: str
    token: str

    def __repr__(self) -> str:
        return f"CheckToken({self.authorization!r}, token=…)"


@value
class CheckCertificate:
    """The client's certificate named the identity, and no more is to come; the owner decides.

    `authorization` is whom the client wants to act for, empty when for itself.
    """

    identity: str
    authorization: str


@value
class Success:
    """The client is who it says. `octets` are additional data for a protocol whose success reply can carry
    some; SMTP, POP3 and IMAP cannot (RFC 4422 §3.6), so the mechanisms here send theirs as a last challenge.
    """

    identity: str
    octets: bytes | None = None


@value
class Failure:
    """The exchange failed. The reason is for the journal, not for the peer.

    `is_malformed` parts what is no message of this mechanism from a login that was refused.
    """

    reason: str
    is_malformed: bool = False


Step: TypeAlias = (
    Challenge | CheckPassword | FetchKeys | FetchCramKeys | CheckToken | CheckCertificate | Success | Failure
)
