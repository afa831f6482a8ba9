"""imaplib and poplib, of Python's own library: one mailbox seen through both, over TLS and STARTTLS."""

from __future__ import annotations

import imaplib
import poplib
import re

import pytest
from tests.peers.imap.mailboxes import done, messages, session, trusting
from tests.peers.letters import letter, number_of
from tests.peers.running import PASSWORD, RunningServer

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"


def letters(account: str, count: int) -> list[bytes]:
    return [letter(number, author=AUTHOR, recipient=account, size=2000) for number in range(1, count + 1)]


def test_starttls_then_login_then_all_of_a_mailbox(server: RunningServer, account: str) -> None:
    with imaplib.IMAP4("localhost", server.ports[ListenerKind.IMAP], timeout=30) as client:
        assert "STARTTLS" in client.capabilities
        done(client.starttls(trusting(server)))
        assert "STARTTLS" not in client.capabilities
        done(client.authenticate("PLAIN", lambda _: f"\0{account}\0{PASSWORD}".encode()))
        done(client.create("Work/2026"))
        for octets in letters(account, 5):
            done(client.append("Work/2026", "(\\Flagged $Work)", "", octets))
        assert done(client.select("Work/2026")) == [b"5"]
        found = messages(client, "Work/2026")
        assert [one.octets for one in found] == letters(account, 5)
        assert {one.flags for one in found} == {frozenset({"\\Flagged", "$Work"})}

        done(client.select("Work/2026"))
        done(client.store("2:3", "+FLAGS", "(\\Deleted \\Seen)"))
        assert done(client.search(None, "SEEN")) == [b"2 3"]
        assert done(client.search(None, "SUBJECT", '"letter 4"')) == [b"4"]
        assert done(client.sort("(REVERSE SUBJECT)", "UTF-8", "UNDELETED")) == [b"5 4 1"]
        done(client.copy("2", "INBOX"))
        assert done(client.expunge()) in ([b"2", b"2"], [b"3", b"2"])
        assert [number_of(one.octets) for one in messages(client, "Work/2026")] == [1, 4, 5]
        assert [number_of(one.octets) for one in messages(client, "INBOX")] == [2]
        done(client.rename("Work", "Done"))
        assert done(client.status("Done/2026", "(MESSAGES UNSEEN)")) == [b"Done/2026 (MESSAGES 3 UNSEEN 3)"]


def test_a_wrong_password_and_a_mailbox_that_is_not_there(server: RunningServer, account: str) -> None:
    with imaplib.IMAP4_SSL("localhost", server.ports[ListenerKind.IMAPS], ssl_context=trusting(server)) as client:
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            client.login(account, "wrong")
        done(client.login(account, PASSWORD))
        assert client.select("Nowhere")[0] == "NO"
        with pytest.raises(imaplib.IMAP4.error, match="illegal in state AUTH"):
            client.search(None, "ALL")


def test_mail_that_came_by_smtp_is_the_same_by_imap_and_pop3(server: RunningServer, account: str) -> None:
    server.put(AUTHOR, account, letters(account, 6))
    pop = poplib.POP3_SSL("localhost", server.ports[ListenerKind.POP3S], context=trusting(server), timeout=30)
    pop.user(account)
    pop.pass_(PASSWORD)
    with session(server, account) as client:
        by_imap = [one.octets for one in messages(client, "INBOX")]
        by_pop = [b"".join(line + b"\r\n" for line in pop.retr(number)[1]) for number in range(1, 7)]
        assert [number_of(one) for one in by_pop] == list(range(1, 7))
        assert by_pop == by_imap

        # What POP3 deletes is gone for the session that has the mailbox open, at its next command.
        done(client.select("INBOX"))
        pop.dele(1)
        pop.dele(4)
        pop.quit()
        done(client.noop())
        expunged = client.response("EXPUNGE")[1]
        assert sorted(expunged) in ([b"1", b"3"], [b"1", b"4"])
        assert [number_of(one.octets) for one in messages(client, "INBOX")] == [2, 3, 5, 6]


def test_uids_are_the_same_in_the_next_session(server: RunningServer, account: str) -> None:
    def seen() -> tuple[object, list[object]]:
        with session(server, account, mailbox="INBOX") as client:
            return client.response("UIDVALIDITY")[1], done(client.uid("FETCH", "1:*", "(UID)"))

    server.put(AUTHOR, account, letters(account, 4))
    before = seen()
    with session(server, account, mailbox="INBOX") as client:
        done(client.uid("STORE", "2", "+FLAGS", "(\\Deleted)"))
        done(client.expunge())
    server.put(AUTHOR, account, letters(account, 1))
    validity, after = seen()
    assert validity == before[0]
    assert [int(re.findall(rb"UID (\d+)", line)[0]) for line in after if isinstance(line, bytes)] == [1, 3, 4, 5]
