"""Replies to what cannot be read: lines, commands, arguments and parameters.

RFC 5321 §4.2.4 parts 500 from 502, §4.1.1.11 is 555; status codes are RFC 3463 §3.6, and RFC 4954 §6 for 5.5.6.
"""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("The form of commands")

# Lines.

LINE_TOO_LONG = GROUP.reply(
    "line-too-long",
    500,
    "5.5.2",
    "line too long",
    "línea demasiado larga",
    when="A command line is longer than the limit.",
    standard="RFC 5321 §4.5.3.1.4, §4.5.3.1.9",
)
BARE_LF_IN_LINE = GROUP.reply(
    "bare-lf-in-line",
    500,
    "5.5.2",
    "line not ended by CRLF",
    "la línea no termina en CRLF",
    when="A command line ends in LF alone.",
    standard="RFC 5321 §2.3.8",
)
BARE_CR_IN_LINE = GROUP.reply(
    "bare-cr-in-line",
    500,
    "5.5.2",
    "bare CR in line",
    "CR suelto en la línea",
    when="A CR inside of a command line.",
    standard="RFC 5321 §2.3.8",
)
NUL_IN_LINE = GROUP.reply(
    "nul-in-line",
    500,
    "5.5.2",
    "NUL in line",
    "NUL en la línea",
    when="A NUL inside of a command line.",
    standard="RFC 5321 §4.1.2",
)

# Commands.

COMMAND_UNKNOWN = GROUP.reply(
    "command-unknown",
    500,
    "5.5.2",
    "command not known",
    "orden desconocida",
    when="No standard of SMTP knows the command.",
    standard="RFC 5321 §4.2.4",
)
COMMAND_OF_OTHER_PROTOCOL = GROUP.reply(
    "command-of-other-protocol",
    500,
    "5.5.1",
    "command not known in this protocol",
    "orden desconocida en este protocolo",
    when="HELO or EHLO in LMTP, LHLO in SMTP.",
    standard="RFC 2033 §4.1",
)
COMMAND_NOT_IMPLEMENTED = GROUP.reply(
    "command-not-implemented",
    502,
    "5.5.1",
    "command not implemented",
    "orden no disponible",
    when="A command of the standards that this listener does not offer, or not now.",
    standard="RFC 5321 §4.2.4",
)

# Arguments.

SYNTAX = GROUP.form(
    "syntax",
    501,
    "5.5.4",
    "syntax: {syntax}",
    "sintaxis: {syntax}",
    when="The argument has another form than the command asks for.",
    standard="RFC 5321 §4.1.1, §4.3.2; RFC 3463 §3.6",
)
PATH_WITHOUT_BRACKETS = GROUP.form(
    "path-without-brackets",
    501,
    "5.5.4",
    "syntax: {keyword}:<address>, the address in angle brackets",
    "sintaxis: {keyword}:<direccion>, la dirección entre ángulos",
    when="MAIL or RCPT with an address that stands alone.",
    standard="RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.2",
)
TAKES_NO_ARGUMENT = GROUP.form(
    "takes-no-argument",
    501,
    "5.5.4",
    "{verb} takes no argument",
    "{verb} no lleva argumentos",
    when="DATA, RSET, STARTTLS or TURN with something behind it.",
    standard="RFC 5321 §4.1.1.4, §4.1.1.5; RFC 3207 §4",
)
NEEDS_ARGUMENT = GROUP.form(
    "needs-argument",
    501,
    "5.5.4",
    "{verb} needs an argument",
    "{verb} requiere un argumento",
    when="VRFY or EXPN alone.",
    standard="RFC 5321 §4.1.1.6, §4.1.1.7",
)
NOT_UTF8 = GROUP.reply(
    "not-utf8",
    501,
    "5.5.2",
    "argument is not UTF-8",
    "el argumento no es UTF-8",
    when="Octets beyond ASCII that are no UTF-8.",
    standard="RFC 6531 §3.3",
)
BAD_NAME = GROUP.reply(
    "bad-name",
    501,
    "5.5.4",
    "bad name",
    "nombre no válido",
    when="HELO, EHLO or LHLO with a name that cannot be one.",
    standard="RFC 5321 §4.1.1.1, §4.1.4",
)
BAD_DOMAIN = GROUP.form(
    "bad-domain",
    501,
    "5.5.4",
    "{reason}",
    "nombre de dominio no válido",
    when="ETRN or ATRN with a name that is no domain's.",
    standard="RFC 1985 §5; RFC 2645 §5.2.1",
)
BAD_QUEUE = GROUP.reply(
    "bad-queue",
    501,
    "5.5.4",
    "bad name of a queue",
    "nombre de cola no válido",
    when="ETRN with # and something that is no name.",
    standard="RFC 1985 §5.3",
)
BAD_SENDER = GROUP.form(
    "bad-sender",
    501,
    "5.1.7",
    "{reason}",
    "la dirección del remitente no es válida",
    when="MAIL with a reverse-path that is no address.",
    standard="RFC 5321 §4.1.2, §4.5.3.1; RFC 3463 §3.2",
)
BAD_RECIPIENT = GROUP.form(
    "bad-recipient",
    501,
    "5.1.3",
    "{reason}",
    "la dirección del destinatario no es válida",
    when="RCPT with a forward-path that is no address.",
    standard="RFC 5321 §4.1.2, §4.5.3.1; RFC 3463 §3.2",
)

# Parameters.

PARAMETER_MALFORMED = GROUP.reply(
    "parameter-malformed",
    501,
    "5.5.4",
    "bad parameter",
    "parámetro mal formado",
    when="What stands behind the address is no parameter.",
    standard="RFC 5321 §4.1.2, §4.1.1.11",
)
PARAMETER_TWICE = GROUP.form(
    "parameter-twice",
    501,
    "5.5.4",
    "parameter {keyword} given twice",
    "el parámetro {keyword} se repite",
    when="A parameter stands there twice.",
    standard="RFC 5321 §4.1.1.11",
)
PARAMETER_AGAIN = GROUP.form(
    "parameter-again",
    501,
    "5.5.4",
    "parameter {keyword} says again what another one said",
    "el parámetro {keyword} repite lo que ya dijo otro",
    when="Two parameters of which only one may be there, as HOLDFOR and HOLDUNTIL.",
    standard="RFC 4865 §4.2",
)
PARAMETER_UNKNOWN = GROUP.form(
    "parameter-unknown",
    555,
    "5.5.4",
    "parameter {keyword} is not known",
    "el parámetro {keyword} no se conoce",
    when="MAIL or RCPT with a parameter that no extension here has.",
    standard="RFC 5321 §4.1.1.11",
)
PARAMETER_NOT_OFFERED = GROUP.form(
    "parameter-not-offered",
    555,
    "5.5.4",
    "{keyword} is not offered",
    "{keyword} no se ofrece",
    when="A parameter of an extension that this listener does not offer.",
    standard="RFC 5321 §2.2.1, §4.1.1.11",
)
PARAMETER_VALUE = GROUP.form(
    "parameter-value",
    501,
    "5.5.4",
    "{keyword} is {form}",
    "el valor de {keyword} no es válido",
    when="A parameter with a value of another form.",
    standard="RFC 5321 §4.1.1.11; RFC 3463 §3.6; and the RFC of the extension",
)
PARAMETER_WITHOUT_VALUE = GROUP.form(
    "parameter-without-value",
    501,
    "5.5.4",
    "{keyword} needs a value",
    "{keyword} requiere un valor",
    when="A parameter that must have a value, without one.",
    standard="RFC 5321 §4.1.1.11",
)
PARAMETER_WITH_VALUE = GROUP.form(
    "parameter-with-value",
    501,
    "5.5.4",
    "{keyword} takes no value",
    "{keyword} no lleva valor",
    when="A parameter that has no value, with one.",
    standard="RFC 6531 §3.4; RFC 8689 §2",
)
