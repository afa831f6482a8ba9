"""The verbs, one record each. Their phases are the whole law of command order (RFC 5321 §4.1.4)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Verb
from estafeta.wire.smtp.verbs.atrn import ATRN
from estafeta.wire.smtp.verbs.auth import AUTH
from estafeta.wire.smtp.verbs.bdat import BDAT
from estafeta.wire.smtp.verbs.burl import BURL
from estafeta.wire.smtp.verbs.data import DATA
from estafeta.wire.smtp.verbs.etrn import ETRN
from estafeta.wire.smtp.verbs.expn import EXPN
from estafeta.wire.smtp.verbs.hello import EHLO, HELO, LHLO
from estafeta.wire.smtp.verbs.help import HELP
from estafeta.wire.smtp.verbs.mail import MAIL
from estafeta.wire.smtp.verbs.noop import NOOP
from estafeta.wire.smtp.verbs.quit import QUIT
from estafeta.wire.smtp.verbs.rcpt import RCPT
from estafeta.wire.smtp.verbs.rset import RSET
from estafeta.wire.smtp.verbs.send import SAML, SEND, SOML
from estafeta.wire.smtp.verbs.starttls import STARTTLS
from estafeta.wire.smtp.verbs.turn import TURN
from estafeta.wire.smtp.verbs.vrfy import VRFY
from estafeta.wire.smtp.verbs.xclient import XCLIENT
from estafeta.wire.smtp.verbs.xforward import XFORWARD

VERBS: tuple[Verb, ...] = (
    HELO,
    EHLO,
    LHLO,
    STARTTLS,
    AUTH,
    MAIL,
    SEND,
    SOML,
    SAML,
    RCPT,
    DATA,
    BDAT,
    BURL,
    RSET,
    NOOP,
    VRFY,
    EXPN,
    HELP,
    ETRN,
    ATRN,
    TURN,
    XCLIENT,
    XFORWARD,
    QUIT,
)
