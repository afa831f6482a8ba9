"""The commands of IMAP, one module each: what is asked, and how it is read.

APPEND and REPLACE are read in pieces, by `appending`.
"""

from __future__ import annotations

from estafeta.wire.imap.command import Command
from estafeta.wire.imap.commands.acl import DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS, SETACL
from estafeta.wire.imap.commands.append import APPEND, REPLACE, UID_REPLACE
from estafeta.wire.imap.commands.authenticate import AUTHENTICATE
from estafeta.wire.imap.commands.capability import CAPABILITY
from estafeta.wire.imap.commands.close import CHECK, CLOSE, UNSELECT
from estafeta.wire.imap.commands.compress import COMPRESS
from estafeta.wire.imap.commands.copy import COPY, MOVE, UID_COPY, UID_MOVE
from estafeta.wire.imap.commands.create import CREATE
from estafeta.wire.imap.commands.delete import DELETE
from estafeta.wire.imap.commands.enable import ENABLE
from estafeta.wire.imap.commands.expunge import EXPUNGE, UID_EXPUNGE
from estafeta.wire.imap.commands.fetch import FETCH, UID_FETCH
from estafeta.wire.imap.commands.id import ID
from estafeta.wire.imap.commands.idle import IDLE
from estafeta.wire.imap.commands.list_ import LIST, LSUB
from estafeta.wire.imap.commands.login import LOGIN
from estafeta.wire.imap.commands.logout import LOGOUT
from estafeta.wire.imap.commands.metadata import GETMETADATA, SETMETADATA
from estafeta.wire.imap.commands.namespace import NAMESPACE
from estafeta.wire.imap.commands.noop import NOOP
from estafeta.wire.imap.commands.notify import NOTIFY
from estafeta.wire.imap.commands.quota import GETQUOTA, GETQUOTAROOT, SETQUOTA
from estafeta.wire.imap.commands.rename import RENAME
from estafeta.wire.imap.commands.search import (
    CANCELUPDATE,
    ESEARCH,
    SEARCH,
    SORT,
    THREAD,
    UID_SEARCH,
    UID_SORT,
    UID_THREAD,
)
from estafeta.wire.imap.commands.select import EXAMINE, SELECT
from estafeta.wire.imap.commands.starttls import STARTTLS
from estafeta.wire.imap.commands.status import STATUS
from estafeta.wire.imap.commands.store import STORE, UID_STORE
from estafeta.wire.imap.commands.subscribe import SUBSCRIBE, UNSUBSCRIBE
from estafeta.wire.imap.commands.unauthenticate import UNAUTHENTICATE
from estafeta.wire.imap.commands.urlauth import GENURLAUTH, RESETKEY, URLFETCH

COMMANDS: tuple[Command, ...] = (
    CAPABILITY, NOOP, LOGOUT, ID,
    STARTTLS, AUTHENTICATE, LOGIN,
    ENABLE, SELECT, EXAMINE, CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, LIST, LSUB, NAMESPACE, STATUS,
    APPEND, IDLE, COMPRESS, UNAUTHENTICATE,
    GETQUOTA, GETQUOTAROOT, SETQUOTA, SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS,
    GETMETADATA, SETMETADATA, NOTIFY, GENURLAUTH, RESETKEY, URLFETCH, ESEARCH, CANCELUPDATE,
    CLOSE, UNSELECT, CHECK, EXPUNGE, UID_EXPUNGE, SEARCH, UID_SEARCH, SORT, UID_SORT, THREAD, UID_THREAD,
    FETCH, UID_FETCH, STORE, UID_STORE, COPY, UID_COPY, MOVE, UID_MOVE, REPLACE, UID_REPLACE,
)  # fmt: skip
BY_NAME: dict[str, Command] = {command.name: command for command in COMMANDS}
