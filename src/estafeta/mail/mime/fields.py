"""The fields of a header section as they stand (RFC 5322 §2.2), as leniently as the world writes them.

Lines end with LF, with or without CR before it. A header section ends with its first empty line. Patterns are
possessive, so that each octet is looked at once.
"""

from __future__ import annotations

import re

# Departs from RFC 5322 §2.2: blanks before the colon and bare LF are let pass; lines that are no field are passed over.
_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)
_IN_COMMENT = re.compile(rb"[^()\\]*+(?:\\.[^()\\]*+)*+", re.DOTALL)
_NO_COMMENT = re.compile(rb'(?:[^"(\\]++|"(?:[^"\\]++|\\.)*+"?|\\.?)*+', re.DOTALL)
_FOLD = re.compile(rb"\r?\n")
_LF, _PARENTHESIS = b"\n("  # `int in bytes` costs a fifth of `bytes in bytes`

Fields = dict[bytes, list[bytes]]
"""Bodies as they stand, folds included, by name in lower case, in their order."""


def header_end(octets: bytes, start: int, end: int) -> int:
    """Behind the empty line that ends the header section from `start`; `end` where there is none."""
    if octets.startswith(b"\n", start, end):
        return start + 1
    if octets.startswith(b"\r\n", start, end):
        return start + 2
    crlf = octets.find(b"\n\r\n", start, end)
    bare = octets.find(b"\n\n", start, end if crlf < 0 else crlf)
    if bare >= 0:
        return bare + 2
    return end if crlf < 0 else crlf + 3


def fields(octets: bytes, start: int, end: int) -> Fields:
    """The fields between two places."""
    found: Fields = {}
    for name, body in _FIELD.findall(octets[start:end]):
        found.setdefault(name.lower(), []).append(body)
    return found


def unfolded(body: bytes) -> bytes:
    """A field's body on one line, without blanks around it (RFC 5322 §2.2.3)."""
    return (_FOLD.sub(b"", body) if _LF in body else body).strip(b" \t\r\n")


def selected(header: bytes, names: tuple[str, ...], *, others: bool = False) -> bytes:
    """The fields of the names, or all but them, as they stand, and the empty line (RFC 9051 §6.4.5.1)."""
    wanted = {name.lower().encode("utf-8", "surrogateescape") for name in names}
    chosen: list[bytes] = []
    rest: list[bytes] = []  # lines that are no field, too: nothing of a header section is in neither
    at = 0
    for match in _FIELD.finditer(header):
        if match[1].lower() in wanted:
            rest.append(header[at : match.start()])
            at = match.end() + 1
            line = header[match.start() : at]
            chosen.append(line if line.endswith(b"\n") else line.rstrip(b"\r") + b"\r\n")
    if not others:
        return b"".join(chosen) + b"\r\n"
    rest.append(header[at:])
    found = b"".join(rest)
    if found.endswith((b"\n\r\n", b"\n\n")) or found in (b"\r\n", b"\n"):
        return found
    return found + (b"\r\n" if found.endswith(b"\n") or not found else b"\r\n\r\n")


def comment_end(octets: bytes, at: int) -> int:
    """Behind the comment that begins with the parenthesis at `at`, comments in it included (RFC 5322 §3.2.2)."""
    depth = 0
    while at < len(octets):
        letter = octets[at]
        at += 1
        if letter == 40:
            depth += 1
        elif letter == 41:
            depth -= 1
            if not depth:
                return at
        match = _IN_COMMENT.match(octets, at)
        if match is not None:
            at = match.end()
    return at


def without_comments(line: bytes) -> bytes:
    """RFC 2045 §5.1: comments may stand between the words; what is quoted stays."""
    if _PARENTHESIS not in line:
        return line
    kept: list[bytes] = []
    at = 0
    while at < len(line):
        match = _NO_COMMENT.match(line, at)
        if match is not None:
            kept.append(match[0])
            at = match.end()
        if at < len(line):
            at = comment_end(line, at)
    return b" ".join(kept)
