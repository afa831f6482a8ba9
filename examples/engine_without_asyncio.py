"""The engine alone, over plain sockets and threads: python engine_without_asyncio.py [PORT]

The engine takes octets and gives events; each event is answered with a reply, and replies come out as octets. It
reads no socket, knows no clock and starts no thread, so it fits into any program.
"""

import socketserver
import sys

from estafeta import Reply, ServerEngine, ServerOptions
from estafeta.wire.smtp import events

OK = Reply.of(250, "ok", "2.0.0")
SEND_DATA = Reply.of(354, "send the message, end with a line with a single dot")
NOT_HERE = Reply.of(502, "not implemented here", "5.5.1")
TOO_LARGE = Reply.of(552, "message too large", "5.3.4")
BROKEN = Reply.of(550, "lines must end in CRLF", "5.6.0")
BYE = Reply.of(221, "goodbye", "2.0.0")
OPTIONS = ServerOptions("localhost", message_size=1_000_000, chunking=False, dsn=False)


class Connection(socketserver.BaseRequestHandler):
    """One connection, in a thread of its own."""

    def handle(self) -> None:
        self.request.settimeout(300)
        self.engine = ServerEngine(OPTIONS)
        self.content: list[bytes] = []
        self.size = 0
        self.engine.greet(Reply.of(220, "localhost ESMTP"))
        self.request.sendall(self.engine.take_output())
        while not self.engine.is_ended and (octets := self.request.recv(65536)):
            self.engine.feed(octets)
            while (event := self.engine.next_event()) is not None:
                self.on_event(event)
            self.request.sendall(self.engine.take_output())

    def on_event(self, event: events.Event) -> None:
        match event:
            case events.Hello():
                self.engine.answer(self.engine.hello_reply("localhost"))
            case events.Mail() | events.Rcpt() | events.Rset() | events.Noop():
                self.engine.answer(OK)
            case events.Data():
                self.content.clear()
                self.size = 0
                self.engine.answer(SEND_DATA)
            case events.Content(octets):  # the one event without an answer
                self.size += len(octets)
                if self.size <= OPTIONS.message_size:
                    self.content.append(octets)
            case events.EndOfData(fault=None) if self.size <= OPTIONS.message_size:
                print(f"{self.size} octets for {len(self.engine.recipients)}", flush=True)
                self.engine.answer(OK)
            case events.EndOfData(fault=fault):
                self.engine.answer(BROKEN if fault else TOO_LARGE)
            case events.FalseEndOfData():  # there is no way back into step
                self.engine.answer(BROKEN)
                self.engine.end()
            case events.Quit():
                self.engine.answer(BYE)
            case events.Faulty(reply=reply):
                self.engine.answer(reply)
            case _:
                self.engine.answer(NOT_HERE)


class Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Listener(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8025), Connection) as listener:
    print(f"listening on port {listener.server_address[1]}", flush=True)
    listener.serve_forever()
