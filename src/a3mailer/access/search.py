"""Searching a view: a program of criteria evaluated over blocks of messages, cheap keys first.

A block's answer to a key is one number with a bit a message, so AND, OR and NOT of thousands of keys cost
next to nothing. Keys are evaluated in stages (columns, rows, fragments, octets), and a stage reads only the
messages whose fate the stages before it left open. RFC 9051 section 6.4.4.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress, groupby
from operator import lt
from typing import Final

from a3mailer.access import found
from a3mailer.access.labour import Labour
from a3mailer.access.texts import SearchReader, Texts
from a3mailer.access.view import View
from a3mailer.mail.criteria import (
    Arrived,
    Comparison,
    Contains,
    Dated,
    Everything,
    HasFlag,
    HasKeyword,
    Header,
    Leaf,
    ModifiedSince,
    Nothing,
    Numbers,
    Operator,
    Place,
    Program,
    SameEmail,
    SameThread,
    Size,
)
from a3mailer.mail.criteria import Clock as DateClock
from a3mailer.mail.ids import EmailId, Uid
from a3mailer.mail.message.enveloped import addresses_text
from a3mailer.mail.message.searched import fold, needle
from a3mailer.store.rows import Message
from a3mailer.store.texts import Sought, Where

BLOCK: Final = 4096
"""Messages evaluated together."""
WIDE: Final = 16 * BLOCK
"""The same, where the index leaves few of them open."""
OPEN: Final = 16
"""One message of so many is few."""
READ_MESSAGES: Final = 512
"""Rows read at once."""
ASKED: Final = 256
"""Messages of a block that are open: from so many on, the index is asked for the whole mailbox at once."""
FEW: Final = 64
"""Bits that are set one by one in a number of BLOCK bits."""
TESTED: Final = 2000
"""Rows compared with a key before others get their turn."""


_NOTHING: Final[Mapping[Leaf, int]] = {}


def stage(leaf: Leaf) -> int:
    """0 columns, 1 rows, 2 fragments, 3 headers, 4 whole contents."""
    match leaf:
        case Dated(DateClock.SENT) | Contains(Place.SUBJECT | Place.FROM | Place.TO | Place.CC | Place.BCC):
            return 2
        case Dated() | Arrived() | SameThread():
            return 1
        case Header():
            return 3
        case Contains():
            return 4
        case _:
            return 0


def bounds(
    program: Program, known: Mapping[Leaf, int], everyone: int, may: Mapping[Leaf, int] = _NOTHING
) -> tuple[int, int]:
    """Masks of messages that match for certain, and of those that may, given the leaves known so far, and of
    some that are not which messages ``may`` match them."""
    stack: list[tuple[int, int]] = []
    for one in program:
        if one is Operator.NOT:
            low, high = stack.pop()
            stack.append((everyone & ~high, everyone & ~low))
        elif isinstance(one, Operator):
            low2, high2 = stack.pop()
            low1, high1 = stack.pop()
            if one is Operator.AND:
                stack.append((low1 & low2, high1 & high2))
            else:
                stack.append((low1 | low2, high1 | high2))
        else:
            mask = known.get(one)
            stack.append((0, may.get(one, everyone)) if mask is None else (mask, mask))
    low, high = stack.pop()
    return low, high


def mask_of(bits: bytes) -> int:
    """A number from octets ``0`` and ``1``, the first message in the lowest bit."""
    return int(bits[::-1], 2) if bits else 0


_BITS: Final = bytes(octet == 49 for octet in range(256))
"""Of the digits of a mask, whether one is set."""


def members(mask: int) -> list[int]:
    """The places of the bits that are set."""
    count = mask.bit_length()
    if mask.bit_count() == count:
        return list(range(count))
    bits = f"{mask:b}"[::-1].encode()
    if mask.bit_count() > count >> 5:
        return list(compress(range(count), bits.translate(_BITS)))
    places: list[int] = []
    at = bits.find(b"1")
    while at >= 0:
        places.append(at)
        at = bits.find(b"1", at + 1)
    return places


class Search:
    """One search over one view; a step of its labour is a message."""

    __slots__ = (
        "_account",
        "_ascends",
        "_base",
        "_labour",
        "_likely",
        "_narrow",
        "_ranked",
        "_reader",
        "_texts",
        "_view",
        "program",
    )

    def __init__(self, reader: SearchReader, view: View, program: Program, labour: Labour) -> None:
        self._reader = reader
        self._view = view
        self._account = view.mailbox.account
        self._labour = labour
        self._base = labour.done
        self._texts = Texts(reader, self._account, labour)
        self._likely: dict[Leaf, set[int]] | None = None
        """Of texts the emails that may have them, once the index was asked."""
        self._ranked: dict[Leaf, list[int]] = {}
        """The same, ascending."""
        self._ascends = False
        self._narrow = False
        """Whether it ruled out nearly all of the last block."""
        self.program = program

    async def places(self) -> list[int]:
        """Indexes of matching messages, ascending. Errors: TooCostly."""
        matching: list[int] = []
        low, count = 0, self._view.count
        while low < count:
            high = min(low + (WIDE if self._narrow else BLOCK), count)
            mask = await self._block(low, high)
            matching += [low + at for at in members(mask)]
            await self._labour.reach(self._base + high)
            low = high
        return matching

    async def among(self, places: Sequence[int]) -> list[int]:
        """Which of some messages (ascending indexes) match, at the cost of these. Errors: TooCostly."""
        matching: list[int] = []
        for _, near in groupby(places, lambda at: at // BLOCK):
            group = list(near)
            low = group[0]
            wanted = sum(1 << (at - low) for at in group)
            mask = await self._block(low, group[-1] + 1, wanted)
            matching += [low + at for at in members(mask & wanted)]
            await self._labour.step(len(group))
        return matching

    async def _block(self, low: int, high: int, wanted: int = -1) -> int:
        everyone = (1 << (high - low)) - 1
        known: dict[Leaf, int] = {}
        by_stage: dict[int, list[Leaf]] = {}
        for leaf in dict.fromkeys(one for one in self.program if not isinstance(one, Operator)):
            by_stage.setdefault(stage(leaf), []).append(leaf)
        for leaf in by_stage.pop(0, ()):
            known[leaf] = self._column(leaf, low, high, everyone)
            await self._labour.step(0)
        may_match: Mapping[Leaf, int] = _NOTHING
        for number in sorted(by_stage):
            sure, may = bounds(self.program, known, everyone, may_match)
            open_ = may & ~sure & wanted
            if may_match is _NOTHING and (self._likely is not None or open_.bit_count() >= ASKED):
                may_match = await self._ruled_out(low, high)
                sure, may = bounds(self.program, known, everyone, may_match)
                open_ = may & ~sure & wanted
                self._narrow = open_.bit_count() < (high - low) // OPEN
            undecided = members(open_)
            if not undecided:
                return sure
            masks = await self._stages[number](self, by_stage[number], [low + at for at in undecided], low)
            known.update(zip(by_stage[number], masks, strict=True))
        return bounds(self.program, known, everyone)[0]

    async def _ruled_out(self, low: int, high: int) -> dict[Leaf, int]:
        """Which messages of a block may have each of the texts, as far as the index rules some out."""
        if self._likely is None:
            leaves = [leaf for leaf in self.program if isinstance(leaf, Contains | Header)]
            sought = {leaf: one for leaf in leaves if (one := _sought(leaf)) is not None}
            sets = await self._texts.likely(list(sought.values())) if sought else ()
            self._likely = {
                leaf: emails for leaf, emails in zip(sought, sets, strict=True) if emails is not None
            }
            self._ranked = {leaf: sorted(emails) for leaf, emails in self._likely.items()}
            self._ascends = any(map(len, self._ranked.values())) and await self._emails_ascend()
        return {leaf: await self._placed(leaf, low, high) for leaf in self._likely}

    async def _emails_ascend(self) -> bool:
        """Whether the view's emails do, as where nothing was copied or moved here; looked at once."""
        view, mailbox, emails = self._view, self._view.mailbox, self._view.columns.emails
        while view.current and 0 <= mailbox.ascending < view.count:
            first, end = max(mailbox.ascending, 1), min(mailbox.ascending + BLOCK, view.count)
            mailbox.ascending = end if all(map(lt, emails[first - 1 : end - 1], emails[first:end])) else -1
            await self._labour.step(0)
        return view.current and mailbox.ascending >= view.count

    async def _placed(self, leaf: Leaf, low: int, high: int) -> int:
        """A mask of a block's messages of the emails that may have a text."""
        column, ranked = self._view.columns.emails, self._ranked[leaf]
        if self._ascends:
            ranked = ranked[bisect_left(ranked, column[low]) : bisect_right(ranked, column[high - 1])]
        if not ranked:
            return 0
        if self._ascends and len(ranked) < (high - low) // OPEN:
            found = [bisect_left(column, email, low, high) for email in ranked]
            places = [at - low for at, email in zip(found, ranked, strict=True) if column[at] == email]
        else:
            assert self._likely is not None
            having = self._likely[leaf].__contains__
            places = list(compress(range(high - low), map(having, column[low:high])))
        await self._labour.step(0)
        if len(places) > FEW:
            bits = bytearray(b"0" * (high - low))
            for at in places:
                bits[at] = 49
            return mask_of(bytes(bits))
        return sum([1 << at for at in places])

    # --- columns -----------------------------------------------------------------------------------

    def _column(self, leaf: Leaf, low: int, high: int, everyone: int) -> int:
        view = self._view
        columns = view.columns
        match leaf:
            case Everything():
                return everyone
            case HasFlag(bit):
                return mask_of(self._bits(low, high, bit))
            case HasKeyword(keyword):
                return self._keyword(keyword, low, high)
            case Numbers(spans):
                return _spans_mask(spans, low, high)
            case ModifiedSince(modseq):
                return mask_of(bytes(48 + (view.flags(at)[2] >= modseq) for at in range(low, high)))
            case Size(comparison, octets):
                sizes = columns.sizes[low:high]
                if comparison is Comparison.ABOVE:
                    return mask_of(bytes(48 + (size > octets) for size in sizes))
                return mask_of(bytes(48 + (size < octets) for size in sizes))
            case SameEmail(email):
                return mask_of(bytes(48 + (one == email) for one in columns.emails[low:high]))
            case Nothing() | _:
                return 0

    def _bits(self, low: int, high: int, bit: int) -> bytes:
        view = self._view
        if not view.current:
            return bytes(48 + bool(view.flags(at)[0] & bit) for at in range(low, high))
        return bytes(view.columns.flags[low:high]).translate(_FLAG_TABLES[bit])

    def _keyword(self, keyword: str, low: int, high: int) -> int:
        view = self._view
        mask = 0
        keywords = (view.columns if view.current else view.mailbox.columns).keywords
        for uid, words in keywords.items():
            at = view.place(uid)
            if low <= at < high and keyword in words.lower().split(" "):
                mask |= 1 << (at - low)
        return mask

    # --- rows --------------------------------------------------------------------------------------

    async def _rows(self, leaves: Sequence[Leaf], places: list[int], low: int) -> list[int]:
        rows = {row.uid: row for row in await self._messages(places)}
        masks = [0] * len(leaves)
        every = max(1, TESTED // len(leaves))
        for number, at in enumerate(places):
            row = rows.get(Uid(self._view.uids[at]))
            if row is not None:
                _add(masks, at - low, (_row_matches(leaf, row) for leaf in leaves))
            if number % every == every - 1:
                await self._labour.step(0)
        await self._labour.step(0)
        return masks

    async def _messages(self, places: Iterable[int]) -> tuple[Message, ...]:
        uids = [Uid(self._view.uids[at]) for at in places]
        return await self._reader.messages(self._account, self._view.mailbox.id, uids)

    # --- fragments ---------------------------------------------------------------------------------

    async def _fragments(self, leaves: Sequence[Leaf], places: list[int], low: int) -> list[int]:
        masks = [0] * len(leaves)
        emails = self._view.columns.emails
        for first in range(0, len(places), READ_MESSAGES):
            group = places[first : first + READ_MESSAGES]
            wanted = array("Q", [emails[at] for at in group])
            subjects: list[str | None] = []
            envelopes: list[bytes] = []
            for number, leaf in enumerate(leaves):
                if number:
                    await self._labour.step(0)
                if isinstance(leaf, Contains) and leaf.place is Place.SUBJECT:
                    subjects = subjects or await self._reader.subjects(self._account, wanted)
                    text = fold(leaf.text)
                    having = [one is not None and text in fold(one) for one in subjects]
                else:
                    envelopes = envelopes or await self._reader.envelopes(self._account, wanted)
                    having = list(map(_envelope_test(leaf), envelopes))
                for at, has in zip(group, having, strict=True):
                    if has:
                        masks[number] |= 1 << (at - low)
            await self._labour.reach(self._base + group[-1] + 1)
        return masks

    # --- texts -------------------------------------------------------------------------------------

    async def _octets(self, leaves: Sequence[Leaf], places: list[int], low: int) -> list[int]:
        emails = self._view.columns.emails
        sought = [one for leaf in leaves if (one := _sought(leaf)) is not None]
        at_of = {emails[at]: at for at in places}

        async def looked(email: EmailId) -> None:
            await self._labour.reach(self._base + at_of[email] + 1)

        found = await self._texts.matching(sought, [emails[at] for at in places], looked)
        masks = [0] * len(leaves)
        for number, having in enumerate(found):
            if having:
                if number:
                    await self._labour.step(0)
                bits = bytearray(b"0" * (places[-1] - low + 1))
                for at in places:
                    if emails[at] in having:
                        bits[at - low] = 49
                masks[number] = mask_of(bytes(bits))
        return masks

    _stages: Final = {1: _rows, 2: _fragments, 3: _octets, 4: _octets}


_FLAG_TABLES: Final = {
    1 << bit: bytes(49 if octet >> bit & 1 else 48 for octet in range(256)) for bit in range(8)
}


def _add(masks: list[int], place: int, matches: Iterable[bool]) -> None:
    bit = 1 << place
    for number, match in enumerate(matches):
        if match:
            masks[number] |= bit


def _spans_mask(spans: tuple[tuple[int, int], ...], low: int, high: int) -> int:
    mask = 0
    for first, end in spans:
        first, end = max(first, low), min(end, high)
        if first < end:
            mask |= ((1 << (end - first)) - 1) << (first - low)
    return mask


def _row_matches(leaf: Leaf, row: Message) -> bool:
    match leaf:
        case Dated(clock, first, end):
            seconds = row.internal_date if clock is DateClock.INTERNAL else row.saved_date
            return first <= seconds // found.DAY < end
        case Arrived(first, end):
            return first <= row.internal_date < end
        case SameThread(thread):
            return row.thread == thread
        case _:
            return False


def _envelope_test(leaf: Leaf) -> Callable[[bytes], bool]:
    """Whether an ENVELOPE fragment matches; b"" of an email that is gone never does."""
    match leaf:
        case Dated(_clock, first, end):
            return lambda envelope: (day := found.sent_day(envelope)) is not None and first <= day < end
        case Contains(place, text):
            return _address_test(place.value, fold(text))
        case _:
            return lambda envelope: False


def _address_test(place: str, wanted: str) -> Callable[[bytes], bool]:
    pieces = [piece.encode() for piece in wanted.replace("<", "@").replace(">", "@").split("@") if piece]
    pieces = [piece.strip() for piece in pieces]
    plain = wanted.isascii() and '"' not in wanted and "\\" not in wanted and " <" not in wanted

    def test(envelope: bytes) -> bool:
        if plain and envelope.isascii() and b"=?" not in envelope:
            lower = envelope.lower()
            for piece in pieces:
                if piece not in lower:
                    return False
        return bool(envelope) and wanted in fold(addresses_text(envelope, place))

    return test


def _sought(leaf: Leaf) -> Sought | None:
    """What a key looks for in texts; None of keys that look for none."""
    match leaf:
        case Header(name, text):
            return Sought(Where.HEADER, needle(text), name)
        case Contains(Place.TEXT, text):
            return Sought(Where.TEXT, needle(text))
        case Contains(Place.BODY, text):
            return Sought(Where.BODY, needle(text))
        case Contains(_, text):
            return Sought(Where.ENVELOPE, fold(text))
        case _:
            return None
