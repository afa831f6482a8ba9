"""Postfix in front of us: what it took it relays to us by SMTP, SMTP over TLS and LMTP, whole and once."""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.peers.conftest import program
from tests.peers.letters import letter, number_of
from tests.peers.running import RunningServer, behind_all_trace, free_ports, wait_for

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"
TLS_DOMAIN = "tls.example.org"
LMTP_DOMAIN = "lmtp.example.org"

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
smtp_tls unix - - n - - smtp
 -o smtp_tls_security_level=secure
 -o smtp_tls_secure_cert_match=localhost
 -o smtp_tls_CAfile={authority}
"""


class Postfix:
    """An instance in a folder of its own, apart from the machine's; as shipped where nothing else is said."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self._master = program("master", "postfix")
        self.folder = folder
        (self.port,) = free_ports(1)
        self.log = folder / "log" / "maillog"
        # Its processes run as another user, who must get here.
        folder.chmod(0o755)
        for name in ("conf", "spool", "data", "log"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        smtp, lmtp = server.ports[ListenerKind.SMTP], server.ports[ListenerKind.LMTP]
        authority = shutil.copy(server.issued.authority, folder / "conf" / "authority.pem")
        (folder / "conf" / "master.cf").write_text(MASTER.format(port=self.port, authority=authority))
        (folder / "conf" / "main.cf").write_text(
            "\n".join(
                [
                    "compatibility_level = 3.6",
                    f"queue_directory = {folder}/spool",
                    f"data_directory = {folder}/data",
                    "command_directory = /usr/sbin",
                    "daemon_directory = /usr/lib/postfix/sbin",
                    f"maillog_file = {self.log}",
                    f"maillog_file_prefixes = {folder}",
                    "myhostname = relay.example.net",
                    "mydestination =",
                    "mynetworks = 127.0.0.0/8",
                    "inet_interfaces = 127.0.0.1",
                    "inet_protocols = ipv4",
                    "alias_maps =",
                    "alias_database =",
                    "local_recipient_maps =",
                    "smtpd_relay_restrictions = permit_mynetworks, reject",
                    "smtpd_tls_security_level =",
                    "smtp_tls_security_level =",
                    f"relayhost = [127.0.0.1]:{smtp}",
                    "transport_maps = inline:{"
                    f" {{ {TLS_DOMAIN} = smtp_tls:[127.0.0.1]:{smtp} }},"
                    f" {{ {LMTP_DOMAIN} = lmtp:inet:127.0.0.1:{lmtp} }} }}",
                    "",
                ]
            )
        )

    def start(self) -> None:
        """Start it and wait for its greeting."""
        conf = str(self.folder / "conf")
        # Makes the folders of the queue.
        subprocess.run([program("postfix", "postfix"), "-c", conf, "check"], check=True, timeout=30)
        self._process = subprocess.Popen(
            [self._master, "-c", conf, "-d"],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "MAIL_CONFIG": conf},
            start_new_session=True,  # it signals its process group when it ends
        )
        wait_for(self._is_up, "Postfix's greeting", seconds=30)

    def _is_up(self) -> bool:
        assert self._process.poll() is None, self.log.read_text() if self.log.exists() else "Postfix does not start"
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=10):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        """End it with all of its processes: they leave when their master does."""
        self._process.terminate()
        self._process.wait(30)

    def hand_over(self, recipients: list[str], contents: list[bytes]) -> None:
        """Give it messages for all the recipients in one transaction each."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as client:
            for content in contents:
                assert client.sendmail(AUTHOR, recipients, content, mail_options=["BODY=8BITMIME"]) == {}

    def is_empty(self) -> bool:
        """Whether it has no mail left."""
        names = ("maildrop", "incoming", "active", "deferred", "hold")
        return not any(path.is_file() for name in names for path in (self.folder / "spool" / name).rglob("*"))


@pytest.fixture(scope="module")
def postfix(server: RunningServer) -> Iterator[Postfix]:
    """Postfix, running; it starts as root only."""
    program("master", "postfix")
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("Postfix starts as root only")
        pytest.skip("Postfix starts as root only")
    with tempfile.TemporaryDirectory(prefix="estafeta-postfix-") as name:
        postfix = Postfix(Path(name), server)
        postfix.start()
        try:
            yield postfix
        finally:
            postfix.stop()


def arrived(postfix: Postfix, server: RunningServer, address: str, letters: dict[int, bytes]) -> list[bytes]:
    """The mailbox after Postfix has got rid of everything; each letter is in it once, octet for octet."""
    wait_for(postfix.is_empty, f"Postfix to relay all; its log: {postfix.log}", seconds=180)
    messages = server.messages(address)
    assert sorted(map(number_of, messages)) == sorted(letters)
    for message in messages:
        number = number_of(message)
        assert behind_all_trace(message) == letters[number], f"letter {number} is not what it was"
    return messages


def make_letters(recipient: str, sizes: list[int]) -> dict[int, bytes]:
    """Letters of these sizes, by number."""
    return {number: letter(number, author=AUTHOR, recipient=recipient, size=size) for number, size in enumerate(sizes)}


def test_a_thousand_messages_arrive_once_and_whole(postfix: Postfix, server: RunningServer, account: str) -> None:
    # From 200 octets to 100 KiB, most of them small, as mail is.
    sizes = [int(200 * (512 ** (number / 999))) for number in range(1000)]
    letters = make_letters(account, sizes)
    postfix.hand_over([account], list(letters.values()))
    messages = arrived(postfix, server, account, letters)
    octets = sum(map(len, messages))
    print(f"\n{len(messages)} messages through Postfix, {octets:,} octets, each once and whole")
    assert all(b"\tby relay.example.net (Postfix) with ESMTP id " in message for message in messages)


def test_postfix_relays_over_tls_that_it_verifies(postfix: Postfix, server: RunningServer) -> None:
    recipient = server.account("ana", domain=TLS_DOMAIN)
    letters = make_letters(recipient, [1000] * 20)
    postfix.hand_over([recipient], list(letters.values()))
    messages = arrived(postfix, server, recipient, letters)
    assert all(b"\tby mx.example.org with ESMTPS id " in message for message in messages)


def test_postfix_delivers_to_two_recipients_each_by_lmtp(postfix: Postfix, server: RunningServer) -> None:
    recipients = [server.account(name, domain=LMTP_DOMAIN) for name in ("ana", "luis")]
    letters = make_letters(recipients[0], [2000] * 20)
    postfix.hand_over(recipients, list(letters.values()))
    for recipient in recipients:
        messages = arrived(postfix, server, recipient, letters)
        assert all(b"\tby mx.example.org with LMTP id " in message for message in messages)


def test_postfix_tells_the_author_what_we_refuse(postfix: Postfix, server: RunningServer) -> None:
    author = server.account("author")
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=60) as client:
        client.sendmail(author, [f"nobody@{LMTP_DOMAIN}", "nobody@example.org"], b"Subject: x\r\n\r\nbody\r\n")
    wait_for(lambda: server.count(author) == 1 and postfix.is_empty(), "Postfix's notification", seconds=60)
    (notification,) = server.messages(author)
    assert notification.startswith(b"Return-Path: <>\r\n")
    assert notification.count(b"Diagnostic-Code: smtp; 550 5.1.1 ") == 2
