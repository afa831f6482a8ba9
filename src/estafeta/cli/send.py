"""`estafeta send`: hand a message to a server and see the reply for each recipient."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from estafeta.cli import options
from estafeta.cli.faults import CommandFault
from estafeta.cli.options import json_option
from estafeta.cli.output import document, say
from estafeta.cli.passwords import asked_password, read_password
from estafeta.mail.address import Address, AddressError, ReversePath

PASSWORD_VARIABLE = "ESTAFETA_PASSWORD"  # noqa: S105 - the name of a variable
_PORTS = {"none": 25, "starttls": 587, "implicit": 465}


@click.command("send")
@click.argument("message", metavar="[FILE|-]", required=False)
@click.option("--from", "author", type=options.address, help="The reverse-path, and the author of a quick text.")
@click.option("--null-sender", is_flag=True, help="Use the null reverse-path, <>, as notifications do.")
@click.option("--to", "recipients", type=options.address, multiple=True, help="A recipient; may be repeated.")
@click.option("--subject", help="The subject of a quick text.")
@click.option("--text", help="Send this text instead of a message file.")
@click.option(
    "--server", default="localhost:25", show_default=True, metavar="HOST[:PORT]", help="The server to hand it to."
)
@click.option(
    "--tls",
    type=click.Choice(["none", "starttls", "implicit"]),
    help="Default: starttls with --user, else STARTTLS where the server offers it.",
)
@click.option("--ca-file", type=click.Path(path_type=Path), help="Trust the authorities in this PEM file instead.")
@click.option("--user", metavar="ADDRESS", help="Log in as this user.")
@click.option(
    "--password-file",
    metavar="FILE",
    help=f"Where the password is; - is standard input. Default: ${PASSWORD_VARIABLE}, or a prompt.",
)
@json_option
def command(
    message: str | None,
    author: Address | None,
    null_sender: bool,
    recipients: tuple[Address, ...],
    subject: str | None,
    text: str | None,
    server: str,
    tls: str | None,
    ca_file: Path | None,
    user: str | None,
    password_file: str | None,
    as_json: bool,
) -> int:
    """Send a message FILE (- is standard input), or a quick text with --text, --from and --to.

    Without --from and --to a message file is sent from the address in its From field to those in To, Cc and Bcc.
    Exits with 0 only when every recipient was accepted.
    """
    from estafeta.cli.handing import Server, hand_in, without_field
    from estafeta.client import TlsMode
    from estafeta.config.check import host_and_port

    if (message is None) == (text is None):
        raise click.UsageError("give a message FILE, - for standard input, or --text")
    if null_sender and author is not None and message is not None:
        raise click.UsageError("--from and --null-sender cannot be used together with a message file")
    if message is not None and subject is not None:
        raise click.UsageError("--subject is for --text; a message file has its own")
    if text is not None:
        content, reverse_path, to = _quick(author, null_sender, list(recipients), subject, text)
    else:
        content, reverse_path, to = _of_file(message or "-", author, null_sender, list(recipients))
    mode = TlsMode(tls) if tls else TlsMode.STARTTLS if user else TlsMode.OPPORTUNISTIC
    place = host_and_port(server) or host_and_port(f"{server}:{_PORTS.get(mode.value, 25)}")
    if place is None:
        raise click.UsageError(f"--server {server} is not a host and a port")
    password = None
    if user is not None:
        from_environment = os.environ.get(PASSWORD_VARIABLE)
        if password_file is not None:
            if message == "-" and password_file == message:
                raise click.UsageError("standard input cannot be both the message and the password")
            password = read_password(password_file)
        else:
            password = from_environment or asked_password(f"Password of {user}")
    where = Server(*place, tls=mode, ca_file=ca_file, user=user, password=password)
    try:
        result = asyncio.run(hand_in(where, reverse_path, to, without_field(content, "Bcc")))
    except Exception as error:
        raise CommandFault(words_of(error, server)) from None
    if as_json:
        document(
            [
                {
                    "forward_path": each.forward_path,
                    "accepted": each.reply.is_positive,
                    "verb": each.verb,
                    "code": each.reply.code,
                    "status": str(each.reply.status) if each.reply.status else None,
                    "text": each.reply.text,
                }
                for each in result.replies
            ]
        )
    else:
        for each in result.replies:
            say(f"{each.forward_path}: {each.reply}")
    return 1 if result.refused else 0


def words_of(error: Exception, server: str) -> str:
    """What went wrong between us and the server; a fault of our own stays what it is."""
    from estafeta.client import ClientError
    from estafeta.net.errors import NetError
    from estafeta.wire.errors import LocalProtocolError, RemoteProtocolError
    from estafeta.wire.sasl import SaslError

    if not isinstance(error, ClientError | NetError | LocalProtocolError | RemoteProtocolError | SaslError):
        raise error
    return f"{server}: {str(error) or type(error).__name__}"


def _quick(
    author: Address | None, null_sender: bool, recipients: list[Address], subject: str | None, text: str
) -> tuple[bytes, ReversePath, list[Address]]:
    from email.headerregistry import Address as HeaderAddress
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import format_datetime, localtime, make_msgid

    if author is None or not recipients:
        raise click.UsageError("--text needs --from and --to")
    domain = author.domain if not author.is_literal else "localhost"
    composed = EmailMessage(policy=SMTP.clone(utf8=not all(each.is_ascii for each in (author, *recipients))))
    composed["Date"] = format_datetime(localtime())
    composed["From"] = HeaderAddress(username=author.local_part, domain=author.domain)
    composed["To"] = [HeaderAddress(username=each.local_part, domain=each.domain) for each in recipients]
    composed["Subject"] = " ".join((subject or "").split())
    composed["Message-ID"] = make_msgid(domain=domain)
    composed.set_content(text if text.endswith("\n") else text + "\n")
    return bytes(composed), ReversePath(None if null_sender else author), recipients


def _of_file(
    file: str, author: Address | None, null_sender: bool, recipients: list[Address]
) -> tuple[bytes, ReversePath, list[Address]]:
    from estafeta.cli.handing import addresses_in
    from estafeta.client import to_wire

    try:
        octets = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandFault(f"{file}: {(error.strerror or str(error)).lower()}") from None
    content = to_wire(octets)
    try:
        to = recipients or addresses_in(content, "To", "Cc", "Bcc")
        if author is None and not null_sender:
            author = next(iter(addresses_in(content, "From")), None)
    except AddressError as error:
        raise CommandFault(f"the header of the message has a bad address: {error}") from None
    if not to:
        raise CommandFault("the message names no recipients: use --to")
    if author is None and not null_sender:
        raise CommandFault("the message has no From field: use --from")
    return content, ReversePath(author), to
