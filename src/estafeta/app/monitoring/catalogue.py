"""Every metric that the server has, with its kind, its labels and what it says; docs/operations.md lists the same.

Names follow Prometheus' practice: base units, `_total` for what only grows. Labels have few values: words of closed
lists, listeners of the settings, the first of the destinations.
"""

from __future__ import annotations

from enum import StrEnum

from estafeta.mail.value import value


class Kind(StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"
    """Only grows, also when a worker is started again."""
    GAUGE = "gauge"
    """What is now."""
    HISTOGRAM = "histogram"
    """How many values fell up to each bound."""


@value
class Metric:
    """One metric, its values told apart by the labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


CONNECTIONS = Metric("estafeta_connections", Kind.GAUGE, "Open connections of clients.", ("listener",))
CONNECTIONS_TAKEN = Metric("estafeta_connections_taken_total", Kind.COUNTER, "Connections taken.", ("listener",))
CONNECTIONS_REFUSED = Metric(
    "estafeta_connections_refused_total", Kind.COUNTER, "Connections refused for the limits.", ("listener",)
)
CONNECTIONS_SHED = Metric(
    "estafeta_connections_shed_total", Kind.COUNTER, "Connections refused because the server had too much to do."
)
MAIL_PUT_OFF = Metric(
    "estafeta_mail_put_off_total", Kind.COUNTER, "Commands MAIL put off because of overload, or for want of disk."
)
OVERLOADED = Metric(
    "estafeta_overloaded_processes", Kind.GAUGE, "Processes that refuse new connections, or mail, now.", ("what",)
)
OCTETS = Metric(
    "estafeta_bytes_total",
    Kind.COUNTER,
    "Octets of clients' connections, after decryption, by direction (received, sent).",
    ("listener", "direction"),
)
SESSIONS = Metric(
    "estafeta_sessions_total", Kind.COUNTER, "Sessions that have ended, by protocol and how.", ("protocol", "outcome")
)
SMTP_REPLIES = Metric("estafeta_smtp_replies_total", Kind.COUNTER, "Replies to SMTP and LMTP clients.", ("code",))
ACCESS_REPLIES = Metric(
    "estafeta_access_replies_total",
    Kind.COUNTER,
    "Responses to POP3 (OK, ERR) and IMAP (OK, NO, BAD) clients.",
    ("protocol", "reply"),
)
IMAP_COMMANDS = Metric("estafeta_imap_commands_total", Kind.COUNTER, "IMAP commands carried out.", ("command",))
DECISIONS = Metric(
    "estafeta_decisions_total",
    Kind.COUNTER,
    "Decisions about sessions, senders, recipients and messages, by verdict and reason.",
    ("verdict", "reason"),
)
LOGINS = Metric(
    "estafeta_logins_total", Kind.COUNTER, "Logins that were tried, by mechanism and result.", ("mechanism", "result")
)
MESSAGES_ACCEPTED = Metric(
    "estafeta_messages_accepted_total", Kind.COUNTER, "Messages answered with 250, by kind of listener.", ("role",)
)
MESSAGE_OCTETS_ACCEPTED = Metric(
    "estafeta_message_bytes_accepted_total", Kind.COUNTER, "Octets of the contents of these."
)
RECIPIENTS_ACCEPTED = Metric(
    "estafeta_recipients_accepted_total",
    Kind.COUNTER,
    "Recipients of these, by kind of route (mailbox, host, alias, nowhere).",
    ("route",),
)
ACCEPTANCE_SECONDS = Metric(
    "estafeta_acceptance_seconds",
    Kind.HISTOGRAM,
    "From the end of a message's data to its commit: its delivery into mailboxes here, and what the client waits for.",
)
ATTEMPTS = Metric(
    "estafeta_attempts_total", Kind.COUNTER, "Recipients of attempts to pass mail on, by outcome.", ("outcome",)
)
QUEUE_SECONDS = Metric(
    "estafeta_queue_seconds",
    Kind.HISTOGRAM,
    "From acceptance to the end of recipients that left the queue, by end (relayed, delivered, released, failed, "
    "expired).",
    ("end",),
)
QUEUE_RECIPIENTS = Metric(
    "estafeta_queue_recipients", Kind.GAUGE, "Recipients in the queue, by state (active, deferred, held).", ("state",)
)
QUEUE_IN_MEMORY = Metric("estafeta_queue_in_memory", Kind.GAUGE, "Recipients of the queue that are held in memory.")
QUEUE_OLDEST = Metric("estafeta_queue_oldest_seconds", Kind.GAUGE, "Age of the oldest message in the queue.")
QUEUE_DESTINATION = Metric(
    "estafeta_queue_destination_recipients",
    Kind.GAUGE,
    "Recipients that wait for the destinations with the most of them; other destinations are not told of.",
    ("destination",),
)
COMMITS = Metric("estafeta_commits_total", Kind.COUNTER, "Groups of changes, by result (ok, failed).", ("result",))
COMMIT_CHANGES = Metric("estafeta_commit_changes", Kind.HISTOGRAM, "Changes that one commit made durable.")
COMMIT_SECONDS = Metric(
    "estafeta_commit_seconds", Kind.HISTOGRAM, "From the begin of a group of changes to the end of its sync."
)
STORE_WAITING = Metric("estafeta_store_waiting", Kind.GAUGE, "Changes that wait for the next group.")
STORE_OCTETS = Metric(
    "estafeta_store_bytes",
    Kind.GAUGE,
    "Octets of the store, by part: database, log (write-ahead), contents (files of large messages).",
    ("part",),
)
DISK_FREE = Metric("estafeta_disk_free_bytes", Kind.GAUGE, "Octets that are free below the data directory.")
DNS_QUESTIONS = Metric(
    "estafeta_dns_questions_total",
    Kind.COUNTER,
    "Questions about names, those answered from memory included, by type and status of the answer.",
    ("type", "status"),
)
CERTIFICATE_EXPIRES = Metric(
    "estafeta_certificate_expiry_timestamp_seconds",
    Kind.GAUGE,
    "When the server's certificate ends, in seconds since 1970.",
)
CPU_SECONDS = Metric("estafeta_cpu_seconds_total", Kind.COUNTER, "Processor time used, by process.", ("process",))
MEMORY_OCTETS = Metric("estafeta_resident_memory_bytes", Kind.GAUGE, "Resident memory, by process.", ("process",))
OPEN_FILES = Metric("estafeta_open_files", Kind.GAUGE, "Open file descriptors, by process.", ("process",))
STARTED_AT = Metric(
    "estafeta_start_timestamp_seconds", Kind.GAUGE, "When a process began, in seconds since 1970.", ("process",)
)
LOOP_LAG_SECONDS = Metric(
    "estafeta_loop_lag_seconds", Kind.HISTOGRAM, "How late the event loops come to what is due; some looks a second."
)
LOOP_HELD = Metric(
    "estafeta_loop_held_total", Kind.COUNTER, "Times that an event loop was held up for longer than the setting says."
)
BUILD = Metric("estafeta_build_info", Kind.GAUGE, "1, with the versions.", ("version", "python", "sqlite"))

METRICS: tuple[Metric, ...] = (
    CONNECTIONS,
    CONNECTIONS_TAKEN,
    CONNECTIONS_REFUSED,
    CONNECTIONS_SHED,
    MAIL_PUT_OFF,
    OVERLOADED,
    OCTETS,
    SESSIONS,
    SMTP_REPLIES,
    ACCESS_REPLIES,
    IMAP_COMMANDS,
    DECISIONS,
    LOGINS,
    MESSAGES_ACCEPTED,
    MESSAGE_OCTETS_ACCEPTED,
    RECIPIENTS_ACCEPTED,
    ACCEPTANCE_SECONDS,
    ATTEMPTS,
    QUEUE_SECONDS,
    QUEUE_RECIPIENTS,
    QUEUE_IN_MEMORY,
    QUEUE_OLDEST,
    QUEUE_DESTINATION,
    COMMITS,
    COMMIT_CHANGES,
    COMMIT_SECONDS,
    STORE_WAITING,
    STORE_OCTETS,
    DISK_FREE,
    DNS_QUESTIONS,
    CERTIFICATE_EXPIRES,
    CPU_SECONDS,
    MEMORY_OCTETS,
    OPEN_FILES,
    STARTED_AT,
    LOOP_LAG_SECONDS,
    LOOP_HELD,
    BUILD,
)
