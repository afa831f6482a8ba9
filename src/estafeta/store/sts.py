"""Policies of MTA-STS that were fetched (RFC 8461 §3.2), so that they hold after a restart."""

from __future__ import annotations

from estafeta.mail.value import value
from estafeta.store.engine import Transaction
from estafeta.store.records import Instant
from estafeta.store.statements import Statements

_sql = Statements("sts")

_REMOVED_AT_ONCE = 100


@value
class KeptPolicy:
    """A policy as it was fetched."""

    policy_id: str
    """The `id` of the TXT record that led to it."""
    text: str
    expires_at: Instant


def find(tx: Transaction, domain: str, *, now: Instant) -> KeptPolicy | None:
    """The policy of a domain (lower case, A-labels), when its time is not over."""
    row = tx.one(_sql.find_policy, domain=domain, now=now)
    return None if row is None else KeptPolicy(*row)


def keep(tx: Transaction, domain: str, policy: KeptPolicy, *, now: Instant) -> None:
    """Keep a policy in the place of the one before; others whose time is over are removed on the way."""
    tx.do(
        _sql.keep_policy,
        domain=domain,
        policy_id=policy.policy_id,
        policy=policy.text,
        expires_at=policy.expires_at,
    )
    tx.do(_sql.remove_expired, now=now, limit=_REMOVED_AT_ONCE)
