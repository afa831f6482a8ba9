"""Replies to AUTH (RFC 4954 §4, §6; status codes registered by RFC 5248)."""

from __future__ import annotations

from estafeta.mail.catalogue.entry import Group

GROUP = Group("The login")

LOGGED_IN = GROUP.reply(
    "logged-in",
    235,
    "2.7.0",
    "authenticated",
    "autenticado",
    when="AUTH came to its end, and the client is who it says.",
    standard="RFC 4954 §6",
)
CHALLENGE = GROUP.data(
    "challenge",
    334,
    None,
    "{challenge}",
    when="AUTH: the mechanism's next challenge, in base64.",
    standard="RFC 4954 §4, §6",
)
REFUSED = GROUP.reply(
    "login-refused",
    535,
    "5.7.8",
    "authentication failed",
    "la autenticación ha fallado",
    when="Name or password are wrong.",
    standard="RFC 4954 §6",
)
TRANSITION_NEEDED = GROUP.reply(
    "password-transition",
    432,
    "4.7.12",
    "a password transition is needed: log in once with PLAIN",
    "hace falta una transición: inicie sesión una vez con PLAIN",
    when="The account has no keys for the mechanism yet, and the client is known to be its user's.",
    standard="RFC 4954 §6; RFC 5248",
)
DISABLED = GROUP.reply(
    "account-disabled",
    525,
    "5.7.13",
    "this account is disabled",
    "esta cuenta está desactivada",
    when="The password is right, and the account is not to be used.",
    standard="RFC 5248",
)
TOO_WEAK = GROUP.reply(
    "mechanism-too-weak",
    534,
    "5.7.9",
    "this account needs a mechanism that does not send the password",
    "esta cuenta requiere un mecanismo que no envíe la contraseña",
    when="The password was sent, and the account is one of those that must prove it only.",
    standard="RFC 4954 §6; RFC 5248",
)
LATER = GROUP.reply(
    "login-later",
    454,
    "4.7.0",
    "authentication is not possible for now, try again later",
    "por ahora no es posible autenticarse, inténtelo más tarde",
    when="Too many logins have failed, or the store does not answer.",
    standard="RFC 4954 §6",
)
CANCELLED = GROUP.reply(
    "login-cancelled",
    501,
    "5.7.0",
    "authentication cancelled",
    "autenticación cancelada",
    when="The client answered a challenge with *.",
    standard="RFC 4954 §4",
)
NOT_BASE64 = GROUP.reply(
    "response-not-base64",
    501,
    "5.5.2",
    "response is not base64",
    "la respuesta no está en base64",
    when="A response that cannot be decoded.",
    standard="RFC 4954 §4; RFC 4648 §4",
)
RESPONSE_TOO_LONG = GROUP.reply(
    "response-too-long",
    500,
    "5.5.6",
    "line too long",
    "línea demasiado larga",
    when="A response longer than the limit.",
    standard="RFC 4954 §4, §6",
)
ENCRYPTION_NEEDED = GROUP.reply(
    "encryption-needed",
    523,
    "5.7.10",
    "the password would be sent in the clear: say STARTTLS first",
    "la contraseña se enviaría sin cifrar: diga antes STARTTLS",
    when="AUTH without TLS, with a mechanism that sends the password and is offered over TLS.",
    standard="RFC 5248",
)
MECHANISM_NEEDS_TLS = GROUP.reply(
    "mechanism-needs-tls",
    538,
    "5.7.11",
    "this mechanism needs TLS: say STARTTLS first",
    "este mecanismo requiere TLS: diga antes STARTTLS",
    when="AUTH without TLS, with another mechanism that is offered over TLS.",
    standard="RFC 4954 §6",
)
MECHANISM_UNKNOWN = GROUP.reply(
    "mechanism-unknown",
    504,
    "5.5.4",
    "mechanism is not known",
    "mecanismo desconocido",
    when="AUTH with a mechanism that is not offered.",
    standard="RFC 4954 §4",
)
