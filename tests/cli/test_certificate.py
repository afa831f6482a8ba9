"""`estafeta account certificate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.net.certificates import certify

from estafeta.net.certificates import client_certificate

if TYPE_CHECKING:
    from .conftest import Operator


def test_a_certificate_is_added_listed_and_removed(office: Operator) -> None:
    made = certify("Ana's laptop")
    file, _ = made.write(office.folder)
    fingerprint = client_certificate(made.der).fingerprint
    added = office.json("account", "certificate", "add", "ana@example.org", str(file))
    assert (added["fingerprint"], added["subject"]) == (fingerprint, "CN=Ana's laptop")
    (kept,) = office.json("account", "certificate", "list", "ana@example.org")
    assert kept == added
    assert fingerprint in office.done("account", "certificate", "list", "ana@example.org")
    assert office.json("account", "certificate", "list", "luis@example.org") == []
    refused = office.refused("account", "certificate", "add", "luis@example.org", fingerprint)
    assert refused == "the certificate is that of ana@example.org already"
    office.done("account", "certificate", "remove", "ana@example.org", str(file))
    assert office.json("account", "certificate", "list", "ana@example.org") == []


def test_a_fingerprint_does_in_place_of_the_file(office: Operator) -> None:
    said = ":".join(["AB"] * 32)
    assert "ab" * 32 in office.done("account", "certificate", "add", "ana@example.org", said)
    office.done("account", "certificate", "remove", "ana@example.org", "ab" * 32)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("add", "nobody@example.org", "ab" * 32), "there is no account nobody@example.org"),
        (("list", "nobody@example.org"), "there is no account nobody@example.org"),
        (("remove", "ana@example.org", "ab" * 32), f"ana@example.org has no certificate {'ab' * 32}"),
        (("add", "ana@example.org", "/nowhere.pem"), "certificate file /nowhere.pem: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_told(office: Operator, arguments: tuple[str, ...], fault: str) -> None:
    assert office.refused("account", "certificate", *arguments) == fault


def test_a_file_without_a_certificate_is_told(office: Operator) -> None:
    file = office.folder / "empty.pem"
    file.write_bytes(b"\xff\x00")
    fault = office.refused("account", "certificate", "add", "ana@example.org", str(file))
    assert fault == f"certificate file {file}: no certificate in PEM form"
