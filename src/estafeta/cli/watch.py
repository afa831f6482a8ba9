"""`estafeta watch`: a screen for the messages that SEND, SOML and SAML bring (RFC 821 §3.4)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli.faults import CommandFault
from estafeta.cli.opening import opened_at
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import document, say
from estafeta.config.location import find_config
from estafeta.mail.address import Address, AddressError

if TYPE_CHECKING:
    from estafeta.mail.screen import Screenful


@click.command("watch")
@click.argument("address")
@config_option
@json_option
def command(address: str, config: Path | None, as_json: bool) -> None:
    """Show what comes for the screen of ADDRESS, until Ctrl-C.

    While it runs, ADDRESS is there for those who say SEND, SOML or SAML to the server.
    """
    from estafeta.config.reading import read
    from estafeta.store import accounts

    settings = read(find_config(config))
    if not settings.live.enabled:
        raise CommandFault("messages to screens are off: say `enabled = true` below [live], and tell the server")
    try:
        named = Address.parse(address)
    except AddressError as error:
        raise CommandFault(f"{address} is not an address: {error}") from None
    with opened_at(settings.data) as store:
        account = store.read(lambda tx: accounts.find(tx, named))
    if account is None:
        raise CommandFault(f"there is no account {named}")
    asyncio.run(_watch(settings.data, account.address, as_json=as_json))


async def _watch(data: Path, account: Address, *, as_json: bool) -> None:
    """Show messages until a signal; raises BrokenPipeError when nobody reads what is shown."""
    from estafeta.agents.live.screens import READERS, door_prefix
    from estafeta.net.doors import Door

    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end() -> None:
        if not over.done():
            over.set_result(None)

    def take(octets: bytes) -> bool:
        try:
            _show(octets, as_json=as_json)
        except ValueError:  # not a message
            return False
        except OSError as error:
            if not over.done():
                over.set_exception(error)
            return False
        return True

    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, end)
    door = Door(data / READERS, f"{door_prefix(account)}{os.getpid()}", take)
    await door.open()
    try:
        if not as_json:
            say(f"messages to {account} appear here; Ctrl-C ends")
            sys.stdout.flush()
        await over
    finally:
        await door.close()


def _show(octets: bytes, *, as_json: bool) -> None:
    from estafeta.agents.live.screens import unpacked

    message: Screenful = unpacked(octets)
    if as_json:
        document(message)
    else:
        say()
        say(message.text().rstrip("\n"))
    sys.stdout.flush()
