"""What the log says of messages: a line for each that was accepted, refused or tried, with the ids that `trace` takes.

Facts are handed on as they are, and made text only when the line is written: a session does not wait for that. No
content, no subject, no password is ever among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from estafeta.agents.chronicle import Reason
from estafeta.mail.reply import Reply

if TYPE_CHECKING:
    from estafeta.agents.draft import Draft
    from estafeta.agents.outbound.outcome import Outcome
    from estafeta.agents.peer import Peer
    from estafeta.store.records import QueuedMessage

Say: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Takes a line: what happened, and its facts. Ids are numbers under `session`, `message` and `recipient_id`."""

MAX_RECIPIENTS = 20
"""Recipients of one message that its line names."""


def accepted(peer: Peer, draft: Draft, size: int, seconds: float) -> dict[str, object]:
    """Of a message that is ours now."""
    paths = [each.forward_path for each in draft.recipients[:MAX_RECIPIENTS]]
    told: dict[str, object] = {"message": draft.queue_id, **peer.said_of()}
    if peer.account is not None:
        told["account"] = peer.account
    told["reverse_path"] = draft.sender.reverse_path
    told["recipients"] = paths
    if len(draft.recipients) > MAX_RECIPIENTS:
        told["more_recipients"] = len(draft.recipients) - MAX_RECIPIENTS
    told["size"] = size
    told["seconds"] = seconds
    return told


def decided(
    peer: Peer, draft: Draft | None, stage: str, subject: str, reply: Reply, reason: Reason, detail: str
) -> dict[str, object]:
    """Of something that was refused, and of logins. `detail` is the operator's."""
    told: dict[str, object] = {**peer.said_of(), "stage": stage, "subject": subject}
    if peer.account is not None:
        told["account"] = peer.account
    if draft is not None:
        told["message"] = draft.queue_id
        told["reverse_path"] = draft.sender.reverse_path
    told["reason"] = reason.value
    told["reply"] = reply
    if detail:
        told["detail"] = detail
    return told


def tried(message: QueuedMessage, outcome: Outcome, now: float, *, attempts: int) -> dict[str, object]:
    """Of what `attempts` more, or the end of its time, have found out about one recipient."""
    recipient = outcome.recipient
    told: dict[str, object] = {
        "message": message.content_id,
        "recipient_id": recipient.recipient_id,
        "reverse_path": message.reverse_path,
        "forward_path": recipient.forward_path,
        "destination": recipient.destination,
        "attempts": recipient.attempts + attempts,
        "seconds": now - message.accepted_at,
    }
    if outcome.host is not None:
        told["host"] = outcome.host.name
        if outcome.host.address:
            told["address"] = outcome.host.address
        if outcome.host.tls:
            told["tls"] = outcome.host.tls
    if outcome.stage:
        told["stage"] = outcome.stage
    told["reply"] = outcome.reply
    return told
