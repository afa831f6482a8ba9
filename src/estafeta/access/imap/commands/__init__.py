"""Who carries out which command: one table, and one module for each command or a few that belong together."""

from __future__ import annotations

from estafeta.access.imap.commands.acl import delete_acl, get_acl, list_rights, my_rights, set_acl
from estafeta.access.imap.commands.append import append, replace
from estafeta.access.imap.commands.authenticate import authenticate, login
from estafeta.access.imap.commands.capability import capability
from estafeta.access.imap.commands.close import close, unselect
from estafeta.access.imap.commands.compress import compress
from estafeta.access.imap.commands.copy import copy
from estafeta.access.imap.commands.create import create
from estafeta.access.imap.commands.delete import delete
from estafeta.access.imap.commands.enable import enable
from estafeta.access.imap.commands.expunge import expunge
from estafeta.access.imap.commands.fetch import fetch
from estafeta.access.imap.commands.id import identify
from estafeta.access.imap.commands.idle import idle
from estafeta.access.imap.commands.list_ import list_, lsub
from estafeta.access.imap.commands.logout import logout
from estafeta.access.imap.commands.metadata import get_metadata, set_metadata
from estafeta.access.imap.commands.namespace import namespace
from estafeta.access.imap.commands.noop import check, noop
from estafeta.access.imap.commands.notify import notify
from estafeta.access.imap.commands.quota import get_quota, get_quota_root, set_quota
from estafeta.access.imap.commands.rename import rename
from estafeta.access.imap.commands.search import cancel_update, multi_search, search, sort, thread
from estafeta.access.imap.commands.select import select
from estafeta.access.imap.commands.starttls import start_tls
from estafeta.access.imap.commands.status import status
from estafeta.access.imap.commands.store import store
from estafeta.access.imap.commands.subscribe import subscribe
from estafeta.access.imap.commands.unauthenticate import unauthenticate
from estafeta.access.imap.commands.urlauth import gen_url_auth, reset_key, url_fetch
from estafeta.access.imap.session import Handler
from estafeta.wire.imap.commands.acl import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from estafeta.wire.imap.commands.append import Append, Replace
from estafeta.wire.imap.commands.authenticate import Authenticate
from estafeta.wire.imap.commands.capability import Capability
from estafeta.wire.imap.commands.close import Check, Close, Unselect
from estafeta.wire.imap.commands.compress import Compress
from estafeta.wire.imap.commands.copy import Copy
from estafeta.wire.imap.commands.create import Create
from estafeta.wire.imap.commands.delete import Delete
from estafeta.wire.imap.commands.enable import Enable
from estafeta.wire.imap.commands.expunge import Expunge
from estafeta.wire.imap.commands.fetch import Fetch
from estafeta.wire.imap.commands.id import Id
from estafeta.wire.imap.commands.idle import Idle
from estafeta.wire.imap.commands.list_ import List, LSub
from estafeta.wire.imap.commands.login import Login
from estafeta.wire.imap.commands.logout import Logout
from estafeta.wire.imap.commands.metadata import GetMetadata, SetMetadata
from estafeta.wire.imap.commands.namespace import Namespace
from estafeta.wire.imap.commands.noop import Noop
from estafeta.wire.imap.commands.notify import Notify
from estafeta.wire.imap.commands.quota import GetQuota, GetQuotaRoot, SetQuota
from estafeta.wire.imap.commands.rename import Rename
from estafeta.wire.imap.commands.search import CancelUpdate, MultiSearch, Search, Sort, Thread
from estafeta.wire.imap.commands.select import Select
from estafeta.wire.imap.commands.starttls import StartTls
from estafeta.wire.imap.commands.status import MailboxStatus
from estafeta.wire.imap.commands.store import Store
from estafeta.wire.imap.commands.subscribe import Subscribe
from estafeta.wire.imap.commands.unauthenticate import Unauthenticate
from estafeta.wire.imap.commands.urlauth import GenUrlAuth, ResetKey, UrlFetch
from estafeta.wire.imap.request import Request

HANDLERS: dict[type[Request], Handler] = {
    Append: append,
    Authenticate: authenticate,
    CancelUpdate: cancel_update,
    Capability: capability,
    Check: check,
    Close: close,
    Compress: compress,
    Copy: copy,
    Create: create,
    Delete: delete,
    DeleteAcl: delete_acl,
    Enable: enable,
    Expunge: expunge,
    Fetch: fetch,
    GenUrlAuth: gen_url_auth,
    GetAcl: get_acl,
    GetMetadata: get_metadata,
    GetQuota: get_quota,
    GetQuotaRoot: get_quota_root,
    Id: identify,
    Idle: idle,
    LSub: lsub,
    List: list_,
    ListRights: list_rights,
    Login: login,
    Logout: logout,
    MailboxStatus: status,
    MyRights: my_rights,
    MultiSearch: multi_search,
    Namespace: namespace,
    Noop: noop,
    Notify: notify,
    Rename: rename,
    Replace: replace,
    ResetKey: reset_key,
    Search: search,
    Select: select,
    Sort: sort,
    Thread: thread,
    SetAcl: set_acl,
    SetMetadata: set_metadata,
    SetQuota: set_quota,
    StartTls: start_tls,
    Store: store,
    Subscribe: subscribe,
    Unauthenticate: unauthenticate,
    Unselect: unselect,
    UrlFetch: url_fetch,
}
"""By the kind of request."""
