"""Replies to VRFY, EXPN and HELP (RFC 5321 §3.5, §4.1.1.6 to §4.1.1.8, §7.3)."""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("Questions")

NONCOMMITTAL = GROUP.reply(
    "noncommittal",
    252,
    "2.1.5",
    "cannot verify, but will take a message and try",
    "no se puede comprobar, pero se aceptará un mensaje y se intentará",
    when="VRFY, where the settings tell nobody, or of an address elsewhere.",
    standard="RFC 5321 §3.5.3, §7.3",
)
VERIFIED = GROUP.data(
    "verified",
    250,
    "2.1.5",
    "<{address}>",
    when="VRFY of an address of ours.",
    standard="RFC 5321 §3.5.1",
)
EXPANDED = GROUP.data(
    "expanded",
    250,
    "2.1.5",
    "{members}",
    when="EXPN of an alias: a line for each member.",
    standard="RFC 5321 §3.5.1, §4.1.1.7",
)
NO_SUCH_ALIAS = GROUP.reply(
    "no-such-alias",
    550,
    "5.1.1",
    "no such alias here",
    "no existe ese alias aquí",
    when="EXPN of what is no alias.",
    standard="RFC 5321 §3.5.3",
)
TOO_LONG = GROUP.reply(
    "too-many-members",
    252,
    "2.1.5",
    "too many members to list",
    "demasiados miembros para enumerarlos",
    when="EXPN of an alias that is too long to be listed.",
    standard="RFC 5321 §3.5.3",
)
NEEDS_UTF8 = GROUP.reply(
    "answer-needs-utf8",
    252,
    "2.6.8",
    "the answer needs UTF-8: add SMTPUTF8 to the command",
    "la respuesta necesita UTF-8: añada SMTPUTF8 a la orden",
    when="VRFY or EXPN without SMTPUTF8, and the answer is beyond ASCII.",
    standard="RFC 6531 §3.7.4.2",
)
NOT_AN_ADDRESS = GROUP.reply(
    "not-an-address",
    501,
    "5.1.3",
    "not an address",
    "no es una dirección",
    when="VRFY or EXPN with something that cannot be one.",
    standard="RFC 5321 §4.1.1.6; RFC 3463 §3.2",
)
EXPN_NEEDS_LOGIN = GROUP.reply(
    "expn-needs-login",
    550,
    "5.7.1",
    "EXPN is for authenticated users",
    "EXPN es para usuarios autenticados",
    when="EXPN without a login.",
    standard="RFC 5321 §3.5.3, §7.3",
)
