"""As whom the server runs, and what of the settings does not go with that."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from estafeta.agents.outbound.gateways.settings import GatewayKind
from estafeta.config.faults import Finding, Key
from estafeta.config.settings import OwnerSettings, Settings


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom the server runs as."""

    name: str
    user: int
    group: int
    groups: tuple[int, ...]
    """All groups, the own one among them."""


class UnfitOwner(Exception):
    """The settings name nobody whom the server could run as."""

    def __init__(self, key: str, problem: str, remedy: str) -> None:
        super().__init__(f"process.{key}: {problem}. {remedy}")
        self.key: Key = ("process", key)
        self.problem = problem
        self.remedy = remedy


def owner_of(settings: OwnerSettings) -> Owner | None:
    """Whom the settings name; None where they name nobody. Raises UnfitOwner."""
    name = settings.user
    if not name:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        command = f"useradd --system --no-create-home --shell /usr/sbin/nologin {name}"
        raise UnfitOwner("user", f"there is no user {name}", f"Make him with: {command}") from None
    group = entry.pw_gid
    if settings.group:
        try:
            group = grp.getgrnam(settings.group).gr_gid
        except KeyError:
            raise UnfitOwner("group", f"there is no group {settings.group}", "Name one that there is.") from None
    if entry.pw_uid == 0 or group == 0:
        key = "group" if entry.pw_uid else "user"
        raise UnfitOwner(key, "that is root again", "Name a user and a group without its rights.")
    return Owner(name, entry.pw_uid, group, tuple(os.getgrouplist(name, group)))


def has_given_up(settings: Settings) -> bool:
    """Whether this process may be one that was started as root and is the named user by now."""
    return bool(settings.process.user) and os.geteuid() != 0


def alone(settings: Settings) -> Iterator[Finding]:
    """What the file alone can tell."""
    user = settings.process.user
    if settings.process.group and not user:
        yield Finding(("process", "group"), "a group without a user", "Name process.user too.")
    for index, gateway in enumerate(settings.gateway):
        if user and gateway.user not in ("", user):
            does = "run a command as" if gateway.kind is GatewayKind.COMMAND else "write files of"
            yield Finding(
                ("gateway", index, "user"),
                f"only root can {does} {gateway.user}, and the server runs as {user}",
                f"Leave it out, and {user} does it; or hand this mail to a program of {gateway.user} over LMTP.",
            )


def surroundings(settings: Settings) -> Iterator[Finding]:
    """What the machine says: whether there is such a user."""
    try:
        owner_of(settings.process)
    except UnfitOwner as fault:
        yield Finding(fault.key, fault.problem, fault.remedy)
