"""`estafeta-sendmail`: what programs know as /usr/sbin/sendmail. Reads a message, hands it in over SMTP.

Options are those that programs use, as Sendmail, Postfix and Exim read them; exit codes are those of sysexits.h.
Nothing is queued here: when the server cannot take the message, the caller is told to try again (EX_TEMPFAIL).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from estafeta.cli.faults import complain
from estafeta.config.faults import SettingsError
from estafeta.config.location import CANDIDATES, CONFIG_VARIABLE, parse
from estafeta.mail.value import value

if TYPE_CHECKING:
    from estafeta.client import SendResult
    from estafeta.mail.address import Address

SUBMIT_VARIABLE = "ESTAFETA_SUBMIT"


class Exit(IntEnum):
    """sysexits.h"""

    OK = 0
    USAGE = 64
    DATAERR = 65
    NOUSER = 67
    UNAVAILABLE = 69
    SOFTWARE = 70
    TEMPFAIL = 75
    NOPERM = 77
    CONFIG = 78


class SendmailFault(Exception):
    """Why nothing was sent, and the exit code that says so."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Invocation:
    """What the caller asked for."""

    recipients: list[str] = field(default_factory=list)
    from_header: bool = False
    """-t: recipients are in the header too."""
    dot_ends: bool = True
    """Without -i a lone dot ends the message."""
    reverse_path: str | None = None
    full_name: str | None = None
    speaks_smtp: bool = False
    """-bs"""
    is_verbose: bool = False
    config: Path | None = None


@value
class Submission:
    """Where the message goes, and how bare names are completed."""

    host: str
    port: int
    domain: str


# Options with a value, attached or as the next argument. What they ask for does not apply here, or is the
# server's matter: DSN parameters, body type, labels, logging, hop counts, the options of -O.
_IGNORED_WITH_VALUE = "ABDLNORVXdhp"
_IGNORED = "GUmn"


def main() -> None:
    """The entry point of the console script."""
    try:
        code = run(sys.argv[1:])
    except SendmailFault as fault:
        complain(str(fault))
        code = fault.code
    except SettingsError as error:
        for each in error.faults:
            complain(str(each))
        code = Exit.CONFIG
    except KeyboardInterrupt:
        code = Exit.TEMPFAIL
    except Exception as error:
        complain(f"{type(error).__name__}: {error}")
        code = Exit.SOFTWARE
    sys.exit(int(code))


def run(arguments: Sequence[str]) -> Exit:
    """Do what the arguments ask for. Raises SendmailFault, SettingsError."""
    invocation = read_arguments(arguments)
    submission = where(invocation.config)
    if invocation.speaks_smtp:
        return _relay(submission)
    if not invocation.recipients and not invocation.from_header:
        raise SendmailFault(Exit.USAGE, "no recipients: name them, or use -t")
    return _send(invocation, submission)


def read_arguments(arguments: Sequence[str]) -> Invocation:
    """The arguments as sendmail reads them: clustered letters, values attached or apart, options until `--`."""
    invocation = Invocation()
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            invocation.recipients += rest
            break
        if not argument.startswith("-") or argument == "-":
            invocation.recipients.append(argument)
            continue
        _option(invocation, argument[1:], rest)
    return invocation


def _option(invocation: Invocation, letters: str, rest: list[str]) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]

        def value(letter: str = letter, attached: str = letters) -> str:
            if attached:
                return attached
            if not rest:
                raise SendmailFault(Exit.USAGE, f"option -{letter} needs a value")
            return rest.pop(0)

        if letter == "t":
            invocation.from_header = True
        elif letter == "i":
            invocation.dot_ends = False
        elif letter == "v":
            invocation.is_verbose = True
        elif letter in _IGNORED:
            pass
        else:
            _option_with_value(invocation, letter, letters, value)
            return


def _option_with_value(invocation: Invocation, letter: str, attached: str, value: Callable[[], str]) -> None:
    if letter in "fr":
        invocation.reverse_path = value()
    elif letter == "F":
        invocation.full_name = value()
    elif letter == "C":
        invocation.config = Path(value())
    elif letter == "o":  # -oi, -oem, -odb, -o7: the value is attached
        if attached == "i":
            invocation.dot_ends = False
    elif letter == "b":
        mode = value()
        if mode == "s":
            invocation.speaks_smtp = True
        elif mode != "m":
            raise SendmailFault(Exit.USAGE, f"mode -b{mode} is not offered here; the server does it by itself")
    elif letter == "q":
        raise SendmailFault(Exit.USAGE, "-q is not offered here: the server runs its queue by itself")
    elif letter in _IGNORED_WITH_VALUE:
        value()
    else:
        raise SendmailFault(Exit.USAGE, f"unknown option -{letter}")


def where(config: Path | None) -> Submission:
    """The server, by $ESTAFETA_SUBMIT, the settings, or the port of SMTP on this machine."""
    from estafeta.config.check import host_and_port

    host_name = _machine_name()
    given = os.environ.get(SUBMIT_VARIABLE)
    tables = _settings(config)
    sendmail = tables.get("sendmail")
    table = sendmail if isinstance(sendmail, dict) else {}
    domain = table.get("domain") or tables.get("hostname") or host_name
    server = given or table.get("server") or _listener(tables)
    place = host_and_port(str(server))
    if place is None:
        source = f"${SUBMIT_VARIABLE}" if given else "the setting sendmail.server"
        raise SendmailFault(Exit.CONFIG, f"{source} is not a host and a port: {server}")
    return Submission(*place, str(domain))


def _settings(config: Path | None) -> dict[str, object]:
    named = config or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
    file = named or next((candidate for candidate in CANDIDATES if candidate.exists()), None)
    if file is None:
        return {}
    if file.exists() and not os.access(file, os.R_OK):
        if SUBMIT_VARIABLE in os.environ:
            return {}
        raise SendmailFault(Exit.NOPERM, f"{file} may not be read by this user")
    return parse(file).tables


def _listener(tables: dict[str, object]) -> str:
    listens = tables.get("listen")
    if not isinstance(listens, list):
        return "127.0.0.1:25"
    for listen in listens:
        if isinstance(listen, dict) and listen.get("kind") == "smtp":
            address = str(listen.get("address", "0.0.0.0"))  # noqa: S104 - read, not listened on
            address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
            port = listen.get("port", 25)
            return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    raise SendmailFault(Exit.CONFIG, "the settings have no smtp listener: name a server with sendmail.server")


def _send(invocation: Invocation, submission: Submission) -> Exit:
    import asyncio

    from estafeta.cli.handing import Server, addresses_in, addresses_of, hand_in, without_field
    from estafeta.client import ClientError, Refused, TlsMode
    from estafeta.mail.address import AddressError, ReversePath
    from estafeta.net.errors import NetError
    from estafeta.wire.errors import LocalProtocolError, RemoteProtocolError

    try:
        author = _reverse_path(invocation, submission)
        recipients = addresses_of(invocation.recipients, submission.domain)
        content = completed(read_message(invocation.dot_ends), invocation, author, submission)
        if invocation.from_header:
            recipients += addresses_in(content, "To", "Cc", "Bcc", domain=submission.domain)
            content = without_field(content, "Bcc")
    except AddressError as error:
        raise SendmailFault(Exit.DATAERR, f"bad address: {error}") from None
    to = list(dict.fromkeys(recipients))
    if not to:
        raise SendmailFault(Exit.DATAERR, "the message names no recipients")
    is_here = submission.host in ("localhost", "::1") or submission.host.startswith("127.")
    server = Server(submission.host, submission.port, tls=TlsMode.NONE if is_here else TlsMode.OPPORTUNISTIC)
    place = f"{submission.host} port {submission.port}"
    try:
        result = asyncio.run(hand_in(server, ReversePath(author), to, content))
    except Refused as error:
        raise SendmailFault(Exit.UNAVAILABLE if error.reply.is_permanent else Exit.TEMPFAIL, str(error)) from None
    except (NetError, RemoteProtocolError) as error:
        raise SendmailFault(Exit.TEMPFAIL, f"{place}: {error}") from None
    except (ClientError, LocalProtocolError) as error:
        raise SendmailFault(Exit.UNAVAILABLE, f"{place}: {error}") from None
    return _told(result, is_verbose=invocation.is_verbose)


def _told(result: SendResult, *, is_verbose: bool) -> Exit:
    """Complain of each refused recipient; what is worst decides."""
    codes = []
    for each in result.refused:
        complain(f"{each.forward_path}: {each.reply}")
        if each.reply.is_transient:
            codes.append(Exit.TEMPFAIL)
        elif each.reply.status is not None and each.reply.status[1] == 1:  # RFC 3463 §3.2: X.1.x, the address
            codes.append(Exit.NOUSER)
        else:
            codes.append(Exit.UNAVAILABLE)
    if is_verbose:
        for each in result.accepted:
            sys.stdout.write(f"{each.forward_path}: {each.reply}\n")
    permanent = [code for code in codes if code is not Exit.TEMPFAIL]
    # A caller that tries again sends to all once more, so that is asked for only when nobody was refused for good.
    return permanent[0] if permanent else codes[0] if codes else Exit.OK


def read_message(dot_ends: bool) -> bytes:
    """Standard input with CRLF line ends; unless -i is given, up to a line with a lone dot."""
    from estafeta.client import to_wire

    content = to_wire(sys.stdin.buffer.read())
    if dot_ends:
        if content.startswith(b".\r\n"):
            content = b""
        end = content.find(b"\r\n.\r\n")
        if end >= 0:
            content = content[: end + 2]
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    # Programs that pass on what a mailbox file holds leave its separator in front.
    return re.sub(rb"\A>?From [^\r\n]*\r\n", b"", content)


def completed(content: bytes, invocation: Invocation, author: Address | None, submission: Submission) -> bytes:
    """The message with the fields that it must have (RFC 5322 §3.6) and an empty line behind its header."""
    from email.headerregistry import Address as HeaderAddress
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import format_datetime, localtime, make_msgid

    from estafeta.mail.address import Address
    from estafeta.mail.header import fields

    has_header = re.match(rb"[!-9;-~]+[ \t]*:", content) is not None
    if not has_header and not content.startswith(b"\r\n"):
        content = b"\r\n" + content
    elif has_header and b"\r\n\r\n" not in content:
        content += b"\r\n"
    names = {found.name.lower() for found in fields(content)} if has_header else set()
    missing = EmailMessage(policy=SMTP.clone(utf8=author is not None and not author.is_ascii))
    if "date" not in names:
        missing["Date"] = format_datetime(localtime())
    if "from" not in names:
        known = author or Address(_user(), submission.domain)
        name = "".join(letter for letter in invocation.full_name or "" if letter.isprintable())
        missing["From"] = HeaderAddress(display_name=name, username=known.local_part, domain=known.domain)
    if "message-id" not in names:
        missing["Message-ID"] = make_msgid(domain=submission.domain)
    return bytes(missing).removesuffix(b"\r\n") + content if missing.keys() else content


def _reverse_path(invocation: Invocation, submission: Submission) -> Address | None:
    from estafeta.cli.handing import addresses_of
    from estafeta.mail.address import Address, AddressError

    text = invocation.reverse_path
    if text is None:
        return Address(_user(), submission.domain)
    if text in ("", "<>"):
        return None
    found = addresses_of([text], submission.domain)
    if len(found) != 1:
        raise AddressError(f"{text}: not one address")
    return found[0]


def _relay(submission: Submission) -> Exit:
    """-bs: the caller speaks SMTP itself; octets go both ways until the server closes."""
    import selectors
    import socket

    try:
        server = socket.create_connection((submission.host, submission.port), timeout=30)
    except OSError as error:
        raise SendmailFault(
            Exit.TEMPFAIL, f"{submission.host} port {submission.port}: {error.strerror or error}"
        ) from None
    server.settimeout(None)
    source, sink = sys.stdin.fileno(), sys.stdout.fileno()
    with server, selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        try:
            selector.register(source, selectors.EVENT_READ)
            waits = True
        except PermissionError:  # a plain file is always ready, and epoll refuses it
            waits = False
        is_open = True
        while True:
            if is_open and not waits:
                ready = {server.fileno(), source}
                if not selector.select(0):
                    ready.discard(server.fileno())
            else:
                ready = {key.fd for key, _ in selector.select()}
            if server.fileno() in ready:
                octets = server.recv(65_536)
                if not octets:
                    return Exit.OK
                _write_all(sink, octets)
            if is_open and source in ready:
                octets = os.read(source, 65_536)
                if octets:
                    server.sendall(octets)
                else:
                    is_open = False
                    if waits:
                        selector.unregister(source)
                    server.shutdown(socket.SHUT_WR)


def _write_all(sink: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(sink, octets) :]


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return f"uid{os.getuid()}"


def _machine_name() -> str:
    import socket

    return socket.gethostname() or "localhost"
