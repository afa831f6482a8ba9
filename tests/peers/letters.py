"""Messages that try what relaying may damage: dots, long lines, 8-bit text, attachments; the same each time."""

from __future__ import annotations

import base64
import random
import re

_NUMBER = re.compile(rb"^X-Number: (\d+)\r?$", re.MULTILINE)
_DOTS = b".\r\n..\r\n...\r\n.leading dot\r\n..two dots\r\n. \r\n"
_LONGEST_LINE = b"x" * 998 + b"\r\n"  # RFC 5321 §4.5.3.1.6 without its CRLF
_EIGHT_BIT = "Señor Müller, привет, 郵便局\r\n".encode()


def letter(number: int, *, author: str, recipient: str, size: int = 0) -> bytes:
    """Message `number` with a body of at least `size` octets, its lines ended by CRLF."""
    chance = random.Random(number)
    head = [
        f"From: <{author}>",
        f"To: <{recipient}>",
        f"Subject: letter {number}",
        "Date: Sun, 22 Nov 2026 12:00:00 +0000",
        f"Message-ID: <letter.{number}@peers.test>",
        f"X-Number: {number}",
        "X-Folded: one",
        "\ttwo",
        "  three",
        "MIME-Version: 1.0",
    ]
    kind = number % 4
    if kind == 3:
        text, attachment = _text(chance, size // 2), _attachment(chance, size // 2)
        head.append('Content-Type: multipart/mixed; boundary="=_between"')
        body = (
            b"--=_between\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            + text
            + b"--=_between\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + attachment
            + b"--=_between--\r\n"
        )
    else:
        head += ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
        body = (b"", _DOTS, _LONGEST_LINE)[kind] + _text(chance, size)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def number_of(message: bytes) -> int:
    """Which letter it is."""
    found = _NUMBER.search(message)
    assert found is not None, message[:500]
    return int(found[1])


def _text(chance: random.Random, size: int) -> bytes:
    lines = [_EIGHT_BIT]
    length = len(_EIGHT_BIT)
    while length < size:
        dots = b"." * chance.choice((0, 0, 0, 1, 2))
        line = dots + chance.randbytes(chance.randrange(0, 480)).hex().encode() + b"\r\n"
        lines.append(line)
        length += len(line)
    # A message may end in empty lines, and in a line that is a dot.
    return b"".join(lines) + chance.choice((b"", b"\r\n", b"\r\n\r\n\r\n", b".\r\n"))


def _attachment(chance: random.Random, size: int) -> bytes:
    return base64.encodebytes(chance.randbytes(max(1, size * 3 // 4))).replace(b"\n", b"\r\n")
