"""Replies about the connection itself: its beginning, its end, and commands that only say yes.

RFC 5321 §4.2.3 names the codes, RFC 3463 §3.4, §3.5 and §3.8 the status codes; 521 is RFC 7504's. Greetings, and
the replies to HELO, EHLO and LHLO, have no status code (RFC 2034 §4).
"""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("The connection")

GREETING = GROUP.form(
    "greeting",
    220,
    None,
    "{hostname} {protocol} Estafeta",
    "{hostname} {protocol} Estafeta",
    when="A client has connected. An operator's text begins with {hostname}, as clients read it there.",
    standard="RFC 5321 §4.2, §4.3.1; RFC 2033 §4.1",
)
TAKES_NO_MAIL = GROUP.reply(
    "takes-no-mail",
    521,
    "5.3.2",
    "this host does not take mail",
    "este servidor no acepta correo",
    when="In place of the greeting, where the listener takes no mail; the connection is closed.",
    standard="RFC 7504 §3",
)
TOO_MANY_CONNECTIONS = GROUP.reply(
    "too-many-connections",
    421,
    "4.7.0",
    "too many connections, try again later",
    "demasiadas conexiones, inténtelo más tarde",
    when="In place of the greeting, where the client or all together have too many connections.",
    standard="RFC 5321 §3.8, §4.2.3",
)
OVERLOADED = GROUP.reply(
    "overloaded",
    421,
    "4.3.2",
    "too busy for new connections, try again later",
    "demasiada carga para nuevas conexiones, inténtelo más tarde",
    when="In place of the greeting, while the server has more to do than it can.",
    standard="RFC 5321 §3.8, §4.2.3; RFC 3463 §3.4",
)
CLOSING = GROUP.reply(
    "closing",
    421,
    "4.3.2",
    "closing for now, try again soon",
    "el servidor se cierra por ahora, inténtelo dentro de poco",
    when="The server is being stopped.",
    standard="RFC 5321 §3.8; RFC 3463 §3.4",
)
TIMEOUT = GROUP.reply(
    "timeout",
    421,
    "4.4.2",
    "waited too long, closing",
    "demasiado tiempo de espera, se cierra la conexión",
    when="The client said nothing for too long, or the session is too old.",
    standard="RFC 5321 §4.5.3.2.7; RFC 3463 §3.5",
)
TOO_MANY_FAULTS = GROUP.reply(
    "too-many-faults",
    421,
    "4.7.0",
    "too many errors, closing",
    "demasiados errores, se cierra la conexión",
    when="More commands were wrong or refused than one session may have.",
    standard="RFC 5321 §3.8, §4.3.2",
)
FAILURE = GROUP.form(
    "failure",
    421,
    "4.3.0",
    "local error {incident}, closing",
    "error local {incident}, se cierra la conexión",
    when="Something broke in the server; the log has the incident by this number.",
    standard="RFC 5321 §3.8; RFC 3463 §3.4",
)
HELLO = GROUP.form(
    "hello",
    250,
    None,
    "{hostname} at your service",
    "{hostname} a su servicio",
    when="HELO, EHLO or LHLO; the extensions follow, a line for each. An operator's text begins with {hostname}.",
    standard="RFC 5321 §4.1.1.1; RFC 2034 §4",
)
OK = GROUP.reply(
    "ok", 250, "2.0.0", "ok", "hecho", when="NOOP or RSET.", standard="RFC 5321 §4.1.1.5, §4.1.1.9; RFC 3463 §3.1"
)
BYE = GROUP.reply(
    "bye", 221, "2.0.0", "goodbye", "hasta pronto", when="QUIT.", standard="RFC 5321 §4.1.1.10; RFC 3463 §3.1"
)
READY_FOR_TLS = GROUP.reply(
    "ready-for-tls",
    220,
    "2.0.0",
    "start TLS now",
    "comience TLS ahora",
    when="STARTTLS; the TLS handshake follows.",
    standard="RFC 3207 §4",
)
TLS_ON_ALREADY = GROUP.reply(
    "tls-on-already",
    503,
    "5.5.1",
    "TLS is already on",
    "TLS ya está en uso",
    when="STARTTLS over TLS.",
    standard="RFC 3207 §4.2",
)
