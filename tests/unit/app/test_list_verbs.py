"""Mailing lists, wildcards and masked addresses by verbs, over a store in memory."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator

import pytest

from a3mailer.app import material
from a3mailer.config.tree import Settings
from a3mailer.mail.errors import (
    AddressReserved,
    AlreadyExists,
    BadName,
    NoSuchAccount,
    NoSuchMessage,
    NoSuchThing,
)
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX
from a3mailer.mail.message import index
from a3mailer.store.operations import Append, PutAlias
from a3mailer.store.ports import Content, Transaction
from tests.unit.app.test_verbs import Desk, add

LIST = "news@example.test"
MAIL = b"From: <eve@b.test>\r\nSubject: hello\r\n\r\nGood morning.\r\n"


@pytest.fixture
async def desk(tmp_path: pathlib.Path) -> AsyncIterator[Desk]:
    (tmp_path / "a3mailer.toml").write_text("")
    (tmp_path / "keys").mkdir()
    material.srs_keys(tmp_path)
    desk = Desk(tmp_path, Settings())
    await desk.do("domain add", name="example.test")
    await desk.do("list add", address="News@Example.test", owners=("o@b.test",), posting="moderated")
    yield desk
    desk.pool.close()


async def waiting(desk: Desk) -> list[dict[str, object]]:
    found = await desk.do("list waiting", address=LIST)
    assert isinstance(found, list)
    return found


async def hold(desk: Desk) -> str:
    """A mail waits; its number."""
    entry = await desk.store.address(LIST)
    assert entry is not None
    await desk.store.commit(
        Transaction((Append(entry.account, INBOX, 0, check_quota=False),), (Content(MAIL, index(MAIL)),))
    )
    (row,) = await waiting(desk)
    assert (row["from"], row["subject"]) == ("eve@b.test", "hello")
    return str(row["number"])


async def test_a_list_is_no_account_of_a_person(desk: Desk) -> None:
    (row,) = await desk.do("list list")  # type: ignore[misc]
    assert (row["address"], row["owners"], row["members"]) == (LIST, ("o@b.test",), 0)
    for verb in ("account passwd", "account rm", "token list"):
        more = {"password": "x"} if verb == "account passwd" else {}
        with pytest.raises(NoSuchAccount):
            await desk.do(verb, address=LIST, **more)
    with pytest.raises(AlreadyExists):
        await desk.do("list add", address=LIST, owners=("o@b.test",))
    with pytest.raises(AlreadyExists):
        await desk.do("alias add", address=LIST, targets=("x@b.test",))
    with pytest.raises(NoSuchAccount):
        await desk.do("list members", address="nobody@example.test")


@pytest.mark.parametrize(
    "wrong",
    [{"posting": "all"}, {"joining": "x"}, {"owners": ()}, {"tag": "a\r\nb"}, {"tag": "ä"}, {"name": "a\nb"}],
)
async def test_what_cannot_hold_for_a_list(desk: Desk, wrong: dict[str, object]) -> None:
    with pytest.raises(BadName):
        await desk.do("list add", **{"address": "x@example.test", "owners": ("o@b.test",), **wrong})


async def test_members_come_and_go_and_are_told(desk: Desk) -> None:
    await desk.do("list subscribe", address=LIST, members=("A@b.test", "c@b.test"))
    (one, two) = await desk.do("list members", address=LIST)  # type: ignore[misc]
    assert (one["address"], two["address"], one["suspended"]) == ("a@b.test", "c@b.test", False)
    assert len(await desk.store.queue()) == 2
    gone = await desk.do("list unsubscribe", address=LIST, members=("a@b.test", "nobody@b.test"))
    assert gone == {"address": LIST, "members": ["a@b.test"]}
    assert ("operator", "list.unsubscribe", LIST) in await desk.audit()


async def test_a_mail_is_let_through_or_thrown_away(desk: Desk) -> None:
    await desk.do("list subscribe", address=LIST, members=("a@b.test",))
    number = await hold(desk)
    assert await desk.do("list approve", address=LIST, number=number) == {"address": LIST, "number": number}
    with pytest.raises(NoSuchMessage):
        await desk.do("list reject", address=LIST, number=number)
    (kept,) = await desk.do("list archive", address=LIST)  # type: ignore[misc]
    assert kept["subject"] == "hello"
    paths = [entry.reverse_path for entry in await desk.store.queue()]
    assert [path[:7] for path in paths if path] == ["BOUNCE="]
    assert await waiting(desk) == []


async def test_a_list_that_goes_takes_everything_along(desk: Desk) -> None:
    await desk.do("list subscribe", address=LIST, members=("a@b.test",))
    await desk.do("list rm", address=LIST)
    assert await desk.do("list list") == []
    with pytest.raises(AddressReserved):
        await desk.do("list add", address=LIST, owners=("o@b.test",))


@pytest.mark.parametrize(
    "wrong", ["sh*p@example.test", "*shop@example.test", "shop*@example.test", "**@example.test"]
)
async def test_a_wildcard_stands_at_the_end_of_a_word(desk: Desk, wrong: str) -> None:
    await desk.do("alias add", address="shop-*@example.test", targets=("x@b.test",))
    await desk.do("alias add", address="*@example.test", targets=("x@b.test",))
    with pytest.raises(BadName):
        await desk.do("alias add", address=wrong, targets=("x@b.test",))


async def test_a_masked_address_comes_is_refused_and_is_forgotten(desk: Desk) -> None:
    await add(desk, "alice@example.test")
    made = await desk.do("masked add", address="alice@example.test", site="Shop.Example")
    assert isinstance(made, dict) and made["site"] == "shop.example"
    name = made["masked"]
    (row,) = await desk.do("masked list", address="alice@example.test")  # type: ignore[misc]
    assert (row["masked"], row["disabled"], row["senders"]) == (name, False, [])
    entry = await desk.store.address(name)
    assert entry is not None and entry.targets == ("alice@example.test",)
    assert await desk.do("masked leaks", address="alice@example.test") == []
    await desk.do("masked disable", address="alice@example.test", masked=name)
    entry = await desk.store.address(name)
    assert entry is not None and entry.kind == "reserved"
    with pytest.raises(NoSuchThing):
        await desk.do("masked disable", address="alice@example.test", masked=name)
    await desk.do("masked enable", address="alice@example.test", masked=name)
    entry = await desk.store.address(name)
    assert entry is not None and (entry.kind, entry.targets) == ("alias", ("alice@example.test",))
    with pytest.raises(NoSuchThing):
        await desk.do("masked enable", address="alice@example.test", masked=name)
    await desk.do("masked rm", address="alice@example.test", masked=name)
    assert await desk.do("masked list", address="alice@example.test") == []
    with pytest.raises(NoSuchThing):
        await desk.do("masked rm", address="alice@example.test", masked=name)
    with pytest.raises(NoSuchAccount):
        await desk.do("masked add", address="nobody@example.test", site="shop.example")


async def test_a_disabled_address_that_somebody_else_has_by_now_stays_his(desk: Desk) -> None:
    await add(desk, "alice@example.test")
    made = await desk.do("masked add", address="alice@example.test", site="shop.example")
    assert isinstance(made, dict)
    await desk.do("masked disable", address="alice@example.test", masked=made["masked"])
    other = PutAlias(DEFAULT_TENANT, made["masked"], ("bob@b.test",), reclaim=True)
    await desk.store.commit(Transaction((other,)))
    with pytest.raises(AlreadyExists):
        await desk.do("masked enable", address="alice@example.test", masked=made["masked"])


async def test_what_holds_for_a_list_is_changed_piece_by_piece(desk: Desk) -> None:
    made = await desk.do("list set", address=LIST, tag="[news]", name="The news", archive=False)
    assert isinstance(made, dict)
    told = {name: made[name] for name in ("name", "owners", "posting", "joining", "archive", "tag")}
    assert told == {
        "name": "The news",
        "owners": ("o@b.test",),
        "posting": "moderated",
        "joining": "open",
        "archive": False,
        "tag": "[news]",
    }
    made = await desk.do("list set", address=LIST, owners=("O@b.test", "o@b.test", "p@b.test"), tag="")
    assert isinstance(made, dict) and (made["owners"], made["tag"]) == (("o@b.test", "p@b.test"), "")
    for bad in ({}, {"owners": ()}, {"posting": "loud"}, {"tag": "\r\n"}, {"name": "a\nb"}):
        with pytest.raises(BadName):
            await desk.do("list set", address=LIST, **bad)
    with pytest.raises(NoSuchAccount):
        await desk.do("list set", address="other@example.test", tag="x")
    (row,) = await desk.do("list list")  # type: ignore[misc]
    assert (row["name"], row["posting"]) == ("The news", "moderated")
