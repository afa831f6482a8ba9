"""The commands of POP3, one record each; in UPDATE, where the server is alone, none is legal (RFC 1939 §6).

LANG (RFC 6856 §3) is not among them: our texts have one language.
"""

from __future__ import annotations

from estafeta.wire.pop3.commands.auth import AUTH
from estafeta.wire.pop3.commands.capa import CAPA
from estafeta.wire.pop3.commands.dele import DELE
from estafeta.wire.pop3.commands.list_ import LIST
from estafeta.wire.pop3.commands.noop import NOOP
from estafeta.wire.pop3.commands.pass_ import PASS
from estafeta.wire.pop3.commands.quit import QUIT
from estafeta.wire.pop3.commands.retr import RETR
from estafeta.wire.pop3.commands.rset import RSET
from estafeta.wire.pop3.commands.stat import STAT
from estafeta.wire.pop3.commands.stls import STLS
from estafeta.wire.pop3.commands.top import TOP
from estafeta.wire.pop3.commands.uidl import UIDL
from estafeta.wire.pop3.commands.user import USER
from estafeta.wire.pop3.commands.utf8 import UTF8
from estafeta.wire.pop3.session import Command

# Not done of RFC 1939 §7: APOP, which needs the password itself on the server's disk.
# Not done of RFC 6856 §3: LANG, for the texts of POP3 have one language.
COMMANDS: tuple[Command, ...] = (
    CAPA,
    STLS,
    UTF8,
    USER,
    PASS,
    AUTH,
    STAT,
    LIST,
    UIDL,
    RETR,
    TOP,
    DELE,
    RSET,
    NOOP,
    QUIT,
)
BY_NAME: dict[str, Command] = {command.name: command for command in COMMANDS}
