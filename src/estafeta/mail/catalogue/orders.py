"""Replies to commands that come out of order: 503, and 554 where there is no way back into step.

RFC 5321 §4.1.4 is the order; status code 5.5.1 is RFC 3463 §3.6 "invalid command".
"""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("The order of commands")

HELLO_FIRST = GROUP.reply(
    "hello-first",
    503,
    "5.5.1",
    "say EHLO first",
    "diga antes EHLO",
    when="A command that needs a greeting before it.",
    standard="RFC 5321 §4.1.4",
)
LHLO_FIRST = GROUP.reply(
    "lhlo-first",
    503,
    "5.5.1",
    "say LHLO first",
    "diga antes LHLO",
    when="The same with LMTP.",
    standard="RFC 2033 §4.1",
)
MAIL_FIRST = GROUP.reply(
    "mail-first",
    503,
    "5.5.1",
    "say MAIL first",
    "diga antes MAIL",
    when="RCPT, DATA, BDAT or BURL without a transaction.",
    standard="RFC 5321 §3.3, §4.1.4",
)
TRANSACTION_OPEN = GROUP.reply(
    "transaction-open",
    503,
    "5.5.1",
    "a transaction is open",
    "hay una transacción abierta",
    when="MAIL, STARTTLS, AUTH, ETRN, ATRN or TURN inside of a transaction.",
    standard="RFC 5321 §4.1.4; RFC 4954 §4; RFC 1985 §5",
)
CONTENT_BEGUN = GROUP.reply(
    "content-begun",
    503,
    "5.5.1",
    "the content has begun with BDAT",
    "el contenido ya ha comenzado con BDAT",
    when="A command other than BDAT and BURL between two chunks.",
    standard="RFC 3030 §2",
)
CHUNK_REFUSED = GROUP.reply(
    "chunk-refused",
    503,
    "5.5.1",
    "a chunk was refused: say RSET",
    "se rechazó un fragmento: diga RSET",
    when="BDAT or BURL after a chunk or URL that was refused.",
    standard="RFC 3030 §2",
)
BINARY_NEEDS_BDAT = GROUP.reply(
    "binary-needs-bdat",
    503,
    "5.5.1",
    "BINARYMIME needs BDAT",
    "BINARYMIME requiere BDAT",
    when="DATA where MAIL said BODY=BINARYMIME.",
    standard="RFC 3030 §3",
)
NO_RECIPIENTS = GROUP.reply(
    "no-recipients",
    503,
    "5.5.1",
    "no valid recipients",
    "no hay destinatarios válidos",
    when="DATA, BDAT or BURL, and no recipient was named, or those named may be taken later; in LMTP always.",
    standard="RFC 5321 §3.3; RFC 2033 §4.2",
)
ALL_RECIPIENTS_REFUSED = GROUP.reply(
    "all-recipients-refused",
    554,
    "5.5.1",
    "no valid recipients",
    "no hay destinatarios válidos",
    when="DATA, BDAT or BURL, and all recipients were rejected.",
    standard="RFC 5321 §3.3",
)
OUT_OF_STEP = GROUP.reply(
    "out-of-step",
    554,
    "5.5.0",
    "commands sent before the reply they must wait for",
    "órdenes enviadas antes de la respuesta que debían esperar",
    when="Something follows a command that must be the last of a group; the connection is closed.",
    standard="RFC 2920 §3.1; RFC 5321 §4.3.1",
)
AUTHENTICATED_ALREADY = GROUP.reply(
    "authenticated-already",
    503,
    "5.5.1",
    "already authenticated",
    "la sesión ya está autenticada",
    when="A second AUTH.",
    standard="RFC 4954 §4",
)
