"""The standard library's smtplib, where the letters are not ASCII."""

from __future__ import annotations

import smtplib
import ssl

import pytest
from tests.peers.letters import letter
from tests.peers.running import PASSWORD, RunningServer, behind_trace

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

HEADER = "Subject: Grüße aus 東京\r\nFrom: Jürgen <jürgen@example.net>\r\n\r\nörtlich\r\n".encode()


@pytest.mark.rfc("6531 §3.2", "Addresses and header fields in UTF-8 arrive as a foreign client sent them.")
def test_addresses_and_header_fields_in_utf_8_arrive_as_they_were_sent(server: RunningServer) -> None:
    account = server.account("josé")
    with smtplib.SMTP("localhost", server.ports[ListenerKind.SMTP], timeout=30) as client:
        client.ehlo("client.example.net")
        refused = client.sendmail("jürgen@example.net", [account], HEADER, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    assert refused == {}
    (message,) = server.messages(account)
    assert message.startswith("Return-Path: <jürgen@example.net>\r\n".encode())
    assert b" with UTF8SMTP id " in message
    assert behind_trace(message) == HEADER


def test_eight_bit_mail_is_submitted_as_it_is(server: RunningServer, account: str, other_account: str) -> None:
    sent = letter(2, author=account, recipient=other_account, size=100_000)
    context = ssl.create_default_context(cafile=server.issued.authority)
    port = server.ports[ListenerKind.SUBMISSIONS]
    with smtplib.SMTP_SSL("localhost", port, context=context, timeout=30) as client:
        client.login(account, PASSWORD)
        assert client.sendmail(account, [other_account], sent, mail_options=["BODY=8BITMIME"]) == {}
    (message,) = server.messages(other_account)
    assert behind_trace(message) == sent
