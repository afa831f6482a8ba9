"""Logins: what SASL mechanisms ask is answered by the handler, or from passwords that the program knows (RFC 4954).

Nobody acts for another here, and users that do not exist look like those that do.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from estafeta.wire.sasl import (
    LOGIN,
    PLAIN,
    SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS,
    TOKEN_MECHANISMS,
    BearerServer,
    Challenge,
    CheckPassword,
    CheckToken,
    FetchKeys,
    SaslError,
    ScramKeys,
    ServerMechanism,
    Step,
    Success,
    prepare,
)
from estafeta.wire.sasl.keys import LEAST_ITERATIONS

if TYPE_CHECKING:
    from estafeta.server.handler import Handler
    from estafeta.server.session import Session

PasswordOf: TypeAlias = Callable[[str], Awaitable[str | None]]
"""Finds the password of an identity; None when there is no such user."""

_PROVED = (SCRAM_SHA_256_PLUS, SCRAM_SHA_256)
_CHECKED = (PLAIN, LOGIN)
_ALL = (*_PROVED, *_CHECKED, *TOKEN_MECHANISMS)


class Logins:
    """Answers what mechanisms ask."""

    def __init__(
        self, handler: Handler, passwords: Mapping[str, str] | PasswordOf | None, allowed: Iterable[str] | None
    ) -> None:
        from estafeta.server.handler import is_overridden

        self._handler = handler
        self._password_of = _lookup(passwords)
        self._secret = secrets.token_bytes(32)
        known = self._password_of is not None
        can = (_PROVED if known or is_overridden(handler, "on_keys") else ()) + (
            _CHECKED if known or is_overridden(handler, "on_login") else ()
        )
        if is_overridden(handler, "on_token"):
            can += TOKEN_MECHANISMS
        names = None if allowed is None else {name.upper() for name in allowed}
        if names is not None and names - set(_ALL):
            raise ValueError(f"mechanisms are some of {', '.join(_ALL)}")
        self.mechanisms: tuple[str, ...] = tuple(name for name in can if names is None or name in names)
        """Those that can be answered; none without passwords, and without a handler's word on logins."""

    async def resolve(self, step: Step, mechanism: ServerMechanism, session: Session) -> Challenge | str | None:
        """What becomes of a step: a challenge for the client, who logged in, or None for a refusal."""
        while True:
            if isinstance(step, Challenge):
                return step
            if isinstance(step, Success):
                return step.identity
            if isinstance(step, CheckPassword):
                is_own = step.authorization in ("", step.identity)
                is_right = await self._check(session, step.identity, step.password)
                step = mechanism.password_checked(is_right and is_own)
            elif isinstance(step, FetchKeys):
                keys = await self._keys(session, step.identity)
                if keys is None or step.authorization not in ("", step.identity):
                    keys = self._nobodys(step.identity)
                step = mechanism.keys_found(keys.salt, keys.iterations, keys.stored_key, keys.server_key)
            elif isinstance(step, CheckToken):
                assert isinstance(mechanism, BearerServer)
                identity = await self._handler.on_token(session, step.token) if step.token else None
                is_own = identity is not None and step.authorization in ("", identity)
                step = mechanism.token_checked(identity if is_own else None)
            else:
                return None

    async def _check(self, session: Session, identity: str, password: str) -> bool:
        if self._password_of is None:
            return await self._handler.on_login(session, identity, password) is True
        known = await self._password_of(identity)
        try:
            wanted = prepare(known) if known is not None else ""
        except SaslError:
            return False
        return hmac.compare_digest(wanted.encode(), password.encode()) and bool(wanted)

    async def _keys(self, session: Session, identity: str) -> ScramKeys | None:
        if self._password_of is None:
            return await self._handler.on_keys(session, identity)
        password = await self._password_of(identity)
        # Unknown users cost the same time.
        text = secrets.token_hex(8) if password is None else password
        try:
            keys = await asyncio.to_thread(ScramKeys.of, text, self._made_up("salt", identity)[:16])
        except SaslError:
            return None
        return None if password is None else keys

    def _nobodys(self, identity: str) -> ScramKeys:
        """RFC 5802 §9: the salt of a user that does not exist looks like any other, and stays the same."""
        salt = self._made_up("salt", identity)[:16]
        return ScramKeys(salt, LEAST_ITERATIONS, self._made_up("stored", identity), self._made_up("server", identity))

    def _made_up(self, what: str, identity: str) -> bytes:
        return hmac.digest(self._secret, f"{what}\0{identity}".encode(), "sha256")


def _lookup(passwords: Mapping[str, str] | PasswordOf | None) -> PasswordOf | None:
    if not isinstance(passwords, Mapping):
        return passwords
    known = dict(passwords)

    async def password_of(identity: str) -> str | None:
        return known.get(identity)

    return password_of
