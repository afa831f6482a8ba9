"""Streams over real loopback sockets, on both event loops."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.net.certificates import certify

from estafeta.net.authority import Issued
from estafeta.net.errors import ConnectFailed, ConnectionLost, DeadlinePassed, TlsError
from estafeta.net.listener import ConnectionLimits, Listener, Serve, listen
from estafeta.net.stream import READ_HIGH, SocketStream, connect
from estafeta.net.tls import ServerTls, client_context

Run = Callable[[Coroutine[Any, Any, None]], None]
MEGABYTE = b"x" * 1024 * 1024


@asynccontextmanager
async def listening(serve: Serve, **options: Any) -> AsyncIterator[Listener]:
    listener = await listen("127.0.0.1", 0, serve, **options)
    try:
        yield listener
    finally:
        await listener.drain(0)


async def echo(stream: SocketStream) -> None:
    while octets := await stream.receive():
        stream.send(octets)
        await stream.drain()


async def until_end(stream: SocketStream) -> bytes:
    parts = []
    while octets := await stream.receive():
        parts.append(octets)
    return b"".join(parts)


def test_what_is_sent_arrives(run: Run) -> None:
    async def main() -> None:
        async with listening(echo) as listener:
            stream = await connect("127.0.0.1", listener.port, timeout=5)
            stream.send(b"EHLO ")
            stream.send(b"client\r\n")
            received = b""
            while len(received) < 13:
                received += await stream.receive()
            assert received == b"EHLO client\r\n"
            assert stream.peer.ip == "127.0.0.1" and stream.peer.port == listener.port
            assert stream.peer.is_loopback and stream.tls is None
            await stream.close()
            await stream.close()
            while not stream.is_lost:
                await asyncio.sleep(0)

    run(main())


def test_octets_that_wait_are_taken_without_suspending(run: Run) -> None:
    async def main() -> None:
        stream = SocketStream()
        stream.data_received(b"one")
        stream.data_received(b"two")
        assert stream.pending == 6
        coroutine = stream.receive()
        with pytest.raises(StopIteration) as done:
            coroutine.send(None)
        assert done.value.value == b"onetwo"
        assert stream.pending == 0

    run(main())


def test_discarded_octets_are_never_received(run: Run) -> None:
    async def main() -> None:
        stream = SocketStream()
        stream.data_received(b"injected")
        assert stream.discard_pending() == 8
        stream.set_deadline(0.0)
        with pytest.raises(DeadlinePassed):
            await stream.receive()

    run(main())


def test_a_receive_past_its_deadline_raises(run: Run) -> None:
    async def main() -> None:
        async with listening(echo) as listener:
            stream = await connect("127.0.0.1", listener.port)
            stream.set_deadline(60.0)
            stream.set_deadline(0.02)  # an earlier one takes the place of the later
            with pytest.raises(DeadlinePassed):
                await stream.receive()
            with pytest.raises(DeadlinePassed):
                await stream.receive()
            stream.set_deadline(None)
            stream.send(b"still here")
            assert await stream.receive() == b"still here"
            stream.abort()

    run(main())


def test_a_deadline_put_off_does_not_fire(run: Run) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def slow(stream: SocketStream) -> None:
            await ended.wait()
            stream.send(b"at last")

        async with listening(slow) as listener:
            stream = await connect("127.0.0.1", listener.port)
            stream.set_deadline(0.01)
            stream.set_deadline(30.0)
            loop = asyncio.get_running_loop()
            loop.call_later(0.03, ended.set)  # after the first deadline's timer
            assert await stream.receive() == b"at last"
            stream.abort()

    run(main())


def test_a_drain_past_its_deadline_raises(run: Run) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def deaf(stream: SocketStream) -> None:
            await release.wait()

        async with listening(deaf) as listener:
            stream = await connect("127.0.0.1", listener.port)
            stream.set_deadline(0.05)
            with pytest.raises(DeadlinePassed):
                while True:
                    stream.send(MEGABYTE)
                    await stream.drain()
            stream.abort()
            release.set()

    run(main())


def test_a_reader_that_takes_nothing_stops_the_sender(run: Run) -> None:
    async def main() -> None:
        served: list[SocketStream] = []
        release = asyncio.Event()

        async def deaf(stream: SocketStream) -> None:
            served.append(stream)
            await release.wait()
            total = 0
            while octets := await stream.receive():
                total += len(octets)
            stream.send(b"%d" % total)

        async with listening(deaf) as listener:
            stream = await connect("127.0.0.1", listener.port)
            stream.set_deadline(0.05)
            sent = 0
            with pytest.raises(DeadlinePassed):
                while True:
                    stream.send(MEGABYTE)
                    sent += len(MEGABYTE)
                    await stream.drain()
            assert READ_HIGH < served[0].pending <= 2 * READ_HIGH
            stream.set_deadline(10.0)
            release.set()
            await stream.drain()
            assert stream._transport is not None
            stream._transport.write_eof()
            assert await until_end(stream) == b"%d" % sent
            stream.abort()

    run(main())


def test_a_half_closed_connection_is_still_answered(run: Run) -> None:
    async def main() -> None:
        async def serve(stream: SocketStream) -> None:
            received = await until_end(stream)
            stream.send(b"you said " + received)

        async with listening(serve) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"QUIT")
            writer.write_eof()
            assert await reader.read() == b"you said QUIT"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_reset_ends_the_stream_and_fails_the_send(run: Run) -> None:
    async def main() -> None:
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def serve(stream: SocketStream) -> None:
            assert await until_end(stream) == b""
            try:
                stream.send(b"221 bye")
                await stream.drain()
            except ConnectionLost:
                outcome.set_result("lost")
                raise
            outcome.set_result("sent")

        async with listening(serve) as listener:
            raw = socket.create_connection(("127.0.0.1", listener.port))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
            assert await outcome == "lost"

    run(main())


def test_what_was_sent_last_arrives_although_octets_were_left_unread(run: Run) -> None:
    async def main() -> None:
        async def serve(stream: SocketStream) -> None:
            await stream.receive()
            stream.send(b"552 too much\r\n")
            stream.data_received(b"more")  # arrives before the close, and nobody takes it

        async with listening(serve) as listener:
            stream = await connect("127.0.0.1", listener.port)
            stream.set_deadline(10)
            stream.send(MEGABYTE)
            assert await until_end(stream) == b"552 too much\r\n"
            await stream.close()

    run(main())


def test_nobody_there_is_one_clear_error(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            with pytest.raises(ConnectFailed, match=rf"^127\.0\.0\.1 port {port}: \S"):
                await connect("127.0.0.1", port)

    run(main())


def test_starttls_secures_both_ends_and_both_see_the_same_channel(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        facts: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def serve(stream: SocketStream) -> None:
            assert await stream.receive() == b"STARTTLS\r\n"
            stream.send(b"220 go\r\n")
            await stream.start_tls(tls.context, server_side=True, timeout=5)
            facts.set_result(stream.tls)
            await echo(stream)

        async with listening(serve) as listener:
            stream = await connect("127.0.0.1", listener.port)
            stream.send(b"STARTTLS\r\n")
            assert await stream.receive() == b"220 go\r\n"
            await stream.start_tls(client_context(issued.authority), server_hostname="mail.example.org", timeout=5)
            stream.send(b"EHLO\r\n")
            assert await stream.receive() == b"EHLO\r\n"
            ours, theirs = stream.tls, await facts
            assert ours is not None
            assert ours == theirs
            assert ours.version == "TLSv1.3" and ours.bits >= 128
            assert ours.server_name == "mail.example.org"
            assert ours.channel_binding == tls.channel_binding
            assert ours.channel_binding is not None and len(ours.channel_binding) == 32
            await stream.close()

    run(main())


def test_the_certificates_that_the_other_end_showed_are_there_leaf_first(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        shown = [
            ssl.PEM_cert_to_DER_cert(f"{part}-----END CERTIFICATE-----\n")
            for part in issued.certificate.read_text().split("-----END CERTIFICATE-----\n")
            if part.strip()
        ]
        assert len(shown) == 2
        chains: asyncio.Future[tuple[bytes, ...]] = asyncio.get_running_loop().create_future()

        async def serve(stream: SocketStream) -> None:
            chains.set_result(stream.peer_chain)
            await until_end(stream)

        async with listening(serve, tls=tls) as listener:
            for context in (client_context(verify=False), client_context(issued.authority)):
                chains = asyncio.get_running_loop().create_future()
                stream = await connect("127.0.0.1", listener.port)
                assert stream.peer_chain == ()
                await stream.start_tls(context, server_hostname="localhost", timeout=5)
                assert list(stream.peer_chain) == shown
                assert await chains == ()  # the client showed none
                await stream.close()

    run(main())


def test_a_client_shows_its_certificate_to_a_server_that_asks(run: Run, issued: Issued, tmp_path: Path) -> None:
    async def main() -> None:
        ours = certify("mail.example.net", names=("mail.example.net",), now=datetime.now(UTC))
        certificate, key = ours.write(tmp_path)
        chains: asyncio.Future[tuple[bytes, ...]] = asyncio.get_running_loop().create_future()
        asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        asking.load_cert_chain(issued.certificate, issued.key)
        asking.load_verify_locations(certificate)
        asking.verify_mode = ssl.CERT_OPTIONAL

        async def serve(stream: SocketStream) -> None:
            await stream.receive()
            stream.send(b"220 go\r\n")
            await stream.start_tls(asking, server_side=True, timeout=5)
            chains.set_result(stream.peer_chain)
            await until_end(stream)

        async with listening(serve) as listener:
            stream = await connect("127.0.0.1", listener.port)
            stream.send(b"STARTTLS\r\n")
            assert await stream.receive() == b"220 go\r\n"
            context = client_context(verify=False, certificate=certificate, key=key)
            await stream.start_tls(context, server_hostname="localhost", timeout=5)
            assert await chains == (ours.der,)
            await stream.close()

    run(main())


def test_octets_put_in_before_the_handshake_are_thrown_away(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def serve(stream: SocketStream) -> None:
            await stream.receive()
            stream.data_received(b"RSET\r\n")  # as if it had come with STARTTLS
            stream.send(b"220 go\r\n")
            await stream.start_tls(tls.context, server_side=True, timeout=5)
            received.set_result(await stream.receive())

        async with listening(serve) as listener:
            stream = await connect("127.0.0.1", listener.port)
            stream.send(b"STARTTLS\r\n")
            assert await stream.receive() == b"220 go\r\n"
            await stream.start_tls(client_context(issued.authority), server_hostname="localhost", timeout=5)
            stream.send(b"NOOP\r\n")
            assert await received == b"NOOP\r\n"
            await stream.close()

    run(main())


def test_tls_carries_megabytes_both_ways(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        async with listening(echo, tls=tls) as listener:
            stream = await connect("127.0.0.1", listener.port, context=client_context(issued.authority), timeout=5)
            stream.set_deadline(10)

            async def send() -> None:
                for _ in range(4):
                    stream.send(MEGABYTE)
                    await stream.drain()

            sending = asyncio.create_task(send())
            received = 0
            while received < 4 * len(MEGABYTE):
                received += len(await stream.receive())
            await sending
            assert received == 4 * len(MEGABYTE)
            await stream.close()

    run(main())


def test_a_certificate_for_another_name_is_not_accepted(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        async with listening(echo, tls=tls) as listener:
            context = client_context(issued.authority)
            with pytest.raises(TlsError, match="certificate not accepted: Hostname mismatch"):
                await connect("127.0.0.1", listener.port, context=context, server_hostname="other.example", timeout=5)

    run(main())


def test_an_unknown_authority_is_accepted_only_without_verification(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        async with listening(echo, tls=tls) as listener:
            with pytest.raises(TlsError, match="certificate not accepted"):
                await connect("127.0.0.1", listener.port, context=client_context(), timeout=5)
            stream = await connect("127.0.0.1", listener.port, context=client_context(verify=False), timeout=5)
            assert stream.tls is not None and stream.tls.channel_binding == tls.channel_binding
            await stream.close()

    run(main())


def test_a_client_that_speaks_no_tls_is_a_tls_error(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)
        failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

        async def serve(stream: SocketStream) -> None:
            try:
                await stream.start_tls(tls.context, server_side=True, timeout=5)
            except TlsError as error:
                assert stream.is_lost
                failed.set_result(error)
                raise

        async with listening(serve) as listener:
            stream = await connect("127.0.0.1", listener.port)
            stream.send(b"EHLO client.example.org\r\n")
            assert str(await failed)
            await until_end(stream)
            await stream.close()

    run(main())


def test_a_handshake_that_stands_still_passes_its_deadline(run: Run, issued: Issued) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def mute(stream: SocketStream) -> None:
            await release.wait()

        async with listening(mute) as listener:
            stream = await connect("127.0.0.1", listener.port)
            with pytest.raises(DeadlinePassed):
                await stream.start_tls(client_context(issued.authority), server_hostname="localhost", timeout=0.03)
            assert stream.is_lost
            release.set()

    run(main())


def test_a_peer_that_leaves_in_the_handshake_is_a_lost_connection(run: Run, issued: Issued) -> None:
    async def main() -> None:
        async def leave(stream: SocketStream) -> None:
            await stream.receive()

        async with listening(leave) as listener:
            stream = await connect("127.0.0.1", listener.port)
            with pytest.raises((ConnectionLost, TlsError)):
                await stream.start_tls(client_context(issued.authority), server_hostname="localhost", timeout=5)
            assert stream.is_lost

    run(main())


def test_close_says_goodbye_in_tls(run: Run, issued: Issued) -> None:
    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)

        async def serve(stream: SocketStream) -> None:
            stream.send(b"221 bye\r\n")

        async with listening(serve, tls=tls, limits=ConnectionLimits(handshake_after=5)) as listener:

            def client() -> bytes:
                context = client_context(issued.authority)
                # A connection cut without close_notify is then an error, not an end.
                context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
                with (
                    socket.create_connection(("127.0.0.1", listener.port), timeout=5) as raw,
                    context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as tls,
                ):
                    octets = b""
                    while part := tls.recv(100):
                        octets += part
                    return octets

            assert await asyncio.to_thread(client) == b"221 bye\r\n"

    run(main())


def test_a_peer_that_never_answers_the_goodbye_holds_nothing_up(
    run: Run, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("estafeta.net.stream.CLOSE_AFTER", 0.03)

    async def main() -> None:
        tls = ServerTls(issued.certificate, issued.key)

        async def serve(stream: SocketStream) -> None:
            stream.send(b"221 bye\r\n")

        async with listening(serve, tls=tls) as listener:

            def shake_hands() -> ssl.SSLSocket:
                raw = socket.create_connection(("127.0.0.1", listener.port), timeout=5)
                return client_context(issued.authority).wrap_socket(raw, server_hostname="localhost")

            mute = await asyncio.to_thread(shake_hands)
            assert await listener.drain(5)
            mute.close()

    run(main())


def test_a_peer_that_takes_nothing_does_not_hold_up_the_close(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("estafeta.net.stream.CLOSE_AFTER", 0.03)

    async def main() -> None:
        async def serve(stream: SocketStream) -> None:
            for _ in range(16):
                stream.send(MEGABYTE)

        async with listening(serve) as listener:
            mute = socket.create_connection(("127.0.0.1", listener.port))
            assert await asyncio.to_thread(mute.recv, 1) == b"x"
            assert await listener.drain(5)
            mute.close()

    run(main())
