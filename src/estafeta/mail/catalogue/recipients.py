"""Replies to RCPT: who is here, who is elsewhere, and who has moved.

RFC 5321 §3.3, §3.4 (251, 551), §4.1.1.3; status codes of RFC 3463 §3.2, §3.3; 556 is RFC 7504 and RFC 7505.
"""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("The recipients")

ACCEPTED = GROUP.reply(
    "recipient-ok",
    250,
    "2.1.5",
    "recipient ok",
    "destinatario aceptado",
    when="RCPT: the recipient is taken.",
    standard="RFC 5321 §3.3; RFC 3463 §3.2",
)
WILL_FORWARD = GROUP.form(
    "will-forward",
    251,
    "2.1.5",
    "User not local; will forward to <{address}>",
    "El usuario no está aquí; se reenviará a <{address}>",
    when="RCPT or VRFY of an address that has moved, and whose mail goes on (estafeta alias moved --forward).",
    standard="RFC 5321 §3.4",
)
HAS_MOVED = GROUP.form(
    "has-moved",
    551,
    "5.1.6",
    "User not local; please try <{address}>",
    "El usuario no está aquí; pruebe con <{address}>",
    when="RCPT or VRFY of an address that has moved, and whose mail is not taken (estafeta alias moved --refuse).",
    standard="RFC 5321 §3.4; RFC 3463 §3.2",
)
MOVED_AWAY = GROUP.reply(
    "moved-away",
    550,
    "5.1.6",
    "User not local",
    "El usuario no está aquí",
    when="The same, where the new address is beyond ASCII and MAIL had no SMTPUTF8.",
    standard="RFC 6531 §3.7.4.1; RFC 3463 §3.2",
)
TOO_MANY = GROUP.reply(
    "too-many-recipients",
    452,
    "4.5.3",
    "too many recipients, send the rest in another transaction",
    "demasiados destinatarios, envíe el resto en otra transacción",
    when="The transaction has as many recipients as it may have.",
    standard="RFC 5321 §4.5.3.1.10; RFC 3463 §3.6",
)
RELAY_DENIED = GROUP.reply(
    "relay-denied",
    550,
    "5.7.1",
    "relaying denied: this server takes mail for its own domains",
    "reenvío denegado: este servidor acepta correo para sus propios dominios",
    when="RCPT of another domain by a client without a login.",
    standard="RFC 5321 §3.6.2, §7.1; RFC 3463 §3.8",
)
NEEDS_SMTPUTF8 = GROUP.reply(
    "recipient-needs-smtputf8",
    553,
    "5.6.7",
    "non-ASCII address without SMTPUTF8",
    "dirección con caracteres no ASCII sin SMTPUTF8",
    when="RCPT with an address beyond ASCII where MAIL had no SMTPUTF8.",
    standard="RFC 6531 §3.5",
)
ORIGINAL_IN_UTF8 = GROUP.reply(
    "original-in-utf8",
    501,
    "5.5.4",
    "ORCPT in UTF-8 where SMTPUTF8 is not offered",
    "ORCPT en UTF-8 donde no se ofrece SMTPUTF8",
    when="RCPT with an original recipient in UTF-8, on a listener without SMTPUTF8.",
    standard="RFC 6533 §3",
)
UNKNOWN = GROUP.reply(
    "recipient-unknown",
    550,
    "5.1.1",
    "no such mailbox here",
    "no existe ese buzón aquí",
    when="RCPT or VRFY of an address of ours that nobody has.",
    standard="RFC 5321 §3.3, §4.2.3; RFC 3463 §3.2",
)
DISABLED = GROUP.reply(
    "mailbox-disabled",
    550,
    "5.2.1",
    "mailbox disabled",
    "buzón desactivado",
    when="RCPT of an account that is disabled.",
    standard="RFC 3463 §3.3",
)
ALIAS_LOOP = GROUP.reply(
    "alias-loop",
    550,
    "5.4.6",
    "alias leads back to itself",
    "el alias conduce a sí mismo",
    when="RCPT of an alias of which nothing is left but a loop.",
    standard="RFC 3463 §3.5",
)
ALIAS_TOO_LARGE = GROUP.reply(
    "alias-too-large",
    550,
    "5.3.4",
    "alias stands for too many recipients",
    "el alias tiene demasiados destinatarios",
    when="RCPT of an alias with more ends than are followed.",
    standard="RFC 3463 §3.4",
)
BAD_ROUTE = GROUP.reply(
    "bad-route",
    451,
    "4.3.5",
    "local configuration error, try again later",
    "error de configuración local, inténtelo más tarde",
    when="RCPT of a domain whose route leads to an account that is not there.",
    standard="RFC 3463 §3.4",
)
DOMAIN_NOT_TAKEN = GROUP.reply(
    "domain-not-taken",
    550,
    "5.7.1",
    "mail for this domain is not taken",
    "no se acepta correo para este dominio",
    when="RCPT of a domain that a route refuses.",
    standard="RFC 3463 §3.8",
)
REFUSED_BY_ROUTE = GROUP.data(
    "refused-by-route",
    550,
    "5.7.1",
    "{text}",
    when="The same, where the route has a text of its own.",
    standard="RFC 3463 §3.8",
)
NULL_MX = GROUP.form(
    "null-mx",
    556,
    "5.1.10",
    "the domain {domain} takes no mail",
    "el dominio {domain} no acepta correo",
    when="RCPT by a submitting client, and the domain has a null MX (smtp.check_recipient_domains).",
    standard="RFC 7504 §4; RFC 7505 §4.1",
)
NO_SUCH_DOMAIN = GROUP.form(
    "no-such-domain",
    550,
    "5.1.2",
    "the domain {domain} does not exist",
    "el dominio {domain} no existe",
    when="RCPT by a submitting client, and the DNS does not know the domain (smtp.check_recipient_domains).",
    standard="RFC 5321 §3.6.2; RFC 3463 §3.2",
)
MAILBOX_FULL = GROUP.reply(
    "mailbox-full",
    452,
    "4.2.2",
    "mailbox full",
    "buzón lleno",
    when="RCPT, or the end of the content, where the account's quota leaves no room.",
    standard="RFC 5321 §4.2.3; RFC 3463 §3.3",
)
MAILBOX_FULL_FOR_GOOD = GROUP.reply(
    "mailbox-full-for-good",
    552,
    "5.2.2",
    "mailbox full",
    "buzón lleno",
    when="The same, where such mail is rejected (smtp.when_full).",
    standard="RFC 5321 §4.2.3; RFC 3463 §3.3",
)
TRY_LATER = GROUP.reply(
    "try-later",
    451,
    "4.3.0",
    "local error, try again later",
    "error local, inténtelo más tarde",
    when="RCPT, or the end of the content, and the store does not answer.",
    standard="RFC 5321 §4.2.3; RFC 3463 §3.4",
)
