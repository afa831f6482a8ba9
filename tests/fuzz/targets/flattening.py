"""Whatever message a program has read and sends on: its octets are lines for the wire without blind copies, in ASCII
where the server takes no more, or it is refused with ExtensionMissing; its recipients are found or refused alike."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from tests.fuzz.inputs import Input

from estafeta.client.flattening import flatten, recipients_of, sender_of, to_wire
from estafeta.mail.header import fields
from estafeta.mail.line_ends import has_bare_line_ends
from estafeta.mail.reply import Reply
from estafeta.wire.errors import ExtensionMissing
from estafeta.wire.smtp.replies import Capabilities

MODERN, EIGHT_BIT, UTF8, WANTED = range(4)
"""Flags: an EmailMessage; what the server takes; what the sender wants."""


def capabilities(given: Input) -> Capabilities:
    """What the server takes."""
    lines = ["mx.example.org", *(word for bit, word in ((EIGHT_BIT, "8BITMIME"), (UTF8, "SMTPUTF8")) if given.has(bit))]
    return Capabilities.of(Reply(250, None, tuple(lines)))


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    assert not has_bare_line_ends(to_wire(given.octets)) and to_wire(to_wire(given.octets)) == to_wire(given.octets)
    try:
        check(given)
    except (AttributeError, IndexError, TypeError) as error:
        # Some fields in which only the parser of the standard library errs.
        if not _is_of_library(error):
            raise


def _is_of_library(error: Exception) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).parent.name == "email"


def check(given: Input) -> None:
    """The message as a program has read it."""
    message = message_from_bytes(given.octets, policy=policy.default if given.has(MODERN) else policy.compat32)
    try:
        for each in recipients_of(message):
            assert each
        sender_of(message)
    except ValueError as error:
        assert str(error)
    takes = capabilities(given)
    try:
        made, is_utf8 = flatten(message, takes, smtputf8=given.has(WANTED))
    except ExtensionMissing as error:
        assert not (takes.has("8BITMIME") and takes.has("SMTPUTF8")), error
        return
    assert not has_bare_line_ends(made)
    assert not is_utf8 or takes.has("SMTPUTF8")
    assert made.isascii() or is_utf8 or takes.has("8BITMIME")
    assert not {each.name.lower() for each in fields(made)} & {"bcc", "resent-bcc"}
    assert isinstance(message, EmailMessage) or not given.has(MODERN)
