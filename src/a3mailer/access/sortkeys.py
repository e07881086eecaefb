"""What messages are sorted by: one value a message and criterion, made of what was precomputed at delivery.

A content never changes, so its keys are kept: by account, criterion and email, whatever mailboxes it is in.
How many octets of keys are kept is bounded; the columns used longest ago go first. RFC 5256 section 3,
RFC 5957.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from a3mailer.access.casemap import casemap
from a3mailer.access.labour import Labour
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.ids import AccountId, EmailId
from a3mailer.mail.message import identifiers
from a3mailer.mail.message.enveloped import unquoted
from a3mailer.mail.message.packed import header_end_of
from a3mailer.mail.message.subject import base_subject
from a3mailer.mail.message.wire import skip
from a3mailer.mail.message.words import decode_words
from a3mailer.store.ports import MailReader

KEPT_OCTETS: Final = 64 * 1024 * 1024
"""Of keys of all accounts, about."""
KEPT_SWEEPS: Final = 600
"""Sweeps (one a second) after which keys nobody asked for are forgotten."""
READ: Final = 500
"""Messages whose keys are made at once: within a slice of the store, and of the loop."""
PAGE_BITS: Final = 12
PAGE: Final = 1 << PAGE_BITS
"""Emails whose keys stand together."""
_STRING_OCTETS: Final = 56
"""Of a string besides its letters."""


class Criterion(Enum):
    """What a message is sorted by; the values are this module's own."""

    ARRIVAL = 1
    """When it was received."""
    CC = 2
    """The mailbox of the first address of Cc."""
    DATE = 3
    """When it was sent, or received where nobody can tell."""
    FROM = 4
    SIZE = 5
    SUBJECT = 6
    """The base subject."""
    TO = 7
    DISPLAY_FROM = 8
    """What is shown of the first address of From: its name, or the address."""
    DISPLAY_TO = 9
    IS_REPLY = 10
    """Whether the subject is that of a reply or forward; for threads."""
    LINEAGE = 11
    """Who it is and whom it follows (``mail.message.identifiers.lineage``); for threads."""
    RELEVANCY = 12
    """How well it fits the search, the best first; no key of a mail: who sorts has to give it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The messages to sort, in the order that decides between equals: parallel columns."""

    account: AccountId
    emails: Sequence[int]
    sizes: Sequence[int]
    received: Callable[[Sequence[int]], Awaitable[Sequence[int | None]]]
    """When the messages at these indexes (ascending) were received; None where one is gone."""


class _Column:
    """The keys of one account by one criterion, None where they are not known."""

    __slots__ = ("idle", "octets", "pages")

    def __init__(self) -> None:
        self.pages: dict[int, list[Any]] = {}
        self.octets = 0
        self.idle = 0
        """Sweeps since somebody asked."""

    def look(self, emails: Sequence[int]) -> tuple[list[Any], int]:
        """Keys as far as they are known, and the octets it took to make room for the others."""
        pages = self.pages
        grown = 0
        for number in {email >> PAGE_BITS for email in emails}.difference(pages):
            pages[number] = [None] * PAGE
            grown += 8 * PAGE
        return [pages[email >> PAGE_BITS][email & PAGE - 1] for email in emails], grown

    def keep(self, email: int, key: object) -> None:
        """Remember one; its page is there since it was looked for."""
        self.pages[email >> PAGE_BITS][email & PAGE - 1] = key


class SortKeys:
    """The keys of this process."""

    __slots__ = ("_columns", "_reader", "octets")

    def __init__(self, reader: MailReader) -> None:
        self._reader = reader
        self._columns: dict[tuple[AccountId, Criterion], _Column] = {}
        """The one asked for longest ago first."""
        self.octets = 0

    def sweep(self) -> None:
        """Forget what nobody asked for of late; called once a second."""
        for name, column in tuple(self._columns.items()):
            column.idle += 1
            if column.idle > KEPT_SWEEPS:
                self._drop(name)

    def _drop(self, name: tuple[AccountId, Criterion]) -> None:
        self.octets -= self._columns.pop(name).octets

    async def column(self, listed: Listed, criterion: Criterion, labour: Labour) -> Sequence[Any]:
        """One key a message; they can be compared with each other. Errors: TooCostly."""
        if criterion is Criterion.SIZE:
            return listed.sizes
        name = (listed.account, criterion)
        column = self._columns.pop(name, None) or _Column()
        self._columns[name] = column
        column.idle = 0
        keys: list[Any] = []
        grown = 0
        for first in range(0, len(listed.emails), PAGE):
            some, more = column.look(listed.emails[first : first + PAGE])
            keys += some
            grown += more
            await labour.step(0)
        absent = [at for at, key in enumerate(keys) if key is None] if None in keys else []
        shared: dict[Any, Any] = {}
        for first in range(0, len(absent), READ):
            group = absent[first : first + READ]
            for at, key in zip(group, await self._make(listed, criterion, group, labour), strict=True):
                known = shared.setdefault(key, key)
                keys[at] = known
                column.keep(listed.emails[at], known)
            await labour.step(len(group))
        grown += sum(len(key) + _STRING_OCTETS for key in shared if isinstance(key, (str, bytes)))
        self._count(name, column, grown)
        await labour.step(len(keys) - len(absent))
        return keys

    def _count(self, name: tuple[AccountId, Criterion], column: _Column, grown: int) -> None:
        if self._columns.get(name) is not column:  # dropped meanwhile
            return
        column.octets += grown
        self.octets += grown
        while self.octets > KEPT_OCTETS:
            self._drop(next(iter(self._columns)))

    async def _make(
        self, listed: Listed, criterion: Criterion, group: list[int], labour: Labour
    ) -> Iterable[Any]:
        account, emails = listed.account, array("Q", [listed.emails[at] for at in group])
        if criterion in (Criterion.SUBJECT, Criterion.IS_REPLY):
            subjects = [base_subject(one or "") for one in await self._reader.subjects(account, emails)]
            replies = [reply for _, reply in subjects]
            if criterion is Criterion.IS_REPLY:
                return replies
            self._keep_beside(account, Criterion.IS_REPLY, emails, replies)
            return [casemap(text) for text, _ in subjects]
        if criterion is Criterion.ARRIVAL:
            return [date or 0 for date in await listed.received(group)]
        if criterion is Criterion.DATE:
            dates = [date or 0 for date in await self._reader.sent_dates(account, emails)]
            without = [number for number, date in enumerate(dates) if not date]
            for number, date in zip(without, await listed.received([group[n] for n in without]), strict=True):
                dates[number] = date or 0
            return dates
        if criterion is Criterion.LINEAGE:
            found = await self._reader.lineages(account, emails)
            return [
                await self._lineage(account, email) if one is None else one
                for one, email in zip(found, emails, strict=True)
            ]
        field, shown = _FIELDS[criterion]
        return [address_key(one, field, shown) for one in await self._reader.envelopes(account, emails)]

    def _keep_beside(
        self, account: AccountId, criterion: Criterion, emails: Sequence[int], keys: Sequence[object]
    ) -> None:
        """Keep what was found out on the way to other keys."""
        name = (account, criterion)
        column = self._columns.setdefault(name, _Column())
        _known, grown = column.look(emails)
        for email, key in zip(emails, keys, strict=True):
            column.keep(email, key)
        self._count(name, column, grown)

    async def _lineage(self, account: AccountId, email: int) -> bytes:
        """Of a mail that came before lineages were written down."""
        rows = await self._reader.fragments(account, (EmailId(email),))
        if not rows:
            return identifiers.lineage_of(b"")
        try:
            end = header_end_of(rows[0].index)
            return identifiers.lineage_of(await self._reader.octets(account, rows[0].blob, 0, end))
        except (NoSuchMessage, DamagedContent):
            return identifiers.lineage_of(b"")


_FIELDS: Final = {
    Criterion.FROM: (2, False),
    Criterion.TO: (5, False),
    Criterion.CC: (6, False),
    Criterion.DISPLAY_FROM: (2, True),
    Criterion.DISPLAY_TO: (5, True),
}
"""Places in ENVELOPE, and whether the name is wanted."""


def address_key(envelope: bytes, field: int, shown: bool) -> str:
    """The key of the first address of a field of an ENVELOPE fragment; "" where there is none."""
    if not envelope:
        return ""
    at = 1
    number = 0
    while number < field:
        start, at = at, _after_element(envelope, at) + 1
        number += 1
        same = envelope[start:at]  # Sender and Reply-To mostly say what From says
        while 2 < number < 5 and number < field and envelope.startswith(same, at):
            at += len(same)
            number += 1
    if not envelope.startswith(b"((", at):
        return ""
    strings: list[bytes] = []
    at += 2
    for _ in range(4):
        end = skip(envelope, at)
        strings.append(unquoted(envelope[at:end]))
        at = end + 1
    name, _route, mailbox, host = strings
    if shown:
        text = decode_words(name) if name else ""
        if not text:
            text = (mailbox + b"@" + host if mailbox and host else mailbox).decode("utf-8", "replace")
        return casemap(text)
    return casemap(mailbox.decode("utf-8", "replace"))


def _after_element(envelope: bytes, at: int) -> int:
    """The offset after an element of ENVELOPE: a string, NIL, or a list of addresses."""
    at = skip(envelope, at)
    if envelope[at - 1 : at] != b"(":
        return at
    depth = 1
    while depth:
        octet = envelope[at : at + 1]
        at = skip(envelope, at)
        depth += (octet == b"(") - (octet == b")")
    return at
