"""TLSA records against chains that are made for the purpose."""

from __future__ import annotations

import hashlib
import random

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.net.certificates import NOW, Certified, certify, rsa_key

from estafeta.net.chains import MAX_CHAIN
from estafeta.net.dane import check_tlsa, is_usable, usable
from estafeta.net.dns import TlsaRecord
from estafeta.net.tls import CertificateFault, CertificateRefused

MX = "mx.example.org"
NAMES = (MX, "example.org")


def record(text: str, one: Certified) -> TlsaRecord:
    """`record("3 1 1", certified)`: the record that matches it."""
    usage, selector, matching = map(int, text.split())
    octets = one.spki if selector else one.der
    digest = {0: octets, 1: hashlib.sha256(octets).digest(), 2: hashlib.sha512(octets).digest()}[matching]
    return TlsaRecord(usage, selector, matching, digest)


def check(records: list[TlsaRecord], *chain: Certified, names: tuple[str, ...] = NAMES) -> str:
    return check_tlsa(records, [one.der for one in chain], names, NOW)


def refusal(records: list[TlsaRecord], *chain: Certified, names: tuple[str, ...] = NAMES) -> CertificateRefused:
    with pytest.raises(CertificateRefused) as refused:
        check(records, *chain, names=names)
    return refused.value


@pytest.fixture(scope="module")
def root() -> Certified:
    return certify("root", is_authority=True, signs=True)


@pytest.fixture(scope="module")
def middle(root: Certified) -> Certified:
    return certify("middle", root, is_authority=True, path_length=0, signs=True)


@pytest.fixture(scope="module")
def leaf(middle: Certified) -> Certified:
    return certify("leaf", middle, names=(MX,), usages=(ExtendedKeyUsageOID.SERVER_AUTH,))


EE = [f"3 {selector} {matching}" for selector in (0, 1) for matching in (0, 1, 2)]
TA = [f"2 {selector} {matching}" for selector in (0, 1) for matching in (0, 1, 2)]


@pytest.mark.parametrize("text", EE)
def test_dane_ee_knows_the_leaf(text: str, leaf: Certified, middle: Certified) -> None:
    assert check([record(text, leaf)], leaf, middle) == f"DANE-EE {text}"
    other = certify("other", middle, names=(MX,))
    assert refusal([record(text, leaf)], other, middle).fault is CertificateFault.TLSA
    # An authority's record is none for the leaf.
    assert refusal([record(text, middle)], leaf, middle).fault is CertificateFault.TLSA


@pytest.mark.rfc("7672 §3.1.1", "DANE-EE asks neither for the name nor for the dates.")
def test_dane_ee_asks_neither_for_the_name_nor_for_the_dates() -> None:
    expired = certify("somebody", names=("elsewhere.example",), days=(-800, -400))
    assert check([record("3 1 1", expired)], expired) == "DANE-EE 3 1 1"
    old = certify("version 1 looks", is_authority=None, key=rsa_key(), days=(5, 6))
    assert check([record("3 1 2", old)], old) == "DANE-EE 3 1 2"


@pytest.mark.parametrize("text", TA)
def test_dane_ta_knows_the_authority(text: str, leaf: Certified, middle: Certified, root: Certified) -> None:
    for anchor in (middle, root):
        assert check([record(text, anchor)], leaf, middle, root) == f"DANE-TA {text} for {MX}"
    stranger = certify("stranger", is_authority=True, signs=True)
    assert refusal([record(text, stranger)], leaf, middle, root).fault is CertificateFault.TLSA
    # The leaf itself is no anchor (RFC 7671 §5.2).
    assert refusal([record(text, leaf)], leaf, middle, root).fault is CertificateFault.TLSA


@pytest.mark.rfc("7671 §5.2.2", "An anchor has to be shown, unless the record is the anchor itself.")
def test_an_anchor_has_to_be_shown_unless_the_record_is_the_anchor(
    leaf: Certified, middle: Certified, root: Certified
) -> None:
    assert refusal([record("2 0 1", root)], leaf, middle).fault is CertificateFault.TLSA
    assert check([record("2 0 0", root)], leaf, middle) == f"DANE-TA 2 0 0 for {MX}"
    assert check([record("2 1 0", root)], leaf, middle) == f"DANE-TA 2 1 0 for {MX}"
    assert refusal([record("2 1 0", root)], leaf).fault is CertificateFault.TLSA
    by_rsa = certify("rsa", is_authority=True, signs=True, key=rsa_key())
    below = certify("below", by_rsa, names=(MX,))
    assert check([record("2 1 0", by_rsa)], below) == f"DANE-TA 2 1 0 for {MX}"


def test_the_order_of_a_chain_and_strangers_in_it_do_not_matter(
    leaf: Certified, middle: Certified, root: Certified
) -> None:
    stranger = certify("stranger", is_authority=True)
    assert check([record("2 0 1", root)], leaf, root, stranger, middle) == f"DANE-TA 2 0 1 for {MX}"


def test_an_authority_with_two_certificates_is_followed_both_ways(middle: Certified, root: Certified) -> None:
    other = certify("other root", is_authority=True, signs=True)
    crossed = certify("", other, is_authority=True, key=middle.key, subject=middle.certificate.subject)
    leaf = certify("leaf", middle, names=(MX,))
    for anchor in (root, other):
        assert check([record("2 0 1", anchor)], leaf, crossed, middle, root, other).startswith("DANE-TA 2 0 1")


def test_a_signature_that_does_not_hold_makes_no_chain(root: Certified) -> None:
    # The right name, the wrong key.
    forged = certify("", is_authority=True, subject=root.certificate.subject)
    leaf = certify("leaf", forged, names=(MX,))
    assert refusal([record("2 0 1", root)], leaf, root).fault is CertificateFault.TLSA
    assert refusal([record("2 1 0", root)], leaf, root).fault is CertificateFault.TLSA


@pytest.mark.rfc("7672 §3.2.2", "Below an anchor the name counts.")
def test_below_an_anchor_the_name_counts(middle: Certified) -> None:
    anchor = [record("2 1 1", middle)]
    for names in [(MX,), ("example.org",), ("*.example.org",), ("other.example", MX), ("MX.Example.ORG",)]:
        assert check(anchor, certify("x", middle, names=names), middle)
    for names in [("other.example",), ("*.mx.example.org",), ("*.org",), ("m*.example.org",), ("192.0.2.1",)]:
        wrong = certify("x", middle, names=names)
        assert refusal(anchor, wrong, middle, names=(MX,)).fault is CertificateFault.NAME, names
    # RFC 7672 §3.2.3 takes the common name only where there are no DNS names.
    assert check(anchor, certify(MX, middle), middle) == f"DANE-TA 2 1 1 for {MX}"
    refused = refusal(anchor, certify(MX, middle, names=("other.example",)), middle)
    assert str(refused) == ("certificate not accepted: it is for other.example, not for mx.example.org or example.org")


def test_below_an_anchor_the_dates_count_in_the_whole_chain(root: Certified) -> None:
    anchor = [record("2 0 1", root)]
    expired = certify("leaf", root, names=(MX,), days=(-90, -1))
    assert refusal(anchor, expired, root).fault is CertificateFault.EXPIRED
    early = certify("leaf", root, names=(MX,), days=(1, 90))
    assert refusal(anchor, early, root).fault is CertificateFault.EXPIRED
    middle = certify("middle", root, is_authority=True, days=(-90, -1))
    refused = refusal(anchor, certify("leaf", middle, names=(MX,)), middle, root)
    assert refused.fault is CertificateFault.EXPIRED and "expired on 2026-05-31" in str(refused)


@pytest.mark.rfc("5280 §6.1.4", "Only authorities sign, and only as deep as they may.")
def test_only_authorities_sign_and_only_as_deep_as_they_may(root: Certified) -> None:
    anchor = [record("2 0 1", root)]
    for middle in (
        certify("middle", root, is_authority=False),
        certify("middle", root, is_authority=None),
        certify("middle", root, is_authority=True, signs=False),
        certify("middle", root, is_authority=True, unknown=True),
    ):
        refused = refusal(anchor, certify("leaf", middle, names=(MX,)), middle, root)
        assert refused.fault is CertificateFault.UNTRUSTED
    upper = certify("upper", root, is_authority=True, path_length=0)
    lower = certify("lower", upper, is_authority=True)
    refused = refusal(anchor, certify("leaf", lower, names=(MX,)), lower, upper, root)
    assert "longer than an authority allows" in str(refused)
    # An anchor of before these extensions is trusted all the same.
    bare = certify("bare", is_authority=None)
    assert check([record("2 0 1", bare)], certify("leaf", bare, names=(MX,)), bare)


def test_a_leaf_for_clients_only_and_a_leaf_not_understood_are_refused(root: Certified) -> None:
    anchor = [record("2 0 1", root)]
    client = certify("leaf", root, names=(MX,), usages=(ExtendedKeyUsageOID.CLIENT_AUTH,))
    assert "not for servers" in str(refusal(anchor, client, root))
    strange = certify("leaf", root, names=(MX,), unknown=True)
    assert "1.3.6.1.4.1.32473.1 is unknown" in str(refusal(anchor, strange, root))


@pytest.mark.rfc("5280 §4.2.1.10", "An authority speaks only for the names it may.")
@pytest.mark.parametrize(
    ("permitted", "excluded", "holds"),
    [
        (("example.org",), (), True),
        (("mx.example.org",), (), True),
        (("example.net", "org"), (), True),
        (("example.net",), (), False),
        (("ample.org",), (), False),
        ((), ("example.net",), True),
        ((), ("example.org",), False),
        (("example.org",), ("mx.example.org",), False),
    ],
)
def test_an_authority_speaks_only_for_the_names_it_may(
    permitted: tuple[str, ...], excluded: tuple[str, ...], holds: bool, root: Certified
) -> None:
    middle = certify("middle", root, is_authority=True, permitted=permitted, excluded=excluded)
    leaf = certify("leaf", middle, names=(MX,))
    anchor = [record("2 0 1", root)]
    if holds:
        assert check(anchor, leaf, middle, root)
    else:
        assert "may not speak for mx.example.org" in str(refusal(anchor, leaf, middle, root))
    # The common name does not get round it.
    assert refusal(anchor, certify(MX, middle), middle, root).fault is CertificateFault.UNTRUSTED


UNUSABLE = [
    TlsaRecord(0, 0, 1, bytes(32)),
    TlsaRecord(1, 1, 1, bytes(32)),
    TlsaRecord(4, 1, 1, bytes(32)),
    TlsaRecord(255, 1, 1, bytes(32)),
    TlsaRecord(3, 2, 1, bytes(32)),
    TlsaRecord(3, 1, 3, bytes(32)),
    TlsaRecord(3, 1, 1, bytes(31)),
    TlsaRecord(3, 1, 2, bytes(32)),
    TlsaRecord(3, 1, 1, b""),
    TlsaRecord(2, 0, 0, b"not a certificate"),
    TlsaRecord(3, 1, 0, b"not a key"),
]


@pytest.mark.parametrize("unusable", UNUSABLE, ids=str)
def test_an_unusable_record_says_nothing(unusable: TlsaRecord, leaf: Certified, middle: Certified) -> None:
    assert not is_usable(unusable)
    assert usable([unusable]) == ()
    assert check([unusable, record("3 1 1", leaf)], leaf, middle) == "DANE-EE 3 1 1"


@pytest.mark.rfc("7672 §3.1.3", "The usages PKIX-TA and PKIX-EE do not count.")
def test_pkix_usages_that_would_match_do_not_count(leaf: Certified, middle: Certified) -> None:
    for text in ("1 1 1", "0 0 1"):
        assert refusal([record(text, leaf), record(text, middle)], leaf, middle).fault is CertificateFault.TLSA


@pytest.mark.rfc("7671 §9", "Of two digests the stronger counts.")
def test_of_two_digests_the_stronger_counts(leaf: Certified, middle: Certified) -> None:
    # RFC 7671 §9: the weaker one would be the way in once it is broken.
    wrong = TlsaRecord(3, 1, 2, bytes(64))
    assert refusal([record("3 1 1", leaf), wrong], leaf).fault is CertificateFault.TLSA
    assert check([record("3 0 1", leaf), wrong], leaf) == "DANE-EE 3 0 1"
    assert check([record("3 1 0", leaf), wrong], leaf) == "DANE-EE 3 1 0"


def test_no_certificate_is_no_match(leaf: Certified) -> None:
    assert refusal([record("3 1 1", leaf)]).fault is CertificateFault.TLSA


def test_a_chain_without_end_is_cut(root: Certified) -> None:
    shared = certify("loop", is_authority=True)
    mirrors = [
        certify("loop", shared, is_authority=True, key=shared.key, subject=shared.certificate.subject)
        for _ in range(40)
    ]
    leaf = certify("leaf", shared, names=(MX,))
    assert refusal([record("2 0 1", root)], leaf, *mirrors).fault is CertificateFault.TLSA
    chain = [*(certify(str(number), is_authority=True) for number in range(MAX_CHAIN)), root]
    below = certify("leaf", root, names=(MX,))
    assert refusal([record("2 0 1", root)], below, *chain).fault is CertificateFault.TLSA


def test_damaged_certificates_are_refused_and_nothing_else_happens(
    leaf: Certified, middle: Certified, root: Certified
) -> None:
    chance = random.Random(7)
    records = [record("3 1 1", root), record("2 1 1", root), record("2 0 0", root)]
    refused = 0
    for _ in range(300):
        octets = bytearray(leaf.der)
        for _ in range(chance.randrange(1, 4)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        damaged = bytes(octets[: chance.choice((len(octets), chance.randrange(len(octets))))])
        chain = chance.choice(([damaged, middle.der, root.der], [leaf.der, damaged, root.der], [damaged]))
        try:
            check_tlsa(records, chain, NAMES, NOW)
        except CertificateRefused:
            refused += 1
    assert refused > 250
