"""What is measured."""

from __future__ import annotations

from bench.scenarios.growth import Growth
from bench.scenarios.mail import Accept, Deliver, DeliverToMany, Relay, Submit
from bench.scenarios.reading import Imap, Pop3
from bench.scenarios.scenario import Scenario
from bench.scenarios.standing import Idle, Start

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Accept(), Deliver(), DeliverToMany(), Relay(), Submit(), Imap(), Pop3(), Growth(), Start(), Idle()
    )
}  # fmt: skip
"""By name, in the order of the page."""
