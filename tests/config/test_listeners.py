"""Settings that let clients say more than the standard does: read, and refused where they would be a hole."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from estafeta.config.faults import SettingsError
from estafeta.config.reading import read
from estafeta.config.settings import LineEnds


def written(folder: Path, text: str) -> Path:
    file = folder / "estafeta.toml"
    file.write_text(text, "utf-8")
    return file


def test_they_are_off_when_left_out(tmp_path: Path) -> None:
    (listen,) = read(written(tmp_path, '[[listen]]\nkind = "smtp"\n')).listen
    assert (listen.proxy_protocol, listen.line_ends, listen.bare_addresses) == ((), LineEnds.STRICT, False)


def test_they_are_read(tmp_path: Path) -> None:
    text = """
[smtp]
trusted_networks = ["10.0.0.0/8"]
greet_after = 3.5
refuse_early_talkers = true
xclient_networks = ["192.0.2.10/32"]
xforward_networks = ["192.0.2.11/32"]

[smtp.limits]
command_line_after = 60
data_octets_per_second = 0

[[listen]]
kind = "submission"
proxy_protocol = ["10.0.0.0/8", "2001:db8::/32"]
line_ends = "repair"
bare_addresses = true
"""
    settings = read(written(tmp_path, text))
    (listen,) = settings.listen
    assert listen.proxy_protocol == (IPv4Network("10.0.0.0/8"), IPv6Network("2001:db8::/32"))
    assert (listen.line_ends, listen.bare_addresses) == (LineEnds.REPAIR, True)
    assert settings.smtp.greet_after == 3.5 and settings.smtp.limits.data_octets_per_second == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            '[[listen]]\nkind = "smtp"\nline_ends = "repair"\n',
            "3: listen[0].line_ends: a listener for strangers must not repair line ends",
        ),
        ('[[listen]]\nkind = "pop3"\nbare_addresses = true\n', "3: listen[0].bare_addresses: a pop3 listener has no"),
        (
            '[[listen]]\nkind = "smtp"\nproxy_protocol = ["0.0.0.0/0"]\n',
            "3: listen[0].proxy_protocol[0]: 0.0.0.0/0 is not a network of yours but the internet",
        ),
        ('[smtp]\nxclient_networks = ["::/0"]\n', "2: smtp.xclient_networks[0]: ::/0 is not a network of yours"),
        ('[smtp]\nxforward_networks = ["::/0"]\n', "2: smtp.xforward_networks[0]: ::/0 is not a network of yours"),
        ("[smtp.limits]\ncommand_line_after = 0\n", "2: smtp.limits.command_line_after: is too small"),
    ],
)
def test_what_would_be_a_hole_is_a_fault(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(written(tmp_path, text))
    assert any(fault in str(found) for found in caught.value.faults), [str(found) for found in caught.value.faults]
