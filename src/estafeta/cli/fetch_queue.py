"""`estafeta fetch-queue`: call a provider for the mail that waits there, as the customer (RFC 1985, RFC 2645).

With ETRN the provider connects to our own port later. With ATRN and TURN the roles are turned: this process becomes
the SMTP server on the connection that it made, and takes the mail in as reception does, for our own domains only.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from estafeta.cli import options
from estafeta.cli.faults import CommandFault
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, octets, say
from estafeta.cli.passwords import asked_password, read_password
from estafeta.config.location import find_config
from estafeta.mail.value import value

if TYPE_CHECKING:
    from estafeta.agents.environment import Environment
    from estafeta.cli.handing import Server
    from estafeta.client import SmtpClient
    from estafeta.config.settings import Settings
    from estafeta.mail.reply import Reply
    from estafeta.net.stream import Stream
    from estafeta.store.records import JournalEntry
    from estafeta.store.store import Store

T = TypeVar("T")

EXIT_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits: the same call may succeed later."""

_NO_MAIL = 453


class TryAgain(CommandFault):
    """It did not work this time; the mail waits on at the provider."""

    exit_code = EXIT_TRY_AGAIN


@click.command("fetch-queue")
@click.argument("provider", metavar="PROVIDER[:PORT]")
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option("--etrn", is_flag=True, help="Have the mail for each DOMAIN, @DOMAIN or #QUEUE sent to our own port 25.")
@click.option("--atrn", is_flag=True, help="Take the mail for each DOMAIN, or for all of ours, over this connection.")
@click.option("--turn", is_flag=True, help="The same with the older TURN, for all domains of the user.")
@click.option("--user", metavar="ADDRESS", help="Log in as this user; needed for --atrn and --turn.")
@click.option(
    "--password-file",
    metavar="FILE",
    help="Where the password is; - is standard input. Default: $ESTAFETA_PASSWORD, or a prompt.",
)
@click.option(
    "--tls",
    type=click.Choice(["none", "starttls", "implicit"]),
    help="Default: starttls with --user, else STARTTLS where the provider offers it.",
)
@click.option("--ca-file", type=click.Path(path_type=Path), help="Trust the authorities in this PEM file instead.")
@config_option
@json_option
def command(
    provider: str,
    domains: tuple[str, ...],
    etrn: bool,
    atrn: bool,
    turn: bool,
    user: str | None,
    password_file: str | None,
    tls: str | None,
    ca_file: Path | None,
    config: Path | None,
    as_json: bool,
) -> int:
    """Call a PROVIDER for the mail that waits there; one of --etrn, --atrn and --turn says how.

    PORT is 366 with --atrn, else 25. Run it as often as mail is wanted, by cron or a timer of systemd. Exits with 0
    when all went well, also when there was no mail, and with 75 when it may go better later.
    """
    verbs = [name for name, is_wanted in (("etrn", etrn), ("atrn", atrn), ("turn", turn)) if is_wanted]
    if len(verbs) != 1:
        raise click.UsageError("give one of --etrn, --atrn and --turn")
    names = _names(verbs[0], domains)
    server = _server(provider, verbs[0], user, password_file, tls, ca_file)
    if etrn:
        return _report_replies(_run(_ask(server, names), provider), as_json)
    settings = _settings(config)
    fetched = _run(_fetch(settings, server, names, is_turn=turn), provider)
    return _report(fetched, as_json)


def _names(verb: str, domains: tuple[str, ...]) -> list[str]:
    if verb == "etrn":
        if not domains:
            raise click.UsageError("--etrn needs a DOMAIN, @DOMAIN or #QUEUE")
        return [_node(text) for text in domains]
    if verb == "turn" and domains:
        raise click.UsageError("--turn takes the mail of all domains, and none can be named")
    return [options.domain(text) for text in domains]


def _node(text: str) -> str:
    if text.startswith("#"):
        return text
    return "@" * text.startswith("@") + options.domain(text.removeprefix("@"))


def _server(
    provider: str, verb: str, user: str | None, password_file: str | None, tls: str | None, ca_file: Path | None
) -> Server:
    from estafeta.cli.handing import Server
    from estafeta.cli.send import PASSWORD_VARIABLE
    from estafeta.client import TlsMode
    from estafeta.config.check import host_and_port

    mode = TlsMode(tls) if tls else TlsMode.STARTTLS if user else TlsMode.OPPORTUNISTIC
    port = 465 if mode is TlsMode.IMPLICIT else 366 if verb == "atrn" else 25
    place = host_and_port(provider) or host_and_port(f"{provider}:{port}")
    if place is None:
        raise click.UsageError(f"{provider} is not a host and a port")
    if user is None:
        if verb != "etrn":
            raise click.UsageError(f"--{verb} needs --user: mail is given to those who log in")
        return Server(*place, tls=mode, ca_file=ca_file)
    if password_file is not None:
        password = read_password(password_file)
    else:
        password = os.environ.get(PASSWORD_VARIABLE) or asked_password(f"Password of {user}")
    return Server(*place, tls=mode, ca_file=ca_file, user=user, password=password)


def _settings(config: Path | None) -> Settings:
    """The settings of the house whose mail is fetched; its store must be there."""
    from estafeta.cli import logs
    from estafeta.cli.opening import has_store
    from estafeta.config.reading import read

    settings = read(find_config(config))
    if not has_store(settings.data):
        raise CommandFault(f"there is no store in {settings.data} yet: `estafeta domain add NAME` makes it")
    logs.set_up(settings.log)
    return settings


def _run(calling: Coroutine[Any, Any, T], provider: str) -> T:
    """Call; what goes wrong becomes one line and an exit code."""
    from estafeta.cli.send import words_of
    from estafeta.client import Refused
    from estafeta.net.errors import ConnectFailed, ConnectionLost, DeadlinePassed

    try:
        return asyncio.run(calling)
    except Exception as error:
        is_later = isinstance(error, ConnectFailed | ConnectionLost | DeadlinePassed)
        if isinstance(error, Refused):
            is_later = not error.reply.is_permanent
        raise (TryAgain if is_later else CommandFault)(words_of(error, provider)) from None


@asynccontextmanager
async def _called(server: Server, local_name: str) -> AsyncIterator[SmtpClient]:
    """A connection to the provider, logged in where there is a user."""
    from estafeta.client import SmtpClient
    from estafeta.net.tls import client_context

    context = client_context(server.ca_file) if server.ca_file is not None else None
    client = await SmtpClient.connect(server.host, server.port, local_name=local_name, tls=server.tls, context=context)
    async with client:
        if server.user is not None:
            await client.login(server.user, server.password or "")
        yield client


# ETRN.


async def _ask(server: Server, names: Sequence[str]) -> list[tuple[str, Reply]]:
    from estafeta.cli.handing import local_name

    async with _called(server, local_name()) as client:
        return [(name, await client.etrn(name)) for name in names]


def _report_replies(told: Sequence[tuple[str, Reply]], as_json: bool) -> int:
    if as_json:
        document([{"name": name, **_record(reply)} for name, reply in told])
    else:
        for name, reply in told:
            say(f"{name}: {reply}")
    refused = [reply for _, reply in told if not reply.is_positive]
    if not refused:
        return 0
    return 1 if any(reply.is_permanent for reply in refused) else EXIT_TRY_AGAIN


def _record(reply: Reply) -> dict[str, object]:
    return {"code": reply.code, "status": str(reply.status) if reply.status else None, "text": reply.text}


# ATRN and TURN.


@value
class Fetched:
    """What came of a call whose roles were to be turned."""

    reply: Reply
    """To ATRN or TURN."""
    ended: str = ""
    """How the session ended in which we were the server."""
    entries: tuple[JournalEntry, ...] = ()
    """What the journal has of that session."""

    @property
    def is_put_off(self) -> bool:
        """Whether mail waits on at the provider that may be taken later."""
        return self.ended != "quit" or any(each["verdict"] == "defer" for each in self.decisions)

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """All that were made in that session, of its messages too."""
        return [each for entry in self.entries for each in _decisions(entry)]

    @property
    def transactions(self) -> list[JournalEntry]:
        """The messages that were offered, in their order."""
        from estafeta.store.records import EntryKind

        return [entry for entry in self.entries if entry.kind is EntryKind.TRANSACTION]


def _decisions(entry: JournalEntry) -> list[dict[str, Any]]:
    found = entry.facts.get("decisions")
    return found if isinstance(found, list) else []


async def _fetch(settings: Settings, server: Server, domains: Sequence[str], *, is_turn: bool) -> Fetched:
    from estafeta.app import environment

    async with _opened(settings) as store, _called(server, settings.hostname) as client:
        reply = await (client.turn() if is_turn else client.atrn(domains))
        if not reply.is_positive:
            return Fetched(reply)
        stream = client.detach()
        try:
            async with environment(settings, store) as made:
                return await _serve(made, stream, f"fetch-queue {server.host}:{server.port}", reply)
        finally:
            await stream.close()


async def _serve(environment: Environment, stream: Stream, name: str, reply: Reply) -> Fetched:
    """Be the server on the turned connection, until the provider says QUIT."""
    from estafeta.agents.environment import ListenerFacts, Role, server_options
    from estafeta.agents.session import Session
    from estafeta.store import journal

    listener = ListenerFacts(name, Role.FETCHING, None)
    options = server_options(environment, listener, is_near=False)
    session = Session(environment, listener, stream, options, lambda: False)
    await session.run()
    store = environment.store
    await store.write(lambda tx: None)  # what is recorded later stands before this
    entries = await store.read(lambda tx: journal.by_session(tx, session.peer.session_id))
    return Fetched(reply, session.ended, tuple(entries))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Store]:
    from estafeta.store.store import open_store

    store = open_store(settings.data, clock=time.time, large_content=settings.store.large_content)
    try:
        yield store
    finally:
        store.close()


def _report(fetched: Fetched, as_json: bool) -> int:
    """Tell what came, and give the exit code."""
    reply = fetched.reply
    if as_json:
        messages = [_message(entry) for entry in fetched.transactions]
        document({"reply": _record(reply), "ended": fetched.ended or None, "messages": messages})
    elif reply.is_positive or reply.code == _NO_MAIL:
        for entry in fetched.transactions:
            for line in _lines(entry):
                say(line)
        if not fetched.transactions:
            say("no mail" if reply.is_positive else str(reply))
    if not reply.is_positive:
        if reply.code == _NO_MAIL:  # RFC 2645 §5.2.1
            return 0
        raise (CommandFault if reply.is_permanent else TryAgain)(f"the provider refused: {reply}")
    if fetched.ended != "quit":
        raise TryAgain(f"the connection ended before all had come ({fetched.ended}); the rest waits at the provider")
    return EXIT_TRY_AGAIN if fetched.is_put_off else 0


def _message(entry: JournalEntry) -> dict[str, object]:
    """A message that was offered, for machines."""
    from estafeta.store.ids import IdSource

    facts = entry.facts
    return {
        "queue_id": IdSource.text(entry.message_id) if entry.message_id is not None else None,
        "reverse_path": facts.get("reverse_path"),
        "recipients": [each["forward_path"] for each in _recipients(entry)],
        "size": facts.get("size"),
        "ended": facts.get("ended"),
        "refused": [{"subject": each["subject"], "reply": each["reply"]} for each in _refusals(entry)],
    }


def _lines(entry: JournalEntry) -> Iterator[str]:
    """A message that was offered, for people: a line for it, and one for each of its recipients that was refused."""
    told = _message(entry)
    paths = ", ".join(f"<{each['forward_path']}>" for each in _recipients(entry))
    way = f"from <{told['reverse_path']}>" + (f" for {paths}" if paths else "")
    size = f", {octets(told['size'])}" if isinstance(told["size"], int) else ""
    yield f"{told['queue_id'] or '-'} {told['ended']} {way}{size}"
    for each in _refusals(entry):
        yield f"  {each['stage']} {each['subject']}: {each['reply']}"


def _refusals(entry: JournalEntry) -> list[dict[str, Any]]:
    """What was refused for its own sake; a DATA that was sent ahead is not."""
    return [each for each in _decisions(entry) if each["stage"] != "command"]


def _recipients(entry: JournalEntry) -> list[dict[str, str]]:
    found = entry.facts.get("recipients")
    return found if isinstance(found, list) else []
