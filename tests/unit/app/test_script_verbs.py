"""The scripts of an account by verbs, over a store in memory."""

import pathlib
from collections.abc import AsyncIterator

import pytest

from a3mailer.config.tree import Settings
from a3mailer.mail.errors import BadName, BadScript, NoSuchAccount, NoSuchThing, ScriptInUse, TooMany
from tests.unit.app.test_verbs import Desk, add

ALICE = "alice@example.test"


@pytest.fixture
async def desk(tmp_path: pathlib.Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, Settings())
    await desk.do("domain add", name="example.test")
    await add(desk, ALICE)
    yield desk
    desk.pool.close()


async def test_put_list_get_activate_remove(desk: Desk) -> None:
    await desk.do("sieve put", address=ALICE, name="main", script="keep;")
    await desk.do("sieve put", address=ALICE, name="other", script="discard;", activate=True)
    rows = await desk.do("sieve list", address=ALICE)
    assert isinstance(rows, list)
    assert [(row["name"], row["active"], row["size"]) for row in rows] == [
        ("main", False, 5),
        ("other", True, 8),
    ]
    with pytest.raises(ScriptInUse):
        await desk.do("sieve rm", address=ALICE, name="other")
    await desk.do("sieve activate", address=ALICE)
    with pytest.raises(NoSuchThing):
        await desk.do("sieve activate", address=ALICE)
    await desk.do("sieve rm", address=ALICE, name="other")
    found = await desk.do("sieve get", address=ALICE, name="main")
    assert isinstance(found, dict) and found["script"] == "keep;"
    acts = [row.action for row in await desk.store.audit() if row.action == "sieve.change"]
    assert len(acts) == 5


async def test_what_is_wrong_changes_nothing(desk: Desk) -> None:
    with pytest.raises(BadScript):
        await desk.do("sieve put", address=ALICE, name="main", script="nonsense;")
    with pytest.raises(NoSuchAccount):
        await desk.do("sieve list", address="nobody@example.test")
    assert await desk.do("sieve list", address=ALICE) == []


async def test_lists_that_scripts_ask_for(desk: Desk) -> None:
    made = await desk.do("sieve members", address=ALICE, name=":addrbook:default", members=("a@b.test",))
    assert isinstance(made, dict) and made["list"] == "urn:ietf:params:sieve:addrbook:default"
    entry = await desk.store.address(ALICE)
    assert entry is not None
    row = await desk.store.document(entry.account, "sieve-list", str(made["list"]))
    assert row is not None and row.value == "a@b.test"
    with pytest.raises(BadName):
        await desk.do("sieve members", address=ALICE, name="", members=("a@b.test",))
    with pytest.raises(TooMany):
        await desk.do("sieve members", address=ALICE, name="tag:x", members=("a\nb",))
    await desk.do("sieve members", address=ALICE, name=":addrbook:default", members=())
    assert await desk.store.documents(entry.account, "sieve-list") == ()
