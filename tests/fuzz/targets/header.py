"""Whatever stands in a header section, and whatever a client calls itself: its facts are found without an error, depend
on nothing behind it, and the Received field that says so has no line but its own."""

from __future__ import annotations

from tests.fuzz.inputs import Input

from estafeta.mail.header import authors, field, fields, header_facts, header_size
from estafeta.mail.reply import Reply
from estafeta.mail.trace import Hop
from estafeta.wire.smtp.grammar import Fault, hello_name


def check_header(content: bytes) -> None:
    """All that is asked of a header section."""
    facts = header_facts(content)
    assert facts.size == header_size(content) <= len(content)
    assert facts.hops <= content.lower().count(b"received")
    if facts.message_id is not None:
        assert facts.message_id[0] == "<" and facts.message_id[-1] == ">" and not set(facts.message_id) & set("\r\n")
    if content[: facts.size].endswith(b"\r\n\r\n"):
        assert header_facts(content[: facts.size] + b"Received: x\r\nDate: x\r\n\r\n") == facts
    found = fields(content)
    for each in found:
        assert each.name.isascii() and ":" not in each.name
        assert each.text is not None
    assert field(content, "From") in (None, *found)
    assert all(author == author.lower() for author in authors(content))


def check_trace(name: bytes) -> None:
    """A Received field with what the client said in it."""
    try:
        hello = hello_name(name)
    except Fault as fault:
        assert isinstance(fault.reply, Reply)
        hello = name.decode("utf-8", "replace")  # as it might come by another way
    hop = Hop.of(
        hello=hello,
        peer_ip="192.0.2.1",
        tls="TLSv1.3 " + name.decode("utf-8", "replace"),
        host="mx.example.org",
        word="ESMTP",
    )
    octets = hop.received("0123456789abc", None, 0)
    lines = octets.split(b"\r\n")
    assert len(lines) == 3 and lines[1].startswith(b"\tby ") and lines[2] == b""
    text = octets.decode("utf-8")
    assert text.count("(") == text.count(")") == 2
    assert len(text.splitlines()) == 2, ascii(text)


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    check_header(given.octets)
    check_trace(given.octets)
