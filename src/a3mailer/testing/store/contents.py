"""The rules of contents: octets come back as they came, to who refers to them and to nobody else."""

from __future__ import annotations

import mmap
import random
import tempfile

import pytest

from a3mailer.mail.errors import NoSuchMailbox, NoSuchMessage
from a3mailer.mail.ids import INBOX, BlobId, Uid
from a3mailer.mail.message import index
from a3mailer.store import operations as op
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.store.case import StoreCase, World, mail

FRAME = 64 * 1024
SIZES = (0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 5 * FRAME + 12_345)


def octets_of(size: int, seed: int = 7) -> bytes:
    """``size`` octets, half of them easy and half impossible to compress, none of them sacred."""
    dice = random.Random(seed)
    half = size // 2
    return (b"\x00\r\n\xff.\r\n" * (half // 7 + 1))[:half] + dice.randbytes(size - half)


class ContentRules(StoreCase):
    """Octets."""

    @pytest.mark.parametrize("size", SIZES)
    async def test_octets_come_back_unchanged(self, world: World, size: int) -> None:
        octets = octets_of(size)
        done = await world.one(op.Appended, op.Append(world.alice, INBOX, 0), octets)
        row = await world.message(world.alice, done.uid)
        assert row.size == size
        assert await world.store.octets(world.alice, row.blob) == octets
        assert await world.store.many_octets(world.alice, [row.blob]) == [octets]

    @pytest.mark.parametrize("size", SIZES)
    async def test_any_range_is_read(self, world: World, size: int) -> None:
        print("seed 7")
        octets = octets_of(size)
        await world.one(op.Appended, op.Append(world.alice, INBOX, 0), octets)
        blob = await world.blob(world.alice)
        edges = [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, size - 1, size, size + 5]
        dice = random.Random(7)
        pairs = [(dice.randrange(size + 10), dice.randrange(size + 10)) for _ in range(30)]
        pairs += [(start, end) for start in edges for end in edges]
        for start, end in pairs:
            if 0 <= start <= end:
                assert await world.store.octets(world.alice, blob, start, end) == octets[start:end]
        for start in edges:
            if start >= 0:
                assert await world.store.octets(world.alice, blob, start) == octets[start:]

    async def test_a_mapped_file_is_a_content(self, world: World) -> None:
        octets = octets_of(3 * FRAME + 1)
        with tempfile.TemporaryFile() as file:
            file.write(octets)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                made = Content(mapped, index(octets))
                await world.store.commit(Transaction((op.Append(world.alice, INBOX, 0),), (made,)))
        assert await world.store.octets(world.alice, await world.blob(world.alice)) == octets

    async def test_many_are_read_in_the_order_asked(self, world: World) -> None:
        await world.fill(world.alice, 5)
        blobs = [await world.blob(world.alice, Uid(uid)) for uid in (3, 1, 5, 2, 4)]
        blobs.insert(2, BlobId(b"\x00" * 16))
        found = await world.store.many_octets(world.alice, blobs)
        assert found == [None if n < 0 else mail(f"number {n}") for n in (2, 0, -1, 4, 1, 3)]
        assert await world.store.many_octets(world.alice, []) == []

    async def test_nobody_reads_what_he_does_not_hold(self, world: World) -> None:
        await world.append(world.alice, mail("for alice"))
        await world.append(world.bob, mail("for bob"))
        blob = await world.blob(world.alice)
        with pytest.raises(NoSuchMessage):
            await world.store.octets(world.bob, blob)
        with pytest.raises(NoSuchMessage):
            await world.store.octets(world.bob, blob, 0, 1)
        assert await world.store.many_octets(world.bob, [blob]) == [None]
        for strange in (b"", b"x", b"\xff" * 16, b"x" * 100):
            with pytest.raises(NoSuchMessage):
                await world.store.octets(world.alice, BlobId(strange))

    async def test_equal_contents_live_until_the_last_holder_goes(self, world: World) -> None:
        octets = octets_of(2 * FRAME)
        for account in (world.alice, world.bob, world.alice):
            await world.one(op.Appended, op.Append(account, INBOX, 0), octets)
        await world.enqueue(octets=octets)
        for uid in (1, 2):
            await world.expunge(world.alice, uid)
            await world.purge()
            assert await world.store.octets(world.bob, await world.blob(world.bob)) == octets
        his = await world.blob(world.bob)
        await world.expunge(world.bob, 1)
        await world.purge()
        with pytest.raises(NoSuchMessage):
            await world.store.octets(world.bob, his)
        (entry,) = await world.store.queue()
        assert await world.store.octets(world.alice, entry.blob) == octets
        await world.do(op.ChangeQueue(entry.id, "remove", world.now))
        with pytest.raises(NoSuchMessage):
            await world.store.octets(world.alice, entry.blob)
        await world.one(op.Appended, op.Append(world.bob, INBOX, 0), octets)
        assert await world.store.octets(world.bob, await world.blob(world.bob, Uid(2))) == octets

    async def test_a_content_no_operation_uses_is_no_error(self, world: World) -> None:
        assert await world.do(contents=(mail(),)) == ()
        done = await world.do(op.Append(world.alice, INBOX, 1), contents=(mail("unused"), mail("used")))
        assert len(done) == 1
        assert await world.store.octets(world.alice, await world.blob(world.alice)) == mail("used")

    async def test_contents_of_a_failed_transaction_do_not_come_back(self, world: World) -> None:
        await world.fails(
            NoSuchMailbox,
            op.Append(world.alice, INBOX, 0),
            op.Append(world.alice, 987_654, 0),  # type: ignore[arg-type]
            contents=(octets_of(FRAME + 1),),
        )
        await world.one(op.Appended, op.Append(world.alice, INBOX, 0), octets_of(FRAME + 1))
        assert await world.store.octets(world.alice, await world.blob(world.alice)) == octets_of(FRAME + 1)
