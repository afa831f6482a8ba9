"""VRFY and EXPN: what a client may learn of users and aliases (RFC 5321 §3.5, §7.3)."""

from __future__ import annotations

from estafeta.agents.environment import Environment
from estafeta.agents.settings import Vrfy
from estafeta.mail.address import Address, AddressError, ForwardPath
from estafeta.mail.catalogue import lookups, recipients
from estafeta.mail.reply import Reply
from estafeta.routing.routes import Expansion, Refused, Route, ToHost

MAX_LINES = 100
"""Members that EXPN lists; a reply of more lines is more than some clients read."""


# Not done of RFC 5321 §3.5.1: names of people are not searched, addresses alone.
def _address(environment: Environment, text: str) -> Address | None:
    """`user@domain`, `<user@domain>`, or `user` of this host's own name."""
    inner = text.strip().removeprefix("<").removesuffix(">")
    try:
        return Address.parse(inner if "@" in inner else f"{inner}@{environment.hostname}")
    except AddressError:
        return None


def in_ascii(reply: Reply, *, smtputf8: bool) -> Reply:
    """The reply, or where it needs UTF-8 that the client does not read, one that says so (RFC 6531 §3.7.4.2)."""
    return reply if smtputf8 or all(line.isascii() for line in reply.lines) else lookups.NEEDS_UTF8


def moved_reply(route: Route) -> Reply | None:
    """What is said of one who has moved (RFC 5321 §3.4), with his new address; None of all others."""
    if isinstance(route, Expansion) and route.moved_to is not None:
        return recipients.WILL_FORWARD.with_(address=str(route.moved_to))
    return route.reply if isinstance(route, Refused) and route.reply.code == 551 else None


def shown_to(reply: Reply, *, smtputf8: bool) -> Reply:
    """The reply to RCPT, without an address that the client cannot read (RFC 6531 §3.7.4.1)."""
    if smtputf8 or all(line.isascii() for line in reply.lines):
        return reply
    return recipients.ACCEPTED if reply.is_positive else recipients.MOVED_AWAY


async def verify(environment: Environment, text: str) -> Reply:
    """The reply to VRFY."""
    if environment.settings.vrfy is not Vrfy.VERIFY:
        return lookups.NONCOMMITTAL
    address = _address(environment, text)
    if address is None:
        return lookups.NOT_AN_ADDRESS
    route = await environment.directory.resolve(ForwardPath(address))
    if isinstance(route, Refused):
        return route.reply
    if isinstance(route, ToHost):
        return lookups.NONCOMMITTAL
    if (moved := moved_reply(route)) is not None:
        return moved
    return lookups.VERIFIED.with_(address=str(address))


async def expand(environment: Environment, text: str) -> Reply:
    """The reply to EXPN, for those who may ask."""
    address = _address(environment, text)
    if address is None:
        return lookups.NOT_AN_ADDRESS
    route = await environment.directory.resolve(ForwardPath(address))
    if (moved := moved_reply(route)) is not None:
        return moved
    if not isinstance(route, Expansion):
        return lookups.NO_SUCH_ALIAS
    members = await environment.directory.expand(route.alias)
    if not members:
        return lookups.NO_SUCH_ALIAS
    if len(members) > MAX_LINES:
        return lookups.TOO_LONG
    return lookups.EXPANDED.with_(members="\n".join(f"<{member}>" for member in members))
