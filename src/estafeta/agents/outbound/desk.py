"""What all parts of the dispatcher share: its tools and settings of now, what is in memory, who it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from estafeta.agents.lines import Say
from estafeta.agents.outbound.alarm import Alarm
from estafeta.agents.outbound.lane import Job
from estafeta.agents.outbound.lanes import Lanes
from estafeta.agents.outbound.notifier import Notifier
from estafeta.agents.outbound.relay import Attempt
from estafeta.agents.outbound.schedule import Schedule
from estafeta.agents.outbound.settings import DestinationLimit, RelaySettings
from estafeta.agents.outbound.settling import Settler
from estafeta.agents.tally import RelayTally
from estafeta.mail.value import value
from estafeta.routing.destinations import Destination
from estafeta.store.records import HolderId, QueuedRecipient
from estafeta.store.store import Store

STEP = 100
"""Destinations, or recipients, that are asked for at a time: a few milliseconds of a commit."""

Deliver: TypeAlias = Callable[[Destination, Job, bytes], Awaitable[Attempt]]
"""Tries a job: the relay, or a gateway of this machine."""


@value
class Tools:
    """What a dispatcher works with; `deliver` and `reroute` follow the settings of now."""

    store: Store
    deliver: Deliver
    notifier: Notifier
    schedule: Schedule
    limits: tuple[DestinationLimit, ...]
    reroute: Callable[[QueuedRecipient], str | None]
    """Where the rules of now send a recipient; None to leave it as it is."""
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    tally: RelayTally = field(default_factory=RelayTally)
    """Where attempts are counted."""
    say: Say | None = None
    """The log's lines of them; None where there are none."""


@dataclass(slots=True)
class Desk:
    """The same for all parts, and changed by the dispatcher alone."""

    tools: Tools
    settings: RelaySettings
    lanes: Lanes
    settler: Settler
    alarm: Alarm
    """Rings where somebody must be looked at to the second."""
    holder: HolderId | None = None
    """This process, while it may claim."""
    is_stopping: bool = False
    look: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where the store may have something that is due."""
