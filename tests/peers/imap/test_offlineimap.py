"""offlineimap: a mailbox and a Maildir kept alike in both directions, folders of other scripts too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.peers.conftest import Run, program
from tests.peers.imap.mailboxes import done, fill, messages, session
from tests.peers.letters import letter, number_of
from tests.peers.running import PASSWORD, RunningServer

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"
MANY = 100
FOLDER = "Gr&APwA3w-e"
"""A name beyond ASCII, as it is spoken (RFC 3501 §5.1.3)."""
LETTERS = {"\\Seen": "S", "\\Answered": "R", "\\Flagged": "F", "\\Deleted": "T", "\\Draft": "D"}


def settings(server: RunningServer, account: str, folder: Path) -> Path:
    """Both sides; nothing asked, no screen."""
    file = folder / "offlineimaprc"
    file.write_text(
        f"[general]\naccounts = ours\nui = quiet\nmetadata = {folder}/state\nfsync = false\n"
        "[Account ours]\nlocalrepository = near\nremoterepository = far\n"
        f"[Repository near]\ntype = Maildir\nlocalfolders = {folder}/mail\n"
        f"[Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {server.ports[ListenerKind.IMAPS]}\n"
        f"remoteuser = {account}\nremotepass = {PASSWORD}\nssl = yes\nsslcacertfile = {server.issued.authority}\n"
        "auth_mechanisms = PLAIN\nexpunge = yes\n"
    )
    return file


def near(folder: Path) -> Counter[tuple[frozenset[str], int]]:
    """Flags and numbers of a Maildir's messages."""
    files = [file for name in ("cur", "new") for file in (folder / name).glob("*")]
    return Counter((frozenset(file.name.partition(":2,")[2]), number_of(file.read_bytes())) for file in files)


def far(server: RunningServer, account: str, mailbox: str) -> Counter[tuple[frozenset[str], int]]:
    """The same of a mailbox."""
    with session(server, account) as client:
        return Counter(
            (frozenset(LETTERS[flag] for flag in flags if flag in LETTERS), number_of(octets))
            for octets, flags in messages(client, mailbox)
        )


def test_both_sides_are_alike(server: RunningServer, run: Run, tmp_path: Path, account: str) -> None:
    letters = [letter(number, author=AUTHOR, recipient=account, size=1000) for number in range(MANY)]
    fill(server, account, "INBOX", letters)
    fill(server, account, FOLDER, letters[:3], "\\Answered")
    offlineimap, file = program("offlineimap", "offlineimap3"), settings(server, account, tmp_path)
    inbox = tmp_path / "mail" / "INBOX"

    def sync() -> None:
        ended = run(offlineimap, "-o", "-c", file)
        assert ended.returncode == 0, (ended.stdout + ended.stderr)[-3000:]
        for name in ("INBOX", FOLDER):
            assert near(tmp_path / "mail" / name) == far(server, account, name)

    sync()
    assert near(inbox) == Counter((frozenset(), number) for number in range(MANY))
    assert near(tmp_path / "mail" / FOLDER) == Counter((frozenset("R"), number) for number in range(3))
    octets = {number_of(each.read_bytes()): each.read_bytes() for each in (inbox / "new").glob("*")}
    assert octets == {number: each.replace(b"\r\n", b"\n") for number, each in enumerate(letters)}

    # A flag, a message that goes and one that comes, on each side.
    files = {number_of(each.read_bytes()): each for each in (inbox / "new").glob("*")}
    files[1].rename(inbox / "cur" / (files[1].name.partition(":2,")[0] + ":2,FS"))
    files[2].unlink()
    (inbox / "new" / "1.2_0.here:2,").write_bytes(
        letter(MANY, author=AUTHOR, recipient=account).replace(b"\r\n", b"\n")
    )
    with session(server, account, mailbox="INBOX") as client:
        done(client.store("11", "+FLAGS", r"(\Seen)"))
        done(client.store("13", "+FLAGS", r"(\Deleted)"))
        done(client.expunge())
        done(client.append("INBOX", r"(\Flagged)", "", letter(MANY + 1, author=AUTHOR, recipient=account)))
    sync()
    flags = {1: "FS", 10: "S", MANY + 1: "F"}
    left = [number for number in range(MANY + 2) if number not in {2, 12}]
    assert near(inbox) == Counter((frozenset(flags.get(number, "")), number) for number in left)
