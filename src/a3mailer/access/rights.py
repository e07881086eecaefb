"""Whose mailboxes a subject may use, by which names, and what it may do with each (RFC 4314, RFC 2342).

One's own mailboxes go by their names; those of others are ``Other Users/WHO/NAME``, those of shared accounts
(kinds ``group`` and ``list``) ``Shared/WHO/NAME``. WHO is the owner's main address, without its domain where
that is the subject's own. A ``Mailbox`` from here has ``account`` of its owner and the ``name`` that the
subject knows it by; whatever is done to it is done to ``row.account`` and ``row.id``.

    row = await rights.find(subject, name, "message.append")    NoSuchMailbox, NotPermitted
    rows = await rights.shared(subject)                         what others let it list, besides its own
    letters = await rights.of(subject, account, mailbox)        "lrs...": all of them for the owner
    await rights.may(subject, "message.flag", account, mailbox)
    owner, name = await rights.place(subject, name)             where a new mailbox of this name belongs
    identifier = await rights.identifier(subject, "bob")        as ``ChangeGrant`` takes it
    shown = await rights.shown(identifier)                      as people write it

The judge is ``identity.roles.allow``; here is only what was granted. An identifier's rights are the union of
what all identifiers that mean the subject were given, less what negative ones take away. Nobody is ever
shown, or granted, anything of another tenant. Answers are kept until rights or the directory change
(``heard`` is the store's watcher); ``generation`` grows then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from a3mailer.access.subscriptions import subscribed, subscriptions
from a3mailer.access.tree import checked_name
from a3mailer.identity.directory import Directory, LocalAccount, parse_stored
from a3mailer.identity.names import clean_address
from a3mailer.identity.principal import Object, Principal
from a3mailer.identity.roles import RIGHTS as RIGHT_OF
from a3mailer.identity.roles import allow
from a3mailer.mail.changes import EVERYTHING, RIGHTS, Change
from a3mailer.mail.errors import (
    BadName,
    NoSuchAccount,
    NoSuchDomain,
    NoSuchMailbox,
    NotAllowed,
    NotPermitted,
    TooMany,
)
from a3mailer.mail.flags import ALL_FLAGS, DELETED, SEEN
from a3mailer.mail.ids import AccountId, MailboxId, TenantId
from a3mailer.mail.mailbox import SEPARATOR, parents
from a3mailer.mail.rights import (
    ACCOUNT_PREFIX,
    ALL_RIGHTS,
    ANYONE,
    GROUP_PREFIX,
    NEGATIVE,
    ROOT,
    canonical,
    changed,
    of_account,
    of_group,
)
from a3mailer.store.operations import ChangeGrant
from a3mailer.store.ports import DirectoryReader, DocumentReader, MailReader, SeenReader, SharingReader
from a3mailer.store.rows import AddressEntry, Mailbox

OTHERS: Final = "Other Users"
SHARED: Final = "Shared"
NAMESPACES: Final = (OTHERS, SHARED)
"""First levels of the names of mailboxes that are not one's own (RFC 2342)."""
SHARED_KINDS: Final = frozenset(("group", "list"))
"""Kinds of accounts that nobody is."""
SEEING: Final = frozenset("lr")
"""Who has none of these is told that the mailbox does not exist."""
KNOWING: Final = frozenset("lrikxa")
"""Who has one of these may ask which (MYRIGHTS)."""
ANY: Final = "any"
"""In place of an action: to know of the mailbox is enough."""
REMEMBERED: Final = 100_000
"""Answers kept; when there are more, all are forgotten."""
_DIRECTORY: Final = (0, 0)
_QUOTED: Final = frozenset("/*%=")
"""What stands in an address and not in a level of a name is written ``=2F``."""


class Reader(MailReader, DirectoryReader, DocumentReader, SharingReader, SeenReader, Protocol):
    """What is read here."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An account, and what it granted."""

    account: AccountId
    tenant: TenantId
    address: str
    kind: str
    grants: dict[MailboxId, dict[str, str]]

    @property
    def shared(self) -> bool:
        """Whether nobody is this account."""
        return self.kind in SHARED_KINDS

    def prefix(self, subject: Principal) -> str:
        """The levels before its mailboxes' names, as the subject sees them."""
        local_part, _, domain = self.address.rpartition("@")
        who = local_part if domain == subject.domain else self.address
        return SEPARATOR.join((SHARED if self.shared else OTHERS, quoted(who), ""))


def quoted(who: str) -> str:
    """An address as one level of a name."""
    return "".join(f"={ord(c):02X}" if c in _QUOTED else c for c in who)


def unquoted(level: str) -> str:
    """The address that a level names. Errors: NoSuchMailbox when it is not the level's one spelling."""
    first, *pieces = level.split("=")
    try:
        who = first + "".join(chr(int(piece[:2], 16)) + piece[2:] for piece in pieces)
    except ValueError as error:
        raise NoSuchMailbox(level) from error
    if quoted(who) != level:
        raise NoSuchMailbox(level)
    return who


class Rights:
    """The rights of all subjects, as far as this worker was asked."""

    __slots__ = ("_directory", "_groups", "_known", "_lenders", "_owners", "_reader", "generation")

    def __init__(self, reader: Reader, directory: Directory) -> None:
        self._reader = reader
        self._directory = directory
        self.generation = 0
        self._known: dict[tuple[AccountId, AccountId, MailboxId], str] = {}
        self._owners: dict[AccountId, Owner | None] = {}
        self._lenders: dict[AccountId, tuple[AccountId, ...]] = {}
        """Accounts that granted a subject something."""
        self._groups: dict[str, frozenset[AccountId]] = {}

    def heard(self, change: Change) -> None:
        """The store's watcher: rights or accounts are others now."""
        if change[:2] in (RIGHTS, _DIRECTORY) or change == EVERYTHING:
            self.forget()

    def forget(self) -> None:
        """Look everything up anew."""
        self.generation += 1
        self._known.clear()
        self._owners.clear()
        self._lenders.clear()
        self._groups.clear()

    # --- what was granted --------------------------------------------------------------------------

    async def of(self, subject: Principal, account: AccountId, mailbox: MailboxId) -> str:
        """The rights of a subject on a mailbox (or ``ROOT``) of an account; be it there or not."""
        if account == subject.account:
            return ALL_RIGHTS
        key = (subject.account, account, mailbox)
        known = self._known.get(key)
        if known is None:
            generation = self.generation
            known = await self._effective(subject, account, mailbox)
            if generation == self.generation:
                if len(self._known) >= REMEMBERED:
                    self._known.clear()
                self._known[key] = known
        return known

    async def _effective(self, subject: Principal, account: AccountId, mailbox: MailboxId) -> str:
        owner = await self.owner(account)
        if owner is None or owner.tenant != subject.tenant:
            return ""
        return await self.sum(subject, owner.grants.get(mailbox, {}))

    async def sum(self, subject: Principal, grants: Mapping[str, str]) -> str:
        """What the rights of all these identifiers, on a mailbox of the subject's tenant, are together."""
        given, taken = set[str](), set[str]()
        for identifier, rights in grants.items():
            if await self._means(identifier.removeprefix(NEGATIVE), subject):
                (taken if identifier.startswith(NEGATIVE) else given).update(rights)
        return canonical(given - taken)

    async def _means(self, identifier: str, subject: Principal) -> bool:
        if identifier == ANYONE:
            return True
        if identifier.startswith(GROUP_PREFIX):
            members = await self.members(identifier.removeprefix(GROUP_PREFIX), subject.tenant)
            return subject.account in members
        return identifier == of_account(subject.account)

    async def members(self, address: str, tenant: TenantId) -> frozenset[AccountId]:
        """The accounts that a group of a tenant leads to, through other groups and aliases."""
        members = self._groups.get(address)
        if members is None:
            generation = self.generation
            entry = await self._reader.address(address)
            members = frozenset[AccountId]()
            if entry is not None and entry.kind == "group" and entry.tenant == tenant:
                try:
                    found = await self._directory.resolve(parse_stored(address))
                except (NoSuchDomain, NoSuchAccount, TooMany):
                    found = ()
                members = frozenset(one.account for one in found if isinstance(one, LocalAccount))
            if generation == self.generation:
                self._groups[address] = members
        return members

    async def owner(self, account: AccountId) -> Owner | None:
        """An account and what it granted; None when there is no such account."""
        if account in self._owners:
            return self._owners[account]
        generation = self.generation
        row = await self._reader.account(account)
        owner = None
        if row is not None:
            grants: dict[MailboxId, dict[str, str]] = {}
            for one in await self._reader.grants(account):
                grants.setdefault(one.mailbox, {})[one.identifier] = one.rights
            owner = Owner(account, row.tenant, row.address, row.kind, grants)
        if generation == self.generation:
            if len(self._owners) >= REMEMBERED:
                self._owners.clear()
            self._owners[account] = owner
        return owner

    async def may(self, subject: Principal, action: str, account: AccountId, mailbox: MailboxId) -> bool:
        """``identity.roles.allow``, with what was granted on the mailbox."""
        rights = await self.of(subject, account, mailbox)
        return allow(subject, action, object_of(subject, account, rights))

    async def allowed(self, subject: Principal, account: AccountId, mailbox: MailboxId) -> str:
        """The rights that ``allow`` lets the subject use."""
        return usable(subject, account, await self.of(subject, account, mailbox))

    async def require(self, subject: Principal, action: str, account: AccountId, mailbox: MailboxId) -> None:
        """Errors: NotPermitted; NoSuchMailbox where the subject may not even know of the mailbox."""
        rights = await self.of(subject, account, mailbox)
        if action == ANY:
            if not KNOWING.intersection(await self.allowed(subject, account, mailbox)):
                raise NoSuchMailbox
        elif not allow(subject, action, object_of(subject, account, rights)):
            raise NotPermitted(action) if SEEING.intersection(rights) else NoSuchMailbox

    async def granting(self, row: Mailbox, identifier: str, mode: str, rights: str) -> ChangeGrant | None:
        """What changes an identifier's rights on a mailbox, as SETACL means it; None: they are so already.

        Whether the subject may (``mailbox.share``) is asked before. Errors: NotAllowed (a person has all
        rights on its own)."""
        owner = await self.owner(row.account)
        who = identifier.removeprefix(NEGATIVE)
        if owner is None or owner.shared or who != of_account(row.account):
            return ChangeGrant(row.account, row.id, identifier, mode, rights)
        stays = identifier.startswith(NEGATIVE) == (rights == "")
        if stays and (rights == "" or changed(ALL_RIGHTS, mode, rights) == ALL_RIGHTS):
            return None
        raise NotAllowed("the owner of a mailbox has all rights")

    # --- names -------------------------------------------------------------------------------------

    async def find(self, subject: Principal, name: str, action: str) -> Mailbox:
        """The mailbox of this name, for this act. Errors: NoSuchMailbox, NotPermitted."""
        try:
            return await self._reader.mailbox_named(subject.account, name)
        except NoSuchMailbox:
            if not is_foreign(name):
                raise
        owner, rest = await self.named_owner(subject, name)
        try:
            row = await self._reader.mailbox_named(owner.account, rest)
        except BadName as error:
            raise NoSuchMailbox(name) from error
        await self.require(subject, action, owner.account, row.id)
        row = await self._reader.mailbox_seen_by(subject.account, owner.account, row.id)
        name = owner.prefix(subject) + row.name
        return replace(row, name=name, subscribed=await subscribed(self._reader, subject.account, name))

    async def named_owner(self, subject: Principal, name: str) -> tuple[Owner, str]:
        """The owner that a name in a namespace names, and the owner's name for the mailbox.

        Whether the subject may know of any of it is not asked. Errors: NoSuchMailbox."""
        namespace, _, rest = name.partition(SEPARATOR)
        level, _, rest = rest.partition(SEPARATOR)
        who = unquoted(level)
        entry = await self._entry(subject, who)
        owner = await self.owner(entry.account) if entry and entry.kind in ("account", "list") else None
        if owner is None or owner.account == subject.account or owner.tenant != subject.tenant:
            raise NoSuchMailbox(name)
        if owner.prefix(subject) != SEPARATOR.join((namespace, level, "")):
            raise NoSuchMailbox(name)
        return owner, rest

    async def _entry(self, subject: Principal, who: str) -> AddressEntry | None:
        """The row of an address of the subject's tenant, by people's spelling of it."""
        try:
            address = clean_address(who if "@" in who else f"{who}@{subject.domain}")
        except BadName:
            return None
        entry = await self._reader.address(address)
        return entry if entry is not None and entry.tenant == subject.tenant else None

    async def place(self, subject: Principal, name: str) -> tuple[AccountId, str]:
        """Whose a new mailbox of this name is, and its name there.

        Errors: BadName; NoSuchMailbox and NotPermitted where the subject may not create it."""
        name = checked_name(name)
        if not is_foreign(name):
            return subject.account, name
        if name.count(SEPARATOR) < 2:
            raise BadName("that name stands for the mailboxes of others")
        owner, rest = await self.named_owner(subject, name)
        rest = checked_name(rest)
        above = ROOT
        for parent in reversed(parents(rest)):
            try:
                above = (await self._reader.mailbox_named(owner.account, parent)).id
                break
            except NoSuchMailbox:
                continue
        await self.require(subject, "mailbox.create", owner.account, above)
        return owner.account, rest

    async def shared(self, subject: Principal) -> tuple[Mailbox, ...]:
        """The mailboxes of others that the subject may list, by the names it knows them by."""
        found: list[Mailbox] = []
        lenders = await self.lenders(subject)
        names = await subscriptions(self._reader, subject.account) if lenders else frozenset()
        for account in lenders:
            owner = await self.owner(account)
            if owner is None:
                continue
            prefix = owner.prefix(subject)
            for row in await self._reader.mailboxes_seen_by(subject.account, account):
                if await self.may(subject, "mailbox.list", account, row.id):
                    name = prefix + row.name
                    found.append(replace(row, name=name, subscribed=name in names))
        return tuple(found)

    async def lenders(self, subject: Principal) -> tuple[AccountId, ...]:
        """The accounts that granted the subject anything."""
        known = self._lenders.get(subject.account)
        if known is None:
            generation = self.generation
            identifiers = [ANYONE, of_account(subject.account)]
            for group in await self._reader.grantees(subject.tenant, GROUP_PREFIX):
                if await self._means(group, subject):
                    identifiers.append(group)
            rows = await self._reader.granted(subject.tenant, identifiers)
            known = tuple(dict.fromkeys(row.account for row in rows if row.account != subject.account))
            if generation == self.generation:
                if len(self._lenders) >= REMEMBERED:
                    self._lenders.clear()
                self._lenders[subject.account] = known
        return known

    # --- identifiers -------------------------------------------------------------------------------

    async def identifier(self, subject: Principal, text: str) -> str:
        """What the store keeps for an identifier that somebody wrote: an address or its local part, a group,
        ``anyone``, each perhaps with ``-`` before it. Errors: NoSuchAccount."""
        if text.startswith(NEGATIVE):
            return NEGATIVE + await self.identifier(subject, text.removeprefix(NEGATIVE) or "@")
        if text.lower() == ANYONE:
            return ANYONE
        entry = await self._entry(subject, text)
        if entry is not None and entry.kind == "group":
            return of_group(entry.address)
        if entry is None or entry.kind not in ("account", "alias") or not entry.account:
            raise NoSuchAccount(text)
        return of_account(entry.account)

    async def shown(self, identifier: str) -> str:
        """An identifier as people write it. Errors: NoSuchAccount."""
        if identifier.startswith(NEGATIVE):
            return NEGATIVE + await self.shown(identifier.removeprefix(NEGATIVE))
        if identifier.startswith(ACCOUNT_PREFIX):
            owner = await self.owner(AccountId(int(identifier.removeprefix(ACCOUNT_PREFIX))))
            if owner is None:
                raise NoSuchAccount(identifier)
            return owner.address
        return identifier.removeprefix(GROUP_PREFIX)


def is_foreign(name: str) -> bool:
    """Whether a name is in a namespace of others."""
    return name.partition(SEPARATOR)[0] in NAMESPACES


def mask_of(rights: str) -> tuple[int, bool]:
    """Which flags, and whether keywords, these rights let one change (RFC 4314 section 4)."""
    mask = (
        (SEEN if "s" in rights else 0)
        | (DELETED if "t" in rights else 0)
        | (ALL_FLAGS & ~SEEN & ~DELETED if "w" in rights else 0)
    )
    return mask, "w" in rights


def usable(subject: Principal, account: AccountId, rights: str) -> str:
    """Those of the rights on a mailbox that ``allow`` lets the subject use."""
    where = object_of(subject, account, rights)
    return canonical(right for action, right in RIGHT_OF.items() if allow(subject, action, where))


def object_of(subject: Principal, account: AccountId, rights: Iterable[str]) -> Object:
    """A mailbox as the object of an act; rights are those of the subject, within its tenant."""
    return Object(subject.tenant, account, rights="".join(rights))
