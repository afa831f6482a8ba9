"""The gateways of this machine, made from their settings; those that are hosts are the relay's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from estafeta.agents.outbound.gateways.command import CommandGateway
from estafeta.agents.outbound.gateways.maildir import MaildirGateway
from estafeta.agents.outbound.gateways.mbox import MboxGateway
from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings
from estafeta.agents.outbound.outcome import Outcome
from estafeta.store.records import QueuedMessage, QueuedRecipient


class Gateway(Protocol):
    """A place that takes a message for recipients, and says of each what became of it."""

    async def deliver(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient], content: bytes
    ) -> list[Outcome]:
        """One outcome for each recipient, in any order. `content` is prefix and content of the message."""
        ...


def open_gateway(settings: GatewaySettings, *, hostname: str, clock: Callable[[], float]) -> Gateway:
    """The gateway of a table whose kind is not a host; keep it as long as its settings are the same.

    `hostname` is the server's name, `clock` gives seconds since 1970.
    """
    match settings.kind:
        case GatewayKind.MAILDIR:
            return MaildirGateway(settings, hostname=hostname)
        case GatewayKind.MBOX:
            return MboxGateway(settings, clock=clock)
        case GatewayKind.COMMAND:
            return CommandGateway(settings)
        case _:
            raise ValueError(f"a gateway of kind {settings.kind} is a host")
