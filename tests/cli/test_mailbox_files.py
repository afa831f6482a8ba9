"""Mail of other programs is read with what their formats tell of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from estafeta.cli.mailbox_files import Filed, UnreadableMail, read, write_maildir, write_mbox

# As Dovecot and mutt write it: LF, fields of their own, quoted lines, and a message that is none.
MBOX = b"""\
From MAILER-DAEMON Thu Jan  1 00:00:01 1970
Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA
X-IMAP: 1700000000 0000000012 $Work

This text is part of the internal format of your mail folder.

From ana@example.org Sun Nov 22 16:00:00 2026
From: Ana <ana@example.org>
Status: RO
X-Status: AF
X-Keywords: $Work
\t$Home
X-UID: 7
Subject: one

first
>From here
>>From there
From inside, but not after an empty line

From ben@example.org Sun Nov 22 17:00:00 2026
Subject: two
Status: O

second

From nobody whenever
Subject: three
Date: Sun, 22 Nov 2026 18:00:00 +0100

third
"""


def test_an_mbox_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "mbox"
    path.write_bytes(MBOX)
    one, two, three = read(path)
    assert one.octets == (
        b"From: Ana <ana@example.org>\r\nSubject: one\r\n\r\nfirst\r\nFrom here\r\n>From there\r\n"
        b"From inside, but not after an empty line\r\n"
    )
    assert one.flags == ("$Home", "$Work", "\\Answered", "\\Flagged", "\\Seen")
    assert one.at == 1_795_363_200.0
    assert (two.octets, two.flags, two.at) == (b"Subject: two\r\n\r\nsecond\r\n", (), 1_795_366_800.0)
    assert three.octets.endswith(b"\r\n\r\nthird\r\n")
    assert three.at == 1_795_366_800.0  # of its Date, for want of another


def test_a_maildir_of_other_programs(tmp_path: Path) -> None:
    for folder in ("cur", "new", "tmp"):
        (tmp_path / folder).mkdir()
    (tmp_path / "dovecot-keywords").write_text("0 $Work\n1 bad name\n")
    (tmp_path / "cur" / "20.x.host,S=9:2,FSTa").write_bytes(b"Subject: two\n\nx\n")
    (tmp_path / "cur" / "3.x.host:2,PRb").write_bytes(b"Subject: one\r\n\r\nx\r\n")
    (tmp_path / "new" / "100.x.host").write_bytes(b"Subject: three\n\nx\n")
    (tmp_path / "tmp" / "1.x.host").write_bytes(b"unfinished")
    os.utime(tmp_path / "cur" / "3.x.host:2,PRb", (1000, 1000))
    one, two, three = read(tmp_path)
    assert (one.octets, one.flags, one.at) == (b"Subject: one\r\n\r\nx\r\n", ("$Forwarded", "\\Answered"), 1000.0)
    assert two.octets == b"Subject: two\r\n\r\nx\r\n"
    assert set(two.flags) == {"\\Flagged", "\\Seen", "\\Deleted", "$Work"}
    assert three.flags == ()


def test_single_messages_and_folders_of_them(tmp_path: Path) -> None:
    (tmp_path / "b.eml").write_bytes(b"Date: Sun, 22 Nov 2026 18:00:00 +0000\nSubject: b\n\nx\n")
    (tmp_path / "a.eml").write_bytes(b"Date: nonsense\r\n\r\nFrom here\r\n")
    (tmp_path / "notes.txt").write_bytes(b"no mail")
    os.utime(tmp_path / "a.eml", (1000, 1000))
    a, b = read(tmp_path)
    assert (a.octets, a.at) == (b"Date: nonsense\r\n\r\nFrom here\r\n", 1000.0)
    assert b.at == 1_795_370_400.0
    assert list(read(tmp_path / "b.eml")) == [b]


@pytest.mark.parametrize(
    "octets",
    [
        b"Subject: x\r\n\r\nFrom here\r\n>From there\r\n\r\nFrom now\r\n",
        b"Subject: x\r\n\r\n\r\n\r\n",
        b"\r\nonly a body\r\n",
        b"Subject: x\r\n\r\n",
        b"Subject: \xe1\r\n\r\n\xff\x00\r\n",
    ],
)
def test_what_is_written_is_read_as_it_was(tmp_path: Path, octets: bytes) -> None:
    filed = Filed(octets, ("$Work", "\\Flagged", "\\Seen"), 1_700_000_000.0)
    other = Filed(b"Subject: other\r\n\r\nx\r\n", (), 1_700_000_001.0)
    assert write_mbox(tmp_path / "mbox", [filed, other]) == 2
    assert list(read(tmp_path / "mbox")) == [filed, other]
    assert write_maildir(tmp_path / "maildir", [filed, other]) == 2
    first, second = read(tmp_path / "maildir")
    assert (first.octets, sorted(first.flags), first.at) == (octets, sorted(filed.flags), filed.at)
    assert second == other


def test_no_field_that_a_stranger_wrote_becomes_a_flag_or_takes_a_message_away(tmp_path: Path) -> None:
    written = b"Subject: x\r\nX-Status: D\r\nX-Keywords: $Work\r\n\r\ny\r\n"
    hidden = b"X-IMAP: 1\r\nSubject: FOLDER INTERNAL DATA\r\n\r\ny\r\n"
    assert write_mbox(tmp_path / "mbox", [Filed(written, (), 1_000.0), Filed(hidden, (), 1_000.0)]) == 2
    first, second = read(tmp_path / "mbox")
    assert (first.octets, first.flags) == (b"Subject: x\r\n\r\ny\r\n", ())
    assert second.octets == b"Subject: FOLDER INTERNAL DATA\r\n\r\ny\r\n"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMail, match="No such file"):
        list(read(tmp_path / "nowhere"))
