"""Messages as files: mbox (RFC 4155, with the mboxrd quoting), Maildir, and single messages (RFC 5322).

What is read comes with its flags and its date as far as the format has them; lines end in CRLF then. What is written
has the line ends of Unix. One message is in memory at a time.
"""

from __future__ import annotations

import os
import re
import time
from calendar import timegm
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

from estafeta.mail.header import field, header_size
from estafeta.mail.value import value

_NEWLINE = re.compile(rb"\r?\n")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_PLAIN_FROM = re.compile(rb"^(>*From )", re.MULTILINE)
# Fields that mbox programs keep flags and numbers in; they are no part of the message.
_KEPT = re.compile(
    rb"^(Status|X-Status|X-Keywords|X-UID|X-IMAP|X-IMAPbase):([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)(?:\r\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
_LETTERS_OF_STATUS = {
    "R": "\\Seen",
    "A": "\\Answered",
    "F": "\\Flagged",
    "D": "\\Deleted",
    "T": "\\Draft",
}
_LETTERS_OF_MAILDIR = {
    "D": "\\Draft",
    "F": "\\Flagged",
    "P": "$Forwarded",
    "R": "\\Answered",
    "S": "\\Seen",
    "T": "\\Deleted",
}
_KEYWORDS_FILE = "dovecot-keywords"
"""Names of keywords by number in Maildir; their letters in the names of files are `a` to `z`."""
_KEYWORD = re.compile(r"[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]{1,64}")


@value
class Filed:
    """One message of a file."""

    octets: bytes
    flags: tuple[str, ...]
    at: float
    """When it came."""


class UnreadableMail(Exception):
    """A path holds no mail; the text says why."""


def read(path: Path) -> Iterator[Filed]:
    """The messages at a path: a Maildir, a folder of messages, an mbox, or one message. Raises UnreadableMail."""
    try:
        if not path.is_dir():
            yield from _read_file(path)
        elif (path / "cur").is_dir():
            yield from _read_maildir(path)
        else:
            for each in sorted(path.glob("*.eml")):
                yield from _read_file(each)
    except OSError as error:
        raise UnreadableMail(f"{error.filename or path}: {error.strerror or error}") from error


def _read_file(path: Path) -> Iterator[Filed]:
    with path.open("rb") as file:
        is_mbox = file.read(5) == b"From "
    if is_mbox:
        yield from _read_mbox(path)
    else:
        octets = _with_crlf(path.read_bytes())
        if octets:
            yield Filed(octets, (), _dated(octets, path.stat().st_mtime))


def _read_mbox(path: Path) -> Iterator[Filed]:
    lines: list[bytes] = []
    first = b""
    is_after_blank = True
    with path.open("rb") as file:
        for line in file:
            if is_after_blank and line.startswith(b"From "):
                if first:
                    yield from _of_mbox(first, lines, path)
                first, lines = line, []
            else:
                lines.append(line)
            is_after_blank = not line.rstrip(b"\r\n")
    if first:
        yield from _of_mbox(first, lines, path)


def _of_mbox(first: bytes, lines: list[bytes], path: Path) -> Iterator[Filed]:
    if lines and not lines[-1].rstrip(b"\r\n"):
        lines.pop()  # the empty line that parts messages
    octets = _QUOTED_FROM.sub(rb"\1", _with_crlf(b"".join(lines)))
    end = header_size(octets)
    header, body = octets[:end], octets[end:]
    kept = {match[1].lower(): match[2].decode("latin-1") for match in _KEPT.finditer(header)}
    if b"x-imap" in kept and b"FOLDER INTERNAL DATA" in header:
        return  # not mail: where some programs keep the folder's numbers
    header = _KEPT.sub(b"", header)
    letters = kept.get(b"status", "") + kept.get(b"x-status", "")
    flags = {flag for letter, flag in _LETTERS_OF_STATUS.items() if letter in letters}
    flags.update(word for word in kept.get(b"x-keywords", "").split() if _KEYWORD.fullmatch(word))
    octets = header + body
    if octets:
        yield Filed(octets, tuple(sorted(flags)), _postmark(first) or _dated(octets, path.stat().st_mtime))


def _postmark(line: bytes) -> float | None:
    """The date of a line `From address Thu Jan  1 00:00:00 1970` (RFC 4155), in UTC."""
    words = line.decode("latin-1").split()[-5:]
    try:
        return float(timegm(time.strptime(" ".join(words), "%a %b %d %H:%M:%S %Y")))
    except (ValueError, OverflowError):
        return None


def _read_maildir(path: Path) -> Iterator[Filed]:
    keywords: dict[str, str] = {}
    if (path / _KEYWORDS_FILE).is_file():
        for line in (path / _KEYWORDS_FILE).read_text("utf-8", "replace").splitlines():
            number, _, name = line.partition(" ")
            if number.isdecimal() and int(number) < 26 and _KEYWORD.fullmatch(name):
                keywords[chr(ord("a") + int(number))] = name
    known = _LETTERS_OF_MAILDIR | keywords
    found = [each for folder in ("cur", "new") if (path / folder).is_dir() for each in (path / folder).iterdir()]
    for each in sorted(found, key=lambda each: (_number(each.name), each.name)):
        if each.name.startswith(".") or not each.is_file():
            continue
        octets = _with_crlf(each.read_bytes())
        _, colon, info = each.name.rpartition(":2,")
        flags = tuple(known[letter] for letter in info if letter in known) if colon else ()
        if octets:
            yield Filed(octets, flags, each.stat().st_mtime)


def _number(name: str) -> int:
    """The seconds that a name in a Maildir begins with: so messages keep their order."""
    start = name.partition(".")[0][:18]
    return int(start) if start.isascii() and start.isdecimal() else 0


def _with_crlf(octets: bytes) -> bytes:
    return _NEWLINE.sub(b"\r\n", octets)


def _dated(octets: bytes, otherwise: float) -> float:
    date = field(octets[: header_size(octets)], "Date")
    try:
        at = parsedate_to_datetime(date.text).timestamp() if date is not None else otherwise
    except (ValueError, OverflowError):
        return otherwise
    return at if 0 < at < 2**32 else otherwise


def write_mbox(path: Path, filed: Iterable[Filed]) -> int:
    """Write a new mbox; gives how many messages it has. Raises OSError."""
    count = 0
    with path.open("xb") as file:
        for each in filed:
            end = header_size(each.octets)
            # Such fields of the message itself would be taken for ours: a stranger is not to delete what is read again.
            header = _KEPT.sub(b"", each.octets[:end].rstrip(b"\r\n")).rstrip(b"\r\n")
            lines = [header, b"\r\n" if header else b"", *_status(each.flags), b"\r\n", each.octets[end:]]
            octets = _PLAIN_FROM.sub(rb">\1", b"".join(lines).replace(b"\r\n", b"\n"))
            at = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(each.at)).encode()
            file.write(b"From MAILER-DAEMON " + at + b"\n" + octets)
            file.write(b"\n" if octets.endswith(b"\n") else b"\n\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def _status(flags: tuple[str, ...]) -> Iterator[bytes]:
    letters = "".join(letter for letter, flag in _LETTERS_OF_STATUS.items() if flag in flags)
    yield b"Status: RO\r\n" if "R" in letters else b"Status: O\r\n"
    if letters.replace("R", ""):
        yield b"X-Status: " + letters.replace("R", "").encode() + b"\r\n"
    keywords = [flag for flag in flags if not flag.startswith("\\")]
    if keywords:
        yield b"X-Keywords: " + " ".join(keywords).encode() + b"\r\n"


def write_maildir(path: Path, filed: Iterable[Filed]) -> int:
    """Write a new Maildir; gives how many messages it has. Raises OSError."""
    path.mkdir(mode=0o700)
    for folder in ("cur", "new", "tmp"):
        (path / folder).mkdir(mode=0o700)
    letters = {flag: letter for letter, flag in _LETTERS_OF_MAILDIR.items()}
    keywords: dict[str, str] = {}
    count = 0
    for each in filed:
        count += 1
        for flag in each.flags:
            # Keywords beyond the 26 that have letters cannot be told.
            if flag not in letters and len(keywords) < 26:
                keywords[flag] = letters[flag] = chr(ord("a") + len(keywords))
        octets = each.octets.replace(b"\r\n", b"\n")
        info = "".join(sorted(letters[flag] for flag in each.flags if flag in letters))
        file = path / "cur" / f"{int(each.at)}.{count:09}.estafeta,S={len(octets)}:2,{info}"
        file.write_bytes(octets)
        os.utime(file, (each.at, each.at))
    if keywords:
        names = "".join(f"{number} {name}\n" for number, name in enumerate(keywords))
        (path / _KEYWORDS_FILE).write_text(names, "utf-8")
    return count
