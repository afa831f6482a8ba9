"""One run: a plan is carried out, everything heals, the queues run empty, and the ledger is checked."""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from estafeta.mail.value import value
from estafeta.net.authority import issue
from estafeta.simulation.dns import Nameserver
from estafeta.simulation.foreign import Foreign, Script
from estafeta.simulation.ledger import Ledger
from estafeta.simulation.letters import Letter, Submitter
from estafeta.simulation.loop import Process, Stuck, VirtualLoop
from estafeta.simulation.network import Network, NetworkFaults
from estafeta.simulation.node import PASSWORD, PLACES, Node, Place, make_template
from estafeta.simulation.plan import FOREIGN, Action, Kind, Plan
from estafeta.simulation.visits import Owner, Visits
from estafeta.store.errors import StoreError

STRANGER = "203.0.113.7"
"""A host that no node trusts."""
CLIENT = "198.51.100.7"
"""A client that every node trusts."""
_STEP = 60.0
"""Virtual seconds between two looks at whether the queues are empty."""
_LAST_CLIENT = 12 * 3600.0
"""Virtual seconds after which no client is still busy when nothing is broken any more."""
_MOST_TURNS = 30_000_000
_MOST_FAILURES = 5
"""Starts that fail although nothing is broken any more."""


@value
class Result:
    """What came of a run."""

    seed: int
    faults: tuple[str, ...]
    """What must not be; empty where all is well."""
    letters: int
    recipients: int
    starts: int
    operations: int
    virtual: float
    """Seconds that the run lasted in its own time."""


class Templates:
    """The data directories that nodes begin with, made once for a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, place: Place, places: tuple[Place, ...]) -> Path:
        """The one of a place among others."""
        path = self._folder / f"{place.name}-of-{len(places)}"
        if not path.exists():
            make_template(path, place, places)
        return path

    @property
    def authorities(self) -> Path:
        """A file of authorities that is read faster than the system's; nobody uses it."""
        return issue(self._folder / "authority", ["localhost"]).authority


def quick_folder() -> Path:
    """A folder in memory where there is one; whoever asked for it removes it."""
    memory = Path("/dev/shm")  # noqa: S108 - made with a name that nobody can guess
    return Path(tempfile.mkdtemp(prefix="estafeta-", dir=memory if memory.is_dir() else None))


def run(plan: Plan, templates: Templates, folder: Path) -> Result:
    """Carry out a plan in a new folder, which is removed at the end."""
    for place in plan.places:
        templates.of(place, plan.places)
    chance = random.Random(f"run {plan.seed}")  # noqa: S311
    loop = VirtualLoop(random.Random(f"loop {plan.seed}").random)  # noqa: S311
    world = World(plan, loop, folder, chance, templates.authorities)
    structlog.configure(processors=[_drop])
    # When objects go decides when what was killed has its say: between the runs, and not underway.
    gc.disable()
    try:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(world.live(templates))
        except (Stuck, StoreError) as error:
            world.ledger.faults.append(f"the run broke: {error}")
    finally:
        loop.run_until_complete(world.end())
        asyncio.set_event_loop(None)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)
    letters = world.letters
    result = Result(
        plan.seed,
        tuple(dict.fromkeys(world.ledger.faults)),
        len(letters),
        sum(len(letter.states) for letter in letters.values()),
        sum(node.starts for node in world.nodes.values()),
        sum(node.disk.operations for node in world.nodes.values()),
        loop.now,
    )
    del world, loop, letters
    gc.collect()
    gc.enable()
    return result


def _drop(_: object, __: str, ___: object) -> dict[str, object]:
    raise structlog.DropEvent


class World:
    """Machines, network, clients; see `live`."""

    def __init__(self, plan: Plan, loop: VirtualLoop, folder: Path, chance: random.Random, authorities: Path) -> None:
        self.plan = plan
        self.loop = loop
        self.folder = folder
        self.chance = chance
        self.network = loop.network = Network(loop, random.Random(f"network {plan.seed}"))  # noqa: S311
        self.nameserver = Nameserver(random.Random(f"dns {plan.seed}"))  # noqa: S311
        self.network.nameserver = self.nameserver.answer
        self.letters: dict[str, Letter] = {}
        settings = {
            "lifetime": plan.lifetime,
            "delay_notice_after": plan.lifetime / 3,
            "retry_after": (60.0, 300.0, 900.0),
            "poll_after": 60.0,
            "reply_after": 120.0,
            "final_after": 300.0,
        }
        self.nodes: dict[str, Node] = {}
        for place in plan.places:
            own = random.Random(f"node {place.name} {plan.seed}")  # noqa: S311
            self.nodes[place.name] = Node(
                place, folder / place.name, self.network, own, settings, authorities, self._died
            )
        self.foreign = {name: Foreign(name, f"192.0.2.{100 + number}") for number, name in enumerate(FOREIGN)}
        self.owners: dict[tuple[str, str], Owner] = {}
        self.ledger = Ledger(self)
        self.network.watch = self.ledger.sees
        self.network.broken = self.ledger.doubts
        self._submitter = Submitter(self.network, chance, self.letters)
        self._visits = Visits(chance, rest=20.0)
        self._tasks: set[asyncio.Task[None]] = set()

    # The run.

    async def live(self, templates: Templates) -> None:
        """Everything, from the first start to the last check."""
        self._publish()
        for node in self.nodes.values():
            node.begin(templates.of(node.place, self.plan.places))
            node.start()
        for host in self.foreign.values():
            host.open(self.network, self.chance)
        for action in self.plan.actions:
            await self._until(action.at)
            self._do(action)
        await self._until(self.plan.ends_at)
        await self._heal()
        await self._settle()
        await self.ledger.close()

    async def _until(self, at: float) -> None:
        if at > self.loop.now:
            await asyncio.sleep(at - self.loop.now)

    async def end(self) -> None:
        """Give everything back."""
        for node in self.nodes.values():
            node.end()
        self.loop.silence()

    def _publish(self) -> None:
        for place in PLACES[: len(self.plan.places)]:
            self.nameserver.set(place.domain, "MX", f"10 mx.{place.domain}.")
            self.nameserver.set(f"mx.{place.domain}", "A", place.ip)
        for host in self.foreign.values():
            self.nameserver.set(host.domain, "MX", f"10 mx.{host.domain}.")
            self.nameserver.set(f"mx.{host.domain}", "A", host.ip)

    async def _heal(self) -> None:
        """From now on nothing is broken."""
        self.network.faults = NetworkFaults()
        self.network.heal()
        self.nameserver.faults.silent = self.nameserver.faults.failing = self.nameserver.faults.lying = 0.0
        for host in self.foreign.values():
            if host.script not in (Script.REJECT_RCPT, Script.REJECT_CONTENT):
                host.script = Script.ACCEPT
        for node in self.nodes.values():
            node.heal_disk()
            node.start()
        if self._tasks:
            _, waiting = await asyncio.wait(self._tasks, timeout=_LAST_CLIENT)
            self.ledger.faults += [f"{task.get_coro()} does not come to an end" for task in waiting]

    async def _settle(self) -> None:
        """Wait until all that was queued has come to an end."""
        ends_at = self.loop.now + 2 * self.plan.lifetime + 12 * 3600.0
        for node in self.nodes.values():
            node.failures.clear()
        while self.loop.now < ends_at and not any(len(node.failures) > _MOST_FAILURES for node in self.nodes.values()):
            await asyncio.sleep(_STEP)
            for node in self.nodes.values():
                node.start()  # one that was still about to stop
            if self.loop.turns > _MOST_TURNS:
                self.ledger.faults.append("the run does not come to an end")
                return
            if not [node for node in self.nodes.values() if not node.is_serving or await self.ledger.queued(node)]:
                await asyncio.sleep(_STEP)  # what was just relayed is written down
                return

    # Actions.

    def _do(self, action: Action) -> None:
        if action.kind is Kind.LETTER:
            self._spawn(self._send(action))
        elif action.kind is Kind.VISIT:
            self._spawn(self._visit(action))
        elif action.kind in _ON_NODES:
            self._do_to_node(action, self.nodes[action.node])
        else:
            self._do_to_world(action)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, action: Action) -> None:
        is_foreign = action.other == "foreign"
        await self._submitter.send(
            action.number // 100_000,
            STRANGER if is_foreign else CLIENT,
            self.nodes[action.node].place.ip,
            action.reverse_path,
            action.recipients,
            action.number % 100_000,
            tries=4,
            is_foreign=is_foreign,
            notify=action.notify,
        )

    async def _visit(self, action: Action) -> None:
        node = self.nodes[action.node]
        account = f"{action.other}@{node.place.domain}"
        owner = self.owners.setdefault((action.node, action.other), Owner(account, PASSWORD))
        process = Process("reader")
        self.network.addresses[process] = CLIENT
        visit = self._visits.visit(owner, node.place.ip, 143, action.number)
        await self.loop.create_task(visit, context=process.context)
        process.is_alive = False

    def _do_to_node(self, action: Action, node: Node) -> None:
        kind = action.kind
        if kind is Kind.KILL:
            node.kill()
            self._later(action.seconds, node.start)
        elif kind is Kind.POWER:
            node.lose_power()
            self._later(action.seconds, node.start)
        elif kind is Kind.POWER_AT:
            node.off_for = action.seconds
            node.disk.lose_power_at(action.number)
        elif kind is Kind.STOP:
            self._spawn(self._restart(node, action.seconds))
        elif kind is Kind.STILL:
            node.stand_still(action.seconds)
        elif kind is Kind.DISK_FULL:
            node.fill_disk()
            self._later(action.seconds, node.heal_disk)
        elif kind is Kind.DISK_ERROR:
            node.disk.fail_next(action.number, action.other)
        elif kind is Kind.CLOCK:
            node.offset += action.number
        elif kind is Kind.ISOLATE:
            for place in self.plan.places:
                self._part(node.place.ip, place.ip, action.seconds)
            for host in self.foreign.values():
                self._part(node.place.ip, host.ip, action.seconds)

    async def _restart(self, node: Node, seconds: float) -> None:
        await node.stop()
        self._later(seconds, node.start)

    def _died(self, node: Node) -> None:
        self.ledger.dies(node.place.ip, node.disk_bad_since if node.disk_bad_since is not None else self.loop.now)

    def _do_to_world(self, action: Action) -> None:
        kind, chance = action.kind, self.chance
        if kind is Kind.PART:
            other = self.foreign[action.other].ip if action.other in self.foreign else self.nodes[action.other].place.ip
            self._part(self.nodes[action.node].place.ip, other, action.seconds)
        elif kind is Kind.SCRIPT:
            self.foreign[action.node].script = Script(action.other)
            self._later(action.seconds, self._relent, self.foreign[action.node])
        elif kind is Kind.WEATHER:
            self.network.faults = NetworkFaults(
                breaks=chance.random() * 0.6,
                half_open=chance.random() * 0.2,
                slow=chance.random() * 0.3,
                refused=chance.random() * 0.3,
            )
            self._later(action.seconds, self._clear_up)
        elif kind is Kind.DNS:
            faults = self.nameserver.faults
            faults.silent, faults.failing, faults.lying = chance.random(), chance.random() * 0.5, chance.random() * 0.2
            self._later(action.seconds, self._answer_again)
        elif kind is Kind.MOVE:
            self._move(self.foreign[action.node])

    def _later(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        self.loop.call_later(seconds, callback, *args, context=self.network.context)

    def _part(self, one: str, other: str, seconds: float) -> None:
        if one != other:
            self.network.part(one, other)
            self._later(seconds, self.network.heal, one, other)

    def _relent(self, host: Foreign) -> None:
        host.script = Script.ACCEPT

    def _clear_up(self) -> None:
        self.network.faults = NetworkFaults()

    def _answer_again(self) -> None:
        faults = self.nameserver.faults
        faults.silent = faults.failing = faults.lying = 0.0

    def _move(self, host: Foreign) -> None:
        last = int(host.ip.rpartition(".")[2])
        host.move(self.network, self.chance, f"192.0.2.{last + 10 if last < 140 else 100}")
        self.nameserver.set(f"mx.{host.domain}", "A", host.ip)


_ON_NODES = (
    Kind.KILL,
    Kind.POWER,
    Kind.POWER_AT,
    Kind.STOP,
    Kind.STILL,
    Kind.DISK_FULL,
    Kind.DISK_ERROR,
    Kind.CLOCK,
    Kind.ISOLATE,
)
