"""FETCH responses, made of columns: numbers are formatted and fragments joined for many messages at once.

A chunk is a range of places (or a list of them). What is text goes through one format string for the whole
chunk, what is octets (fragments, sections) is spliced in between and joined: no work per message and item.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from a3mailer.access.recents import marked
from a3mailer.access.view import View
from a3mailer.edge.imap.response import Failed
from a3mailer.edge.imap.session import Session
from a3mailer.mail.ids import EmailId, Uid
from a3mailer.mail.message.structure import without_extension
from a3mailer.store.rows import Message
from a3mailer.wire.imap.dates import print_date_time
from a3mailer.wire.imap.encode import FLAG_WORDS, string
from a3mailer.wire.imap.fetch import FetchItems, Item, Kind, Section
from a3mailer.wire.imap.search import EMAIL_LETTER, THREAD_LETTER

Places = range | list[int]
FLAG_TEXT: Final = tuple(words.decode("ascii") for words in FLAG_WORDS)
DAMAGED: Final = Failed(b"CORRUPTION", b"some messages are damaged and came as NIL")
MISSING: Final = Failed(b"EXPUNGEISSUED", b"some messages no longer exist")


class Chunk:
    """Some messages of a view, with their rows once they were read."""

    __slots__ = ("places", "rows", "uids", "view")

    def __init__(self, view: View, places: Places, rows: dict[int, Message] | None = None) -> None:
        self.view = view
        self.places = places
        self.uids = gather(view.columns.uids, places)
        self.rows = rows or {}

    def emails(self) -> Sequence[int]:
        """The email ids, in order."""
        return gather(self.view.columns.emails, self.places)

    def sizes(self) -> Sequence[int]:
        """The octets of each message, in order."""
        return gather(self.view.columns.sizes, self.places)


@dataclass(slots=True)
class Outcome:
    """What went wrong on the way, for the tagged answer."""

    damaged: bool = False
    missing: bool = False


def gather(column: Sequence[int], places: Places) -> Sequence[int]:
    """The values of a column at places; a slice where they are a range."""
    if isinstance(places, range):
        return column[places.start : places.stop]
    return [column[at] for at in places]


# --- text items ----------------------------------------------------------------------------------------


def _flags(chunk: Chunk) -> Iterable[str]:
    view, columns = chunk.view, chunk.view.columns
    if not view.current:
        return [flag_text(*view.shown(at)[:2]) for at in chunk.places]
    bits = gather(columns.flags, chunk.places)
    if recent := view.recent:
        bits = marked(bits, chunk.places, recent)
    words = [FLAG_TEXT[one] for one in bits]
    keywords = columns.keywords
    if not keywords:
        return words
    for number, uid in enumerate(chunk.uids):
        if uid in keywords:
            words[number] = flag_text(bits[number], keywords[uid])
    return words


def flag_text(bits: int, keywords: str) -> str:
    """What goes between the parentheses of FLAGS."""
    words = FLAG_TEXT[bits]
    return f"{words} {keywords}" if words and keywords else words or keywords


def _modseqs(chunk: Chunk) -> Iterable[int]:
    if chunk.view.current:
        return gather(chunk.view.columns.modseqs, chunk.places)
    return [chunk.view.flags(at)[2] for at in chunk.places]


def _owned(chunk: Chunk, numbers: Sequence[int]) -> Iterable[object]:
    """Numbers of mails and threads, which are each account's: with that of another (RFC 8474)."""
    mailbox = chunk.view.mailbox
    return [f"{number}-{mailbox.account}" for number in numbers] if mailbox.reader else numbers


Text = tuple[str, Callable[[Chunk], Iterable[object]]]
_TEXT: Final[dict[Item, Text]] = {
    Item.UID: ("UID %d", lambda chunk: chunk.uids),
    Item.FLAGS: ("FLAGS (%s)", _flags),
    Item.MODSEQ: ("MODSEQ (%d)", _modseqs),
    Item.SIZE: ("RFC822.SIZE %d", Chunk.sizes),
    Item.EMAILID: (f"EMAILID ({EMAIL_LETTER.decode()}%s)", lambda chunk: _owned(chunk, chunk.emails())),
    Item.THREADID: (
        f"THREADID ({THREAD_LETTER.decode()}%s)",
        lambda chunk: _owned(chunk, [chunk.rows[uid].thread for uid in chunk.uids]),
    ),
    Item.INTERNALDATE: (
        "INTERNALDATE %s",
        lambda chunk: [print_date_time(chunk.rows[uid].internal_date) for uid in chunk.uids],
    ),
    Item.SAVEDATE: (
        "SAVEDATE %s",
        lambda chunk: [print_date_time(chunk.rows[uid].saved_date) for uid in chunk.uids],
    ),
}
_ROWS: Final = (Item.INTERNALDATE, Item.SAVEDATE, Item.THREADID)
"""Items that need the message's row."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one kind of FETCH is answered; made once for each spelling of it."""

    head: str
    """The format of ``* n FETCH (`` and the text items, each followed by a space."""
    values: tuple[Callable[[Chunk], Iterable[object]], ...]
    """What fills it, besides the number."""
    fragments: tuple[Item, ...]
    sections: tuple[Section, ...]
    rows: bool
    """Whether the rows of the messages are needed."""
    flags: bool
    """Whether FLAGS was asked for."""
    sets_seen: bool
    modseq: bool
    dated: bool
    """Whether text items need the rows."""
    whole: bool
    """Whether whole messages are all it takes, besides columns."""
    alone: bool
    """Whether it takes no more than the row of a message, and octets that show where its header ends."""
    by_uid: bool = False
    """Whether messages are named by their uids (RFC 9586)."""


def make_plan(wanted: FetchItems, *, by_uid: bool = False) -> Plan:
    """The plan for these items."""
    texts = [_TEXT[item] for item in wanted.items if item in _TEXT]
    fragments = tuple(item for item in wanted.items if item not in _TEXT)
    dated = any(item in wanted.items for item in _ROWS)
    return Plan(
        ("* %d UIDFETCH (" if by_uid else "* %d FETCH (") + "".join(text + " " for text, _values in texts),
        tuple(values for _text, values in texts),
        fragments,
        wanted.sections,
        dated or bool(wanted.sections),
        Item.FLAGS in wanted.items,
        wanted.sets_seen,
        Item.MODSEQ in wanted.items,
        dated,
        not fragments and not dated and len(wanted.sections) == 1 and is_whole(wanted.sections[0]),
        not fragments
        and (bool(wanted.sections) or not dated)
        and not any(section.part for section in wanted.sections),
        by_uid,
    )


def is_whole(section: Section) -> bool:
    """BODY[] or RFC822, all of it."""
    return section.kind is Kind.BODY and not section.part and not section.text and section.start is None


def formatted(chunk: Chunk, plan: Plan, line: str) -> bytes:
    """One format string for the whole chunk."""
    count = len(chunk.places)
    stride = len(plan.values) + 1
    values: list[object] = [None] * (stride * count)
    values[0::stride] = chunk.uids if plan.by_uid else [at + 1 for at in chunk.places]
    for number, fill in enumerate(plan.values, 1):
        values[number::stride] = fill(chunk)
    return (line * count % tuple(values)).encode("ascii")


def heads(chunk: Chunk, plan: Plan, after: str = "") -> list[bytes]:
    """``* n FETCH (`` with the text items and then ``after``, one for each message."""
    return formatted(chunk, plan, f"{plan.head}{after}\n").split(b"\n")[:-1]


# --- fragment items ------------------------------------------------------------------------------------


async def fragments(session: Session, chunk: Chunk, item: Item) -> list[bytes]:
    """The wire form of ENVELOPE, BODYSTRUCTURE, BODY or PREVIEW for a chunk; b"" where a message is gone."""
    store, account = session.services.store, session.chosen.account
    emails = array("Q", chunk.emails())
    if item is Item.ENVELOPE:
        return await store.envelopes(account, emails)
    if item is Item.PREVIEW:
        found = {one.email: one.preview for one in await store.fragments(account, map(EmailId, emails))}
        return [string(found[EmailId(email)].encode()) if email in found else b"" for email in emails]
    structures = await store.bodystructures(account, emails)
    if item is Item.BODYSTRUCTURE:
        return structures
    return [without_extension(one) for one in structures]


# --- lines ---------------------------------------------------------------------------------------------


async def lines(session: Session, chunk: Chunk, plan: Plan, outcome: Outcome) -> bytes:
    """``* n FETCH (...)`` of a chunk for items without sections."""
    others = plan.fragments
    if not others:
        return formatted(chunk, plan, f"{plan.head[:-1]})\r\n")
    pieces = [await fragments(session, chunk, item) for item in others]
    if not all(all(values) for values in pieces):
        outcome.missing = True
        kept = [all(values) for values in zip(*pieces, strict=True)]
        pieces = [[one for one, keep in zip(values, kept, strict=True) if keep] for values in pieces]
        places = [at for at, keep in zip(chunk.places, kept, strict=True) if keep]
        chunk = Chunk(chunk.view, places, chunk.rows)
    count = len(chunk.places)
    stride = 2 * len(others) + 1
    out = [b")\r\n"] * (stride * count)
    out[0::stride] = heads(chunk, plan, others[0].value.decode("ascii") + " ")
    for number, values in enumerate(pieces):
        out[2 * number + 1 :: stride] = values
        if number:
            out[2 * number :: stride] = [b" %b " % others[number].value] * count
    return b"".join(out)


# --- rows ----------------------------------------------------------------------------------------------


async def with_rows(session: Session, chunk: Chunk, plan: Plan, outcome: Outcome) -> Chunk:
    """The chunk with its rows where the plan needs them, less the messages that have none."""
    if not plan.rows:
        return chunk
    uids = [Uid(uid) for uid in chunk.uids]
    found = await session.services.store.messages(
        session.chosen.account, session.chosen.mailbox, sorted(uids)
    )
    chunk.rows = {row.uid: row for row in found}
    if len(found) == len(uids):
        return chunk
    outcome.missing = True
    kept = [at for at, uid in zip(chunk.places, uids, strict=True) if uid in chunk.rows]
    return Chunk(chunk.view, kept, chunk.rows)
