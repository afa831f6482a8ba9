"""Options and arguments that many commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from estafeta.mail.address import Address, AddressError, parse_domain

F = TypeVar("F", bound=Callable[..., Any])

_SIZE = re.compile(r"(\d{1,15})\s*(?:([KMGT])(?:i?B)?|B)?", re.IGNORECASE)


def address(text: str) -> Address:
    """local-part@domain, or a usage error that says why it is none."""
    try:
        return Address.parse(text)
    except AddressError as error:
        raise click.BadParameter(f"{text!r} is not an address: {error}.") from None


def domain(text: str) -> str:
    """A domain name, made lower case and an A-label, or a usage error that says why it is none."""
    try:
        name = parse_domain(text)
    except AddressError as error:
        raise click.BadParameter(f"{text!r} is not a domain name: {error}.") from None
    if name.startswith("["):
        raise click.BadParameter(f"{text!r} is an address literal, not a domain name.")
    return name


def size(text: str) -> int:
    """Octets from `500M`, `2G` or `1048576`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size; write it like 500M, 2G or 1048576.")
    return int(match[1]) << 10 * " KMGT".index((match[2] or " ").upper())


def config_option(function: F) -> F:
    """`--config FILE`."""
    return click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The settings file. Default: $ESTAFETA_CONFIG, ./estafeta.toml, /etc/estafeta/estafeta.toml.",
    )(function)


def json_option(function: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def yes_option(function: F) -> F:
    """`--yes`."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(function)
