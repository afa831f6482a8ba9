"""Who may log in: passwords are checked, proofs believed, and unknown users look like known ones.

`Authenticator` answers what the SASL mechanisms ask (RFC 4422) and decides; `LoginGuard` has its say before.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Protocol, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from estafeta.mail.address import Address, AddressError, parse_local_part
from estafeta.mail.value import value
from estafeta.net.address import client_network
from estafeta.net.certificates import client_certificate
from estafeta.policy.guard import Admission, LoginGuard
from estafeta.policy.oauth import TokenChecker, TokenFacts, TokenRefused, TokenUnchecked
from estafeta.policy.remembered import RememberedPasswords
from estafeta.store import accounts, certificates, domains, passwords
from estafeta.store.errors import StoreError
from estafeta.store.records import Account, Credentials
from estafeta.store.store import Store, Transaction
from estafeta.wire.sasl import (
    CRAM_MD5,
    SCRAM_SHA_1,
    SCRAM_SHA_256_PLUS,
    TOKEN_MECHANISMS,
    BearerServer,
    Challenge,
    CheckCertificate,
    CheckPassword,
    CheckToken,
    Failure,
    FetchCramKeys,
    FetchKeys,
    SaslError,
    ScramKeys,
    ServerMechanism,
    Step,
    Success,
    TokenError,
    prepare,
)
from estafeta.wire.sasl.cram import CramServer

_T = TypeVar("_T")


class RefusalReason(StrEnum):
    """Why a login was refused: the closed list that replies, journal and metrics share."""

    BAD_CREDENTIALS = "bad_credentials"
    """No such account, a wrong password, or an account that may not act for another."""
    LOCKED = "locked"
    """Too many failures of this account or from this client; nothing was checked."""
    DISABLED = "disabled"
    """The password was right, but the account is not to be used."""
    TEMPORARY = "temporary"
    """The login could not be checked now."""
    TRANSITION = "transition"
    """The account has no keys for this mechanism; they are made when the password is sent once."""
    TOO_WEAK = "too_weak"
    """The account's password must not be sent."""


@value
class LoginAccepted:
    """The client is the owner of the account, and acts for it."""

    account: Account
    authorization: Address


@value
class LoginRefused:
    """The client is not let in."""

    reason: RefusalReason
    retry_after: float = 0.0
    """Seconds until a lock ends."""
    identity: str = ""
    """The login name as it was given; empty when the exchange did not come so far."""
    explanation: str = ""
    """For the journal, not for the peer."""


Login: TypeAlias = LoginAccepted | LoginRefused
LoginTally: TypeAlias = Counter[tuple[str, str]]
"""Logins that came to an end, by mechanism and result: `accepted`, or the reason of the refusal."""


class RunInThread(Protocol):
    """Runs a function where it may take its time; `asyncio.to_thread` is one."""

    def __call__(self, function: Callable[[], _T], /) -> Awaitable[_T]: ...


@value
class _Found:
    """The account a login name stands for, if any."""

    name: str
    """What failures are counted under."""
    address: Address | None
    credentials: Credentials | None


@value
class _Exchange:
    """A SCRAM exchange whose client has been given its salt."""

    identity: str
    authorization: str
    name: str


class Authenticator:
    """Answers what SASL mechanisms ask, and decides; used by SMTP and POP3 alike.

    `secret` makes up SCRAM salts for users that do not exist: the same one each time for the same name, also
    after a restart, when the secret is kept.
    """

    def __init__(
        self,
        store: Store,
        guard: LoginGuard,
        *,
        secret: bytes,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        run_in_thread: RunInThread = asyncio.to_thread,
        checks_at_once: int | None = None,
        tokens: TokenChecker | None = None,
        tally: LoginTally | None = None,
    ) -> None:
        self.tally = Counter() if tally is None else tally
        self._store = store
        self._guard = guard
        self._secret = secret
        self._sleep = sleep
        self._run_in_thread = run_in_thread
        # argon2id takes a core and tens of MiB for tens of milliseconds.
        self._checks = asyncio.Semaphore(checks_at_once or os.cpu_count() or 1)
        self._waiting = 0
        self._remembered = RememberedPasswords(guard.settings.remember_seconds, guard.clock)
        self._nobodys: str | None = None
        self._exchanges: WeakKeyDictionary[ServerMechanism, _Exchange] = WeakKeyDictionary()
        self._only_proved = frozenset(_as_found(each) for each in guard.settings.only_proved)
        self._tokens = tokens
        self._told: WeakKeyDictionary[ServerMechanism, LoginRefused] = WeakKeyDictionary()

    @property
    def binds_channels(self) -> bool:
        """Whether mechanisms that are bound to the TLS connection are offered."""
        return self._guard.settings.channel_binding

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms that take a password here; -PLUS can be offered only where there is a channel to bind to."""
        return tuple(each.value for each in self._guard.settings.mechanisms) + (
            (SCRAM_SHA_256_PLUS,) if self.binds_channels else ()
        )

    @property
    def token_mechanisms(self) -> tuple[str, ...]:
        """The mechanisms that take a bearer token here; to be offered over TLS alone (RFC 7628 §3)."""
        return () if self._tokens is None else TOKEN_MECHANISMS

    async def certified(self, certificate: bytes | None) -> Address | None:
        """The account that a client's certificate names, in DER form and verified; None where it names none."""
        if certificate is None:
            return None
        shown = client_certificate(certificate)
        try:
            return await self._store.read(lambda tx: certificates.account_of(tx, shown.fingerprint, shown.mailboxes))
        except StoreError:
            return None

    async def resolve(self, step: Step, mechanism: ServerMechanism, peer_ip: str) -> Challenge | Login:
        """What becomes of a step: a challenge to send to the client, or the end of the exchange.

        Waits as long as the guard wants it. An exchange that the client gives up needs no call.
        """
        result = await self._resolve(step, mechanism, peer_ip)
        if not isinstance(result, Challenge):
            word = "accepted" if isinstance(result, LoginAccepted) else result.reason.value
            self.tally[mechanism.name, word] += 1
        return result

    async def _resolve(self, step: Step, mechanism: ServerMechanism, peer_ip: str) -> Challenge | Login:
        try:
            match step:
                case Challenge():
                    return self._challenge(step, mechanism, peer_ip)
                case CheckPassword():
                    login = await self._password(step, peer_ip)
                    mechanism.password_checked(isinstance(login, LoginAccepted))
                    return login
                case FetchKeys():
                    return await self._keys(step, mechanism, peer_ip)
                case FetchCramKeys():
                    return await self._cram_keys(step, mechanism, peer_ip)
                case CheckToken():
                    return await self._token(step, mechanism, peer_ip)
                case CheckCertificate():
                    found = await self._find(step.identity)
                    return await self._conclude(step.identity, step.authorization, found, peer_ip, of_account=True)
                case Success():
                    return await self._proved(mechanism, peer_ip)
                case Failure():
                    return self._failure(step, mechanism, peer_ip)
        except StoreError as error:
            return LoginRefused(RefusalReason.TEMPORARY, explanation=f"store: {error}")

    async def login(self, identity: str, password: str, peer_ip: str) -> Login:
        """Check a password that came without SASL, as with POP3's USER and PASS (RFC 1939 §7)."""
        try:
            identity, password = prepare(identity), prepare(password)
        except SaslError as error:
            return LoginRefused(RefusalReason.BAD_CREDENTIALS, identity=identity, explanation=str(error))
        try:
            return await self._password(CheckPassword(identity, "", password), peer_ip)
        except StoreError as error:
            return LoginRefused(RefusalReason.TEMPORARY, identity=identity, explanation=f"store: {error}")

    async def _find(self, identity: str) -> _Found:
        return await self._store.read(lambda tx: _find(tx, identity))

    async def _admitted(self, identity: str, name: str, peer_ip: str) -> LoginRefused | None:
        """Wait out the delay; a refusal when the account or the client is locked, before or after it."""
        admission = self._guard.admit(peer_ip, name)
        if admission.allowed and admission.delay > 0.0:
            await self._sleep(admission.delay)
            admission = self._guard.admit(peer_ip, name)
        return None if admission.allowed else _locked(identity, admission)

    async def _password(self, step: CheckPassword, peer_ip: str) -> Login:
        found = await self._find(step.identity)
        refused = await self._admitted(step.identity, found.name, peer_ip)
        if refused is not None:
            return refused
        if self._must_prove(found):
            # Not checked: the answer is the same whether it was right, and it may be known to others now.
            return LoginRefused(
                RefusalReason.TOO_WEAK,
                identity=step.identity,
                explanation="sent the password of an account in only_proved",
            )
        remembered = self._remembered_as(found, step.password, peer_ip)
        if self._remembered.has(remembered):
            return await self._conclude(step.identity, step.authorization, found, peer_ip)
        if self._waiting >= self._guard.settings.checks_waiting:
            return LoginRefused(RefusalReason.TEMPORARY, identity=step.identity, explanation="too many logins at once")
        self._waiting += 1
        try:
            async with self._checks:
                # Those that waited beside this one may have failed meanwhile.
                admission = self._guard.admit(peer_ip, found.name)
                if not admission.allowed:
                    return _locked(step.identity, admission)
                is_right = await self._verify(found.credentials, step.password)
                if not is_right:
                    self._guard.failed(peer_ip, found.name)
        finally:
            self._waiting -= 1
        if not is_right:
            known = "wrong password" if found.credentials else "no such account with a password"
            return LoginRefused(RefusalReason.BAD_CREDENTIALS, identity=step.identity, explanation=known)
        self._remembered.add(remembered)
        await self._complete_keys(found, step.password)
        return await self._conclude(step.identity, step.authorization, found, peer_ip)

    def _remembered_as(self, found: _Found, password: str, peer_ip: str) -> bytes | None:
        """Who gave which password from where; None where there is nothing that it could be compared with."""
        if found.credentials is None:
            return None
        return self._remembered.key(found.name, found.credentials.hashed.argon2, password, client_network(peer_ip))

    def _must_prove(self, found: _Found) -> bool:
        listed = self._only_proved
        return bool(listed) and (found.name in listed or "@" + found.name.rpartition("@")[2] in listed)

    async def _complete_keys(self, found: _Found, password: str) -> None:
        """Make the keys that the account lacks for mechanisms which are on, now that its password is known."""
        credentials, address = found.credentials, found.address
        if credentials is None or address is None:
            return
        hashed, mechanisms = credentials.hashed, self.mechanisms
        lacks_sha_1 = hashed.scram_sha_1 is None and SCRAM_SHA_1 in mechanisms
        if not lacks_sha_1 and not (hashed.cram_md5 is None and CRAM_MD5 in mechanisms):
            return
        completed = await self._run_in_thread(lambda: passwords.with_keys(hashed, password, mechanisms))
        with suppress(StoreError):  # the login is right all the same; the next one makes them
            await self._store.write(lambda tx: accounts.add_keys(tx, address, hashed, completed))

    async def _verify(self, credentials: Credentials | None, password: str) -> bool:
        if credentials is not None:
            argon2 = credentials.hashed.argon2
        else:
            # Users that do not exist take as long as those that do: nobody's password is checked.
            if self._nobodys is None:
                unguessable = self._made_up("password", "nobody").hex()
                hashed = await self._run_in_thread(lambda: passwords.hash_password(unguessable))
                self._nobodys = hashed.argon2
            argon2 = self._nobodys
        is_right = await self._run_in_thread(lambda: passwords.verify_password(argon2, password))
        return is_right and credentials is not None

    async def _keys(self, step: FetchKeys, mechanism: ServerMechanism, peer_ip: str) -> Challenge | Login:
        found = await self._find(step.identity)
        refused = await self._admitted(step.identity, found.name, peer_ip)
        if refused is not None:
            return refused
        keys = self._nobodys_keys(found.name, mechanism.name)
        if found.credentials is not None:
            hashed = found.credentials.hashed
            kept = hashed.scram_sha_1 if mechanism.name == SCRAM_SHA_1 else hashed.scram_sha_256
            if kept is None and self._guard.is_known(peer_ip, found.name):
                return _transition(step.identity, mechanism.name)
            keys = kept or keys
        self._exchanges[mechanism] = _Exchange(step.identity, step.authorization, found.name)
        next_step = mechanism.keys_found(keys.salt, keys.iterations, keys.stored_key, keys.server_key)
        if isinstance(next_step, Challenge):
            return next_step
        return await self._resolve(next_step, mechanism, peer_ip)

    async def _cram_keys(self, step: FetchCramKeys, mechanism: ServerMechanism, peer_ip: str) -> Challenge | Login:
        found = await self._find(step.identity)
        refused = await self._admitted(step.identity, found.name, peer_ip)
        if refused is not None:
            return refused
        kept = None if found.credentials is None else found.credentials.hashed.cram_md5
        if found.credentials is not None and kept is None and self._guard.is_known(peer_ip, found.name):
            return _transition(step.identity, mechanism.name)
        assert isinstance(mechanism, CramServer)
        self._exchanges[mechanism] = _Exchange(step.identity, "", found.name)
        made_up = self._made_up("cram keys", found.name)
        return await self._resolve(mechanism.cram_keys_found(kept or made_up), mechanism, peer_ip)

    def _challenge(self, step: Challenge, mechanism: ServerMechanism, peer_ip: str) -> Challenge | Login:
        exchange = self._exchanges.get(mechanism)
        if exchange is not None:
            # This challenge tells the client that its proof was right, which it must not learn when others
            # beside it have used up the failures meanwhile.
            admission = self._guard.admit(peer_ip, exchange.name)
            if not admission.allowed:
                return _locked(exchange.identity, admission)
        return step

    async def _proved(self, mechanism: ServerMechanism, peer_ip: str) -> Login:
        exchange = self._exchanges.pop(mechanism)
        found = await self._find(exchange.identity)
        return await self._conclude(exchange.identity, exchange.authorization, found, peer_ip)

    async def _token(self, step: CheckToken, mechanism: ServerMechanism, peer_ip: str) -> Challenge | Login:
        assert isinstance(mechanism, BearerServer) and self._tokens is not None
        wanted = step.authorization
        if not step.token:
            return self._tell(mechanism, LoginRefused(RefusalReason.BAD_CREDENTIALS, 0.0, wanted, "showed no token"))
        # Without a name failures are counted for the client alone, whose own this name is.
        name = (await self._find(wanted)).name if wanted else f"token from {client_network(peer_ip)}"
        refused = await self._admitted(wanted, name, peer_ip)
        if refused is not None:
            return refused
        answer = await self._tokens.check(step.token)
        if isinstance(answer, TokenUnchecked):
            return LoginRefused(RefusalReason.TEMPORARY, identity=wanted, explanation=answer.reason)
        if isinstance(answer, TokenRefused):
            if not answer.is_expired:
                self._guard.failed(peer_ip, name)
            said = f"token: {answer.reason}"
            return self._tell(mechanism, LoginRefused(RefusalReason.BAD_CREDENTIALS, 0.0, wanted, said), answer.status)
        return await self._token_holder(answer, step, mechanism, name, peer_ip)

    async def _token_holder(
        self, facts: TokenFacts, step: CheckToken, mechanism: BearerServer, name: str, peer_ip: str
    ) -> Challenge | Login:
        """The token was right; what is left is the account that it names."""
        found = await self._find(facts.identity)
        login = await self._conclude(facts.identity, step.authorization, found, peer_ip, of_account=True)
        if isinstance(login, LoginRefused) and login.reason is RefusalReason.BAD_CREDENTIALS:
            self._guard.failed(peer_ip, name)
            return self._tell(mechanism, login)
        return login

    def _tell(self, mechanism: BearerServer, refused: LoginRefused, status: str = "invalid_token") -> Challenge:
        """The client is told what would do, and of the refusal when it has answered (RFC 7628 §3.2.3)."""
        assert self._tokens is not None
        settings = self._tokens.settings
        step = mechanism.token_checked(None, TokenError(status, settings.scope, settings.openid_configuration))
        assert isinstance(step, Challenge)
        self._told[mechanism] = refused
        return step

    def _failure(self, step: Failure, mechanism: ServerMechanism, peer_ip: str) -> LoginRefused:
        if (told := self._told.pop(mechanism, None)) is not None:
            return told
        exchange = self._exchanges.pop(mechanism, None)
        if exchange is None:
            return LoginRefused(RefusalReason.BAD_CREDENTIALS, explanation=step.reason)
        if not step.is_malformed:
            self._guard.failed(peer_ip, exchange.name)
        return LoginRefused(RefusalReason.BAD_CREDENTIALS, identity=exchange.identity, explanation=step.reason)

    async def _conclude(
        self, identity: str, authorization: str, found: _Found, peer_ip: str, *, of_account: bool = False
    ) -> Login:
        """The client is who it says; what is left is whether the account may be used, and for whom.

        `of_account`: it is one's that needs no password.
        """
        account = found.credentials.account if found.credentials is not None else None
        if of_account and found.address is not None:
            address = found.address
            account = await self._store.read(lambda tx: accounts.find(tx, address))
        if account is None:
            gone = "no such account" if of_account else "the account went away during the login"
            return LoginRefused(RefusalReason.BAD_CREDENTIALS, identity=identity, explanation=gone)
        if authorization and authorization != identity:
            # RFC 4422 §3.4.1: nobody acts for another here; one's own name may be said in other words.
            wanted = await self._find(authorization)
            if wanted.name != found.name:
                other = f"may not act for {authorization!r}"
                return LoginRefused(RefusalReason.BAD_CREDENTIALS, identity=identity, explanation=other)
        if not account.is_enabled:
            return LoginRefused(RefusalReason.DISABLED, identity=identity, explanation="account is disabled")
        self._guard.succeeded(peer_ip, found.name)
        return LoginAccepted(account, account.address)

    def _made_up(self, what: str, name: str) -> bytes:
        return hmac.digest(self._secret, f"{what}\0{name}".encode(), "sha256")

    def _nobodys_keys(self, name: str, mechanism: str) -> ScramKeys:
        # RFC 5802 §9: the salt of a user that does not exist must look like any other, and stay the same.
        # Those of passwords.hash_password have 32 octets too.
        size = 20 if mechanism == SCRAM_SHA_1 else 32
        return ScramKeys(
            salt=self._made_up("salt", name),
            iterations=passwords.SCRAM_ITERATIONS,
            stored_key=self._made_up(f"stored key of {mechanism}", name)[:size],
            server_key=self._made_up(f"server key of {mechanism}", name)[:size],
        )


def _as_found(listed: str) -> str:
    """An account, or a domain after "@", in the form that the names of `_Found` have."""
    try:
        if listed.startswith("@"):
            return "@" + Address.parse(f"x{listed}").domain.lower()
        return str(Address.parse(listed)).lower()
    except AddressError:
        return listed.lower()


def _transition(identity: str, mechanism: str) -> LoginRefused:
    return LoginRefused(RefusalReason.TRANSITION, identity=identity, explanation=f"no keys for {mechanism} yet")


def _locked(identity: str, admission: Admission) -> LoginRefused:
    return LoginRefused(RefusalReason.LOCKED, admission.retry_after, identity, admission.reason)


def _find(tx: Transaction, identity: str) -> _Found:
    address = _login_address(tx, identity)
    if address is None:
        return _Found(identity.lower(), None, None)
    return _Found(str(address).lower(), address, accounts.credentials(tx, address))


def _login_address(tx: Transaction, identity: str) -> Address | None:
    """The address a login name stands for: itself, or a local-part of the only domain."""
    try:
        if "@" in identity:
            return Address.parse(identity)
        local_part = parse_local_part(identity)
    except AddressError:
        return None
    only = domains.list_all(tx)
    return Address(local_part, only[0].name) if len(only) == 1 else None
