"""Where a forward-path leads: accounts, lists, aliases, groups, catch-all, subaddresses (RFC 5321, 5233).

The store knows exact addresses only; the rules are here.  Answers are kept in each process until the
directory changes (``heard`` is the store's watcher).  Local parts are compared without case, which RFC 5321
section 2.4 leaves to the receiving system; those beyond ASCII after NFC (RFC 6532 section 3.1).
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from a3mailer.config.tree import Settings
from a3mailer.identity.relaying import Relaying, relaying_of
from a3mailer.mail.address import Address
from a3mailer.mail.changes import EVERYTHING, Change
from a3mailer.mail.errors import MailError, NoSuchAccount, NoSuchDomain, TooMany
from a3mailer.mail.ids import DEFAULT_TENANT, AccountId, TenantId
from a3mailer.store.ports import DirectoryReader
from a3mailer.store.rows import AddressEntry, Domain

MAX_DESTINATIONS: Final = 1000
"""Destinations one forward-path may expand to."""
MAX_EXPANSIONS: Final = 5000
"""Addresses looked at while one forward-path is expanded, those met twice included."""
MAX_DEPTH: Final = 20
"""Aliases that may follow one another."""
MAX_CACHED: Final = 50_000
"""Answers kept a process; when full, the older half goes."""
MAX_CACHED_ABSENT: Final = 10_000
"""Addresses known to be absent, kept apart so that a harvester cannot push the others out."""
REMEMBERED: Final = 4_096
"""Stored addresses whose parts are kept."""
ACCOUNTS_A_PAGE: Final = 1000
ROLE_ADDRESSES: Final = frozenset(("postmaster", "abuse"))
"""Local parts that reach someone in every domain (RFC 5321 section 4.5.1, RFC 2142 section 2)."""
REPORT_ADDRESSES: Final = frozenset(("dmarc-reports", "tls-reports"))
"""Those that our DNS records name for reports: they reach someone likewise."""
MAILER_DAEMON: Final = "mailer-daemon"
"""In whose name notifications are written: who answers one reaches a person (RFC 3464 section 2)."""

LIST_WORDS: Final = frozenset(("subscribe", "unsubscribe", "owner", "request"))
"""``LIST-WORD@`` are addresses of a list, too (RFC 2142 section 6), where nobody else has them."""
WILDCARD: Final = "*"
"""``shop-*@`` and ``*@`` as an alias stand for every address that nobody has (ADR 0029)."""
WILDCARD_AFTER: Final = "-._"
"""What stands before it, where anything does."""
MAX_WILDCARDS: Final = 4
"""Beginnings of a local part that are tried, the longest first."""

_ALWAYS: Final = ROLE_ADDRESSES | REPORT_ADDRESSES | {MAILER_DAEMON}
_OF_THE_HOST: Final = ROLE_ADDRESSES | {MAILER_DAEMON}
"""Those that there are at the name of this server, too, be it no domain of ours."""


@dataclass(frozen=True, slots=True)
class LocalAccount:
    """A mailbox owner here. ``address`` is the address of ours that led to it, without its detail."""

    account: AccountId
    tenant: TenantId
    address: str


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """A target outside, reached through one of our aliases."""

    address: Address


@dataclass(frozen=True, slots=True)
class RelayedAddress:
    """An address of a domain that we hand on (``relaying.py``): nobody here has it."""

    address: Address


@dataclass(frozen=True, slots=True)
class ListAddress:
    """A mailing list here, or one of its addresses for commands."""

    account: AccountId
    tenant: TenantId
    address: str
    """The address of ours that led to it."""
    word: str = ""
    """Of LIST_WORDS; empty: a mail to it is for all."""


Destination = LocalAccount | RemoteAddress | RelayedAddress | ListAddress
Found = dict[AccountId | Address, Destination]
"""Destinations by what makes them one: an account reached by two addresses gets one copy."""
Key = TypeVar("Key")
Value = TypeVar("Value")


def fold(local_part: str) -> str:
    """The form in which local parts are compared and stored."""
    return (local_part if local_part.isascii() else unicodedata.normalize("NFC", local_part)).lower()


def wildcards(local_part: str) -> tuple[str, ...]:
    """The local parts with a wildcard that stand for this one, the one that says most first."""
    ends = [at + 1 for at, sign in enumerate(local_part[:-1]) if sign in WILDCARD_AFTER]
    return (*(local_part[:end] + WILDCARD for end in ends[: -MAX_WILDCARDS - 1 : -1]), WILDCARD)


@lru_cache(REMEMBERED)
def parse_stored(address: str) -> Address:
    """An address as the store keeps it (``local@domain``, no quoting, no source route)."""
    local_part, _, domain = address.rpartition("@")
    return Address(local_part, domain.lower().replace("[ipv6:", "[IPv6:"))


POSTED: Final = "tls_post"
"""Key of a domain's settings: TLS reports about it are taken by POST."""


def takes_posted_reports(domain: Domain) -> bool:
    """Off unless the domain says so."""
    try:
        settings = json.loads(domain.settings)
    except ValueError:
        return False
    return isinstance(settings, dict) and settings.get(POSTED) is True


class Directory:
    """The rules over one store's rows, with the answers of the last directory state."""

    __slots__ = ("_absent", "_default_domain", "_domains", "_generation", "_hostname", "_known", "_owned",
                 "_reader", "_separator", "_submitters")  # fmt: skip

    def __init__(self, reader: DirectoryReader, settings: Settings) -> None:
        self._reader = reader
        self._known: dict[Address, tuple[Destination, ...]] = {}
        self._absent: dict[Address, type[MailError]] = {}
        self._domains: dict[str, Domain | None] = {}
        self._owned: dict[AccountId, frozenset[str]] = {}
        self._submitters: dict[AccountId, TenantId | None] = {}
        self._generation = 0
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._separator = settings.smtp.subaddress_separator
        self._default_domain = settings.server.domain.lower()
        self._hostname = settings.server.hostname.lower()
        self.forget()

    @property
    def generation(self) -> int:
        """Grows when an answer may have become another: what was made of answers is to be forgotten."""
        return self._generation

    def heard(self, change: Change) -> None:
        """The store's watcher: a change of the directory empties what was remembered."""
        if change == EVERYTHING or (change.account == 0 and change.mailbox == 0):
            self.forget()

    def forget(self) -> None:
        """Look everything up anew."""
        self._generation += 1
        self._known.clear()
        self._absent.clear()
        self._domains.clear()
        self._owned.clear()
        self._submitters.clear()

    # --- forward-paths -----------------------------------------------------------------------------

    async def resolve(self, address: Address) -> tuple[Destination, ...]:
        """Where mail for ``address`` goes, at least one destination, none twice.

        Errors: NoSuchDomain (not ours), NoSuchAccount, TooMany (an expansion beyond the limits)."""
        found = self._known.get(address)
        if found is not None:
            return found
        absent = self._absent.get(address)
        if absent is not None:
            raise absent(str(address))
        return await self._look_up(address)

    async def _look_up(self, address: Address) -> tuple[Destination, ...]:
        generation = self._generation
        local_part, domain = fold(address.local_part), address.domain.lower()
        if not domain and local_part == "postmaster":  # RCPT TO:<postmaster>, RFC 5321 section 4.5.1
            domain = self._default_domain
        if local_part in _OF_THE_HOST and domain == self._hostname and await self.domain(domain) is None:
            domain = self._default_domain
        try:
            found = await self._expand(local_part, domain, address)
        except (NoSuchDomain, NoSuchAccount) as error:
            if generation == self._generation:
                _put(self._absent, address, type(error), MAX_CACHED_ABSENT)
            raise
        if generation == self._generation and not isinstance(found[0], RelayedAddress):
            _put(self._known, address, found, MAX_CACHED)  # else strangers could fill it with what they like
        return found

    async def _expand(self, local_part: str, domain: str, address: Address) -> tuple[Destination, ...]:
        ours = await self.domain(domain)
        if ours is None:
            raise NoSuchDomain(domain)
        entry = await self._entry(local_part, ours)
        found: Found = {}
        if entry is None and "-" in local_part:
            await self._list_command(local_part, ours, found)
        if entry is None and not found:
            entry = await self._wildcard(local_part, ours)
        if entry is not None:
            await self._follow(entry, found)
        if not found and entry is None and relaying_of(ours) is not None:
            return (RelayedAddress(Address(address.local_part, ours.name)),)
        if not found and local_part.partition(self._separator or "@")[0] in _ALWAYS:
            await self._administrator(ours, found)
        if not found and entry is None and ours.catch_all:
            await self._target(ours.catch_all, found)
        if not found:
            raise NoSuchAccount(f"{local_part}@{domain}")
        return tuple(found.values())

    async def _entry(self, local_part: str, domain: Domain) -> AddressEntry | None:
        """The row for this local part, else for the part before the separator."""
        entry = await self._reader.address(f"{local_part}@{domain.name}")
        if entry is None and self._separator:
            user, separator, _ = local_part.partition(self._separator)
            if separator and user:
                entry = await self._reader.address(f"{user}@{domain.name}")
        return entry

    async def _list_command(self, local_part: str, domain: Domain, found: Found) -> None:
        name, _, word = local_part.rpartition("-")
        entry = await self._reader.address(f"{name}@{domain.name}") if word in LIST_WORDS and name else None
        if entry is not None and entry.kind == "list":
            address = f"{local_part}@{domain.name}"
            found[entry.account] = ListAddress(entry.account, entry.tenant, address, word)

    async def _wildcard(self, local_part: str, domain: Domain) -> AddressEntry | None:
        """The alias with a wildcard that fits best."""
        for pattern in wildcards(local_part):
            entry = await self._reader.address(f"{pattern}@{domain.name}")
            if entry is not None and entry.kind in ("alias", "group"):
                return entry
        return None

    async def _follow(self, entry: AddressEntry, found: Found) -> None:
        """Expand breadth first; an address met before is not followed again, so cycles end."""
        level, seen, looked_at = [entry], {entry.address}, 0
        for _ in range(MAX_DEPTH):
            following: list[AddressEntry] = []
            for each in level:
                if each.kind == "account":
                    found.setdefault(each.account, LocalAccount(each.account, each.tenant, each.address))
                elif each.kind == "list":
                    found.setdefault(each.account, ListAddress(each.account, each.tenant, each.address))
                elif each.kind != "reserved":
                    looked_at += len(each.targets)
                    if looked_at > MAX_EXPANSIONS:
                        raise TooMany(f"{entry.address} expands to more than {MAX_EXPANSIONS} addresses")
                    following += await self._targets(each.targets, found, seen)
            if len(found) > MAX_DESTINATIONS:
                raise TooMany(f"{entry.address} has more than {MAX_DESTINATIONS} destinations")
            if not following:
                return
            level = following
        raise TooMany(f"{entry.address} leads through more than {MAX_DEPTH} aliases")

    async def _targets(self, targets: tuple[str, ...], found: Found, seen: set[str]) -> list[AddressEntry]:
        """Rows of the local targets not met before; remote ones go straight into ``found``."""
        rows: list[AddressEntry] = []
        for text in targets:
            target = parse_stored(text)
            ours = await self.domain(target.domain)
            if ours is None:
                if target.domain:
                    found[target] = RemoteAddress(target)
                continue
            entry = await self._entry(fold(target.local_part), ours)
            if entry is None and relaying_of(ours) is not None:
                found[target] = RelayedAddress(target)
            if entry is not None and entry.address not in seen:
                seen.add(entry.address)
                rows.append(entry)
        return rows

    async def _target(self, address: str, found: Found) -> None:
        for entry in await self._targets((address,), found, set()):
            await self._follow(entry, found)

    async def _administrator(self, domain: Domain, found: Found) -> None:
        """admin@ of the domain, admin@ of the first domain, else the first superadmin there is."""
        for name in dict.fromkeys((domain.name, self._default_domain)):
            entry = await self._reader.address(f"admin@{name}")
            if entry is not None and entry.kind == "account" and not found:
                found[entry.account] = LocalAccount(entry.account, entry.tenant, entry.address)
        after = 0
        while not found and (accounts := await self._reader.accounts(ACCOUNTS_A_PAGE, after)):
            for account in accounts:
                if account.role == "superadmin" and not found:
                    found[account.id] = LocalAccount(account.id, account.tenant, account.address)
            after = accounts[-1].id

    # --- questions about domains and ownership -----------------------------------------------------

    async def domain(self, name: str) -> Domain | None:
        """The row of a domain of ours (any case), None when it is not ours."""
        key = name.lower()
        if key in self._domains:
            return self._domains[key]
        generation = self._generation
        domain = await self._reader.domain(key) if key else None
        if generation == self._generation:
            _put(self._domains, key, domain, MAX_CACHED_ABSENT)
        return domain

    async def relaying(self, name: str) -> Relaying | None:
        """To whom mail for a domain (any case) goes on; None where it ends here, or is not ours."""
        return relaying_of(await self.domain(name))

    async def hosts(self, name: str) -> bool:
        """Is this a domain (any case) whose mailboxes are here?"""
        domain = await self.domain(name)
        return domain is not None and relaying_of(domain) is None

    async def submitter(self, account: AccountId) -> TenantId | None:
        """Whose tenant sends when this account does; None where it may not: it is disabled, or gone."""
        if account in self._submitters:
            return self._submitters[account]
        generation = self._generation
        row = await self._reader.account(account)
        tenant = row.tenant if row is not None and row.enabled else None
        if generation == self._generation:
            _put(self._submitters, account, tenant, MAX_CACHED_ABSENT)
        return tenant

    async def owns(self, account: AccountId, address: Address) -> bool:
        """May this account send as ``address``? Its own addresses, aliases that lead to it alone, and
        subaddresses of these; never a group or a catch-all."""
        owned = self._owned.get(account)
        if owned is None:
            generation = self._generation
            owned = frozenset(await self._reader.addresses_of(account))
            if generation == self._generation:
                _put(self._owned, account, owned, MAX_CACHED_ABSENT)
        local_part, domain = fold(address.local_part), address.domain.lower()
        if f"{local_part}@{domain}" in owned:
            return True
        if any(f"{pattern}@{domain}" in owned for pattern in wildcards(local_part)):
            return await self._entry(local_part, Domain(DEFAULT_TENANT, domain, "", "")) is None
        user, separator, _ = local_part.partition(self._separator) if self._separator else ("", "", "")
        return bool(separator and user) and f"{user}@{domain}" in owned


def _put(memory: dict[Key, Value], key: Key, value: Value, limit: int) -> None:
    """Remember; when full, the older half goes (dictionaries keep the order of insertion)."""
    if len(memory) >= limit:
        for old in list(itertools.islice(memory, limit // 2)):
            del memory[old]
    memory[key] = value
