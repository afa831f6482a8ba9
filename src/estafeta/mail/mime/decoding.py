"""Transfer encodings and character sets undone (RFC 2045 §6, RFC 2047), as much as can be made of what came.

Only character sets whose decoders do nothing but decode, in time in proportion, are known.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_qp
from functools import lru_cache


class UnknownEncoding(ValueError):
    """A transfer encoding that is none of RFC 2045 §6."""


_BLANKS_AT_END = re.compile(rb"(?<![ \t])[ \t]++(?=\r?(?:\n|\Z))")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


def transfer_decoded(body: bytes, encoding: str) -> bytes:
    """The octets; raises UnknownEncoding."""
    if encoding in ("7bit", "8bit", "binary", ""):
        return body
    if encoding == "quoted-printable":
        return quoted_printable(body)
    if encoding == "base64":
        return base64(body)
    raise UnknownEncoding(encoding)


def quoted_printable(body: bytes) -> bytes:
    """RFC 2045 §6.7; what is no encoding stays as it is."""
    if b" \n" in body or b"\t\n" in body or b" \r\n" in body or b"\t\r\n" in body or body[-1:] in (b" ", b"\t"):
        body = _BLANKS_AT_END.sub(b"", body)  # RFC 2045 §6.7 (3)
    return a2b_qp(body)


def base64(body: bytes) -> bytes:
    """RFC 2045 §6.8; what is not of its alphabet is passed over, and what is cut off gives what it can."""
    try:
        return a2b_base64(body)
    except Error:
        letters = body.partition(b"=")[0].translate(None, _NOT_BASE64)
        letters = letters[: len(letters) - (len(letters) % 4 == 1)]
        return a2b_base64(letters + b"=" * (-len(letters) % 4))


_KNOWN = re.compile(
    r"utf-?8|utf-?16(?:[lb]e)?|utf-?32(?:[lb]e)?|utf-?7|iso-?8859-(?:1[013-6]|[1-9])|(?:windows|cp)-?(?:125[0-8]|874)"
    r"|(?:ibm|cp)-?(?:437|737|775|85[0-8]|86[0-69]|93[26]|949|950|1125)|koi8-[rtu]|mac-(?:roman|cyrillic|greek|latin2|turkish)"
    r"|gb2312|gbk|gb18030|hz|big5|big5-?hkscs|euc-?jp|iso-?2022-jp(?:-[123])?|shift[_-]jis(?:x0213|-2004)?|euc-?kr"
    r"|iso-?2022-kr|johab|tis-?620|ptcp154|hp-roman8"
)
_ALIASES = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "cn-gb": "gb18030",
    "csgb2312": "gb18030",
    "hz-gb-2312": "hz",
    "cn-big5": "big5",
    "x-x-big5": "big5",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601-1989": "cp949",
    "ksc5601": "cp949",
    "euc-kr": "cp949",
    "x-euc-kr": "cp949",
    "x-euc-jp": "euc-jp",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "ms_kanji": "cp932",
    "windows-31j": "cp932",
    "iso-8859-1-windows-3.1-latin-1": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "latin1": "iso-8859-1",
    "latin-1": "iso-8859-1",
    "l1": "iso-8859-1",
    "latin2": "iso-8859-2",
    "iso8859-15": "iso-8859-15",
    "latin-9": "iso-8859-15",
    "koi8": "koi8-r",
    "cskoi8r": "koi8-r",
    "macintosh": "mac-roman",
    "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-mac-greek": "mac-greek",
    "x-mac-ce": "mac-latin2",
    "x-mac-turkish": "mac-turkish",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "x-unicode-2-0-utf-7": "utf-7",
    "x-windows-949": "cp949",
    "windows-949": "cp949",
    "ansi_x3.110-1983": "iso-8859-1",
    "dos-874": "cp874",
    "iso-8859-12": "iso-8859-1",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "win-1251": "cp1251",
    "win-1252": "cp1252",
}


@lru_cache(256)
def codec(charset: str) -> str | None:
    """The decoder of a character set; None for US-ASCII, and where none is known."""
    if len(charset) > 40:
        return None
    name = charset.strip().lower()
    name = _ALIASES.get(name, name)
    if _KNOWN.fullmatch(name) is None:
        return None
    try:
        b"".decode(name)
    except LookupError:
        return None
    return name


def characters(octets: bytes, charset: str) -> str:
    """The text; what is said to be ASCII, or in a set that nobody knows, is UTF-8 or else Latin-1."""
    name = codec(charset)
    if name is not None and not name.startswith("utf-8"):
        text = octets.decode(name, "replace")
        # UTF-7 gives halves of letters, which nothing can write down.
        return text.encode("utf-8", "replace").decode("utf-8") if name == "utf-7" else text
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        is_cut_off = error.reason == "unexpected end of data" and not octets[: error.start].isascii()
        if name is not None or is_cut_off:
            return octets.decode("utf-8", "replace")
        return octets.decode("cp1252", "replace")
