"""Replies to SEND, SOML and SAML, and in transactions that they opened (RFC 821 §3.4)."""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("Screens")

LOGIN_NEEDED = GROUP.reply(
    "screens-login-needed",
    530,
    "5.7.0",
    "authentication needed to send to screens",
    "se requiere autenticación para enviar a pantallas",
    when="SEND, SOML or SAML without a login, where `live.senders` is authenticated.",
    standard="RFC 4954 §6; RFC 821 §3.4",
)
TOO_OFTEN = GROUP.reply(
    "screens-too-often",
    451,
    "4.7.0",
    "too many messages to screens, use MAIL or try again later",
    "demasiados mensajes a pantallas, use MAIL o inténtelo más tarde",
    when="The sender has sent `live.sender_hourly` messages to screens.",
    standard="RFC 821 §4.3",
)
NOT_HELD = GROUP.reply(
    "screens-not-held",
    501,
    "5.5.4",
    "what goes to a screen is not held",
    "lo que va a una pantalla no se retiene",
    when="SEND, SOML or SAML with HOLDFOR or HOLDUNTIL.",
    standard="RFC 821 §3.4",
)
NO_SCREEN = GROUP.reply(
    "no-screen",
    550,
    "5.3.3",
    "there is no screen of this recipient here, use MAIL",
    "aquí no hay ninguna pantalla de este destinatario, use MAIL",
    when="RCPT after SEND for another host, a list, or what has no mailbox here.",
    standard="RFC 821 §4.3; RFC 1123 §5.2.4; RFC 3463 §3.4",
)
NOT_ACTIVE = GROUP.reply(
    "not-active",
    450,
    "4.2.1",
    "recipient is not active now",
    "el destinatario no está activo ahora",
    when="RCPT after SEND for who is not there, or accepts no messages; the end of data when all have gone away since.",
    standard="RFC 821 §3.4",
)
GONE = GROUP.reply(
    "gone-before-shown",
    550,
    "5.2.1",
    "recipient went away before the message was shown",
    "el destinatario se fue antes de que se mostrara el mensaje",
    when="In a notification: of several recipients of SEND, one was not there any more at the end of data.",
    standard="RFC 821 §3.6",
)
DOES_NOT_FIT = GROUP.form(
    "does-not-fit-on-a-screen",
    552,
    "5.3.4",
    "only plain text of at most {lines} lines fits on a screen, use MAIL or SOML",
    "en una pantalla solo cabe texto sin formato de hasta {lines} líneas, use MAIL o SOML",
    when="The end of data of SEND, when what can be shown is not all of the message.",
    standard="RFC 821 §4.3",
)
