"""How TLS went with other hosts, counted by UTC day and domain, for reports to these domains (RFC 8460).

A result is a policy and the facts of a failure, both JSON texts that the reporter writes and reads. What is taken is
gone: a report that may have been sent is not sent again after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable

from estafeta.mail.value import value
from estafeta.store.engine import Transaction
from estafeta.store.statements import Statements

_sql = Statements("tls_results")


@value
class TlsResult:
    """Sessions that went the same way under the same policy."""

    policy: str
    failure: str
    """The empty text for sessions without a failure."""
    sessions: int


def count(tx: Transaction, day: int, domain: str, results: Iterable[TlsResult]) -> None:
    """Add to what was counted; `day` is days since 1970."""
    tx.execute_many(
        _sql.count_sessions,
        [
            {
                "day": day,
                "domain": domain,
                "policy": result.policy,
                "failure": result.failure,
                "sessions": result.sessions,
            }
            for result in results
        ],
    )


def due(tx: Transaction, *, before: int, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
    """Days before `before` and domains that have results, in order, after a day and domain."""
    day, domain = after
    rows = tx.run(_sql.domains_before, before=before, day=day, domain=domain, limit=limit)
    return [(int(found), str(name)) for found, name in rows]


def take(tx: Transaction, day: int, domain: str) -> list[TlsResult]:
    """Remove and give the results of one day and domain; none when another process took them."""
    rows = tx.run(_sql.take_results, day=day, domain=domain)
    return sorted((TlsResult(*row) for row in rows), key=lambda result: (result.policy, result.failure))


def remove_before(tx: Transaction, day: int) -> int:
    """Remove what is from before a day; gives how many results."""
    return tx.do(_sql.remove_before, before=day)
