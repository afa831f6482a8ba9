"""Replies to MAIL: who may send here, and how much (RFC 5321 §3.3, §4.1.1.2; RFC 6409; RFC 1870)."""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("The sender")

ACCEPTED = GROUP.reply(
    "sender-ok",
    250,
    "2.1.0",
    "sender ok",
    "remitente aceptado",
    when="MAIL: the transaction is open.",
    standard="RFC 5321 §3.3; RFC 3463 §3.2",
)
TOO_MANY_MESSAGES = GROUP.reply(
    "too-many-messages",
    421,
    "4.7.0",
    "too many messages in one session, connect again",
    "demasiados mensajes en una sesión, conéctese de nuevo",
    when="The session has had all the transactions that it may have.",
    standard="RFC 5321 §3.8; RFC 9422 §4",
)
BUSY = GROUP.reply(
    "busy",
    451,
    "4.3.2",
    "too busy for more mail, try again later",
    "demasiada carga para más correo, inténtelo más tarde",
    when="MAIL while the server has so much to do that refusing new connections was not enough.",
    standard="RFC 5321 §4.2.3; RFC 3463 §3.4",
)
LOGIN_NEEDED = GROUP.reply(
    "login-needed",
    530,
    "5.7.0",
    "authentication needed",
    "se requiere autenticación",
    when="MAIL to a submission listener, or ETRN, without a login.",
    standard="RFC 4954 §6; RFC 6409 §4.3",
)
TLS_NEEDED = GROUP.reply(
    "tls-needed",
    530,
    "5.7.0",
    "say STARTTLS first",
    "diga antes STARTTLS",
    when="MAIL to a submission listener without TLS.",
    standard="RFC 3207 §4; RFC 8314 §3",
)
REQUIRETLS_NEEDS_TLS = GROUP.reply(
    "requiretls-needs-tls",
    530,
    "5.7.0",
    "REQUIRETLS needs TLS: say STARTTLS first",
    "REQUIRETLS requiere TLS: diga antes STARTTLS",
    when="MAIL with REQUIRETLS without TLS.",
    standard="RFC 8689 §4.2.1",
)
NOT_LOCAL_CLIENT = GROUP.reply(
    "not-local-client",
    550,
    "5.7.1",
    "this client may not deliver here",
    "este cliente no puede entregar aquí",
    when="MAIL in LMTP from a host that is not trusted.",
    standard="RFC 2033 §5; RFC 3463 §3.8",
)
NOT_OWN_ADDRESS = GROUP.reply(
    "not-own-address",
    550,
    "5.7.1",
    "this address is not yours to send from",
    "no puede enviar con esta dirección",
    when="MAIL with an address that the account may not use.",
    standard="RFC 6409 §6.1",
)
NEEDS_SMTPUTF8 = GROUP.reply(
    "sender-needs-smtputf8",
    550,
    "5.6.7",
    "non-ASCII address without SMTPUTF8",
    "dirección con caracteres no ASCII sin SMTPUTF8",
    when="MAIL with an address beyond ASCII, without the parameter.",
    standard="RFC 6531 §3.5",
)
SOLICITATION = GROUP.reply(
    "solicitation-unwanted",
    550,
    "5.7.1",
    "solicitations of this kind are not taken",
    "no se aceptan solicitudes de esta clase",
    when="MAIL with a kind of solicitation, or a message with such a field, that nobody here wants.",
    standard="RFC 3865 §2.4",
)
BY_WITHOUT_TIME = GROUP.reply(
    "by-without-time",
    501,
    "5.5.4",
    "BY with R needs a time above 0",
    "BY con R requiere un tiempo superior a 0",
    when="MAIL with BY=0;R, or less.",
    standard="RFC 2852 §4",
)
BY_TOO_SOON = GROUP.form(
    "by-too-soon",
    555,
    "5.5.4",
    "BY with R needs at least {seconds} seconds here",
    "BY con R requiere aquí al menos {seconds} segundos",
    when="MAIL with a BY that is shorter than what EHLO offered.",
    standard="RFC 2852 §3",
)
HELD_TOO_LONG = GROUP.form(
    "held-too-long",
    501,
    "5.5.4",
    "mail is held here for at most {seconds} seconds",
    "el correo se retiene aquí como mucho {seconds} segundos",
    when="MAIL with a HOLDFOR above what EHLO offered.",
    standard="RFC 4865 §4.2",
)
HELD_TOO_LATE = GROUP.form(
    "held-too-late",
    501,
    "5.5.4",
    "mail is held here until {until} at most",
    "el correo se retiene aquí como mucho hasta {until}",
    when="MAIL with a HOLDUNTIL behind what EHLO offered.",
    standard="RFC 4865 §4.2",
)
BAD_PRIORITY = GROUP.reply(
    "bad-priority",
    501,
    "5.5.2",
    "MT-PRIORITY is a number from -9 to 9",
    "MT-PRIORITY es un número de -9 a 9",
    when="MAIL with another MT-PRIORITY.",
    standard="RFC 6710 §4.1",
)
PRIORITY_LOWERED = GROUP.form(
    "priority-lowered",
    250,
    "2.3.6",
    "{priority} is the new priority, you may not ask for a higher one",
    "{priority} es la nueva prioridad, no puede pedir otra más alta",
    when="MAIL with a priority above what the client may ask for.",
    standard="RFC 6710 §4.1",
)
HELD_BEYOND_BY = GROUP.reply(
    "held-beyond-by",
    501,
    "5.5.4",
    "it would be held beyond the time of BY",
    "se retendría más allá del plazo de BY",
    when="MAIL with HOLDFOR or HOLDUNTIL behind the time of BY.",
    standard="RFC 4865 §5.2.2",
)
NOTIFICATION_NOT_HELD = GROUP.reply(
    "notification-not-held",
    501,
    "5.5.4",
    "notifications are not held",
    "las notificaciones no se retienen",
    when="MAIL FROM:<> with HOLDFOR or HOLDUNTIL.",
    standard="RFC 4865 §5.1.1",
)
TOO_MANY_HELD = GROUP.reply(
    "too-many-held",
    552,
    "5.7.16",
    "too many of your messages are held already",
    "ya se retienen demasiados mensajes suyos",
    when="MAIL with HOLDFOR or HOLDUNTIL, and the account has as many held messages as it may have.",
    standard="RFC 4865 §6",
)
DECLARED_TOO_LARGE = GROUP.reply(
    "declared-too-large",
    552,
    "5.3.4",
    "message larger than this server takes",
    "el mensaje supera el tamaño que acepta este servidor",
    when="MAIL with a SIZE above the limit.",
    standard="RFC 1870 §6.1 (2); RFC 3463 §3.4",
)
