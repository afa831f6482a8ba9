"""The property: what was answered 250 is at exactly one end, and nothing else is anywhere.

The ledger knows what clients were told, what connections broke over, what foreign hosts have, and reads the stores of
the nodes. For each letter and each place where it must end it counts copies and notifications of failure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from email import message_from_bytes
from functools import partial
from typing import TYPE_CHECKING

from estafeta.mail.address import Address
from estafeta.mail.value import value
from estafeta.simulation.letters import TOKEN, Letter, State, digest_of, token_of
from estafeta.simulation.network import Connection, Transport
from estafeta.simulation.node import SMALL_QUOTA, USERS, Node
from estafeta.simulation.visits import Owner
from estafeta.store import accounts, mailboxes, messages, queue
from estafeta.store.errors import StoreError
from estafeta.store.store import Transaction

if TYPE_CHECKING:
    from estafeta.simulation.world import World

IN_DOUBT_FOR = 10.0
"""Seconds before a node dies in which what the next host answered may not be written down."""

_RECIPIENT = re.compile(r"rfc822; *(\S+)", re.IGNORECASE)


@dataclass(slots=True)
class Found:
    """What was found of one token."""

    copies: Counter[str] = field(default_factory=Counter)
    """By place: an address."""
    failures: Counter[str] = field(default_factory=Counter)
    """Notifications of failure, by the recipient that they name."""


@dataclass(slots=True)
class End:
    """One place where a letter must end."""

    state: State
    """What its client was told."""
    paths: set[str] = field(default_factory=set)
    """The forward-paths that lead there, each of which may go for itself."""


@value
class Message:
    """One message in a mailbox."""

    account: str
    mailbox: str
    uid: int
    reverse_path: str
    content: bytes


class Ledger:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.faults: list[str] = []
        self._doubtful: set[str] = set()
        """Letters whose transaction with a next host may have ended there and not here."""
        self._recent: deque[tuple[float, str, str]] = deque(maxlen=2000)
        """When which machine has sent which letter."""

    # What it sees underway.

    def sees(self, sender: Transport, octets: bytes) -> None:
        """Octets go from one machine to another."""
        if sender.peer[1] != 25:
            return
        connection = sender.connection
        seen = connection.tail + octets
        connection.tail = seen[-64:]
        for found in TOKEN.finditer(seen):
            token = found[1].decode()
            if not connection.letters or connection.letters[-1] != token:
                connection.letters.append(token)
                self._recent.append((self._world.loop.now, sender.local[0], token))

    def doubts(self, connection: Connection) -> None:
        """A connection has broken: its last letter may be there or not."""
        self._doubtful.update(connection.letters[-1:])

    def dies(self, ip: str, since: float) -> None:
        """A machine is dead: what it had sent since, and shortly before, it may not have written down."""
        since -= IN_DOUBT_FOR
        self._doubtful.update(token for at, sender, token in self._recent if sender == ip and at >= since)

    async def queued(self, node: Node) -> int:
        """How many recipients wait in a node's queue."""
        return len(await node.store.read(partial(queue.list_all, limit=1)))

    # The end.

    async def close(self) -> None:
        """Check everything; what must not be is in `faults`."""
        found: dict[str, Found] = defaultdict(Found)
        for node in self._world.nodes.values():
            await self._look_into(node, found)
        for host in self._world.foreign.values():
            for taken in host.taken:
                self._note(Message("", "", 0, taken.reverse_path, taken.content), taken.forward_paths, found)
        for letter in self._world.letters.values():
            self._check(letter, found.get(letter.token, Found()))
        self._check_owners(found)
        for failure in self._world.loop.failures:
            error = failure.get("exception")
            self.faults.append(f"nobody caught {error!r}: {failure.get('message')}")

    async def _look_into(self, node: Node, found: dict[str, Found]) -> None:
        name = node.place.name
        if node.office is None or not node.is_serving:
            self.faults.append(f"{name} does not serve: {node.failures[-1:]!r}")
            return
        waiting = await node.store.read(partial(queue.list_all, limit=100))
        for each in waiting:
            self.faults.append(f"{name}: {each.forward_path} of {each.message.reverse_path} is queued for ever: {each}")
        for message in await node.store.read(lambda tx: self._messages(tx, node)):
            self._note(message, (message.account,), found)
        await self._check_inside(node)

    async def _check_inside(self, node: Node) -> None:
        """What its operator could ask: nothing is left over in memory, and its own ledger is right."""
        name, office = node.place.name, node.office
        assert office is not None
        in_memory = office.in_memory
        if in_memory:
            self.faults.append(f"{name}: {in_memory} recipients are still in memory")
        self.faults += node.gaps + await node.audit()

    def _messages(self, tx: Transaction, node: Node) -> list[Message]:
        found = []
        for user in USERS:
            account = accounts.find(tx, Address(user, node.place.domain))
            assert account is not None
            total = 0
            for mailbox in mailboxes.list_of(tx, account.account_id):
                for row in messages.list_of(tx, mailbox.mailbox_id):
                    total += 1
                    try:
                        octets = messages.read_content(tx, node.store.content, mailbox.mailbox_id, row.uid)
                    except StoreError as error:
                        self.faults.append(f"{account.address} {mailbox.name} {row.uid}: {error}")
                        continue
                    head, _, content = octets.partition(b"\r\n")
                    reverse_path = head.removeprefix(b"Return-Path: ").decode("latin-1").strip("<> ")
                    found.append(Message(str(account.address), mailbox.name, row.uid, reverse_path, content))
            if user == USERS[-1] and total > SMALL_QUOTA:
                self.faults.append(f"{user}@{node.place.domain} has {total} messages, more than its quota")
        return found

    def _note(self, message: Message, places: tuple[str, ...], found: dict[str, Found]) -> None:
        token = token_of(message.content)
        if b"report-type=delivery-status" in message.content[:4000].replace(b'"', b"").lower():
            self._note_report(message, found)
            return
        letter = self._world.letters.get(token)
        if letter is not None and digest_of(message.content) != letter.digest:
            self.faults.append(f"{token} at {places} is not what was handed in")
        for place in places:
            found[token].copies[_plain(place)] += 1

    def _note_report(self, message: Message, found: dict[str, Found]) -> None:
        if message.reverse_path:
            self.faults.append(f"a notification came from <{message.reverse_path}>")
        report = message_from_bytes(message.content)
        token = token_of(message.content)
        if not token:
            self.faults.append(f"a notification about nothing: {message.content[:300]!r}")
        for part in report.walk():
            action = str(part.get("Action", "")).lower()
            if action == "failed":
                recipient = _RECIPIENT.search(str(part.get("Final-Recipient", "")))
                found[token].failures[_plain(recipient[1]) if recipient else "?"] += 1

    # One letter.

    def _ends_of(self, letter: Letter) -> dict[str, End]:
        """Where it must end."""
        ends: dict[str, End] = {}
        for path, state in letter.states.items():
            for address in self._follow(path):
                end = ends.setdefault(address, End(state))
                if state is State.ACCEPTED or end.state is State.REFUSED:
                    end.state = state  # of several ways the one that was taken decides
                end.paths.add(path)
        return ends

    def _domains(self) -> list[str]:
        return [place.domain for place in self._world.plan.places]

    def _follow(self, path: str) -> list[str]:
        local, _, domain = path.partition("@")
        domains = self._domains()
        if domain in domains and local == "team":
            return [f"ana@{domain}", f"luis@{domain}", "friend@ext0.test"]
        if domain in domains and local == "away":
            return [f"eva@{domains[(domains.index(domain) + 1) % len(domains)]}"]
        return [path]

    def _check(self, letter: Letter, found: Found) -> None:
        ends = self._ends_of(letter)
        token = letter.token
        for address in found.copies:
            if address not in ends:
                self.faults.append(f"{token} is at {address}, for whom it was not")
        is_doubtful = token in self._doubtful
        for address, end in ends.items():
            copies, ways = self._copies(token, address, found), len(end.paths)
            # An alias that the next host would have followed fails under its own name.
            failures = sum(found.failures[name] for name in sorted(end.paths | {address}))
            what = f"{token} from <{letter.reverse_path}> to {address} ({end.state.value})"
            if end.state is State.REFUSED and (copies or failures):
                self.faults.append(f"{what}: {copies} copies, {failures} failures")
            if copies + failures > ways and not is_doubtful:
                self.faults.append(f"{what}: {copies} copies, {failures} notifications of failure")
            if end.state is State.ACCEPTED and not copies and not failures and self._must_be_told(letter):
                self.faults.append(f"{what}: LOST")

    def _must_be_told(self, letter: Letter) -> bool:
        """Whether its author hears of failures, in a mailbox that we can look into.

        Where not, the failure may have no witness but the journal, which the audit reads.
        """
        domain = letter.reverse_path.partition("@")[2]
        # Whoever was told that the author's domain does not exist has nobody to notify.
        is_known = {domain, f"mx.{domain}"}.isdisjoint(self._world.nameserver.lied_about)
        return letter.notify != "NEVER" and domain in self._domains() and is_known

    def _copies(self, token: str, end: str, found: Found) -> int:
        """Those that are there, and the one that its owner has removed."""
        copies = found.copies[end]
        owner = self._owner(end)
        if owner is not None and token in owner.expunged:
            return copies + 1
        if owner is not None and token in owner.perhaps_expunged and not copies:
            return 1
        return copies

    def _owner(self, account: str) -> Owner | None:
        for owner in self._world.owners.values():
            if owner.account == account:
                return owner
        return None

    def _check_owners(self, found: dict[str, Found]) -> None:
        for owner in self._world.owners.values():
            for fault in owner.faults:
                self.faults.append(f"{owner.account}: {fault}")
            for token, is_told in owner.appended.items():
                copies = self._copies(token, owner.account, found[token])
                if copies > 1 or (is_told and copies != 1):
                    self.faults.append(f"{owner.account}: the draft {token} is there {copies} times, told: {is_told}")


def _plain(address: str) -> str:
    return address.strip("<>").lower()
