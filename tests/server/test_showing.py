"""What a server that prints shows."""

from __future__ import annotations

import io

from tests.server.dialogue import ENVELOPE, Line, talk

from estafeta.server import Printer, Server


def test_a_message_is_printed_with_its_envelope_and_without_controls() -> None:
    stream = io.StringIO()

    async def scene(line: Line) -> str:
        await line.say(*ENVELOPE)
        return await line.deliver("Subject: x\r\n\r\nBell \a and colour \x1b[31m\r\n")

    reply = talk(Server(Printer(stream)), scene)
    first, *lines, last, empty = stream.getvalue().split("\n")
    assert first.startswith(f"---------- message {reply.split()[-1]} from 127.0.0.1:")
    assert first.endswith(" by ESMTP") and last.startswith("---------- end") and empty == ""
    assert lines == [
        "MAIL FROM:<ana@example.org>",
        "RCPT TO:<luis@example.net>",
        "",
        "Subject: x",
        "",
        "Bell ? and colour ?[31m",
    ]
