"""Haraka from npm, in a folder of its own, without plugins but those that it needs to take and pass on mail."""

from __future__ import annotations

from typing import ClassVar

from bench.peers.isolation import isolated
from bench.peers.peer import PASSWORD, PLACE, USER, Ground, LeftOut, Peer, Purpose, Running, folder_of, program, run

VERSION = "3.1.1"
_TAKE = """\
exports.hook_rcpt = function (next, connection) { connection.relaying = true; next(OK) }
exports.hook_get_mx = function (next) { next(OK, { priority: 0, exchange: '127.0.0.1', port: SINK }) }
"""


class Haraka(Peer):
    """Accepts into its queue, with or without sending on."""

    name = "Haraka"
    cannot: ClassVar = {
        Purpose.DELIVER: "has no mailboxes",
        Purpose.IMAP: "no IMAP server",
        Purpose.POP3: "no POP3 server",
    }

    def prepare(self) -> None:
        """Install it."""
        self._node = program("node", "nodejs")
        npm = program("npm", "npm")
        folder = PLACE / "haraka"
        self._haraka = folder / "node_modules" / "Haraka" / "bin" / "haraka"
        if not self._haraka.exists():
            folder.mkdir(parents=True, exist_ok=True)
            run([npm, "install", "--no-audit", "--no-fund", "--omit=optional", f"Haraka@{VERSION}"], folder)
        if not self._haraka.exists():
            raise LeftOut("npm did not install it")

    def start(self, ground: Ground) -> Running:
        """One process, as it is shipped."""
        folder = ground.folder
        for name in ("config", "plugins", "queue"):
            folder_of(folder, name)
        plugins = ["take"]
        files = {
            "smtp.ini": f"listen=127.0.0.1:{ground.port}\n[headers]\nadd_received=true\n",
            "connection.ini": (self._haraka.parents[1] / "config" / "connection.ini").read_text(),
            "me": "haraka.bench.test\n",
            "log.ini": "[main]\nlevel=warn\n",
            "databytes": "20000000\n",
            "outbound.ini": f"disabled={'true' if ground.purpose is not Purpose.RELAY else 'false'}\n"
            "concurrency_max=100\nenable_tls=false\nreceived_header=Haraka outbound\n",
            "host_list": "",
        }
        if ground.purpose is Purpose.SUBMIT:
            plugins = ["tls", "auth/flat_file", "take"]
            files["tls.ini"] = f"key={ground.key}\ncert={ground.certificate}\n"
            files["auth_flat_file.ini"] = f"[core]\nmethods=PLAIN,LOGIN\n[users]\n{USER}={PASSWORD}\n"
        for name, text in files.items():
            (folder / "config" / name).write_text(text)
        (folder / "config" / "plugins").write_text("\n".join(plugins) + "\n")
        (folder / "plugins" / "take.js").write_text(_TAKE.replace("SINK", str(ground.sink or 25)))
        command = isolated(folder, [], [self._node, str(self._haraka), "-c", str(folder)])
        return self.launch(ground, command)
