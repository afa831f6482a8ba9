"""Dialogues as people write them, kept outside: all end in a delivered message, octet for octet."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

from estafeta.mail.address import Address
from estafeta.store import accounts, domains
from estafeta.store.records import Instant

NAMES = ["01-helo.txt", "02-eight-bit.txt", "03-unknown-then-known.txt"]
KNOWN = ["destinatario@sudominio.com", "jefe@lugardetrabajo.com"]


def test_no_dialogue_is_left_out(suites: Path) -> None:
    assert sorted(path.name for path in (suites / "dialogues").glob("*.txt")) == NAMES


@pytest.mark.rfc("5321 §3.2", "Dialogues from outside, with HELO and with EHLO, end in a delivered message.")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("octet_by_octet", [False, True])
def test_the_dialogue_ends_in_a_delivered_message(run: Any, suites: Path, name: str, octet_by_octet: bool) -> None:
    lines = (suites / "dialogues" / name).read_text("utf-8").splitlines()

    async def play(office: Any) -> None:
        def add(tx: Any) -> None:
            for text in KNOWN:
                address = Address.parse(text)
                domains.add(tx, address.domain, now=Instant(time.time()))
                accounts.add(tx, address, password=None, now=Instant(time.time()))

        await office.change(add)
        client = await office.client(hello=False)
        assert lines[0] == "S: 220"
        for line in lines[1:]:
            text = line[3:]
            if line.startswith("S: "):
                assert (await client.reply())[:3] == text, line
            elif octet_by_octet:
                for octet in text.encode() + b"\r\n":
                    client.stream.send(bytes([octet]))
                    await asyncio.sleep(0)
            else:
                client.stream.send(text.encode() + b"\r\n")
        said = "".join(f"{line[3:]}\r\n" for line in lines if line.startswith("C: "))
        sent = re.search(r"\r\nDATA\r\n(.*?)\r\n\.\r\n", said, re.DOTALL)
        assert sent is not None
        content = re.sub(r"^\.", "", sent[1] + "\r\n", flags=re.MULTILINE).encode()
        delivered = [message for address in KNOWN for message in await office.mailbox(address)]
        assert len(delivered) == 1
        head, _, rest = delivered[0].partition(content)
        assert rest == b"" and head.startswith(b"Return-Path: <") and head.count(b"Received: ") == 1

    run(play)
