"""Mail for hosts that take 7-bit mail only: 8-bit parts are encoded (RFC 6152 §3, RFC 2045 §6).

Only what needs it changes: a part that is 7-bit with lines of at most 998 octets stays octet for octet, and so do
boundaries. Text becomes quoted-printable, other parts base64; what is nested is encoded inside (RFC 2045 §6.4). As in
Postfix that is done inside multipart/signed too: what is signed must be 7-bit (RFC 1847 §2.1), and where it is not,
better the signature is lost than the message.
"""

from __future__ import annotations

import re
from base64 import encodebytes
from binascii import a2b_qp

from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.mail.mime.fields import without_comments
from estafeta.mail.quoted_printable import quoted_printable
from estafeta.mail.value import value

MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5321 §4.5.3.1.6, RFC 5322 §2.1.1)."""
MAX_DEPTH = 30
"""Entities one within the other: far more than people nest, and few enough for the stack."""
MAX_PARTS = 10_000
"""Parts of one message, those that stay as they are included; a digest of a busy list has some hundreds."""
MAX_FIELD = 8192
"""Octets of a Content-Type that is read."""

# RFC 5322 §2.2: a field of a name that we ask for, with its folds and its CRLF.
_FIELD = re.compile(
    rb"^(content-type|content-transfer-encoding|mime-version)[ \t]*:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)(?:\r\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_NO_FIELD = re.compile(rb"^(?![!-9;-~]+[ \t]*:|[ \t]|\r\n|From |\Z)", re.MULTILINE)
_TOKEN = rb"([!#-'*+\-.0-9A-Z^-~]+)"  # RFC 2045 §5.1
_BLANK = rb"[ \t\r\n]*"
_TYPE = re.compile(_BLANK + _TOKEN + _BLANK + rb"/" + _BLANK + _TOKEN)
_PARAMETER = re.compile(
    rb";" + _BLANK + _TOKEN + _BLANK + rb"=" + _BLANK + rb'(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))', re.DOTALL
)
_FOLD = re.compile(rb"[ \t](?=[^ \t])")
_ENCODING = re.compile(_BLANK + _TOKEN)
_IDENTITY = (b"7bit", b"8bit", b"binary")
"""Encodings that leave a body as it is (RFC 2045 §6.2)."""
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n"))
_EIGHT_BIT_AS_QUESTION = bytes(number if 0 < number < 128 else ord("?") for number in range(256))
_LINE_ENDS_AS_BLANKS = bytes(ord(" ") if chr(number) in "\r\n" else number for number in range(256))


class CannotDowngrade(Exception):
    """The content cannot be said in 7 bits without loss; the message says why, fit for a reply."""


def to_seven_bit(content: bytes, *, is_binary: bool = False) -> bytes:
    """The content (header section and body, CRLF line ends) in 7 bits, its lines at most 998 octets long.

    Its parts are the same when decoded, and a second time changes nothing. What is binary (RFC 3030 §3) may have CR,
    LF and NUL of their own in the bodies of its parts. Raises CannotDowngrade where a header
    section has 8-bit octets (RFC 6152 is about bodies), and where the content is broken so that nobody knows its parts.
    """
    if _is_fit(content):
        return content
    if not is_binary and has_bare_line_ends(content):
        raise CannotDowngrade("a line does not end in CRLF")
    return _Downgrade(content).result()


def _is_fit(octets: bytes) -> bool:
    """Whether a host for 7-bit mail can take it as it is."""
    return octets.isascii() and b"\0" not in octets and not has_bare_line_ends(octets) and not _has_long_line(octets)


def _has_long_line(octets: bytes) -> bool:
    at = 0
    while len(octets) - at > MAX_LINE:
        end = octets.rfind(b"\r\n", at, at + MAX_LINE + 2)
        if end < 0:
            return True
        at = end + 2
    return False


@value
class _Fields:
    """What a header section says of the body behind it."""

    kind: str
    """Such as `text/plain`."""
    boundary: bytes
    """Empty where there is none."""
    encoding: bytes
    """In lower case."""
    has_type: bool
    has_version: bool


@value
class _Delimiter:
    """RFC 2046 §5.1.1: from the CRLF before it to the end of its line; the last one up to the CRLF behind it."""

    start: int
    end: int
    is_last: bool


class _Downgrade:
    """One message on its way. Parts are found by their places, so that no level of nesting costs a copy."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._made: list[bytes] = []
        self._delimiters_seen = 0
        self._boundaries: list[bytes] = []
        """Those of the multiparts around the part at hand."""

    def result(self) -> bytes:
        """The message converted."""
        self._entity(0, len(self._octets), "text/plain", depth=0, is_message=True)
        octets = b"".join(self._made)
        if not _is_fit(octets):
            raise CannotDowngrade("a boundary is too long for a line")
        return octets

    def _entity(self, start: int, end: int, default: str, *, depth: int, is_message: bool = False) -> None:
        """A message, or a part of one (RFC 2045 §2.4); `default` is its type where it does not say one."""
        if _is_fit(self._octets[start:end]):
            self._made.append(self._octets[start:end])
            return
        if depth > MAX_DEPTH:
            raise CannotDowngrade("the message is nested too deeply")
        body = self._body(start, end)
        header = self._octets[start:body]
        if not header.isascii():
            raise CannotDowngrade("a header section has 8-bit octets")
        if has_bare_line_ends(header) or b"\0" in header:
            raise CannotDowngrade("a header section has a line that does not end in CRLF")
        if header[:1] in (b" ", b"\t") or _NO_FIELD.search(header) is not None:
            raise CannotDowngrade("a header section has a line that is no field")
        if _is_fit(self._octets[body:end]):
            self._made += (_folded(header), self._octets[body:end])
            return
        fields = _read(header, default)
        added = []
        if is_message and not fields.has_version:
            added.append(b"MIME-Version: 1.0\r\n")
        if fields.kind.startswith("multipart/"):
            self._made.append(_folded(_labelled(header, b"7bit", added)))
            self._multipart(body, end, fields, depth)
        elif fields.kind in ("message/rfc822", "message/news") and fields.encoding in _IDENTITY:
            self._made.append(_folded(_labelled(header, b"7bit", added)))
            self._entity(body, end, "text/plain", depth=depth + 1, is_message=True)
        else:
            octets = self._octets[body:end]
            if not fields.has_type and fields.kind == "text/plain" and not octets.isascii():
                added.append(b"Content-Type: text/plain; charset=unknown-8bit\r\n")  # RFC 1428
            encoding, octets = self._leaf(octets, fields)
            self._made += (_folded(_labelled(header, encoding, added)), octets)

    def _body(self, start: int, end: int) -> int:
        """Where the body of an entity begins: behind the first empty line."""
        if self._octets.startswith(b"\r\n", start, end):
            return start + 2
        at = self._octets.find(b"\r\n\r\n", start, end)
        return end if at < 0 else at + 4

    # Departs from RFC 1847 §2.1: a signed part that is not 7-bit as it must be is converted, which breaks its
    # signature; else the message could not go on at all.
    def _leaf(self, body: bytes, fields: _Fields) -> tuple[bytes, bytes]:
        """A body that is not looked into: its new encoding, and its octets."""
        if fields.encoding == b"base64":
            return b"base64", _rewrapped(body)
        if fields.encoding == b"quoted-printable":
            body = a2b_qp(body)
        elif fields.encoding not in _IDENTITY:
            raise CannotDowngrade("a part has an encoding that is not known")
        elif fields.kind in ("message/partial", "message/external-body"):  # RFC 2046 §5.2.2, §5.2.3: 7-bit only
            raise CannotDowngrade(f"a part of the type {fields.kind} is not 7-bit")
        # Of the types of message only those in UTF-8 may be encoded (RFC 6532 §3.7, RFC 6533 §6). A report that is not
        # 7-bit as it ought to be is encoded too: so it can still be read.
        if fields.encoding == b"quoted-printable" or fields.kind.startswith(("text/", "message/")):
            encoded = quoted_printable(body)
            # A line that is wrapped must not become a boundary; base64 has no "-".
            if not any(_has_delimiter(encoded, boundary) for boundary in self._boundaries):
                return b"quoted-printable", encoded
        return b"base64", encodebytes(body).replace(b"\n", b"\r\n")

    def _multipart(self, start: int, end: int, fields: _Fields, depth: int) -> None:
        """The parts each by itself (RFC 2046 §5.1.1); what stands before and behind them all is not content."""
        default = "message/rfc822" if fields.kind == "multipart/digest" else "text/plain"  # RFC 2046 §5.1.5
        delimiters = self._delimiters(start, end, fields.boundary)
        if not delimiters or delimiters[0].is_last:
            raise CannotDowngrade("a multipart has no parts")
        self._boundaries.append(fields.boundary)
        self._made.append(_ignored(self._octets[start : delimiters[0].start]))
        at = delimiters[0].start
        for this, following in zip(delimiters, (*delimiters[1:], None), strict=True):
            self._made.append(self._octets[max(at, this.start) : this.end])
            at = this.end
            if this.is_last:
                self._made.append(_ignored(self._octets[at:end]))
            elif following is not None:
                # Two delimiters in a row share the CRLF between them.
                self._entity(at, max(at, following.start), default, depth=depth + 1)
                at = max(at, following.start)
            else:
                # The last delimiter is missing, and with it the CRLF that ends the message belongs to no part.
                is_end = end == len(self._octets) and self._octets.endswith(b"\r\n", at, end)
                rest = end - 2 if is_end else end
                self._entity(at, rest, default, depth=depth + 1)
                self._made.append(self._octets[rest:end])
        self._boundaries.pop()

    def _delimiters(self, start: int, end: int, boundary: bytes) -> list[_Delimiter]:
        if not boundary:
            raise CannotDowngrade("a multipart has no boundary")
        octets, wanted, found = self._octets, b"\r\n--" + boundary, []
        at = start - 2 if octets.startswith(wanted[2:], start, end) else octets.find(wanted, start, end)
        while at >= 0:
            self._delimiters_seen += 1
            if self._delimiters_seen > MAX_PARTS:
                raise CannotDowngrade("the message has too many parts")
            name_end = at + len(wanted)
            line_end = octets.find(b"\r\n", name_end, end)
            line_end = end if line_end < 0 else line_end
            rest = octets[name_end:line_end].rstrip(b" \t")
            if rest == b"--":
                found.append(_Delimiter(max(at, start), line_end, True))
                break
            if not rest:
                found.append(_Delimiter(max(at, start), min(line_end + 2, end), False))
            at = octets.find(wanted, line_end, end)
        return found


def _read(header: bytes, default: str) -> _Fields:
    """The first field of each name counts."""
    values: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(header):
        values.setdefault(match[1].lower(), match[2])
    said = values.get(b"content-type", b"")
    if len(said) > MAX_FIELD:
        raise CannotDowngrade("a Content-Type field is too long")
    said = without_comments(said)
    kind, boundary = default, b""
    typed = _TYPE.match(said)
    if typed is not None:
        kind = f"{typed[1].decode()}/{typed[2].decode()}".lower()
        for match in _PARAMETER.finditer(said, typed.end()):
            if match[1].lower() == b"boundary":
                quoted, plain = match[2], match[3]
                boundary = (plain if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted)).rstrip()
                break
    said = without_comments(values.get(b"content-transfer-encoding", b"")[:MAX_FIELD])
    encoded = _ENCODING.match(said)
    encoding = encoded[1].lower() if encoded is not None else said.strip() or b"7bit"
    return _Fields(kind, boundary, encoding, b"content-type" in values, b"mime-version" in values)


def _labelled(header: bytes, encoding: bytes, added: list[bytes]) -> bytes:
    """The header section with this encoding said once, in the place where it was, and the fields that it lacks."""
    field = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    is_said = False

    def say(match: re.Match[bytes]) -> bytes:
        nonlocal is_said
        if match[1].lower() != b"content-transfer-encoding":
            return match[0]
        said, is_said = is_said, True
        return b"" if said else field

    header = _FIELD.sub(say, header)
    fields = b"".join(added) + (b"" if is_said else field)
    return header[:-2] + fields + header[-2:]


def _folded(header: bytes) -> bytes:
    """The header section, its lines that are too long folded before a blank (RFC 5322 §2.2.3)."""
    if not _has_long_line(header):
        return header
    lines = []
    for line in header.split(b"\r\n"):
        start = 0
        while len(line) - start > MAX_LINE:
            # Some letters must stay before the fold: a line of blanks alone is none.
            piece = line[start : start + MAX_LINE]
            least = len(piece) - len(piece.lstrip(b" \t")) + 1
            blanks = (at for at in range(MAX_LINE, least - 1, -1) if _FOLD.match(line, start + at) is not None)
            at = next(blanks, None)
            if at is None:
                raise CannotDowngrade("a header field has a line that is too long")
            lines.append(line[start : start + at])
            start += at
        lines.append(line[start:])
    return b"\r\n".join(lines)


def _rewrapped(body: bytes) -> bytes:
    """Base64 without what is none of it, which a reader passes over (RFC 2045 §6.8), in lines that are short enough."""
    lines = body.translate(None, _NOT_BASE64).split(b"\r\n")
    return b"\r\n".join(
        piece for line in lines for piece in (line[at : at + 76] for at in range(0, max(len(line), 1), 76))
    )


def _ignored(octets: bytes) -> bytes:
    """What stands before the first part or behind the last one, which nobody is shown."""
    seven_bit = octets.translate(_EIGHT_BIT_AS_QUESTION)
    if has_bare_line_ends(seven_bit):
        seven_bit = b"\r\n".join(line.translate(_LINE_ENDS_AS_BLANKS) for line in seven_bit.split(b"\r\n"))
    if not _has_long_line(seven_bit):
        return seven_bit
    lines = seven_bit.split(b"\r\n")
    # A blank before each rest, so that none becomes a boundary.
    return b"\r\n".join(b"\r\n ".join(line[at : at + 900] for at in range(0, max(len(line), 1), 900)) for line in lines)


def _has_delimiter(octets: bytes, boundary: bytes) -> bool:
    return octets.startswith(b"--" + boundary) or b"\r\n--" + boundary in octets
