"""The operator's command line. Each command's module is imported when the command runs, so that starting is fast."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from estafeta import __version__
from estafeta.cli.faults import exit_code_of

# Command, its module, and its line in the help.
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "Run the server until SIGTERM."),
    "try": ("trial", "Try Estafeta out on this machine, with nothing to set up."),
    "check": ("check", "Check the settings file and what it names."),
    "domain": ("domain", "Domains whose mail ends here."),
    "account": ("account", "Accounts, their passwords and quotas."),
    "alias": ("alias", "Addresses that stand for others."),
    "mailbox": ("mailbox", "Look into mailboxes and change them."),
    "index": ("index", "Read mail for searching before anybody asks for it."),
    "repair": ("repair", "Save what can be saved of a damaged store."),
    "watch": ("watch", "Show messages to an account's screen as they come."),
    "queue": ("queue", "Recipients that wait to be relayed."),
    "route": ("route", "Explain where a message would go and why, without sending one."),
    "fetch-queue": ("fetch_queue", "Call a provider for the mail that waits there."),
    "send": ("send", "Send a message through a server."),
    "backup": ("backup", "Copy the store while the server runs."),
    "restore": ("restore", "Make a backup the store again."),
    "verify": ("verify", "Look at every octet of the store, or of its backups."),
    "simulate": ("simulate", "Run post offices in a simulated world that breaks, and see that no mail is lost."),
    "audit": ("audit", "Account for every message that was accepted."),
    "trace": ("trace", "Tell the life of a message and the reason of every decision."),
}


class Commands(click.Group):
    """The commands by name, imported when asked for; every fault becomes one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module, which has it as `command`."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"estafeta.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run, and exit with a code; nothing that is raised gets out as a traceback."""
        try:
            code = super().main(*args, **{**extra, "prog_name": "estafeta", "standalone_mode": False})
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            sys.exit(exit_code_of(error))
        sys.exit(code if isinstance(code, int) else 0)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="Estafeta", message="%(prog)s %(version)s")
def estafeta() -> None:
    """Estafeta, a complete mail server."""


def main() -> None:
    """The entry point of the console script."""
    estafeta()


if __name__ == "__main__":
    main()
