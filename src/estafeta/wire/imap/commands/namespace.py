"""NAMESPACE (RFC 9051 §6.3.10)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Namespace(Request):
    """Where names begin."""


def _read(reader: Reader) -> Namespace:
    reader.end()
    return Namespace()


NAMESPACE = Command("NAMESPACE", AUTHENTICATED, _read, "NAMESPACE")
