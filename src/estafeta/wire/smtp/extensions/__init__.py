"""The service extensions, one record each; this tuple is the order in which EHLO names them."""

from __future__ import annotations

from estafeta.wire.smtp.extensions.atrn import ATRN
from estafeta.wire.smtp.extensions.auth import AUTH
from estafeta.wire.smtp.extensions.burl import BURL
from estafeta.wire.smtp.extensions.chunking import BINARYMIME, CHUNKING
from estafeta.wire.smtp.extensions.deliver_by import DELIVER_BY
from estafeta.wire.smtp.extensions.dsn import DSN
from estafeta.wire.smtp.extensions.eight_bit_mime import EIGHT_BIT_MIME
from estafeta.wire.smtp.extensions.enhanced_status_codes import ENHANCED_STATUS_CODES
from estafeta.wire.smtp.extensions.etrn import ETRN
from estafeta.wire.smtp.extensions.future_release import FUTURE_RELEASE
from estafeta.wire.smtp.extensions.help import HELP
from estafeta.wire.smtp.extensions.limits import LIMITS
from estafeta.wire.smtp.extensions.mt_priority import MT_PRIORITY
from estafeta.wire.smtp.extensions.no_soliciting import NO_SOLICITING
from estafeta.wire.smtp.extensions.pipelining import PIPELINING
from estafeta.wire.smtp.extensions.requiretls import REQUIRETLS
from estafeta.wire.smtp.extensions.send import SAML, SEND, SOML
from estafeta.wire.smtp.extensions.size import SIZE
from estafeta.wire.smtp.extensions.smtputf8 import SMTPUTF8
from estafeta.wire.smtp.extensions.starttls import STARTTLS
from estafeta.wire.smtp.extensions.xclient import XCLIENT
from estafeta.wire.smtp.extensions.xforward import XFORWARD
from estafeta.wire.smtp.session import Extension

EXTENSIONS: tuple[Extension, ...] = (
    PIPELINING,
    SIZE,
    STARTTLS,
    AUTH,
    ENHANCED_STATUS_CODES,
    EIGHT_BIT_MIME,
    SMTPUTF8,
    CHUNKING,
    BINARYMIME,
    BURL,
    DSN,
    REQUIRETLS,
    LIMITS,
    NO_SOLICITING,
    DELIVER_BY,
    FUTURE_RELEASE,
    MT_PRIORITY,
    ETRN,
    ATRN,
    SEND,
    SOML,
    SAML,
    XCLIENT,
    XFORWARD,
    HELP,
)
