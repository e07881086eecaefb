"""Segments: what was written is read back, what was not is not, whoever writes next and however."""

import fcntl
import os
import random
import threading
from pathlib import Path

import pytest

from a3mailer.mail.errors import DamagedContent
from a3mailer.runtime.clock import SystemClock
from a3mailer.store.backends.sqlite.contents import (
    FRAME,
    Compression,
    Opener,
    layout,
    make_compression,
    seal,
)
from a3mailer.store.backends.sqlite.segments import (
    FIRST,
    FREE,
    HEADER,
    NO_BLOB,
    Record,
    SegmentReader,
    SegmentWriter,
    file_size,
    scan,
    segment_ids,
    segment_path,
)
from a3mailer.testing.clock import FakeClock

SIZE = 4 << 20
Written = list[tuple[Record, tuple[int, int]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / FREE).mkdir()
    return tmp_path


def record(rng: random.Random, size: int, blob: int = 0) -> Record:
    return seal(rng.randbytes(size), 1, (blob or rng.getrandbits(120) | 1).to_bytes(16, "big"), None, None)


def writer(folder: Path) -> SegmentWriter:
    return SegmentWriter(folder, SIZE, SystemClock())


def write(target: SegmentWriter, records: list[Record]) -> Written:
    return list(zip(records, target.write(records), strict=True))


def check(folder: Path, written: Written) -> None:
    reader = SegmentReader(folder)
    for one, (segment, offset) in written:
        payload = reader.read(one.tenant, one.blob, segment, offset, one.length)
        assert payload == b"".join(one.payload)
    reader.close()


def test_large_and_small_batches_in_turn(folder: Path, rng: random.Random) -> None:
    """Through the page cache and past it, into the same blocks."""
    target = writer(folder)
    written: Written = []
    for _ in range(60):
        sizes = rng.choice([[100], [5, 3000], [70_000] * 6, [400_000], [1_200_000], [10] * 50])
        written += write(target, [record(rng, size) for size in sizes])
        check(folder, written[-8:])
    target.close()
    check(folder, written)
    assert len(segment_ids(folder)) > 3
    places = {place for _, place in written}
    assert len(places) == len(written)


def test_what_is_scanned_is_what_was_written(folder: Path, rng: random.Random) -> None:
    target = writer(folder)
    written = write(target, [record(rng, n) for n in (0, 1, 500_000, 7)])
    written += write(target, [record(rng, 3)])
    target.close()
    (segment,) = segment_ids(folder)
    with segment_path(folder, segment).open("rb") as file:
        size = file_size(file.fileno(), segment)
        assert size == SIZE
        found = [(offset, length, blob) for offset, length, _, blob in scan(file.fileno(), segment, size)]
    assert [f for f in found if f[2] != NO_BLOB] == [(at, r.length, r.blob) for r, (_, at) in written]
    ends = [offset + HEADER + length for offset, length, _ in found]
    assert all(following - end < 8 for end, (following, _, _) in zip(ends, found[1:], strict=False))


def test_a_file_system_without_direct_writes(
    folder: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    target = writer(folder)
    check(folder, write(target, [record(rng, 900_000) for _ in range(3)]))
    target.close()


def test_another_goes_on_where_one_ended(folder: Path, rng: random.Random) -> None:
    first = writer(folder)
    written = write(first, [record(rng, 1000)])
    other = writer(folder)
    written += write(other, [record(rng, 1000)])
    assert len(segment_ids(folder)) == 2, "a segment has one owner"
    first.close()
    third = writer(folder)
    written += write(third, [record(rng, 1000)])
    assert len(segment_ids(folder)) == 2
    assert third.segment == written[0][1][0]
    check(folder, written)
    other.close()
    third.close()


@pytest.mark.parametrize("sizes", [[10], [10, 3000], [700_000]])
def test_what_lies_behind_a_damaged_header_is_not_written_over(
    folder: Path, rng: random.Random, sizes: list[int]
) -> None:
    first = writer(folder)
    bad = write(first, [record(rng, size) for size in sizes])
    written = write(first, [record(rng, 1000), record(rng, 500_000)])
    first.close()
    segment, offset = bad[0][1]
    with segment_path(folder, segment).open("r+b") as file:
        file.seek(offset + 9)
        file.write(b"?")
    again = writer(folder)
    written += write(again, [record(rng, 2000), record(rng, 900_000)])
    assert written[-1][1][0] != segment
    again.close()
    check(folder, written)
    third = writer(folder)
    written += write(third, [record(rng, 2000)])
    third.close()
    check(folder, written)


def test_a_torn_write_at_the_end_is_written_over(folder: Path, rng: random.Random) -> None:
    """A process that died while it wrote: nothing of that batch was handed over."""
    first = writer(folder)
    written = write(first, [record(rng, 1000)])
    torn = write(first, [record(rng, 2000)])
    first.close()
    segment, offset = torn[0][1]
    with segment_path(folder, segment).open("r+b") as file:
        file.seek(offset + HEADER - 3)
        file.write(bytes(20))
    again = writer(folder)
    written += write(again, [record(rng, 2000)])
    assert written[-1][1] == (segment, offset)
    check(folder, written)
    again.close()


def test_a_recycled_file_shows_nothing_old(folder: Path, rng: random.Random) -> None:
    first = writer(folder)
    written = write(first, [record(rng, 1000) for _ in range(5)])
    first.close()
    (old,) = segment_ids(folder)
    segment_path(folder, old).rename(folder / FREE / "one")
    again = writer(folder)
    fresh = write(again, [record(rng, 1000)])
    again.close()
    (new,) = segment_ids(folder)
    assert new != old
    assert not list((folder / FREE).iterdir())
    with segment_path(folder, new).open("rb") as file:
        assert len(list(scan(file.fileno(), new, SIZE))) == 1, "the next record is the old file's"
    reader = SegmentReader(folder)
    with pytest.raises(DamagedContent):
        one, (_, offset) = written[2]
        reader.read(one.tenant, one.blob, new, offset, one.length)
    check(folder, fresh)
    reader.close()


@pytest.mark.parametrize("free", [0, 2], ids=["fresh files", "recycled files"])
def test_two_processes_that_draw_the_same_id_have_two_segments(
    folder: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """It happens once in 4096 times in one millisecond: one was refused, or lost its file to the other."""
    draws = iter([7, 7, 7, 8])
    monkeypatch.setattr("secrets.randbits", lambda _bits: next(draws))
    for number in range(free):
        (folder / FREE / f"{number}").write_bytes(bytes(SIZE))
    clock = FakeClock()
    first, second = SegmentWriter(folder, SIZE, clock), SegmentWriter(folder, SIZE, clock)
    written = write(first, [record(rng, 5000)]) + write(second, [record(rng, 5000)])
    assert len({segment for _, (segment, _) in written}) == len(segment_ids(folder)) == 2
    written += write(first, [record(rng, 5000)])
    check(folder, written)
    assert list((folder / FREE).iterdir()) == []
    first.close()
    second.close()


def test_who_looks_for_room_in_a_new_segment_hinders_nobody(
    folder: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the lock for a moment: the maker of the segment waits for it."""
    real, held = fcntl.flock, threading.Event()

    def flock(fd: int, how: int) -> None:
        if not held.is_set():
            (segment,) = segment_ids(folder)
            other = os.open(segment_path(folder, segment), os.O_RDONLY)
            real(other, fcntl.LOCK_EX)
            held.set()
            threading.Timer(0.05, os.close, (other,)).start()
        real(fd, how)

    monkeypatch.setattr("fcntl.flock", flock)
    target = writer(folder)
    check(folder, write(target, [record(rng, 5000)]))
    assert held.is_set()
    target.close()


def test_a_record_larger_than_a_segment(folder: Path, rng: random.Random) -> None:
    target = writer(folder)
    check(folder, write(target, [record(rng, SIZE + 10)]))
    target.close()


def test_every_flipped_octet_is_noticed(folder: Path, rng: random.Random) -> None:
    target = writer(folder)
    written = write(target, [record(rng, 300), record(rng, FRAME + 300)])
    target.close()
    for one, (segment, offset) in written:
        path = segment_path(folder, segment)
        octets = path.read_bytes()
        places = [*range(HEADER + 60), *rng.sample(range(one.length + HEADER), 60)]
        for place in places:
            with path.open("r+b") as file:
                file.seek(offset + place)
                file.write(bytes([octets[offset + place] ^ 1 << rng.randrange(8)]))
            reader = SegmentReader(folder)
            with pytest.raises(DamagedContent):
                reader.read(one.tenant, one.blob, segment, offset, one.length)
            reader.close()
            path.write_bytes(octets)
    check(folder, written)


def test_nothing_is_read_where_it_was_moved(folder: Path, rng: random.Random) -> None:
    target = writer(folder)
    one, (segment, offset) = write(target, [record(rng, 300)])[0]
    target.close()
    path = segment_path(folder, segment)
    octets = path.read_bytes()
    moved = offset + 4096
    path.write_bytes(octets[:moved] + octets[offset : offset + HEADER + one.length] + bytes(4096))
    reader = SegmentReader(folder)
    with pytest.raises(DamagedContent):
        reader.read(one.tenant, one.blob, segment, moved, one.length)
    with pytest.raises(DamagedContent):
        reader.read(one.tenant, one.blob, segment, FIRST - 8, one.length)
    with pytest.raises(DamagedContent):
        reader.read(one.tenant, one.blob, segment + 1, offset, one.length)
    reader.close()


# --- contents --------------------------------------------------------------------------------------------


KEYS = (None, bytes(range(32)))
COMPRESSIONS = (None, make_compression(), make_compression(7, b"From: Subject: Received: " * 100))
BLOB = bytes(range(16))


def opener(payload: memoryview, key: bytes | None, compression: Compression | None) -> Opener:
    return Opener(layout(payload, len(payload)), 1, BLOB, key, compression)


@pytest.mark.parametrize("key", KEYS, ids=["open", "encrypted"])
@pytest.mark.parametrize("compression", COMPRESSIONS, ids=["as it came", "compressed", "dictionary"])
@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 3 * FRAME + 5])
def test_contents_come_back(
    key: bytes | None, compression: Compression | None, size: int, rng: random.Random
) -> None:
    for octets in (rng.randbytes(size), (b"From: alice\r\n" * size)[:size]):
        sealed = seal(octets, 1, BLOB, key, compression)
        payload = memoryview(b"".join(sealed.payload))
        assert len(payload) == sealed.length
        assert opener(payload, key, compression).whole(payload) == octets


@pytest.mark.parametrize("size", [500, 2 * FRAME + 9])
def test_an_encrypted_content_is_bound_to_its_place(size: int, rng: random.Random) -> None:
    key = KEYS[1]
    payload = memoryview(b"".join(seal(rng.randbytes(size), 1, BLOB, key, None).payload))
    plan = layout(payload, len(payload))
    for tenant, blob, other in ((2, BLOB, key), (1, bytes(16), key), (1, BLOB, bytes(32))):
        with pytest.raises(DamagedContent):
            Opener(plan, tenant, blob, other, None).whole(payload)
    with pytest.raises(DamagedContent):
        Opener(plan, 1, BLOB, None, None)


def test_frames_cannot_be_swapped_or_cut(rng: random.Random) -> None:
    key = KEYS[1]
    payload = memoryview(b"".join(seal(rng.randbytes(3 * FRAME), 1, BLOB, key, None).payload))
    plan = layout(payload, len(payload))
    one = Opener(plan, 1, BLOB, key, None)
    frames = [payload[a:b] for a, b in zip(plan.starts, plan.starts[1:], strict=False)]
    with pytest.raises(DamagedContent):
        one.frame(0, frames[1])
    with pytest.raises(DamagedContent):
        one.frame(1, frames[2])
    with pytest.raises(DamagedContent):
        layout(payload[: plan.starts[2]], plan.starts[2])


def test_every_flipped_bit_of_an_encrypted_content_is_noticed(rng: random.Random) -> None:
    key = KEYS[1]
    octets = b"".join(seal(b"hello " * 50, 1, BLOB, key, COMPRESSIONS[1]).payload)
    for place in range(len(octets)):
        bad = bytearray(octets)
        bad[place] ^= 1 << rng.randrange(8)
        view = memoryview(bytes(bad))
        with pytest.raises(DamagedContent):
            opener(view, key, COMPRESSIONS[1]).whole(view)
