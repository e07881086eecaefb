"""The scripts of an account: what there is, what may be, what runs."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from a3mailer.access import scripts
from a3mailer.access.scripts import Active, Scripts
from a3mailer.config.tree import Settings, Sieve
from a3mailer.mail.changes import EVERYTHING
from a3mailer.mail.errors import (
    AlreadyExists,
    BadName,
    BadScript,
    MailError,
    NoSuchThing,
    OverQuota,
    ScriptInUse,
    TooLarge,
    TooMany,
)
from a3mailer.mail.ids import AccountId
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import PutSetting, RemoveAccount
from a3mailer.store.ports import Transaction
from a3mailer.testing.store.case import settle_in

KEEP = b"keep;\r\n"
DISCARD = b"discard;\r\n"
NOW = 1_700_000_000


class World:
    """One account and two workers that know its scripts."""

    def __init__(self, store: MemoryStore, account: AccountId, settings: Settings) -> None:
        self.store = store
        self.account = account
        self.one = Scripts(store, settings)
        self.two = Scripts(store, settings)

    async def put(self, name: str, octets: bytes = KEEP, **how: bool) -> str:
        return (await self.one.put(self.account, name, octets, NOW, **how)).id

    async def names(self) -> list[str]:
        return [each.name for each in (await self.two.roll(self.account)).scripts]

    async def active(self) -> Active | None:
        """What the other worker runs."""
        return await self.two.active(self.account)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store = MemoryStore()
    settings = Settings(sieve=Sieve(scripts=3, size=2048, octets=3072))
    world = World(store, await settle_in(store), settings)
    yield world
    world.one.close()
    world.two.close()


async def test_put_get_rename_delete(world: World) -> None:
    ident = await world.put("b")
    await world.put("a", DISCARD)
    assert await world.names() == ["a", "b"]
    assert await world.two.get(world.account, "a") == DISCARD
    assert await world.put("b", DISCARD) == ident, "the id of a name stays"
    assert await world.two.octets(world.account, ident) == DISCARD
    await world.one.rename(world.account, "b", "c")
    assert (await world.two.roll(world.account)).called("c").id == ident
    await world.one.delete(world.account, "c")
    assert await world.names() == ["a"]
    assert await world.put("c") != ident, "and is not given again"
    with pytest.raises(NoSuchThing):
        await world.two.octets(world.account, ident)
    (row,) = [each for each in (await world.one.roll(world.account)).scripts if each.name == "a"]
    assert (row.size, row.changed) == (len(DISCARD), NOW)


async def test_a_script_is_not_renamed_to_what_it_is_called(world: World) -> None:
    """RFC 5804 section 2.11: a script with the new name exists."""
    await world.put("ä")
    with pytest.raises(AlreadyExists):
        await world.one.rename(world.account, "ä", "a\u0308")


async def test_a_name_begins_with_no_mark_of_an_order_of_octets(world: World) -> None:
    """RFC 5198 section 2, which RFC 5804 section 1.6 asks for."""
    with pytest.raises(BadName):
        await world.put("\ufeffa")
    await world.put("a\ufeff")


async def test_by_id_name_and_octets_change_at_once(world: World) -> None:
    ident = await world.put("a")
    await world.one.run(world.account, ident)
    before = await world.one.roll(world.account)
    after = await world.one.alter(world.account, ident, DISCARD, NOW + 5, "b")
    assert (after.id, after.name, after.size, after.changed) == (ident, "b", len(DISCARD), NOW + 5)
    assert (await world.one.roll(world.account)).generation == before.generation + 1, "one change"
    assert await world.two.get(world.account, "b") == DISCARD
    only_name = await world.one.alter(world.account, ident, None, NOW + 9, "c")
    assert (only_name.digest, only_name.changed) == (after.digest, NOW + 5)
    with pytest.raises(ScriptInUse):
        await world.one.remove(world.account, ident)
    await world.one.run(world.account, "")
    await world.one.remove(world.account, ident)
    assert await world.names() == []


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda w: w.one.get(w.account, "none"), NoSuchThing),
        (lambda w: w.one.rename(w.account, "none", "x"), NoSuchThing),
        (lambda w: w.one.rename(w.account, "a", "b"), AlreadyExists),
        (lambda w: w.one.delete(w.account, "none"), NoSuchThing),
        (lambda w: w.one.activate(w.account, "none"), NoSuchThing),
        (lambda w: w.one.alter(w.account, "s99", KEEP, NOW), NoSuchThing),
        (lambda w: w.one.alter(w.account, "s1", DISCARD, NOW, "b"), AlreadyExists),
        (lambda w: w.one.alter(w.account, "s1", None, NOW, ""), BadName),
        (lambda w: w.one.alter(w.account, "s1", b"nonsense;", NOW, "c"), BadScript),
        (lambda w: w.one.remove(w.account, "s99"), NoSuchThing),
        (lambda w: w.one.run(w.account, "s99"), NoSuchThing),
        (lambda w: w.put("a", only_new=True), AlreadyExists),
        (lambda w: w.put(""), BadName),
        (lambda w: w.put("x" * 513), BadName),
        (lambda w: w.put("a\r\nb"), BadName),
        (lambda w: w.put("a\u2028b"), BadName),
        (lambda w: w.put("a\x85b"), BadName),
        (lambda w: w.one.rename(w.account, "a", "\0"), BadName),
        (lambda w: w.put("c", b"nonsense;"), BadScript),
        (lambda w: w.put("c", b"keep; # \xff"), BadScript),
        (lambda w: w.put("c", b"#" * 2049), TooLarge),
        (lambda w: w.put("c", KEEP + b"#" * 2000), None),
        (lambda w: w.one.alter(w.account, "s1", b"#" * 2049, NOW), TooLarge),
    ],
)
async def test_what_is_refused_changes_nothing(world: World, act, error: type[MailError] | None) -> None:  # type: ignore[no-untyped-def]
    await world.put("a")
    await world.put("b", b"#" * 1000)
    before = await world.one.roll(world.account)
    if error is None:
        await act(world)
        return
    with pytest.raises(error):
        await act(world)
    assert await world.two.roll(world.account) == before


async def test_where_a_script_is_wrong(world: World) -> None:
    with pytest.raises(BadScript) as caught:
        await world.put("a", b"keep;\r\n  nonsense;\r\n")
    assert (caught.value.line, caught.value.column, caught.value.unknown_capability) == (2, 3, False)
    with pytest.raises(BadScript) as caught:
        await world.put("a", b'require "vnd.a3.policy";\r\n')
    assert caught.value.unknown_capability and str(caught.value).startswith("line 1, column 9: ")
    with pytest.raises(BadScript) as caught:
        await world.put("a", b"keep;\r\n# \xc3\xa4\xff\r\n")
    assert (caught.value.line, caught.value.column) == (2, 4)


async def test_how_much_there_may_be(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.put(name, b"#" * 1000)
    with pytest.raises(TooMany):
        await world.put("d")
    with pytest.raises(TooMany):
        await world.one.check_space(world.account, "d", 1)
    await world.one.check_space(world.account, "c", 1072)
    with pytest.raises(OverQuota):
        await world.one.check_space(world.account, "c", 1073)
    with pytest.raises(OverQuota):
        await world.put("c", b"#" * 1073)
    await world.put("c", b"#" * 1072)
    world.one.reconfigure(Settings(sieve=Sieve(scripts=4, octets=4000)))
    await world.put("d")
    assert (world.one.most, world.two.most, world.two.largest) == (4, 3, 2048)


async def test_one_is_active_or_none(world: World) -> None:
    await world.put("a", DISCARD)
    await world.put("b")
    assert await world.active() is None and world.two.is_idle(world.account)
    await world.one.activate(world.account, "a")
    found = await world.active()
    assert found is not None and found.name == "a" and found.program is not None
    assert not world.two.is_idle(world.account)
    with pytest.raises(ScriptInUse):
        await world.one.delete(world.account, "a")
    await world.one.rename(world.account, "a", "z")
    found = await world.active()
    assert found is not None and found.name == "z"
    await world.one.activate(world.account, "b")
    found = await world.active()
    assert found is not None and found.name == "b"
    await world.put("b", DISCARD)
    again = await world.active()
    assert again is not None and again.digest != found.digest, "the new octets run at once"
    await world.one.activate(world.account, "")
    assert await world.active() is None
    await world.one.delete(world.account, "b")


async def test_what_is_known_is_not_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.put("a")
    await world.one.activate(world.account, "a")
    other = AccountId(world.account + 7)
    first = await world.active()
    assert await world.two.active(other) is None
    monkeypatch.delattr(MemoryStore, "documents")
    monkeypatch.delattr(MemoryStore, "document")
    assert await world.active() is first and world.two.is_idle(other)


async def test_a_directory_that_changed_and_hints_that_were_lost(world: World) -> None:
    await world.put("a")
    await world.one.activate(world.account, "a")
    assert await world.active() is not None
    world.two._heard(EVERYTHING)
    assert not world.two._active
    assert await world.active() is not None
    await world.store.commit(Transaction((PutSetting("log.level", "info"),)))
    assert not world.two._active
    assert await world.active() is not None
    await world.store.commit(Transaction((RemoveAccount(world.account, NOW),)))
    assert await world.active() is None


async def test_what_is_read_while_it_changes_is_not_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.put("a")
    read, begun, go = MemoryStore.documents, asyncio.Event(), asyncio.Event()

    async def slow(self: MemoryStore, account: AccountId, kind: str) -> object:
        found = await read(self, account, kind)
        begun.set()
        await go.wait()
        return found

    async with asyncio.TaskGroup() as tasks:
        with monkeypatch.context() as patched:
            patched.setattr(MemoryStore, "documents", slow)
            late = tasks.create_task(world.active())
            await begun.wait()
        await world.one.activate(world.account, "a")
        go.set()
    assert late.result() is None, "as it was when it was asked for"
    assert await world.active() is not None


async def test_of_two_changes_at_once_none_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.two.reconfigure(Settings())
    world.one.reconfigure(Settings())
    read = MemoryStore.documents

    async def slow(self: MemoryStore, account: AccountId, kind: str) -> object:
        found = await read(self, account, kind)
        await asyncio.sleep(0)
        return found

    monkeypatch.setattr(MemoryStore, "documents", slow)
    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(world.one.put(world.account, f"one {number}", KEEP, NOW))
            tasks.create_task(world.two.put(world.account, f"two {number}", KEEP, NOW))
    monkeypatch.undo()
    roll = await world.one.roll(world.account)
    assert len(roll.scripts) == len({each.id for each in roll.scripts}) == roll.generation == 6


async def test_the_same_script_of_many_is_compiled_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.put("a")
    await world.put("b")
    await world.one.activate(world.account, "a")
    first = await world.active()
    await world.one.activate(world.account, "b")
    monkeypatch.delattr(scripts, "compile_script")
    second = await world.active()
    assert first is not None and second is not None
    assert second.name == "b" and second.program is first.program


async def test_a_script_that_is_no_longer_one_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    script = b'require "copy"; keep;'
    await world.put("a", script)
    await world.one.activate(world.account, "a")
    monkeypatch.setattr(scripts, "USERS", scripts.USERS.without("copy"))
    found = await world.active()
    assert found is not None and found.program is None
    assert found.error is not None and found.error.unknown_capability
    with pytest.raises(BadScript):
        await world.two.included(world.account, "a")
    await world.one.activate(world.account, "")
    with pytest.raises(BadScript):
        await world.one.activate(world.account, "a")


async def test_included_scripts(world: World) -> None:
    await world.put("a")
    assert await world.two.included(world.account, "a") is not None
    assert await world.two.included(world.account, "b") is None
    await world.one.put(world.account, "\u00e4\u00a0x", b"keep;", 1)
    assert await world.two.included(world.account, "a\u0308\u00a0x") is not None, "another form of the name"


def test_what_scripts_may_require() -> None:
    offered = Scripts(MemoryStore(), Settings()).capabilities
    assert "vacation" in offered and "vnd.a3.policy" not in offered
