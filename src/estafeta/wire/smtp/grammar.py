"""The grammar of command arguments (RFC 5321 §4.1.2), read leniently where the world demands it.

Readers take octets and give values, or raise `Fault` with the reply. They are pure, so what they read
is remembered: the same paths come again and again.
"""

from __future__ import annotations

import re
from functools import lru_cache

from estafeta.mail.address import (
    NULL_REVERSE_PATH,
    Address,
    AddressError,
    ForwardPath,
    ReversePath,
    parse_domain,
)
from estafeta.mail.catalogue import syntax
from estafeta.mail.reply import Reply
from estafeta.mail.value import value


class Fault(Exception):
    """The command cannot be taken as it stands; `reply` says so to the client."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


# Departs from RFC 5321 §4.5.3.1.3: paths of up to 512 octets are taken.
MAX_PATH = 512  # RFC 5321 §4.5.3.1.3 says 256; long addresses of lists (VERP, SRS) pass it in the world

# RFC 5321 §4.1.2: Path = "<" [ A-d-l ":" ] Mailbox ">"; the source route is read and ignored (§4.1.1.3).
_PATH = re.compile(r'<(?:@[^<>":,@]+(?:,@[^<>":,@]+)*:)?((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>')
# RFC 5321 §4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value]; RFC 6531 §3.3 adds UTF-8 to the value.
_BLANKS = re.compile(r"[ \t]+")
# What senders write that know no brackets: a local-part without quotes, or "postmaster", is the first word.
_BARE = re.compile(rb"((?i:FROM|TO)) *: *([^\x00-\x20<>\x22\x7f]+)((?: .*)?)")
_PARAMETER = re.compile(r"([0-9A-Za-z][0-9A-Za-z-]*)(?:=([^\x00-\x20=\x7f]+))?")


@value
class PathArgument:
    """The path of MAIL or RCPT as text without brackets, and the parameters behind it."""

    path: str
    parameters: tuple[tuple[str, str | None], ...]
    is_ascii: bool
    """Whether the path is; what a parameter may hold is for its reader to say."""


@lru_cache(maxsize=4096)
def path_argument(argument: bytes, keyword: str) -> PathArgument:
    """Read `FROM:<path> [params]` or `TO:<path> [params]`; a space after the colon is let pass."""
    try:
        text = argument.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(syntax.NOT_UTF8) from None
    colon = text.find(":")
    if text[:colon].strip().upper() != keyword or colon < 0:
        form = f"{'MAIL' if keyword == 'FROM' else 'RCPT'} {keyword}:<address>"
        raise Fault(syntax.SYNTAX.with_(syntax=form))
    # Departs from RFC 5321 §4.1.2: spaces behind the colon of MAIL and RCPT are let pass.
    rest = text[colon + 1 :].lstrip(" ")
    match = _PATH.match(rest)
    if match is None or (rest[match.end() :][:1] not in ("", " ")):
        raise Fault(syntax.PATH_WITHOUT_BRACKETS.with_(keyword=keyword))
    if match.end() > MAX_PATH:
        bad = syntax.BAD_SENDER if keyword == "FROM" else syntax.BAD_RECIPIENT
        raise Fault(bad.with_(reason="path too long"))
    return PathArgument(match[1], _parameters(rest[match.end() :]), match[0].isascii())


def with_brackets(argument: bytes) -> bytes | None:
    """`FROM:user@host SIZE=1` as `FROM:<user@host> SIZE=1`; None where it is something else."""
    match = _BARE.fullmatch(argument)
    return None if match is None else b"%b:<%b>%b" % match.groups()


def _parameters(text: str) -> tuple[tuple[str, str | None], ...]:
    parameters: dict[str, str | None] = {}
    for word in _BLANKS.split(text.strip(" \t")):  # those of ASCII alone: others may stand in a value
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise Fault(syntax.PARAMETER_MALFORMED)
        keyword = match[1].upper()
        if keyword in parameters:
            raise Fault(syntax.PARAMETER_TWICE.with_(keyword=keyword))
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
        raise Fault(syntax.BAD_SENDER.with_(reason=str(error))) from None


@lru_cache(maxsize=4096)
def forward_path(text: str) -> ForwardPath:
    """RFC 5321 §4.1.1.3: a Path, or "<Postmaster>" in any case."""
    if text.lower() == "postmaster":
        return ForwardPath(Address("postmaster", ""))
    try:
        return ForwardPath(Address.parse(text))
    except AddressError as error:
        raise Fault(syntax.BAD_RECIPIENT.with_(reason=str(error))) from None


# Departs from RFC 5321 §4.1.1.1: any printable word is taken for the client's name.
# Departs from RFC 6531 §3.7.1: a name in UTF-8 is taken too, and stands in Received.
def hello_name(argument: bytes) -> str:
    """The client's name of itself: by RFC a domain or address literal, in the world any word."""
    words = argument.split()
    if not words:
        raise Fault(syntax.SYNTAX.with_(syntax="EHLO hostname"))
    try:
        name = words[0].decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(syntax.BAD_NAME) from None
    if len(name) > 255 or not name.isprintable():
        raise Fault(syntax.BAD_NAME)
    return name


def question(argument: bytes, verb: str) -> tuple[str, bool]:
    """The argument of VRFY or EXPN, and whether SMTPUTF8 stood behind it."""
    try:
        text = argument.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise Fault(syntax.NOT_UTF8) from None
    # RFC 6531 §3.7.4.2: SMTPUTF8 as the last word allows UTF-8 in the reply.
    smtputf8 = text.upper().endswith(" SMTPUTF8")
    text = text[:-9].rstrip() if smtputf8 else text
    if not text:
        raise Fault(syntax.NEEDS_ARGUMENT.with_(verb=verb))
    return text, smtputf8


def domain_name(text: str, form: str) -> str:
    """The name of a host or a domain, not a literal, in lower case and as A-labels; `form` is the command's."""
    if not text or text.startswith("["):
        raise Fault(syntax.SYNTAX.with_(syntax=form))
    try:
        return parse_domain(text)
    except AddressError as error:
        raise Fault(syntax.BAD_DOMAIN.with_(reason=str(error))) from None
