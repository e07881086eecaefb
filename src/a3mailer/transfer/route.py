"""Where one forward-path leads: into a mailbox here, or out to another server (RFC 5598 section 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from a3mailer.identity.directory import Destination, ListAddress, LocalAccount, RelayedAddress
from a3mailer.mail.address import Address
from a3mailer.mail.ids import INBOX, AccountId, MailboxId, TenantId


@dataclass(frozen=True, slots=True)
class Local:
    """A mailbox of an account here; ``address`` is the address of ours that led to it."""

    account: AccountId
    tenant: TenantId
    mailbox: MailboxId = INBOX
    address: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Remote:
    """An address that another server is responsible for; ``tenant`` is on whose behalf we relay."""

    address: Address
    tenant: TenantId
    relayed: bool = False
    """Of a domain that we hand on (``identity/relaying.py``)."""


@dataclass(frozen=True, slots=True)
class Returned:
    """To whom mail of ours came back (``returns.py``): it ends here, in no mailbox."""

    stream: str
    recipient: Address
    tenant: TenantId


@dataclass(frozen=True, slots=True)
class Listed:
    """A mailing list of ours (``lists``): the queue takes it on from here."""

    account: AccountId
    tenant: TenantId
    address: str
    """What it is queued to: an address here that leads to the list."""
    word: str = ""
    """What is wanted of it; empty: that all members get the mail."""
    about: str = ""
    """Whom or what a word is about, where its address says it."""


Route = Local | Remote | Returned | Listed


def notify_onward(notify: Iterable[str], routes: Sequence[Route]) -> tuple[str, ...]:
    """What an address of ours that leads to ``routes`` hands on of NOTIFY: all of it to a single one; among
    several nobody tells of successes but the address itself (RFC 3461 sections 5.2.7.2 and 5.2.7.3 (c))."""
    if len(routes) < 2 or "SUCCESS" not in notify:
        return tuple(sorted(notify))
    return tuple(sorted(set(notify) - {"SUCCESS"})) or ("NEVER",)


Routes = tuple[tuple[Route, ...], ...]
"""One entry a recipient."""


def leaves(routes: Routes) -> bool:
    """Does any of them lead to a server that would not know a mark of ours?"""
    return any(isinstance(route, Remote) and not route.relayed for each in routes for route in each)


def is_relayed(routes: Routes) -> bool:
    """Does any of them lead to the next server of a domain of ours?"""
    return any(isinstance(route, Remote) and route.relayed for each in routes for route in each)


def routes_of(destinations: tuple[Destination, ...], tenant: TenantId) -> tuple[Route, ...]:
    """Routes to what the directory found; ``tenant`` answers for those that lead out."""
    return tuple(_route(destination, tenant) for destination in destinations)


def _route(destination: Destination, tenant: TenantId) -> Route:
    if isinstance(destination, LocalAccount):
        return Local(destination.account, destination.tenant, INBOX, destination.address)
    if isinstance(destination, ListAddress):
        return Listed(destination.account, destination.tenant, destination.address, destination.word)
    return Remote(destination.address, tenant, isinstance(destination, RelayedAddress))
