"""`estafeta try`: a post office to play with, on loopback, made and proven in one go.

It is an ordinary server: a settings file like any other in the trial's folder, started as `serve` starts it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli.faults import CommandFault, complain
from estafeta.cli.options import json_option
from estafeta.cli.output import document, say
from estafeta.mail.address import Address
from estafeta.mail.value import value

if TYPE_CHECKING:
    from estafeta.app import PostOffice
    from estafeta.cli import roundtrip
    from estafeta.config.settings import Settings

DOMAIN = "estafeta.test"
SENDER, READER, CAPTURED = (Address(name, DOMAIN) for name in ("ana", "luis", "captured"))
_SETTINGS = "estafeta.toml"
_MARK = "trial.json"
"""Marks a folder as a trial's, and keeps the passwords that are printed."""

SETTINGS_TEXT = f"""\
# The trial of Estafeta; change what you like, and start `estafeta try` again.
hostname = "mx.{DOMAIN}"
data = "."

[[listen]]
kind = "smtp"
address = "127.0.0.1"
port = 2525

[[listen]]
kind = "submission"
address = "127.0.0.1"
port = 2587

[[listen]]
kind = "submissions"
address = "127.0.0.1"
port = 2465

[[listen]]
kind = "lmtp"
address = "127.0.0.1"
port = 2024

[[listen]]
kind = "pop3"
address = "127.0.0.1"
port = 2110

[[listen]]
kind = "pop3s"
address = "127.0.0.1"
port = 2995

[[listen]]
kind = "imap"
address = "127.0.0.1"
port = 2143

[[listen]]
kind = "imaps"
address = "127.0.0.1"
port = 2993

[tls]
certificate = "tls/server.pem"
key = "tls/server.key"

# Nothing leaves this machine: mail for every other domain ends in one mailbox here.
[[route]]
domain = "*"
mailbox = "{CAPTURED}"

[log]
level = "warning"

[shutdown]
drain_seconds = 2
"""


@value
class Trial:
    """A trial's folder, ready to be served."""

    folder: Path
    authority: Path
    passwords: dict[Address, str]

    @property
    def settings_file(self) -> Path:
        """The settings, as `--config` takes them."""
        return self.folder / _SETTINGS


@click.command("try")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("estafeta-trial"),
    show_default=True,
    help="The folder of the trial; kept between runs.",
)
@click.option("--fresh", is_flag=True, help="Remove what an earlier trial left in the folder.")
@click.option("--once", is_flag=True, help="Stop after the round trip; the exit code says whether it worked.")
@json_option
def command(data: Path, fresh: bool, once: bool, as_json: bool) -> int:
    """Try Estafeta out on this machine, with nothing to set up.

    Makes certificates, a domain and accounts, sends a message from one to the other, reads it back, and serves
    until Ctrl-C. Mail for other domains is kept in a mailbox of its own and never sent out.
    """
    from estafeta import app
    from estafeta.cli import logs
    from estafeta.cli.serve import words_of
    from estafeta.config.reading import load

    folder = data.absolute()
    _refuse_foreign(folder)
    if fresh and folder.exists():
        if (folder / _SETTINGS).exists():
            _with_free_ports(load(folder / _SETTINGS))
        shutil.rmtree(folder)
    trial = prepare(folder)
    settings = _with_free_ports(load(trial.settings_file))
    logs.set_up(settings.log)
    try:
        with asyncio.Runner(loop_factory=app.new_event_loop) as runner:
            return runner.run(_run(trial, settings, once=once, as_json=as_json))
    except app.ListenFailed as failure:
        raise CommandFault(words_of(failure)) from None


def prepare(folder: Path) -> Trial:
    """Settings, certificates and passwords in the folder; what is there stays."""
    from estafeta.cli.passwords import generated_password
    from estafeta.net.authority import issue

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark = folder / _MARK
    if mark.exists():
        passwords = _passwords(mark)
    else:
        passwords = {each: generated_password() for each in (SENDER, READER)}
        told = json.dumps({"trial": 1, "passwords": {str(each): text for each, text in passwords.items()}}, indent=2)
        _write_private(mark, told + "\n")
    issued = issue(folder / "tls", [f"mx.{DOMAIN}", "localhost", "127.0.0.1", "::1"])
    if not (folder / _SETTINGS).exists():
        _write_private(folder / _SETTINGS, SETTINGS_TEXT)
    return Trial(folder, issued.authority, passwords)


def _passwords(mark: Path) -> dict[Address, str]:
    try:
        kept = json.loads(mark.read_text("utf-8"))["passwords"]
        return {each: str(kept[str(each)]) for each in (SENDER, READER)}
    except (ValueError, KeyError, TypeError):
        raise CommandFault(f"{mark} is damaged: start over with --fresh") from None


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, and for nobody else to read."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _refuse_foreign(folder: Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()) and not (folder / _MARK).is_file():
            raise CommandFault(f"{folder} is not the folder of a trial: name another one with --data")
    elif folder.exists():
        raise CommandFault(f"{folder} is not a folder: name another one with --data")


def _with_free_ports(settings: Settings) -> Settings:
    """The settings without LMTP where another program has its port; any other port that is taken is a fault."""
    from estafeta.config.settings import ListenerKind

    kept = []
    for listen in settings.listen:
        if not _is_taken(listen.address, listen.port):
            kept.append(listen)
        elif listen.kind is ListenerKind.LMTP:
            complain(f"port {listen.port} is in use by another program: this trial goes without LMTP")
        else:
            raise CommandFault(
                f"port {listen.port} is in use ({listen.name}): stop what listens there (another trial?), "
                f"or change the port in the trial's {_SETTINGS}"
            )
    return settings.model_copy(update={"listen": tuple(kept)})


def _is_taken(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE  # of any other error the listener itself will tell better
    return False


async def _run(trial: Trial, settings: Settings, *, once: bool, as_json: bool) -> int:
    from estafeta.app import PostOffice
    from estafeta.cli import roundtrip

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with PostOffice(settings) as office:
        await _populate(office, trial.passwords)
        if not as_json:
            _introduce(trial)
        proof = await roundtrip.prove(office, trial)
        if as_json:
            document(_record(trial, settings, proof))
        else:
            for line in proof.lines:
                say(line)
        if proof.fault is not None:
            complain(f"the round trip failed: {proof.fault}")
        if not once:
            if not as_json:
                _explain(trial, office)
            sys.stdout.flush()
            await stopped.wait()
    return 1 if once and proof.fault is not None else 0


async def _populate(office: PostOffice, passwords: dict[Address, str]) -> None:
    from estafeta.store import accounts, domains
    from estafeta.store.passwords import hash_password
    from estafeta.store.records import Instant
    from estafeta.store.store import Transaction

    wanted = (SENDER, READER, CAPTURED)
    present = await office.store.read(lambda tx: {each for each in wanted if accounts.find(tx, each) is not None})
    missing = [each for each in wanted if each not in present]
    if not missing:
        return
    hashed = {
        each: await asyncio.to_thread(hash_password, passwords[each]) if each in passwords else None for each in missing
    }

    def change(tx: Transaction) -> None:
        now = Instant(time.time())
        if domains.find(tx, DOMAIN) is None:
            domains.add(tx, DOMAIN, now=now)
        for each in missing:
            accounts.add(tx, each, password=hashed[each], now=now)

    await office.store.write(change)


def _introduce(trial: Trial) -> None:
    say(f"Estafeta is open, with its data in {trial.folder}")
    say()
    for address, password in trial.passwords.items():
        say(f"{address}, {password}")
    say()


def _record(trial: Trial, settings: Settings, proof: roundtrip.Proof) -> dict[str, object]:
    return {
        "data": trial.folder,
        "config": trial.settings_file,
        "authority": trial.authority,
        "accounts": [
            {"address": address, "password": trial.passwords.get(address)} for address in (SENDER, READER, CAPTURED)
        ],
        "listeners": [
            {"kind": listen.kind, "address": listen.address, "port": listen.port} for listen in settings.listen
        ],
        "round_trip": {
            "is_proven": proof.fault is None,
            "fault": proof.fault,
            "message_id_field": proof.message_id_field,
            "trace": proof.chapters,
        },
    }


def _explain(trial: Trial, office: PostOffice) -> None:
    from estafeta.config.settings import ListenerKind

    ports = {listen.kind: office.port(listen.kind) for listen in office.settings.listen}
    say()
    say("Talk to it; every recipient elsewhere ends in captured@estafeta.test, nothing leaves this machine:")
    say()
    if smtp := ports.get(ListenerKind.SMTP):
        say(f"  swaks --server 127.0.0.1:{smtp} --from you@example.org --to {READER}")
    if submission := ports.get(ListenerKind.SUBMISSION):
        say(f"  swaks --server 127.0.0.1:{submission} -tls --auth-user {SENDER} --auth-password PASSWORD --to {READER}")
    if pop3s := ports.get(ListenerKind.POP3S):
        say(f"  mutt -e 'set ssl_ca_certificates_file={trial.authority}' -f pops://{READER}@localhost:{pop3s}/")
        say(
            f'  python3 -c \'import poplib, ssl; p = poplib.POP3_SSL("localhost", {pop3s}, '
            f'context=ssl.create_default_context(cafile="{trial.authority}")); print(p.welcome)\''
        )
    if imaps := ports.get(ListenerKind.IMAPS):
        say(f"  mutt -e 'set ssl_ca_certificates_file={trial.authority}' -f imaps://{READER}@localhost:{imaps}/")
        say(
            f'  python3 -c \'import imaplib, ssl; i = imaplib.IMAP4_SSL("localhost", {imaps}, '
            f'ssl_context=ssl.create_default_context(cafile="{trial.authority}")); print(i.welcome)\''
        )
    program = "estafeta" if shutil.which("estafeta") else sys.argv[0]
    say(f"  {program} mailbox list luis --config {trial.settings_file}")
    say(f"  {program} trace {READER} --config {trial.settings_file}")
    say()
    say("Serving until Ctrl-C.")
