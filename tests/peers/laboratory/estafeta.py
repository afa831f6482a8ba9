"""Estafeta in the laboratory: it asks its DNS, and sends to and takes mail from the hosts there."""

from __future__ import annotations

import json
import os
import re
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from tests.peers.laboratory.certificates import authority
from tests.peers.laboratory.isolation import OWN_ADDRESS, Laboratory
from tests.peers.running import PASSWORD, RunningServer, running, wait_for

from estafeta.cli.main import estafeta
from estafeta.config.settings import ListenerKind
from estafeta.net.authority import Issued

_RUN = "import sys; from estafeta.cli.main import main; sys.argv[0] = 'estafeta'; main()"
_QUEUE_ID = re.compile(rb"accepted as (\S+)")

IMPATIENT = """\
[relay]
retry_after = [1]
jitter = 0
poll_after = 0.1
connect_after = 2
reply_after = 2
data_after = 2
block_after = 2
final_after = 2
keep_connection_for = 1
"""
"""Settings with which a test need not wait long; further ones of `[relay]` can follow."""


class LaboratoryServer(RunningServer):
    """As `RunningServer`, with port 25 of an address of the laboratory as one more listener.

    It trusts the authority of the laboratory. `domain` is the first of its own.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        folder: Path,
        *,
        domain: str = "example.org",
        name: str = "mx.example.org",
        address: str = OWN_ADDRESS,
        tls: Issued | None = None,
        settings: str = "",
    ) -> None:
        """`tls` is shown in place of a certificate for localhost."""
        self._laboratory = laboratory
        self._tls = tls
        self.name = name
        self.address = address
        self.config = folder / "estafeta.toml"
        self._clients: dict[str, smtplib.SMTP] = {}
        listener = f'[[listen]]\nkind = "smtp"\naddress = "{address}"\nport = 25\n'
        super().__init__(folder, domain=domain, settings=f"{listener}{settings}")

    def _settings(self, further: str) -> str:
        if self._tls is not None:
            self.issued = self._tls
        return super()._settings(further).replace("mx.example.org", self.name, 1)

    # The process.

    def start(self) -> None:
        """Start it inside and wait for its greeting; it is killed when the process of the tests ends."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("serve", "--config", self.config),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
            )
        wait_for(self._is_up, f"the server's greeting; its log: {self.log}", seconds=30)

    def _is_up(self) -> bool:
        return self._laboratory.call(super()._is_up)

    def stop(self) -> int:
        """End it in order; gives the exit code."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        return super().stop()

    def _command(self, *words: str | Path) -> list[str]:
        run = (sys.executable, "-c", _RUN, *words)
        return self._laboratory.command("setpriv", "--pdeathsig", "KILL", *run, own_processes=False)

    def _environment(self) -> dict[str, str]:
        source = str(Path(__file__).parents[3] / "src")
        return {**os.environ, "PYTHONPATH": source, "SSL_CERT_FILE": str(authority(self._laboratory))}

    # Mail that goes in.

    def put(self, sender: str, address: str, contents: list[bytes]) -> None:
        """Have messages delivered to an account, as another host does."""
        self._laboratory.call(lambda: RunningServer.put(self, sender, address, contents))

    def submit(
        self,
        account: str,
        *recipients: str,
        content: bytes,
        mail: Sequence[str] = (),
        rcpt: Sequence[str] = (),
    ) -> str:
        """Hand a message in as its owner does, over TLS and logged in; gives the queue id.

        `mail` and `rcpt` are parameters of these commands. Connections are kept, for a login takes a while. Raises
        SMTPRecipientsRefused.
        """
        return self._laboratory.call(lambda: self._submit(account, recipients, content, mail, rcpt))

    def _submit(
        self, account: str, recipients: Sequence[str], content: bytes, mail: Sequence[str], rcpt: Sequence[str]
    ) -> str:
        client = self._clients.get(account)
        if client is None or not _is_open(client):
            client = self._clients[account] = self._logged_in(account)
        reply = client.mail(account, ["BODY=8BITMIME", *mail])
        assert reply[0] == 250, reply
        replies = {recipient: client.rcpt(recipient, rcpt) for recipient in recipients}
        if refused := {recipient: reply for recipient, reply in replies.items() if reply[0] != 250}:
            raise smtplib.SMTPRecipientsRefused(refused)
        reply = client.data(content)
        found = _QUEUE_ID.search(reply[1])
        assert reply[0] == 250 and found is not None, reply
        return found[1].decode()

    def _logged_in(self, account: str) -> smtplib.SMTP:
        context = ssl.create_default_context(cafile=self.issued.authority)
        context.check_hostname = False
        client = smtplib.SMTP("127.0.0.1", self.ports[ListenerKind.SUBMISSION], timeout=30)
        client.starttls(context=context)
        client.login(account, PASSWORD)
        return client

    # What the operator sees.

    def command(self, *words: str) -> str:
        """Run a command of `estafeta` that needs no network, and must succeed; gives what it prints."""
        done = CliRunner().invoke(estafeta, [*words], env={"ESTAFETA_CONFIG": str(self.config)})
        assert done.exit_code == 0, done.output
        return done.stdout

    def call(self, *words: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        """Run a command that needs the network inside, with a password for a login."""
        return subprocess.run(
            self._command(*words, "--config", self.config),
            env={**self._environment(), "ESTAFETA_PASSWORD": password},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def queued(self, what: str) -> list[dict[str, Any]]:
        """What `estafeta queue list` has of a message, or of a recipient's address: the recipients that wait."""
        found = json.loads(self.command("queue", "list", "--limit", "10000", "--json"))
        return [each for each in found if what in (each["message_id"], each["forward_path"])]

    def attempts(self, queue_id: str) -> list[dict[str, Any]]:
        """What `estafeta trace` tells of the attempts at a message, one after the other."""
        found = json.loads(self.command("trace", queue_id, "--limit", "1000", "--json"))
        return [each["facts"] for each in found if each["kind"] == "attempt"]

    def wait_for_attempts(self, queue_id: str, count: int = 1, *, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait until so many attempts at a message are in its trace; gives them."""
        wait_for(lambda: len(self.attempts(queue_id)) >= count, f"{count} attempts; {self.log}", seconds=seconds)
        return self.attempts(queue_id)

    def wait_until_gone(self, queue_id: str, *, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait until none of a message's recipients is in the queue; gives all attempts."""
        wait_for(lambda: not self.queued(queue_id), f"{queue_id} to leave the queue; {self.log}", seconds=seconds)
        return self.attempts(queue_id)

    def wait_for_messages(self, account: str, count: int = 1, *, seconds: float = 30) -> list[bytes]:
        """Wait until so many messages are in the account's INBOX, and give them; more are a failure."""
        wait_for(lambda: self.count(account) >= count, f"mail for {account}; {self.log}", seconds=seconds)
        messages = self.messages(account)
        assert len(messages) == count, messages
        return messages


def serving(server: LaboratoryServer) -> Iterator[LaboratoryServer]:
    """Run it for as long as a fixture lives; its end must be an orderly one."""
    for _ in running(server):
        yield server


def _is_open(client: smtplib.SMTP) -> bool:
    try:
        return client.rset()[0] == 250
    except smtplib.SMTPServerDisconnected:
        client.close()
        return False
