"""Who finds out whose bearer tokens are, wired by the settings."""

from __future__ import annotations

from estafeta.app.surroundings import Surroundings
from estafeta.net.dns import Resolver
from estafeta.net.errors import TlsError
from estafeta.net.https import Https
from estafeta.net.tls import client_context
from estafeta.policy.oauth import Introspection, OAuthSettings, TokenChecker, read_secret


def token_checker(settings: OAuthSettings | None, resolver: Resolver, around: Surroundings) -> TokenChecker | None:
    """By the settings of now; None where no tokens are taken. Raises TlsError where a file of theirs cannot be used."""
    if settings is None:
        return None
    https = Https(resolver, context=client_context(settings.ca_file), may_ask=lambda _: True)
    if settings.jwks_url:
        from estafeta.policy.jwks import SignedTokens

        return SignedTokens(settings, https, clock=around.clock, monotonic=around.monotonic)
    try:
        secret = read_secret(settings.client_secret_file) if settings.client_secret_file is not None else ""
    except (OSError, ValueError) as error:
        raise TlsError(f"oauth.client_secret_file: {error}") from error
    return Introspection(settings, https, secret=secret, clock=around.clock, monotonic=around.monotonic)
