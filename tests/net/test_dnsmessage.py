"""Questions and responses as octets: whatever comes, it is read, is not ours, or is told to be unreadable."""

from __future__ import annotations

import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from dns.rdatatype import RdataType
from hypothesis import example, given
from hypothesis import strategies as st

from estafeta.net.dns import TlsaRecord
from estafeta.net.dnsmessage import MAX_RECORDS, Question, Response, UnreadableResponse, read_response, records_of

NAME = dns.name.from_text("example.org.")
MX = Question(4711, NAME, RdataType.MX)
TLSA = Question(4711, NAME, RdataType.TLSA)


def head(question: Question, *counts: int) -> bytes:
    """A response up to the question, with so many answers, authorities and additional records to follow."""
    octets = struct.pack("!HHHHHH", question.id, 0x8180, 1, *counts)
    return octets + question.name.to_digestable() + struct.pack("!HH", question.rdtype, 1)


HEAD = head(MX, 1, 0, 0)
TLSA_HEAD = head(TLSA, 1, 0, 0)


def response(*records: str, question: Question = MX) -> dns.message.Message:
    query = dns.message.from_wire(question.encode(wants_ad=True))
    message = dns.message.make_response(query)
    for text in records:
        owner, ttl, rdtype, data = text.split(maxsplit=3)
        message.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", rdtype, data))
    return message


def read(message: dns.message.Message, question: Question = MX) -> Response:
    found = read_response(message.to_wire(max_size=65535), question)
    assert found is not None
    return found


@pytest.mark.rfc("3225 §3", "The flag DO is set where it is asked for.")
@pytest.mark.rfc("6840 §5.7", "AD is set in questions.")
@pytest.mark.rfc("6891 §6.1.2", "A question says how large an answer may be.")
@pytest.mark.parametrize("wants_ad", [False, True])
def test_a_question_is_what_others_read(wants_ad: bool) -> None:
    message = dns.message.from_wire(MX.encode(wants_ad=wants_ad))
    assert message.id == 4711 and message.flags & dns.flags.RD
    assert [each.to_text() for each in message.question] == ["example.org. IN MX"]
    assert (message.edns, message.payload) == (0, 1232)
    assert (bool(message.flags & dns.flags.AD), bool(message.ednsflags & dns.flags.DO)) == (wants_ad, wants_ad)
    assert dns.message.from_wire(MX.encode(wants_ad=wants_ad, with_edns=False)).edns == -1


def test_signatures_and_strange_records_in_an_answer_are_passed_over() -> None:
    signature = "MX 8 2 300 20300101000000 20200101000000 1 example.org. AAAA"
    records = ("example.org. 300 MX 10 mx.example.org.", f"example.org. 300 RRSIG {signature}", "a.b. 1 A 192.0.2.1")
    assert [each.rdtype for each in read(response(*records)).answers] == [RdataType.MX]


@pytest.mark.rfc("6891 §6.1.3", "A response code above 15 is read from the OPT record.")
def test_a_response_code_above_fifteen_is_read_from_the_opt_record() -> None:
    message = response()
    message.use_edns(0)
    message.set_rcode(dns.rcode.BADVERS)
    assert read(message).verdict == "BADVERS"


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, "x"), "DNSSEC bogus"),
        (dns.edns.EDEOption(dns.edns.EDECode(4000)), "extended error 4000"),
        (dns.edns.GenericOption("EDE", b"\0"), ""),
        (dns.edns.GenericOption("COOKIE", b"12345678"), ""),
    ],
)
def test_an_extended_error_is_told(option: dns.edns.Option, told: str) -> None:
    message = response()
    message.use_edns(0, options=[dns.edns.GenericOption("NSID", b"before"), option])
    assert read(message).extended_error == told


@pytest.mark.rfc("6698 §2.1", "TLSA records are taken as they are, beside one of a wrong length too.")
def test_tlsa_records_are_taken_as_they_are_also_beside_one_of_a_wrong_length() -> None:
    octets = response(f"example.org. 300 TLSA 3 1 1 {'ab' * 32}", question=TLSA).to_wire()
    odd = b"\xc0\x0c" + struct.pack("!HHIH", RdataType.TLSA, 1, 300, 5) + b"\2\0\1\xaa\xbb"
    at = len(octets) - 11  # before the OPT record
    octets = octets[:6] + struct.pack("!H", 2) + octets[8:at] + odd + octets[at:]
    found = read_response(octets, TLSA)
    assert found is not None
    values = records_of(RdataType.TLSA, (each.data for each in found.answers))
    assert values == (TlsaRecord(3, 1, 1, b"\xab" * 32), TlsaRecord(2, 0, 1, b"\xaa\xbb"))


def test_more_records_than_any_honest_set_has_are_not_looked_at() -> None:
    def owners(count: int) -> dns.message.Message:
        return response(*(f"example.org. 300 TXT {n}" for n in range(count)))

    assert read(owners(MAX_RECORDS - 1)).answers == ()  # the OPT record is one
    with pytest.raises(UnreadableResponse, match="records"):
        read(owners(MAX_RECORDS))


@pytest.mark.rfc("1035 §4.1.1", "A server that fails may leave the question out.")
def test_a_failing_server_may_forget_the_question() -> None:
    message = response()
    message.set_rcode(dns.rcode.SERVFAIL)
    message.question = []
    assert read(message).rcode == dns.rcode.SERVFAIL
    message.set_rcode(dns.rcode.NOERROR)
    assert read_response(message.to_wire(), MX) is None


def mx(data: bytes, *, size: int | None = None, rdclass: int = 1, owner: bytes = b"\xc0\x0c") -> bytes:
    """The octets of an MX record, the size of its data as told."""
    return owner + struct.pack("!HHIH", RdataType.MX, rdclass, 300, len(data) if size is None else size) + data


@pytest.mark.parametrize(
    "octets",
    [
        HEAD + mx(b"\0\1\0", size=400),
        HEAD + mx(b"\0\1\0\0"),
        HEAD + mx(b"\0\1"),
        HEAD + mx(b"\0\1\0", rdclass=3),
        HEAD + mx(b"\0\1\0", owner=b"\xff\xff"),
        HEAD + mx(b"\0\1\0", owner=struct.pack("!H", 0xC000 + len(HEAD))),
        HEAD + mx(b"\0\1\0", owner=b"\x80"),
        HEAD + b"\xc0",
        HEAD + b"\xc0\x0c" + struct.pack("!HHIH", RdataType.TXT, 1, 300, 9) + b"\1x",
        head(MX, 1, 1, 0) + mx(b"\0\1\0"),
        TLSA_HEAD + b"\xc0\x0c" + struct.pack("!HHIH", RdataType.TLSA, 1, 300, 2) + b"\0\1",
    ],
)
def test_records_that_are_broken_or_missing_are_told(octets: bytes) -> None:
    whole = read_response(HEAD + mx(b"\0\1\0"), MX)
    assert whole is not None and len(whole.answers) == 1
    with pytest.raises(UnreadableResponse):
        read_response(octets, TLSA if octets.startswith(TLSA_HEAD) else MX)


@pytest.mark.rfc("1035 §4", "Whatever follows the question is read, or told to be unreadable.")
@given(st.binary(max_size=200))
@example(b"\xc0\x1d")
def test_whatever_follows_the_question_is_read_or_told_to_be_unreadable(tail: bytes) -> None:
    try:
        found = read_response(head(MX, 1, 1, 1) + tail, MX)
    except UnreadableResponse as error:
        assert str(error)
    else:
        assert isinstance(found, Response)


@pytest.mark.rfc("1035 §4.1.1", "What has not the id of the question is no response.")
@given(st.binary(max_size=100))
def test_octets_of_anybody_are_no_response(octets: bytes) -> None:
    if octets[:2] != HEAD[:2]:
        assert read_response(octets, MX) is None


@given(st.data())
def test_a_response_with_octets_changed_never_breaks_the_reader(data: st.DataObject) -> None:
    octets = bytearray(
        response("example.org. 300 CNAME www.example.org.", "www.example.org. 60 MX 10 mx.example.org.").to_wire()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_response(bytes(octets), MX)
    except UnreadableResponse as error:
        assert str(error)
