"""The rules of mails with large parts: however they are kept, they come back as they came."""

from __future__ import annotations

import base64
import mmap
import random
import tempfile

import pytest

from a3mailer.mail.errors import NoSuchMessage
from a3mailer.mail.ids import INBOX, BlobId, Uid
from a3mailer.mail.message import index
from a3mailer.store import operations as op
from a3mailer.store.ports import Content, Transaction
from a3mailer.testing.store.case import StoreCase, World

LARGE = 64 * 1024
"""Octets of an encoded part from which on a backend may keep it apart."""


def attachment(size: int, seed: int = 3) -> bytes:
    """``size`` octets of base64 in lines, without the last line end."""
    lines = base64.encodebytes(random.Random(seed).randbytes(size)).replace(b"\n", b"\r\n")
    return lines[:size]


def with_parts(*parts: bytes, subject: str = "with parts") -> bytes:
    """A mail of a short text and these encoded parts."""
    pieces = [f"Subject: {subject}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n"]
    pieces += ["\r\nGood morning.\r\n"]
    octets = "".join(pieces).encode()
    head = b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return octets + b"".join([head + part + b"\r\n" for part in parts]) + b"--b--\r\nepilogue\r\n"


BIG, OTHER = attachment(3 * LARGE + 77), attachment(LARGE, 4)
MAILS = {
    "one": with_parts(BIG),
    "two": with_parts(BIG, OTHER),
    "the same twice": with_parts(OTHER, b"small", OTHER),
    "just large enough": with_parts(attachment(LARGE)),
    "one octet less": with_parts(attachment(LARGE - 1)),
    "large and of two octets": with_parts(OTHER, b"=="),
    "many": with_parts(*[attachment(LARGE + n, n) for n in range(40)]),
    "inside a message": b"Content-Type: message/rfc822\r\n\r\n" + with_parts(BIG, OTHER),
    "nothing but a body": b"\r\n" + BIG,
    "cut off": with_parts(OTHER, BIG)[:-50_000],
}


class PartRules(StoreCase):
    """Mails with parts of 64 KiB and more."""

    @pytest.mark.parametrize("name", MAILS)
    async def test_a_mail_with_large_parts_comes_back(self, world: World, name: str) -> None:
        octets = MAILS[name]
        done = await world.append(world.alice, octets)
        row = await world.message(world.alice, done.uid)
        assert row.size == len(octets)
        assert await world.store.octets(world.alice, row.blob) == octets
        assert await world.store.many_octets(world.alice, [row.blob]) == [octets]
        await world.append(world.alice)
        small = await world.blob(world.alice, Uid(done.uid + 1))
        found = await world.store.contents(world.alice, INBOX, [done.uid, done.uid + 1])
        assert found == {done.uid: octets, done.uid + 1: await world.store.octets(world.alice, small)}
        (fragments,) = await world.store.fragments(world.alice, [done.email])
        assert fragments.size == len(octets)

    @pytest.mark.parametrize("name", MAILS)
    async def test_any_range_of_it_is_read(self, world: World, name: str) -> None:
        print("seed 11")
        octets = MAILS[name]
        await world.append(world.alice, octets)
        blob = await world.blob(world.alice)
        dice = random.Random(11)
        parts = index(octets).parts
        edges = sorted(
            {edge + by for part in parts[:6] for edge in (part.body, part.end) for by in (-1, 0, 1)}
        )
        pairs = [(start, end) for start in edges for end in edges[:8]]
        pairs += [(dice.randrange(len(octets) + 10), dice.randrange(len(octets) + 10)) for _ in range(30)]
        for start, end in pairs:
            if 0 <= start <= end:
                assert await world.store.octets(world.alice, blob, start, end) == octets[start:end]

    async def test_one_part_in_many_mails(self, world: World) -> None:
        """Released in any order; who is left reads on."""
        mails = {n: with_parts(BIG, subject=f"number {n}") for n in range(6)}
        for n in mails:
            await world.append(world.alice if n % 2 else world.bob, mails[n])
        await world.enqueue(octets=with_parts(OTHER, BIG, subject="queued"))
        await world.expunge(world.alice, 2)
        await world.purge()
        await world.erase(world.alice, (await world.message(world.alice, Uid(1))).email)
        await world.expunge(world.bob, 1, 3)
        await world.purge()
        assert await world.store.octets(world.alice, await world.blob(world.alice, Uid(3))) == mails[5]
        assert await world.store.octets(world.bob, await world.blob(world.bob, Uid(2))) == mails[2]
        (entry,) = await world.store.queue()
        await world.do(op.RemoveAccount(world.bob, world.now))
        assert await world.store.octets(world.alice, entry.blob) == with_parts(OTHER, BIG, subject="queued")
        await world.do(op.ChangeQueue(entry.id, "remove", world.now))
        with pytest.raises(NoSuchMessage):
            await world.store.octets(world.alice, entry.blob)
        assert await world.store.octets(world.alice, await world.blob(world.alice, Uid(3))) == mails[5]
        await world.append(world.alice, mails[0])
        assert await world.store.octets(world.alice, await world.blob(world.alice, Uid(4))) == mails[0]

    async def test_one_mail_held_many_times(self, world: World) -> None:
        octets = MAILS["the same twice"]
        operations = [op.Append(account, INBOX, 0) for account in (world.alice, world.bob, world.alice)]
        await world.do(*operations, contents=(octets,))
        await world.append(world.bob, octets)
        await world.copy(world.bob, (1,), await world.named(world.bob, "Sent"))
        for uid in (1, 2):
            await world.expunge(world.alice, uid)
            await world.purge()
        assert await world.in_vault(world.alice) == []
        await world.expunge(world.bob, 1, 2)
        await world.purge()
        sent = await world.blob(world.bob, Uid(1), await world.named(world.bob, "Sent"))
        assert await world.store.octets(world.bob, sent) == octets

    async def test_a_mail_that_differs_in_its_header_only(self, world: World) -> None:
        """As a server makes them that adds a field of its own: no whole mail is like another."""
        made = [with_parts(BIG, subject=f"unique {n}") for n in range(3)]
        for octets in made:
            await world.store.commit(
                Transaction(
                    (op.Append(world.alice, INBOX, 0),), (Content(octets, index(octets), unique=True),)
                )
            )
        blobs = [await world.blob(world.alice, Uid(uid)) for uid in (1, 2, 3)]
        assert await world.store.many_octets(world.alice, [*blobs, BlobId(b"x" * 16)]) == [*made, None]

    async def test_a_mapped_file_with_parts(self, world: World) -> None:
        octets = MAILS["two"]
        with tempfile.TemporaryFile() as file:
            file.write(octets)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                made = Content(mapped, index(octets))
                await world.store.commit(Transaction((op.Append(world.alice, INBOX, 0),), (made,)))
        assert await world.store.octets(world.alice, await world.blob(world.alice)) == octets

    async def test_an_index_of_another_mail_breaks_nothing(self, world: World) -> None:
        """The index says where parts are; whatever it says, the octets come back."""
        octets = MAILS["one"][: LARGE + 100]
        made = Content(octets, index(MAILS["two"]))
        await world.store.commit(Transaction((op.Append(world.alice, INBOX, 0),), (made,)))
        assert await world.store.octets(world.alice, await world.blob(world.alice)) == octets
