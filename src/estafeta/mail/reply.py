"""Replies and enhanced status codes (RFC 5321 §4.2, RFC 3463, RFC 2034)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from typing import NamedTuple

from estafeta.mail.value import value


class EnhancedStatusCode(NamedTuple):
    """class.subject.detail, as in 5.1.1 (RFC 3463 §2)."""

    klass: int
    subject: int
    detail: int

    @staticmethod
    def parse(text: str) -> EnhancedStatusCode:
        """Read `5.1.1`; raises ValueError."""
        klass, subject, detail = text.split(".")
        if klass not in ("2", "4", "5") or not (subject.isdecimal() and detail.isdecimal()):
            raise ValueError(f"not an enhanced status code: {text!r}")
        return EnhancedStatusCode(int(klass), int(subject), int(detail))

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"


@lru_cache(maxsize=512)
def _head(code: int, status: EnhancedStatusCode | None) -> str:
    """What stands before the text of a reply's last line."""
    return f"{code} " if status is None else f"{code} {status} "


@value
class Reply:
    """A reply code, an enhanced status code where there is one, and the lines of text without them."""

    code: int
    status: EnhancedStatusCode | None
    lines: tuple[str, ...]
    key: str = field(default="", compare=False)
    """Its name in `mail.catalogue`; empty for replies of others, and for those that no server of ours sends."""
    values: Mapping[str, str] | None = field(default=None, repr=False, compare=False)
    """What was put in the places of the catalogue's text, by their names."""
    _octets: bytes | None = field(default=None, init=False, repr=False, compare=False)
    """What `encode` gave; most replies are always the same."""

    @staticmethod
    def of(code: int, text: str, status: str | None = None) -> Reply:
        """`Reply.of(550, "no such mailbox", "5.1.1")`; several lines are parted by a newline."""
        return Reply(code, EnhancedStatusCode.parse(status) if status else None, tuple(text.split("\n")))

    @property
    def is_positive(self) -> bool:
        """2yz and 3yz: the command was taken (RFC 5321 §4.2.1)."""
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """4yz: the same may succeed later."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5yz: the same will fail again."""
        return self.code >= 500

    @property
    def text(self) -> str:
        """The lines as one, for people."""
        return " ".join(self.lines)

    def encode(self, *, with_status: bool = True) -> bytes:
        """The reply as octets, with CRLF; each line carries the status code (RFC 2034 §4)."""
        if self._octets is not None and (with_status or self.status is None):
            return self._octets
        head = _head(self.code, self.status if with_status else None)
        text = f"{head}{self.lines[-1]}\r\n"
        if len(self.lines) > 1:
            continued = f"{head[:3]}-{head[4:]}"
            text = "".join([*(f"{continued}{line}\r\n" for line in self.lines[:-1]), text])
        octets = text.encode("utf-8", "replace")
        if with_status or self.status is None:
            object.__setattr__(self, "_octets", octets)
        return octets

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}" if self.status else f"{self.code} {self.text}"
