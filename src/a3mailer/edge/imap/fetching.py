"""FETCH responses, made of columns: numbers are formatted and fragments joined for many messages at once.

A chunk is a range of places (or a list of them). What is text goes through one format string for the whole
chunk, what is octets (fragments, sections) is spliced in between and joined: no work per message and item.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from a3mailer.access.view import View
from a3mailer.edge.imap.session import Session
from a3mailer.mail.ids import EmailId
from a3mailer.mail.message.structure import without_extension
from a3mailer.store.rows import Columns, Message
from a3mailer.wire.imap.dates import print_date_time
from a3mailer.wire.imap.encode import FLAG_WORDS, string
from a3mailer.wire.imap.fetch import FetchItems, Item
from a3mailer.wire.imap.search import EMAIL_LETTER, THREAD_LETTER

Places = range | list[int]
FLAGTEXT: Final = tuple(words.decode("ascii") for words in FLAG_WORDS)
_ROWS: Final = frozenset((Item.INTERNALDATE, Item.SAVEDATE, Item.THREADID))
"""Items that need the message's row."""


class Chunk:
    """Some messages of a view, with their rows once they were read."""

    __slots__ = ("places", "rows", "uids", "view")

    def __init__(self, view: View, places: Places) -> None:
        self.view = view
        self.places = places
        self.uids = gather(view.columns.uids, places)
        self.rows: dict[int, Message] = {}

    @property
    def columns(self) -> Columns:
        return self.view.columns

    def only(self, places: list[int]) -> Chunk:
        """The same, of some of the places."""
        chunk = Chunk(self.view, places)
        chunk.rows = self.rows
        return chunk

    def emails(self) -> Sequence[int]:
        """The email ids, in order."""
        return gather(self.columns.emails, self.places)


def gather(column: Sequence[int], places: Places) -> Sequence[int]:
    """The values of a column at places; a slice where they are a range."""
    if isinstance(places, range):
        return column[places.start : places.stop]
    return [column[at] for at in places]


def needs_rows(wanted: FetchItems) -> bool:
    """Whether the rows of the messages are needed."""
    return bool(wanted.sections) or not _ROWS.isdisjoint(wanted.items)


# --- text items ----------------------------------------------------------------------------------------


def _flags(chunk: Chunk) -> Iterable[str]:
    view, columns = chunk.view, chunk.columns
    if not view.current:
        return [_flag_text(*view.flags(at)[:2]) for at in chunk.places]
    bits = gather(columns.flags, chunk.places)
    words = [FLAGTEXT[one] for one in bits]
    keywords = columns.keywords
    if not keywords:
        return words
    for number, uid in enumerate(chunk.uids):
        if uid in keywords:
            words[number] = _flag_text(bits[number], keywords[uid])
    return words


def _flag_text(bits: int, keywords: str) -> str:
    words = FLAGTEXT[bits]
    return f"{words} {keywords}" if words and keywords else words or keywords


def _modseqs(chunk: Chunk) -> Iterable[int]:
    if chunk.view.current:
        return gather(chunk.columns.modseqs, chunk.places)
    return [chunk.view.flags(at)[2] for at in chunk.places]


def _dates(chunk: Chunk) -> Iterable[str]:
    return [print_date_time(chunk.rows[uid].internal_date).decode("ascii") for uid in chunk.uids]


def _saved_dates(chunk: Chunk) -> Iterable[str]:
    return [print_date_time(chunk.rows[uid].saved_date).decode("ascii") for uid in chunk.uids]


TEXT: Final[dict[Item, tuple[str, Callable[[Chunk], Iterable[object]]]]] = {
    Item.UID: ("UID %d", lambda chunk: chunk.uids),
    Item.FLAGS: ("FLAGS (%s)", _flags),
    Item.MODSEQ: ("MODSEQ (%d)", _modseqs),
    Item.SIZE: ("RFC822.SIZE %d", lambda chunk: gather(chunk.columns.sizes, chunk.places)),
    Item.EMAILID: (f"EMAILID ({EMAIL_LETTER.decode()}%d)", lambda chunk: chunk.emails()),
    Item.THREADID: (
        f"THREADID ({THREAD_LETTER.decode()}%d)",
        lambda chunk: [chunk.rows[uid].thread for uid in chunk.uids],
    ),
    Item.INTERNALDATE: ("INTERNALDATE %s", _dates),
    Item.SAVEDATE: ("SAVEDATE %s", _saved_dates),
}


# --- fragment items ------------------------------------------------------------------------------------


async def fragments(session: Session, chunk: Chunk, item: Item) -> list[bytes]:
    """The wire form of ENVELOPE, BODYSTRUCTURE, BODY or PREVIEW for a chunk; b"" where a message is gone."""
    store, account = session.services.store, session.account
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


async def lines(session: Session, chunk: Chunk, items: Sequence[Item]) -> tuple[bytes, bool]:
    """``* n FETCH (...)`` of a chunk for items without sections, and whether all messages are still there."""
    texts = [item for item in items if item in TEXT]
    others = [item for item in items if item not in TEXT]
    if not others:
        return formatted(chunk, texts, " ".join(TEXT[item][0] for item in texts) + ")\r\n"), True
    pieces = [await fragments(session, chunk, item) for item in others]
    complete = all(all(values) for values in pieces)
    if not complete:
        kept = [all(values) for values in zip(*pieces, strict=True)]
        pieces = [[one for one, keep in zip(values, kept, strict=True) if keep] for values in pieces]
        chunk = chunk.only([at for at, keep in zip(chunk.places, kept, strict=True) if keep])
    count = len(chunk.places)
    stride = 2 * len(others) + 1
    out = [b")\r\n"] * (stride * count)
    out[0::stride] = heads(chunk, texts, others[0].value + b" ")
    for number, values in enumerate(pieces):
        out[2 * number + 1 :: stride] = values
        if number:
            out[2 * number :: stride] = [b" %b " % others[number].value] * count
    return b"".join(out), complete


def heads(chunk: Chunk, texts: Sequence[Item], after: bytes) -> list[bytes]:
    """``* n FETCH (`` with the text items and then ``after``, one for each message."""
    line = "".join(TEXT[item][0] + " " for item in texts) + after.decode("ascii").replace("%", "%%") + "\n"
    return formatted(chunk, texts, line).split(b"\n")[:-1]


def formatted(chunk: Chunk, texts: Sequence[Item], line: str) -> bytes:
    """One format string for the whole chunk."""
    count = len(chunk.places)
    stride = len(texts) + 1
    values: list[object] = [None] * (stride * count)
    values[0::stride] = [at + 1 for at in chunk.places]
    for number, item in enumerate(texts, 1):
        values[number::stride] = TEXT[item][1](chunk)
    return ((f"* %d FETCH ({line}") * count % tuple(values)).encode("ascii")
