"""mbsync (isync): a mailbox and a Maildir kept alike in both directions, though it is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tests.peers.conftest import Run, program
from tests.peers.imap.mailboxes import done, fill, messages, session
from tests.peers.letters import letter
from tests.peers.running import PASSWORD, RunningServer, wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"
MANY = 2_000
ENOUGH = 200
"""As many have come when it is killed."""
LETTERS = {"\\Seen": "S", "\\Answered": "R", "\\Flagged": "F", "\\Deleted": "T", "\\Draft": "D"}
"""The flags of a Maildir."""


def settings(server: RunningServer, account: str, folder: Path) -> Path:
    """Both sides, every mailbox, nothing left out."""
    file = folder / "mbsyncrc"
    file.write_text(
        f"FSync no\nIMAPAccount ours\nHost localhost\nPort {server.ports[ListenerKind.IMAPS]}\n"
        f'User {account}\nPass "{PASSWORD}"\nSSLType IMAPS\nSystemCertificates no\n'
        f"CertificateFile {server.issued.authority}\n\n"
        "IMAPStore far\nAccount ours\n\n"
        f"MaildirStore near\nPath {folder}/mail/\nInbox {folder}/mail/INBOX\nSubFolders Verbatim\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n"
    )
    (folder / "mail").mkdir()
    return file


def files(folder: Path) -> list[Path]:
    """The messages of a Maildir."""
    return [file for name in ("cur", "new") for file in (folder / name).glob("*")]


def near(folder: Path) -> Counter[tuple[frozenset[str], bytes]]:
    """Flags and octets of a Maildir's messages."""
    found = [(frozenset(file.name.partition(":2,")[2]), file.read_bytes()) for file in files(folder)]
    return Counter((flags, _untouched(octets)) for flags, octets in found)


def far(server: RunningServer, account: str, mailbox: str = "INBOX") -> Counter[tuple[frozenset[str], bytes]]:
    """The same of a mailbox."""
    with session(server, account) as client:
        return Counter(
            (frozenset(LETTERS[flag] for flag in flags if flag in LETTERS), _untouched(with_line_feeds(octets)))
            for octets, flags in messages(client, mailbox)
        )


def with_line_feeds(message: bytes) -> bytes:
    """As it is in a file."""
    return message.replace(b"\r\n", b"\n")


def _untouched(octets: bytes) -> bytes:
    # mbsync marks what it stores, to find it again.
    return b"".join(line for line in octets.splitlines(keepends=True) if not line.startswith(b"X-TUID: "))


def marked(file: Path, flags: str) -> None:
    """Give a message of a Maildir flags."""
    file.rename(file.parent.parent / "cur" / f"{file.name.partition(':2,')[0]}:2,{flags}")


def test_both_sides_are_alike_though_it_is_killed(
    server: RunningServer, run: Run, tmp_path: Path, account: str
) -> None:
    letters = [letter(number, author=AUTHOR, recipient=account, size=number % 300) for number in range(MANY)]
    fill(server, account, "INBOX", letters)
    mbsync, file = program("mbsync", "isync"), settings(server, account, tmp_path)
    inbox = tmp_path / "mail" / "INBOX"

    def sync() -> None:
        ended = run(mbsync, "-c", file, "all", seconds=60)
        assert ended.returncode == 0, ended.stderr
        assert near(inbox) == far(server, account)

    process = subprocess.Popen(
        [mbsync, "-c", str(file), "all"], cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    )
    wait_for(lambda: len(files(inbox)) >= ENOUGH, "the first messages", seconds=20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(files(inbox)) < MANY
    sync()
    assert Counter(octets for _, octets in near(inbox).elements()) == Counter(map(with_line_feeds, letters))

    # Changes on both sides: new messages, flags, and messages that go.
    here = sorted(files(inbox))
    marked(here[0], "FS")
    marked(here[1], "T")
    (inbox / "new" / "1.here").write_bytes(with_line_feeds(letter(MANY, author=AUTHOR, recipient=account)))
    (inbox / "cur" / "2.here:2,RS").write_bytes(with_line_feeds(letter(MANY + 1, author=AUTHOR, recipient=account)))
    with session(server, account, mailbox="INBOX") as client:
        done(client.store("500:509", "+FLAGS", r"(\Answered \Seen)"))
        done(client.store("600:604", "+FLAGS", r"(\Deleted)"))
        done(client.expunge())
        done(client.append("INBOX", r"(\Flagged)", "", letter(MANY + 2, author=AUTHOR, recipient=account)))
        done(client.append("Archive", "", "", letter(MANY + 3, author=AUTHOR, recipient=account)))
        done(client.create("Projects/A&APE-o"))
    sync()
    flags = Counter(flags for flags, _ in near(inbox).elements())
    assert flags == {frozenset(): MANY - 6 - 11 + 1, frozenset("FS"): 1, frozenset("RS"): 11, frozenset("F"): 1}
    assert near(tmp_path / "mail" / "Archive") == far(server, account, "Archive")
    assert near(tmp_path / "mail" / "Archive").total() == 1
    assert (tmp_path / "mail" / "Projects" / "A&APE-o" / "cur").is_dir()

    # Nothing is left to do.
    before = sorted(files(inbox))
    sync()
    assert sorted(files(inbox)) == before
