"""The standard methods over a type made up for the purpose: notes, which may lie below one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from a3mailer.access.account_mail import AllMail
from a3mailer.access.blobs import Blobs
from a3mailer.access.loans import Loans
from a3mailer.access.people import People
from a3mailer.access.pushes import Making
from a3mailer.access.rights import Rights
from a3mailer.access.scripts import Scripts
from a3mailer.access.sharing import Sharing
from a3mailer.access.signatures import Authorities, Signatures
from a3mailer.config.tree import Settings
from a3mailer.edge.http.jmap import limits
from a3mailer.edge.http.jmap.capabilities import CORE
from a3mailer.edge.http.jmap.dispatch import Dispatcher
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import (
    By,
    Changes,
    Comparator,
    Created,
    Destroyed,
    Listed,
    Operator,
    Property,
    Record,
    Results,
    Update,
    Updated,
    table,
)
from a3mailer.edge.http.jmap.services import Services
from a3mailer.edge.http.jmap.standard import changes, get, query
from a3mailer.edge.http.jmap.standard import set as setting
from a3mailer.identity.directory import Directory
from a3mailer.identity.principal import Principal
from a3mailer.mail.envelope import Client
from a3mailer.mail.errors import OverQuota
from a3mailer.mail.ids import AccountId, TenantId
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.testing.clock import FakeClock
from a3mailer.wire.jmap.errors import MethodError, SetError
from a3mailer.wire.jmap.request import Request
from a3mailer.wire.jmap.values import Id
from a3mailer.wire.webpush.vapid import private_key
from tests.transcripts.jmap_world import submitting_of

ALICE = Principal(AccountId(7), TenantId(1), "alice@a.test", "user", "alice@a.test")
CLIENT = Client("192.0.2.1", 0)


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str | None = None


@dataclass
class Notes:
    """A Queryable and Settable type in a dict."""

    name: str = "Note"
    capability: str = CORE
    action: str = "message.read"
    change_action: str = "message.append"
    singleton: bool = False
    condition: type[msgspec.Struct] = Wanted
    sorts: frozenset[str] = frozenset(("title",))
    properties: Mapping[str, Property] = field(
        default_factory=lambda: table(
            Property("title", str, By.CLIENT),
            Property("parentId", Id | None, By.CLIENT, None, refers=True),
            Property("kind", str, By.CREATOR, "plain"),
            Property("labels", dict[str, bool], By.CLIENT, {}),
            Property("size", int),
            Property("secret", str, By.CREATOR, "", shown=False),
        )
    )
    rows: dict[str, Record] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    full: bool = False

    async def state(self, call: Call) -> str:
        return str(len(self.log))

    async def ids(self, call: Call, most: int) -> Sequence[str]:
        return tuple(self.rows)

    async def read(self, call: Call, ids: Sequence[str], properties: frozenset[str]) -> Mapping[str, Record]:
        return {each: self.rows[each] for each in ids if each in self.rows}

    async def changes(self, call: Call, since: str, most: int) -> Changes:
        if not since.isdigit() or int(since) > len(self.log):
            raise MethodError("cannotCalculateChanges")
        seen = self.log[int(since) : int(since) + most]
        by = {what: [id for kind, id in seen if kind == what] for what in ("created", "updated", "destroyed")}
        state = int(since) + len(seen)
        return Changes(by["created"], by["updated"], by["destroyed"], str(state), state < len(self.log))

    async def query(self, call: Call, filter: Any, sort: Sequence[Comparator]) -> Results:
        found = [id for id, row in self.rows.items() if _matches(row, filter)]
        for each in reversed(sort):
            found.sort(key=lambda id: self.rows[id][each.property], reverse=not each.is_ascending)
        return Listed(found, str(len(self.log)))

    async def create(self, call: Call, records: Mapping[str, Record]) -> Created:
        if self.full:
            raise OverQuota("full")
        made: dict[str, Record | SetError] = {}
        for key, record in records.items():
            id = f"N{len(self.log)}"
            self.rows[id] = {"id": id, "size": len(record["title"]), **record}
            self.log.append(("created", id))
            made[key] = {"id": id, "size": len(record["title"])}
        return made

    async def update(self, call: Call, updates: Mapping[str, Update]) -> Updated:
        for id, update in updates.items():
            self.rows[id].update(update.changed)
            self.log.append(("updated", id))
        return dict.fromkeys(updates)

    async def destroy(self, call: Call, ids: Sequence[str]) -> Destroyed:
        told: dict[str, SetError | None] = {}
        for id in ids:
            told[id] = None if self.rows.pop(id, None) else SetError("notFound")
            self.log.append(("destroyed", id))
        return told


def _matches(row: Record, filter: Any) -> bool:
    if isinstance(filter, Operator):
        found = [_matches(row, each) for each in filter.conditions]
        return {"AND": all(found), "OR": any(found), "NOT": not any(found)}[filter.operator]
    return filter is None or filter.title in (None, row["title"])


class World:
    """One dispatcher with the methods of notes."""

    def __init__(self) -> None:
        clock = FakeClock()
        store = MemoryStore(clock)
        rights = Rights(store, Directory(store, Settings()))
        self.notes = Notes()
        methods = (
            get.Get(self.notes), changes.Changes(self.notes), setting.Set(self.notes),
            query.Query(self.notes), query.QueryChanges(self.notes),
        )  # fmt: skip
        self.dispatcher = Dispatcher(
            Services(
                store,
                clock,
                Settings,
                Blobs(store, clock),
                AllMail(store),
                Making(str),
                private_key(b"v" * 32),
                submitting_of(store, clock, Settings()),
                Scripts(store, Settings()),
                Loans(store, rights, clock),
                Signatures(store, clock, Authorities(Path("/nowhere"), Settings)),
                People(store, rights, Settings),
                Sharing(store, rights, clock),
            ),
            methods,
        )

    async def ask(self, method: str, **arguments: object) -> dict[str, Any]:
        request = Request((CORE,), ((f"Note/{method}", {"accountId": "A7", **arguments}, "c"),))
        response = await self.dispatcher.perform(ALICE, CLIENT, request)
        ((name, told, _),) = response.method_responses
        return {"error": told.get("type"), **told} if name == "error" else told

    async def fill(self, *titles: str) -> list[str]:
        told = await self.ask("set", create={f"k{n}": {"title": each} for n, each in enumerate(titles)})
        return [told["created"][f"k{n}"]["id"] for n in range(len(titles))]


@pytest.fixture
def world() -> World:
    return World()


async def test_get_tells_each_record_once(world: World) -> None:
    a, b = await world.fill("a", "b")
    told = await world.ask("get", ids=[b, "N99", a, b, "N99"], properties=["title"])
    assert told["list"] == [{"id": b, "title": "b"}, {"id": a, "title": "a"}] and told["notFound"] == ["N99"]
    assert told["accountId"] == "A7" and told["state"] == "2"
    every = (await world.ask("get"))["list"]
    assert (
        [each["id"] for each in every] == [a, b] and "secret" not in every[0] and every[0]["kind"] == "plain"
    )
    assert (await world.ask("get", ids=[], properties=["secret"]))["list"] == []
    for wrong in ({"properties": ["no"]}, {"ids": ["a b"]}, {"ids": "a"}, {"more": 1}, {"ids": [1]}):
        assert (await world.ask("get", **wrong))["error"] == "invalidArguments", wrong
    many = [f"N{n}" for n in range(limits.MAX_OBJECTS_IN_GET + 1)]
    assert (await world.ask("get", ids=many))["error"] == "requestTooLarge"


async def test_accounts_of_others_are_not_found(world: World) -> None:
    request = Request((CORE,), (("Note/get", {"accountId": "A8"}, "c"), ("Note/get", {}, "d")))
    responses = (await world.dispatcher.perform(ALICE, CLIENT, request)).method_responses
    assert [told["type"] for _, told, _ in responses] == ["accountNotFound", "invalidArguments"]


async def test_records_are_created_in_the_order_of_their_references(world: World) -> None:
    told = await world.ask(
        "set",
        create={
            "c": {"title": "c", "parentId": "#b"},
            "b": {"title": "b", "parentId": "#a"},
            "a": {"title": "a", "labels": {"x": True}},
            "w": {"title": "w", "parentId": "#nobody"},
            "v": {"title": "v", "parentId": "#v"},
        },
    )
    made = {key: each["id"] for key, each in told["created"].items()}
    assert set(made) == {"a", "b", "c"}
    assert world.notes.rows[made["c"]]["parentId"] == made["b"]
    assert told["created"]["a"] == {
        "id": made["a"],
        "size": 1,
        "parentId": None,
        "kind": "plain",
        "secret": "",
    }
    assert told["notCreated"] == {
        key: {"type": "invalidProperties", "properties": ["parentId"]} for key in ("w", "v")
    }
    assert (told["oldState"], told["newState"], told["updated"]) == ("0", "3", None)


async def test_all_wrong_properties_are_named(world: World) -> None:
    given = {"id": "x", "size": 3, "no": 1, "labels": {"a": 1}}
    told = await world.ask("set", create={"k": given})
    error = told["notCreated"]["k"]
    assert error["type"] == "invalidProperties" and told["created"] is None
    assert sorted(error["properties"]) == ["id", "labels", "no", "size", "title"]


async def test_updates_are_patches(world: World) -> None:
    (a,) = await world.fill("a")
    told = await world.ask("set", update={a: {"labels/x": True, "title": "b", "size": 1, "kind": "plain"}})
    assert told["updated"] == {a: None} and world.notes.rows[a]["labels"] == {"x": True}
    wrong = {
        "size": ({"size": 2}, "invalidProperties"),
        "no": ({"no": 2}, "invalidProperties"),
        "kind": ({"kind": "other"}, "invalidProperties"),
        "title": ({"title": None}, "invalidProperties"),
        "labels": ({"labels/x": 1}, "invalidProperties"),
        "patch": ({"title/x": 1}, "invalidPatch"),
    }
    for name, (patch, kind) in wrong.items():
        told = await world.ask("set", update={a: patch})
        assert told["notUpdated"][a]["type"] == kind, name
        assert kind == "invalidPatch" or told["notUpdated"][a]["properties"] == [name]
    assert world.notes.rows[a]["title"] == "b"
    told = await world.ask("set", update={a: {"labels": None}, "N99": {}, "#none": {}})
    assert world.notes.rows[a]["labels"] == {}
    assert told["notUpdated"] == {"N99": {"type": "notFound"}, "#none": {"type": "notFound"}}


async def test_what_is_created_can_be_changed_and_destroyed_in_the_same_call(world: World) -> None:
    (a,) = await world.fill("a")
    told = await world.ask(
        "set",
        create={"k": {"title": "k"}, "l": {"title": "l"}},
        update={"#k": {"title": "K"}, a: {"title": "A"}},
        destroy=["#l", a, a, "N99", "#none"],
    )
    k, second = told["created"]["k"]["id"], told["created"]["l"]["id"]
    assert told["updated"] == {k: None} and told["notUpdated"] == {a: {"type": "willDestroy"}}
    assert told["destroyed"] == [second, a]
    assert told["notDestroyed"] == {"#none": {"type": "notFound"}, "N99": {"type": "notFound"}}
    assert list(world.notes.rows) == [k] and world.notes.rows[k]["title"] == "K"


async def test_conditions_and_limits_of_set(world: World) -> None:
    assert (await world.ask("set", ifInState="7"))["error"] == "stateMismatch"
    many = [f"N{n}" for n in range(limits.MAX_OBJECTS_IN_SET + 1)]
    assert (await world.ask("set", destroy=many))["error"] == "requestTooLarge"
    assert (await world.ask("set", create={"a b": {"title": "x"}}))["error"] == "invalidArguments"
    world.notes.full = True
    told = await world.ask("set", ifInState="0", create={"k": {"title": "x"}})
    assert told["notCreated"] == {"k": {"type": "overQuota", "description": "full"}}
    world.notes.singleton = True
    told = await world.ask("set", create={"k": {"title": "x"}}, destroy=["singleton"])
    assert told["notCreated"]["k"]["type"] == told["notDestroyed"]["singleton"]["type"] == "singleton"


async def test_changes_come_in_pieces(world: World) -> None:
    a, b = await world.fill("a", "b")
    told = await world.ask("changes", sinceState="0", maxChanges=1)
    assert (told["created"], told["newState"], told["hasMoreChanges"]) == ([a], "1", True)
    told = await world.ask("changes", sinceState="1")
    assert (told["created"], told["newState"], told["hasMoreChanges"]) == ([b], "2", False)
    assert (await world.ask("changes", sinceState="x"))["error"] == "cannotCalculateChanges"
    assert (await world.ask("changes", sinceState="0", maxChanges=0))["error"] == "invalidArguments"


async def test_a_query_has_windows(world: World) -> None:
    ids = await world.fill("d", "a", "c", "b")
    d, a, c, b = ids
    sort = [{"property": "title"}]
    told = await world.ask("query", sort=sort, position=1, limit=2, calculateTotal=True)
    assert told["ids"] == [b, c] and told["total"] == 4 and told["position"] == 1 and "limit" not in told
    assert told["canCalculateChanges"] is True and told["queryState"] == "4"
    told = await world.ask("query", sort=[{"property": "title", "isAscending": False}])
    assert told["ids"] == [d, c, b, a] and told["limit"] == limits.MAX_IN_QUERY and "total" not in told
    assert (await world.ask("query", position=-1))["ids"] == [b]
    assert (await world.ask("query", position=-9))["position"] == 0
    assert (await world.ask("query", position=9))["ids"] == []
    assert (await world.ask("query", anchor=c, anchorOffset=-1, limit=1, position=3))["ids"] == [a]
    assert (await world.ask("query", anchor=d, anchorOffset=-5))["position"] == 0
    assert (await world.ask("query", anchor="N99"))["error"] == "anchorNotFound"
    assert (await world.ask("query", limit=-1))["error"] == "invalidArguments"
    assert (await world.ask("query", sort=[{"property": "size"}]))["error"] == "unsupportedSort"
    assert (await world.ask("query", sort=[{"property": "title", "collation": "x"}]))[
        "error"
    ] == "unsupportedSort"


async def test_filters_are_trees(world: World) -> None:
    a, b, c = await world.fill("a", "b", "c")
    either = {"operator": "OR", "conditions": [{"title": "a"}, {"title": "b"}]}
    assert (await world.ask("query", filter=either))["ids"] == [a, b]
    assert (await world.ask("query", filter={"operator": "NOT", "conditions": [either]}))["ids"] == [c]
    assert (await world.ask("query", filter={}))["ids"] == [a, b, c]
    for wrong, kind in (
        ({"operator": "XOR", "conditions": []}, "invalidArguments"),
        ({"operator": "AND"}, "invalidArguments"),
        ({"operator": "AND", "conditions": [7]}, "invalidArguments"),
        ({"title": 7}, "invalidArguments"),
        ({"operator": "AND", "conditions": [], "title": "a"}, "invalidArguments"),
        ({"no": 7}, "unsupportedFilter"),
        ({"operator": "AND", "conditions": [{}] * limits.MAX_CONDITIONS}, "unsupportedFilter"),
    ):
        assert (await world.ask("query", filter=wrong))["error"] == kind, wrong


async def test_what_changed_in_a_query(world: World) -> None:
    a, b, c = await world.fill("a", "b", "c")
    await world.ask("set", update={a: {"title": "z"}}, destroy=[b], create={"k": {"title": "d"}})
    sort = [{"property": "title"}]
    now = (await world.ask("query", sort=sort))["ids"]
    told = await world.ask("queryChanges", sort=sort, sinceQueryState="3", calculateTotal=True)
    cached = [id for id in (a, b, c) if id not in told["removed"]]
    for each in told["added"]:
        cached.insert(each["index"], each["id"])
    assert cached == now and told["total"] == 3 and told["newQueryState"] == "6"
    assert (await world.ask("queryChanges", sinceQueryState="3", maxChanges=1))["error"] == "tooManyChanges"
    assert (await world.ask("queryChanges", sinceQueryState="x"))["error"] == "cannotCalculateChanges"
