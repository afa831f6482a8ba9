"""Mailboxes that are read: IMAP and POP3, beside Dovecot and Cyrus, the same mail in each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from statistics import median

from bench.correspondence import BODY_WORD, SUBJECT_WORD, letters
from bench.loads.reading import Connection, Letter, Maildrop
from bench.peers.peer import Purpose, Running, restart
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
_CHANGES = {APPENDS, MULTIAPPEND, *(each for each in COMMANDS if each.startswith("STORE"))}
REPEATED = 5
"""How often a command that changes nothing is asked in a round; the median counts."""
FIRST_LOGIN = "first login after a start, to after SELECT"
LOADING = "loading by MULTIAPPEND"
COLD = "cold: "
"""Before a command that is asked for the first time after the mail came and the server was started again."""
REST_AFTER_LOADING = 60.0
"""Seconds at most in which a server may finish what the new mail gives it to do, before it is started again."""
QUIET_AFTER_LOADING = 3.0
"""Seconds without work after which it has: one that makes pauses between its steps has not finished in them."""
CONNECTIONS = 1000


class Reading(Scenario):
    """A mailbox full of mail."""

    peers: tuple[str, ...] = ("Estafeta", "Dovecot")
    start_seconds = 70.0

    def fill(self, running: Running, matrix: Matrix, port: int) -> float:
        """Put the mail into INBOX, and let the server rest; gives the seconds that it took."""
        connection = Connection(port)
        connection.login()
        source, seconds = letters(matrix.messages or MESSAGES), 0.0
        while some := list(islice(source, AT_ONCE)):
            seconds += _time(partial(connection.append, "INBOX", some))
        connection.close()
        running.rest(REST_AFTER_LOADING, QUIET_AFTER_LOADING)
        return seconds


class Imap(Reading):
    """Whole commands on one connection."""

    name = "imap"
    title = "IMAP"
    purpose = Purpose.IMAP
    explanation = (
        f"Milliseconds of a command over a whole mailbox of {MESSAGES:,} messages, on one connection; {AT_ONCE} "
        "messages are added to another one. Cold: the first time after the mail came and the server was started again. "
        "Cyrus is measured in one round."
    )
    figure = "ms"
    peers = ("Estafeta", "Dovecot", "Cyrus")
    once = ("Cyrus",)
    """It takes a minute or more to fill."""
    start_seconds = 150.0

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}
        self._cold: dict[tuple[str, str], float] = {}
        self._some = list(letters(AT_ONCE, seed=2))

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """Commands, then what was noted at the beginning."""
        cold = [COLD + what for what in (FIRST_LOGIN, SELECT, *COMMANDS)]
        return [Case(what) for what in (SELECT, *COMMANDS, APPENDS, MULTIAPPEND, FIRST_LOGIN, LOADING, *cold)]

    def seconds(self, case: Case, matrix: Matrix) -> float:
        """The longest."""
        return 2.0

    def begin(self, running: Running, matrix: Matrix) -> None:
        """Fill the mailbox, start again, and ask for everything for the first time."""
        name = running.peer.name
        self._cold[name, LOADING] = self.fill(running, matrix, running.port)
        self._cold[name, COLD + FIRST_LOGIN] = self._first_login(running)
        connection = self._connections[name] = Connection(running.port)
        running.closing.insert(0, connection.close)
        connection.login()
        self._cold[name, COLD + SELECT] = _time(lambda: connection.command("SELECT INBOX"))
        for each in COMMANDS:
            self._cold[name, COLD + each] = _time(partial(connection.command, each))
        connection.command("CREATE Measured")

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """One command."""
        name = running.peer.name
        if (name, case.title) in self._cold:
            return {"ms": self._cold[name, case.title] * 1000}
        connection = self._connections[name]
        if case.title == FIRST_LOGIN:
            running.closing.remove(connection.close)
            connection.close()
            seconds = self._first_login(running)
            # What comes after it needs none: the cold figures are known.
            return {"ms": seconds * 1000}
        before = running.group.seconds()
        times = [self._once(case.title, connection) for _ in range(1 if case.title in _CHANGES else REPEATED)]
        return {
            "ms": median(times) * 1000,
            "cpu_us": (running.group.seconds() - before) / len(times) * 1e6,
            "peak_mib": running.group.memory() / KIB / KIB,
        }

    def _once(self, what: str, connection: Connection) -> float:
        if what == SELECT:
            connection.command("UNSELECT")
            return _time(lambda: connection.command("SELECT INBOX"))
        if what == APPENDS:
            return _time(lambda: self._one_by_one(connection, self._some))
        if what == MULTIAPPEND:
            return _time(lambda: connection.append("Measured", self._some))
        return _time(lambda: connection.command(what))

    def _one_by_one(self, connection: Connection, some: list[Letter]) -> None:
        for letter in some:
            connection.append("Measured", [letter])

    def _first_login(self, running: Running) -> float:
        restart(running)

        def act() -> None:
            connection = Connection(running.port)
            connection.login()
            connection.command("SELECT INBOX")
            connection.close()

        return _time(act)


class ImapIdle(Reading):
    """What connections take that have a mailbox selected."""

    name = "imap-idle"
    title = "IMAP connections that are idle"
    purpose = Purpose.IMAP
    explanation = (
        f"Memory for each of {CONNECTIONS:,} connections that are logged in and have INBOX selected, with "
        f"{MESSAGES:,} messages in it, beyond that of the server with one."
    )
    figure = "kib"

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """One."""
        return [Case(f"{CONNECTIONS:,} connections")]

    def seconds(self, case: Case, matrix: Matrix) -> float:
        """Logins."""
        return 30.0

    def begin(self, running: Running, matrix: Matrix) -> None:
        """Fill the mailbox and start again."""
        self.fill(running, matrix, running.port)
        restart(running)

    def measure(self, case: Case, running: Running, matrix: Matrix) -> Figures:
        """Open them and look."""
        with ExitStack() as stack:

            def open_one() -> None:
                connection = Connection(running.port)
                stack.callback(connection.close)
                connection.login()
                connection.command("SELECT INBOX")

            open_one()
            running.rest(REST_AFTER_LOADING)
            before = running.group.memory()
            for _ in range(CONNECTIONS):
                open_one()
            after = running.group.memory()
        return {"kib": (after - before) / CONNECTIONS / KIB, "peak_mib": after / KIB / KIB}


class Pop3(Reading):
    """A maildrop that is read whole."""

    name = "pop3"
    title = "POP3"
    purpose = Purpose.POP3
    explanation = (
        f"Milliseconds to look into a maildrop of {MESSAGES:,} messages and to read it; the mail was put there by IMAP."
    )
    figure = "ms"

    def cases(self, matrix: Matrix) -> Sequence[Case]:
        """What a client does."""
        return [Case("login and STAT"), Case("UIDL"), Case("RETR of all, 100 together")]

    def seconds(self, case: Case, matrix: Matrix) -> float:
        """The longest."""
        return 5.0

    def begin(self, running: Running, matrix: Matrix) -> None:
        """Fill the maildrop, by the server's IMAP on the next port, and look into it once."""
        self.fill(running, matrix, running.port + 1)
        maildrop = Maildrop(running.port)
        maildrop.login()
        maildrop.read("UIDL")
        maildrop.close()

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
