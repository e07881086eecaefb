"""Who may do what: one table, one question (``allow``), under every protocol; deny by default.

A cell says how far a role reaches with an action: nowhere, its own account, its domain, its tenant, or
everything.  Every IMAP command, SMTP act and command-line verb names an action of this table; naming one
that is not in it raises ``UnknownAction`` when the module that names it is imported (``action``).
What may not be seen is answered like what is not there: see ``require``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from a3mailer.identity.principal import SERVER, Object, Principal
from a3mailer.mail.errors import MailError, NoSuchThing
from a3mailer.mail.ids import SYSTEM_ACCOUNT


class UnknownAction(Exception):
    """A command, method or verb names an action that has no rule: a bug, found at import."""


class Reach(IntEnum):
    """How far a role reaches with an action."""

    NONE = 0
    OWN = 1
    DOMAIN = 2
    TENANT = 3
    ALL = 4


ROLES: Final = ("superadmin", "tenant-admin", "domain-admin", "helpdesk", "auditor", "user", "anonymous")
"""The columns of RULES, by falling rank: only a superadmin acts on accounts of its own rank or above."""
GIVEN_ROLES: Final = ROLES[:-1]
"""Those an account can have."""

_NO, _OWN, _DOM, _TEN, _ALL = Reach

# action                 superadmin tenant-admin domain-admin helpdesk auditor user anonymous
RULES: Final[dict[str, tuple[Reach, ...]]] = {
    # a connection: greeting, capabilities, no-operation, log-out, authenticating
    "session.use":       (_ALL, _ALL, _ALL, _ALL, _ALL, _ALL, _ALL),
    "session.login":     (_ALL, _ALL, _ALL, _ALL, _ALL, _ALL, _ALL),
    # mail in from strangers, and submission by those who logged in
    "smtp.receive":      (_ALL, _ALL, _ALL, _ALL, _ALL, _ALL, _ALL),
    "smtp.submit":       (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    # what applications keep for their mails: templates, and hooks that are told what became of them
    "template.list":     (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "template.change":   (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "hook.list":         (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "hook.change":       (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    # scripts that filter mail (RFC 5228)
    "sieve.list":        (_ALL, _TEN, _DOM, _OWN, _NO, _OWN, _NO),
    "sieve.change":      (_ALL, _TEN, _DOM, _OWN, _NO, _OWN, _NO),
    # mailboxes and messages: one's own only, whatever the role (helpdesk and administrators see no content),
    # and with those of others what their owner has granted (RIGHTS)
    "mailbox.list":      (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "mailbox.select":    (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "mailbox.change":    (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "mailbox.create":    (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "mailbox.remove":    (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "mailbox.share":     (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "mailbox.post":      (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "message.read":      (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "message.append":    (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "message.seen":      (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "message.flag":      (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "message.delete":    (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "message.expunge":   (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    # who there is to share mailboxes with, and what one says of oneself
    "principal.list":    (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "principal.change":  (_OWN, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "quota.read":        (_ALL, _TEN, _DOM, _TEN, _NO, _OWN, _NO),
    # pictures of authors, which are nobody's
    "indicator.show":    (_ALL, _ALL, _ALL, _ALL, _ALL, _ALL, _NO),
    # accounts
    "account.list":      (_ALL, _TEN, _DOM, _TEN, _NO, _NO, _NO),
    "account.show":      (_ALL, _TEN, _DOM, _TEN, _NO, _OWN, _NO),
    "account.add":       (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "account.import":    (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "account.reset":     (_ALL, _TEN, _NO, _NO, _NO, _NO, _NO),
    "account.rename":    (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "account.remove":    (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "account.password":  (_ALL, _TEN, _DOM, _TEN, _NO, _OWN, _NO),
    "account.disable":   (_ALL, _TEN, _DOM, _TEN, _NO, _NO, _NO),
    "account.export":    (_ALL, _OWN, _OWN, _OWN, _NO, _OWN, _NO),
    "account.quota":     (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "account.act":       (_OWN, _OWN, _OWN, _OWN, _OWN, _OWN, _NO),  # as SASL's authzid asks for
    "role.give":         (_ALL, _TEN, _NO, _NO, _NO, _NO, _NO),
    "role.list":         (_ALL, _TEN, _DOM, _TEN, _NO, _NO, _NO),
    "token.issue":       (_ALL, _OWN, _OWN, _OWN, _OWN, _OWN, _NO),
    "token.list":        (_ALL, _TEN, _DOM, _OWN, _OWN, _OWN, _NO),
    "token.revoke":      (_ALL, _TEN, _DOM, _TEN, _OWN, _OWN, _NO),
    # domains, aliases, groups
    "domain.list":       (_ALL, _TEN, _DOM, _TEN, _NO, _NO, _NO),
    "domain.add":        (_ALL, _TEN, _NO, _NO, _NO, _NO, _NO),
    "domain.remove":     (_ALL, _TEN, _NO, _NO, _NO, _NO, _NO),
    "domain.keys":       (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "alias.list":        (_ALL, _TEN, _DOM, _TEN, _NO, _NO, _NO),
    "alias.add":         (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "alias.remove":      (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    # whom a shared account lets use its mailboxes; a person's mail is nobody else's to share
    "share.list":        (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "share.change":      (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    # masked addresses: who writes to them is content
    "masked.list":       (_ALL, _TEN, _DOM, _NO, _NO, _OWN, _NO),
    "masked.change":     (_ALL, _TEN, _DOM, _NO, _NO, _OWN, _NO),
    # mailing lists; their archives are content
    "list.add":          (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "list.remove":       (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "list.list":         (_ALL, _TEN, _DOM, _TEN, _NO, _NO, _NO),
    "list.change":       (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    "list.archive":      (_ALL, _TEN, _DOM, _NO, _NO, _NO, _NO),
    # the queue
    "queue.list":        (_ALL, _TEN, _NO, _TEN, _NO, _NO, _NO),
    "queue.change":      (_ALL, _TEN, _NO, _NO, _NO, _NO, _NO),
    # reports of others about our domains
    "report.list":       (_ALL, _TEN, _DOM, _TEN, _NO, _NO, _NO),
    # the index of texts
    "search.status":     (_ALL, _TEN, _DOM, _TEN, _NO, _NO, _NO),
    "search.rebuild":    (_ALL, _TEN, _NO, _NO, _NO, _NO, _NO),
    # the server
    "server.status":     (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "server.submit":     (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "server.log":        (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "server.control":    (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "cert.list":         (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "cert.change":       (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "config.read":       (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "config.change":     (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "store.backup":      (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "store.restore":     (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "store.check":       (_ALL, _NO, _NO, _NO, _NO, _NO, _NO),
    "audit.query":       (_ALL, _TEN, _NO, _NO, _TEN, _NO, _NO),
    # checks that need no instance and see nobody's data
    "tool.use":          (_ALL, _ALL, _ALL, _ALL, _ALL, _ALL, _ALL),
}  # fmt: skip

RIGHTS: Final = {
    "mailbox.list": "l",
    "mailbox.select": "r",
    "mailbox.create": "k",
    "mailbox.remove": "x",
    "mailbox.share": "a",
    "mailbox.post": "p",
    "message.read": "r",
    "message.append": "i",
    "message.seen": "s",
    "message.flag": "w",
    "message.delete": "t",
    "message.expunge": "e",
}
"""The right on another's mailbox that allows an action (RFC 4314 section 2.1), to roles that may do it to
their own, and inside a tenant."""

_COLUMN: Final = {role: column for column, role in enumerate(ROLES)}
_RANKED: Final = ("account.", "role.", "token.")
"""Families of actions on an account, where the rank of both sides counts."""


def action(name: str) -> str:
    """The name itself, once it is known to have a rule. Errors: UnknownAction."""
    if name not in RULES:
        raise UnknownAction(name)
    return name


def allow(subject: Principal, action: str, object: Object = SERVER) -> bool:
    """May ``subject`` do ``action`` to ``object``? Errors: UnknownAction."""
    rule = RULES.get(action)
    if rule is None:
        raise UnknownAction(action)
    column = _COLUMN.get(subject.role)
    if column is None or (subject.scopes and not _in_scope(subject.scopes, action)):
        return False
    reach = rule[column]
    if reach is Reach.ALL:
        return True
    if reach is Reach.NONE:
        return False
    if not _reaches(reach, subject, object):
        return _granted(subject, action, object)
    if action.startswith(_RANKED) and (object.account != SYSTEM_ACCOUNT or object.role):
        return _outranks(column, subject, action, object)
    return True


def _reaches(reach: Reach, subject: Principal, object: Object) -> bool:
    if subject.account != SYSTEM_ACCOUNT and object.account == subject.account:
        return True
    if reach is Reach.OWN or object.tenant != subject.tenant:
        return False
    return reach is Reach.TENANT or (bool(object.domain) and object.domain == subject.domain)


def _granted(subject: Principal, action: str, object: Object) -> bool:
    right = RIGHTS.get(action)
    return right is not None and right in object.rights and object.tenant == subject.tenant


def _outranks(column: int, subject: Principal, action: str, object: Object) -> bool:
    if object.account == subject.account and action != "role.give":
        return True
    return column < _COLUMN.get(object.role, -1)


def _in_scope(scopes: frozenset[str], action: str) -> bool:
    return action in scopes or action.partition(".")[0] in scopes or action.startswith("session.")


def require(
    subject: Principal, action: str, object: Object = SERVER, absent: type[MailError] = NoSuchThing
) -> None:
    """Raise ``absent`` unless allowed: what one may not touch answers like what does not exist."""
    if not allow(subject, action, object):
        raise absent
