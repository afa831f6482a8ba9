"""The arguments of commands, read strictly; functions are named by the grammar (RFC 1939 §9, RFC 2449 §3)."""

from __future__ import annotations

import re

# RFC 2449 §3: command = keyword *(SP param) CRLF; keyword = 3*4VCHAR. The argument keeps its blanks, because
# a password may begin or end with one; each other command lets them pass, as clients send them.
# Departs from RFC 1939 §3: blanks at the end of a command, and more than one between arguments, are let pass.
_COMMAND = re.compile(rb"([A-Za-z0-9]{3,4})(?: (.*))?", re.DOTALL)
# RFC 1939 §4: message-numbers are in base 10. Ten digits hold any number that a maildrop can have.
_NUMBER = re.compile(rb"[0-9]{1,10}")


class GrammarError(ValueError):
    """The argument is not what the command takes; the text is fit for an answer."""


def command(line: bytes) -> tuple[str, bytes | None] | None:
    """Keyword in upper case and argument, None for no argument; None when the line is no command."""
    match = _COMMAND.fullmatch(line)
    return None if match is None else (match[1].decode("ascii").upper(), match[2])


def nothing(argument: bytes | None) -> None:
    """Read no argument."""
    if argument is not None and argument.strip(b" "):
        raise GrammarError("this command takes no argument")


def params(argument: bytes | None) -> list[bytes]:
    """Arguments parted by blanks; more blanks than one are let pass."""
    return [param for param in (argument or b"").split(b" ") if param]


def number(param: bytes, what: str) -> int:
    """A decimal number; raises GrammarError."""
    if not _NUMBER.fullmatch(param):
        raise GrammarError(f"{what} must be a decimal number")
    return int(param)


def message_number(argument: bytes | None) -> int:
    """One message-number."""
    match params(argument):
        case [param]:
            return number(param, "message number")
    raise GrammarError("give one message number")


def optional_message_number(argument: bytes | None) -> int | None:
    """One message-number or nothing."""
    return message_number(argument) if params(argument) else None


def text(argument: bytes | None, what: str, *, utf8: bool) -> str:
    """A name or a password, to the end of the line; non-ASCII only where UTF8 USER is offered.

    RFC 6856 §2.2: what is not well-formed UTF-8 is refused.
    """
    if not argument:
        raise GrammarError(f"give a {what}")
    try:
        return argument.decode("utf-8" if utf8 else "ascii")
    except UnicodeDecodeError:
        raise GrammarError(f"{what} is not {'UTF-8' if utf8 else 'ASCII'}") from None
