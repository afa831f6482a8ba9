"""What HELP says: the verbs and extensions of a session as their records tell of them (RFC 5321 §4.1.1.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from estafeta.mail.catalogue import helps
from estafeta.mail.reply import Reply
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.session import Extension, Session, Verb
from estafeta.wire.smtp.verbs import VERBS


def help_reply(session: Session, topic: str) -> Reply:
    """The reply to HELP with a topic in upper case, or none."""
    if not topic:
        verbs = " ".join(verb.name for verb in _verbs(session))
        return helps.OVERVIEW.with_(verbs=verbs, topics=" ".join(_TOPICS))
    if topic in _TOPICS:
        return _TOPICS[topic](session)
    for verb in _verbs(session):
        if verb.name == topic:
            return _of_verb(session, verb)
    for extension in _extensions(session):
        if extension.keyword == topic:
            told = helps.EXTENSION.with_(keyword=extension.keyword, rfc=_source(extension))
            return _followed(told, _parameters((extension,)))
    return helps.NO_SUCH_TOPIC


def _verbs(session: Session) -> list[Verb]:
    return [verb for verb in VERBS if verb.is_offered is None or verb.is_offered(session)]


def _extensions(session: Session) -> list[Extension]:
    return [extension for extension in EXTENSIONS if extension.offer(session) is not None]


def _followed(reply: Reply, lines: Iterable[str]) -> Reply:
    return Reply(reply.code, reply.status, (*reply.lines, *lines), reply.key, reply.values)


def _of_verb(session: Session, verb: Verb) -> Reply:
    offered = _extensions(session)
    lines = []
    if verb.name == "RCPT":
        lines = _parameters(offered, of_mail=False)
    elif "FROM:" in verb.syntax:
        lines = _parameters(offered, of_rcpt=False)
    return _followed(helps.VERBS[verb.name].with_(syntax=verb.syntax), lines)


def _parameters(extensions: Iterable[Extension], *, of_mail: bool = True, of_rcpt: bool = True) -> list[str]:
    """A line for each parameter: its keyword, and its value in words."""
    told = []
    for extension in extensions:
        if of_mail:
            told += [f"{each.keyword}: {each.form} ({_source(extension)})" for each in extension.mail_parameters]
        if of_rcpt:
            told += [f"{each.keyword}: {each.form} ({_source(extension)})" for each in extension.rcpt_parameters]
    return told


def _source(extension: Extension) -> str:
    """Its document, in ASCII."""
    return extension.rfc.replace("§", "section ")


def _status(session: Session) -> Reply:
    recipients = 0 if session.transaction is None else len(session.transaction.recipients)
    return helps.STATUS.with_(
        hostname=session.options.hostname,
        tls="on" if session.is_secure else "off",
        login="on" if session.is_authenticated else "off",
        recipients=str(recipients),
    )


def _limits(session: Session) -> Reply:
    options = session.options
    limits = {
        "SIZE": options.message_size,
        "LINE": options.command_line,
        "RCPTMAX": options.recipients,
        "MAILMAX": options.transactions,
    }
    return _followed(helps.LIMITS, [f"{name}={limit}" for name, limit in limits.items() if limit is not None])


def _all_extensions(session: Session) -> Reply:
    return _followed(helps.EXTENSIONS, [f"{each.offer(session)} ({_source(each)})" for each in _extensions(session)])


_TOPICS: dict[str, Callable[[Session], Reply]] = {
    "STATUS": _status,
    "LIMITS": _limits,
    "EXTENSIONS": _all_extensions,
}
