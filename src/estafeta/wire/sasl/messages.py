"""What a client's messages are read into: prepared text (RFC 4013), and SCRAM's first message (RFC 5802)."""

from __future__ import annotations

import re
from typing import Final

from estafeta.mail.value import value
from estafeta.wire.sasl.steps import SaslError

# Longer than any identity or password a person has, short enough that hashing it costs nothing.
MAX_FIELD: Final = 1024
# RFC 5929 §4; the only type of channel binding that TLS 1.3 shares with TLS 1.2.
# Not done of RFC 5929 §3: tls-unique, which TLS 1.3 does not have.
BINDING_TYPE: Final = "tls-server-end-point"


class BadMessage(Exception):
    """Inside this package: what the client sent is no message of the mechanism."""


def prepare(text: str) -> str:
    """SASLprep (RFC 4013), for identities and passwords; raises SaslError for text that it prohibits.

    Whoever stores a hash of a password must hash it prepared, as the mechanisms here give it prepared.
    """
    if text.isascii() and text.isprintable():
        return text
    from scramp import ScramException, utils  # when it is wanted: it takes as long as a tenth of the start

    try:
        return str(utils.saslprep(text))
    except ScramException as error:
        raise SaslError(f"prohibited by SASLprep: {error}") from None


def _text(octets: bytes) -> str:
    if len(octets) > MAX_FIELD:
        raise BadMessage("field too long")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadMessage("not UTF-8") from None


def prepared(octets: bytes, what: str) -> str:
    """A field that must not be empty, prepared; `what` it is, for the journal. Raises BadMessage."""
    try:
        text = prepare(_text(octets))
    except SaslError as error:
        raise BadMessage(f"{what}: {error}") from None
    if not text:
        raise BadMessage(f"{what} is empty")  # RFC 4616 §2: nothing left after preparation fails
    return text


@value
class ClientFirst:
    """RFC 5802 §7: client-first-message = gs2-header client-first-message-bare."""

    binding_flag: str
    gs2_header: str
    bare: str
    identity: str
    authorization: str

    @staticmethod
    def parse(message: str) -> ClientFirst:
        """Take a message apart; raises BadMessage."""
        # gs2-header = gs2-cbind-flag "," [ authzid ] ","
        flag, _, rest = message.partition(",")
        authzid, comma, bare = rest.partition(",")
        if not comma or (authzid and not authzid.startswith("a=")):
            raise BadMessage("no gs2-header")
        # client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]
        if not bare.startswith("n="):
            raise BadMessage("no username, or an extension that must be understood")
        return ClientFirst(
            binding_flag=flag[:1],
            gs2_header=f"{flag},{authzid},",
            bare=bare,
            identity=_saslname(bare[2:].partition(",")[0], "identity"),
            authorization=_saslname(authzid[2:], "authorization identity") if authzid else "",
        )


def _saslname(text: str, what: str) -> str:
    # RFC 5802 §7: saslname = 1*(value-safe-char / "=2C" / "=3D")
    if re.search(r"=(?!2C|3D)|\0", text):
        raise BadMessage(f"bad escape in {what}")
    return prepared(text.replace("=2C", ",").replace("=3D", "=").encode(), what)
