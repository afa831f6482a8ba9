"""Replies to HELP: 211 for how things stand, 214 for how a command is used (RFC 5321 §4.1.1.8, §4.2.3).

Where more lines are said to follow, they are words of the protocol and the same in all languages.
"""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group, ReplyForm

GROUP = Group("Help")

OVERVIEW = GROUP.form(
    "help",
    214,
    "2.0.0",
    "Commands: {verbs}\nTopics: {topics}\nHELP and one of these words tells more",
    "Órdenes: {verbs}\nTemas: {topics}\nHELP y una de estas palabras dice más",
    when="HELP alone.",
    standard="RFC 5321 §4.1.1.8",
)
STATUS = GROUP.form(
    "status",
    211,
    "2.0.0",
    "{hostname} is ready\nTLS: {tls}\nlogin: {login}\nrecipients: {recipients}",
    "{hostname} está listo\nTLS: {tls}\nsesión iniciada: {login}\ndestinatarios: {recipients}",
    when="HELP STATUS: what this session has reached.",
    standard="RFC 5321 §4.2.2, §4.3.2",
)
LIMITS = GROUP.reply(
    "help-limits",
    214,
    "2.0.0",
    "Limits, in octets where it is sizes:",
    "Límites, en octetos los de tamaño:",
    when="HELP LIMITS; they follow, a line for each.",
    standard="RFC 5321 §4.5.3.1; RFC 9422",
)
EXTENSIONS = GROUP.reply(
    "help-extensions",
    214,
    "2.0.0",
    "Extensions that are offered now:",
    "Extensiones que se ofrecen ahora:",
    when="HELP EXTENSIONS; they follow, a line for each.",
    standard="RFC 5321 §2.2.1",
)
EXTENSION = GROUP.form(
    "help-extension",
    214,
    "2.0.0",
    "Extension {keyword}: {rfc}",
    "Extensión {keyword}: {rfc}",
    when="HELP and the keyword of an extension; its parameters follow.",
    standard="RFC 5321 §2.2.2",
)
NO_SUCH_TOPIC = GROUP.reply(
    "no-such-topic",
    504,
    "5.5.4",
    "no help on this topic",
    "no hay ayuda sobre este tema",
    when="HELP with a word that is neither a command nor a topic.",
    standard="RFC 5321 §4.3.2",
)
VERBS: dict[str, ReplyForm] = {}
"""What is said of each verb, by its name; parameters of extensions follow."""


def _verb(name: str, english: str, spanish: str, standard: str) -> None:
    in_english, in_spanish = (standard.replace("§", f"{word} ") for word in ("section", "sección"))
    VERBS[name] = GROUP.form(
        f"help-{name.lower()}",
        214,
        "2.0.0",
        f"{{syntax}}\n{english}\n{in_english}",
        f"{{syntax}}\n{spanish}\n{in_spanish}",
        when=f"HELP {name}.",
        standard=standard,
    )


_verb(
    "HELO",
    "Says the client's name, without extensions, and drops a transaction.",
    "Dice el nombre del cliente, sin extensiones, y anula la transacción.",
    "RFC 5321 §4.1.1.1",
)
_verb(
    "EHLO",
    "Says the client's name and asks for the extensions; drops a transaction.",
    "Dice el nombre del cliente y pide las extensiones; anula la transacción.",
    "RFC 5321 §4.1.1.1",
)
_verb(
    "LHLO",
    "As EHLO, with LMTP: each recipient has a reply of its own at the end.",
    "Como EHLO, con LMTP: cada destinatario tiene su propia respuesta al final.",
    "RFC 2033 §4.1",
)
_verb(
    "STARTTLS",
    "Starts TLS; all that was said before is forgotten, say EHLO again.",
    "Comienza TLS; se olvida todo lo dicho antes, diga EHLO de nuevo.",
    "RFC 3207 §4",
)
_verb(
    "AUTH",
    "Logs in by a mechanism of SASL; responses are in base64, * cancels.",
    "Inicia la sesión con un mecanismo de SASL; las respuestas van en base64, * cancela.",
    "RFC 4954 §4",
)
_verb(
    "MAIL",
    "Opens a transaction; the address is where failures are told, <> is none.",
    "Abre una transacción; a la dirección se comunican los fallos, <> es ninguna.",
    "RFC 5321 §4.1.1.2",
)
_verb(
    "SEND",
    "As MAIL, for the recipient's screen and not the mailbox.",
    "Como MAIL, para la pantalla del destinatario y no para el buzón.",
    "RFC 821 §3.4",
)
_verb(
    "SOML",
    "As MAIL, for the recipient's screen, or else the mailbox.",
    "Como MAIL, para la pantalla del destinatario o, si no puede ser, el buzón.",
    "RFC 821 §3.4",
)
_verb(
    "SAML",
    "As MAIL, for the recipient's screen and the mailbox.",
    "Como MAIL, para la pantalla del destinatario y también el buzón.",
    "RFC 821 §3.4",
)
_verb(
    "RCPT",
    "Names one recipient; once for each.",
    "Nombra un destinatario; una vez por cada uno.",
    "RFC 5321 §4.1.1.3",
)
_verb(
    "DATA",
    "The message follows after 354; a line with a single dot ends it.",
    "El mensaje sigue después de 354; termina con una línea que solo tenga un punto.",
    "RFC 5321 §4.1.1.4",
)
_verb(
    "BDAT",
    "So many octets of the message follow at once; LAST ends it.",
    "Siguen en el acto tantos octetos del mensaje; LAST lo termina.",
    "RFC 3030 §2",
)
_verb(
    "BURL",
    "Fetches a piece of the message from your mailboxes by its URL; LAST ends the message.",
    "Obtiene por su URL una parte del mensaje de sus buzones; LAST lo termina.",
    "RFC 4468 §3",
)
_verb("RSET", "Drops the transaction.", "Anula la transacción.", "RFC 5321 §4.1.1.5")
_verb("NOOP", "Does nothing.", "No hace nada.", "RFC 5321 §4.1.1.9")
_verb(
    "VRFY",
    "Asks whether an address exists.",
    "Pregunta si una dirección existe.",
    "RFC 5321 §4.1.1.6",
)
_verb(
    "EXPN",
    "Asks whom an alias stands for.",
    "Pregunta a quiénes representa un alias.",
    "RFC 5321 §4.1.1.7",
)
_verb("HELP", "Tells what can be said.", "Dice lo que se puede decir.", "RFC 5321 §4.1.1.8")
_verb(
    "ETRN",
    "Asks that mail waiting for a host, a domain or a queue be sent now.",
    "Pide que se envíe ahora el correo que espera a un servidor, un dominio o una cola.",
    "RFC 1985 §5",
)
_verb(
    "ATRN",
    "After a login: turns the roles, and waiting mail comes over this connection.",
    "Con la sesión iniciada: invierte los papeles y el correo que espera llega por esta conexión.",
    "RFC 2645 §5.2",
)
_verb(
    "TURN",
    "After a login: turns the roles, for software without ATRN.",
    "Con la sesión iniciada: invierte los papeles, para programas sin ATRN.",
    "RFC 821 §3.8",
)
_verb("QUIT", "Ends the session.", "Termina la sesión.", "RFC 5321 §4.1.1.10")
_verb(
    "XCLIENT",
    "For trusted hosts: says whom the session really is with.",
    "Para servidores de confianza: dice con quién es de verdad la sesión.",
    "Postfix XCLIENT",
)
_verb(
    "XFORWARD",
    "For trusted hosts: says where the message came from, for the log.",
    "Para servidores de confianza: dice de dónde vino el mensaje, para el registro.",
    "Postfix XFORWARD",
)
