"""What the shape of the settings cannot say: how they fit together, the machine and the store."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from estafeta.config import outbound, owner, routes
from estafeta.config.faults import Finding, Key
from estafeta.config.settings import LineEnds, Listen, ListenerKind, Settings, TlsSettings
from estafeta.mail import wording
from estafeta.mail.address import Address, AddressError, parse_domain
from estafeta.net.address import IpNetwork
from estafeta.policy import oauth
from estafeta.policy.oauth import OAuthSettings

if TYPE_CHECKING:
    from estafeta.store.store import Transaction

Check = Callable[[Settings], Iterator[Finding]]

# What a number may be at least, where that is not 1 for counts and more than 0 for durations.
_LEAST: dict[Key, tuple[float, str]] = {
    ("journal", "keep_days"): (0, ""),
    ("journal", "redact_after_days"): (0, ""),
    ("live", "columns"): (20, ""),
    ("monitoring", "certificate_days"): (0, ""),
    ("monitoring", "destinations"): (0, ""),
    ("monitoring", "port"): (0, ""),
    ("overload", "memory"): (0, ""),
    ("store", "least_free"): (0, ""),
    ("live", "sender_hourly"): (0, ""),
    ("live", "recipient_hourly"): (0, ""),
    ("oauth", "cache_seconds"): (0, ""),
    ("promises", "deliver_by_at_least"): (0, ""),
    ("promises", "hold_for"): (0, ""),
    ("promises", "highest_priority"): (0, ""),
    ("relay", "account_messages_per_hour"): (0, ""),
    ("relay", "delay_notice_after"): (0, ""),
    ("relay", "jitter"): (0, ""),
    ("relay", "keep_connection_for"): (0, ""),
    ("relay", "recipients_per_message"): (100, "RFC 5321 §4.5.3.1.8"),
    ("shutdown", "drain_seconds"): (0, ""),
    ("smtp", "greet_after"): (0, ""),
    ("smtp", "limits", "data_octets_per_second"): (0, ""),
    ("smtp", "limits", "message_size"): (65_536, "RFC 5321 §4.5.3.1.7"),
    ("smtp", "limits", "recipients"): (100, "RFC 5321 §4.5.3.1.8"),
    ("smtp", "limits", "command_line"): (512, "RFC 5321 §4.5.3.1.4"),
    ("smtp", "limits", "auth_line"): (12_288, "RFC 4954 §4"),
    ("smtp", "limits", "header_octets"): (1000, "RFC 5321 §4.5.3.1.6"),
    ("pop3", "command_line"): (255, "RFC 2449 §4"),
    ("pop3", "auth_line"): (12_288, "RFC 4954 §4"),
    ("pop3", "autologout_after"): (600, "RFC 1939 §3"),
    ("imap", "command_line"): (8_000, "RFC 2683 §3.2.1.5"),
    ("imap", "message_limit"): (0, ""),
    ("imap", "remembered_messages"): (0, ""),
    ("imap", "autologout_after"): (1_800, "RFC 9051 §5.4"),
}
_MOST = 2**48


def alone(settings: Settings) -> Iterator[Finding]:
    """What the file alone can tell."""
    yield from _numbers(settings)
    yield from _listeners(settings)
    yield from _manners(settings)
    yield from _trusted_networks(settings)
    yield from owner.alone(settings)
    yield from routes.alone(settings)
    yield from outbound.alone(settings)
    if settings.oauth is not None:
        yield from _oauth(settings, settings.oauth)
    for key, text in settings.replies.items():
        if fault := wording.fault_in(key, text):
            yield Finding(("replies", key), *fault)
    if settings.smtp.postmaster:
        yield from _address(("smtp", "postmaster"), settings.smtp.postmaster)
    if settings.live.terminal_domain:
        yield from _terminal_domain(settings.live.terminal_domain)
    if settings.sendmail.server is not None and host_and_port(settings.sendmail.server) is None:
        yield Finding(("sendmail", "server"), "is not a host and a port", 'Write it as "localhost:25" or "[::1]:25".')


def surroundings(settings: Settings) -> Iterator[Finding]:
    """What the machine says: files, folders, and whether there is anything to serve."""
    if not settings.listen:
        yield Finding(
            ("listen",), "there is no listener", 'Add a table [[listen]] with kind = "smtp", or another kind.'
        )
    if settings.tls is not None:
        yield from _certificate(settings.tls, is_key_held=owner.has_given_up(settings))
    yield from owner.surroundings(settings)
    if settings.oauth is not None:
        yield from _oauth_files(settings.oauth)
    yield from _data_directory(settings.data)


def against_store(settings: Settings, transaction: Transaction) -> Iterator[Finding]:
    """What the store says: the accounts and domains that routes name."""
    yield from routes.against_store(settings, transaction)


def host_and_port(text: str) -> tuple[str, int] | None:
    """`mx.example.org:25`, `192.0.2.1:25` or `[2001:db8::1]:25`, taken apart; None when it is none of them."""
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    return (host, int(port)) if host and host.isprintable() and " " not in host else None


def _terminal_domain(domain: str) -> Iterator[Finding]:
    try:
        parsed = parse_domain(domain)
        if parsed != domain:
            raise AddressError(f'write it as "{parsed}"')
    except AddressError as error:
        remedy = 'Write a domain whose accounts are users of this machine, as in "example.org".'
        yield Finding(("live", "terminal_domain"), f"is not a domain name ({error})", remedy)


def _numbers(settings: Settings) -> Iterator[Finding]:
    for name in type(settings).model_fields:
        table = getattr(settings, name)
        if dataclasses.is_dataclass(table) or hasattr(type(table), "model_fields"):
            yield from _numbers_of((name,), table)


def _numbers_of(key: Key, table: object) -> Iterator[Finding]:
    if dataclasses.is_dataclass(table):
        names = [member.name for member in dataclasses.fields(table)]
    else:
        names = list(type(table).model_fields)  # type: ignore[attr-defined]
    for name in names:
        value, at = getattr(table, name), (*key, name)
        if dataclasses.is_dataclass(value):
            yield from _numbers_of(at, value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            least, source = _LEAST.get(at, (1 if isinstance(value, int) else 0, ""))
            if value > _MOST:
                yield Finding(at, f"is too large: {value}", "Write a smaller number.")
            elif value < least or (value == 0 and at not in _LEAST):
                asked = f"{source} asks for at least {least}" if source else f"The least is {least}"
                if not source and at not in _LEAST and isinstance(value, float):
                    asked = "Write a number above 0"
                yield Finding(at, f"is too small: {value}", f"{asked}.")


def _listeners(settings: Settings) -> Iterator[Finding]:
    for index, listen in enumerate(settings.listen):
        key: Key = ("listen", index)
        if not listen.takes_mail and listen.kind.gives_mail:
            yield Finding((*key, "takes_mail"), "has no meaning for mailboxes", "Take it out.")
        needs_tls = "Add [tls] with certificate and key."
        if settings.tls is None and listen.kind.implicit_tls:
            yield Finding((*key, "kind"), f"a {listen.kind} listener needs a certificate", needs_tls, "tls")
        elif (
            settings.tls is None
            and listen.kind is ListenerKind.SUBMISSION
            and settings.smtp.require_tls_for_submission
            and not settings.smtp.trusted_networks
        ):
            yield Finding(
                (*key, "kind"),
                "a submission listener that requires TLS can take no mail without a certificate",
                needs_tls,
                "tls",
            )
        for earlier in settings.listen[:index]:
            if _collide(earlier, listen):
                yield Finding(
                    key, f"listens where {earlier.name} already does", "Give one of them another port or address."
                )
                break


_SMTP_KINDS = frozenset(kind for kind in ListenerKind if not kind.gives_mail)


def _manners(settings: Settings) -> Iterator[Finding]:
    """Settings of a listener that let clients say more than the standard does."""
    for index, listen in enumerate(settings.listen):
        key: Key = ("listen", index)
        if listen.line_ends is LineEnds.REPAIR and listen.kind is ListenerKind.SMTP:
            yield Finding(
                (*key, "line_ends"),
                "a listener for strangers must not repair line ends: mail could be smuggled in (RFC 5321 §2.3.8)",
                "Give senders that need it a listener of kind submission or lmtp.",
            )
        if listen.port == 0 and settings.processes.workers > 1:
            yield Finding((*key, "port"), "several processes can only share a port that is named", "Name a port.")
        for name in ("line_ends", "bare_addresses"):
            if listen.kind not in _SMTP_KINDS and name in listen.model_fields_set:
                yield Finding((*key, name), f"a {listen.kind} listener has no such setting", "Leave it out.")
        for number, network in enumerate(listen.proxy_protocol):
            if _is_the_internet(network):
                yield Finding(
                    (*key, "proxy_protocol", number),
                    f"{network} is not a network of yours but the internet: anyone could say who he is",
                    "Name only the addresses of your proxies.",
                )
    for name in ("xclient_networks", "xforward_networks"):
        for number, network in enumerate(getattr(settings.smtp, name)):
            if _is_the_internet(network):
                yield Finding(
                    ("smtp", name, number),
                    f"{network} is not a network of yours but the internet: anyone could speak for others",
                    "Name only the addresses of your proxies and filters.",
                )


def _collide(one: Listen, other: Listen) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    first, second = ipaddress.ip_address(one.address), ipaddress.ip_address(other.address)
    if first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified


def _trusted_networks(settings: Settings) -> Iterator[Finding]:
    for index, network in enumerate(settings.smtp.trusted_networks):
        if _is_the_internet(network):
            yield Finding(
                ("smtp", "trusted_networks", index),
                f"{network} is not a network of yours but the internet: this would be an open relay",
                "Name only networks whose every machine may send mail through this server.",
            )


def _is_the_internet(network: IpNetwork) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return network.prefixlen < 8  # no one is assigned more than a /8
    mapped = ipaddress.IPv6Network("::ffff:0:0/96")
    if network.subnet_of(mapped):
        return network.prefixlen < 96 + 8
    local = any(network.subnet_of(ipaddress.IPv6Network(known)) for known in ("fc00::/7", "fe80::/10"))
    return network.prefixlen < 16 and not local


def _address(key: Key, text: str) -> Iterator[Finding]:
    try:
        Address.parse(text)
    except AddressError as error:
        yield Finding(key, f"is not an address ({error})", "Write the address of an account, name@domain.")


def _oauth(settings: Settings, table: OAuthSettings) -> Iterator[Finding]:
    for name, what, remedy in oauth.problems(table):
        yield Finding(("oauth", name), what, remedy)
    if settings.tls is None:  # RFC 7628 §3
        yield Finding(("oauth",), "takes tokens over TLS alone", "Add [tls] with certificate and key.", "tls")


def _oauth_files(table: OAuthSettings) -> Iterator[Finding]:
    if (secret := table.client_secret_file) is not None:
        try:
            oauth.read_secret(secret)
        except OSError as error:
            problem = f"{secret}: {error.strerror}"
            yield Finding(("oauth", "client_secret_file"), problem, "Check the path, and the permissions.")
        except ValueError as error:
            remedy = f"Put the secret there, and run chmod o= {secret}"
            yield Finding(("oauth", "client_secret_file"), str(error), remedy)
    if table.ca_file is not None:
        yield from _authorities(("oauth", "ca_file"), table.ca_file)


def _authorities(key: Key, file: Path) -> Iterator[Finding]:
    if problem := _unreadable(file):
        yield Finding(key, problem, "Check the path, and the permissions for the user of the server.")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(file))
    except (ssl.SSLError, OSError):
        yield Finding(key, f"{file} has no PEM certificate", "Give the PEM file of the authorities.")


def _certificate(tls: TlsSettings, *, is_key_held: bool = False) -> Iterator[Finding]:
    """With `is_key_held` the key was read before the rights to read it were given up."""
    if tls.client_authorities is not None:
        yield from _authorities(("tls", "client_authorities"), tls.client_authorities)
    readable = True
    for name, path in (("certificate", tls.certificate), ("key", tls.key)):
        if problem := _unreadable(path):
            readable = False
            if name == "key" and is_key_held and not os.access(path, os.R_OK):
                continue
            yield Finding(("tls", name), problem, "Check the path, and the permissions for the user of the server.")
    if readable:
        yield from _certificate_and_key(tls)
    if not _unreadable(tls.key) and tls.key.stat().st_mode & 0o007:
        yield Finding(("tls", "key"), f"{tls.key} is open to every user of this machine", f"Run chmod o= {tls.key}")


def _certificate_and_key(tls: TlsSettings) -> Iterator[Finding]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificates(tls.certificate.read_bytes())[0]
    except (ValueError, x509.InvalidVersion):
        yield Finding(
            ("tls", "certificate"), f"{tls.certificate} has no PEM certificate", "Give the PEM file of the chain."
        )
        return
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc <= now:
        ended = certificate.not_valid_after_utc.date()
        yield Finding(("tls", "certificate"), f"the certificate expired on {ended}", "Renew the certificate.")
    elif certificate.not_valid_before_utc > now:
        begins = certificate.not_valid_before_utc.date()
        yield Finding(
            ("tls", "certificate"), f"the certificate is valid only from {begins}", "Check this machine's clock."
        )
    try:
        key = load_pem_private_key(tls.key.read_bytes(), None)
    except TypeError:
        yield Finding(("tls", "key"), f"{tls.key} is locked with a password", "Store the key without one.")
        return
    except ValueError:
        yield Finding(("tls", "key"), f"{tls.key} has no PEM private key", "Give the PEM file of the key.")
        return
    if key.public_key() != certificate.public_key():
        yield Finding(
            ("tls", "key"),
            "the key does not belong to the certificate",
            "Give the key that the certificate was made for.",
        )
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or str(error)
        yield Finding(("tls", "certificate"), f"OpenSSL refuses the certificate ({reason})", "Renew the certificate.")


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return f"{path} cannot be read ({(error.strerror or str(error)).lower()})"
    return None


def _data_directory(data: Path) -> Iterator[Finding]:
    existing = data
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        yield Finding(("data",), f"{existing} is not a directory", "Name a directory.")
    elif not os.access(existing, os.W_OK | os.X_OK):
        doing = "written to" if existing == data else f"made, because {existing} cannot be written to"
        yield Finding(("data",), f"{data} cannot be {doing}", "Give the directory to the user of the server.")
