"""Logins with tokens of OAuth 2."""

from __future__ import annotations

import asyncio
import base64

import pytest
from tests.client.script import Script, served

from estafeta.client import Client, LoginImpossible, Refused


@pytest.mark.rfc("7628 §3.2.3", "After the server's error the client says that it has read it, and takes the refusal.")
def test_the_reason_of_a_refusal_is_read() -> None:
    async def run() -> int:
        reason = base64.b64encode(b'{"status":"invalid_token"}').decode()
        script = Script(
            "S: 220 mx\nC: EHLO me.example.org\nS: 250-mx\nS: 250 AUTH XOAUTH2 OAUTHBEARER\nC*\n"
            f"S: 334 {reason}\nC: AQ==\nS: 535 5.7.8 no\nC: QUIT\nS: 221 bye"
        )
        async with served(script.serve) as port:
            client = Client("127.0.0.1", port=port, local_name="me.example.org", username="ana", token="stale")
            with pytest.raises(Refused) as refused:
                await client.connect()
        assert script.faults == [] and script.heard[1].startswith("AUTH OAUTHBEARER ")
        return refused.value.reply.code

    assert asyncio.run(run()) == 535


def test_a_server_without_such_mechanisms_gets_no_token() -> None:
    async def run() -> None:
        script = Script("S: 220 mx\nC: EHLO me.example.org\nS: 250-mx\nS: 250 AUTH PLAIN\nC: QUIT\nS: 221 bye")
        async with served(script.serve) as port:
            client = Client("127.0.0.1", port=port, local_name="me.example.org", username="ana", token="x")
            with pytest.raises(LoginImpossible, match="no mechanism for tokens"):
                await client.connect()
        assert script.faults == []

    asyncio.run(run())
