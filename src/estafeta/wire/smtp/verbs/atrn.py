"""ATRN: turn the roles and send what waits for these domains, or for all of the client's (RFC 2645 §5.2)."""

from __future__ import annotations

from estafeta.mail.catalogue import ondemand
from estafeta.wire.smtp.events import Atrn, Event
from estafeta.wire.smtp.extensions.atrn import is_offered
from estafeta.wire.smtp.grammar import Fault, domain_name
from estafeta.wire.smtp.session import Phase, Session, Verb, turn_roles


def _parse(session: Session, argument: bytes) -> Event:
    if not session.is_authenticated:  # RFC 2645 §5.2.1
        raise Fault(ondemand.ATRN_NEEDS_LOGIN)
    text = argument.decode("utf-8", "replace")
    if not text:
        return Atrn(())
    # RFC 2645 §5.2.1: atrn = "ATRN" [SP domain *("," domain)]; blanks around a comma are let pass.
    names = (domain_name(each.strip(" "), "ATRN [domain,domain...]") for each in text.split(","))
    return Atrn(tuple(dict.fromkeys(names)))


ATRN = Verb(
    "ATRN",
    "ATRN [domain,domain...]",
    frozenset({Phase.READY}),
    _parse,
    turn_roles,
    ends_group=True,
    turns_roles=True,
    is_offered=is_offered,
)
