"""`estafeta mailbox`: what is in mailboxes, and changes of them, for operators who help a user or bring mail along."""

from __future__ import annotations

import sys
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import click

from estafeta.cli import mailbox_care, mailbox_transfer
from estafeta.cli.mailbox_lookup import account_of, mailbox_of
from estafeta.cli.opening import OpenedStore, opened
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, instant, moment, octets, one_line, say, table
from estafeta.mail.header import field
from estafeta.store.ids import IdSource
from estafeta.store.records import Mailbox, Message

_FIELDS = ("Date", "From", "To", "Cc", "Subject", "Message-ID")


@click.group("mailbox")
def command() -> None:
    """Look into mailboxes and change them. ADDRESS may be a bare name when there is one domain only."""


for _each in (*mailbox_care.COMMANDS, *mailbox_transfer.COMMANDS):
    command.add_command(_each)


@command.command("list")
@click.argument("address")
@click.option("--mailbox", "name", metavar="NAME", help="Only this mailbox.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Messages of each.")
@config_option
@json_option
def list_(address: str, name: str | None, limit: int, config: Path | None, as_json: bool) -> None:
    """List the mailboxes of ADDRESS and the newest messages in them."""
    from estafeta.store import mailboxes

    with opened(config) as store:
        account = account_of(store, address)
        boxes = store.read(lambda tx: mailboxes.list_of(tx, account.account_id))
        if name is not None:
            boxes = [mailbox_of(store, account, name)]
        listed = [(box, _newest(store, box, limit)) for box in boxes]
        told = [
            {
                "name": box.name,
                "special_use": box.special_use,
                "uid_validity": box.uid_validity,
                "messages": box.messages,
                "unseen": box.unseen,
                "octets": box.octets,
                "listed": [_record(store, message) for message in found],
            }
            for box, found in listed
        ]
    if as_json:
        document({"address": account.address, "mailboxes": told})
        return
    for (box, found), record in zip(listed, told, strict=True):
        use = f" {box.special_use}" if box.special_use else ""
        say(f"{box.name}{use}: {box.messages} messages, {box.unseen} unseen, {octets(box.octets)}")
        if found:
            shown = record["listed"]
            assert isinstance(shown, list)
            table(
                ("UID", "ARRIVED", "SIZE", "FLAGS", "FROM", "SUBJECT"),
                (
                    (
                        message.uid,
                        moment(message.internal_at),
                        octets(message.size),
                        " ".join(each["flags"]),
                        each["from"],
                        each["subject"],
                    )
                    for message, each in zip(found, shown, strict=True)
                ),
                right=("UID", "SIZE"),
            )
            if len(found) < box.messages:
                say(f"and {box.messages - len(found)} older")


@command.command("read")
@click.argument("address")
@click.argument("uid", type=click.IntRange(min=1))
@click.option("--mailbox", "name", metavar="NAME", default="INBOX", show_default=True, help="Where it is.")
@click.option("--raw", is_flag=True, help="Print the octets exactly as a mail reader would get them.")
@config_option
@json_option
def read(address: str, uid: int, name: str, raw: bool, config: Path | None, as_json: bool) -> None:
    """Print the message UID of ADDRESS; this sets no flag."""
    from estafeta.store import messages

    if raw and as_json:
        raise click.UsageError("--raw and --json cannot be used together")
    with opened(config) as store:
        account = account_of(store, address)
        box = mailbox_of(store, account, name)
        content = store.read(lambda tx: messages.read_content(tx, store.store.content, box.mailbox_id, uid))
    if raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    if as_json:
        fields = [{"name": key, "body": _text(value)} for key, value in message.items()]
        document({"uid": uid, "mailbox": box.name, "size": len(content), "fields": fields, "text": _body(message)})
        return
    for key in _FIELDS:
        if message[key] is not None:
            say(f"{key}: {one_line(_text(message[key]))}")
    say()
    say(_body(message).rstrip("\n"))
    attached = [part for part in message.walk() if not part.is_multipart() and part.get_filename()]
    if attached:
        say()
    for part in attached:
        payload = part.get_payload(decode=True)
        size = len(payload) if isinstance(payload, bytes) else 0
        say(f"[{one_line(part.get_filename() or '')}, {part.get_content_type()}, {octets(size)}]")


def _newest(store: OpenedStore, box: Mailbox, limit: int) -> list[Message]:
    """The last messages, asked for by UID from the end, wider each time until there are enough."""
    from estafeta.store import messages

    span = limit
    while True:
        after = max(box.uid_next - 1 - span, 0)
        found = store.read(lambda tx, after=after: messages.list_of(tx, box.mailbox_id, after_uid=after))  # type: ignore[misc]
        if len(found) >= limit or after == 0:
            return found[-limit:]
        span *= 4


def _record(store: OpenedStore, message: Message) -> dict[str, Any]:
    from estafeta.store import messages

    keywords = store.read(lambda tx: messages.keywords(tx, message.mailbox_id))
    content = store.read(lambda tx: messages.read_content(tx, store.store.content, message.mailbox_id, message.uid))
    author, subject = field(content, "From"), field(content, "Subject")
    return {
        "uid": message.uid,
        "message_id": IdSource.text(message.message_id),
        "internal_at": instant(message.internal_at),
        "size": message.size,
        "flags": keywords.of(message.flags),
        "from": author.text if author else "",
        "subject": subject.text if subject else "",
    }


def _text(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()


def _body(message: EmailMessage) -> str:
    """The text that a person would read first; mail may lie about its own encoding."""
    part = message.get_body(("plain", "html"))
    if part is None:
        return ""
    try:
        text = part.get_content()
    except (LookupError, ValueError, KeyError):
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return str(text).replace("\r\n", "\n")
