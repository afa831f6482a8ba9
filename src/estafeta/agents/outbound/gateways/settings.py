"""What an operator can set of a gateway: one `[[gateway]]` table for each, named by the routes that lead to it.

A route says `gateway = "archive"`; the table of that name says what stands there. SMTP and LMTP gateways are hosts,
which the relay talks to; Maildir, mbox and command are places on this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from estafeta.agents.outbound.gateways.placeholders import COMMAND_PLACEHOLDERS, PATH_PLACEHOLDERS, unknown_in

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MOST = 2**48


class GatewayKind(StrEnum):
    """What stands at the other end of a gateway."""

    SMTP = "smtp"
    """A host that takes mail by SMTP."""
    LMTP = "lmtp"
    """A host that takes mail by LMTP (RFC 2033)."""
    MAILDIR = "maildir"
    """A folder with one file for each message."""
    MBOX = "mbox"
    """A file with all messages (RFC 4155)."""
    COMMAND = "command"
    """A program that reads the message from its standard input."""

    @property
    def is_host(self) -> bool:
        """Mail goes there over the network."""
        return self in (GatewayKind.SMTP, GatewayKind.LMTP)


class GatewayTls(StrEnum):
    """What is asked of the connection to a gateway's host."""

    NONE = "none"
    """No TLS."""
    MAY = "may"
    """TLS where the host offers it."""
    MUST = "must"
    """TLS with any certificate."""
    VERIFY = "verify"
    """TLS with a certificate that an authority gave for the host's name."""
    IMPLICIT = "implicit"
    """TLS from the first octet, with such a certificate (RFC 8314 §3.3)."""


class LineEnds(StrEnum):
    """How lines end where a message is written to."""

    LF = "lf"
    """As text files on this machine."""
    CRLF = "crlf"
    """As on the wire."""


@dataclass(frozen=True, slots=True)
class CommandLimits:
    """What one run of a command may use; the run and all that it starts count each for itself. 0 is no limit."""

    cpu_seconds: int = 60
    """Seconds of processor time (RLIMIT_CPU)."""
    memory: int = 2 * 1024 * 1024 * 1024
    """Octets of address space (RLIMIT_AS)."""
    file_size: int = 100 * 1024 * 1024
    """Octets of the largest file that it writes (RLIMIT_FSIZE)."""
    open_files: int = 256
    """Files and sockets open at a time (RLIMIT_NOFILE)."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """One `[[gateway]]`: a place that mail is handed to instead of being sent where the DNS says."""

    name: str
    """What routes call it: lower-case letters, digits, `.`, `_` and `-`."""
    kind: GatewayKind
    """smtp, lmtp, maildir, mbox, or command."""
    host: str = ""
    """For smtp and lmtp: a host name or IP address."""
    port: int = 0
    """For smtp and lmtp: the TCP port; when 0 the one of its kind: 25, 465 with implicit TLS, 24 for LMTP."""
    mx: bool = False
    """For smtp: look up the MX records of `host`, as for a domain."""
    tls: GatewayTls = GatewayTls.MAY
    """For smtp and lmtp: none, may, must, verify, or implicit."""
    username: str = ""
    """For smtp and lmtp: log in under this name (RFC 4954)."""
    password_file: Path | None = None
    """For smtp and lmtp: the file whose first line is the password; others must not be able to read it."""
    path: str = ""
    """For maildir and mbox: an absolute path, in which {local}, {user}, {domain} and {address} stand for the parts of
    the recipient's address, in lower case, characters other than letters, digits and `+-._=@` as `%2F`."""
    create: bool = False
    """For maildir and mbox: make what is not there. Without it a recipient whose {local}, {user} or {address} leads
    to nothing is unknown (550 5.1.1); a path that is the same for all of a domain is always made."""
    command: tuple[str, ...] = ()
    """For command: program and arguments, without a shell, in which placeholders as of Postfix's pipe(8) stand for
    parts of the envelope: {sender}, {recipient}, {original_recipient}, {mailbox}, {user}, {extension}, {domain},
    {size}, {queue_id}, {sasl_username}, {envid}."""
    line_ends: LineEnds = LineEnds.LF
    """For maildir and command: lf or crlf."""
    null_sender: str = "MAILER-DAEMON"
    """For command: what stands for the null reverse-path in {sender} and SENDER."""
    delimiter: str = "+"
    """What parts {user} from {extension} in a local-part; empty for nothing."""
    user: str = ""
    """The user that owns the files or runs the command. Where the server runs as root it must be set, and for a
    command it cannot be root; elsewhere it is the server's own user."""
    timeout: float = 1000.0
    """Seconds after which a command is ended, with all that it started in its process group."""
    max_output: int = 4096
    """Octets that are kept of what a command writes; its first line explains a failure."""
    umask: int = 0o077
    """For command: the permissions that files it makes do not get."""
    limits: CommandLimits = field(default_factory=CommandLimits)
    """For command: what a run may use."""
    concurrency: int = 5
    """Connections, deliveries or runs at a time, of this process."""
    recipients_per_run: int = 1
    """For command: recipients of one message that one run may get."""

    @property
    def effective_port(self) -> int:
        """The port to connect to."""
        if self.port:
            return self.port
        if self.kind is GatewayKind.LMTP:
            return 24
        return 465 if self.tls is GatewayTls.IMPLICIT else 25


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one gateway: its index, the key (`limits.memory`), and words as in other settings' faults."""

    index: int
    key: str
    problem: str
    remedy: str


def problems(gateways: Sequence[GatewaySettings]) -> Iterator[Problem]:
    """What the tables of all gateways say that cannot be."""
    for index, gateway in enumerate(gateways):
        if any(gateway.name == earlier.name for earlier in gateways[:index]):
            yield Problem(index, "name", "is the name of a gateway before it", "Give each gateway a name of its own.")
        for key, problem, remedy in _problems_of(gateway):
            yield Problem(index, key, problem, remedy)


_Said = tuple[str, str, str]

_OF_HOSTS = ("host", "port", "tls", "username", "password_file")
_OF_KIND: dict[GatewayKind, tuple[str, ...]] = {
    GatewayKind.SMTP: (*_OF_HOSTS, "mx"),
    GatewayKind.LMTP: _OF_HOSTS,
    GatewayKind.MAILDIR: ("path", "create", "line_ends", "user", "delimiter"),
    GatewayKind.MBOX: ("path", "create", "user", "delimiter"),
    GatewayKind.COMMAND: (
        *("command", "line_ends", "null_sender", "delimiter", "user", "timeout", "max_output", "umask", "limits"),
        "recipients_per_run",
    ),
}
_DEFAULTS = GatewaySettings("", GatewayKind.SMTP)


def _problems_of(gateway: GatewaySettings) -> Iterator[_Said]:
    kind = gateway.kind
    if not _NAME.fullmatch(gateway.name):
        yield "name", "is not a name", 'Write lower-case letters, digits, ".", "_" and "-", as in "archive".'
    for key in dict.fromkeys(key for keys in _OF_KIND.values() for key in keys):
        if key not in _OF_KIND[kind] and getattr(gateway, key) != getattr(_DEFAULTS, key):
            yield key, f"means nothing for a gateway of kind {kind}", "Remove it, or change the kind."
    if kind.is_host:
        yield from _problems_of_host(gateway)
    elif kind is GatewayKind.COMMAND:
        yield from _problems_of_command(gateway)
    else:
        yield from _problems_of_path(gateway)
    if len(gateway.delimiter) > 1:
        yield "delimiter", "is more than one character", 'Write one character, as in "+", or none.'
    yield from _numbers(gateway)


def _problems_of_host(gateway: GatewaySettings) -> Iterator[_Said]:
    if not gateway.host:
        yield "host", "is missing", f"A gateway of kind {gateway.kind} needs the name or address of a host."
    if gateway.port > 65535:
        yield "port", f"is too large: {gateway.port}", "The greatest is 65535."
    if bool(gateway.username) != (gateway.password_file is not None):
        missing = "password_file" if gateway.username else "username"
        yield missing, "is missing", "To log in needs both username and password_file."
    if gateway.password_file is not None and not gateway.password_file.is_absolute():
        yield "password_file", "is not an absolute path", 'Begin it with "/".'
    if gateway.username and gateway.tls in (GatewayTls.NONE, GatewayTls.MAY):
        yield (
            "tls",
            "would let the password go over the network in the clear",
            'Write "verify" or "implicit", or "must" where the certificate cannot be verified.',
        )


def _problems_of_path(gateway: GatewaySettings) -> Iterator[_Said]:
    path = PurePosixPath(gateway.path)
    if not gateway.path:
        yield "path", "is missing", f"A gateway of kind {gateway.kind} needs a path."
    elif not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
        yield "path", "is not an absolute path", 'Begin it with "/", and write it without "..".'
    elif gateway.path.endswith("/") and gateway.kind is GatewayKind.MBOX:
        yield "path", "is a folder", "An mbox is a file; for a folder the kind is maildir."
    for problem in unknown_in(gateway.path, PATH_PLACEHOLDERS):
        yield "path", problem, f"Write one of {_braced(PATH_PLACEHOLDERS)}; a brace that is meant is written twice."


def _problems_of_command(gateway: GatewaySettings) -> Iterator[_Said]:
    if not gateway.command or not gateway.command[0]:
        yield (
            "command",
            "is missing",
            'Write program and arguments as an array: ["/usr/local/bin/take", "{recipient}"].',
        )
        return
    program = gateway.command[0]
    if not PurePosixPath(program).is_absolute() or "{" in program:
        yield "command", "does not begin with the absolute path of a program", "No shell looks for it, and no PATH."
    for argument in gateway.command:
        for problem in unknown_in(argument, COMMAND_PLACEHOLDERS):
            braced = _braced(COMMAND_PLACEHOLDERS)
            yield "command", problem, f"Write one of {braced}; a brace that is meant is written twice."
        if "\0" in argument:
            yield "command", "has an argument with a NUL", "Remove it."
    if gateway.user == "root":
        yield "user", "is root", "Name a user who may do only what the command needs."
    if not 0 <= gateway.umask <= 0o777:
        yield "umask", f"is not a umask: {gateway.umask}", "Write it in octal, as in 0o077."


def _numbers(gateway: GatewaySettings) -> Iterator[_Said]:
    limits = gateway.limits
    least = {
        "port": (gateway.port, 0),
        "max_output": (gateway.max_output, 1),
        "concurrency": (gateway.concurrency, 1),
        "recipients_per_run": (gateway.recipients_per_run, 1),
        "limits.cpu_seconds": (limits.cpu_seconds, 0),
        "limits.memory": (limits.memory, 0),
        "limits.file_size": (limits.file_size, 0),
        "limits.open_files": (limits.open_files, 0),
    }
    for key, (value, bound) in least.items():
        if value < bound:
            yield key, f"is too small: {value}", f"The least is {bound}."
        elif value > _MOST:
            yield key, f"is too large: {value}", "Write a smaller number."
    if not 0 < gateway.timeout <= _MOST:
        yield "timeout", f"is no time: {gateway.timeout:g}", "Write a number of seconds above 0."


def _braced(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
