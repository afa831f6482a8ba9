"""Whatever stands where an address is expected: it is refused with AddressError, or is written so that it is read
again as the same, comes back from a forwarder (SRS), and leaves its place in no field, path or command."""

from __future__ import annotations

from tests.fuzz.inputs import Input

from estafeta.agents.outbound.gateways.placeholders import UnfitAddress, expand_command, expand_path
from estafeta.mail.address import Address, AddressError, ReversePath, parse_domain
from estafeta.mail.header import fields
from estafeta.mail.lists import Listed, is_from_list, list_fields
from estafeta.mail.trace import Hop, return_path
from estafeta.mail.xtext import from_unitext, from_xtext, to_unitext, to_xtext
from estafeta.routing.srs import Srs, SrsFault, is_rewritten

TEXT, DOMAIN = range(2)
"""Flags: xtext and unitext; a domain alone."""
NOW = 1_800_000_000.0
SRS = Srs(b"secret")


def check_domain(text: str) -> None:
    """A domain, or the literal of an address."""
    try:
        domain = parse_domain(text)
    except AddressError as error:
        assert str(error).isprintable()
        return
    assert parse_domain(domain) == domain, (text, domain)
    assert parse_domain(domain.upper()).lower() == domain.lower()
    assert domain.isascii() and domain.isprintable() and " " not in domain and len(domain) <= 255
    assert domain.startswith("[") or not set(domain) & set("<>@[]:"), domain


def check_text(text: str) -> None:
    """What parameters carry."""
    assert from_xtext(to_xtext(text)) == text
    if text:
        assert from_unitext(to_unitext(text, utf8=False)) == text == from_unitext(to_unitext(text, utf8=True))
    for read in (from_xtext, from_unitext):
        try:
            said = read(text)
        except ValueError:
            continue
        assert said.encode("utf-8", "strict") is not None


def check_forwarded(address: Address) -> None:
    """On its way through a forwarder, and back."""
    made = SRS.forward(ReversePath(address), "forwarder.example", NOW).address
    assert made is not None
    if made != address:
        # One that another forwarder wrote leads straight back to the first of them.
        assert is_rewritten(made) and (SRS.back(made, NOW) == address or address.local_part.startswith("SRS1"))
        assert Address.parse(str(made)) == made
        upper = Address(made.local_part.encode().swapcase().decode(), made.domain)
        again = SRS.back(upper, NOW)
        assert str(again).lower() == str(SRS.back(made, NOW)).lower(), (upper, again)
        assert SRS.back(made, NOW + 40 * 86_400) == SrsFault.EXPIRED or made.local_part.startswith("SRS1")
        twice = SRS.forward(ReversePath(made), "second.example", NOW).address
        assert twice is not None
        if twice != made:  # one that is rewritten already leads straight to the first forwarder
            assert SRS.back(twice, NOW) == (made if made.local_part.startswith("SRS0") else SRS.back(made, NOW))
    assert isinstance(SRS.back(address, NOW), SrsFault)  # nobody guesses a hash


def check_places(address: Address) -> None:
    """In fields of a header, in a path and in a command."""
    put = list_fields(Listed(address, address))
    assert put.isascii() and len(fields(put + b"\r\n")) == put.count(b"\r\n") == 5
    assert is_from_list(put + b"\r\n", Listed(address, address))
    assert not is_from_list(put + b"\r\n", Listed(Address("another", "example.org"), address)) or (
        str(address).lower() == "another@example.org"
    )
    path = return_path(ReversePath(address))
    hop = Hop.of(hello="x", peer_ip="::1", tls=None, host="mx", word="SMTP")
    trace = hop.received("1", str(address), 0)
    assert len(fields(path + trace + b"\r\n")) == 2 and len((path + trace).decode().splitlines()) == 4
    try:
        expanded = expand_path("/srv/{domain}/{user}/{local}/{address}", address, "+")
    except UnfitAddress:
        pass
    else:
        assert expanded.count("/") == 5 and "\0" not in expanded
        assert not {"", ".", ".."} & set(expanded[1:].split("/")), expanded
    try:
        (argument,) = expand_command(["{user}"], {}, [{"user": address.local_part}])
    except UnfitAddress:
        assert address.local_part.startswith("-")
    else:
        assert not argument.startswith("-") and (argument.isprintable() or not argument.isascii())


def run(octets: bytes) -> None:
    """One input."""
    given = Input.of(octets)
    text = given.octets.decode("utf-8", "replace")
    if given.has(TEXT):
        check_text(text)
    elif given.has(DOMAIN):
        check_domain(text)
    else:
        try:
            address = Address.parse(text)
        except AddressError as error:
            assert str(error).isprintable()
            return
        assert Address.parse(str(address)) == address
        check_domain(address.domain)
        check_forwarded(address)
        check_places(address)
