"""Questions and responses of the DNS as octets (RFC 1035 §4, RFC 6891), without I/O.

Names and records are read by dnspython. Its reader of whole messages is not used: it hashes every record, which
for names of many labels takes seconds for one response that a stranger's zone may hold. Only what answers the
question is kept here, and no more than `MAX_RECORDS` are looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdatatype import RdataType

from estafeta.mail.value import value
from estafeta.net.dns import MxRecord, TlsaRecord

MAX_CHAIN = 16
"""CNAMEs followed for one question; resolvers of the field stop there too."""
MAX_RECORDS = 256
"""Records of one response that are looked at: above what the largest honest sets hold, some ten milliseconds' work."""

# The payload that passes every path without fragments (DNS flag day 2020).
_UDP_PAYLOAD = 1232
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_QUESTION = struct.Struct("!HH")
_OPTION = struct.Struct("!HH")
_POINTER = struct.Struct("!H")

# RFC 1035 §4.1.1, RFC 4035 §3.2
_QR, _OPCODE, _TC, _RD, _AD = 0x8000, 0x7800, 0x0200, 0x0100, 0x0020
# RFC 3225 §3: the flag DO, in what is the TTL of an OPT record.
_DO = 0x8000
_EXTENDED_ERROR = 15
# RFC 6698 §2.1: usage, selector and matching type.
_LEAST_TLSA = 3

# RFC 8914 §4, those that explain why mail cannot go.
# Not done of RFC 8914 §2: the text beside a code is not told, for a stranger may have written it.
_EXTENDED_ERRORS = {
    3: "stale answer",
    5: "DNSSEC indeterminate",
    6: "DNSSEC bogus",
    7: "signature expired",
    8: "signature not yet valid",
    9: "DNSKEY missing",
    10: "RRSIGs missing",
    12: "NSEC missing",
    15: "blocked",
    16: "censored",
    17: "filtered",
    18: "prohibited",
    20: "not authoritative",
    22: "no reachable authority",
    23: "network error",
}


class UnreadableResponse(ValueError):
    """A response to the question whose octets are not what they should be; the message says how."""


def records_of(rdtype: RdataType, found: Iterable[dns.rdata.Rdata]) -> tuple[Any, ...]:
    """The data of records of a type as the values of `estafeta.net.dns`, each once, in their order."""
    return tuple(dict.fromkeys(_VALUES[rdtype](each) for each in found))


def text_of(name: dns.name.Name) -> str:
    """A name as answers have it; octets that are no letters are escaped with a backslash."""
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()


def name_of(text: str) -> dns.name.Name | None:
    """The name that a text stands for; None when the DNS can hold no such name."""
    try:
        return dns.name.from_text(text.encode("ascii")) if text.isascii() and text not in ("", "@") else None
    except (dns.exception.DNSException, ValueError, struct.error):
        return None


def _tlsa(octets: bytes) -> TlsaRecord:
    return TlsaRecord(octets[0], octets[1], octets[2], octets[3:])


_VALUES: dict[RdataType, Callable[[Any], Any]] = {
    RdataType.MX: lambda data: MxRecord(data.preference, text_of(data.exchange)),
    RdataType.A: lambda data: data.address,
    RdataType.AAAA: lambda data: data.address,
    RdataType.TXT: lambda data: b"".join(data.strings).decode("utf-8", "replace"),
    RdataType.TLSA: lambda data: _tlsa(data.to_digestable()),
}


@value
class Question:
    """What is asked, in class IN, and the id that only the asked server knows."""

    id: int
    name: dns.name.Name
    rdtype: RdataType

    def encode(self, *, wants_ad: bool, with_edns: bool = True) -> bytes:
        """The question as octets, recursion desired; `wants_ad` asks whether the answer was validated."""
        # RFC 6840 §5.7: AD in a question asks for AD in the answer. DO asks for the same of older resolvers.
        flags = _RD | (_AD if wants_ad else 0)
        octets = _HEADER.pack(self.id, flags, 1, 0, 0, int(with_edns))
        octets += self.name.to_digestable() + _QUESTION.pack(self.rdtype, dns.rdataclass.IN)
        if with_edns:  # RFC 6891 §6.1.2
            octets += b"\0" + _RECORD.pack(RdataType.OPT, _UDP_PAYLOAD, _DO if wants_ad else 0, 0)
        return octets


@value
class Record:
    """One record of a response; `ttl` in seconds."""

    owner: dns.name.Name
    rdtype: RdataType
    ttl: int
    data: dns.rdata.Rdata


@value
class Response:
    """What a server said to a question."""

    rcode: dns.rcode.Rcode
    answers: tuple[Record, ...]
    """The records of the answer section that have the type asked for, or are CNAMEs."""
    soa: Record | None
    """The SOA of the authority section: of a negative answer (RFC 2308 §2)."""
    is_referral: bool
    """The server names others to ask instead of answering (RFC 2308 §2.1)."""
    is_truncated: bool
    is_authentic: bool
    """The flag AD as it came; whether to believe it is another question."""
    extended_error: str
    """RFC 8914, in words; empty without one."""
    size: int
    """Octets of the message."""

    @property
    def verdict(self) -> str:
        """The response code in words, for people."""
        text = dns.rcode.to_text(self.rcode)
        return f"{text} ({self.extended_error})" if self.extended_error else text


def read_response(octets: bytes, question: Question) -> Response | None:
    """Read a message; None when it is no response to this question, and may be anybody's.

    Raises UnreadableResponse.
    """
    if len(octets) < _HEADER.size:
        return None
    message_id, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(octets)
    if message_id != question.id or not flags & _QR or flags & _OPCODE:
        return None
    try:
        reader = _Reader(octets, question)
        if not reader.is_asked(questions, flags & 0xF):
            return None
        return reader.response(flags, (answers, authorities, additionals))
    except (struct.error, IndexError) as error:
        raise UnreadableResponse("it is cut off") from error
    except (dns.exception.DNSException, ValueError) as error:
        raise UnreadableResponse(str(error) or "its octets are not a message of the DNS") from error


# RFC 1035 §4.1.1: a server that fails may have forgotten the question.
_MAY_FORGET = (dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED)


class _Head(NamedTuple):
    """What stands before the data of a record, and where the data is."""

    owner: dns.name.Name
    rdtype: int
    rdclass: int
    ttl: int
    start: int
    length: int


class _Reader:
    """Walks through one message."""

    def __init__(self, octets: bytes, question: Question) -> None:
        self._octets = octets
        self._question = question
        self._at = _HEADER.size
        self._left = MAX_RECORDS
        self._pointed: dict[int, dns.name.Name] = {}

    def is_asked(self, questions: int, rcode: int) -> bool:
        """Read the question section; whether it holds the question, and no other."""
        if questions == 0:
            return rcode in _MAY_FORGET
        name = self._name()
        rdtype, rdclass = self._unpack(_QUESTION)
        asked = self._question
        return questions == 1 and (name, rdtype, rdclass) == (asked.name, asked.rdtype, dns.rdataclass.IN)

    def response(self, flags: int, counts: tuple[int, int, int]) -> Response:
        """Read the other sections; of a truncated message none, for the whole one is asked for."""
        is_truncated = bool(flags & _TC)
        rcode, extended_error = flags & 0xF, ""
        answers: list[Record] = []
        soa: Record | None = None
        has_ns = False
        in_answer, in_authority, in_additional = (0, 0, 0) if is_truncated else counts
        for head in self._heads(in_answer):
            if head.rdtype in (self._question.rdtype, RdataType.CNAME):
                answers.append(self._record(head))
        for head in self._heads(in_authority):
            has_ns = has_ns or head.rdtype == RdataType.NS
            if head.rdtype == RdataType.SOA:
                soa = self._record(head)
        for head in self._heads(in_additional):
            if head.rdtype == RdataType.OPT:
                rcode |= head.ttl >> 24 << 4  # RFC 6891 §6.1.3
                extended_error = _extended_error(self._octets[head.start : head.start + head.length])
        is_referral = rcode == dns.rcode.NOERROR and has_ns and soa is None and not answers  # RFC 2308 §2.2.1
        return Response(
            dns.rcode.Rcode(rcode),
            tuple(answers),
            soa,
            is_referral,
            is_truncated,
            bool(flags & _AD),
            extended_error,
            len(self._octets),
        )

    def _heads(self, count: int) -> Iterator[_Head]:
        for _ in range(count):
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has more than {MAX_RECORDS} records")
            owner = self._name()
            rdtype, rdclass, ttl, length = self._unpack(_RECORD)
            start, self._at = self._at, self._at + length
            if self._at > len(self._octets):
                raise ValueError("a record is cut off")
            yield _Head(owner, rdtype, rdclass, ttl, start, length)

    def _record(self, head: _Head) -> Record:
        if head.rdclass != dns.rdataclass.IN:
            raise ValueError("a record is of another class")
        rdtype = RdataType(head.rdtype)
        if rdtype == RdataType.TLSA:  # dnspython refuses data of a wrong length, and with it the records beside it
            if head.length < _LEAST_TLSA:
                raise ValueError("a TLSA record is too short")
            raw = dns.rdata.GenericRdata(dns.rdataclass.IN, rdtype, self._octets[head.start : head.start + head.length])
            return Record(head.owner, rdtype, head.ttl, raw)
        data = dns.rdata.from_wire(dns.rdataclass.IN, rdtype, self._octets, head.start, head.length)
        return Record(head.owner, rdtype, head.ttl, data)

    def _unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        start, self._at = self._at, self._at + layout.size
        return layout.unpack_from(self._octets, start)

    def _name(self) -> dns.name.Name:
        """Read a name; one that is nothing but a pointer, as most owners are, is read once."""
        start = self._at
        if self._octets[start] < 0xC0:  # RFC 1035 §4.1.4
            name, used = dns.name.from_wire(self._octets, start)
            self._at += used
            return name
        (pointer,) = self._unpack(_POINTER)
        if pointer not in self._pointed:
            self._pointed[pointer], _ = dns.name.from_wire(self._octets, start)
        return self._pointed[pointer]


def _extended_error(options: bytes) -> str:
    """The extended error among the options of an OPT record, in words."""
    at = 0
    while at + _OPTION.size <= len(options):
        code, size = _OPTION.unpack_from(options, at)
        at += _OPTION.size
        if code == _EXTENDED_ERROR and size >= 2 and at + size <= len(options):
            number = int.from_bytes(options[at : at + 2], "big")
            return _EXTENDED_ERRORS.get(number, f"extended error {number}")
        at += size
    return ""
