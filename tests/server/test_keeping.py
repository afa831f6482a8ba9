"""What handlers that keep messages leave behind."""

from __future__ import annotations

import asyncio
import mailbox
import threading
from pathlib import Path

import pytest
from tests.server.dialogue import ENVELOPE, Line, talk

from estafeta.server import Collector, Discarder, FolderKeeper, Handler, MaildirKeeper, MboxKeeper, Server

CONTENT = "Subject: x\r\n\r\nFrom here to there.\r\n\xfcber\r\n"


def deliver(handler: Handler, times: int = 1, content: str = CONTENT) -> list[str]:
    async def scene(line: Line) -> list[str]:
        replies = []
        await line.say(ENVELOPE[0])
        for _ in range(times):
            await line.say(*ENVELOPE[1:])
            replies.append(await line.deliver(content))
        return replies

    return talk(Server(handler, hostname="mx.example.net"), scene)


def test_a_folder_has_a_file_for_each_message_octet_for_octet(tmp_path: Path) -> None:
    replies = deliver(FolderKeeper(tmp_path / "new" / "mail"), times=2)
    files = sorted(path.name for path in (tmp_path / "new" / "mail").iterdir())
    assert files == sorted(f"{reply.split()[-1]}.eml" for reply in replies)
    octets = (tmp_path / "new" / "mail" / files[0]).read_bytes()
    trace, _, content = octets.partition(b"\r\nSubject:")
    assert trace.startswith(b"Return-Path: <ana@example.org>\r\nReceived: from client.example")
    assert b"Subject:" + content == CONTENT.encode()


def test_a_maildir_is_what_other_programs_read(tmp_path: Path) -> None:
    deliver(MaildirKeeper(tmp_path / "box"), times=2)
    read = mailbox.Maildir(tmp_path / "box", create=False)
    assert len(read) == 2 and len(list((tmp_path / "box" / "new").iterdir())) == 2
    for message in read:
        assert message["Return-Path"] == "<ana@example.org>" and message["Subject"] == "x"
        assert message.get_payload(decode=True) == "From here to there.\n\xfcber\n".encode()


def test_an_mbox_is_what_other_programs_read(tmp_path: Path) -> None:
    deliver(MboxKeeper(tmp_path / "box"), times=2)
    with (tmp_path / "box").open("rb") as file:
        assert file.readline().startswith(b"From ana@example.org ")
    read = mailbox.mbox(tmp_path / "box", create=False)
    bodies = [message.get_payload(decode=True) for message in read]
    read.close()
    assert bodies == [">From here to there.\n\xfcber\n".encode()] * 2


def test_what_cannot_be_written_is_deferred(tmp_path: Path) -> None:
    keeper = FolderKeeper(tmp_path / "mail")
    (tmp_path / "mail").rmdir()
    (reply,) = deliver(keeper)
    assert reply.startswith("451 4.3.0 local error ") and "mail" not in reply


def test_a_collector_can_be_waited_for_from_another_thread() -> None:
    collector = Collector()
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(len(collector.wait(2))))
    waiting.start()
    deliver(collector, times=2)
    waiting.join(10)
    assert found == [2]
    assert len(asyncio.run(collector.arrived(2))) == 2
    collector.clear()
    assert collector.messages == ()
    with pytest.raises(TimeoutError, match="0 of 1 messages"):
        collector.wait(timeout=0.01)


def test_what_is_discarded_is_taken() -> None:
    (reply,) = deliver(Discarder())
    assert reply.startswith("250 ")
