"""aiosmtpd in a virtual environment of its own, with a handler that writes and syncs a file before its 250."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from bench.peers.peer import PASSWORD, PLACE, USER, Ground, Peer, Purpose, Running, folder_of, run

LOCK = Path(__file__).parents[2] / "requirements-bench.lock"
HANDLER = """\
import asyncio, itertools, os, ssl, sys
from concurrent.futures import ThreadPoolExecutor
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

port, folder, certificate, key, name, password = sys.argv[1:7]
numbers, pool = itertools.count(), ThreadPoolExecutor(16)

def store(content):
    with open(f"{folder}/{next(numbers)}", "xb", 0) as file:
        file.write(content)
        os.fsync(file.fileno())

class Handler:
    async def handle_DATA(self, server, session, envelope):
        await asyncio.get_running_loop().run_in_executor(pool, store, envelope.content)
        return "250 2.0.0 OK"

def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (name.encode(), password.encode())
    return AuthResult(success=right)

async def main():
    loop, more = asyncio.get_running_loop(), {}
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        more = {"tls_context": context, "authenticator": authenticate, "auth_required": True}
    make = lambda: SMTP(Handler(), hostname="aiosmtpd.bench.test", loop=loop, data_size_limit=10**8, **more)
    server = await loop.create_server(make, "127.0.0.1", int(port), backlog=1024)
    await server.serve_forever()

asyncio.run(main())
"""


class Aiosmtpd(Peer):
    """A library, not a server: it keeps what a handler keeps."""

    name = "aiosmtpd"
    cannot: ClassVar = {
        Purpose.DELIVER: "a library: it has no mailboxes",
        Purpose.RELAY: "a library: it has no queue",
        Purpose.IMAP: "no IMAP server",
        Purpose.POP3: "no POP3 server",
    }

    def prepare(self) -> None:
        """Install it."""
        self._python = PLACE / "aiosmtpd" / "bin" / "python"
        if not any((PLACE / "aiosmtpd").glob("lib/*/site-packages/aiosmtpd")):
            PLACE.mkdir(parents=True, exist_ok=True)
            run([sys.executable, "-m", "venv", str(PLACE / "aiosmtpd")], PLACE)
            run([str(self._python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(LOCK)], PLACE)

    def start(self, ground: Ground) -> Running:
        """A file for each message, each with a sync of its own, in sixteen threads."""
        script = ground.folder / "handler.py"
        script.write_text(HANDLER)
        kept = folder_of(ground.folder, "kept")
        files = [str(ground.certificate or ""), str(ground.key or "")]
        command = [str(self._python), str(script), str(ground.port), str(kept), *files, USER, PASSWORD]
        return self.launch(ground, command)
