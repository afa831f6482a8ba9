"""The part of a notification that people read: what happened, to whom, why, and what they can do.

Recipients with whom the same happened for the same reason are told of together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from textwrap import wrap

from estafeta.mail.explanations import Explanation, Language, explain
from estafeta.mail.header import HeaderField, field
from estafeta.mail.report import Action, Relaying, Report, ReportedRecipient, clean
from estafeta.mail.value import value

WIDTH = 72
MAX_SUBJECT = 200
MAX_WORDS = 1000
"""Letters of a reply that are shown; the technical part has it whole as far as it goes."""
MAX_ADDRESSES = 100
"""Recipients named in one group; the technical part has them all."""
MAX_QUOTES = 10
"""Replies shown in one group."""
_MAX_FIELD = 1000
"""Octets of a field of the original message that are read: encoded words are costly when they have no end."""


@value
class _Phrases:
    """All that is said in one language."""

    author: str
    subjects: dict[Action, str]
    openings: dict[Action, str]
    again: dict[Action, str]
    """Openings of groups behind another to which the same happened for another reason."""
    expired: str
    overdue: dict[Action, str]
    """When the time is over that the sender gave it."""
    why: str
    why_yet: str
    what_to_do: str
    nothing_to_do: str
    nothing_to_do_until: str
    after: dict[Action, str]
    relayed: dict[Relaying, str]
    """Other ends of what was passed on."""
    said: str
    said_at: str
    said_of: str
    said_of_at: str
    noted: str
    noted_of: str
    written_to: str
    more_recipients: str
    more_replies: str
    message: str
    subject: str
    sent: str
    reference: str
    attached: str
    header_attached: str
    signature: str
    instant: Callable[[datetime], str]


_MONTHS_EN = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTHS_ES = (
    "enero", "febrero", "marzo", "abril", "mayo", "junio",
    "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
)  # fmt: skip


def _instant_en(at: datetime) -> str:
    return f"{at.day} {_MONTHS_EN[at.month - 1]} {at.year} at {at.hour:02}:{at.minute:02} ({_zone(at)})"


def _instant_es(at: datetime) -> str:
    return f"{at.day} de {_MONTHS_ES[at.month - 1]} de {at.year} a las {at.hour:02}:{at.minute:02} ({_zone(at)})"


def _zone(at: datetime) -> str:
    return f"{at:%z}" if at.utcoffset() else "UTC"


_PHRASES = {
    Language.EN: _Phrases(
        author="Mail Delivery System",
        subjects={
            Action.FAILED: "Your message was not delivered",
            Action.DELAYED: "Your message is delayed",
            Action.DELIVERED: "Your message was delivered",
            Action.RELAYED: "Your message was passed on",
            Action.EXPANDED: "Your message was distributed",
        },
        openings={
            Action.FAILED: "We are sorry: your message could not be delivered to",
            Action.DELAYED: "Your message has not yet reached",
            Action.DELIVERED: "As you asked to be told: your message was delivered to",
            Action.RELAYED: "As you asked to be told: your message was passed on for",
            Action.EXPANDED: "As you asked to be told: your message was sent on to everybody behind",
        },
        again={Action.FAILED: "Nor could it be delivered to", Action.DELAYED: "Nor has it yet reached"},
        expired="We have tried since {}, and now give up.",
        overdue={
            Action.FAILED: "You wanted it delivered by {}, or not at all. That time is over, and it goes no further.",
            Action.DELAYED: "You wanted it delivered by {}. That time is over, but we go on trying.",
        },
        why="Why:",
        why_yet="Why it takes so long:",
        what_to_do="What you can do:",
        nothing_to_do="You need not do anything. We keep trying, and tell you if it cannot be delivered.",
        nothing_to_do_until=(
            "You need not do anything. We keep trying until {}, and tell you if it cannot be delivered by then."
        ),
        after={
            Action.RELAYED: (
                "The next mail server does not confirm deliveries, so that this is all that we can tell you."
                " It will tell you itself should anything go wrong."
            ),
            Action.EXPANDED: "There will be no confirmation from each of them.",
        },
        relayed={
            Relaying.TRACED: (
                "This tells you how far it has come, and is no confirmation of its delivery. You will be told should"
                " anything go wrong."
            ),
            Relaying.UNTIMED: (
                "You wanted it delivered by {}. The next mail server does not know of such times: it will not tell you"
                " if it takes longer than that."
            ),
        },
        said="The recipient's mail server said:",
        said_at="The recipient's mail server {} said:",
        said_of="Of {} the mail server said:",
        said_of_at="Of {} the mail server {} said:",
        noted="Our mail server noted:",
        noted_of="Of {} our mail server noted:",
        written_to="you wrote to {}",
        more_recipients="and {} more, whom the attached report names",
        more_replies="What was said of the others is in the attached report.",
        message="This is about your message",
        subject="Subject:",
        sent="Sent:",
        reference="Reference:",
        attached="The message is attached, so that nothing that you wrote is lost.",
        header_attached="The header of the message is attached.",
        signature="{}, the mail server that carries your mail",
        instant=_instant_en,
    ),
    Language.ES: _Phrases(
        author="Sistema de correo",
        subjects={
            Action.FAILED: "Su mensaje no se ha entregado",
            Action.DELAYED: "Su mensaje se retrasa",
            Action.DELIVERED: "Su mensaje se ha entregado",
            Action.RELAYED: "Su mensaje va de camino",
            Action.EXPANDED: "Su mensaje se ha repartido",
        },
        openings={
            Action.FAILED: "Lo sentimos: su mensaje no se ha podido entregar a",
            Action.DELAYED: "Su mensaje todavía no ha llegado a",
            Action.DELIVERED: "Como pidió que se le avisara: su mensaje se ha entregado a",
            Action.RELAYED: "Como pidió que se le avisara: su mensaje ha seguido camino hacia",
            Action.EXPANDED: "Como pidió que se le avisara: su mensaje se ha reenviado a todos los que están detrás de",
        },
        again={
            Action.FAILED: "Tampoco se ha podido entregar a",
            Action.DELAYED: "Tampoco ha llegado todavía a",
        },
        expired="Lo hemos intentado desde el {}, y ahora desistimos.",
        overdue={
            Action.FAILED: "Usted quería que se entregara antes del {}, o nunca. El plazo ha pasado, y no sigue.",
            Action.DELAYED: "Usted quería que se entregara antes del {}. El plazo ha pasado; seguimos intentándolo.",
        },
        why="Por qué:",
        why_yet="Por qué tarda:",
        what_to_do="Qué puede hacer:",
        nothing_to_do="No tiene que hacer nada. Seguimos intentándolo, y le avisaremos si no se puede entregar.",
        nothing_to_do_until=(
            "No tiene que hacer nada. Seguimos intentándolo hasta el {}, y le avisaremos si no se puede entregar hasta"
            " entonces."
        ),
        after={
            Action.RELAYED: (
                "El siguiente servidor de correo no confirma las entregas, de modo que esto es todo lo que podemos"
                " decirle. Si algo va mal, él mismo le avisará."
            ),
            Action.EXPANDED: "No habrá una confirmación de cada uno de ellos.",
        },
        relayed={
            Relaying.TRACED: (
                "Esto le dice hasta dónde ha llegado, y no confirma su entrega. Se le avisará si algo va mal."
            ),
            Relaying.UNTIMED: (
                "Usted quería que se entregara antes del {}. El siguiente servidor de correo no conoce tales plazos: no"
                " le avisará si tarda más."
            ),
        },
        said="El servidor de correo del destinatario dijo:",
        said_at="El servidor de correo del destinatario, {}, dijo:",
        said_of="De {} el servidor de correo dijo:",
        said_of_at="De {} el servidor de correo {} dijo:",
        noted="Nuestro servidor de correo anotó:",
        noted_of="De {} nuestro servidor de correo anotó:",
        written_to="usted escribió a {}",
        more_recipients="y {} más, que el informe adjunto nombra",
        more_replies="Lo que se dijo de los demás está en el informe adjunto.",
        message="Se trata de su mensaje",
        subject="Asunto:",
        sent="Enviado:",
        reference="Referencia:",
        attached="El mensaje va adjunto, para que no se pierda nada de lo que escribió.",
        header_attached="La cabecera del mensaje va adjunta.",
        signature="{}, el servidor que lleva su correo",
        instant=_instant_es,
    ),
}


def author_name(language: Language) -> str:
    """What From calls us."""
    return _PHRASES[language].author


def subject(report: Report) -> str:
    """The Subject: the gravest that happened, and what the original message was about."""
    happened = {recipient.action for recipient in report.recipients}
    gravest = next(action for action in Action if action in happened)
    original = _subject_of(report.returned)
    phrase = _PHRASES[report.language].subjects[gravest]
    return f"{phrase}: {original}" if original else phrase


def letter(report: Report) -> str:
    """The whole text, lines of about 72 columns with LF at their ends."""
    phrases = _PHRASES[report.language]
    blocks: list[str] = []
    before: Action | None = None
    for group in _groups(report):
        opening = phrases.again.get(group.action) if group.action is before else None
        blocks.append(_paragraph(opening or phrases.openings[group.action]))
        blocks += _told(group, report, phrases)
        before = group.action
    blocks.append(_paragraph(phrases.message))
    blocks.append("\n".join(_about(report, phrases)))
    blocks.append(_paragraph(phrases.attached if report.is_full else phrases.header_attached))
    blocks.append(f"-- \n{phrases.signature.format(report.reporting_host)}")
    return "\n\n".join(blocks) + "\n"


@value
class _Group:
    """Recipients with whom the same happened for the same reason."""

    action: Action
    is_expired: bool
    is_overdue: bool
    relaying: Relaying
    will_retry_until: float | None
    explanation: Explanation | None
    members: list[ReportedRecipient]


def _groups(report: Report) -> list[_Group]:
    """The gravest first, otherwise in the order in which they come."""
    groups: dict[object, _Group] = {}
    for recipient in report.recipients:
        explanation = None
        if recipient.reply is not None and recipient.action in (Action.FAILED, Action.DELAYED):
            explanation = explain(recipient.reply, recipient.stage, report.language, is_remote=recipient.is_remote)
        key = (
            recipient.action,
            recipient.is_expired,
            recipient.is_overdue,
            recipient.relaying,
            recipient.will_retry_until,
            explanation,
        )
        group = groups.setdefault(key, _Group(*key, []))
        group.members.append(recipient)
    order = list(Action)
    return sorted(groups.values(), key=lambda group: order.index(group.action))


def _told(group: _Group, report: Report, phrases: _Phrases) -> Iterator[str]:
    """One group's paragraphs behind its opening."""
    yield "\n".join(_addresses(group, phrases))
    if group.is_overdue and group.action in phrases.overdue:
        yield _paragraph(phrases.overdue[group.action].format(_deliver_by(report, phrases)))
    elif group.is_expired:
        since = report.arrived_at if report.tried_since is None else report.tried_since
        yield _paragraph(phrases.expired.format(_instant(since, phrases)))
    if group.explanation is not None:
        why = phrases.why_yet if group.action is Action.DELAYED else phrases.why
        yield _paragraph(f"{why} {group.explanation.why}")
    if group.action is Action.FAILED and group.explanation is not None:
        yield _paragraph(f"{phrases.what_to_do} {group.explanation.what_to_do}")
    elif group.action is Action.DELAYED:
        until = group.will_retry_until
        nothing = phrases.nothing_to_do
        yield _paragraph(nothing if until is None else phrases.nothing_to_do_until.format(_instant(until, phrases)))
    elif group.action is Action.RELAYED and group.relaying in phrases.relayed:
        yield _paragraph(phrases.relayed[group.relaying].format(_deliver_by(report, phrases)))
    elif group.action in phrases.after:
        yield _paragraph(phrases.after[group.action])
    if group.action in (Action.FAILED, Action.DELAYED):
        yield from _quotes(group, phrases)


def _deliver_by(report: Report, phrases: _Phrases) -> str:
    return "" if report.deliver_by_at is None else _instant(report.deliver_by_at, phrases)


def _addresses(group: _Group, phrases: _Phrases) -> Iterator[str]:
    for member in group.members[:MAX_ADDRESSES]:
        address = clean(str(member.final), 320)
        original = clean(member.original.address, 320) if member.original is not None else address
        same = original.lower() == address.lower()
        yield f"    {address}" if same else f"    {address} ({phrases.written_to.format(original)})"
    if len(group.members) > MAX_ADDRESSES:
        yield f"    {phrases.more_recipients.format(len(group.members) - MAX_ADDRESSES)}"


def _quotes(group: _Group, phrases: _Phrases) -> Iterator[str]:
    """Each reply once, with the address that it is about where there are several."""
    seen: dict[tuple[str, str, bool], ReportedRecipient] = {}
    for member in group.members:
        if member.reply is not None:
            host = clean(member.remote_host or "", 255)
            seen.setdefault((clean(str(member.reply), MAX_WORDS), host, member.is_remote), member)
    for (words, host, is_remote), member in list(seen.items())[:MAX_QUOTES]:
        address = clean(str(member.final), 320) if len(seen) > 1 else ""
        if not is_remote:
            yield _paragraph(phrases.noted_of.format(address) if address else phrases.noted)
        elif address:
            yield _paragraph(phrases.said_of_at.format(address, host) if host else phrases.said_of.format(address))
        else:
            yield _paragraph(phrases.said_at.format(host) if host else phrases.said)
        quote = "    > "
        yield "\n".join(wrap(words, WIDTH, initial_indent=quote, subsequent_indent=quote, break_on_hyphens=False))
    if len(seen) > MAX_QUOTES:
        yield _paragraph(phrases.more_replies)


def _about(report: Report, phrases: _Phrases) -> Iterator[str]:
    """By what people know their message."""
    rows = [(phrases.subject, _subject_of(report.returned)), (phrases.sent, _sent(report, phrases))]
    rows.append((phrases.reference, report.queue_id))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        if text:
            indent = " " * (width + 5)
            lines = wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
            yield f"    {name:<{width}} " + "\n".join(lines).lstrip()


def _subject_of(content: bytes) -> str:
    return clean(_field_text(content, "subject"), MAX_SUBJECT)


def _sent(report: Report, phrases: _Phrases) -> str:
    """When the message was written by its own word, in the zone of its author; when it came here otherwise."""
    said = clean(_field_text(report.returned, "date"), 100)
    try:
        return phrases.instant(parsedate_to_datetime(said))
    except (ValueError, OverflowError):
        return _instant(report.arrived_at, phrases)


def _field_text(content: bytes, name: str) -> str:
    found = field(content, name)
    return "" if found is None else HeaderField(found.name, found.body[:_MAX_FIELD]).text


def _instant(at: float, phrases: _Phrases) -> str:
    return phrases.instant(datetime.fromtimestamp(at, UTC))


def _paragraph(text: str) -> str:
    return "\n".join(wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))
