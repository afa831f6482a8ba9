"""How long a client waits (RFC 5321 §4.5.3.2)."""

from __future__ import annotations

from dataclasses import dataclass

from estafeta.wire.smtp.dialogue import Verb


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """Durations in seconds; the defaults are the least that RFC 5321 §4.5.3.2 asks for, where it asks."""

    connect: float = 30.0
    handshake: float = 30.0
    """Of TLS."""
    greeting: float = 300.0
    """§4.5.3.2.1"""
    command: float = 300.0
    """EHLO, STARTTLS, AUTH, RSET and all others that are not named here."""
    mail: float = 300.0
    """§4.5.3.2.2"""
    rcpt: float = 300.0
    """§4.5.3.2.3"""
    data: float = 120.0
    """§4.5.3.2.4: until 354."""
    block: float = 180.0
    """§4.5.3.2.5: until the server has taken one block of content, or answers a chunk."""
    final: float = 600.0
    """§4.5.3.2.6: until the reply to the final dot or the last chunk; giving up early makes duplicates."""
    quit: float = 10.0
    """Nothing depends on the reply to QUIT."""

    def of(self, verb: Verb) -> float:
        """How long the reply to a command may take."""
        match verb:
            case Verb.MAIL:
                return self.mail
            case Verb.RCPT:
                return self.rcpt
            case Verb.DATA:
                return self.data
            case Verb.BDAT:
                return self.block
            case Verb.CONTENT:
                return self.final
            case Verb.QUIT:
                return self.quit
        return self.command
