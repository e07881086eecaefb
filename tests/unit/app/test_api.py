"""Verbs as routes of the API: the same verbs, for whoever may, about what is his."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from a3mailer.app.api import EXPOSED
from a3mailer.app.verbs.table import BY_NAME
from a3mailer.mail.ids import SYSTEM_ACCOUNT, TenantId
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.indicators import KIND, Indicator
from tests.unit.edge.http.api_world import ApiWorld, basic

OTHER = TenantId(2)
ALICE, BOB = basic("alice@a.test", "secret-a"), basic("bob@a.test", "secret-a")


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    clock = FakeClock()
    made = ApiWorld(MemoryStore(clock), clock)
    await made.settle()
    await made.do(op.ChangeAccount(made.alice, role="tenant-admin"))
    await made.do(op.PutTenant(OTHER, "other"), op.PutDomain(OTHER, "other.test"))
    yield made
    await made.close()


async def test_the_queue_is_shown_and_changed(world: ApiWorld) -> None:
    sent = {"to": ["x@else.test"], "subject": "s", "text": "t"}
    number = (await world.ask("POST /api/v1/send", sent, ALICE)).json["id"]
    (entry,) = (await world.ask("GET /api/v1/queue", None, ALICE)).json
    path = f"/api/v1/queue/{entry['queue']}"
    assert (
        entry["trace"] == number
        and (await world.ask(f"GET {path}", None, ALICE)).json["queue"] == entry["queue"]
    )
    assert (await world.ask(f"POST {path}", {"act": "hold"}, ALICE)).status == 200
    assert (await world.ask(f"GET {path}", None, ALICE)).json["state"] == "held"
    assert (await world.ask(f"POST {path}", {"act": "fail"}, ALICE)).status == 200
    told = (await world.ask(f"GET /api/v1/messages/{number}", None, ALICE)).json
    assert told["recipients"][0]["state"] == "bounced"
    assert [record.subject for record in await world.store.audit()][-2:] == ["alice@a.test"] * 2


@pytest.mark.parametrize("line", EXPOSED, ids=lambda line: f"{line.method} {line.path}")
async def test_who_may_not_is_told_so_and_nothing_more(world: ApiWorld, line: object) -> None:
    """Every line, for a user, without a login, and by a token that is for something else."""
    assert line in EXPOSED
    method, path = line.method, line.path  # type: ignore[attr-defined]
    path = path.replace("{queue}", "1").replace("{kind}", "tls").replace("{report}", "1")
    path = path.replace("{name}", "a.test").replace("{domain}", "a.test")
    anybody = BY_NAME[line.verb].action == "indicator.show"  # type: ignore[attr-defined]
    body = {"act": "hold"} if method == "POST" else None
    assert (await world.ask(f"{method} {path}", body, "")).status == 401
    assert (await world.ask(f"{method} {path}", body, BOB)).status == (404 if anybody else 403)
    await world.do(op.ChangeAccount(world.alice, role="tenant-admin"))
    narrow = await world.issue("smtp.submit")
    assert (await world.ask(f"{method} {path}", body, f"Bearer {narrow}")).status == 403


async def test_others_are_not_seen(world: ApiWorld) -> None:
    await world.do(op.CreateAccount(OTHER, "carol@other.test"))
    assert {row["address"] for row in (await world.ask("GET /api/v1/accounts", None, ALICE)).json} == {
        "alice@a.test", "bob@a.test",
    }  # fmt: skip
    assert [row["domain"] for row in (await world.ask("GET /api/v1/domains", None, ALICE)).json] == ["a.test"]


async def test_only_domains_of_ones_own_are_shown_with_their_keys(world: ApiWorld) -> None:
    for line, found in (("dkim", 200), ("check", 404)):  # it has no keys here, and nobody has looked yet
        assert (await world.ask(f"GET /api/v1/domains/a.test/{line}", None, ALICE)).status == found
        for strange in ("other.test", "..", "a.test%2F..", "%00"):
            status = (await world.ask(f"GET /api/v1/domains/{strange}/{line}", None, ALICE)).status
            assert status in (400, 404, 422), (strange, status)


@pytest.mark.parametrize(
    ("line", "body", "status"),
    [
        ("GET /api/v1/queue?limit=1", None, (200,)),
        ("GET /api/v1/queue?unknown=1", None, (400,)),
        ("GET /api/v1/queue?" + "&".join(f"a{n}=1" for n in range(60)), None, (400,)),
        ("GET /api/v1/queue?limit=1&limit=2", None, (400,)),
        ("GET /api/v1/queue/abc", None, (400,)),
        ("GET /api/v1/queue/" + "9" * 30, None, (400,)),
        ("GET /api/v1/queue/" + "9" * 5000, None, (400,)),
        ("GET /api/v1/queue/-1", None, (404,)),
        ("GET /api/v1/queue/7", None, (404,)),
        ("POST /api/v1/queue/7", {"act": "hold"}, (404,)),
        ("POST /api/v1/queue/7", {"act": "hold", "queue": 1}, (404,)),
        ("POST /api/v1/queue/7", {"act": ["hold"]}, (422,)),
        ("POST /api/v1/queue/7", {}, (422,)),
        ("GET /api/v1/reports/none", None, (400,)),
        ("GET /api/v1/reports/tls?days=x", None, (400,)),
    ],
)
async def test_arguments_are_those_of_the_verb(
    world: ApiWorld, line: str, body: object, status: tuple[int, ...]
) -> None:
    assert (await world.ask(line, body, ALICE)).status in status


async def test_they_are_described(world: ApiWorld) -> None:
    paths = (await world.ask("GET /api/v1/openapi.json", None, "")).json["paths"]
    for line in EXPOSED:
        told = paths[line.path][line.method.lower()]
        assert told["x-scope"] == BY_NAME[line.verb].action
    (parameter,) = paths["/api/v1/queue/{queue}"]["get"]["parameters"]
    assert parameter == {"name": "queue", "in": "path", "required": True, "schema": {"type": "integer"}}
    assert any(each["in"] == "query" for each in paths["/api/v1/reports/{kind}"]["get"]["parameters"])


async def test_a_picture_is_asked_for_by_whoever_has_an_account(world: ApiWorld) -> None:
    path = "GET /api/v1/bimi/b.test"
    assert (await world.ask(path, None, BOB)).status == 404
    refused = Indicator("b.test", "one", "", "https://b.test/x.pem", "refused", "it has ended", until=2**40)
    await world.do(op.PutDocument(SYSTEM_ACCOUNT, KIND, "b.test/one", msgspec.json.encode(refused).decode()))
    assert (await world.ask(path, None, BOB)).status == 404
    told = (await world.ask(f"{path}?selector=one", None, BOB)).json
    assert (told["state"], told["image"]) == ("refused", "")
    assert told["says"] == "no indicator of b.test is shown: it has ended"
    for bad in ("/a b", "/b.test?selector=a..b", "/b.test?selector=a%2Fb"):
        assert (await world.ask(f"GET /api/v1/bimi{bad.replace(' ', '%20')}", None, BOB)).status == 400


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("age=-1", "age"),
        ("age=old", "age"),
        ("after=-1", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("answer=rude", "answer"),
        ("domain=a..b", "domain"),
        ("domain=a%0Ab", "domain"),
        ("sender=eve%40", "sender"),
        ("sender=eve%40not%20a%20name", "sender"),
        ("sende=eve%40b.test", "sende"),
    ],
)
async def test_a_filter_that_is_none_is_named(world: ApiWorld, query: str, named: str) -> None:
    found = await world.ask(f"GET /api/v1/queue?{query}", None, ALICE)
    assert found.status == 400 and named in found.json["detail"]


@pytest.mark.parametrize(
    "query", ["domain=.b.test", "sender=%3C%3E", "sender=_x.b.test", "sender=a%40%5B192.0.2.1%5D"]
)
async def test_a_filter_that_is_one(world: ApiWorld, query: str) -> None:
    assert (await world.ask(f"GET /api/v1/queue?{query}&age=60&answer=full", None, ALICE)).json == []
