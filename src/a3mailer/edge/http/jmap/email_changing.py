"""Making, changing and destroying emails (RFC 8621 sections 4.6 to 4.8), each kind in one transaction.

Where one of them cannot be done the others are: then each is tried by itself.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import msgspec

from a3mailer.access.blobs import name_of
from a3mailer.access.keywords import spelled
from a3mailer.access.loans import Loan
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.email_records import KEYWORDS
from a3mailer.edge.http.jmap.lent_changing import Rows, Wanted, appending, changing, destroying, rows_of
from a3mailer.edge.http.jmap.limits import MAX_MAILBOXES_PER_EMAIL, MAX_SIZE_ATTACHMENTS
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import Record, Update
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.mail.errors import DamagedContent, MailError, NoSuchMessage
from a3mailer.mail.flags import MAX_KEYWORD_LENGTH, MAX_KEYWORDS
from a3mailer.mail.ids import EmailId, MailboxId
from a3mailer.mail.message import MessageIndex, index
from a3mailer.mail.objectids import EMAIL_LETTER, MAILBOX_LETTER, THREAD_LETTER, number_of, object_id
from a3mailer.store.operations import Append, Appended, ChangeEmail, Destroyed, DestroyEmails, Operation
from a3mailer.store.ports import Content, Transaction
from a3mailer.store.rows import Mailbox
from a3mailer.wire.jmap.compose_body import Pieces
from a3mailer.wire.jmap.compose_email import blobs_of, compose_email
from a3mailer.wire.jmap.errors import SetError, invalid_properties
from a3mailer.wire.jmap.values import UTCDate, read_date

INDEXED_HERE: Final = 256 * 1024
# keyword = 1*255( %x21-7E without ( ) { ] % * " \ )
_KEYWORD: Final = re.compile(r"[!#$&\'+-Z\[^-z|}~]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class Marks:
    """Keywords as the store has them."""

    flags: int
    words: tuple[str, ...]


def marks_of(given: object, name: str = "keywords") -> Marks:
    """A set of keywords. Errors: SetError."""
    if not isinstance(given, dict) or not all(value is True for value in given.values()):
        raise invalid_properties(name, because="a set has true for each keyword")
    flags = 0
    words = []
    for word in {each.lower() for each in given}:
        if word in KEYWORDS:
            flags |= KEYWORDS[word]
        elif not _KEYWORD.match(word):
            raise invalid_properties(name, because="that is no keyword")
        else:
            words.append(word)
    if len(words) > MAX_KEYWORDS or any(len(word) > MAX_KEYWORD_LENGTH for word in words):
        raise SetError("tooManyKeywords", f"at most {MAX_KEYWORDS} of {MAX_KEYWORD_LENGTH} characters")
    return Marks(flags, tuple(sorted(words)))


def mailboxes_of(given: object, boxes: Mapping[int, Mailbox]) -> tuple[MailboxId, ...]:
    """A set of mailboxes that exist. Errors: SetError."""
    if not isinstance(given, dict) or not given or not all(value is True for value in given.values()):
        raise invalid_properties("mailboxIds", because="a set of one mailbox at least, with true for each")
    numbers = [number_of(MAILBOX_LETTER, id) for id in given]
    if any(number is None or number not in boxes for number in numbers):
        raise invalid_properties("mailboxIds", because="there is no such mailbox")
    if len(numbers) > MAX_MAILBOXES_PER_EMAIL:
        raise SetError("tooManyMailboxes", f"at most {MAX_MAILBOXES_PER_EMAIL}")
    return tuple(sorted(MailboxId(number) for number in numbers if number is not None))


async def boxes_of(call: Call, account: Account) -> dict[int, Mailbox]:
    """The mailboxes of an account by number."""
    return {int(box.id): box for box in await call.view.mailboxes(account.id)}


# --- creating ----------------------------------------------------------------------------------------


async def indexed(octets: bytes) -> MessageIndex:
    """The index of a mail; that of a large one is made outside the event loop."""
    return index(octets) if len(octets) < INDEXED_HERE else await asyncio.to_thread(index, octets)


async def with_line_ends(octets: bytes) -> bytes:
    """A mail without CRLF, as Unix keeps it, has CRLF for each LF (RFC 5322 section 2.1): what is imported
    may be repaired, and has another blobId then (RFC 8621 section 4.8). One that has both is as it is."""
    if b"\r\n" in octets or b"\n" not in octets:
        return octets
    if len(octets) < INDEXED_HERE:
        return octets.replace(b"\n", b"\r\n")
    return await asyncio.to_thread(octets.replace, b"\n", b"\r\n")


@dataclass(frozen=True, slots=True)
class Filing:
    """Where a new mail goes, and how it is marked."""

    marks: Marks
    mailboxes: tuple[MailboxId, ...]
    date: int
    """Seconds since the epoch; 0: now."""


def filing_of(record: Record, boxes: Mapping[int, Mailbox]) -> Filing:
    """What a record says of it. Errors: SetError."""
    return Filing(
        *together(
            lambda: marks_of(record.get("keywords", {})),
            lambda: mailboxes_of(record.get("mailboxIds"), boxes),
            lambda: _date(record.get("receivedAt")),
        )
    )


def together(*checks: Callable[[], Any]) -> list[Any]:
    """The values of all. Errors: SetError, with all the properties that any of them found wrong."""
    made: list[Any] = []
    wrong: list[str] = []
    because: list[str] = []
    for check in checks:
        try:
            made.append(check())
        except SetError as error:
            if error.type != "invalidProperties":
                raise
            named: Any = error.properties["properties"]
            wrong += named
            because.append(error.description)
    if wrong:
        raise invalid_properties(*dict.fromkeys(wrong), because="; ".join(filter(None, because)))
    return made


async def append(call: Call, octets: bytes, filing: Filing, boxes: Mapping[int, Mailbox]) -> Record:
    """Put a mail into mailboxes. Errors: MailError."""
    first, *also = filing.mailboxes
    marks, words = filing.marks, spelled(filing.marks.words, boxes[first].keywords)
    append = Append(
        call.account.id, first, 0, marks.flags, words, internal_date=filing.date, also=tuple(also)
    )
    loan = call.account.loan
    operations = (append,) if loan is None else appending(call.account, loan, append)
    content = Content(octets, await indexed(octets))
    done, *_ = await call.services.store.commit(
        Transaction(operations, (content,), tenant=call.account.tenant)
    )
    assert isinstance(done, Appended)
    (row,) = await call.services.store.fragments(call.account.id, [done.email])
    return {
        "id": object_id(EMAIL_LETTER, done.email),
        "blobId": name_of(row.blob),
        "threadId": object_id(THREAD_LETTER, done.thread),
        "size": row.size,
    }


def _date(given: object) -> int:
    if given is None:
        return 0
    try:
        return read_date(msgspec.convert(given, UTCDate))
    except (msgspec.ValidationError, ValueError) as error:
        raise invalid_properties("receivedAt", because="that is no date in UTC") from error


async def create(call: Call, record: Record, boxes: Mapping[int, Mailbox]) -> Record:
    """Make a mail of an Email object. Errors: SetError, MailError."""
    contents: dict[str, bytes] = {}
    missing: list[str] = []
    for name in blobs_of(record):
        try:
            contents[name] = await call.blobs.octets(call.account.id, call.exchange.real(name) or name)
        except (NoSuchMessage, DamagedContent):
            missing.append(name)
        if sum(map(len, contents.values())) > MAX_SIZE_ATTACHMENTS:
            raise SetError("tooLarge", f"at most {MAX_SIZE_ATTACHMENTS} octets", maxSize=MAX_SIZE_ATTACHMENTS)
    if missing:
        raise SetError("blobNotFound", notFound=missing)
    host = call.services.settings().server.hostname
    pieces = Pieces(
        contents, int(call.services.clock.now()), f"{secrets.token_hex(16)}@{host}", secrets.token_hex(12)
    )
    filing, octets = together(lambda: filing_of(record, boxes), lambda: compose_email(record, pieces))
    return await append(call, octets, filing, boxes)


# --- changing ----------------------------------------------------------------------------------------


def wanted_of(update: Update, boxes: Mapping[int, Mailbox]) -> Wanted:
    """What is to be done. Errors: SetError."""
    before, changed = update.record, update.changed
    on = off = Marks(0, ())
    if "keywords" in changed:
        was, now = marks_of(before["keywords"]), marks_of(changed["keywords"])
        on = Marks(now.flags & ~was.flags, tuple(set(now.words) - set(was.words)))
        off = Marks(was.flags & ~now.flags, tuple(set(was.words) - set(now.words)))
    into: tuple[MailboxId, ...] = ()
    out_of: tuple[MailboxId, ...] = ()
    if "mailboxIds" in changed:
        mine, wanted = mailboxes_of(before["mailboxIds"], boxes), mailboxes_of(changed["mailboxIds"], boxes)
        into = tuple(each for each in wanted if each not in mine)
        out_of = tuple(each for each in mine if each not in wanted)
    return Wanted(on.flags, off.flags, frozenset(on.words), frozenset(off.words), into, out_of)


def change_of(
    call: Call, id: str, update: Update, boxes: Mapping[int, Mailbox], lent: Mapping[int, Rows]
) -> tuple[Operation, ...]:
    """What does it. Errors: SetError."""
    number = number_of(EMAIL_LETTER, id)
    assert number is not None
    wanted = wanted_of(update, boxes)
    if not wanted:
        return ()
    loan = call.account.loan
    if loan is not None:
        if number not in lent:
            raise SetError("notFound")
        return changing(call.account, loan, wanted, lent[number], boxes)
    mine = mailboxes_of(update.record["mailboxIds"], boxes)
    in_use = {word for box in mine for word in boxes[box].keywords}
    gone = tuple(word for word in in_use if word.lower() in wanted.words_off)
    words = spelled(tuple(wanted.words_on), in_use)
    change = ChangeEmail(
        call.account.id, EmailId(number), wanted.on, wanted.off, words, gone, None, wanted.into, wanted.out_of
    )
    return (change,)


async def update(call: Call, updates: Mapping[str, Update]) -> dict[str, Record | SetError | None]:
    """All of them together, or each for itself."""
    boxes = await boxes_of(call, call.account)
    done: dict[str, Record | SetError | None] = {}
    ready: dict[str, tuple[Operation, ...]] = {}
    lent = await _lent(call, updates)
    for id, each in updates.items():
        try:
            operations = change_of(call, id, each, boxes, lent)
        except SetError as error:
            done[id] = error
            continue
        done[id] = None
        if operations:
            ready[id] = operations
    if not ready:
        return done
    commit = call.services.store.commit
    try:
        await commit(Transaction(tuple(chain.from_iterable(ready.values())), tenant=call.account.tenant))
    except MailError:
        for id, operations in ready.items():
            try:
                await commit(Transaction(operations, tenant=call.account.tenant))
            except MailError as error:
                done[id] = set_error(error)
    return done


async def _lent(call: Call, ids: Iterable[str]) -> Mapping[int, Rows]:
    """What is seen of emails in another's account."""
    loan = call.account.loan
    if loan is None:
        return {}
    return await rows_of(loan, [EmailId(n) for id in ids if (n := number_of(EMAIL_LETTER, id)) is not None])


async def destroy(call: Call, ids: Sequence[str]) -> dict[str, SetError | None]:
    """Out of every mailbox."""
    if call.account.loan is not None:
        return await _destroy_lent(call, call.account.loan, ids)
    numbers = {id: EmailId(number) for id in ids if (number := number_of(EMAIL_LETTER, id)) is not None}
    gone: frozenset[int] = frozenset()
    if numbers:
        operation = DestroyEmails(call.account.id, tuple(numbers.values()))
        (done,) = await call.services.store.commit(Transaction((operation,), tenant=call.account.tenant))
        assert isinstance(done, Destroyed)
        gone = frozenset(done.emails)
    return {id: None if numbers.get(id) in gone else SetError("notFound") for id in ids}


async def _destroy_lent(call: Call, loan: Loan, ids: Sequence[str]) -> dict[str, SetError | None]:
    """Out of every mailbox where the reader sees it, each email for itself."""
    lent = await _lent(call, ids)
    done: dict[str, SetError | None] = dict.fromkeys(ids, SetError("notFound"))
    for id in ids:
        rows = lent.get(number_of(EMAIL_LETTER, id) or 0)
        if rows is None:
            continue
        try:
            operations = destroying(call.account, loan, rows)
            await call.services.store.commit(Transaction(operations, tenant=call.account.tenant))
            done[id] = None
        except SetError as error:
            done[id] = error
        except MailError as error:
            done[id] = set_error(error)
    return done
