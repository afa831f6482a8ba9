"""IMAP URLs (RFC 5092) with their signatures (RFC 4467 §3), as CATENATE, URLFETCH and BURL take them."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import datetime
from urllib.parse import unquote_to_bytes

from estafeta.mail.value import value

MAX_URL = 8192
"""Octets."""

# imapurl = "imap://" iserver ipath-query; iserver = [iuserinfo "@"] host [":" port]
_ABSOLUTE = re.compile(
    r"imap://(?:(?P<user>[^@/;:?#\s]*)(?:;AUTH=[^@/?#\s]*)?@)?(?P<host>\[[^\]\s]*\]|[^:/@?#\s]+)(?::(?P<port>\d{1,5}))?(?P<path>/.*)",
    re.IGNORECASE,
)
# imessagepart: /mailbox;UIDVALIDITY=n/;UID=n/;SECTION=s/;PARTIAL=o.n;EXPIRE=t;URLAUTH=access:mechanism:token
_PATH = re.compile(
    r"/(?P<mailbox>[^;?#\s]*?)(?:;UIDVALIDITY=(?P<validity>\d{1,10}))?"
    r"(?:/?;UID=(?P<uid>\d{1,10}))?"
    r"(?:/?;SECTION=(?P<section>[^;/\s]*))?"
    r"(?:/?;PARTIAL=(?P<first>\d{1,19})(?:\.(?P<count>\d{1,19}))?)?"
    r"(?P<expiry>;EXPIRE=(?P<expires>[^;\s]+))?"
    r"(?:;URLAUTH=(?P<access>[^:;\s]+)(?::(?P<mechanism>[^:;\s]+):(?P<token>[0-9A-Fa-f]+))?)?",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"/?;UID=", re.IGNORECASE)
# section-spec, decoded
_SECTION = re.compile(
    r"(?P<path>\d{1,9}(?:\.\d{1,9}){0,99})?(?:(?P<dot>\.)?(?P<text>HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME))?"
    r"(?: \((?P<fields>[^()]*)\))?",
    re.IGNORECASE,
)
# RFC 3339: date-time
_EXPIRES = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
_TOKEN = re.compile(r":[^:;]+:[0-9A-Fa-f]+\Z")


class BadUrl(ValueError):
    """Not an IMAP URL, or not one that names a message."""


@value
class UrlSection:
    """A section, as in BODY[...]."""

    path: tuple[int, ...]
    text: str
    """In upper case; empty for all of the part."""
    fields: tuple[str, ...] = ()


@value
class ImapUrl:
    """A URL, read."""

    mailbox: str
    uid: int | None
    user: str | None = None
    host: str | None = None
    """None for a relative URL."""
    port: int | None = None
    uid_validity: int | None = None
    section: UrlSection | None = None
    partial: tuple[int, int | None] | None = None
    """First octet and how many; all that follow where that is None."""
    expires_at: float | None = None
    access: str | None = None
    """Of URLAUTH: `user+ana`, `submit+ana`, `authuser`, `anonymous`."""
    mechanism: str | None = None
    token: str | None = None
    rump: str = ""
    """What a signature is made of: the URL up to the mechanism."""


def parse(text: str) -> ImapUrl:
    """Read an absolute URL, or a relative one that begins with `/`, or names only a UID. Raises BadUrl."""
    if len(text) > MAX_URL or not text.isascii():
        raise BadUrl("too long, or not ASCII")
    match = _ABSOLUTE.fullmatch(text)
    if match is not None:
        user, host, port, path = match["user"], match["host"], match["port"], match["path"]
    elif text[:7].lower() == "imap://":
        raise BadUrl("no server and mailbox")
    else:
        user = host = port = None
        path = "/" + text if _RELATIVE.match(text) and not text.startswith("/") else text
    found = _PATH.fullmatch(path)
    if found is None:
        raise BadUrl("not the URL of a message")
    mailbox = _decoded(found["mailbox"])
    mailbox = mailbox[:-1] if mailbox.endswith("/") and found["uid"] else mailbox
    return ImapUrl(
        mailbox="INBOX" if mailbox.upper() == "INBOX" else mailbox,
        uid=_number(found["uid"]),
        user=None if user is None else _decoded(user),
        host=host,
        port=None if port is None else int(port),
        uid_validity=_number(found["validity"]),
        section=None if found["section"] is None else _section(_decoded(found["section"])),
        partial=None if found["first"] is None else (int(found["first"]), _number(found["count"])),
        expires_at=None if found["expires"] is None else _instant(found["expires"]),
        access=None if found["access"] is None else _decoded(found["access"]),
        mechanism=found["mechanism"],
        token=found["token"],
        rump=_TOKEN.sub("", text) if found["token"] else text,
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _decoded(text: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadUrl("not UTF-8") from None
    if "\0" in decoded:
        raise BadUrl("NUL in a URL")
    return decoded


def _section(text: str) -> UrlSection:
    match = _SECTION.fullmatch(text)
    if match is None or (bool(match["dot"]) != bool(match["path"] and match["text"])):
        raise BadUrl("no such section")
    path = tuple(int(number) for number in match["path"].split(".")) if match["path"] else ()
    fields = tuple(match["fields"].split()) if match["fields"] else ()
    kind = (match["text"] or "").upper()
    if bool(fields) != kind.startswith("HEADER.FIELDS") or (kind == "MIME" and not path):
        raise BadUrl("no such section")
    return UrlSection(path, kind, fields)


def _instant(text: str) -> float:
    match = _EXPIRES.fullmatch(_decoded(text))
    if match is None:
        raise BadUrl("not a date and time")
    try:
        at = datetime(*(int(part) for part in match.groups()[:6]))  # type: ignore[arg-type]
    except ValueError:
        raise BadUrl("there is no such time") from None
    zone = match[7].upper()
    offset = 0 if zone == "Z" else (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)
    return float(timegm(at.timetuple()) - offset)
