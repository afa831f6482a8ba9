"""Replies to clients that are no senders of mail, or send it too slowly, and to proxies that speak for clients.

XCLIENT and XFORWARD are Postfix's (its documents XCLIENT_README and XFORWARD_README), with their codes.
"""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("Clients, and proxies that speak for them")

EARLY_TALKER = GROUP.reply(
    "early-talker",
    554,
    "5.5.0",
    "spoke before the greeting, closing",
    "habló antes del saludo, se cierra la conexión",
    when="In place of the greeting, where the client did not wait for it and early talkers are refused.",
    standard="RFC 5321 §3.1, §4.3.1",
)
FOREIGN_PROTOCOL = GROUP.reply(
    "foreign-protocol",
    554,
    "5.5.0",
    "this server speaks SMTP, closing",
    "este servidor habla SMTP, se cierra la conexión",
    when="The first line is that of another protocol, such as HTTP or SSH, or no text.",
    standard="RFC 5321 §4.2.3",
)
TOO_SLOW = GROUP.reply(
    "too-slow",
    421,
    "4.4.2",
    "mail data comes too slowly, closing",
    "los datos llegan demasiado despacio, se cierra la conexión",
    when="The data of a message comes more slowly than the least rate.",
    standard="RFC 5321 §3.8, §4.5.3.2; RFC 3463 §3.5",
)
SPEAKER_NOT_TRUSTED = GROUP.reply(
    "speaker-not-trusted",
    550,
    "5.7.0",
    "not authorized to speak for others",
    "sin autorización para hablar por otros",
    when="XCLIENT or XFORWARD of a host outside of the networks that may say it, or XCLIENT with an unknown account.",
    standard="Postfix XCLIENT_README, XFORWARD_README; RFC 3463 §3.8",
)
BAD_ATTRIBUTE = GROUP.form(
    "bad-attribute",
    501,
    "5.5.4",
    "bad {name}",
    "{name} incorrecto",
    when="XCLIENT or XFORWARD with an attribute that is not known, given twice, or whose value cannot be read.",
    standard="Postfix XCLIENT_README, XFORWARD_README; RFC 3463 §3.6",
)
ORIGIN_NOTED = GROUP.reply(
    "origin-noted",
    250,
    "2.0.0",
    "origin noted",
    "origen anotado",
    when="XFORWARD.",
    standard="Postfix XFORWARD_README",
)
