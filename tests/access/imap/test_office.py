"""IMAP of a whole post office on loopback, with the standard library's client."""

from __future__ import annotations

import asyncio
import imaplib
import ssl
from pathlib import Path

from estafeta.app import PostOffice
from estafeta.config.settings import Listen, ListenerKind, Settings, TlsSettings
from estafeta.mail.address import Address
from estafeta.net.authority import issue
from estafeta.store import accounts, domains
from estafeta.store.passwords import hash_password
from estafeta.store.records import Instant

NOW = Instant(1_800_000_000.0)
TEXT = b"Subject: one\r\n\r\nHello.\r\n"


def test_the_standard_librarys_client_reads_mail(tmp_path: Path) -> None:
    issued = issue(tmp_path / "tls", ["localhost", "127.0.0.1"])
    settings = Settings(
        hostname="mx.example.org",
        data=tmp_path / "data",
        tls=TlsSettings(certificate=issued.certificate, key=issued.key),
        listen=tuple(
            Listen(kind=kind, address="127.0.0.1", port=0) for kind in (ListenerKind.IMAP, ListenerKind.IMAPS)
        ),
    )

    def writes(port: int) -> None:
        with imaplib.IMAP4("localhost", port) as client:
            client.starttls(ssl.create_default_context(cafile=str(issued.authority)))
            client.login("ana@example.org", "secret")
            assert client.append("INBOX", "(\\Flagged)", "", TEXT)[0] == "OK"

    def reads(port: int) -> None:
        context = ssl.create_default_context(cafile=str(issued.authority))
        with imaplib.IMAP4_SSL("localhost", port, ssl_context=context) as client:
            client.login("ana@example.org", "secret")
            assert client.select() == ("OK", [b"1"])
            (answer, *_) = client.fetch("1", "(FLAGS BODY.PEEK[])")[1]
            assert answer == (b"1 (FLAGS (\\Recent \\Flagged) BODY[] {%d}" % len(TEXT), TEXT)
            assert client.search(None, "FLAGGED") == ("OK", [b"1"])
            assert client.store("1", "+FLAGS", "\\Deleted")[0] == "OK"
            assert client.expunge() == ("OK", [b"1"])
            assert client.close()[0] == "OK"

    async def scenario() -> None:
        async with PostOffice(settings) as office:
            await office.store.write(lambda tx: domains.add(tx, "example.org", now=NOW))
            hashed = hash_password("secret")
            ana = Address("ana", "example.org")
            await office.store.write(lambda tx: accounts.add(tx, ana, password=hashed, now=NOW))
            await asyncio.to_thread(writes, office.port(ListenerKind.IMAP))
            await asyncio.to_thread(reads, office.port(ListenerKind.IMAPS))

    asyncio.run(scenario())
