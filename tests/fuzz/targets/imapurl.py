"""Whatever a client calls a URL or a mailbox: it is refused with BadUrl or BadName, or names one message and a section
that there can be, its signature is of all before it, and a name is written as it was read."""

from __future__ import annotations

from tests.fuzz.inputs import Input

from estafeta.mail.mime.index import index
from estafeta.mail.mime.section import section
from estafeta.store.links import shown
from estafeta.wire.imap.names import BadName, decoded, encoded
from estafeta.wire.imap.url import BadUrl, parse

NAME = 0
"""Flag: the name of a mailbox."""
_KINDS = ("", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME")
_MESSAGE = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\na\r\n--b--\r\n"
_ROOT = index(_MESSAGE)


def check_url(text: str) -> None:
    """A URL."""
    try:
        url = parse(text)
    except BadUrl as error:
        assert str(error).isprintable()
        return
    assert text.startswith(url.rump) and "\0" not in url.mailbox + (url.user or "") + (url.access or "")
    assert (url.token is None) == (url.rump == text)
    assert url.mechanism is None or text == f"{url.rump}:{url.mechanism}:{url.token}"
    assert url.host is None or (url.host and url.host.isascii() and "/" not in url.host)
    assert url.uid is None or url.uid >= 0
    assert ";urlauth=" not in shown(text).lower()
    if url.section is not None:
        assert url.section.text in _KINDS, url.section
        section(_MESSAGE, _ROOT, url.section.path, url.section.text, url.section.fields)
    if url.host is None:
        assert parse(f"imap://a@b{'' if text.startswith('/') else '/'}{text}").mailbox == url.mailbox


def check_name(text: str) -> None:
    """The name of a mailbox, in both directions."""
    try:
        assert decoded(encoded(text)) == text
        assert encoded(text).isascii() and encoded(text).isprintable()
    except BadName:
        assert any("\ud800" <= each <= "\udfff" for each in text)
    try:
        name = decoded(text)
    except BadName:
        return
    assert encoded(name) == text and name.encode() is not None


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    text = given.octets.decode("utf-8", "replace")
    if given.has(NAME):
        check_name(text)
    else:
        check_url(text)
