"""BODY[...], BINARY[...] and RFC822 items: octets of messages by the offsets of their index.

Small messages are read whole and many at once; of a large one only the range that was asked for is read,
and sent piece by piece. RFC 9051 section 6.4.5; RFC 3516 for BINARY.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from a3mailer.access.indexes import index_of
from a3mailer.edge.connection import ConnectionLost
from a3mailer.edge.imap import events
from a3mailer.edge.imap.fetching import Chunk, Outcome, Plan, fragments, heads
from a3mailer.edge.imap.replies import UnknownEncoding
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import DamagedContent, NoSuchMessage, TryLater
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import Uid
from a3mailer.mail.message import MessageIndex
from a3mailer.mail.message.encodings import decode
from a3mailer.mail.message.headers import header_end, select
from a3mailer.store.operations import Flagged, StoreFlags
from a3mailer.store.rows import Message
from a3mailer.wire.imap.encode import flag_list
from a3mailer.wire.imap.fetch import Kind, Section

NUL_SHOWN: Final = b"\x80"
"""In place of a NUL, which no literal may hold; as Dovecot has it."""
WHOLE: Final = 256 * 1024
"""Octets up to which a message is read whole; of larger ones ranges are read."""
PIECE: Final = 1024 * 1024
"""Octets of a large section sent at once."""
_NOBODY: Final[frozenset[int]] = frozenset()
_ENCODINGS: Final = frozenset((b"", b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"))


@dataclass(frozen=True, slots=True)
class Source:
    """One message to read from: its octets where they were read whole."""

    row: Message | None
    """None where the octets are all that is needed."""
    index: MessageIndex | None
    octets: bytes | None
    damaged: bool

    @property
    def size(self) -> int:
        """Octets of the message."""
        return len(self.octets or b"") if self.row is None else self.row.size


class Reading:
    """What the lines of one chunk are made of, besides the sections."""

    __slots__ = ("before", "chunk", "heads", "plan", "tails")

    def __init__(
        self, chunk: Chunk, plan: Plan, seen: frozenset[int], before: list[list[bytes]], *, condstore: bool
    ) -> None:
        self.chunk = chunk
        self.plan = plan
        self.before = before
        self.heads = heads(chunk, plan)
        self.tails = {
            uid: self._tail(at, condstore=condstore)
            for uid, at in zip(chunk.uids, chunk.places, strict=True)
            if uid in seen
        }

    def begin(self, out: list[bytes], number: int) -> None:
        """``* n FETCH (`` and all that comes before the sections."""
        out.append(self.heads[number])
        for item, values in zip(self.plan.fragments, self.before, strict=True):
            out.append(b"%b %b " % (item.value, values[number]))

    def _tail(self, place: int, *, condstore: bool) -> bytes:
        """FLAGS where reading changed them, and MODSEQ for who follows it."""
        bits, words, modseq = self.chunk.view.shown(place)
        flags = b"" if self.plan.flags else b" FLAGS (%b)" % flag_list(bits, words)
        return flags + b" MODSEQ (%d)" % modseq if condstore and not self.plan.modseq else flags

    def end(self, out: list[bytes], number: int) -> None:
        """The end of the line."""
        if self.tails:
            out.append(self.tails.get(self.chunk.uids[number], b""))
        out.append(b")\r\n")


async def begin(session: Session, chunk: Chunk, plan: Plan) -> Reading:
    """Mark as seen, read fragments. Errors: TryLater."""
    seen = await _mark_seen(session, chunk) if plan.sets_seen else _NOBODY
    before = [await fragments(session, chunk, item) for item in plan.fragments]
    reading = Reading(chunk, plan, seen, before, condstore=session.condstore)
    session.name_keywords()
    return reading


async def said(session: Session, chunk: Chunk, plan: Plan, outcome: Outcome) -> AsyncIterator[bytes]:
    """FETCH responses of a chunk, rows read before. Errors: UnknownEncoding, ConnectionLost, TryLater."""
    reading = await begin(session, chunk, plan)
    if max(chunk.sizes(), default=0) <= WHOLE:
        yield await lines(session, reading, outcome)
    else:
        async for octets in large_lines(session, reading, outcome):
            yield octets


async def lines(session: Session, reading: Reading, outcome: Outcome) -> bytes:
    """FETCH responses of a chunk of small messages, rows read before. Errors: UnknownEncoding."""
    plan, chunk = reading.plan, reading.chunk
    sources = await _sources(session, chunk, plan.sections)
    out: list[bytes] = []
    for number, source in _found(chunk, sources, outcome):
        reading.begin(out, number)
        small(out, source, plan.sections)
        reading.end(out, number)
    return b"".join(out)


def _found(chunk: Chunk, sources: Mapping[int, Source], outcome: Outcome) -> list[tuple[int, Source]]:
    """(number in the chunk, source) of the messages that are there."""
    found = [(number, sources[uid]) for number, uid in enumerate(chunk.uids) if uid in sources]
    outcome.missing |= len(found) < len(chunk.uids)
    outcome.damaged |= any(source.damaged for _, source in found)
    return found


async def large_lines(session: Session, reading: Reading, outcome: Outcome) -> AsyncIterator[bytes]:
    """The same where some are large. Errors: UnknownEncoding, ConnectionLost."""
    chunk, sections = reading.chunk, reading.plan.sections
    sources = await _sources(session, chunk, sections)
    out: list[bytes] = []
    for number, source in _found(chunk, sources, outcome):
        reading.begin(out, number)
        if source.octets is not None or source.damaged:
            small(out, source, sections)
        else:
            async for octets in _large(session, source, sections, out):
                yield octets
        reading.end(out, number)
    yield b"".join(out)


def plain(session: Session, chunk: Chunk, plan: Plan) -> bool:
    """Whether these are whole small messages, and reading them changes nothing."""
    if not plan.whole or (plan.sets_seen and not session.chosen.read_only):
        return False
    return max(chunk.sizes(), default=0) <= WHOLE


async def whole(session: Session, chunk: Chunk, plan: Plan, outcome: Outcome) -> bytes:
    """FETCH responses of whole small messages and columns: the most common case at its cheapest."""
    contents = await session.services.store.contents(*session.chosen.key, chunk.uids)
    if len(contents) < len(chunk.uids):
        outcome.missing = True
        chunk = Chunk(
            chunk.view, [at for at, uid in zip(chunk.places, chunk.uids, strict=True) if uid in contents]
        )
    found = [contents[uid] for uid in chunk.uids]
    out = [b")\r\n"] * (4 * len(found))
    out[0::4] = heads(chunk, plan, plan.sections[0].label.decode("ascii"))
    out[1::4] = [b" NIL" if one is None else b" {%d}\r\n" % len(one) for one in found]
    out[2::4] = [one or b"" for one in found]
    outcome.damaged |= None in found
    return without_nul(b"".join(out))


# --- \Seen ---------------------------------------------------------------------------------------------


async def _mark_seen(session: Session, chunk: Chunk) -> frozenset[int]:
    """Reading sets \\Seen, once; the uids that were not."""
    view = chunk.view
    selected = session.chosen
    if selected.read_only or "s" not in selected.rights:
        return frozenset()
    unseen = tuple(Uid(view.uids[at]) for at in chunk.places if not view.flags(at)[0] & SEEN)
    if not unseen:
        return frozenset()
    had = await events.before(session, unseen)
    change = StoreFlags(*selected.key, unseen, "+", SEEN, reader=selected.reader)
    (result,) = await session.commit(change)
    assert isinstance(result, Flagged)
    if result.changed:
        mailbox = view.mailbox
        if not mailbox.flagged(result.changed, result.modseq, lambda bits, words: (bits | SEEN, words)):
            mailbox.hint(result.modseq)
            await mailbox.refresh()
        view.own(result.modseq)
        await events.flagged(session, had, result.changed)
    return frozenset(result.changed)


# --- reading -------------------------------------------------------------------------------------------


def _needs_index(section: Section, row: Message) -> bool:
    """A message read whole shows by itself where its own header ends; parts are found by the index."""
    return bool(section.part) or (bool(section.text) and row.size > WHOLE)


async def _sources(session: Session, chunk: Chunk, sections: Sequence[Section]) -> dict[int, Source]:
    store, account = session.services.store, session.chosen.account
    rows = [chunk.rows[uid] for uid in chunk.uids]
    indexed = [row for row in rows if any(_needs_index(section, row) for section in sections)]
    indexes: dict[int, MessageIndex] = {}
    if indexed:
        found = await store.fragments(account, [row.email for row in indexed])
        for one in found:
            with suppress(DamagedContent, NoSuchMessage):
                indexes[one.email] = await index_of(store, account, one)
        gone = {row.uid for row in indexed if row.email not in indexes}
        rows = [row for row in rows if row.uid not in gone]
    small = [row for row in rows if row.size <= WHOLE]
    contents = await store.many_octets(account, [row.blob for row in small]) if small else []
    sources: dict[int, Source] = {
        row.uid: Source(row, indexes.get(row.email), octets, octets is None)
        for row, octets in zip(small, contents, strict=True)
    }
    for row in rows:
        if row.size > WHOLE:
            sources[row.uid] = Source(row, indexes.get(row.email), None, damaged=False)
    return sources


def _range(source: Source, section: Section) -> tuple[int, int] | None:
    """Where the octets of a section are in the message; None when there is no such section."""
    if not section.part and not section.text:
        return 0, source.size
    kind = "HEADER" if section.names else section.text
    if source.index is not None:
        return source.index.section(section.part, kind)
    octets = source.octets or b""
    end = header_end(octets, 0, len(octets))
    return (0, end) if kind == "HEADER" else (end, len(octets))


def _finished(source: Source, section: Section, octets: bytes) -> bytes:
    """What the section is, from the octets of its range: fields chosen, encoding undone, part cut."""
    if section.names:
        octets = select(octets, 0, len(octets), section.names, section.text == "NOT")
    elif section.kind is not Kind.BODY and section.part:
        assert source.index is not None
        part = source.index.part(section.part)
        if part is not None:
            if part.encoding not in _ENCODINGS:
                raise UnknownEncoding
            octets = decode(octets, part.encoding)
    if section.start is None:
        return octets
    return octets[section.start : section.start + section.size]


def _label(section: Section) -> bytes:
    return section.label if section.start is None else b"%b<%d>" % (section.label, section.start)


# literal = "{" number64 ["+"] "}" CRLF *CHAR8        CHAR8 = %x01-ff
def without_nul(octets: bytes) -> bytes:
    """What a literal may hold (RFC 9051 section 9); ``BINARY[]`` has the octets as they are (RFC 3516)."""
    return octets.replace(b"\0", NUL_SHOWN) if b"\0" in octets else octets


def _add(out: list[bytes], section: Section, octets: bytes | None) -> None:
    """The item, ready to send."""
    if section.kind is Kind.BINARY_SIZE:
        out.append(b"%b %d" % (_label(section), len(octets or b"")))
    elif octets is None:
        out.append(_label(section) + b" NIL")
    else:
        if section.kind is Kind.BODY:
            octets = without_nul(octets)
        binary = b"~" if section.kind is Kind.BINARY and b"\0" in octets else b""
        out.append(b"%b %b{%d}\r\n" % (_label(section), binary, len(octets)))
        out.append(octets)


def small(out: list[bytes], source: Source, sections: Sequence[Section]) -> None:
    """The items of a message that was read whole (or is damaged: NIL)."""
    octets = source.octets
    for number, section in enumerate(sections):
        if number:
            out.append(b" ")
        span = None if octets is None else _range(source, section)
        if octets is None or span is None:
            _add(out, section, None)
        else:
            _add(out, section, _finished(source, section, octets[span[0] : span[1]]))


async def _large(
    session: Session, source: Source, sections: Sequence[Section], out: list[bytes]
) -> AsyncIterator[bytes]:
    """The items of one large message; what is in ``out`` goes first."""
    for number, section in enumerate(sections):
        if number:
            out.append(b" ")
        span = _range(source, section)
        if span is None:
            _add(out, section, None)
            continue
        start, end = span
        if section.kind is not Kind.BODY or section.names:
            octets = await _read(session, source.row, start, end)
            _add(out, section, _finished(source, section, octets))
            continue
        if section.start is not None:
            start = min(start + section.start, end)
            end = min(end, start + section.size)
        first = without_nul(await _read(session, source.row, start, min(end, start + PIECE)))
        out.append(b"%b {%d}\r\n" % (_label(section), end - start))
        out.append(first)
        for at in range(start + PIECE, end, PIECE):
            yield b"".join(out)
            out.clear()
            try:
                out.append(without_nul(await _read(session, source.row, at, min(end, at + PIECE))))
            except (DamagedContent, NoSuchMessage, TryLater) as error:  # its size was said: no way back
                raise ConnectionLost("a content that cannot be read, in the middle of a literal") from error


async def _read(session: Session, row: Message | None, start: int, end: int) -> bytes:
    if start >= end or row is None:
        return b""
    return await session.services.store.octets(session.chosen.account, row.blob, start, end)
