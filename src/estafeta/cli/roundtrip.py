"""The trial's proof: a message goes in by submission and comes out by POP3, octet for octet the same."""

from __future__ import annotations

import asyncio
import poplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, localtime, make_msgid
from typing import TYPE_CHECKING

from estafeta.cli.handing import Server, hand_in
from estafeta.cli.trace import lines, record, story
from estafeta.client import ClientError, TlsMode
from estafeta.config.settings import Listen, ListenerKind
from estafeta.mail.address import Address, ReversePath
from estafeta.mail.value import value
from estafeta.net.errors import NetError
from estafeta.wire.errors import LocalProtocolError, RemoteProtocolError
from estafeta.wire.sasl import SaslError

if TYPE_CHECKING:
    from estafeta.app import PostOffice
    from estafeta.cli.trial import Trial

_DEADLINE = 10.0
"""Seconds for POP3; all of it happens on this machine."""


@value
class Proof:
    """What happened, told for people (`lines`) and for machines (`chapters`)."""

    message_id_field: str
    fault: str | None
    lines: tuple[str, ...]
    chapters: tuple[dict[str, object], ...]


class _Failed(Exception):
    """The round trip stopped; the message says where and why."""


async def prove(office: PostOffice, trial: Trial) -> Proof:
    """Send, fetch, compare, and read the trace. What goes wrong is in the proof, not raised."""
    from estafeta.cli.trial import READER, SENDER

    message = compose(SENDER, READER)
    content = bytes(message)
    message_id = str(message["Message-ID"])
    told: list[str] = []
    fault: str | None = None
    try:
        submission, pop3s = _listener(office, ListenerKind.SUBMISSION), _listener(office, ListenerKind.POP3S)
        server = Server(
            submission.address,
            office.port(ListenerKind.SUBMISSION),
            tls=TlsMode.STARTTLS,
            ca_file=trial.authority,
            server_hostname="localhost",
            user=str(SENDER),
            password=trial.passwords[SENDER],
        )
        result = await hand_in(server, ReversePath(SENDER), [READER], content)
        if result.refused:
            raise _Failed(f"the server answered {result.refused[0].reply}")
        told.append(f"A message of {len(content)} octets went in by submission: {result.replies[0].reply}")
        context = ssl.create_default_context(cafile=str(trial.authority))
        fetched = await asyncio.to_thread(
            fetch,
            (pop3s.address, office.port(ListenerKind.POP3S)),
            context,
            READER,
            trial.passwords[READER],
            message_id,
        )
        if not fetched.endswith(content):
            raise _Failed("the message that came out is not the one that went in")
        told.append("and came out by POP3 with TLS, octet for octet the same. Its trace:")
    except (_Failed, ClientError, NetError, LocalProtocolError, RemoteProtocolError, SaslError) as error:
        fault = str(error) or type(error).__name__
    except (poplib.error_proto, OSError) as error:
        fault = f"POP3: {error}"
    told.append("")
    chapters = await office.store.read(lambda tx: story(tx, message_id, 10))
    for chapter in chapters:
        told.extend(lines(chapter))
    return Proof(message_id, fault, tuple(told), tuple(record(chapter) for chapter in chapters))


def compose(author: Address, recipient: Address) -> EmailMessage:
    """A message as people send them: a subject beyond ASCII, text and HTML, an attachment."""
    message = EmailMessage(policy=SMTP)
    message["Date"] = format_datetime(localtime())
    message["From"] = f"Ana <{author}>"
    message["To"] = f"Luis <{recipient}>"
    message["Subject"] = "¡Hola desde la estafeta! ✉"
    message["Message-ID"] = make_msgid(domain=author.domain)
    message.set_content("Querido Luis:\n\nsi lees esto, la estafeta está abierta.\n.\nAna\n")
    message.add_alternative(
        "<p>Querido Luis:</p><p>si lees esto, la estafeta está <b>abierta</b>.</p>\n", subtype="html"
    )
    message.add_attachment(bytes(range(256)) * 8, maintype="application", subtype="octet-stream", filename="sello.bin")
    return message


def fetch(server: tuple[str, int], context: ssl.SSLContext, account: Address, password: str, message_id: str) -> bytes:
    """The newest message with this Message-ID, by POP3 over TLS (blocks)."""
    pop3 = poplib.POP3_SSL(server[0], server[1], context=context, timeout=_DEADLINE)
    try:
        pop3.user(str(account))
        pop3.pass_(password)
        count, _ = pop3.stat()
        wanted = message_id.encode()
        for number in range(count, 0, -1):
            if any(wanted in line for line in pop3.top(number, 0)[1]):
                return b"\r\n".join(pop3.retr(number)[1]) + b"\r\n"
    finally:
        pop3.quit()
    raise _Failed("the message is not in the mailbox")


def _listener(office: PostOffice, kind: ListenerKind) -> Listen:
    for listen in office.settings.listen:
        if listen.kind is kind:
            return listen
    raise _Failed(f"the trial's settings have no {kind} listener")
