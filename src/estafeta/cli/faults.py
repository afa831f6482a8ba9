"""How a command fails: one clear line on standard error and an exit code, never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from typing import IO, Any

import click

from estafeta.config.faults import SettingsError

TRACEBACK_VARIABLE = "ESTAFETA_TRACEBACK"
EXIT_FAULT = 1
EXIT_INTERRUPTED = 130

# Errors whose message is written for an operator; by name, because their modules are not imported just to ask.
_TOLD = {
    "StoreError",
    "NetError",
    "ClientError",
    "RemoteProtocolError",
    "SaslError",
    "UnfitPassword",
    "ListenFailed",
    "PrivilegeFault",
}


class CommandFault(click.ClickException):
    """What was asked for cannot be done; the message is one sentence for the person who asked."""

    exit_code = EXIT_FAULT

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line."""
        complain(self.format_message())


def complain(message: str) -> None:
    """`estafeta: message` on standard error, whatever the message has in it on one line."""
    from estafeta.cli.output import printable

    try:
        sys.stderr.write(f"estafeta: {printable(' '.join(message.split()))}\n")
        sys.stderr.flush()
    except OSError:  # nobody reads it
        pass


def exit_code_of(error: BaseException) -> int:
    """Say what went wrong and give the exit code for it."""
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "estafeta"
        complain(f"{error.format_message().rstrip('.')}. See {where} --help")
        return error.exit_code
    if isinstance(error, click.ClickException):
        complain(error.format_message())
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        complain("interrupted")
        return EXIT_INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has gone; Python must not try to flush what is left of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAULT
    if isinstance(error, SettingsError):
        for fault in error.faults:
            complain(str(fault))
        return EXIT_FAULT
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    complain(_words(error))
    return EXIT_FAULT


def _words(error: BaseException) -> str:
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: {reason.lower()}" if error.filename else reason
    if any(kind.__name__ in _TOLD for kind in type(error).__mro__):
        return str(error) or type(error).__name__
    return (
        f"this should not have happened: {type(error).__name__}: {error}. "
        f"{TRACEBACK_VARIABLE}=1 shows more for a report"
    )
