"""How a command ends: OK, NO or BAD, with a response code (RFC 9051 §7.1, RFC 5530)."""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.value import value


class Status(StrEnum):
    """The status responses."""

    OK = "OK"
    NO = "NO"
    BAD = "BAD"
    BYE = "BYE"
    PREAUTH = "PREAUTH"


@value
class Completion:
    """The tagged response. `code` goes in brackets, with its arguments: `TRYCREATE`, `APPENDUID 38505 3955`."""

    status: Status
    text: str
    code: str = ""


def ok(text: str, code: str = "") -> Completion:
    """It is done."""
    return Completion(Status.OK, text, code)


def no(text: str, code: str = "") -> Completion:
    """It could not be done."""
    return Completion(Status.NO, text, code)


def bad(text: str, code: str = "") -> Completion:
    """It was not understood, or is not for this state."""
    return Completion(Status.BAD, text, code)


class Refused(Exception):
    """A command ends with NO; raised by what carries commands out, so that it can be deep inside."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.completion = no(text, code)
