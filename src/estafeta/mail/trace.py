"""Trace fields: Received and Return-Path (RFC 5321 §4.4), and dates as RFC 5322 §3.3 writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from estafeta.mail.address import ReversePath
from estafeta.mail.value import value

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=64)
def _date_time(seconds: int) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year}"
        f" {at.hour:02}:{at.minute:02}:{at.second:02} +0000"
    )


def date_time(instant: float) -> str:
    """The instant (seconds since 1970) as a date-time of RFC 5322, in UTC."""
    return _date_time(int(instant))


def protocol_word(*, lmtp: bool, extended: bool, secure: bool, authenticated: bool, smtputf8: bool) -> str:
    """The `with` word of RFC 3848, and of RFC 6531 §4.3 where SMTPUTF8 was used."""
    if not extended:
        return "SMTP"
    word = ("UTF8LMTP" if lmtp else "UTF8SMTP") if smtputf8 else ("LMTP" if lmtp else "ESMTP")
    return word + ("S" if secure else "") + ("A" if authenticated else "")


@lru_cache(maxsize=1024)
def _word(text: str) -> str:
    """Text of the client's that cannot leave its place: no controls, no brackets, no more than a line."""
    return "".join(letter if letter.isprintable() and letter not in "()<>\\;" else "?" for letter in text[:255])


@value
class Hop:
    """What Received fields say of a session, and so the same for all of its messages (RFC 5321 §4.4)."""

    before: str
    """The field up to the queue id."""
    behind: str
    """A comment on TLS, or nothing."""

    # Not done of RFC 5321 §4.4: the client's address is not looked up for a name, its literal stands alone.
    @staticmethod
    def of(*, hello: str, peer_ip: str, tls: str | None, host: str, word: str, peer_name: str | None = None) -> Hop:
        """`tls` is a comment such as `TLSv1.3 TLS_AES_256_GCM_SHA384`, `peer_name` the client's name by a proxy."""
        literal = f"IPv6:{peer_ip}" if ":" in peer_ip else peer_ip
        name = f"{_word(peer_name)} " if peer_name else ""
        before = f"Received: from {_word(hello)} ({name}[{literal}])\r\n\tby {host} with {word} id "
        return Hop(before, f" ({_word(tls)})" if tls else "")

    def received(
        self,
        queue_id: str,
        recipient: str | None,
        at: float,
        *,
        priority: int | None = None,
        forwarded: str | None = None,
    ) -> bytes:
        """A Received field with CRLF.

        `recipient` is named only where there is one alone, so that blind copies stay blind (RFC 5321 §7.6). `priority`
        is what MAIL said with MT-PRIORITY (RFC 6710 §7), `forwarded` a comment on where a filter had the message from.
        """
        text = f"{self.before}{queue_id}{self.behind}"
        if forwarded:
            text += f"\r\n\t({_word(forwarded)})"
        if recipient is not None:
            text += f"\r\n\tfor <{recipient}>"
        if priority is not None:
            text += f"\r\n\tPRIORITY {priority}"  # RFC 6710 §4.1 (2)
        return f"{text}; {date_time(at)}\r\n".encode()


# Departs from RFC 5321 §4.4: a Return-Path that the message came with stays, below this one.
def return_path(reverse_path: ReversePath) -> bytes:
    """A Return-Path field with CRLF, put on at final delivery (RFC 5321 §4.4)."""
    return f"Return-Path: <{reverse_path}>\r\n".encode()
