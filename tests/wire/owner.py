"""A small owner of the server engine, for dialogues, matrices and the fuzzer: it answers by what an event says alone.

Reverse-paths and forward-paths that begin with `no` are refused, and chunks that end at a size of 3 more than a
multiple of 7; a URL of a host that begins with `no` names nothing, another one its own last word and CRLF; the
password is whatever ends in `pencil`.
"""

from __future__ import annotations

from estafeta.mail.reply import Reply
from estafeta.wire.smtp import events
from estafeta.wire.smtp.server import ServerEngine
from estafeta.wire.smtp.session import ServerOptions


class Owner:
    """`told` are the events, runs of content as one; `replies` counts what was answered."""

    def __init__(self, options: ServerOptions, *, is_secure: bool = False, is_authenticated: bool = False) -> None:
        self.options = options
        self.engine = ServerEngine(options, is_secure=is_secure)
        if is_authenticated:
            self.engine._session.is_authenticated = True
        self.takes_tls = True
        """STARTTLS is answered with 220, else with 454."""
        self.told: list[object] = []
        self.replies = 0
        self.output = b""
        self.messages: list[bytes] = []
        """The contents that were taken."""
        self._content = b""

    def hear(self, octets: bytes) -> bytes:
        """What arrives; gives what is answered, up to where more is needed."""
        self.engine.feed(octets)
        start = len(self.output)
        while (event := self.engine.next_event()) is not None:
            if isinstance(event, events.Content):
                assert event.octets
                self._content += event.octets
                if self.told and isinstance(self.told[-1], bytearray):
                    self.told[-1] += event.octets
                else:
                    self.told.append(bytearray(event.octets))
            elif isinstance(event, events.Bdat):
                self.told.append(event)
            else:
                if isinstance(event, events.FalseEndOfData) and isinstance(self.told[-1], bytearray):
                    self.told.pop()  # nobody wants it, and how much it is depends on what arrived meanwhile
                self.told.append(event)
                self.answer(event)
                self.output += self.engine.take_output()
        return self.output[start:]

    def answer(self, event: events.Event) -> None:
        """One reply, or with LMTP one for each recipient."""
        engine = self.engine
        self.replies += 1
        match event:
            case events.Hello():
                self._content = b""
                engine.answer(engine.hello_reply("mx.example.org at your service"))
            case events.Faulty():
                engine.answer(event.reply)
                if event.out_of_step:
                    engine.end()
            case events.FalseEndOfData():
                engine.answer(Reply.of(550, "bad data, closing", "5.6.0"))
                engine.end()
            case events.Mail(sender):
                self._content = b""
                is_refused = str(sender.reverse_path).startswith("no")
                engine.answer(Reply.of(550, "no", "5.7.1") if is_refused else Reply.of(250, "sender ok", "2.1.0"))
            case events.Rcpt(recipient) if str(recipient.forward_path).startswith("no"):
                engine.answer(Reply.of(550, "no", "5.1.1"))
            case events.Rcpt():
                engine.answer(Reply.of(250, "recipient ok", "2.1.5"))
            case events.Data():
                engine.answer(Reply.of(354, "go on"))
            case events.Burl(url) if url.startswith("imap://no"):
                engine.answer(Reply.of(554, "no such message", "5.6.6"))
            case events.Burl(url):
                named = url.rpartition("/")[2].encode() + b"\r\n"
                self._content += named
                self.replies -= 1
                self.answer(engine.supply(named))
            case events.EndOfChunk(size) if size % 7 == 3:
                engine.answer(Reply.of(452, "full", "4.3.1"))
            case events.EndOfData():
                self._end_of_data(event)
            case events.Auth(response=None):
                engine.answer(Reply(334, None, ("",)))
            case events.AuthResponse(response=None):
                engine.answer(Reply.of(501, "cancelled", "5.7.0"))
            case events.Auth(response=response) | events.AuthResponse(response=response):
                is_known = response is not None and response.endswith(b"pencil")
                engine.answer(Reply.of(235, "welcome", "2.7.0") if is_known else Reply.of(535, "no", "5.7.8"))
            case events.StartTls():
                engine.answer(Reply.of(220, "go on", "2.0.0") if self.takes_tls else Reply.of(454, "later", "4.7.0"))
            case events.Vrfy():
                engine.answer(Reply.of(252, "perhaps", "2.1.5"))
            case events.Help(topic):
                engine.answer(engine.help_reply(topic))
            case events.Xclient():
                engine.answer(Reply.of(220, "mx.example.org ESMTP"))
                engine.begin_again(self.options, hello=None, is_extended=False, is_authenticated=False)
            case events.Quit():
                engine.answer(Reply.of(221, "bye", "2.0.0"))
            case _:
                engine.answer(Reply.of(250, "ok", "2.0.0"))

    def _end_of_data(self, event: events.EndOfData) -> None:
        content, self._content = self._content, b""
        if event.fault is None:
            self.messages.append(content)
            reply = Reply.of(250, "taken", "2.0.0")
        else:
            reply = Reply.of(550, str(event.fault), "5.6.0")
        if self.options.lmtp:
            recipients = self.engine.recipients
            self.replies += len(recipients) - 1
            self.engine.answer_each([reply] * len(recipients))
        else:
            self.engine.answer(reply)
