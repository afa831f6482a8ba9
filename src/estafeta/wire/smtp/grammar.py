"""The grammar of command arguments (RFC 5321 §4.1.2), read leniently where the world demands it.

Readers take octets and give values, or raise `Fault` with the reply. They are pure, so what they read
is remembered: the same paths come again and again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from estafeta.mail.address import (
    NULL_REVERSE_PATH,
    Address,
    AddressError,
    ForwardPath,
    ReversePath,
    parse_domain,
)
from estafeta.mail.reply import Reply


class Fault(Exception):
    """The command cannot be taken as it stands; `reply` says so to the client."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


MAX_PATH = 512  # RFC 5321 §4.5.3.1.3 says 256; long addresses of lists (VERP, SRS) pass it in the world

# RFC 5321 §4.1.2: Path = "<" [ A-d-l ":" ] Mailbox ">"; the source route is read and ignored (§4.1.1.3).
_PATH = re.compile(r'<(?:@[^<>":,@]+(?:,@[^<>":,@]+)*:)?((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>')
# RFC 5321 §4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value]; RFC 6531 §3.3 adds UTF-8 to the value.
_BLANKS = re.compile(r"[ \t]+")
_PARAMETER = re.compile(r"([0-9A-Za-z][0-9A-Za-z-]*)(?:=([^\x00-\x20=\x7f]+))?")


@dataclass(frozen=True, slots=True)
class PathArgument:
    """The path of MAIL or RCPT as text without brackets, and the parameters behind it."""

    path: str
    parameters: tuple[tuple[str, str | None], ...]
    is_ascii: bool
    """Whether the path is; what a parameter may hold is for its reader to say."""


def _bad(text: str, status: str) -> Fault:
    return Fault(Reply.of(501, text, status))


@lru_cache(maxsize=4096)
def path_argument(argument: bytes, keyword: str) -> PathArgument:
    """Read `FROM:<path> [params]` or `TO:<path> [params]`; a space after the colon is let pass."""
    try:
        text = argument.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("argument is not UTF-8", "5.5.2") from None
    colon = text.find(":")
    if text[:colon].strip().upper() != keyword or colon < 0:
        raise _bad(f"syntax: {'MAIL' if keyword == 'FROM' else 'RCPT'} {keyword}:<address>", "5.5.4")
    rest = text[colon + 1 :].lstrip(" ")
    match = _PATH.match(rest)
    if match is None or (rest[match.end() :][:1] not in ("", " ")):
        raise _bad(f"syntax: {keyword}:<address>, the address in angle brackets", "5.5.4")
    if match.end() > MAX_PATH:
        raise _bad("path too long", "5.1.7" if keyword == "FROM" else "5.1.3")
    return PathArgument(match[1], _parameters(rest[match.end() :]), match[0].isascii())


def _parameters(text: str) -> tuple[tuple[str, str | None], ...]:
    parameters: dict[str, str | None] = {}
    for word in _BLANKS.split(text.strip(" \t")):  # those of ASCII alone: others may stand in a value
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise _bad("bad parameter", "5.5.4")
        keyword = match[1].upper()
        if keyword in parameters:
            raise _bad(f"parameter {keyword} given twice", "5.5.4")
        parameters[keyword] = match[2]
    return tuple(parameters.items())


@lru_cache(maxsize=4096)
def reverse_path(text: str) -> ReversePath:
    """RFC 5321 §4.1.2: Reverse-path = Path / "<>"."""
    if not text.strip(" "):
        return NULL_REVERSE_PATH
    try:
        return ReversePath(Address.parse(text))
    except AddressError as error:
        raise _bad(str(error), "5.1.7") from None


@lru_cache(maxsize=4096)
def forward_path(text: str) -> ForwardPath:
    """RFC 5321 §4.1.1.3: a Path, or "<Postmaster>" in any case."""
    if text.lower() == "postmaster":
        return ForwardPath(Address("postmaster", ""))
    try:
        return ForwardPath(Address.parse(text))
    except AddressError as error:
        raise _bad(str(error), "5.1.3") from None


def hello_name(argument: bytes) -> str:
    """The client's name of itself: by RFC a domain or address literal, in the world any word."""
    words = argument.split()
    if not words:
        raise _bad("syntax: EHLO hostname", "5.5.4")
    try:
        name = words[0].decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("name is not UTF-8", "5.5.4") from None
    if len(name) > 255 or not name.isprintable():
        raise _bad("bad name", "5.5.4")
    return name


def question(argument: bytes, verb: str) -> tuple[str, bool]:
    """The argument of VRFY or EXPN, and whether SMTPUTF8 stood behind it."""
    try:
        text = argument.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise _bad("argument is not UTF-8", "5.5.2") from None
    # RFC 6531 §3.7.4.2: SMTPUTF8 as the last word allows UTF-8 in the reply.
    smtputf8 = text.upper().endswith(" SMTPUTF8")
    text = text[:-9].rstrip() if smtputf8 else text
    if not text:
        raise _bad(f"{verb} needs an argument", "5.5.4")
    return text, smtputf8


def domain_name(text: str, syntax: str) -> str:
    """The name of a host or a domain, not a literal, in lower case and as A-labels."""
    if not text or text.startswith("["):
        raise _bad(syntax, "5.5.4")
    try:
        return parse_domain(text)
    except AddressError as error:
        raise _bad(str(error), "5.5.4") from None
