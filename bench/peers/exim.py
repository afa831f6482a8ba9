"""Exim, unpacked from Debian's package: durable as shipped, its limits raised."""

from __future__ import annotations

import os
import shutil
from typing import ClassVar

from bench.peers.isolation import FIRST_ID, isolated
from bench.peers.peer import (
    MAILBOXES,
    MOST_SESSIONS,
    PASSWORD,
    USER,
    Ground,
    LeftOut,
    Peer,
    Purpose,
    Running,
    files_below,
    folder_of,
    unpacked,
)

CONFIGURATION = """\
exim_path = @program@
primary_hostname = exim.bench.test
spool_directory = @folder@/spool
log_file_path = @folder@/log/%slog
pid_file_path = @folder@/exim.pid
daemon_smtp_ports = @port@
local_interfaces = 127.0.0.1
exim_user = @user@
exim_group = @group@
domainlist local_domains = bench.test
hostlist relay_from_hosts = 127.0.0.1
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
host_lookup =
rfc1413_query_timeout = 0s
never_users = root
smtp_accept_max = @sessions@
smtp_accept_max_per_host = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 1024
@settings@
begin acl
acl_rcpt:
  accept hosts = +relay_from_hosts
  deny message = no
acl_data:
  accept
begin routers
@router@
begin transports
remote:
  driver = smtp
  port = @sink@
  hosts_try_chunking =
  hosts_try_prdr =
  hosts_try_fastopen =
  allow_localhost
maildir:
  driver = appendfile
  maildir_format
  directory = @folder@/mail/$local_part_data
  create_directory
  user = @user@
  group = @group@
  mode = 0600
begin retry
* * F,2h,15m
begin rewrite
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{@name@}}{eq{$auth3}{@password@}}}}
  server_set_id = $auth2
"""
USERS = ["Debian-exim"]
PROGRAM = "/usr/sbin/exim4"
_ON = "next_host:\n  driver = manualroute\n  route_list = * 127.0.0.1\n  self = send\n  transport = remote\n"
_IN = (
    "mailboxes:\n  driver = accept\n  domains = +local_domains\n  local_parts = nwildlsearch;@folder@/boxes\n"
    "  transport = maildir\n"
)


class Exim(Peer):
    """Accepts into its queue without delivering; delivers into Maildirs."""

    name = "Exim"
    cannot: ClassVar = {Purpose.IMAP: "no IMAP server", Purpose.POP3: "no POP3 server"}

    def prepare(self) -> None:
        """Unpack it."""
        if os.geteuid() != 0:
            raise LeftOut("only root can start it")
        self._files = unpacked("exim4-daemon-light")

    def start(self, ground: Ground) -> Running:
        """As the user that Debian's build is made for."""
        folder = ground.folder
        for name in ("spool", "log", "mail"):
            made = folder_of(folder, name)
            os.chown(made, FIRST_ID, FIRST_ID)
        settings = "tls_advertise_hosts =\n"
        if ground.certificate is not None and ground.key is not None:
            names = [folder / "certificate", folder / "key"]
            for source, copied in zip((ground.certificate, ground.key), names, strict=True):
                shutil.copyfile(source, copied)
                os.chown(copied, FIRST_ID, FIRST_ID)
            settings = f"tls_advertise_hosts = *\ntls_certificate = {names[0]}\ntls_privatekey = {names[1]}\n"
        if ground.purpose in (Purpose.ACCEPT, Purpose.SUBMIT):
            settings += "queue_only = true\n"
        file = folder / "exim.conf"
        values = {
            "router": _IN if ground.purpose is Purpose.DELIVER else _ON, "settings": settings, "folder": folder,
            "program": PROGRAM, "port": ground.port, "sink": ground.sink or 25, "sessions": MOST_SESSIONS,
            "user": USERS[0], "group": USERS[0], "name": USER, "password": PASSWORD,
        }  # fmt: skip
        numbered = [f"^\\d*{each:02}foo$: u{each:02}\n" for each in range(MAILBOXES)]
        (folder / "boxes").write_text(
            "foo: foo\n" + "".join([*numbered, *(f"{each}foo: u0{each}\n" for each in range(10))])
        )
        text = CONFIGURATION
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        file.write_text(text)
        file.chmod(0o644)
        command = isolated(folder, USERS, [PROGRAM, "-C", str(file), "-bdf"], packages=[self._files])
        (folder / "etc" / "exim4").mkdir(exist_ok=True)
        (folder / "etc" / "exim4" / "trusted_configs").write_text(f"{file}\n")
        running = self.launch(ground, command)
        if ground.purpose is Purpose.DELIVER:
            running.delivered = files_below(folder / "mail")
        return running
