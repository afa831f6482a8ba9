"""Handing a message in to a server over SMTP: what `send`, the trial and `estafeta-sendmail` share."""

from __future__ import annotations

import contextlib
import re
import socket
from email.utils import getaddresses
from pathlib import Path

from estafeta.client import SendResult, SmtpClient, TlsMode
from estafeta.mail.address import Address, AddressError, ForwardPath, ReversePath
from estafeta.mail.downgrade import CannotDowngrade, to_seven_bit
from estafeta.mail.envelope import Recipient, Sender
from estafeta.mail.header import fields
from estafeta.mail.value import value
from estafeta.net.tls import client_context


@value
class Server:
    """Where to hand in, and how."""

    host: str
    port: int
    tls: TlsMode = TlsMode.NONE
    ca_file: Path | None = None
    server_hostname: str | None = None
    user: str | None = None
    password: str | None = None


async def hand_in(server: Server, reverse_path: ReversePath, recipients: list[Address], content: bytes) -> SendResult:
    """Connect, log in when there is a user, send, quit. Raises what SmtpClient raises."""
    context = client_context(server.ca_file) if server.ca_file is not None else None
    client = await SmtpClient.connect(
        server.host,
        server.port,
        local_name=local_name(),
        tls=server.tls,
        context=context,
        server_hostname=server.server_hostname,
    )
    async with client:
        if server.user is not None:
            await client.login(server.user, server.password or "")
        sender = Sender(reverse_path, smtputf8=_needs_smtputf8(content))
        to = [Recipient(ForwardPath(address)) for address in recipients]
        return await client.send(sender, to, _for_server(client, content))


def local_name() -> str:
    """What EHLO says: this machine's name, or the literal of its loopback when it has no proper one."""
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9.-]+\.[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*", name) else "[127.0.0.1]"


def addresses_in(content: bytes, *names: str, domain: str | None = None) -> list[Address]:
    """The addresses in the fields of these names, each once, in their order. Raises AddressError.

    `domain` completes bare names.
    """
    wanted = {name.lower() for name in names}
    bodies = [
        found.body.replace(b"\r\n", b"").decode("utf-8", "replace")
        for found in fields(content)
        if found.name.lower() in wanted
    ]
    return addresses_of(bodies, domain)


def addresses_of(texts: list[str], domain: str | None) -> list[Address]:
    """The addresses in lists such as `Ana <ana@example.org>, luis@example.org`. Raises AddressError."""
    found = []
    for _, text in getaddresses(texts):
        if not text:
            continue
        try:
            found.append(Address.parse(text if "@" in text or domain is None else f"{text}@{domain}"))
        except AddressError as error:
            raise AddressError(f"{text}: {error}") from None
    return list(dict.fromkeys(found))


def without_field(content: bytes, name: str) -> bytes:
    """The message without the fields of this name, folds included."""
    head, separator, body = content.partition(b"\r\n\r\n")
    field = re.compile(
        rb"^" + re.escape(name.encode()) + rb"[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*(?:\r\n|\Z)", re.I | re.M
    )
    return field.sub(b"", head + b"\r\n").removesuffix(b"\r\n") + (separator or b"\r\n\r\n") + body


def _for_server(client: SmtpClient, content: bytes) -> bytes:
    """The content as the server can take it (RFC 6152 §3); where that cannot be, sending it says so."""
    takes_8bit = client.capabilities is not None and client.capabilities.has("8BITMIME")
    if not takes_8bit and not content.isascii():
        with contextlib.suppress(CannotDowngrade):
            return to_seven_bit(content)
    return content


def _needs_smtputf8(content: bytes) -> bool:
    # RFC 6531 §3.5: 8-bit octets in the header section
    return not content.partition(b"\r\n\r\n")[0].isascii()
