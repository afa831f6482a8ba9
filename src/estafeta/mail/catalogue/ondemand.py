"""Replies to ETRN, ATRN and TURN (RFC 1985 §5.3, RFC 2645 §5.2.2, RFC 821 §3.8)."""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("Mail on demand")

STARTED = GROUP.form(
    "queue-started",
    250,
    "2.0.0",
    "OK, queuing for node {node} started",
    "De acuerdo, comienza el envío de la cola de {node}",
    when="ETRN of a node whose mail is being tried already.",
    standard="RFC 1985 §5.3",
)
NOTHING_WAITS = GROUP.form(
    "nothing-waits",
    251,
    "2.0.0",
    "OK, no messages waiting for node {node}",
    "De acuerdo, no hay mensajes en espera para {node}",
    when="ETRN of a node for which nothing waits.",
    standard="RFC 1985 §5.3",
)
PENDING_STARTED = GROUP.form(
    "pending-started",
    252,
    "2.0.0",
    "OK, pending messages for node {node} started",
    "De acuerdo, se envían los mensajes pendientes de {node}",
    when="ETRN of a node with more mail than is counted.",
    standard="RFC 1985 §5.3",
)
COUNTED_STARTED = GROUP.form(
    "counted-started",
    253,
    "2.0.0",
    "OK, {number} pending messages for node {node} started",
    "De acuerdo, se envían {number} mensajes pendientes de {node}",
    when="ETRN of a node for which so much waits.",
    standard="RFC 1985 §5.3",
)
NODE_NOT_ALLOWED = GROUP.form(
    "node-not-allowed",
    459,
    "4.7.1",
    "node {node} not allowed: no mail is kept for it here",
    "nodo {node} no permitido: aquí no se guarda correo para él",
    when="ETRN of a node that no route of this client's leads to.",
    standard="RFC 1985 §5.3",
)
QUEUE_CLOSING = GROUP.reply(
    "queue-closing",
    458,
    "4.3.2",
    "unable to queue messages for now, closing",
    "por ahora no se puede enviar la cola, el servidor se cierra",
    when="ETRN while the server is being stopped.",
    standard="RFC 1985 §5.3",
)
QUEUE_LATER = GROUP.reply(
    "queue-later",
    458,
    "4.3.0",
    "unable to queue messages for now, try again later",
    "por ahora no se puede enviar la cola, inténtelo más tarde",
    when="ETRN, and the store does not answer.",
    standard="RFC 1985 §5.3",
)
TOO_OFTEN = GROUP.reply(
    "queue-too-often",
    458,
    "4.7.0",
    "asked for too many nodes, try again later",
    "demasiados nodos pedidos, inténtelo más tarde",
    when="ETRN of more nodes than one client may ask for in a while.",
    standard="RFC 1985 §5.3",
)
REVERSING = GROUP.reply(
    "roles-turned",
    250,
    "2.0.0",
    "OK now reversing the connection",
    "De acuerdo, se invierte ahora la conexión",
    when="ATRN or TURN: the client is the server from here on.",
    standard="RFC 2645 §5.2.2; RFC 821 §3.8",
)
ATRN_NEEDS_LOGIN = GROUP.reply(
    "atrn-needs-login",
    530,
    "5.7.0",
    "ATRN is for authenticated clients",
    "ATRN es para clientes autenticados",
    when="ATRN without a login.",
    standard="RFC 2645 §5.2.1, §5.2.2",
)
ATRN_REFUSED = GROUP.reply(
    "atrn-refused",
    450,
    "4.7.0",
    "ATRN request refused",
    "petición ATRN rechazada",
    when="ATRN for domains that are not this customer's.",
    standard="RFC 2645 §5.2.2",
)
NO_MAIL = GROUP.reply(
    "no-mail-waits",
    453,
    "4.0.0",
    "you have no mail",
    "no tiene correo",
    when="ATRN, and nothing waits.",
    standard="RFC 2645 §5.2.2",
)
ATRN_LATER = GROUP.reply(
    "atrn-later",
    451,
    "4.3.0",
    "unable to process ATRN request now",
    "ahora no se puede atender la petición ATRN",
    when="ATRN, and the store does not answer.",
    standard="RFC 2645 §5.2.2",
)
ATRN_CLOSING = GROUP.reply(
    "atrn-closing",
    451,
    "4.3.2",
    "unable to process ATRN request now, closing",
    "ahora no se puede atender la petición ATRN, el servidor se cierra",
    when="ATRN while the server is being stopped.",
    standard="RFC 2645 §5.2.2",
)
TURN_REFUSED = GROUP.reply(
    "turn-refused",
    502,
    "5.7.0",
    "TURN is not for this account",
    "TURN no está disponible para esta cuenta",
    when="TURN by an account whose entry does not allow it.",
    standard="RFC 821 §3.8; RFC 5321 appendix F.1",
)
