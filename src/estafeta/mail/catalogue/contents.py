"""Replies to the content: DATA, BDAT and their end (RFC 5321 §4.1.1.4, RFC 3030 §2; status codes of RFC 3463 §3.7)."""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("The content")

SEND_IT = GROUP.reply(
    "send-data",
    354,
    None,
    "send the message, end with a line with a single dot",
    "envíe el mensaje, termine con una línea que solo tenga un punto",
    when="DATA.",
    standard="RFC 5321 §4.1.1.4",
)
ACCEPTED = GROUP.form(
    "accepted",
    250,
    "2.0.0",
    "accepted as {queue_id}",
    "aceptado con el número {queue_id}",
    when="The end of the content: the message is ours now.",
    standard="RFC 5321 §4.1.1.4, §6.1",
)
CHUNK_TAKEN = GROUP.reply(
    "chunk-taken",
    250,
    "2.0.0",
    "chunk taken",
    "fragmento recibido",
    when="BDAT that is not the last: its octets are here.",
    standard="RFC 3030 §2",
)
PIECE_TAKEN = GROUP.reply(
    "piece-taken",
    250,
    "2.5.0",
    "waiting for the next BURL or BDAT",
    "a la espera del siguiente BURL o BDAT",
    when="BURL that is not the last: what its URL names is here.",
    standard="RFC 4468 §5",
)
URL_FAILED = GROUP.reply(
    "url-failed",
    554,
    "5.6.6",
    "the URL names nothing that you may fetch",
    "la URL no corresponde a nada que usted pueda obtener",
    when="BURL: there is no such message or part, or the URL is not signed for this user, is over, or was revoked.",
    standard="RFC 4468 §5",
)
URL_ELSEWHERE = GROUP.reply(
    "url-elsewhere",
    554,
    "5.7.14",
    "only URLs of this host are fetched",
    "solo se obtienen URL de este servidor",
    when="BURL: the URL is of another host, or no IMAP URL.",
    standard="RFC 4468 §5; RFC 5248 §3.1",
)
URL_LATER = GROUP.reply(
    "url-later",
    451,
    "4.4.1",
    "the mailboxes cannot be read now, try again later",
    "ahora no se pueden leer los buzones, inténtelo más tarde",
    when="BURL: the store failed.",
    standard="RFC 4468 §5",
)
TOO_LARGE = GROUP.reply(
    "too-large",
    552,
    "5.3.4",
    "message larger than this server takes",
    "el mensaje supera el tamaño que acepta este servidor",
    when="The content turned out to be above the limit.",
    standard="RFC 1870 §6.1 (3); RFC 5321 §4.5.3.1.7",
)
HEADER_TOO_LARGE = GROUP.reply(
    "header-too-large",
    552,
    "5.3.4",
    "header section larger than this server takes",
    "la cabecera supera el tamaño que acepta este servidor",
    when="The header section is above the limit.",
    standard="RFC 3463 §3.4",
)
BARE_LINE_END = GROUP.reply(
    "bare-line-end",
    550,
    "5.6.0",
    "bare CR or LF in mail data: lines end in CRLF",
    "CR o LF suelto en el mensaje: las líneas terminan en CRLF",
    when="A CR or LF stands alone in the content.",
    standard="RFC 5321 §2.3.8; RFC 3463 §3.7",
)
NUL = GROUP.reply(
    "nul-in-content",
    550,
    "5.6.0",
    "NUL in mail data",
    "NUL en el mensaje",
    when="A NUL in content that is not declared as binary.",
    standard="RFC 5321 §4.5.2, §2.3.8; RFC 3463 §3.7",
)
FALSE_END = GROUP.reply(
    "false-end",
    550,
    "5.6.0",
    "mail data is not ended by CRLF, dot, CRLF; closing",
    "el mensaje no termina en CRLF, punto, CRLF; se cierra la conexión",
    when="The client seems to end its data in another way, as those do who smuggle; the connection is closed.",
    standard="RFC 5321 §2.3.8, §4.1.1.4",
)
UNANNOUNCED_8BIT = GROUP.reply(
    "unannounced-8bit",
    554,
    "5.6.1",
    "8-bit mail data without BODY=8BITMIME",
    "mensaje de 8 bits sin BODY=8BITMIME",
    when="Octets beyond ASCII that MAIL did not announce, where the settings refuse them.",
    standard="RFC 6152 §3; RFC 3463 §3.7",
)
LOOP = GROUP.reply(
    "loop",
    554,
    "5.4.6",
    "too many hops, this message loops",
    "demasiados saltos, el mensaje da vueltas",
    when="More Received fields than the limit, or a list's own post comes back to it.",
    standard="RFC 5321 §6.3; RFC 3463 §3.5",
)
TOO_LATE = GROUP.reply(
    "by-is-over",
    554,
    "5.4.7",
    "the time of BY is over",
    "el plazo de BY ha vencido",
    when="The content came in after the time by which it was to be delivered.",
    standard="RFC 2852 §4.1; RFC 3463 §3.5",
)
NOT_OWN_AUTHOR = GROUP.reply(
    "not-own-author",
    550,
    "5.7.1",
    "the From field names an address that is not yours",
    "el campo From nombra una dirección que no es suya",
    when="Submitted mail in the name of another.",
    standard="RFC 6409 §6.1",
)
CHANGED = GROUP.reply(
    "recipients-changed",
    451,
    "4.3.0",
    "recipients changed meanwhile, try again",
    "los destinatarios han cambiado entretanto, inténtelo de nuevo",
    when="Accounts or aliases changed again and again while the message came.",
    standard="RFC 5321 §4.2.3; RFC 3463 §3.4",
)
DISK_FULL = GROUP.reply(
    "disk-full",
    452,
    "4.3.1",
    "no room for mail at the moment, try again later",
    "ahora no hay espacio para correo, inténtelo más tarde",
    when="MAIL, where the disk is nearly full or has no room for the SIZE; the end of the content, where it is full.",
    standard="RFC 1870 §6.1 (1); RFC 5321 §4.2.3; RFC 3463 §3.4",
)
