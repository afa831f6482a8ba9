"""VRFY and EXPN: what a client may learn of users and aliases (RFC 5321 §3.5, §7.3)."""

from __future__ import annotations

from estafeta.agents.environment import Environment
from estafeta.agents.settings import Vrfy
from estafeta.mail.address import Address, AddressError, ForwardPath
from estafeta.mail.reply import Reply
from estafeta.routing.routes import Expansion, Refused, ToHost

_NONCOMMITTAL = Reply.of(252, "cannot verify, but will take a message and try", "2.1.5")
_NO_SUCH_ALIAS = Reply.of(550, "no such alias here", "5.1.1")
_TOO_LONG = Reply.of(252, "too many members to list", "2.1.5")
_NEEDS_UTF8 = Reply.of(252, "the answer needs UTF-8: add SMTPUTF8 to the command", "2.6.8")
MAX_LINES = 100
"""Members that EXPN lists; a reply of more lines is more than some clients read."""


def _address(environment: Environment, text: str) -> Address | None:
    """`user@domain`, `<user@domain>`, or `user` of this host's own name."""
    inner = text.strip().removeprefix("<").removesuffix(">")
    try:
        return Address.parse(inner if "@" in inner else f"{inner}@{environment.hostname}")
    except AddressError:
        return None


def in_ascii(reply: Reply, *, smtputf8: bool) -> Reply:
    """The reply, or where it needs UTF-8 that the client does not read, one that says so (RFC 6531 §3.7.4.2)."""
    return reply if smtputf8 or all(line.isascii() for line in reply.lines) else _NEEDS_UTF8


async def verify(environment: Environment, text: str) -> Reply:
    """The reply to VRFY."""
    if environment.settings.vrfy is not Vrfy.VERIFY:
        return _NONCOMMITTAL
    address = _address(environment, text)
    if address is None:
        return Reply.of(501, "not an address", "5.1.3")
    route = await environment.directory.resolve(ForwardPath(address))
    if isinstance(route, Refused):
        return route.reply
    if isinstance(route, ToHost):
        return _NONCOMMITTAL
    return Reply.of(250, f"<{address}>", "2.1.5")


async def expand(environment: Environment, text: str) -> Reply:
    """The reply to EXPN, for those who may ask."""
    address = _address(environment, text)
    if address is None:
        return Reply.of(501, "not an address", "5.1.3")
    route = await environment.directory.resolve(ForwardPath(address))
    if not isinstance(route, Expansion):
        return _NO_SUCH_ALIAS
    members = await environment.directory.expand(route.alias)
    if not members:
        return _NO_SUCH_ALIAS
    if len(members) > MAX_LINES:
        return _TOO_LONG
    return Reply.of(250, "\n".join(f"<{member}>" for member in members), "2.1.5")
