"""All mail of an account as one worker knows it: emails whatever their mailboxes, in order, and counted.

Columns by email, ascending, some 50 octets each; read once and from there on kept up by what changed, so that
neither lists nor counts cost what is there. A row marked \\Deleted is not there (RFC 8621 section 4.1.1); an
email has what any of its rows has, \\Seen where all have it. Counts are those of RFC 8621 section 2.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final, NamedTuple, Protocol

from a3mailer.access.account_view import AccountView
from a3mailer.access.sortkeys import SortKeys
from a3mailer.mail.flags import DELETED, DRAFT, SEEN
from a3mailer.mail.ids import AccountId, EmailId, ModSeq
from a3mailer.store.ports import MailReader
from a3mailer.store.rows import AccountColumns, Mailbox, Message

EMAIL_BITS: Final = 32
EMAIL_MASK: Final = (1 << EMAIL_BITS) - 1
APART: Final = 20_000
"""Emails that are put in order outside the event loop."""
AT_ONCE: Final = 256
"""Emails changed at once above which columns are made anew, not changed."""
KEPT_EMAILS: Final = 1_000_000
"""Emails of all accounts that are kept in a worker."""
KEPT_OCTETS: Final = 16 << 20
"""Octets that doors made of emails, of all accounts, that are kept in a worker."""
_READ: Final = SEEN | DRAFT
_UNREAD: Final = bytes(0 if bits & _READ else 1 for bits in range(256))


class Reader(AccountView, MailReader, Protocol):
    """What is read here."""


class Email(NamedTuple):
    """One email with all its rows."""

    number: int
    thread: int
    date: int
    size: int
    flags: int
    keywords: str
    """In lower case."""
    mailboxes: tuple[int, ...]

    @property
    def key(self) -> int:
        """Its place in the order by date."""
        return self.date << EMAIL_BITS | self.number


@dataclass(slots=True)
class Counts:
    """Of one mailbox."""

    emails: int = 0
    unread: int = 0
    threads: int = 0
    unread_threads: int = 0


def merged(rows: Iterable[Message]) -> dict[int, Email]:
    """Emails of their rows; those that are not there are left out."""
    by_email: dict[int, list[Message]] = {}
    for row in rows:
        if not row.flags & DELETED:
            by_email.setdefault(row.email, []).append(row)
    return {number: _email(found) for number, found in by_email.items()}


def _email(rows: list[Message]) -> Email:
    first = rows[0]
    flags, seen, keywords = 0, SEEN, first.keywords
    for row in rows:
        flags |= row.flags
        seen &= row.flags
    if len(rows) > 1:
        keywords = " ".join(sorted({word for row in rows for word in row.keywords.lower().split()}))
    return Email(
        first.email, first.thread, first.internal_date, first.size, flags & ~SEEN | seen, keywords.lower(),
        tuple(sorted({int(row.mailbox) for row in rows})),
    )  # fmt: skip


class AccountMail:
    """What is known of one account, as of ``modseq``."""

    __slots__ = ("boxes", "counts", "dates", "emails", "flags", "keywords", "made", "modseq", "more",
                 "octets", "orders", "replies", "sizes", "threads", "trash")  # fmt: skip

    def __init__(self, trash: int) -> None:
        self.modseq = -1
        self.trash = trash
        """The mailbox of the role ``trash``; 0: none."""
        self.emails = array("Q")
        self.threads = array("Q")
        self.dates = array("q")
        self.sizes = array("Q")
        self.boxes = array("Q")
        """The first mailbox of each email."""
        self.flags = bytearray()
        self.keywords: dict[int, str] = {}
        """By email, only where there are any."""
        self.more: dict[int, tuple[int, ...]] = {}
        """All mailboxes of the emails that are in several."""
        self.replies: dict[int, list[int]] = {}
        """By thread, the emails that the thread is not named by."""
        self.counts: dict[int, Counts] = {}
        self.orders: dict[int, list[int]] = {}
        """By mailbox (0: all), the keys of its emails, ascending; only where somebody asked."""
        self.made: dict[Hashable, dict[int, bytes]] = {}
        """What doors made of emails, by what for and by email; forgotten when the email changes."""
        self.octets = 0
        """Of all that."""

    # --- looking -----------------------------------------------------------------------------------

    def place(self, email: int) -> int:
        """Where an email is in the columns; -1 when it is not there."""
        at = bisect_left(self.emails, email)
        return at if at < len(self.emails) and self.emails[at] == email else -1

    def mailboxes(self, at: int) -> tuple[int, ...]:
        """Of the email at this place."""
        return self.more.get(self.emails[at]) or (self.boxes[at],)

    def email(self, at: int) -> Email:
        """As a value."""
        number = self.emails[at]
        return Email(
            number, self.threads[at], self.dates[at], self.sizes[at], self.flags[at],
            self.keywords.get(number, ""), self.mailboxes(at),
        )  # fmt: skip

    def members(self, thread: int) -> Iterator[int]:
        """Places of the emails of a thread."""
        if (first := self.place(thread)) >= 0:
            yield first
        for email in self.replies.get(thread, ()):
            yield self.place(email)

    def thread(self, number: int) -> Sequence[int]:
        """The emails of a thread by date; none where there is no such thread."""
        if number not in self.replies:
            at = self.place(number)
            return (number,) if at >= 0 and self.threads[at] == number else ()
        dates, emails = self.dates, self.emails
        order = sorted([dates[at] << EMAIL_BITS | emails[at] for at in self.members(number)])
        return [key & EMAIL_MASK for key in order]

    def counted(self, mailbox: int) -> Counts:
        """Counts of a mailbox."""
        return self.counts.get(mailbox) or Counts()

    def order(self, mailbox: int) -> Sequence[int]:
        """Keys of the emails of a mailbox (0: of all) by date; of equal dates by number."""
        found = self.orders.get(mailbox)
        if found is None:
            found = [date << EMAIL_BITS | email for date, email in zip(self.dates, self.emails, strict=True)]
            if mailbox:
                found = list(compress(found, map(mailbox.__eq__, self.boxes)))
            for email, boxes in self.more.items() if mailbox else ():
                if mailbox in boxes and boxes[0] != mailbox:
                    found.append(self.email(self.place(email)).key)
            found.sort()
            self.orders[mailbox] = found
        return found

    def keep(self, purpose: Hashable, email: int, octets: bytes) -> None:
        """Remember what was made of an email as it is now."""
        page = self.made.setdefault(purpose, {})
        self.octets += len(octets) - len(page.get(email, b""))
        page[email] = octets

    # --- filling -----------------------------------------------------------------------------------

    def fill(self, columns: AccountColumns) -> None:
        """Take all of an account."""
        rows = range(len(columns.emails))
        deleted = map(DELETED.__and__, columns.flags)
        shown: Sequence[int] = rows
        if any(map(DELETED.__and__, columns.flags)):
            shown = [at for at, hidden in zip(rows, deleted, strict=True) if not hidden]
        emails = columns.emails
        by_email: dict[int, int] = {emails[at]: at for at in reversed(shown)}
        order = [by_email[email] for email in sorted(by_email)]
        self.emails = array("Q", map(emails.__getitem__, order))
        self.threads = array("Q", map(columns.threads.__getitem__, order))
        self.dates = array("q", map(columns.dates.__getitem__, order))
        self.sizes = array("Q", map(columns.sizes.__getitem__, order))
        self.boxes = array("Q", map(columns.mailboxes.__getitem__, order))
        self.flags = bytearray(map(columns.flags.__getitem__, order))
        for at, words in columns.keywords.items():
            if by_email.get(emails[at]) == at:
                self.keywords[emails[at]] = words.lower()
        if len(by_email) < len(shown):
            self._fill_several(columns, shown)
        for email, thread in zip(self.emails, self.threads, strict=True):
            if email != thread:
                self.replies.setdefault(thread, []).append(email)
        self._count_all()
        self.modseq = columns.modseq

    def _fill_several(self, columns: AccountColumns, shown: Sequence[int]) -> None:
        """Those that have several rows."""
        times = Counter(map(columns.emails.__getitem__, shown))
        several: dict[int, list[int]] = {}
        for at in shown:
            if times[columns.emails[at]] > 1:
                several.setdefault(columns.emails[at], []).append(at)
        for email, rows in several.items():
            place = self.place(email)
            flags, seen = 0, SEEN
            for at in rows:
                flags |= columns.flags[at]
                seen &= columns.flags[at]
            self.flags[place] = flags & ~SEEN | seen
            words = {word for at in rows for word in columns.keywords.get(at, "").lower().split()}
            if words:
                self.keywords[email] = " ".join(sorted(words))
            boxes = tuple(sorted({columns.mailboxes[at] for at in rows}))
            self.boxes[place] = boxes[0]
            if len(boxes) > 1:
                self.more[email] = boxes

    def _count_all(self) -> None:
        """Most emails are alone in their thread and in one mailbox: those are counted in bulk."""
        self.counts.clear()
        apart = set(self.replies)
        apart.update(self.threads[self.place(email)] for email in self.more)
        unread = self.flags.translate(_UNREAD)
        alone = [thread not in apart for thread in self.threads] if apart else [True] * len(self.threads)
        for box, number in Counter(compress(self.boxes, alone)).items():
            self.counts[box] = Counts(number, 0, number, 0)
        both = map(bool.__and__, alone, map(bool, unread))
        for box, number in Counter(compress(self.boxes, both)).items():
            self.counts[box].unread = self.counts[box].unread_threads = number
        for thread in apart:
            self._weigh(thread, 1)

    def _weigh(self, thread: int, sign: int) -> None:
        """Count the emails of a thread, or count them no more."""
        boxes: dict[int, None] = {}
        in_trash = elsewhere = False
        for at in self.members(thread):
            unread = not self.flags[at] & _READ
            mine = self.mailboxes(at)
            for box in mine:
                boxes[box] = None
                counts = self.counts.setdefault(box, Counts())
                counts.emails += sign
                counts.unread += sign * unread
            if unread:
                in_trash = in_trash or self.trash in mine
                elsewhere = elsewhere or mine != (self.trash,)
        for box in boxes:
            counts = self.counts[box]
            counts.threads += sign
            counts.unread_threads += sign * (in_trash if box == self.trash else elsewhere)

    # --- keeping up --------------------------------------------------------------------------------

    def change(self, touched: Iterable[int], now: dict[int, Email], modseq: ModSeq) -> None:
        """These emails are what ``now`` says, or are not there any more."""
        numbers = sorted(touched)
        for page in self.made.values():
            for number in numbers:
                self.octets -= len(page.pop(number, b""))
        before = {number: self.email(at) for number in numbers if (at := self.place(number)) >= 0}
        threads = {each.thread for each in (*before.values(), *now.values())}
        for thread in threads:
            self._weigh(thread, -1)
        if len(numbers) > AT_ONCE:
            self.orders.clear()
        for each in before.values():
            self._forget(each, now.get(each.number))
        gone = [number for number in numbers if number in before and number not in now]
        self._remove(gone)
        for number in numbers:
            if number in now:
                self._put(now[number], before.get(number))
        for thread in threads:
            self._weigh(thread, 1)
        self.modseq = modseq

    def _forget(self, email: Email, now: Email | None) -> None:
        self.keywords.pop(email.number, None)
        self.more.pop(email.number, None)
        if email.number != email.thread:
            self.replies[email.thread].remove(email.number)
            if not self.replies[email.thread]:
                del self.replies[email.thread]
        for box in _leaving(email, now):
            order = self.orders.get(box)
            if order is not None:
                at = bisect_left(order, email.key)
                del order[at]

    def _remove(self, numbers: Sequence[int]) -> None:
        if len(numbers) > AT_ONCE:
            gone = set(numbers)
            kept = [email not in gone for email in self.emails]
            self.emails = array("Q", compress(self.emails, kept))
            self.threads = array("Q", compress(self.threads, kept))
            self.dates = array("q", compress(self.dates, kept))
            self.sizes = array("Q", compress(self.sizes, kept))
            self.boxes = array("Q", compress(self.boxes, kept))
            self.flags = bytearray(compress(self.flags, kept))
            return
        for number in numbers:
            at = self.place(number)
            for column in (self.emails, self.threads, self.dates, self.sizes, self.boxes):
                del column[at]
            del self.flags[at]

    def _put(self, email: Email, before: Email | None) -> None:
        at = bisect_left(self.emails, email.number)
        if at == len(self.emails) or self.emails[at] != email.number:
            self.emails.insert(at, email.number)
            self.threads.insert(at, email.thread)
            self.dates.insert(at, email.date)
            self.sizes.insert(at, email.size)
            self.boxes.insert(at, email.mailboxes[0])
            self.flags.insert(at, email.flags)
        else:
            self.boxes[at] = email.mailboxes[0]
            self.flags[at] = email.flags
        if email.keywords:
            self.keywords[email.number] = email.keywords
        if len(email.mailboxes) > 1:
            self.more[email.number] = email.mailboxes
        if email.number != email.thread:
            insort(self.replies.setdefault(email.thread, []), email.number)
        for box in _leaving(email, before):
            if (order := self.orders.get(box)) is not None:
                insort(order, email.key)


def _leaving(one: Email, other: Email | None) -> set[int]:
    """The orders that one email is in and not the other, at that key."""
    orders = {0, *one.mailboxes}
    return orders.difference((0, *other.mailboxes)) if other and other.key == one.key else orders


def trash_of(mailboxes: Iterable[Mailbox]) -> int:
    """The number of the mailbox that is the trash; 0: there is none."""
    return next((int(box.id) for box in mailboxes if box.special_use == "\\Trash"), 0)


class AllMail:
    """The accounts this worker knows; who was asked for longest ago is forgotten first."""

    __slots__ = ("_known", "_reading", "_view", "keys")

    def __init__(self, reader: Reader, view: AccountView | None = None) -> None:
        """``view``: what is shown, where that is not everything."""
        self._view: AccountView = reader if view is None else view
        self.keys = SortKeys(reader)
        """What emails are sorted by."""
        self._known: dict[AccountId, AccountMail] = {}
        self._reading: dict[AccountId, asyncio.Event] = {}

    async def of(self, account: AccountId) -> AccountMail:
        """An account's mail as of now. Errors: NoSuchAccount."""
        while (reading := self._reading.get(account)) is not None:
            await reading.wait()
        reading = self._reading[account] = asyncio.Event()
        try:
            before = self._known.pop(account, None)
            mail = await self._load(account) if before is None else await self._kept_up(account, before)
            self._known[account] = mail
        finally:
            del self._reading[account]
            reading.set()
        if mail is not before:
            self._make_room(account)
        return mail

    @property
    def emails(self) -> int:
        """How many are kept."""
        return sum(len(mail.emails) for mail in self._known.values())

    @property
    def octets(self) -> int:
        """That doors made of them and that are kept."""
        return sum(mail.octets for mail in self._known.values())

    async def known(self, account: AccountId) -> AccountMail | None:
        """The same where it does not take reading all of it: somebody asked before. Errors: NoSuchAccount."""
        return await self.of(account) if account in self._known or account in self._reading else None

    def _make_room(self, account: AccountId) -> None:
        kept = self.emails
        for oldest in [each for each in self._known if each != account]:
            if kept <= KEPT_EMAILS:
                break
            kept -= len(self._known.pop(oldest).emails)

    def make_room_for_octets(self) -> None:
        """Forget what was made of emails where it is more than KEPT_OCTETS, of who asked longest ago."""
        kept = self.octets
        for mail in self._known.values():
            if kept <= KEPT_OCTETS:
                break
            kept -= mail.octets
            mail.made.clear()
            mail.octets = 0

    async def _load(self, account: AccountId) -> AccountMail:
        mail = AccountMail(trash_of(await self._view.mailboxes(account)))
        columns = await self._view.account_columns(account)
        if len(columns.emails) > APART:
            await asyncio.to_thread(mail.fill, columns)
        else:
            mail.fill(columns)
        return mail

    async def _kept_up(self, account: AccountId, mail: AccountMail) -> AccountMail:
        changes = await self._view.account_changes(account, ModSeq(mail.modseq))
        if changes.modseq == mail.modseq and changes.complete:
            return mail
        touched = {row.email for row in changes.changed} | {row.email for row in changes.gone}
        if not changes.complete or len(touched) > max(AT_ONCE, len(mail.emails) // 4):
            return await self._load(account)
        if changes.mailboxes or changes.mailboxes_gone:
            trash = trash_of(await self._view.mailboxes(account))
            if trash != mail.trash:
                return await self._load(account)
        rows = await self._view.places(account, [EmailId(number) for number in touched])
        mail.change(touched, merged(rows), changes.modseq)
        return mail
