"""The service extensions, one record each; this tuple is the order in which EHLO names them."""

from __future__ import annotations

from estafeta.wire.smtp.extensions.atrn import ATRN
from estafeta.wire.smtp.extensions.auth import AUTH
from estafeta.wire.smtp.extensions.dsn import DSN
from estafeta.wire.smtp.extensions.eight_bit_mime import EIGHT_BIT_MIME
from estafeta.wire.smtp.extensions.enhanced_status_codes import ENHANCED_STATUS_CODES
from estafeta.wire.smtp.extensions.etrn import ETRN
from estafeta.wire.smtp.extensions.help import HELP
from estafeta.wire.smtp.extensions.pipelining import PIPELINING
from estafeta.wire.smtp.extensions.requiretls import REQUIRETLS
from estafeta.wire.smtp.extensions.size import SIZE
from estafeta.wire.smtp.extensions.smtputf8 import SMTPUTF8
from estafeta.wire.smtp.extensions.starttls import STARTTLS
from estafeta.wire.smtp.session import Extension

EXTENSIONS: tuple[Extension, ...] = (
    PIPELINING,
    SIZE,
    STARTTLS,
    AUTH,
    ENHANCED_STATUS_CODES,
    EIGHT_BIT_MIME,
    SMTPUTF8,
    DSN,
    REQUIRETLS,
    ETRN,
    ATRN,
    HELP,
)
