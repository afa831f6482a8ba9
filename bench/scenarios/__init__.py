"""What is measured."""

from __future__ import annotations

from bench.scenarios.growth import Growth
from bench.scenarios.mail import Accept, Deliver, DeliverToMany, Relay, RelayToMany
from bench.scenarios.reading import Imap, ImapIdle, Pop3
from bench.scenarios.scenario import Scenario
from bench.scenarios.standing import Idle, Start
from bench.scenarios.submitting import Submit

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Accept(), Deliver(), DeliverToMany(), Relay(), RelayToMany(), Submit(), Imap(), ImapIdle(), Pop3(), Growth(),
        Start(), Idle()
    )
}  # fmt: skip
"""By name, in the order of the page."""
