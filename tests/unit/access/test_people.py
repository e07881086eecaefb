"""Whom one sees: by the setting, by what is shared, and nobody else."""

from __future__ import annotations

import json

import msgspec
import pytest

from a3mailer.access.people import EVERYBODY, KEPT, People, described, id_of
from a3mailer.config.tree import Jmap, Settings
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.mail.rights import ANYONE, of_account, of_group
from a3mailer.store import operations as op
from tests.unit.access.test_rights import OTHER, World


class Town(World):
    """a.test: alice, bob, a/b=c, the shared team, the group sales; b.test: carol; in another tenant eve."""

    setting = "domain"

    async def settle_in(self) -> None:
        await super().settle_in()
        await self.do(op.PutAlias(DEFAULT_TENANT, "sales@a.test", ("bob@a.test",), "group"))
        await self.do(op.PutAlias(DEFAULT_TENANT, "all@b.test", ("carol@b.test",), "group"))
        self.people = People(self.store, self.rights, lambda: Settings(jmap=Jmap(principals=self.setting)))

    async def seen(self, name: str) -> set[str]:
        self.rights.forget()
        found = await self.people.seen_by(self.who(name))
        assert len(found) == len(list(found))
        return {person.name.partition("@")[0] for person in found}


@pytest.fixture
async def town() -> Town:
    made = Town()
    await made.settle_in()
    return made


A_TEST = {"alice", "bob", "a/b=c", "team", "sales", "anyone"}


async def test_those_of_ones_domains(town: Town) -> None:
    assert await town.seen("alice") == A_TEST
    assert await town.seen("carol") == {"carol", "all", "anyone"}
    assert await town.seen("eve") == {"eve", "anyone"}
    await town.do(op.PutAlias(DEFAULT_TENANT, "caroline@a.test", ("carol@b.test",)))
    assert await town.seen("carol") == A_TEST | {"carol", "all"}, "she has an address there"
    await town.do(op.ChangeAccount(town.ids["bob"], enabled=False))
    assert await town.seen("alice") == A_TEST - {"bob"}


async def test_the_setting(town: Town) -> None:
    town.setting = "tenant"
    assert await town.seen("alice") == A_TEST | {"carol", "all"}
    assert await town.seen("eve") == {"eve", "anyone"}
    town.setting = "shared"
    assert await town.seen("alice") == {"alice", "anyone"}
    assert (await town.people.seen_by(town.who("alice"))).company is town.people.company("")
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"principals": "all"}, Jmap)


async def test_with_whom_something_is_shared(town: Town) -> None:
    town.setting = "shared"
    await town.grant("alice", of_account(town.ids["carol"]), "lr")
    await town.grant("alice", "-" + of_group("all@b.test"), "w")
    assert await town.seen("alice") == {"alice", "carol", "all", "anyone"}
    assert await town.seen("carol") == {"carol", "alice", "anyone"}, "not who else may"
    await town.grant("alice", of_account(town.ids["carol"]), "lra")
    assert await town.seen("carol") == {"carol", "alice", "all", "anyone"}, "now it is hers to give"
    await town.grant("alice", of_account(town.ids["carol"]), "")
    assert await town.seen("carol") == {"carol", "anyone"}
    assert await town.seen("bob") == {"bob", "anyone"}


async def test_what_there_is_of_each(town: Town) -> None:
    settings = described("{}", "Hello.", "Europe/Berlin")
    await town.do(op.ChangeAccount(town.ids["bob"], display_name="Bob B.", settings=settings))
    town.rights.forget()
    seen = await town.people.seen_by(town.who("alice"))
    bob, team, sales = (
        seen.of(each)
        for each in (of_account(town.ids["bob"]), of_account(town.ids["team"]), of_group("sales@a.test"))
    )
    assert bob is not None and team is not None and sales is not None
    assert (bob.id, bob.type, bob.name) == (f"P{town.ids['bob']}", "individual", "Bob B.")
    assert (bob.email, bob.description, bob.time_zone) == ("bob@a.test", "Hello.", "Europe/Berlin")
    assert (team.type, team.name) == ("other", "team@a.test")
    assert (sales.type, sales.email, sales.account) == ("group", "sales@a.test", 0)
    assert seen.of(ANYONE) == EVERYBODY and seen.get(sales.id) == sales
    for identifier in (of_account(town.ids["carol"]), of_account(town.ids["eve"]), of_group("all@b.test")):
        assert seen.of(identifier) is None, "not to be told from who is not there"
    assert json.loads(described('{"x":1,"description":"a"}', None, "UTC")) == {"x": 1, "time_zone": "UTC"}
    assert len({id_of(of_group(f"{n}@a.test")) for n in range(100)}) == 100


async def test_what_many_see_is_read_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    accounts = town.store.accounts

    async def counted(limit: int = 1000, after: int = 0) -> object:
        nonlocal read
        read += after == 0
        return await accounts(2, after)

    monkeypatch.setattr(town.store, "accounts", counted)
    town.rights.forget()
    first = await town.people.seen_by(town.who("alice"))
    assert (await town.people.seen_by(town.who("bob"))).company is first.company and read == 1
    assert await town.people.seen_by(town.who("alice")) is first
    await town.do(op.ChangeAccount(town.ids["bob"], display_name="Bob"))
    town.rights.forget()
    after = await town.people.seen_by(town.who("alice"))
    assert read == 2 and after.company.digest != first.company.digest
    assert town.people.company(first.company.digest) is first.company, "so that it is known what changed"


async def test_states_are_forgotten_in_their_order(town: Town) -> None:
    alice, bob = town.ids["alice"], town.ids["bob"]
    for number in range(KEPT + 1):
        town.people.shown.keep(alice, str(number), {})
    assert town.people.shown.of(alice, "0") is None and town.people.shown.of(alice, "1") == {}
    assert town.people.shown.of(bob, "1") is None
    assert OTHER != DEFAULT_TENANT
