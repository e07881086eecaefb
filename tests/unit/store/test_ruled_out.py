"""What the index rules out before anything is read: never a message that a search finds without it."""

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a3mailer.access import search
from a3mailer.access.labour import Labour
from a3mailer.access.search import Search
from a3mailer.access.view import View
from a3mailer.access.watch import Views
from a3mailer.config.tree import Settings
from a3mailer.mail.criteria import Contains, HasFlag, Header, Operator, Place, Program
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import INBOX
from a3mailer.mail.message import index
from a3mailer.mail.message.enveloped import all_in
from a3mailer.mail.message.searched import header_lines
from a3mailer.runtime.clock import SystemClock
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.store.backends.sqlite.texts import find, volume
from a3mailer.store.backends.sqlite.texts.shelf import folder_of, read_shelf
from a3mailer.store.texts import Sought, Where
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.store.case import World, mail
from a3mailer.testing.store.texts import turn
from tests.unit.store.test_texts import bring_up_to_date

FIELDS = (
    b"Subject: =?utf-8?q?gr=C3=BCner?= =?utf-8?q?_Tee?= and more",
    b"Subject: apple,\r\n pear <plum>",
    b'Subject: say "apple pear" =?iso-8859-1?b?6ek=?=',
    b"Subject: \xe4\xbc\x9a\xe8\xae\xae\xe7\xba\xaa\xe8\xa6\x81",
    b"subject:apple",
    b'From: "Apple \\"Pear\\" Plum" <ap\\ple@b.test>',
    b"From: Apple (a comment) Pear <apple (c) @ b.test>",
    b"From: =?utf-8?q?=C3=84pfel?= =?utf-8?q?chen?= <apple@b.test>, plum@b.test",
    b'To: friends: "pe\\ar"@b.test, Plum <plum@b.test>;',
    b"To: pear@b.test (Apple)",
    b'Cc: "=?utf-8?q?ap=C3=A4?=" <x@[1.2.3.4]>',
    b"Bcc: <@a.test,@b.test:pear@c.test>",
    b"Bcc: pear@",
)
NEEDLES = (
    "apple",
    "pear",
    "grüner tee",
    "TEE",
    'pple" <ap',
    "plum@b",
    "<apple@b.test>",
    "e, p",
    "äpfel",
    "zzz",
)
NEEDLES = (
    *NEEDLES,
    "会议",
    "会",
    "pe\\ar",
    "apä",
    "le pear",
    "a",
    "",
    "(c",
    'say "apple',
    "éé",
    "and more",
    "t>, pl",
)
PLACES = (Place.SUBJECT, Place.FROM, Place.TO, Place.CC, Place.BCC, Place.TEXT, Place.BODY)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(volume, "FILTERED", 2)
    clock = FakeClock()
    store = await SqliteStore.open(tmp_path, Settings(), None, clock=clock)
    world = World(store, clock)
    await world.settle_in()
    yield world
    await store.close()


def letter(draw: random.Random) -> bytes:
    fields = draw.sample(FIELDS, draw.randrange(1, 6))
    return b"\r\n".join((*fields, b"", draw.choice((b"apple pear", b"plum zz", b""))))


def program(draw: random.Random) -> Program:
    one: Program = (Contains(draw.choice(PLACES), draw.choice(NEEDLES)),)
    for _ in range(draw.randrange(4)):
        kind = draw.randrange(4)
        if kind == 0:
            one = (*one, Operator.NOT)
        else:
            leaf = (HasFlag(SEEN), Header("from", draw.choice(NEEDLES)), None)[kind - 1]
            leaf = leaf or Contains(draw.choice(PLACES), draw.choice(NEEDLES))
            one = (*one, leaf, draw.choice((Operator.AND, Operator.OR)))
    return one


async def view_of(world: World) -> View:
    view = await Views(world.store, world.store).open(world.alice, INBOX)
    await view.mailbox.load()
    return view


@pytest.mark.parametrize("copied", [False, True])
async def test_what_is_ruled_out_is_never_found(
    world: World, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    seed = int(os.environ.get("A3_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    draw = random.Random(seed)
    store = world.store
    assert isinstance(store, SqliteStore)
    for name, value in (("FEW", 3), ("BLOCK", 8), ("WIDE", 24), ("OPEN", 2)):
        monkeypatch.setattr(search, name, value)
    for number in range(60):
        await world.append(world.alice, letter(draw), flags=SEEN * (number % 2))
        if number == 45:
            await bring_up_to_date(store, world.alice)
    if copied:  # emails do not ascend any more
        await world.copy(world.alice, (3, 40, 50), target=INBOX)
    await world.expunge(world.alice, 7, 20)
    view = await view_of(world)
    programs = [program(draw) for _ in range(75)]
    found = []
    for asked in (1, 1, 10_000):  # the second time by what the first one found
        monkeypatch.setattr(search, "ASKED", asked)
        labour = Labour(SystemClock())
        found.append([await Search(store, view, one, labour).places() for one in programs])
    assert found[0] == found[1] == found[2]
    assert sum(map(len, found[0]))
    assert view.mailbox.ascending == (-1 if copied else view.count)
    view.close()


async def test_a_mail_that_could_not_be_read_is_left_and_read_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = world.store
    assert isinstance(store, SqliteStore)
    emails = [int((await world.append(world.alice, mail("s", f"apple{n}"))).email) for n in range(4)]
    read = store._blobs.many

    async def damaged(account: int, blobs: list[bytes]) -> list[bytes | None]:
        contents = await read(account, blobs)
        return [contents[0], None, *contents[2:]]

    with monkeypatch.context() as patch:
        patch.setattr(store._blobs, "many", damaged)
        await bring_up_to_date(store, world.alice)
    shelf = read_shelf(folder_of(store._directory, world.alice))
    assert shelf is not None
    assert (shelf.upto, shelf.left) == (emails[-1], (emails[1],))
    view = await view_of(world)
    monkeypatch.setattr(search, "ASKED", 1)
    for place, text, expected in (
        (Place.TEXT, "apple1", [1]),
        (Place.TEXT, "apple2", [2]),
        (Place.SUBJECT, "s", [0, 1, 2, 3]),
        (Place.FROM, "carol@b", [0, 1, 2, 3]),
    ):
        assert await Search(store, view, (Contains(place, text),), Labour(SystemClock())).places() == expected
    view.close()
    work = store.indexing()
    await work.sweep(world.alice)
    assert (read_shelf(folder_of(store._directory, world.alice)) or shelf).left == (emails[1],)
    await world.erase(world.alice, emails[1])
    await bring_up_to_date(store, world.alice)
    shelf = read_shelf(folder_of(store._directory, world.alice))
    assert shelf is not None
    assert shelf.left == ()


async def test_what_is_likely_is_few_or_unknown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = world.store
    assert isinstance(store, SqliteStore)
    for number in range(12):
        await world.append(world.alice, mail(f"subject {number}", f"apple{number}"))
    sought = [Sought(Where.TEXT, "apple3"), Sought(Where.TEXT, "xq"), Sought(Where.ENVELOPE, "zzzzz")]
    assert await store.texts_likely(world.alice, sought, turn) == (None, None, None)
    await bring_up_to_date(store, world.alice)
    few, unknown, none = await store.texts_likely(world.alice, sought, turn)
    assert few is not None
    assert len(few) < 12
    assert (unknown, none) == (None, set())
    late = int((await world.append(world.alice, mail("late", "late"))).email)
    assert (await store.texts_likely(world.alice, sought[2:], turn)) == ({late},)
    monkeypatch.setattr(find, "LIKELY", 1)
    assert (await store.texts_likely(world.alice, sought[2:], turn)) == (None,)


@pytest.mark.parametrize(
    ("field", "vouched"),
    [
        (b"Subject: plain words", True),
        (b'From: "Doe, John" <j@a.test>, <k@a.test>', True),
        (b"From: =?utf-8?q?=C3=84pfel?= <a@b.test>", True),
        (b'From: "J\\"ohn" <j@a.test>', True),
        (b'From: "Jo\\hn" <j@a.test>', False),
        (b"From: <j (comment) @ a.test>", False),
    ],
)
def test_the_index_vouches_for_what_its_header_holds(field: bytes, vouched: bool) -> None:
    made = index(field + b"\r\n\r\n")
    header = header_lines(field + b"\r\n")
    assert all_in(header, made.subject, made.envelope) is vouched


async def test_an_unreadable_shelf_is_no_index(world: World) -> None:
    store = world.store
    assert isinstance(store, SqliteStore)
    email = (await world.append(world.alice, mail("s", "apple"))).email
    await bring_up_to_date(store, world.alice)
    sought = [Sought(Where.TEXT, "apple")]
    assert (await store.texts_with(world.alice, sought, {email}, turn)).found == ({email},)
    (folder_of(store._directory, world.alice) / "shelf").write_bytes(b"[")
    assert (await store.texts_with(world.alice, sought, {email}, turn)).upto == 0
    assert await store.texts_likely(world.alice, sought, turn) == (None,)
