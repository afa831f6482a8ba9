"""Dovecot as a client: its `doveadm` moves whole accounts, from the server into Dovecot and from Dovecot into it."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.peers.conftest import Run, program
from tests.peers.imap.mailboxes import Message, done, everything, fill, session
from tests.peers.letters import letter, number_of
from tests.peers.running import PASSWORD, RunningServer

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"
MAILDIR_FLAGS = {"D": "\\Draft", "F": "\\Flagged", "R": "\\Answered", "S": "\\Seen", "T": "\\Deleted"}


class Dovecot:
    """An account of Dovecot's, a Maildir, whose other side is the server's account."""

    def __init__(self, server: RunningServer, run: Run, account: str, folder: Path) -> None:
        self._run = run
        self._mail = folder / "mail"
        authority = folder / "authority.pem"
        authority.write_bytes(server.issued.authority.read_bytes())
        self._settings = folder / "dovecot.conf"
        self._settings.write_text(
            f"base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = /dev/stderr\nprotocols =\n"
            f"mail_location = maildir:{self._mail}:LAYOUT=fs\nmail_home = {folder}\n"
            "first_valid_uid = 1\nfirst_valid_gid = 1\nmail_fsync = never\n"
            "namespace inbox {\n  inbox = yes\n  separator = /\n}\n"
            f"imapc_host = 127.0.0.1\nimapc_port = {server.ports[ListenerKind.IMAPS]}\nimapc_ssl = imaps\n"
            f"imapc_user = {account}\nimapc_password = {PASSWORD}\nssl_client_ca_file = {authority}\n"
            "imapc_features = rfc822.size fetch-headers fetch-bodystructure search modseq acl\n"
            "mail_prefetch_count = 20\n"
        )

    def __call__(self, *arguments: str) -> None:
        """One run of doveadm."""
        doveadm = program("doveadm", "dovecot-core")
        # As a user of its own: it looks nobody up then, for which Dovecot's own server would have to run.
        home = self._mail.parent
        user = [program("setpriv", "util-linux"), "--reuid=mail", "--regid=mail", "--clear-groups"]
        place = [program("env", "coreutils"), f"--chdir={home}", f"HOME={home}", "USER=me"]
        options = ["-c", self._settings, "-o", "stats_writer_socket_path="]
        ran = self._run(*user, *place, doveadm, *options, *arguments, seconds=120)
        said = ran.stderr.decode(errors="replace")
        assert ran.returncode == 0, said
        # What it could not carry over it tells as an error, whatever its exit code. Its own index of its own folder it
        # sometimes finds broken, after a run that gave that folder another UIDVALIDITY, and makes anew.
        errors = [line for line in said.splitlines() if "Error" in line and "Log synchronization error" not in line]
        assert not errors, said

    def everything(self) -> dict[str, Counter[Message]]:
        """What the Maildir holds: names, octets, flags and keywords."""
        found: dict[str, Counter[Message]] = {}
        for cur in self._mail.rglob("cur"):
            folder = cur.parent
            listed = folder / "dovecot-keywords"
            lines = listed.read_text().splitlines() if listed.exists() else []
            keywords = {chr(ord("a") + int(line.split()[0])): line.split()[1] for line in lines}
            name = "INBOX" if folder == self._mail else str(folder.relative_to(self._mail))
            for file in [*cur.iterdir(), *(folder / "new").iterdir()]:
                octets = re.sub(rb"\r?\n", b"\r\n", file.read_bytes())
                letters = file.name.partition(":2,")[2]
                flags = frozenset((MAILDIR_FLAGS | keywords)[one] for one in letters)
                found.setdefault(name, Counter())[Message(octets, flags)] += 1
        return found


@pytest.fixture
def dovecot(server: RunningServer, run: Run, account: str) -> Iterator[Dovecot]:
    program("doveadm", "dovecot-core")
    # Below a folder that the user may enter who Dovecot becomes.
    with tempfile.TemporaryDirectory(prefix="dovecot-") as name:
        shutil.chown(name, "mail", "mail")
        Path(name).chmod(0o700)
        yield Dovecot(server, run, account, Path(name))


@pytest.fixture
def filled(server: RunningServer, account: str) -> dict[str, Counter[Message]]:
    """An account with mailboxes, flags and keywords, as imaplib sees it."""
    letters = [letter(number, author=AUTHOR, recipient=account, size=3000) for number in range(300)]
    server.put(AUTHOR, account, letters[:5])
    fill(server, account, "INBOX", letters[5:100], flags="\\Seen")
    fill(server, account, "Work/Deep/Deeper", letters[100:250], flags="\\Answered $Forwarded")
    fill(server, account, "Gr&APwA3w-e", letters[250:], flags="\\Draft")
    with session(server, account, mailbox="INBOX") as client:
        done(client.store("1:*", "+FLAGS", "($Label1)"))
        done(client.store("3,50:60", "+FLAGS", "(\\Flagged)"))
        done(client.store("4", "+FLAGS", "(\\Deleted)"))
    return everything(server, account)


def test_a_whole_account_comes_into_dovecot(
    server: RunningServer, dovecot: Dovecot, account: str, filled: dict[str, Counter[Message]]
) -> None:
    dovecot("backup", "-R", "imapc:")
    assert dovecot.everything() == filled
    assert sum(content.total() for content in filled.values()) == 300

    # What has changed is all that a further run has to carry.
    with session(server, account, mailbox="Work/Deep/Deeper") as client:
        done(client.store("1:10", "+FLAGS.SILENT", "(\\Deleted)"))
        done(client.expunge())
        done(client.store("1:3", "FLAGS", "(\\Seen)"))
        done(client.rename("Work/Deep", "Play"))
    server.put(AUTHOR, account, [letter(1000, author=AUTHOR, recipient=account)])
    dovecot("backup", "-R", "imapc:")
    now = everything(server, account)
    assert now["Play/Deeper"].total() == 140
    assert dovecot.everything() == now


def test_a_whole_account_goes_from_dovecot_into_an_empty_one(
    server: RunningServer, dovecot: Dovecot, account: str, filled: dict[str, Counter[Message]]
) -> None:
    dovecot("backup", "-R", "imapc:")
    target = server.account(f"{account.partition('@')[0]}-moved")
    for command in ("sync", "sync"):  # the second has nothing to do, and must leave all as it is
        dovecot("-o", f"imapc_user={target}", command, "-1", "imapc:")
        assert everything(server, target) == filled


def test_both_sides_change(
    server: RunningServer, dovecot: Dovecot, account: str, filled: dict[str, Counter[Message]]
) -> None:
    dovecot("sync", "imapc:")
    dovecot("flags", "add", "\\Flagged", "mailbox", "Play", "OR", "mailbox", "Work/Deep/Deeper")
    dovecot("expunge", "mailbox", "INBOX", "HEADER", "X-Number", "42")
    with session(server, account, mailbox="INBOX") as client:
        done(client.store("1:2", "+FLAGS", "(\\Answered)"))
    dovecot("sync", "imapc:")
    now = everything(server, account)
    assert dovecot.everything() == now
    assert all("\\Flagged" in message.flags for message in now["Work/Deep/Deeper"])
    assert 42 not in {number_of(message.octets) for message in now["INBOX"]}
    assert sum("\\Answered" in message.flags for message in now["INBOX"].elements()) == 2
