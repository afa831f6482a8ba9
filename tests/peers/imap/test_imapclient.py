"""IMAPClient: a library that asks for more than most: CONDSTORE, MOVE, SORT, THREAD, names beyond ASCII, quotas."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from imapclient import FLAGGED, SEEN, IMAPClient
from imapclient.exceptions import LoginError
from tests.peers.imap.mailboxes import trusting
from tests.peers.letters import letter, number_of
from tests.peers.running import PASSWORD, RunningServer

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"


@pytest.fixture
def client(server: RunningServer, account: str) -> Iterator[IMAPClient]:
    port = server.ports[ListenerKind.IMAPS]
    with IMAPClient("localhost", port, ssl_context=trusting(server), timeout=20) as opened:
        opened.login(account, PASSWORD)
        yield opened


def test_messages_come_and_go_octet_for_octet(client: IMAPClient, account: str) -> None:
    letters = [letter(number, author=AUTHOR, recipient=account, size=1500) for number in range(12)]
    client.create_folder("Proyectos/Año 2026")
    moment = datetime(2024, 2, 29, 12, 34, 56)
    for octets in letters:
        client.append("Proyectos/Año 2026", octets, [FLAGGED, "$Work"], moment)
    assert "Proyectos/Año 2026" in [name for _, _, name in client.list_folders()]
    opened = client.select_folder("Proyectos/Año 2026")
    assert opened[b"EXISTS"] == 12
    uids = client.search("ALL")
    found = client.fetch(uids, ["BODY.PEEK[]", "FLAGS", "INTERNALDATE", "ENVELOPE", "BODYSTRUCTURE"])
    assert [found[uid][b"BODY[]"] for uid in uids] == letters
    for uid in uids:
        assert set(found[uid][b"FLAGS"]) - {b"\\Recent"} == {FLAGGED, b"$Work"}
        assert found[uid][b"INTERNALDATE"] == moment
        assert found[uid][b"ENVELOPE"].subject == b"letter %d" % number_of(found[uid][b"BODY[]"])
        assert found[uid][b"BODYSTRUCTURE"].is_multipart == (number_of(found[uid][b"BODY[]"]) % 4 == 3)

    client.delete_messages(uids[:2])
    client.expunge()
    client.move(uids[2:4], "INBOX")
    assert client.search("ALL") == uids[4:]
    assert client.folder_status("INBOX", ["MESSAGES", "UNSEEN"]) == {b"MESSAGES": 2, b"UNSEEN": 2}
    client.rename_folder("Proyectos", "Hechos")
    assert client.folder_exists("Hechos/Año 2026")
    assert not client.folder_exists("Proyectos/Año 2026")


def test_search_sort_and_thread(client: IMAPClient, account: str) -> None:
    subjects = ["zebra", "Re: añil", "añil", "monkey"]
    for number, subject in enumerate(subjects):
        answers = b"References: <2@threads.test>\r\n" if subject.startswith("Re:") else b""
        client.append(
            "INBOX",
            b"From: <%d@example.net>\r\nTo: <%b>\r\nSubject: %b\r\nMessage-ID: <%d@threads.test>\r\n%b"
            b"Date: Sun, 22 Nov 2026 12:00:%02d +0000\r\n\r\nThe body has %b.\r\n"
            % (number, account.encode(), subject.encode(), number, answers, 59 - number, subject.encode()),
        )
    client.select_folder("INBOX")
    assert client.search(["SUBJECT", "AÑI"], "UTF-8") == [2, 3]
    assert client.search(["NOT", ["BODY", "ONKE"]]) == [1, 2, 3]
    assert client.sort("SUBJECT") == [2, 3, 4, 1]
    assert client.sort("REVERSE DATE") == [1, 2, 3, 4]
    assert client.thread("REFERENCES") in (((4,), (3, 2), (1,)), ((4,), (2, 3), (1,)))


def test_what_has_changed_since_is_found(client: IMAPClient, account: str) -> None:
    for number in range(5):
        client.append("INBOX", letter(number, author=AUTHOR, recipient=account))
    before = client.select_folder("INBOX")[b"HIGHESTMODSEQ"]
    client.add_flags([2, 4], [SEEN])
    client.append("INBOX", letter(5, author=AUTHOR, recipient=account))
    found = client.fetch(range(1, 7), ["FLAGS"], [f"CHANGEDSINCE {before}"])
    assert sorted(found) == [2, 4, 6]
    assert all(SEEN in found[uid][b"FLAGS"] for uid in (2, 4))
    assert all(found[uid][b"MODSEQ"][0] > before for uid in found)


def test_a_wrong_password_is_told(server: RunningServer, account: str) -> None:
    with (
        IMAPClient("localhost", server.ports[ListenerKind.IMAPS], ssl_context=trusting(server), timeout=20) as client,
        pytest.raises(LoginError),
    ):
        client.login(account, "wrong")
