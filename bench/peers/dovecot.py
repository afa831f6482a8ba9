"""Dovecot with a user of its own; limits on processes and connections raised, else as shipped.

It keeps the mail as sdbox, its own format with one file a message: faster than Maildir here, and like Estafeta's
store known to it alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from bench.peers.isolation import isolated
from bench.peers.peer import ENVIRONMENT, PASSWORD, USER, Ground, LeftOut, Peer, Purpose, Running, folder_of, unpacked

ITERATIONS = 15_000
"""Of SCRAM, as in Estafeta; no password is hashed at a login."""
CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain scram-sha-256
mail_location = sdbox:{folder}/mail
first_valid_uid = 1
mail_max_userip_connections = 12000
default_client_limit = 12000
default_process_limit = 2500
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/home
}}
service imap-login {{
  process_limit = 2500
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  process_limit = 2500
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service anvil {{
  client_limit = 20000
}}
service imap {{
  process_limit = 2500
}}
service pop3 {{
  process_limit = 2500
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


AUTHENTICATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
first_valid_uid = 1
default_client_limit = 12000
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}
}}
service auth {{
  unix_listener {socket} {{
    mode = 0600
    user = postfix
  }}
}}
"""
"""Only proves logins, for another server."""


USERS = ["dovecot", "dovenull"]


def dovecot() -> Path:
    """The folder with its files; raises LeftOut."""
    return unpacked("dovecot-imapd", "dovecot-pop3d")


def add_user(ground: Path, configuration: Path) -> None:
    """The file with the one user, beside the configuration, for a server in the folder `ground`."""
    command = ["doveadm", "-c", str(configuration), "pw", "-s", "SCRAM-SHA-256", "-r", str(ITERATIONS), "-p", PASSWORD]
    command = isolated(ground, USERS, command, packages=[dovecot()])
    hashed = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout.strip()
    users = configuration.parent / "users"
    users.write_text(f"{USER}:{hashed}::::::\n")
    users.chmod(0o644)


class Dovecot(Peer):
    """For reading."""

    name = "Dovecot"
    cannot: ClassVar = dict.fromkeys(
        (Purpose.ACCEPT, Purpose.DELIVER, Purpose.RELAY, Purpose.SUBMIT), "takes no mail by SMTP"
    )

    def prepare(self) -> None:
        """Unpack it."""
        if os.geteuid() != 0:
            raise LeftOut("only root can start it")
        self._files = dovecot()

    def start(self, ground: Ground) -> Running:
        """IMAP and POP3, the one that is measured on the port that was given."""
        folder = ground.folder
        for name in ("mail", "home", "state"):
            folder_of(folder, name, "nobody", "nogroup")
        file = folder / "dovecot.conf"
        imap, pop3 = ground.port, ground.port + 1
        if ground.purpose is Purpose.POP3:
            imap, pop3 = pop3, imap
        file.write_text(CONFIGURATION.format(folder=folder, imap=imap, pop3=pop3))
        if not (folder / "users").exists():
            add_user(folder, file)
        shutil.rmtree(folder / "run", ignore_errors=True)
        greeting = b"* OK" if ground.purpose is Purpose.IMAP else b"+OK"
        command = isolated(folder, USERS, ["dovecot", "-F", "-c", str(file)], packages=[self._files])
        return self.launch(ground, command, greeting=greeting)
