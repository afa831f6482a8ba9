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
MAX_LINES = 100
"""Members that EXPN lists; a reply of more lines is more than some clients read."""


def _address(environment: Environment, text: str) -> Address | None:
    """`user@domain`, `<user@domain>`, or `user` of this host's own name."""
    inner = text.strip().removeprefix("<").removesuffix(">")
    try:
        return Address.parse(inner if "@" in inner else f"{inner}@{environment.hostname}")
    except AddressError:
        return None


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
