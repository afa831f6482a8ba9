"""A nameserver of the simulated network: it answers, is silent, fails, lies, and changes its mind.

What it says is DNS as it is on the wire, so that the resolver of the product is the one that runs.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

TTL = 300
ADDRESS = "192.0.2.53"


@dataclass(slots=True)
class DnsFaults:
    """How likely each is, for one question."""

    silent: float = 0.0
    failing: float = 0.0
    lying: float = 0.0
    """It says that a name has no address, or names that of a machine that is not there."""
    machines: set[str] = field(default_factory=set)
    """Addresses of machines that get no answer at all."""


class Nameserver:
    """Knows the whole world: records by name and type, in the order of the records."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.faults = DnsFaults()
        self.lied_about: set[str] = set()
        """Names that somebody was told a lie about."""
        self._records: dict[tuple[str, str], list[str]] = {}
        self._names: set[str] = set()

    def set(self, name: str, kind: str, *values: str) -> None:
        """From now on a name has these records of a type; none: it has none."""
        self._records[name, kind] = list(values)
        self._names.add(name)

    def answer(self, asker: str, octets: bytes) -> tuple[float, bytes] | None:
        """The answer to a question of a machine, and after how many seconds it comes."""
        chance, faults = self._chance, self.faults
        after = 0.001 + chance.random() * 0.05
        if asker in faults.machines or chance.random() < faults.silent:
            return None
        query = dns.message.from_wire(octets)
        response = dns.message.make_response(query, recursion_available=True)
        if chance.random() < faults.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
            return after, response.to_wire()
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        values = self._records.get((name, kind), [])
        if chance.random() < faults.lying:
            self.lied_about.add(name)
            values = ["203.0.113.99"] if kind == "A" and values else []
            if not values:
                response.set_rcode(dns.rcode.NXDOMAIN)
        elif name not in self._names:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if values:
            records = [dns.rdata.from_text(dns.rdataclass.IN, question.rdtype, value) for value in values]
            response.answer.append(dns.rrset.from_rdata_list(question.name, TTL, records))
        return after, response.to_wire()
