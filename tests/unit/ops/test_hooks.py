"""Hooks: told once it is committed, signed, tried until they answer, and no way into our own network."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from a3mailer.ops import hooks as module
from a3mailer.ops.hooks import Hooks
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.outcomes import TOLD_DAYS, Outcome, settled
from tests.unit.edge.http.api_world import ApiWorld
from tests.web import Web, reply

MAIL = {"to": ["bob@a.test", "x@else.test"], "subject": "hello", "text": "Good morning.", "tags": ["t1"]}
TAKEN, NOT = reply(b""), reply(b"", status="500 No")


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    clock = FakeClock()
    world = ApiWorld(MemoryStore(clock), clock, inside=True)
    await world.settle()
    yield world
    await world.close()


async def put(world: ApiWorld, web: Web, name: str = "shop", **more: Any) -> str:
    """Set a hook up; its secret."""
    answer = await world.ask(f"PUT /api/v1/hooks/{name}", {"url": f"http://127.0.0.1:{web.port}/h", **more})
    assert answer.status == 201, answer.body
    return str(answer.json["secret"])


def field(head: bytes, name: str) -> str:
    found = [line for line in head.decode().split("\r\n") if line.lower().startswith(f"{name}:")]
    return found[0].partition(":")[2].strip()


async def waiting(world: ApiWorld) -> int:
    return len(await world.store.documents(world.alice, "event"))


async def test_what_becomes_of_a_mail_is_posted_and_signed(world: ApiWorld) -> None:
    async with Web(None, TAKEN) as web:
        secret = await put(world, web)
        sent = (await world.ask("POST /api/v1/send", MAIL)).json
        (entry,) = await world.store.queue()
        now = int(world.clock.now())
        bounced = Outcome("bounced", now, "550 5.1.1 nobody here", "mx.else.test")
        await world.do(*await settled(world.store, entry, [("x@else.test", bounced)]))
        hooks = Hooks(world.store, world.http, world.clock)
        assert await hooks.round() == 2 and await hooks.round() == 0
        told = {json.loads(body)["data"]["recipient"]: json.loads(body) for body in web.bodies}
        assert told["bob@a.test"]["type"] == "delivered"
        assert told["x@else.test"] == {
            "type": "bounced",
            "timestamp": now,
            "data": {
                "id": sent["id"], "message_id": sent["message_id"], "recipient": "x@else.test",
                "tags": ["t1"],
                "text": "550 5.1.1 nobody here", "host": "mx.else.test",
            },
        }  # fmt: skip
        for head, body in zip(web.asked, web.bodies, strict=True):
            number, at = field(head, "webhook-id"), field(head, "webhook-timestamp")
            assert int(at) == now and field(head, "content-type") == "application/json"
            key = base64.b64decode(secret.removeprefix("whsec_"))
            mark = hmac.digest(key, f"{number}.{at}.".encode() + body, "sha256")
            assert field(head, "webhook-signature") == "v1," + base64.b64encode(mark).decode()


async def test_only_what_was_asked_for(world: ApiWorld) -> None:
    async with Web(None, TAKEN) as web:
        await put(world, web, events=["bounced", "complained"])
        await world.ask("POST /api/v1/send", {**MAIL, "to": ["bob@a.test"]})
        assert await waiting(world) == 0
        listed = (await world.ask("GET /api/v1/hooks")).json
        assert listed == [
            {"name": "shop", "url": f"http://127.0.0.1:{web.port}/h", "events": ["bounced", "complained"]}
        ]


async def test_a_hook_that_fails_is_tried_later_with_the_same_id(world: ApiWorld) -> None:
    body = {**MAIL, "to": ["bob@a.test"]}
    async with Web(None, NOT) as web:
        await put(world, web)
        for _ in range(3):
            await world.ask("POST /api/v1/send", body)
        hooks = Hooks(world.store, world.http, world.clock)
        assert await hooks.round() == 3 and len(web.asked) == 1  # the others wait with the first
        assert await hooks.round() == 0
        world.clock.advance(module.FIRST_PAUSE)
        assert await hooks.round() == 1
        web.answer = TAKEN
        world.clock.advance(2 * module.FIRST_PAUSE + 1)
        assert await hooks.round() == 3 and await waiting(world) == 0
        ids = [field(head, "webhook-id") for head in web.asked]
        assert len(ids) == 5 and len(set(ids)) == 3 and ids[0] == ids[1]


async def test_a_dead_hook_delays_nobody_else_and_is_given_up(world: ApiWorld) -> None:
    async with Web(None, TAKEN) as web, Web(None, NOT) as dead:
        await put(world, dead, "a-dead")
        await put(world, web, "b-good")
        for _ in range(5):
            await world.ask("POST /api/v1/send", {**MAIL, "to": ["bob@a.test"]})
        assert await Hooks(world.store, world.http, world.clock).round() == 10
        assert len(web.asked) == 5 and await waiting(world) == 5
        world.clock.advance(TOLD_DAYS * 86_400)
        assert await waiting(world) == 0


async def test_a_hook_that_went_is_not_asked(world: ApiWorld) -> None:
    async with Web(None, TAKEN) as web:
        await put(world, web)
        await world.ask("POST /api/v1/send", MAIL)
        assert (await world.ask("DELETE /api/v1/hooks/shop")).status == 204
        assert (await world.ask("DELETE /api/v1/hooks/shop")).status == 404
        assert await Hooks(world.store, world.http, world.clock).round() == 1
        assert web.asked == [] and await waiting(world) == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/h", "https://127.0.0.1/h", "https://[::1]/h", "https://[::ffff:127.0.0.1]/h",
        "https://169.254.169.254/latest", "https://0x7f.1/", "https://10.0.0.1/", "file:///etc/passwd",
        "https://user:pass@example.org/", "nonsense", "https://" + "x" * 3000,
    ],
)  # fmt: skip
async def test_a_hook_does_not_lead_into_our_own_network(url: str) -> None:
    """Attack row 50; what a name resolves to is looked at when it is asked (test_http.py)."""
    clock = FakeClock()
    world = ApiWorld(MemoryStore(clock), clock)
    await world.settle()
    assert (await world.ask("PUT /api/v1/hooks/shop", {"url": url})).status == 422
    await world.do(op.PutDocument(world.alice, "hook", "x", '{"url":"http://127.0.0.1:1/","secret":"AAAA"}'))
    await world.ask("POST /api/v1/send", MAIL)
    assert await Hooks(world.store, world.http, clock).round() == 1 and await waiting(world) == 1
    await world.close()


async def test_hooks_are_few_and_their_names_plain(world: ApiWorld) -> None:
    async with Web(None, TAKEN) as web:
        for number in range(10):
            await put(world, web, f"h{number}")
        more = await world.ask("PUT /api/v1/hooks/h10", {"url": f"http://127.0.0.1:{web.port}/"})
        assert more.status == 422
        await put(world, web, "h3")  # one that is there may change, and gets a new secret
        for bad in (
            {"url": "http://127.0.0.1/", "events": []},
            {"url": "http://127.0.0.1/", "events": ["x"]},
        ):
            assert (await world.ask("PUT /api/v1/hooks/h3", bad)).status == 422
