"""Addresses: what RFC 5321 §4.1.2 and RFC 6531 allow, judged by outside lists too."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.address import Address, AddressError, parse_domain, parse_local_part


@pytest.mark.rfc("5321 §4.1.2", "Dot-strings, quoted strings and domains are read.")
@pytest.mark.rfc("5321 §4.1.3", "Literals of IPv4, IPv6 and other kinds are read.")
@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        ("ana@example.org", "ana", "example.org"),
        ("Ana.B+tag@EXAMPLE.org", "Ana.B+tag", "example.org"),
        ('"ana b"@example.org', "ana b", "example.org"),
        (r'"a\"b\\c"@example.org', r'a"b\c', "example.org"),
        ('"ana"@example.org', "ana", "example.org"),
        ('"a@b"@example.org', "a@b", "example.org"),
        ("ana@[192.0.2.1]", "ana", "[192.0.2.1]"),
        ("ana@[IPv6:2001:DB8::0001]", "ana", "[IPv6:2001:db8::1]"),
        ("ana@[x-tag:anything]", "ana", "[x-tag:anything]"),
        ("josé@españa.example", "josé", "xn--espaa-rta.example"),
        ("ana@example.org.", "ana", "example.org"),
        ("ana@example.org\u3002", "ana", "example.org"),
        ("!#$%&'*+-/=?^_`{|}~@example.org", "!#$%&'*+-/=?^_`{|}~", "example.org"),
    ],
)
def test_an_address_is_read(text: str, local_part: str, domain: str) -> None:
    assert Address.parse(text) == Address(local_part, domain)


@pytest.mark.rfc("5321 §4.5.3.1.2", "A domain of more than 255 octets is refused.")
@pytest.mark.rfc("5321 §4.1.2", "What the grammar does not have is refused.")
@pytest.mark.rfc("5321 §4.5.3.1.1", "A local-part of 256 octets is refused.")
@pytest.mark.rfc("1035 §2.3.4", "A label of 64 octets is refused.")
@pytest.mark.parametrize(
    "text",
    [
        "ana", "@example.org", "ana@", "ana@@example.org", "a b@example.org", ".ana@example.org",
        "ana.@example.org",
        "a..b@example.org", '"ana@example.org', 'an"a@example.org', "ana@example..org", "ana@-example.org",
        "ana@example-.org", "ana@[192.0.2.256]", "ana@[IPv6:zz]", "ana@[192.0.2.1", "ana@exa mple.org",
        "ana\r\n@example.org", "ana@example.org\r\n", '"a\r\nb"@example.org', "ana@" + "a" * 64 + ".org",
        "a" * 256 + "@example.org", "ana@" + "a." * 130 + "org",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        Address.parse(text)


@pytest.mark.rfc("5321 §4.1.2", "What is read is written so that it is read again.")
@given(st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", codec="utf-8"), max_size=30))
def test_what_is_read_is_written_so_that_it_is_read_again(text: str) -> None:
    try:
        address = Address.parse(f"{text}@example.org")
    except AddressError:
        return
    assert Address.parse(str(address)) == address
    assert "\r" not in str(address) and "\n" not in str(address)


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def judged(read: object, texts: list[str]) -> set[str]:
    """Those of the texts that are read."""
    assert callable(read)
    passed = set()
    for text in texts:
        try:
            read(text)
        except AddressError:
            continue
        passed.add(text)
    return passed


def test_the_outside_list_of_local_parts_is_judged_the_same(suites: Path) -> None:
    valid = lines(suites / "address/abridged_localpart_valid.txt")
    invalid = lines(suites / "address/abridged_localpart_invalid.txt")
    assert set(valid) - judged(parse_local_part, valid) == set()
    assert judged(parse_local_part, invalid) == set()


# The list judges more than the path grammar of RFC 5321 §4.1.2 does; these are right by it.
READ_ALL_THE_SAME = {
    "gatsby@f.sc.ot.t.f.i.tzg.era.l.d.": "a root dot; how many labels a name may have is for the DNS to say",
    "test@example.": "a name of one label with its root dot",
    "a@bar.com.": "a root dot, as the world writes it now and then",
    "test@xn--example.com": "letters, digits and hyphens; that no name encodes to it is for the DNS to say",
}


@pytest.mark.rfc("5321 §4.1.2", "An outside list of addresses is judged the same.")
def test_the_outside_list_of_mailboxes_is_judged_the_same(suites: Path) -> None:
    # Display names and comments are header grammar (RFC 5322 §3.4), no paths.
    valid = [text for text in lines(suites / "address/mailbox_valid.txt") if not set(text) & set("<(")]
    invalid = lines(suites / "address/mailbox_invalid.txt")
    assert len(valid) > 100
    assert set(valid) - judged(Address.parse, valid) == set()
    assert judged(Address.parse, invalid) == set(READ_ALL_THE_SAME)


def test_domains_of_the_outside_list_are_read(suites: Path) -> None:
    names = [line.split(",")[1].strip() for line in lines(suites / "address/domain_typos_valid.txt") if "," in line]
    assert set(names) - judged(parse_domain, names) == set()
