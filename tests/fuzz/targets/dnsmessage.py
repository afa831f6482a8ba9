"""Whatever a name server or a stranger in its name sends: it is no response to the question, is refused with
UnreadableResponse, or holds at most 256 records, each of a type that was asked for, whose values can be read."""

from __future__ import annotations

from dns.rdatatype import RdataType
from tests.fuzz.inputs import Input

from estafeta.net.dnsmessage import (
    MAX_RECORDS,
    Question,
    UnreadableResponse,
    name_of,
    read_response,
    records_of,
    text_of,
)

TYPES = (RdataType.A, RdataType.MX, RdataType.TXT, RdataType.AAAA, RdataType.TLSA)
ID = 0x1234


def question(given: Input) -> Question:
    """The type by the cut."""
    name = name_of("mail.example.org")
    assert name is not None
    return Question(ID, name, TYPES[given.cut % len(TYPES)])


def run(octets: bytes) -> None:
    """One input: the message, or what follows its header and question."""
    given = Input.of(octets)
    asked = question(given)
    message = given.octets
    if given.has(0):  # as a response begins, so that the fuzzer need not find it
        counts = given.octets[:3].ljust(3, b"\0")
        head = ID.to_bytes(2, "big") + b"\x81\x80\0\1" + b"".join(bytes((0, count)) for count in counts)
        message = head + asked.encode(wants_ad=False, with_edns=False)[12:] + given.octets[3:]
    try:
        response = read_response(message, asked)
    except UnreadableResponse as error:
        assert str(error)
        return
    if response is None:
        return
    assert len(response.answers) <= MAX_RECORDS and response.size == len(message)
    assert isinstance(response.verdict, str)
    for record in response.answers:
        assert record.rdtype in (asked.rdtype, RdataType.CNAME)
        assert text_of(record.owner).isascii()
    found = [record.data for record in response.answers if record.rdtype == asked.rdtype]
    assert len(records_of(asked.rdtype, found)) <= len(found)
