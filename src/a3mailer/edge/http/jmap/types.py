"""The table of data types whose changes are pushed (RFC 8620 section 7.1): how the state of each is read.

``state`` gives what ``Foo/get`` would say now; it is asked after every change of an account, so it must be
cheap (a row or two).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.capabilities import MAIL, PRINCIPALS, QUOTA, SIEVE, SUBMISSION, VACATION
from a3mailer.edge.http.jmap.method import view_of
from a3mailer.edge.http.jmap.methods import (
    identity,
    principal,
    sharenotification,
    sieve,
    submission,
    vacation,
)
from a3mailer.edge.http.jmap.methods.quota import quota_state
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.states import state_of

StateOf = Callable[[Services, Account], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class DataType:
    """One line."""

    name: str
    capability: str
    """Those whose account lacks it hear nothing of the type."""
    state: StateOf


async def delivery_state(services: Services, account: Account) -> str:
    """Of mail that came in (RFC 8621 section 1.5): counts what was ever put where mail is delivered to."""
    boxes = await view_of(services, account).mailboxes(account.id)
    return str(sum(box.uid_next for box in boxes if box.special_use not in WRITTEN))


WRITTEN: Final = frozenset(("\\Drafts", "\\Sent", "\\Trash"))
"""Where mail lies that did not come in."""
TYPES: Final[tuple[DataType, ...]] = (
    DataType("Mailbox", MAIL, state_of),  # RFC 8621
    DataType("Thread", MAIL, state_of),
    DataType("Email", MAIL, state_of),
    DataType("EmailDelivery", MAIL, delivery_state),
    DataType("Identity", SUBMISSION, identity.state),
    DataType("EmailSubmission", SUBMISSION, submission.state),
    DataType("VacationResponse", VACATION, vacation.state),
    DataType("Quota", QUOTA, quota_state),  # RFC 9425
    DataType("SieveScript", SIEVE, sieve.state),  # RFC 9661
    DataType("Principal", PRINCIPALS, principal.state),  # RFC 9670
    DataType("ShareNotification", PRINCIPALS, sharenotification.state),
)
