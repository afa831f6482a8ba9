"""A gateway from its table: each kind of this machine delivers, and hosts are not opened here."""

from __future__ import annotations

import asyncio

import pytest
from tests.agents.outbound.gateways.conftest import ACCEPTED_AT, CONTENT, Place, message, recipient

from estafeta.agents.outbound.gateways.gateway import open_gateway
from estafeta.agents.outbound.gateways.settings import GatewayKind, GatewaySettings
from estafeta.store.records import Fate


@pytest.mark.rfc("5321 §3.7", "A gateway delivers to a Maildir, an mbox or a command.")
@pytest.mark.parametrize(
    ("kind", "path", "command", "where"),
    [
        (GatewayKind.MAILDIR, "{place}/box", (), "box/new/*"),
        (GatewayKind.MBOX, "{place}/box", (), "box"),
        (GatewayKind.COMMAND, "", ("/bin/sh", "-c", 'cat >"$0"', "{place}/box"), "box"),
    ],
)
def test_a_gateway_of_each_kind_delivers(
    place: Place, kind: GatewayKind, path: str, command: tuple[str, ...], where: str
) -> None:
    settings = GatewaySettings(
        "it",
        kind,
        path=path.format(place=place.folder),
        command=tuple(part.format(place=place.folder) for part in command),
        user=place.user,
    )
    gateway = open_gateway(settings, hostname="mx.example.org", clock=lambda: ACCEPTED_AT)
    (outcome,) = asyncio.run(gateway.deliver(message(), [recipient()], CONTENT))
    assert outcome.fate is Fate.DELIVERED and not outcome.is_remote and outcome.host is None
    assert outcome.recipient == recipient()
    (file,) = place.folder.glob(where)
    assert b"Return-Path: <ana@example.net>\n" in file.read_bytes()


@pytest.mark.parametrize("kind", [GatewayKind.SMTP, GatewayKind.LMTP])
def test_a_host_is_the_relays(kind: GatewayKind) -> None:
    with pytest.raises(ValueError, match="is a host"):
        open_gateway(GatewaySettings("it", kind, host="mx.example.com"), hostname="mx.example.org", clock=lambda: 0.0)
