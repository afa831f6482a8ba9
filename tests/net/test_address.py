"""Addresses of the ends of a connection."""

from __future__ import annotations

import pytest

from estafeta.net.address import NOWHERE, PeerAddress, client_network, peer_address


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_one_client_is_an_ipv4_address_or_a_64_of_ipv6(ip: str, network: str) -> None:
    assert client_network(ip) == network
    assert PeerAddress(ip, 25).network == network


def test_a_transports_name_loses_zone_and_mapping() -> None:
    assert peer_address(("fe80::1%eth0", 25, 0, 2)) == PeerAddress("fe80::1", 25)
    assert peer_address(("::ffff:192.0.2.7", 25, 0, 0)) == PeerAddress("192.0.2.7", 25)
    assert peer_address(None) == NOWHERE


def test_an_address_is_written_as_urls_have_it() -> None:
    assert str(PeerAddress("192.0.2.7", 25)) == "192.0.2.7:25"
    assert str(PeerAddress("2001:db8::1", 25)) == "[2001:db8::1]:25"
