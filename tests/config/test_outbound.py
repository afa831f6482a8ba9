"""What is wrong with the settings of mail that leaves is told with its key and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from estafeta.config.faults import SettingsError
from estafeta.config.reading import read

HEAD = 'hostname = "mx.example.org"\ndata = "data"\n'


def faults(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    """The keys and problems of a file that says this."""
    file = tmp_path / "estafeta.toml"
    file.write_text(HEAD + text, "utf-8")
    try:
        read(file)
    except SettingsError as error:
        assert all(fault.remedy for fault in error.faults)
        return [(fault.key, fault.problem) for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("[relay]\nretry_after = []", "relay.retry_after", "has no wait"),
        ("[relay]\nretry_after = [0.5]", "relay.retry_after[0]", "is too small: 0.5"),
        ("[relay]\njitter = 1.5", "relay.jitter", "is too large: 1.5"),
        ("[relay]\nport = 70000", "relay.port", "is too large: 70000"),
        ("[relay]\nfirst_concurrency = 30", "relay.first_concurrency", "is more than concurrency"),
        ("[relay]\nrecipients_per_message = 50", "relay.recipients_per_message", "is too small: 50"),
        ('[relay]\nipv4_address = "::1"', "relay.ipv4_address", "is not an IPv4 address"),
        ('[relay]\nhello = "no name"', "relay.hello", "is not a domain name (bad domain name)"),
        ('[dns]\nservers = ["dns.example.org"]', "dns.servers[0]", "is not an IP address"),
        (
            '[[destination_limit]]\ndomain = "gateway:none"',
            "destination_limit[0].domain",
            "there is no gateway none",
        ),
        (
            '[[destination_limit]]\ndomain = "example.com"\nconcurrency = 0',
            "destination_limit[0].concurrency",
            "is too small: 0",
        ),
        (
            '[[tls_policy]]\ndomain = "Example.com"\nlevel = "must"',
            "tls_policy[0].domain",
            "is not written as it is compared",
        ),
        (
            '[[tls_policy]]\ndomain = "example.com"\nlevel = "may"\nnames = ["mx.example.com"]',
            "tls_policy[0].names",
            "means nothing with level may",
        ),
        ('[notifications]\nauthor = "postmaster"', "notifications.author", "is not an address (address has no domain)"),
        ('[tls_report]\ncontact = "me"', "tls_report.contact", "is not an address (address has no domain)"),
        (
            '[[on_demand.customer]]\naccount = "caller"\ndomains = ["example.com"]',
            "on_demand.customer[0].account",
            "is not an address (address has no domain)",
        ),
        ('[[gateway]]\nname = "x"\nkind = "smtp"', "gateway[0].host", "is missing"),
        ("[promises]\nhold_for = 1000000000", "promises.hold_for", "is too large"),
        ("[promises]\ndeliver_by_at_least = -1", "promises.deliver_by_at_least", "is too small: -1"),
        ("[promises]\nheld_messages = 0", "promises.held_messages", "is too small: 0"),
        ("[promises]\nhighest_priority = 10", "promises.highest_priority", "is too large"),
        ("[promises]\nhighest_priority = -1", "promises.highest_priority", "is too small: -1"),
        ('[promises]\npriority_policy = "no policy"', "promises.priority_policy", "is not the name of a policy"),
        (
            '[promises.highest_priorities]\n"ana@example.org" = 10',
            'promises.highest_priorities."ana@example.org"',
            "is too large: 10",
        ),
        (
            '[promises.highest_priorities]\n"Ana@example.org" = 1',
            'promises.highest_priorities."Ana@example.org"',
            "is not written as it is compared",
        ),
        (
            '[promises]\npriority_field_to = ["*", "Example.org"]',
            "promises.priority_field_to[1]",
            "is not written as it is compared",
        ),
    ],
)
def test_a_fault_is_told_with_its_key(tmp_path: Path, text: str, key: str, problem: str) -> None:
    assert (key, problem) in faults(tmp_path, text)


def test_what_is_well_said_has_no_fault(tmp_path: Path) -> None:
    text = """
[relay]
retry_after = [60, 300]
delay_notice_after = 0
[[gateway]]
name = "out"
kind = "smtp"
host = "smtp.example.net"
[[destination_limit]]
domain = "gateway:out"
[[tls_policy]]
domain = ".example.com"
level = "verify"
names = [".example.com"]
[notifications.languages]
"@example.org" = "es"
[promises]
deliver_by_at_least = 0
hold_for = 0
priority_policy = "MIXER"
highest_priority = 0
priority_field_to = ["*", ".example.org"]
[promises.highest_priorities]
"@example.org" = -3
"ana@example.org" = 9
"""
    assert faults(tmp_path, text) == []


def test_files_of_the_client_are_below_the_folder_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "estafeta.toml"
    file.write_text(HEAD + '[tls_client]\ncertificate = "tls/client.pem"\n', "utf-8")
    assert read(file).tls_client.certificate == tmp_path / "tls" / "client.pem"
