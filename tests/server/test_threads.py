"""A server in a thread, as test suites use it."""

from __future__ import annotations

import smtplib
import socket
import threading

import pytest

from estafeta.server import Collector, Server


def test_a_test_suite_without_an_event_loop_has_a_server() -> None:
    inbox = Collector()
    server = Server(inbox)
    before = threading.active_count()
    for expected in (1, 2):  # and again
        with server.in_thread() as running:
            with smtplib.SMTP(running.host, running.port, timeout=10) as client:
                client.sendmail("ana@example.org", ["luis@example.net"], b"Subject: x\r\n\r\n")
            assert running.port == server.port
        assert len(inbox.messages) == expected
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", client_port(server)), timeout=5):
        pass


def client_port(server: Server) -> int:
    """A port that the server had."""
    running = server.in_thread()
    running.start()
    port = running.port
    running.stop()
    running.stop()  # does nothing
    return port


def test_starting_raises_what_went_wrong() -> None:
    with Server(Collector()).in_thread() as first:
        second = Server(Collector(), port=first.port).in_thread()
        with pytest.raises(OSError, match=f"127.0.0.1:{first.port}"):
            second.start()
        second.stop()
        with pytest.raises(RuntimeError, match="running already"):
            first.start()


def test_open_sessions_are_told_that_the_server_stops() -> None:
    running = Server(Collector()).in_thread()
    running.start()
    with smtplib.SMTP(running.host, running.port, timeout=10) as client:
        client.ehlo()
        running.stop()
        assert client.getreply()[0] == 421
        client.close()
