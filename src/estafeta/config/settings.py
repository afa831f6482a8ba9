"""Every setting, as a frozen value. The rooms below own their settings; here they become tables of one file."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from estafeta.access.imap.settings import ImapSettings
from estafeta.access.pop3 import Pop3Settings
from estafeta.agents.live.settings import LiveSettings
from estafeta.agents.ondemand import OnDemandSettings
from estafeta.agents.outbound.gateways.settings import GatewaySettings
from estafeta.agents.outbound.notifier import NotificationSettings
from estafeta.agents.outbound.settings import DestinationLimit, RelaySettings
from estafeta.agents.outbound.tls_reporting import TlsReportSettings
from estafeta.agents.promises import PromiseSettings
from estafeta.agents.settings import ReceptionSettings, SmtpLimits
from estafeta.config.location import DEFAULT_DATA
from estafeta.mail.address import AddressError, parse_domain
from estafeta.net.address import IpNetwork
from estafeta.net.dns import DnsSettings
from estafeta.net.listener import ConnectionLimits
from estafeta.net.tls import TlsClientSettings
from estafeta.policy.guard import LoginSettings
from estafeta.policy.oauth import OAuthSettings
from estafeta.routing.routes import RouteRule
from estafeta.routing.security import DaneSettings, TlsRule
from estafeta.routing.srs import SrsSettings
from estafeta.routing.sts import MtaStsSettings
from estafeta.wire.smtp.extensions.no_soliciting import solicitation_keywords


class ListenerKind(StrEnum):
    """What a listener speaks."""

    SMTP = "smtp"
    """Mail from other hosts (port 25)."""
    SUBMISSION = "submission"
    """Mail from users, TLS by STARTTLS (RFC 6409, port 587)."""
    SUBMISSIONS = "submissions"
    """Mail from users, TLS from the first octet (RFC 8314 §3.3, port 465)."""
    LMTP = "lmtp"
    """Mail from a mail server in front of this one (RFC 2033, port 24)."""
    ODMR = "odmr"
    """Mail on demand for customers who log in and call for it (RFC 2645, port 366)."""
    POP3 = "pop3"
    """Mailboxes, TLS by STLS (RFC 1939, RFC 2595, port 110)."""
    POP3S = "pop3s"
    """Mailboxes, TLS from the first octet (RFC 8314 §3.1, port 995)."""
    IMAP = "imap"
    """Mailboxes on the server, TLS by STARTTLS (RFC 9051, port 143)."""
    IMAPS = "imaps"
    """Mailboxes on the server, TLS from the first octet (RFC 8314 §3.2, port 993)."""

    @property
    def implicit_tls(self) -> bool:
        """Whether TLS starts with the connection."""
        return self in (ListenerKind.SUBMISSIONS, ListenerKind.POP3S, ListenerKind.IMAPS)

    @property
    def gives_mail(self) -> bool:
        """Whether readers get their mail there, and nobody hands any in by SMTP."""
        return self in (ListenerKind.POP3, ListenerKind.POP3S, ListenerKind.IMAP, ListenerKind.IMAPS)

    @property
    def asks_for_certificates(self) -> bool:
        """Whether its clients are users, who may be asked for a certificate; hosts of others may have any."""
        return self not in (ListenerKind.SMTP, ListenerKind.LMTP)

    @property
    def default_port(self) -> int:
        """The port that is registered for it."""
        return _DEFAULT_PORTS[self]


_DEFAULT_PORTS = {
    ListenerKind.SMTP: 25,
    ListenerKind.SUBMISSION: 587,
    ListenerKind.SUBMISSIONS: 465,
    ListenerKind.LMTP: 24,
    ListenerKind.ODMR: 366,
    ListenerKind.POP3: 110,
    ListenerKind.POP3S: 995,
    ListenerKind.IMAP: 143,
    ListenerKind.IMAPS: 993,
}


def _below_folder(path: Path, info: ValidationInfo) -> Path:
    folder = info.context.get("folder") if info.context else None
    return folder / path if folder else path


def _files_below_folder(client: TlsClientSettings, info: ValidationInfo) -> TlsClientSettings:
    """The paths of a room's own table, taken as those of the file's."""
    paths = {name: getattr(client, name) for name in ("certificate", "key", "ca_file")}
    return replace(client, **{name: path and _below_folder(path, info) for name, path in paths.items()})


def _oauth_files_below_folder(oauth: OAuthSettings | None, info: ValidationInfo) -> OAuthSettings | None:
    if oauth is None:
        return None
    ca_file, secret = oauth.ca_file, oauth.client_secret_file
    return replace(
        oauth,
        ca_file=ca_file and _below_folder(ca_file, info),
        client_secret_file=secret and _below_folder(secret, info),
    )


def _host_name(text: str) -> str:
    try:
        name = parse_domain(text)
        # 127.1 and 192.0.2.1 pass the grammar of names, but a top-level label of digits only is no domain.
        if name.startswith("[") or name.rpartition(".")[2].isdecimal():
            raise AddressError("an address literal")
    except AddressError as error:
        raise PydanticCustomError(
            "remedied",
            "is not a domain name ({reason})",
            {"reason": str(error), "remedy": 'Write the name of this machine in the DNS, as in "mx.example.org".'},
        ) from error
    return name


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise PydanticCustomError(
            "remedied",
            "is not an IP address",
            {"remedy": 'Write an address of this machine, "0.0.0.0" for all IPv4 or "::" for all IPv6 addresses.'},
        ) from error


def machine_name() -> str:
    """The fully qualified name of this machine as it knows it, `localhost` when that is no domain name."""
    name = socket.gethostname()
    if "." not in name:
        name = socket.getfqdn(name)
    try:
        return parse_domain(name)
    except AddressError:
        return "localhost"


FilePath = Annotated[Path, AfterValidator(_below_folder)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LineEnds(StrEnum):
    """How lines may end (RFC 5321 §2.3.8)."""

    STRICT = "strict"
    """CRLF and nothing else."""
    REPAIR = "repair"
    """A bare LF is made a CRLF."""


class Listen(_Table):
    """One `[[listen]]`: a port that is served."""

    kind: ListenerKind
    """What is spoken there."""
    address: Annotated[str, AfterValidator(_ip_address)] = "0.0.0.0"  # noqa: S104 - a mail server is for all
    """The IP address to listen on; `::` for all of IPv6."""
    port: int = Field(default_factory=lambda data: _default_port(data), ge=0, le=65535)
    """The TCP port; the registered one of its kind when left out, any free one when 0."""
    takes_mail: bool = True
    """False says that this host takes no mail: clients are told so by 521 and the connection is closed (RFC 7504)."""

    proxy_protocol: tuple[IpNetwork, ...] = ()
    """Networks of proxies whose connections must begin with a PROXY header, of version 1 or 2. Others are served as
    who they are, and a header of theirs is not believed."""
    line_ends: LineEnds = LineEnds.STRICT
    """strict, or repair for senders of your own that end lines with LF alone: not on smtp listeners."""
    bare_addresses: bool = False
    """Read addresses without angle brackets, as in MAIL FROM:user@host."""

    @property
    def name(self) -> str:
        """`submission [::1]:587`."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.kind} {address}:{self.port}"


def _default_port(table: dict[str, Any]) -> int:
    kind = table.get("kind")
    return kind.default_port if isinstance(kind, ListenerKind) else 0


class TlsSettings(_Table):
    """`[tls]`: the certificate that clients are shown."""

    certificate: FilePath
    """PEM file with the certificate and the chain up to the authority."""
    key: FilePath
    """PEM file with the private key; others must not be able to read it."""
    minimum: Literal["1.2", "1.3"] = "1.2"
    """The oldest version of TLS that is spoken (RFC 8314 §4.1, RFC 8996)."""
    client_authorities: FilePath | None = None
    """PEM file of authorities. With it clients are asked for a certificate where users log in, on all listeners but
    smtp and lmtp; one of these authorities, or in the file itself, can log its account in (EXTERNAL), and with any
    other the handshake fails."""


class JournalSettings(_Table):
    """`[journal]`: how long the record of every decision is kept."""

    keep_days: int = 90
    """Days after which entries are removed; 0 keeps them for ever."""
    redact_after_days: int = 30
    """Days after which addresses, hosts and subjects are taken out of entries; 0 never."""


class LogSettings(_Table):
    """`[log]`: what goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written."""
    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON document a line."""
    messages: bool = True
    """With level info or debug: a line for each message that is accepted or refused, each attempt for a recipient, and
    each login. Without them `estafeta trace` knows as much."""


class StoreSettings(_Table):
    """`[store]`: how messages are kept."""

    large_content: int = 262_144
    """Octets from which a message is kept as a file of its own instead of in the database."""
    least_free: int = 67_108_864
    """Octets of the disk that are left free: with less, MAIL is answered 452 4.3.1, and so is a message that would take
    more than is free above them. Where a twentieth of the disk is less than this, that much is left free."""


class ShutdownSettings(_Table):
    """`[shutdown]`: how the server ends."""

    drain_seconds: float = 30.0
    """How long sessions under way may go on after SIGTERM."""


class ProcessSettings(_Table):
    """`[processes]`: how many processes serve."""

    workers: int = Field(default=1, ge=1, le=64)
    """Processes that serve all listeners together. One uses one processor; more share the ports, the queue and the
    mailboxes, and each has the limits of `connections` and `login` for itself."""
    indexer: bool = True
    """Read new mail for searching and listing in a process of its own, at the lowest priority: two
    seconds after the last change, or after half a minute, and with rests while mail keeps coming. The process ends when
    nothing has come for half an hour, and is started again for the next mail. Without it mail is read so when somebody
    first asks for it."""


class OwnerSettings(_Table):
    """`[process]`: as whom the server runs."""

    user: str = ""
    """A user without rights. Started as root, the server binds its ports, reads its key and becomes this user for good;
    the data directory must belong to him. Empty: it stays who it is."""
    group: str = ""
    """The group; the user's own when left out."""


class OverloadSettings(_Table):
    """`[overload]`: when new connections are refused, so that those that are open go on; and, at twice that, MAIL."""

    enabled: bool = True
    """Look at all of this, in each process for itself."""
    loop_lag: float = 2.0
    """Seconds by which the process is late for what it is to do, on the average of some seconds."""
    store_age: float = 10.0
    """Seconds that the oldest change of the store waits to be on the disk."""
    store_waiting: int = 5_000
    """Changes of the store that wait."""
    memory: int = 0
    """Octets of memory of this process; 0: no limit but that of the service (cgroup memory.max), for all its processes
    together. New connections are refused above nine tenths of it, MAIL above 19 twentieths."""
    calm_after: float = 5.0
    """Seconds that all must be well below, before it is over."""


class MonitoringSettings(_Table):
    """`[monitoring]`: what the server tells of itself over HTTP, and when it complains of itself in the log."""

    port: int | None = Field(default=None, ge=0, le=65535)
    """The TCP port of `/metrics`, `/health` and `/health/ready`; without it there are none."""
    address: Annotated[str, AfterValidator(_ip_address)] = "127.0.0.1"
    """The IP address to listen on. Whoever can reach it can read it all; names of destinations are among it."""
    connections: int = 20
    """Open connections of scrapers."""
    request_after: float = 10.0
    """Seconds that a client has for one request."""
    destinations: int = 20
    """Destinations of which it is told how much waits for them, those with the most; 0 for none."""
    count_after: float = 15.0
    """Seconds for which counts of the queue are kept: a long queue takes tenths of a second to count."""
    certificate_days: float = 0.0
    """Days that the certificate must be valid for the server to count as well; 0: as long as it is valid at all."""
    queue_age: float | None = None
    """Seconds after which mail in the queue is too old for the server to count as well; never when left out."""
    loop_held_after: float = 1.0
    """Seconds after which the log says where the event loop stands that does nothing else meanwhile."""
    commit_after: float = 10.0
    """Seconds after which the log says that a commit does not end."""
    worker_dead_after: float = 60.0
    """Seconds after which a further process whose event loop stands still ends itself, and is started again. The first
    one is the service manager's to watch."""

    @property
    def name(self) -> str:
        """`monitoring [::1]:9025`."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"monitoring {address}:{self.port}"


class SendmailSettings(_Table):
    """`[sendmail]`: where `estafeta-sendmail` hands mail in."""

    server: str | None = None
    """host:port of a server that takes mail without a login; the first smtp listener when left out."""
    domain: Annotated[str, AfterValidator(_host_name)] | None = None
    """Completes recipients and senders that are bare names; the hostname when left out."""


@dataclass(frozen=True, slots=True)
class SmtpSettings(ReceptionSettings):
    """`[smtp]`, with its limits below it."""

    limits: SmtpLimits = field(default_factory=SmtpLimits)
    """Limits and deadlines of a session."""


def _solicitations(smtp: SmtpSettings) -> SmtpSettings:
    for keyword in smtp.unwanted_solicitations:
        try:
            solicitation_keywords(keyword)
        except ValueError as error:
            raise PydanticCustomError(
                "remedied",
                "unwanted_solicitations: {keyword} is no keyword of a solicitation (RFC 3865 §2.1)",
                {"keyword": repr(keyword), "remedy": 'Write a domain, a colon and a word, as in "net.example:ADV".'},
            ) from error
    return smtp


class Settings(_Table):
    """The whole file."""

    hostname: Annotated[str, AfterValidator(_host_name)] = Field(default_factory=lambda: machine_name())
    """The name in greetings and trace fields; the machine's own name when left out."""
    data: FilePath = DEFAULT_DATA
    """The data directory; relative to the folder of the settings file."""
    listen: tuple[Listen, ...] = ()
    """The ports that are served."""
    tls: TlsSettings | None = None
    """The certificate; without it no TLS is offered."""
    smtp: Annotated[SmtpSettings, AfterValidator(_solicitations)] = SmtpSettings()
    """How SMTP and LMTP clients are treated."""
    replies: dict[str, str] = Field(default_factory=dict)
    """Texts of your own for replies, by their names on the page of [replies](replies.md); codes stay what they are."""
    connections: ConnectionLimits = ConnectionLimits()
    """How many connections are taken."""
    login: LoginSettings = LoginSettings()
    """How failed logins are slowed down and locked out."""
    oauth: Annotated[OAuthSettings | None, AfterValidator(_oauth_files_below_folder)] = None
    """Logins by OAuth 2.0 tokens; without it none are taken."""
    pop3: Pop3Settings = Pop3Settings()
    """Limits and deadlines of POP3."""
    imap: ImapSettings = ImapSettings()
    """Limits and deadlines of IMAP, and what is offered."""
    route: tuple[RouteRule, ...] = ()
    """What becomes of mail for domains that are not ours; the first rule that fits is taken."""
    gateway: tuple[GatewaySettings, ...] = ()
    """Where routes lead to: hosts, folders and programs."""
    relay: RelaySettings = RelaySettings()
    """How queued mail is tried."""
    destination_limit: tuple[DestinationLimit, ...] = ()
    """How much one destination gets; the first that fits is taken."""
    notifications: NotificationSettings = NotificationSettings()
    """What senders are told of their mail."""
    tls_report: TlsReportSettings = TlsReportSettings()
    """What other domains are told of TLS with their hosts."""
    dns: DnsSettings = DnsSettings()
    """How names are looked up."""
    tls_policy: tuple[TlsRule, ...] = ()
    """The TLS that mail to certain domains needs; the first that fits is taken."""
    dane: DaneSettings = DaneSettings()
    """Certificates of other hosts by DANE."""
    mta_sts: MtaStsSettings = MtaStsSettings()
    """Policies of other domains by MTA-STS."""
    tls_client: Annotated[TlsClientSettings, AfterValidator(_files_below_folder)] = TlsClientSettings()
    """What is shown to other hosts, and trusted of theirs."""
    on_demand: OnDemandSettings = OnDemandSettings()
    """Hosts that ask for the mail that waits for them."""
    live: LiveSettings = LiveSettings()
    """Messages that appear on people's screens."""
    promises: PromiseSettings = PromiseSettings()
    """What senders may ask of the time and the order in which their mail goes."""
    srs: SrsSettings = SrsSettings()
    """The reverse-path of mail that an alias forwards."""
    journal: JournalSettings = JournalSettings()
    """The record of every decision."""
    log: LogSettings = LogSettings()
    """What goes to standard error."""
    store: StoreSettings = StoreSettings()
    """How messages are kept."""
    shutdown: ShutdownSettings = ShutdownSettings()
    """How the server ends."""
    processes: ProcessSettings = ProcessSettings()
    """How many processes serve."""
    process: OwnerSettings = OwnerSettings()
    """As whom the server runs."""
    overload: OverloadSettings = OverloadSettings()
    """When new connections are refused, so that those that are open go on."""
    monitoring: MonitoringSettings = MonitoringSettings()
    """What the server tells of itself."""
    sendmail: SendmailSettings = SendmailSettings()
    """Where programs hand mail in."""
