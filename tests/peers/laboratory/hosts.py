"""Mail servers of the world, each on port 25 of its own address: they keep mail for their domains in one Maildir and
send on what machines of the laboratory hand in, as the DNS says; as shipped where nothing else is said."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod

from tests.peers.conftest import program
from tests.peers.laboratory.isolation import MAIL_UID, MAIL_USER, Inside, Laboratory

from estafeta.net.authority import Issued


class MailHost(ABC):
    """One server; it runs from `start` to `stop`, or to the end of the laboratory."""

    def __init__(
        self,
        laboratory: Laboratory,
        name: str,
        *domains: str,
        address: str | None = None,
        tls: Issued | None = None,
        settings: str = "",
    ) -> None:
        """`settings` are lines of the server's own language behind ours; `tls` lets it offer STARTTLS."""
        self.laboratory = laboratory
        self.name = name
        self.domains = domains
        self.address = address or laboratory.address()
        self.tls = tls
        self.settings = settings
        self.folder = laboratory.make_folder(type(self).__name__.lower())
        self.mail = self.folder / "mail"
        self.mail.mkdir()
        shutil.chown(self.mail, MAIL_UID, MAIL_UID)
        self._inside: Inside | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._inside = self._launch()
        self.laboratory.wait_for_port(self.address, 25, self._inside)

    def stop(self) -> None:
        """End it; what it has kept stays."""
        assert self._inside is not None
        self._inside.stop()

    def messages(self) -> list[bytes]:
        """What it has delivered to its domains: Maildir files, the lines ended by LF, in the order of arrival."""
        files = [path for name in ("new", "cur") for path in (self.mail / "all" / name).glob("*")]
        return [path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    @abstractmethod
    def log(self) -> str:
        """What it has logged."""

    @abstractmethod
    def _launch(self) -> Inside: ...


class Postfix(MailHost):
    """Postfix, the machine's own."""

    def _launch(self) -> Inside:
        master = program("master", "postfix")
        conf = self.folder / "conf"
        for name in ("conf", "spool", "data"):
            (self.folder / name).mkdir(exist_ok=True)
        shutil.chown(self.folder / "data", "postfix")
        (conf / "master.cf").write_text(_POSTFIX_MASTER.format(address=self.address))
        tls = ["smtpd_tls_security_level ="]
        if self.tls is not None:
            tls = [
                "smtpd_tls_security_level = may",
                f"smtpd_tls_cert_file = {self.tls.certificate}",
                f"smtpd_tls_key_file = {self.tls.key}",
                "smtpd_tls_received_header = yes",
            ]
        main = _POSTFIX_MAIN.format(
            folder=self.folder, name=self.name, address=self.address, domains=" ".join(self.domains), uid=MAIL_UID
        )
        (conf / "main.cf").write_text("\n".join([main, *tls, self.settings, ""]))
        self.laboratory.check(program("postfix", "postfix"), "-c", conf, "check")
        return self.laboratory.launch(
            *("env", f"MAIL_CONFIG={conf}", master, "-c", conf, "-d"), log=self.folder / "output"
        )

    def log(self) -> str:
        """Its mail log."""
        return (self.folder / "maillog").read_text()


class Exim(MailHost):
    """Exim, from an unpacked package of Debian."""

    def _launch(self) -> Inside:
        for name in ("spool", "log"):
            (self.folder / name).mkdir(exist_ok=True)
            self.laboratory.check("chown", "Debian-exim:Debian-exim", self.folder / name)
        tls = "tls_advertise_hosts ="
        if self.tls is not None:
            # It reads the key as its own user.
            readable = [shutil.copy(file, self.folder / file.name) for file in (self.tls.certificate, self.tls.key)]
            self.laboratory.check("chown", "Debian-exim", *readable)
            tls = f"tls_advertise_hosts = *\ntls_certificate = {readable[0]}\ntls_privatekey = {readable[1]}"
        conf = self.folder / "exim.conf"
        conf.write_text(
            _EXIM.format(
                folder=self.folder,
                name=self.name,
                address=self.address,
                domains=" : ".join(self.domains),
                user=MAIL_USER,
                further=f"{tls}\n{self.settings}",
            )
        )
        conf.chmod(0o644)
        # Root may name other settings only where this file lists them.
        self.laboratory.check("sh", "-ec", 'mkdir -p /etc/exim4; echo "$1" >>/etc/exim4/trusted_configs', "sh", conf)
        exim = inside_program(self.laboratory, "/usr/sbin/exim4", "exim4-daemon-light")
        return self.laboratory.launch(exim, "-C", conf, "-bdf", "-q1m", log=self.folder / "output")

    def log(self) -> str:
        """Its main log and its panic log."""
        return "".join(path.read_text() for path in sorted((self.folder / "log").glob("*log")))


class OpenSmtpd(MailHost):
    """OpenSMTPD, from an unpacked package of Debian; its folders are compiled in, so it has some of its own.

    That of Debian 12 offers STARTTLS, but no handshake succeeds: it was not made for OpenSSL 3.
    """

    def _launch(self) -> Inside:
        lines = (
            [f'pki {self.name} cert "{self.tls.certificate}"', f'pki {self.name} key "{self.tls.key}"']
            if self.tls
            else []
        )
        tls = f" tls pki {self.name}" if self.tls else ""
        domains = ", ".join(f'"{domain}"' for domain in self.domains)
        conf = self.folder / "smtpd.conf"
        conf.write_text(
            "\n".join(
                [
                    *lines,
                    f'table everyone {{ "@" = {MAIL_USER} }}',
                    f'action "keep" maildir "{self.mail}/all" virtual <everyone>',
                    f'action "send" relay helo {self.name}',
                    f"listen on {self.address} port 25 hostname {self.name}{tls}",
                    f'match from any for domain {{ {domains} }} action "keep"',
                    'match from src 192.0.2.0/24 for any action "send"',
                    self.settings,
                    "",
                ]
            )
        )
        conf.chmod(0o600)
        smtpd = inside_program(self.laboratory, "/usr/sbin/smtpd", "opensmtpd")
        return self.laboratory.launch(
            *("unshare", "--mount", "sh", "-ec", _OPENSMTPD, "sh", smtpd, conf), log=self.folder / "output"
        )

    def log(self) -> str:
        """What it has written."""
        return (self.folder / "output").read_text()


def inside_program(laboratory: Laboratory, path: str, package: str) -> str:
    """A program that is only in the laboratory, from an unpacked package."""
    if laboratory.run("test", "-x", path).returncode != 0:
        program(f"{path} (unpacked below ESTAFETA_PEERS, as .ci/run does)", package)
    return path


_POSTFIX_MASTER = """\
{address}:smtp inet n - n - - smtpd
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
relay unix - - n - - smtp
virtual unix - n n - - virtual
"""

_POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = {name}
mydestination =
mynetworks = 127.0.0.0/8 192.0.2.0/24 [2001:db8::]/32
# Its address is one of its own to loops of MX records, but the machine's others are not.
inet_interfaces = 127.0.0.1
proxy_interfaces = {address}
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtp_tls_security_level =
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
"""

_EXIM = """\
exim_path = /usr/sbin/exim4
primary_hostname = {name}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/spool/exim.pid
daemon_smtp_ports = 25
local_interfaces = {address}
domainlist local_domains = {domains}
hostlist relay_from_hosts = 127.0.0.1 : 192.0.2.0/24
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
acl_smtp_etrn = acl_data
dsn_advertise_hosts = *
host_lookup =
rfc1413_query_timeout = 0s
never_users = root
{further}
begin acl
acl_rcpt:
  accept hosts = +relay_from_hosts
  accept domains = +local_domains
  deny message = relay not permitted
acl_data:
  accept
begin routers
keep:
  driver = accept
  domains = +local_domains
  transport = maildir
send:
  driver = dnslookup
  transport = smtp
begin transports
smtp:
  driver = smtp
maildir:
  driver = appendfile
  maildir_format
  directory = {folder}/mail/all
  create_directory
  user = {user}
  group = {user}
  mode = 0600
  return_path_add
begin retry
* * F,2h,1m
begin rewrite
"""

_OPENSMTPD = """
mount -t tmpfs -o mode=755 spool /var/spool
mkdir -m 711 /var/spool/smtpd
mkdir -p /var/lib/opensmtpd/empty
mount -t tmpfs -o mode=755 run /run
exec "$1" -d -f "$2"
"""
