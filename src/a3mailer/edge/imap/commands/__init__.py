"""The table of IMAP commands: one file each, one line here."""

from __future__ import annotations

from typing import Final

from a3mailer.edge.imap.command import Command
from a3mailer.edge.imap.commands.append import Append
from a3mailer.edge.imap.commands.authenticate import Authenticate
from a3mailer.edge.imap.commands.cancelupdate import CancelUpdate
from a3mailer.edge.imap.commands.capability import Capability
from a3mailer.edge.imap.commands.check import Check
from a3mailer.edge.imap.commands.close import Close
from a3mailer.edge.imap.commands.compress import Compress
from a3mailer.edge.imap.commands.copy import Copy
from a3mailer.edge.imap.commands.create import Create
from a3mailer.edge.imap.commands.delete import Delete
from a3mailer.edge.imap.commands.deleteacl import DeleteAcl
from a3mailer.edge.imap.commands.enable import Enable
from a3mailer.edge.imap.commands.esearch import ESearch
from a3mailer.edge.imap.commands.examine import Examine
from a3mailer.edge.imap.commands.expunge import Expunge
from a3mailer.edge.imap.commands.fetch import Fetch
from a3mailer.edge.imap.commands.getacl import GetAcl
from a3mailer.edge.imap.commands.getjmapaccess import GetJmapAccess
from a3mailer.edge.imap.commands.getmetadata import GetMetadata
from a3mailer.edge.imap.commands.getquota import GetQuota
from a3mailer.edge.imap.commands.getquotaroot import GetQuotaRoot
from a3mailer.edge.imap.commands.id import Id
from a3mailer.edge.imap.commands.idle import Idle
from a3mailer.edge.imap.commands.list import List
from a3mailer.edge.imap.commands.listrights import ListRights
from a3mailer.edge.imap.commands.login import Login
from a3mailer.edge.imap.commands.logout import Logout
from a3mailer.edge.imap.commands.lsub import Lsub
from a3mailer.edge.imap.commands.move import Move
from a3mailer.edge.imap.commands.myrights import MyRights
from a3mailer.edge.imap.commands.namespace import Namespace
from a3mailer.edge.imap.commands.noop import Noop
from a3mailer.edge.imap.commands.notify import Notify
from a3mailer.edge.imap.commands.rename import Rename
from a3mailer.edge.imap.commands.replace import Replace
from a3mailer.edge.imap.commands.search import Search
from a3mailer.edge.imap.commands.select import Select
from a3mailer.edge.imap.commands.setacl import SetAcl
from a3mailer.edge.imap.commands.setmetadata import SetMetadata
from a3mailer.edge.imap.commands.sort import Sort
from a3mailer.edge.imap.commands.starttls import StartTls
from a3mailer.edge.imap.commands.status import Status
from a3mailer.edge.imap.commands.store import Store
from a3mailer.edge.imap.commands.subscribe import Subscribe
from a3mailer.edge.imap.commands.thread import Thread
from a3mailer.edge.imap.commands.uid import UidCommand
from a3mailer.edge.imap.commands.unauthenticate import Unauthenticate
from a3mailer.edge.imap.commands.unselect import Unselect
from a3mailer.edge.imap.commands.unsubscribe import Unsubscribe

COMMANDS: Final[tuple[type[Command], ...]] = (
    Capability,  # RFC 9051, RFC 3501
    Noop,
    Logout,
    StartTls,
    Authenticate,
    Login,
    Enable,  # RFC 5161
    Select,
    Examine,
    Create,
    Delete,
    Rename,
    Subscribe,
    Unsubscribe,
    List,
    Lsub,  # RFC 3501
    Namespace,  # RFC 2342
    Status,
    Append,
    Idle,  # RFC 2177
    Check,  # RFC 3501
    Close,
    Unselect,  # RFC 3691
    Expunge,
    Search,
    ESearch,  # RFC 7377
    Sort,  # RFC 5256
    Thread,
    CancelUpdate,  # RFC 5267
    Fetch,
    Store,
    Copy,
    Move,  # RFC 6851
    UidCommand,
    Replace,  # RFC 8508
    Unauthenticate,  # RFC 8437
    GetJmapAccess,  # RFC 9698
    Compress,  # RFC 4978
    Id,  # RFC 2971
    MyRights,  # RFC 4314
    GetAcl,
    SetAcl,
    DeleteAcl,
    ListRights,
    GetMetadata,  # RFC 5464
    SetMetadata,
    Notify,  # RFC 5465
    GetQuota,  # RFC 9208
    GetQuotaRoot,
)
