"""A small owner of the IMAP engine, for dialogues and the fuzzer: it answers by what an event says alone.

The password is what ends in `s3cret`; a mailbox whose name begins with `missing` is not there, and one whose name
begins with `full` takes no octets of messages.
"""

from __future__ import annotations

from dataclasses import replace

from estafeta.wire.imap import events
from estafeta.wire.imap.capabilities import capabilities
from estafeta.wire.imap.commands.append import Append, Replace
from estafeta.wire.imap.commands.authenticate import Authenticate
from estafeta.wire.imap.commands.capability import Capability
from estafeta.wire.imap.commands.close import Close, Unselect
from estafeta.wire.imap.commands.compress import Compress
from estafeta.wire.imap.commands.enable import Enable
from estafeta.wire.imap.commands.idle import Idle
from estafeta.wire.imap.commands.login import Login
from estafeta.wire.imap.commands.logout import Logout
from estafeta.wire.imap.commands.select import Select
from estafeta.wire.imap.commands.starttls import StartTls
from estafeta.wire.imap.commands.unauthenticate import Unauthenticate
from estafeta.wire.imap.completion import no, ok
from estafeta.wire.imap.request import Request
from estafeta.wire.imap.server import Limits, ServerEngine
from estafeta.wire.imap.session import Offer, State

OFFER = Offer(mechanisms=("PLAIN",), login=True, starttls=True, append_limit=1000)


class Owner:
    """`told` are the events, runs of octets as one; `sent` is what the client sees, as it was before compression."""

    def __init__(self, offer: Offer = OFFER, limits: Limits | None = None, *, is_secure: bool = False) -> None:
        self.engine = ServerEngine(offer, is_secure=is_secure, limits=limits)
        self.told: list[object] = []
        self.sent = b""
        self.messages: list[bytes] = []
        """Those that were appended; a URL stands in them between angle brackets."""
        self._message = b""
        self._begun: list[bytes] = []
        self._mailbox = ""

    def log_in(self) -> None:
        """Without a command."""
        self.engine.session.state = State.AUTHENTICATED

    def select(self) -> None:
        """Open a mailbox, without a command."""
        self.engine.session.state = State.SELECTED

    def hear(self, octets: bytes) -> bytes:
        """What arrives; gives what is answered, up to where more is needed."""
        start = len(self.sent)
        self.engine.feed(octets)
        while (event := self.engine.next_event()) is not None:
            if isinstance(event, events.AppendOctets):
                assert event.octets
                if self.told and isinstance(self.told[-1], bytearray):
                    self.told[-1] += event.octets
                else:
                    self.told.append(bytearray(event.octets))
            elif not isinstance(event, events.AnswersWaiting):
                self.told.append(event)
            self.answer(event)
            self.sent += self.engine.take()
        self.sent += self.engine.take()
        return self.sent[start:]

    def answer(self, event: events.Event) -> None:
        """What a small server would."""
        engine = self.engine
        match event:
            case Login(_, password):
                self._check(password.encode())
            case Authenticate(_, None):
                engine.challenge(b"")
            case Authenticate(_, octets) | events.AuthenticationResponse(octets):
                self._check(octets or b"")
            case StartTls():
                engine.complete(ok("Begin TLS"))
                engine.tls_started(replace(engine.session.offer, starttls=False))
            case Capability():
                engine.send(f"* {capabilities(engine.session)}\r\n".encode())
                engine.complete(ok("Done"))
            case Enable(names):
                engine.session.enabled |= set(names)
                engine.complete(ok("Done"))
            case Select(mailbox):
                is_there = not mailbox.startswith("missing")
                engine.session.state = State.SELECTED if is_there else State.AUTHENTICATED
                engine.complete(ok("Open", "READ-WRITE") if is_there else no("No such mailbox", "NONEXISTENT"))
            case Close() | Unselect():
                engine.session.state = State.AUTHENTICATED
                engine.complete(ok("Done"))
            case Idle():
                engine.idling()
            case Unauthenticate():
                engine.unauthenticated(engine.session.offer)
                engine.complete(ok("Done"))
            case Append() | Replace() | events.AppendMessage() | events.AppendOctets() | events.AppendUrl():
                self._answer_append(event)
            case events.AppendMessageEnd() | events.AppendEnd():
                self._answer_append(event)
            case Compress() | Logout() | Request() | events.Done():
                engine.complete(ok("Done"))
            case _:
                pass

    def _check(self, octets: bytes) -> None:
        if octets.endswith(b"s3cret"):
            self.engine.session.state = State.AUTHENTICATED
            self.engine.complete(ok("Logged in"))
        else:
            self.engine.complete(no("Wrong name or password", "AUTHENTICATIONFAILED"))

    def _answer_append(self, event: events.Event) -> None:
        engine = self.engine
        match event:
            case Append(mailbox) | Replace(mailbox):
                self._mailbox, self._begun = mailbox, []
                if mailbox.startswith("missing"):
                    engine.complete(no("No such mailbox", "TRYCREATE"))
                else:
                    engine.go_on()
            case events.AppendMessage():
                self._message = b""
            case events.AppendOctets(octets):
                self._message += octets
                if self._mailbox.startswith("full"):
                    engine.complete(no("Over quota", "OVERQUOTA"))
            case events.AppendUrl(url):
                self._message += b"<" + url.encode() + b">"
            case events.AppendMessageEnd():
                self._begun.append(self._message)
            case events.AppendEnd(is_whole):
                if is_whole:
                    self.messages += self._begun
                engine.complete(ok("Appended", f"APPENDUID 1 {len(self.messages)}"))
