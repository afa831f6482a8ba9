"""Passwords for commands: asked for twice, read from a file or from standard input, or made up; never arguments."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import click

from estafeta.cli.faults import CommandFault

# Without letters and digits that are mistaken for one another; 20 of 31 are 99 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_MIN_LENGTH = 8


def generated_password() -> str:
    """A new password, in groups that can be read out."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def chosen_password(file: str | None, *, generate: bool) -> str:
    """The password for an account, and the same rules wherever it comes from."""
    if file is not None and generate:
        raise click.UsageError("--generate and --password-file cannot be used together")
    if generate:
        return generated_password()
    password = read_password(file) if file is not None else _ask_twice()
    if len(password) < _MIN_LENGTH:
        raise CommandFault(f"the password is too short: {_MIN_LENGTH} characters are the least")
    return password


def read_password(file: str) -> str:
    """The first line of the file; `-` is standard input."""
    try:
        octets = sys.stdin.buffer.readline() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandFault(f"{file}: {(error.strerror or str(error)).lower()}") from None
    try:
        password = octets.decode().partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError:
        raise CommandFault("the password is not UTF-8 text") from None
    if not password:
        raise CommandFault(f"there is no password in {'standard input' if file == '-' else file}")
    return password


def asked_password(prompt: str = "Password") -> str:
    """Ask once."""
    if not sys.stdin.isatty():
        raise CommandFault("there is no terminal to ask for the password: use --password-file")
    return str(click.prompt(prompt, hide_input=True, err=True))


def _ask_twice() -> str:
    if not sys.stdin.isatty():
        raise CommandFault("there is no terminal to ask for the password: use --password-file or --generate")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True))


def mechanisms_of(config: Path | None) -> tuple[str, ...]:
    """The mechanisms that passwords get keys for; those of all accounts alone where the settings cannot be read."""
    from estafeta.config.faults import SettingsError
    from estafeta.config.location import find_config
    from estafeta.config.reading import load

    try:
        return tuple(each.value for each in load(find_config(config)).login.mechanisms)
    except SettingsError:
        return ()
