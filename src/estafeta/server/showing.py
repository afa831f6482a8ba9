"""Handlers for those who only want to look: one that prints what comes, one that forgets it."""

from __future__ import annotations

import sys
from typing import TextIO

from estafeta.server.handler import Handler
from estafeta.server.message import Message
from estafeta.server.session import Session


class Printer(Handler):
    """Prints the envelope and the content of each message; controls are shown as `?`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """`stream`: standard output when None."""
        self._stream = stream

    async def on_message(self, session: Session, message: Message) -> None:
        """Print it."""
        facts = message.session
        lines = [
            f"---------- message {message.id} from {facts.peer} by {facts.protocol}",
            f"MAIL FROM:<{message.reverse_path}>",
            *(f"RCPT TO:<{path}>" for path in message.forward_paths),
            "",
            *message.content.decode("utf-8", "replace").removesuffix("\r\n").split("\r\n"),
            f"---------- end of {message.id}",
        ]
        text = "\n".join(
            "".join(each if each.isprintable() or each == "\t" else "?" for each in line) for line in lines
        )
        print(text, file=self._stream or sys.stdout, flush=True)


class Discarder(Handler):
    """Takes each message and forgets it."""

    async def on_message(self, session: Session, message: Message) -> None:
        """Forget it."""
