"""A command as a gateway: the message on its standard input, its exit code as the answer, as Postfix's pipe(8) does.

No shell reads the arguments. A run has a session and limits of its own, a small environment, no open file but the
three standard ones, and never the rights of root. When its time is over it is killed with its process group.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from estafeta.agents.outbound.gateways import launcher
from estafeta.agents.outbound.gateways.files import (
    MisconfiguredGateway,
    decided,
    delivered,
    ended,
    reply_to,
)
from estafeta.agents.outbound.gateways.placeholders import (
    UnfitAddress,
    expand_command,
    message_values,
    recipient_values,
)
from estafeta.agents.outbound.gateways.settings import GatewaySettings
from estafeta.agents.outbound.outcome import Outcome
from estafeta.mail.reply import Reply
from estafeta.mail.trace import return_path
from estafeta.mail.value import value
from estafeta.store.records import QueuedMessage, QueuedRecipient

_PATH = "/usr/local/bin:/usr/bin:/bin"
# sysexits(3): what a program says of the message is final, what it says of this machine is not.
_FAILURES = {
    64: ("5.3.0", "command line usage error"),
    65: ("5.6.0", "data format error"),
    66: ("5.3.0", "cannot open input"),
    67: ("5.1.1", "user unknown"),
    68: ("5.1.2", "host name unknown"),
    69: ("5.3.0", "service unavailable"),
    70: ("5.3.0", "internal software error"),
    71: ("4.3.0", "system error"),
    72: ("4.3.0", "critical system file missing"),
    73: ("4.2.0", "cannot create output file"),
    74: ("4.3.0", "input/output error"),
    75: ("4.3.0", "temporary failure"),
    76: ("5.5.0", "remote error in protocol"),
    77: ("5.7.0", "permission denied"),
    78: ("4.3.5", "local configuration error"),
}
# RFC 3463 §2, as a program may begin its output with.
_STATUS = re.compile(r"([45]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_TEXT_LENGTH = 400
"""Characters of a program's output in a reply; a reply line has 512 octets (RFC 5321 §4.5.3.1.5)."""
_CHUNK = 65_536
# Postfix's command_expansion_filter: what means something to a shell does not reach a script's variables.
_UNSAFE = re.compile(r"[^\w @%=+:,./!-]")


@value
class _Owner:
    """As whom a command runs; `ids` are the launcher's first three arguments."""

    ids: tuple[str, str, str]
    name: str
    home: str


class CommandGateway:
    """Runs the command once for each recipient, or for as many of one message as the settings let it have."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._places = asyncio.Semaphore(settings.concurrency)

    async def deliver(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient], content: bytes
    ) -> list[Outcome]:
        """One outcome for each recipient; `content` is what a host would be sent.

        When cancelled, the runs are killed, and what they had done by then is not known.
        """
        octets = ended(return_path(message.reverse_path) + content, self._settings.line_ends)
        values = message_values(message, len(octets), self._settings.null_sender)
        fit, outcomes = self._sorted(values, recipients)
        share = self._settings.recipients_per_run
        async with asyncio.TaskGroup() as runs:
            tasks = [
                runs.create_task(self._run_for(values, fit[start : start + share], octets))
                for start in range(0, len(fit), share)
            ]
        return outcomes + [outcome for task in tasks for outcome in task.result()]

    def _sorted(
        self, values: Mapping[str, str], recipients: Sequence[QueuedRecipient]
    ) -> tuple[list[QueuedRecipient], list[Outcome]]:
        """Those whose address the command can be told, and outcomes for the others."""
        fit: list[QueuedRecipient] = []
        outcomes: list[Outcome] = []
        for recipient in recipients:
            try:
                self._arguments(values, [recipient])
                fit.append(recipient)
            except UnfitAddress as error:
                outcomes.append(decided(recipient, Reply.of(553, str(error), "5.1.0")))
        return fit, outcomes

    def _arguments(self, values: Mapping[str, str], recipients: Sequence[QueuedRecipient]) -> list[str]:
        delimiter = self._settings.delimiter
        parts = [recipient_values(recipient, delimiter) for recipient in recipients]
        return expand_command(self._settings.command, values, parts)

    async def _run_for(
        self, values: Mapping[str, str], recipients: Sequence[QueuedRecipient], octets: bytes
    ) -> list[Outcome]:
        async with self._places:
            try:
                reply = await self._run(values, recipients, octets)
            except (OSError, MisconfiguredGateway) as error:
                reply = reply_to(error, self._settings.name)
        if reply.is_positive:
            return [delivered(recipient, reply.text) for recipient in recipients]
        return [decided(recipient, reply) for recipient in recipients]

    async def _run(self, values: Mapping[str, str], recipients: Sequence[QueuedRecipient], octets: bytes) -> Reply:
        settings = self._settings
        owner = await asyncio.to_thread(owner_of, settings.user)
        limits = settings.limits
        arguments = [
            *(sys.executable, "-I", "-S", str(Path(launcher.__file__)), *owner.ids, str(settings.umask)),
            *(str(limits.cpu_seconds), str(limits.memory), str(limits.file_size), str(limits.open_files)),
            *self._arguments(values, recipients),
        ]
        with await asyncio.to_thread(_as_file, octets) as stdin:
            async with _output(settings.max_output) as (output, writing_end):
                process = await asyncio.create_subprocess_exec(
                    *arguments,
                    stdin=stdin,
                    stdout=writing_end,
                    stderr=writing_end,
                    env=self._environment(owner, values, recipients),
                    start_new_session=True,
                )
                try:
                    async with asyncio.timeout(settings.timeout):
                        code = await process.wait()
                except TimeoutError:
                    return Reply.of(451, "the gateway's command did not come to its end in time", "4.3.0")
                finally:
                    if process.returncode is None:
                        _kill_group(process.pid)
                        await process.wait()
                return reply_for(code, output.read(), settings.name)

    def _environment(
        self, owner: _Owner, values: Mapping[str, str], recipients: Sequence[QueuedRecipient]
    ) -> dict[str, str]:
        """Who it is, and the envelope under the names of Postfix's local(8); of a recipient only where it is alone."""
        said = {"SENDER": values["sender"]}
        if len(recipients) == 1:
            parts = recipient_values(recipients[0], self._settings.delimiter)
            said |= {name.upper(): parts[name] for name in ("recipient", "user", "extension", "domain")}
        safe = {name: _UNSAFE.sub("_", value) for name, value in said.items()}
        return {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": owner.home, "LOGNAME": owner.name, **safe}


def owner_of(user: str) -> _Owner:
    """As whom a command runs; never as root. Raises MisconfiguredGateway."""
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise MisconfiguredGateway(f"there is no user {user or os.geteuid()}") from error
    if entry.pw_uid == 0:
        raise MisconfiguredGateway("a command is not run as root: the gateway needs another user")
    if entry.pw_uid == os.geteuid():
        return _Owner(("-", "-", "-"), entry.pw_name, entry.pw_dir)
    if os.geteuid() != 0:
        raise MisconfiguredGateway(f"only root can run a command as {user}")
    groups = ",".join(map(str, os.getgrouplist(entry.pw_name, entry.pw_gid)))
    return _Owner((str(entry.pw_uid), str(entry.pw_gid), groups), entry.pw_name, entry.pw_dir)


def reply_for(code: int, output: bytes, gateway: str) -> Reply:
    """The answer that an exit code gives (negative: the number of a signal), explained by the first line of output."""
    if code == 0:
        return Reply.of(250, f"delivered to the command of gateway {gateway}", "2.0.0")
    if code < 0:
        return Reply.of(451, f"the gateway's command was ended by signal {-code}", "4.3.0")
    text = _first_line(output)
    status, words = _FAILURES.get(code, ("5.3.0", f"the gateway's command ended with exit code {code}"))
    if told := _STATUS.match(text):  # as in pipe(8), a status in the output goes before the exit code
        status, text = told[1], text[told.end() :]
    if status.startswith("4"):
        return Reply.of(451, text or words, status)
    return Reply.of(550 if status.startswith("5.1.") else 554, text or words, status)


def _first_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return "".join(filter(str.isprintable, lines[0]))[:_TEXT_LENGTH].strip() if lines else ""


def _as_file(octets: bytes) -> IO[bytes]:
    """A file without a name, at its beginning: a command may read it at leisure, or not at all."""
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller closes it
    try:
        view = memoryview(octets)
        while view:
            view = view[file.write(view) :]
        os.fchmod(file.fileno(), 0o444)  # so that another user can open /dev/stdin
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


class _Output:
    """What comes out of a pipe: the first octets are kept, the rest is taken away so that the writer can go on."""

    def __init__(self, descriptor: int, most: int) -> None:
        self._descriptor = descriptor
        self._most = most
        self._kept = b""

    def take(self) -> None:
        """Take what there is, up to one chunk."""
        with suppress(BlockingIOError):
            octets = os.read(self._descriptor, _CHUNK)
            self._kept += octets[: self._most - len(self._kept)]

    def read(self) -> bytes:
        """What was kept, after the writer has ended; a pipe holds no more than a chunk."""
        self.take()
        return self._kept


@asynccontextmanager
async def _output(most: int) -> AsyncIterator[tuple[_Output, int]]:
    """A pipe that is read while the block runs, and its writing end."""
    reading_end, writing_end = os.pipe()
    os.set_blocking(reading_end, False)
    loop = asyncio.get_running_loop()
    output = _Output(reading_end, most)
    loop.add_reader(reading_end, output.take)
    try:
        yield output, writing_end
    finally:
        loop.remove_reader(reading_end)
        os.close(reading_end)
        os.close(writing_end)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
