"""Mailboxes that are read: IMAP and POP3, beside Dovecot, the same mail in both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from bench.correspondence import BODY_WORD, SUBJECT_WORD, letters
from bench.loads.reading import Connection, Letter, Maildrop
from bench.peers.peer import Purpose, Running
from bench.scenarios.scenario import KIB, Case, Figures, Matrix, Scenario

MESSAGES = 10_000
AT_ONCE = 500
"""Messages of one MULTIAPPEND."""
SELECT, APPENDS, MULTIAPPEND = "SELECT", f"{AT_ONCE} APPENDs one by one", f"MULTIAPPEND of {AT_ONCE}"
COMMANDS = (
    "FETCH 1:* (FLAGS)",
    "FETCH 1:* (FLAGS ENVELOPE INTERNALDATE RFC822.SIZE)",
    "FETCH 1:* BODY.PEEK[]",
    f"SEARCH SUBJECT {SUBJECT_WORD}",
    f"SEARCH BODY {BODY_WORD}",
    "SORT (DATE) UTF-8 ALL",
    "THREAD REFERENCES UTF-8 ALL",
    r"STORE 1:* +FLAGS (\Seen)",
    r"STORE 1:* -FLAGS (\Seen)",
)
LOADING = "loading by MULTIAPPEND"


class Imap(Scenario):
    """Whole commands on one connection."""

    name = "imap"
    title = "IMAP"
    purpose = Purpose.IMAP
    explanation = (
        "Milliseconds of a command over a whole mailbox, on one connection; 500 messages are added and removed."
    )
    figure = "ms"
    peers = ("Estafeta", "Dovecot")

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}
        self._loading: dict[str, float] = {}
        self._some = list(letters(AT_ONCE, seed=2))

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """Commands."""
        return [Case(what) for what in (LOADING, SELECT, *COMMANDS, APPENDS, MULTIAPPEND)]

    def begin(self, running: Running, matrix: Matrix) -> None:
        """Fill the mailbox."""
        name = running.peer.name
        connection = self._connections[name] = Connection(running.port)
        running.closing.insert(0, connection.close)
        connection.login()
        source, seconds = letters(matrix.messages or MESSAGES), 0.0
        while some := list(islice(source, AT_ONCE)):
            seconds += _time(partial(connection.append, "INBOX", some))
        self._loading[name] = seconds
        connection.command("CREATE Measured")
        connection.command("SELECT INBOX")
        for each in COMMANDS:  # what is asked for the first time is made then
            connection.command(each)

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """One command."""
        connection = self._connections[running.peer.name]
        if case.title == LOADING:
            return {"ms": self._loading[running.peer.name] * 1000}
        before = running.group.seconds()
        if case.title == SELECT:
            connection.command("UNSELECT")
            seconds = _time(lambda: connection.command("SELECT INBOX"))
        elif case.title == APPENDS:
            seconds = _time(lambda: self._one_by_one(connection, self._some))
        elif case.title == MULTIAPPEND:
            seconds = _time(lambda: connection.append("Measured", self._some))
        else:
            seconds = _time(lambda: connection.command(case.title))
        return {
            "ms": seconds * 1000,
            "cpu_us": (running.group.seconds() - before) * 1e6,
            "peak_mib": running.group.memory() / KIB / KIB,
        }

    def _one_by_one(self, connection: Connection, some: list[Letter]) -> None:
        for letter in some:
            connection.append("Measured", [letter])


class Pop3(Scenario):
    """A maildrop that is read whole."""

    name = "pop3"
    title = "POP3"
    purpose = Purpose.POP3
    explanation = "Milliseconds to look into a maildrop and to read it; the mail was put there by IMAP."
    figure = "ms"
    peers = ("Estafeta", "Dovecot")

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """What a client does."""
        return [Case("login and STAT"), Case("UIDL"), Case("RETR of all, 100 together")]

    def begin(self, running: Running, matrix: Matrix) -> None:
        """Fill the maildrop, by the server's IMAP on the next port."""
        connection = Connection(running.port + 1)
        connection.login()
        source = letters(matrix.messages or MESSAGES)
        while some := list(islice(source, AT_ONCE)):
            connection.append("INBOX", some)
        connection.close()

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """One of them."""
        before = running.group.seconds()
        begin = time.perf_counter()
        maildrop = Maildrop(running.port)
        maildrop.login()
        maildrop.ask("STAT")
        if case.title != "login and STAT":
            begin = time.perf_counter()
        if case.title == "UIDL":
            maildrop.read("UIDL")
        elif case.title.startswith("RETR"):
            total = matrix.messages or MESSAGES
            for first in range(1, total + 1, 100):
                maildrop.read(*(f"RETR {each}" for each in range(first, min(first + 100, total + 1))))
        seconds = time.perf_counter() - begin
        maildrop.close()
        return {"ms": seconds * 1000, "cpu_us": (running.group.seconds() - before) * 1e6}


def _time(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin
