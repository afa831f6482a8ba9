"""What a server keeps in place of a password for SCRAM (RFC 5802 §3)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.sasl.messages import prepare
from estafeta.wire.sasl.steps import SCRAM_SHA_256

LEAST_ITERATIONS = 4096
"""RFC 7677 §4."""


@value
class ScramKeys:
    """Made from a password; whoever has them can check a proof, and cannot give one."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    @staticmethod
    def of(
        password: str, salt: bytes, *, iterations: int = LEAST_ITERATIONS, mechanism: str = SCRAM_SHA_256
    ) -> ScramKeys:
        """Takes some milliseconds. The salt is random, of 16 octets or more; keys that are stored want more iterations.

        Raises SaslError for a text that cannot be a password.
        """
        from scramp import ScramMechanism

        salt, stored_key, server_key, iterations = ScramMechanism(mechanism).make_auth_info(
            prepare(password), iteration_count=iterations, salt=salt
        )
        return ScramKeys(salt, iterations, stored_key, server_key)
