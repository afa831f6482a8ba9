"""Estafeta as shipped, its domain and accounts made as an operator makes them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from bench.peers.peer import DOMAIN, ENVIRONMENT, MAILBOXES, PASSWORD, RECIPIENT, USER, Ground, Peer, Purpose, Running

from estafeta.app.crew import INDEXER_AFTER
from estafeta.app.patience import QUIET_AFTER
from estafeta.mail.address import Address
from estafeta.store import accounts, aliases
from estafeta.store.records import Instant
from estafeta.store.store import Transaction, open_store

PROGRAM = str(Path(sys.executable).parent / "estafeta")
"""The command beside the interpreter that runs this."""
NUMBERED = 20_000
"""Numbered addresses, as `smtp-source -N` makes them, that lead to the hundred mailboxes."""
_KINDS = {Purpose.SUBMIT: "submission", Purpose.IMAP: "imap", Purpose.POP3: "pop3"}


class Estafeta(Peer):
    """Accepts into the mailbox: that is the same commit."""

    name = "Estafeta"
    works_after = 2 * QUIET_AFTER + 0.5
    begins_within = INDEXER_AFTER + 2.0

    def start(self, ground: Ground) -> Running:
        """A server with one domain."""
        folder = ground.folder
        file = folder / "estafeta.toml"
        kind = _KINDS.get(ground.purpose, "smtp")
        tls = f'[tls]\ncertificate = "{ground.certificate}"\nkey = "{ground.key}"\n' if ground.certificate else ""
        also = f'[[listen]]\nkind = "imap"\naddress = "127.0.0.1"\nport = {ground.port + 1}\n'
        if ground.purpose is not Purpose.POP3:
            also = ""
        file.write_text(
            f'hostname = "mx.{DOMAIN}"\ndata = "data"\n{tls}[[listen]]\nkind = "{kind}"\naddress = "127.0.0.1"\n'
            f'port = {ground.port}\n{also}[smtp]\ntrusted_networks = ["127.0.0.0/8"]\n'
            f"[relay]\nport = {ground.sink or 25}\nallow_loopback = true\n"
            f"[connections]\nconnections = 11000\n{ground.settings}"
        )
        if not (folder / "data").exists():
            self._populate(folder, file)
            if ground.is_numbered:
                add_mailboxes(folder / "data")
        greeting = {"imap": b"* OK", "pop3": b"+OK"}.get(kind, b"220")
        running = self.launch(ground, [PROGRAM, "serve"], {"ESTAFETA_CONFIG": str(file)}, greeting=greeting)
        if ground.purpose is Purpose.RELAY:
            running.recipient = "foo@[127.0.0.1]"
        return running

    def _populate(self, folder: Path, file: Path) -> None:
        (folder / "data").mkdir(mode=0o700)
        for arguments in (["domain", "add", DOMAIN], ["account", "add", USER, "--password-file", "-"]):
            subprocess.run(
                [PROGRAM, *arguments],
                check=True,
                stdout=subprocess.DEVNULL,
                env={**ENVIRONMENT, "ESTAFETA_CONFIG": str(file)},
                input=PASSWORD.encode() + b"\n",
            )


def add_mailboxes(data: Path, number: int = MAILBOXES, *, first: int = 0, is_numbered: bool = True) -> None:
    """Accounts u0, u1 and so on, and the numbered addresses that lead to them."""

    def populate(tx: Transaction) -> None:
        now = Instant(time.time())
        for each in range(first, first + number):
            accounts.add(tx, Address(f"u{each}", DOMAIN), password=None, now=now)
        if not is_numbered:
            return
        local_part = RECIPIENT.partition("@")[0]
        for each in range(NUMBERED):
            aliases.add(tx, Address(f"{each}{local_part}", DOMAIN), [Address(f"u{each % number}", DOMAIN)])

    async def add() -> None:
        store = open_store(data, clock=time.time)
        try:
            await store.write(populate)
        finally:
            store.close()

    asyncio.run(add())
