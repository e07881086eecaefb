"""A volume: the texts of some mails of one account in one file that is never changed, sealed throughout.

volume = magic (8) wrapped key (60) length of the head (4) head pages blocks

The key is the volume's own, wrapped under the account's. Head, pages and blocks are compressed (zstd), then
encrypted (AES-256-GCM); nonce and additional data name the account, what it is, and its number, so that none
can stand for another. A block holds whole mails, header and body, up to about BLOCK octets. Pages hold the
filter's rows (``grams``); a volume of fewer than FILTERED mails has none. Whoever has no key learns how many
octets there are, and no more.
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from a3mailer.keys.wrap import WRAPPED_SIZE, KeyMismatch, new_key, unwrap, wrap
from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.message.searched import Searched, pieces
from a3mailer.store.backends.sqlite.texts.grams import BUCKETS, buckets_of
from a3mailer.store.backends.sqlite.texts.shelf import put_file
from a3mailer.store.texts import Sought, Where

MAGIC: Final = b"A3TEXT\x00\x02"
LOOKED: Final = 5000
"""Looks into a text, found in its mask or not, before others get their turn: some milliseconds."""
FILTERED: Final = 64
"""Mails from which on a volume has a filter: fewer are looked at sooner than the filter would be."""
BLOCK: Final = 16 * 1024
PAGE: Final = 4096
"""Octets of rows that are sealed together."""
LEVEL: Final = 3
ANSWERS: Final = 64
"""Texts of which an open volume remembers in which mails they are, and in which not."""
_LENGTH: Final = struct.Struct("<I")
_BOUND: Final = struct.Struct("<qcI")
_NONCE: Final = struct.Struct("<cI7x")
_BITS: Final = bytes(octet == 49 for octet in range(256))
"""Of the digits of a mask, whether one is set."""
HEAD, FILTER, TEXTS = b"h", b"p", b"b"
MOST: Final = 1 << 31
"""Octets that one piece may expand to."""


class Entry(NamedTuple):
    """A mail on its way into a volume."""

    email: int
    searched: Searched
    vouched: bool = True
    """Whether the header has all that the mail's Subject and addresses are searched for."""


class _Head(msgspec.Struct, frozen=True, array_like=True):
    emails: bytes
    """Numbers of emails by slot, ascending ("I")."""
    bodies: bytes
    """Where in its block each mail begins, and its body ("I", two a slot)."""
    blocks: bytes
    """First slot, length on disk, octets of text of each block ("I", three a block)."""
    row: int
    """Octets of a filter's row; 0 without a filter."""
    pages: bytes
    """Lengths of the pages on disk ("I")."""
    odd: bytes
    """Numbers of the emails that nobody vouches for ("I")."""


def _bound(account: int, kind: bytes, number: int) -> tuple[bytes, bytes]:
    return _NONCE.pack(kind, number), _BOUND.pack(account, kind, number)


def _binding(account: int) -> bytes:
    return b"texts %d" % account


class Sealer:
    """Seals the pieces of one new volume."""

    def __init__(self, account: int) -> None:
        self.key = new_key()
        self._cipher = AESGCM(self.key)
        self._account = account
        self._compress = zstandard.ZstdCompressor(level=LEVEL).compress

    def seal(self, kind: bytes, number: int, octets: bytes) -> bytes:
        nonce, bound = _bound(self._account, kind, number)
        return self._cipher.encrypt(nonce, self._compress(octets), bound)


def write(path: Path, account: int, cipher: AESGCM, entries: Sequence[Entry]) -> int:
    """Make a volume of mails ascending by email; its size in octets. It is whole once ``path`` is there."""
    sealer = Sealer(account)
    bodies, table = array("I"), array("I")
    blocks: list[bytes] = []
    for first, starts, text in _blocks(entries):
        sealed = sealer.seal(TEXTS, len(blocks), text)
        blocks.append(sealed)
        table.extend((first, len(sealed), len(text)))
        bodies.extend(starts)
    row = 0
    pages: list[bytes] = []
    if len(entries) >= FILTERED:
        from a3mailer.store.backends.sqlite.texts.filters import rows_of

        rows = rows_of([f"{entry.searched.header}{entry.searched.body}" for entry in entries])
        row = len(rows) // BUCKETS
        octets = _rows_a_page(row) * row
        pages = [
            sealer.seal(FILTER, number, rows[at : at + octets])
            for number, at in enumerate(range(0, len(rows), octets))
        ]
    emails = array("I", [entry.email for entry in entries]).tobytes()
    lengths = array("I", map(len, pages)).tobytes()
    odd = array("I", [entry.email for entry in entries if not entry.vouched]).tobytes()
    head = _Head(emails, bodies.tobytes(), table.tobytes(), row, lengths, odd)
    sealed = sealer.seal(HEAD, 0, msgspec.msgpack.encode(head))
    wrapped = wrap(cipher, sealer.key, _binding(account))
    whole = b"".join((MAGIC, wrapped, _LENGTH.pack(len(sealed)), sealed, *pages, *blocks))
    put_file(path, whole)
    return len(whole)


def _rows_a_page(row: int) -> int:
    return max(1, PAGE // row)


def _blocks(entries: Iterable[Entry]) -> Iterator[tuple[int, list[int], bytes]]:
    """Yield (first slot, start of each mail and of its body, text) of each block."""
    first, slot, size = 0, 0, 0
    starts: list[int] = []
    texts: list[bytes] = []
    for slot, entry in enumerate(entries):
        header, body = (part.encode("utf-8", "replace") for part in entry.searched)
        starts += (size, size + len(header))
        texts += (header, body)
        size += len(header) + len(body)
        if size >= BLOCK:
            yield first, starts, b"".join(texts)
            first, size = slot + 1, 0
            starts, texts = [], []
    if texts:
        yield first, starts, b"".join(texts)


class Volume:
    """A volume that is read. Its descriptor is open as long as it is."""

    __slots__ = (
        "_account",
        "_answers",
        "_cipher",
        "_expand",
        "_fd",
        "_places",
        "_row",
        "bodies",
        "emails",
        "odd",
        "table",
    )

    def __init__(self, path: Path, account: int, cipher: AESGCM) -> None:
        """Errors: FileNotFoundError, DamagedContent."""
        self._account = account
        self._expand = zstandard.ZstdDecompressor().decompress
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        lead = len(MAGIC) + WRAPPED_SIZE + _LENGTH.size
        start = os.pread(self._fd, lead, 0)
        if len(start) != lead or not start.startswith(MAGIC):
            raise DamagedContent("no volume of texts")
        try:
            wrapped = start[len(MAGIC) : -_LENGTH.size]
            self._cipher = AESGCM(unwrap(cipher, wrapped, _binding(account)))
        except KeyMismatch as error:
            raise DamagedContent("a volume of texts under another key") from error
        (length,) = _LENGTH.unpack(start[-_LENGTH.size :])
        head = msgspec.msgpack.decode(self._open(HEAD, 0, lead, length), type=_Head)
        self.emails, self.bodies, self.table = array("I"), array("I"), array("I")
        self.emails.frombytes(head.emails)
        self.bodies.frombytes(head.bodies)
        self.table.frombytes(head.blocks)
        self.odd = array("I")
        self.odd.frombytes(head.odd)
        self._row = head.row
        self._answers: OrderedDict[Sought, tuple[int, int]] = OrderedDict()
        self._places = array("Q", [lead + length])
        lengths = array("I")
        lengths.frombytes(head.pages)
        for size in (*lengths, *self.table[1::3]):
            self._places.append(self._places[-1] + size)

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        if fd >= 0:
            os.close(fd)

    def _open(self, kind: bytes, number: int, at: int, length: int) -> bytes:
        sealed = os.pread(self._fd, length, at)
        nonce, bound = _bound(self._account, kind, number)
        try:
            return self._expand(self._cipher.decrypt(nonce, sealed, bound), max_output_size=MOST)
        except (InvalidTag, zstandard.ZstdError, OverflowError) as error:
            raise DamagedContent(f"a volume of texts: {error!r}") from error

    @property
    def blocks(self) -> int:
        return len(self.table) // 3

    def slots(self, block: int) -> range:
        """The slots of the mails of a block."""
        last = self.table[3 * block + 3] if block + 1 < self.blocks else len(self.emails)
        return range(self.table[3 * block], last)

    def block(self, number: int) -> bytes:
        """The text of a block. Errors: DamagedContent."""
        page = len(self._places) - 1 - self.blocks + number
        at = self._places[page]
        return self._open(TEXTS, number, at, self._places[page + 1] - at)

    def span(self, slot: int, block: int, text: bytes) -> tuple[int, int, int]:
        """Where in its block a mail begins, its body begins, and it ends."""
        at = 2 * slot
        following = self.bodies[at + 2] if slot + 1 in self.slots(block) else len(text)
        return self.bodies[at], self.bodies[at + 1], following

    def entries(self) -> Iterator[Entry]:
        """Every mail again. Errors: DamagedContent."""
        for number in range(self.blocks):
            text = self.block(number)
            for slot in self.slots(number):
                start, body, end = self.span(slot, number, text)
                email = self.emails[slot]
                kept = Searched(text[start:body].decode(), text[body:end].decode())
                yield Entry(email, kept, email not in self.odd)

    # --- looking -----------------------------------------------------------------------------------

    def candidates(self, sought: Sought, pages: dict[int, bytes]) -> tuple[int, int]:
        """A bit a slot (the first slot in the highest) of mails that may have it, and of those that have it
        for certain: what the filter says, and what looking found before. Errors: DamagedContent.

        ``pages``: of the filter, those opened before for others of one search."""
        known = self._answers.get(sought)
        if known is None:
            known = self._filtered(sought, pages), 0
            self._learn(sought, *known)
        return known

    def _learn(self, sought: Sought, may: int, sure: int) -> None:
        self._answers[sought] = may, sure
        self._answers.move_to_end(sought)
        if len(self._answers) > ANSWERS:
            self._answers.popitem(last=False)

    def _filtered(self, sought: Sought, pages: dict[int, bytes]) -> int:
        count = len(self.emails)
        everyone = (1 << count) - 1
        if not self._row:
            return everyone
        spare = 8 * self._row - count
        rows = _rows_a_page(self._row)
        for one in buckets_sought(sought):
            number, place = divmod(one, rows)
            page = pages.get(number)
            if page is None:
                at = self._places[number]
                page = pages[number] = self._open(FILTER, number, at, self._places[number + 1] - at)
            bits = page[place * self._row : (place + 1) * self._row]
            everyone &= int.from_bytes(bits, "big") >> spare
            if not everyone:
                break
        return everyone

    def named(self, mask: int) -> Iterator[int]:
        """The emails of the slots of a mask."""
        bits = f"{mask:0{len(self.emails)}b}".encode()
        if mask.bit_count() > len(bits) >> 5:
            return compress(self.emails, bits.translate(_BITS))
        return map(self.emails.__getitem__, _places(bits))

    def among(self, mask: int, wanted: Collection[int]) -> list[int]:
        """The slots of a mask whose emails are wanted."""
        emails = self.emails
        bits = f"{mask:0{len(emails)}b}".encode()
        return [at for at in _places(bits) if emails[at] in wanted]

    def look(
        self, sought: Sequence[Sought], masks: Sequence[int], slots: Sequence[int], found: Sequence[set[int]]
    ) -> Iterator[None]:
        """Add to ``found`` emails of slots and masks that have it; a step is a block, or LOOKED looks.

        What was found is remembered behind the last step. Errors: DamagedContent."""
        firsts = self.table[::3]
        last = len(self.emails) - 1
        looks = [
            (one, one.text.encode("utf-8", "replace"), mask, into)
            for one, mask, into in zip(sought, masks, found, strict=True)
        ]
        text, known, end, looked = b"", -1, 0, 0
        answers: list[tuple[list[int], list[int]]] = [([], []) for _ in looks]
        for slot in slots:
            if slot >= end:
                if known >= 0:
                    yield
                known = bisect_right(firsts, slot) - 1
                end = firsts[known + 1] if known + 1 < len(firsts) else last + 1
                text = self.block(known)
            start, body = self.bodies[2 * slot : 2 * slot + 2]
            stop = self.bodies[2 * slot + 2] if slot + 1 < end else len(text)
            for (one, needle, mask, into), answer in zip(looks, answers, strict=True):
                if mask >> (last - slot) & 1:
                    has = _has(text, one, needle, start, body, stop)
                    answer[has].append(slot)
                    if has:
                        into.add(self.emails[slot])
            looked += len(looks)
            if looked >= LOOKED:
                looked = 0
                yield
        if len(looks) <= ANSWERS:
            for one, (missing, having) in zip(sought, answers, strict=True):
                may, sure = self._answers.get(one, ((1 << last + 1) - 1, 0))
                self._learn(one, may & ~self._mask(missing), sure | self._mask(having))

    def _mask(self, slots: Iterable[int]) -> int:
        bits = bytearray(b"0" * len(self.emails))
        for slot in slots:
            bits[slot] = 49
        return int(bits, 2)


def _places(bits: bytes) -> Iterator[int]:
    """Where a mask has a bit, of its digits."""
    at = bits.find(b"1")
    while at >= 0:
        yield at
        at = bits.find(b"1", at + 1)


@lru_cache(ANSWERS)
def buckets_sought(sought: Sought) -> tuple[int, ...]:
    """The buckets of a text, ascending; none where it says too little to rule a mail out."""
    if sought.where is Where.ENVELOPE:
        return tuple(sorted({one for piece in pieces(sought.text) for one in buckets_of(piece)}))
    found = buckets_of(sought.text)
    if sought.where is Where.HEADER:
        found |= buckets_of(f"{sought.name}: ")
    return tuple(sorted(found))


def _has(text: bytes, one: Sought, needle: bytes, start: int, body: int, stop: int) -> bool:
    if one.where is Where.BODY:
        return text.find(needle, body, stop) >= 0
    if one.where is Where.TEXT:
        return text.find(needle, start, body) >= 0 or text.find(needle, body, stop) >= 0
    return one.is_in(Searched(text[start:body].decode(), ""))
