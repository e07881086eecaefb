"""Where one forward-path leads: into a mailbox here, or out to another server (RFC 5598 section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from a3mailer.identity.directory import Destination, LocalAccount
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


@dataclass(frozen=True, slots=True)
class Returned:
    """To whom mail of ours came back (``returns.py``): it ends here, in no mailbox."""

    stream: str
    recipient: Address
    tenant: TenantId


Route = Local | Remote | Returned


def routes_of(destinations: tuple[Destination, ...], tenant: TenantId) -> tuple[Route, ...]:
    """Routes to what the directory found; ``tenant`` answers for those that lead out."""
    return tuple(
        Local(d.account, d.tenant, INBOX, d.address)
        if isinstance(d, LocalAccount)
        else Remote(d.address, tenant)
        for d in destinations
    )
