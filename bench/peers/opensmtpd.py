"""OpenSMTPD, unpacked from Debian's package, its limits raised. 6.8 answers 250 without a sync."""

from __future__ import annotations

import os
import subprocess
from typing import ClassVar

from bench.peers.isolation import isolated
from bench.peers.peer import Ground, LeftOut, Peer, Purpose, Running, files_below, folder_of, unpacked

USERS = ["opensmtpd", "opensmtpq", "mailboxes"]
_BACKLOG = """\
#define _GNU_SOURCE
#include <dlfcn.h>
int listen(int fd, int backlog) {
    static int (*next)(int, int);
    if (!next) next = dlsym(RTLD_NEXT, "listen");
    return next(fd, backlog < 1024 ? 1024 : backlog);
}
"""
"""It listens with a backlog of 5: each burst of connections would cost a second, of TCP's and not its own."""
_LIMITS = "smtp limit max-mails 1000000\nsmtp limit max-rcpt 1000\nsmtp max-message-size 20M\n"


class Opensmtpd(Peer):
    """Accepts into its queue while relaying is paused; delivers into Maildirs."""

    name = "OpenSMTPD"
    is_durable = False
    cannot: ClassVar = {
        Purpose.SUBMIT: "Debian's 6.8 promises TLS and fails the handshake with today's OpenSSL",
        Purpose.IMAP: "no IMAP server",
        Purpose.POP3: "no POP3 server",
    }

    def prepare(self) -> None:
        """Unpack it."""
        if os.geteuid() != 0:
            raise LeftOut("only root can start it")
        self._files = unpacked("opensmtpd")

    def start(self, ground: Ground) -> Running:
        """In folders of its own, at the paths that are compiled in."""
        folder = ground.folder
        for name in ("spool", "run", "lib", "mail"):
            folder_of(folder, name)
        folder_of(folder / "spool", "smtpd").chmod(0o711)
        folder_of(folder / "lib", "opensmtpd")
        folder_of(folder / "lib" / "opensmtpd", "empty")
        source, library = folder / "backlog.c", folder / "backlog.so"
        source.write_text(_BACKLOG)
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
        listen = f"{_LIMITS}listen on 127.0.0.1 port {ground.port} hostname opensmtpd.bench.test\n"
        if ground.purpose is Purpose.DELIVER:
            text = (
                f'table boxes {{ "@" = mailboxes }}\naction it maildir "{folder}/mail/%{{dest.user}}" virtual <boxes>\n'
                f'{listen}match from any for domain "bench.test" action it\n'
            )
        else:
            text = (
                f"action it relay host smtp://127.0.0.1:{ground.sink or 25}\n{listen}match from any for any action it\n"
            )
        (folder / "smtpd.conf").write_text(text)
        paused = ["-P", "mta"] if ground.purpose is Purpose.ACCEPT else []
        smtpd = ["smtpd", "-d", "-f", str(folder / "smtpd.conf"), *paused]
        places = {
            "/var/spool": folder / "spool",
            "/var/lib": folder / "lib",
            "/run": folder / "run",
        }
        command = isolated(folder, USERS, ["env", f"LD_PRELOAD={library}", *smtpd], places, packages=[self._files])
        os.chown(folder / "mail", 64102, 64102)
        running = self.launch(ground, command)
        if ground.purpose is Purpose.DELIVER:
            running.delivered = files_below(folder / "mail")
        return running
