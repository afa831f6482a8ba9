"""Whatever stands in a file of mail: it is read without an error into messages with CRLF, whose number and content are
the same when they are written to an mbox or a Maildir and read again, also by another reader (mailbox)."""

from __future__ import annotations

import mailbox
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.fuzz.inputs import Input

from estafeta.agents.outbound.gateways.mbox import mbox_entry
from estafeta.cli.mailbox_files import _KEPT, Filed, read, write_maildir, write_mbox
from estafeta.mail.address import NULL_REVERSE_PATH
from estafeta.mail.header import header_size

ENTRY, AS_MBOX = range(2)
"""Flags: a message for a mailbox here; the file begins as an mbox does."""
_CRS = re.compile(rb"\r+")
"""Line ends of Unix have no place for more than one CR before an LF."""


def kept(octets: bytes) -> bytes:
    """What an mbox keeps: not the fields that are its own, nor how many lines end behind the last that has a letter."""
    end = header_size(octets)
    header = _KEPT.sub(b"", octets[:end].rstrip(b"\r\n")).rstrip(b"\r\n")
    return (header + b"\r\n\r\n" + octets[end:]).rstrip(b"\r\n")


def told(each: Filed) -> tuple[bytes, list[str]]:
    """What a Maildir keeps of a message, but for its date."""
    return each.octets, sorted(set(each.flags))


def check_written(found: list[Filed], folder: Path) -> None:
    """Written in both forms, and read again."""
    assert write_mbox(folder / "mbox", found) == len(found)
    again = list(read(folder / "mbox"))
    assert [kept(each.octets) for each in again] == [kept(each.octets) for each in found]
    if found:
        with closing(mailbox.mbox(folder / "mbox", create=False)) as others:
            assert len(others) == len(found)
    write_maildir(folder / "maildir", found)
    again = list(read(folder / "maildir"))
    # In a Maildir they stand in the order of their dates.
    assert sorted(map(told, again)) == sorted(map(told, found))


def check_entry(octets: bytes, folder: Path) -> None:
    """As the gateway appends it: one message, whatever is in it."""
    entry = mbox_entry(octets.replace(b"\r\n", b"\n"), NULL_REVERSE_PATH, 0.0)
    (folder / "mbox").write_bytes(entry + entry)
    with closing(mailbox.mbox(folder / "mbox", create=False)) as others:
        assert len(others) == 2


def checked(path: Path) -> Iterator[Filed]:
    """The messages of a file."""
    for each in read(path):
        assert each.octets and each.octets.count(b"\n") == each.octets.count(b"\r\n")
        assert 0 <= each.at < 2**33
        yield each


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(_CRS.sub(b"\r", octets))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        if given.has(ENTRY):
            check_entry(given.octets, folder)
            return
        begins = b"From ana Thu Jan  1 00:00:00 1970\n" if given.has(AS_MBOX) else b""
        (folder / "given").write_bytes(begins + given.octets)
        check_written(list(checked(folder / "given")), folder)
