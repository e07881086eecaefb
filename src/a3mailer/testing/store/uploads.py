"""The rules of uploads."""

from __future__ import annotations

import pytest

from a3mailer.mail.errors import NoSuchAccount, NoSuchMessage, TooLarge
from a3mailer.mail.ids import AccountId, BlobId
from a3mailer.mail.message.index import glance
from a3mailer.store import operations as op
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.store.case import StoreCase, World

MOST = 100_000


async def put(
    world: World, octets: bytes, *, uploader: AccountId | None = None, most: int = MOST, seconds: int = 3600
) -> BlobId:
    """An upload to alice's account."""
    whose = world.alice if uploader is None else uploader
    operation = op.PutUpload(world.alice, whose, 0, world.now + seconds, most)
    transaction = Transaction((operation,), (Content(octets, glance(b"")),))
    (made,) = await world.store.commit(transaction)
    assert isinstance(made, op.Uploaded) and made.size == len(octets)
    return made.blob


async def gone(world: World, blob: BlobId) -> bool:
    """Whether alice has nothing of this name."""
    try:
        await world.store.octets(world.alice, blob)
    except NoSuchMessage:
        return True
    return False


class UploadRules(StoreCase):
    """Octets that nothing refers to yet."""

    async def test_an_upload_is_read_in_whole_and_in_part_by_its_account_alone(self, world: World) -> None:
        octets = bytes(range(256)) * 300
        blob = await put(world, octets)
        assert await world.store.octets(world.alice, blob) == octets
        assert await world.store.octets(world.alice, blob, 70_000, 70_010) == octets[70_000:70_010]
        assert await world.store.content_size(world.alice, blob) == len(octets)
        with pytest.raises(NoSuchMessage):
            await world.store.octets(world.bob, blob)
        with pytest.raises(NoSuchMessage):
            await world.store.content_size(world.bob, blob)
        empty = await put(world, b"")
        assert await world.store.octets(world.alice, empty) == b""

    async def test_the_same_octets_are_the_same_upload_and_stay_longer(self, world: World) -> None:
        first = await put(world, b"a" * 20_000)
        world.clock.advance(3000)
        assert await put(world, b"a" * 20_000) == first
        world.clock.advance(3000)
        await world.do(op.Sweep(world.now))
        assert not await gone(world, first)
        world.clock.advance(601)
        assert await world.do(op.Sweep(world.now)) == (op.Purged(1),)
        assert await gone(world, first)

    async def test_the_oldest_make_room_for_the_newest(self, world: World) -> None:
        a, b, c = [await put(world, letter * 40, most=100) for letter in (b"a", b"b", b"c")]
        assert [await gone(world, each) for each in (a, b, c)] == [True, False, False]
        d = await put(world, b"d" * 60, most=100)
        assert [await gone(world, each) for each in (b, c, d)] == [True, False, False]
        other = await put(world, b"o" * 100, most=100, uploader=world.bob)
        assert [await gone(world, each) for each in (c, d, other)] == [False, False, False]
        transaction = op.PutUpload(world.alice, world.alice, 0, world.now + 9, 100)
        await world.fails(TooLarge, transaction, contents=(b"x" * 101,))
        nobody = op.PutUpload(AccountId(987_654), world.alice, 0, 9, 100)
        await world.fails(NoSuchAccount, nobody, contents=(b"x",))

    async def test_what_became_a_mail_stays_when_its_upload_goes(self, world: World) -> None:
        octets = b"Subject: draft\r\n\r\n" + b"text " * 2000
        blob = await put(world, octets)
        made = await world.append(world.alice, octets)
        world.clock.advance(3601)
        await world.do(op.Sweep(world.now))
        kept = await world.blob(world.alice, made.uid)
        assert await world.store.octets(world.alice, kept) == octets
        assert blob != kept or not await gone(world, blob)

    async def test_uploads_go_with_their_account(self, world: World) -> None:
        blob = await put(world, b"a" * 10)
        by_bob = await put(world, b"b" * 10, uploader=world.bob)
        await world.do(op.RemoveAccount(world.bob, world.now + 10))
        assert [await gone(world, each) for each in (blob, by_bob)] == [False, True]
        await world.do(op.ResetAccount(world.alice))
        assert await gone(world, blob)
