"""LOGIN (RFC 9051 §6.2.3)."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.wire.imap.command import NOT_AUTHENTICATED, Command
from estafeta.wire.imap.reading import Reader
from estafeta.wire.imap.request import Request


@value
class Login(Request):
    """A password in the clear."""

    user: str
    password: str


# login = "LOGIN" SP userid SP password
def _read(reader: Reader) -> Login:
    reader.sp()
    user = reader.text()
    reader.sp()
    password = reader.text()
    reader.end()
    return Login(user, password)


LOGIN = Command("LOGIN", NOT_AUTHENTICATED, _read)
