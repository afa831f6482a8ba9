"""Postfix: an instance of its own, durable as shipped, its processes raised to the number of sessions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from bench.peers import dovecot
from bench.peers.isolation import FIRST_ID, isolated
from bench.peers.peer import (
    DOMAIN,
    MOST_SESSIONS,
    Ground,
    LeftOut,
    Peer,
    Purpose,
    Running,
    files_below,
    folder_of,
    run,
    unpacked,
)

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
myhostname = postfix.bench.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level =
smtp_tls_security_level =
default_process_limit = {sessions}
smtpd_client_connection_count_limit = 0
message_size_limit = 20000000
in_flow_delay = 0
qmgr_message_active_limit = 20000
"""
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
smtp unix - - n - - smtp
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""
_VIRTUAL = """\
virtual_mailbox_domains = bench.test
virtual_mailbox_base = {folder}/mail
virtual_alias_maps = regexp:{folder}/conf/numbered
virtual_mailbox_maps = texthash:{folder}/conf/mailboxes
virtual_uid_maps = static:{user}
virtual_gid_maps = static:{user}
virtual_minimum_uid = 100
virtual_mailbox_limit = 0
virtual_destination_concurrency_limit = 100
virtual_destination_recipient_limit = 1
"""
_NUMBERED = "/^[0-9]*([0-9][0-9])foo@(.*)/ u$1@$2\n/^([0-9])foo@(.*)/ u0$1@$2\n"


_SUBMISSION = """\
smtpd_client_restrictions = static:HOLD
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
"""


USERS = ["postfix", "postdrop", *dovecot.USERS]


def postfix() -> Path:
    """The folder with its files; raises LeftOut."""
    return unpacked("postfix")


def tool(name: str) -> list[str]:
    """The command of one of its tools for tests, `smtp-source` or `smtp-sink`; raises LeftOut."""
    files = postfix()
    libraries = [files / "usr/lib/postfix", *files.glob("usr/lib/*-linux-gnu*")]
    return ["env", f"LD_LIBRARY_PATH={':'.join(map(str, libraries))}", str(files / "usr/sbin" / name)]


class Postfix(Peer):
    """Accepts onto hold, so that no delivery runs beside the measurement; delivers into Maildirs.

    It has no passwords of its own: logins are proved by Dovecot, as is usual.
    """

    name = "Postfix"
    cannot: ClassVar = {
        Purpose.IMAP: "no IMAP server",
        Purpose.POP3: "no POP3 server",
    }

    def prepare(self) -> None:
        """Unpack it."""
        if os.geteuid() != 0:
            raise LeftOut("only root can start it")
        self._files = [postfix(), dovecot.dovecot()]

    def start(self, ground: Ground) -> Running:
        """Without daemons that the purpose does not need."""
        folder = ground.folder
        for name in ("conf", "spool", "log"):
            folder_of(folder, name)
        folder_of(folder, "data", FIRST_ID)
        mail = folder_of(folder, "mail", "nobody", "nogroup")
        lines = MAIN.format(folder=folder, sessions=MOST_SESSIONS)
        if ground.purpose is Purpose.ACCEPT:
            lines += "smtpd_client_restrictions = static:HOLD\n"
        elif ground.purpose is Purpose.SUBMIT:
            lines += _SUBMISSION.format(certificate=ground.certificate, key=ground.key)
        elif ground.purpose is Purpose.RELAY:
            lines += f"relayhost = [127.0.0.1]:{ground.sink}\ndefault_destination_concurrency_limit = 100\n"
            lines += "initial_destination_concurrency = 20\nsmtp_dns_support_level = disabled\n"
        elif ground.purpose is Purpose.SPREAD:
            lines += f"smtp_tcp_port = {ground.sink}\nsmtp_dns_support_level = disabled\n"
        else:
            lines += _VIRTUAL.format(folder=folder, user=65534)
            boxes = ["foo", *(f"u{each:02}" for each in range(100))]
            (folder / "conf" / "mailboxes").write_text("".join(f"{each}@{DOMAIN} {each}/\n" for each in boxes))
            (folder / "conf" / "numbered").write_text(_NUMBERED)
        (folder / "conf" / "main.cf").write_text(lines)
        (folder / "conf" / "master.cf").write_text(MASTER.format(port=ground.port))
        check = ["postfix", "-c", str(folder / "conf"), "check"]
        run(isolated(folder, USERS, check, packages=self._files), folder)
        command = ["/usr/lib/postfix/sbin/master", "-c", str(folder / "conf"), "-d"]
        if ground.purpose is Purpose.SUBMIT:
            file = folder_of(folder, "dovecot") / "dovecot.conf"
            file.write_text(
                dovecot.AUTHENTICATION.format(folder=file.parent, socket=folder / "spool" / "private" / "auth")
            )
            dovecot.add_user(folder, file)
            command = ["sh", "-ec", f'dovecot -c {file}; exec "$@"', "sh", *command]
        command = isolated(folder, USERS, command, packages=self._files)
        running = self.launch(ground, command, {"MAIL_CONFIG": str(folder / "conf")})
        if ground.purpose is Purpose.DELIVER:
            running.delivered = files_below(mail)
        return running
