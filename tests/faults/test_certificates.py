"""The certificate is replaced while a hundred sessions are open; a broken one does no harm."""

from __future__ import annotations

import shutil
import signal
import smtplib
import ssl

import pytest
from tests.faults.conftest import Serve
from tests.faults.figures import Figures
from tests.peers.running import wait_for

from estafeta.config.settings import ListenerKind
from estafeta.net.authority import issue

pytestmark = pytest.mark.peers

SESSIONS = 100


def test_a_hundred_sessions_outlive_their_certificate(serve: Serve, figures: Figures) -> None:
    server = serve("")
    context = ssl.create_default_context(cafile=server.issued.authority)
    port = server.ports[ListenerKind.SUBMISSION]
    clients: list[smtplib.SMTP] = []

    def shows(trusted: ssl.SSLContext) -> bool:
        try:
            with smtplib.SMTP("localhost", port, timeout=20) as new:
                new.starttls(context=trusted)
                return True
        except ssl.SSLCertVerificationError:
            return False

    try:
        for _ in range(SESSIONS):
            client = smtplib.SMTP("localhost", port, timeout=30)
            client.starttls(context=context)
            clients.append(client)
        server.issued.certificate.write_text("not a certificate\n")
        server.signal(signal.SIGHUP)
        wait_for(lambda: "certificate" in server.log.read_text(), "a word about the certificate", seconds=20)
        assert shows(context), "the old certificate goes on where the new one is broken"
        renewed = issue(server.folder / "renewed", ["localhost"])
        shutil.copy(renewed.certificate, server.issued.certificate)
        shutil.copy(renewed.key, server.issued.key)
        server.signal(signal.SIGHUP)
        new_context = ssl.create_default_context(cafile=renewed.authority)
        wait_for(lambda: shows(new_context), "the new certificate", seconds=20)
        alive = sum(client.noop()[0] == 250 for client in clients)
        figures.add(
            "certificate replaced",
            f"{SESSIONS} TLS sessions open, {alive} went on; a broken file first: the old one stayed in use",
            lost=SESSIONS - alive,
        )
        assert alive == SESSIONS
        assert not shows(context)
        assert "Traceback" not in server.log.read_text()
    finally:
        for client in clients:
            client.close()
