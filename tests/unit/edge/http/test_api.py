"""The API: who may ask, what JSON is taken, what is sent, and what is never sent twice."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from a3mailer.config.tree import Policy, Server, Settings
from a3mailer.edge.http.api.sending import Send
from a3mailer.mail.errors import TryLater, Uncertain
from a3mailer.mail.ids import TenantId
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.backends.sqlite.store import SqliteStore
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.applications import templates
from a3mailer.transfer.receive import fingerprint
from tests.unit.edge.http.api_world import ApiWorld, basic

MAIL = {"to": ["bob@a.test"], "subject": "hello", "text": "Good morning."}


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    clock = FakeClock()
    world = ApiWorld(MemoryStore(clock), clock)
    await world.settle()
    yield world
    await world.close()


def parsed(octets: bytes) -> Any:
    return email.message_from_bytes(octets, policy=email.policy.default)


# --- who may ask -----------------------------------------------------------------------------------


async def test_who_may_send(world: ApiWorld) -> None:
    for auth in (None, basic("alice@a.test", "secret-a"), basic("alice@a.test", world.token)):
        assert (await world.ask("POST /api/v1/send", MAIL, auth)).status == 202
    weak = await world.issue("template")
    for auth, status in (
        ("", 401), ("Bearer nonsense", 401), ("Bearer", 401), ("Basic !!!", 401), ("Digest x", 401),
        (basic("alice@a.test", "wrong"), 401), (basic("nobody@a.test", "x"), 401), (f"Bearer {weak}", 403),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), 401),
        ("Basic " + base64.b64encode(b"x").decode(), 401),
        ("Bearer " + "x" * 5000, 401),
    ):  # fmt: skip
        answer = await world.ask("POST /api/v1/send", MAIL, auth)
        assert answer.status == status, auth
        assert ("WWW-Authenticate: Bearer" in answer.head) == (status == 401)
    assert len(await world.inbox(world.bob)) == 3
    await world.do(op.BumpEpoch(world.alice))
    assert (await world.ask("POST /api/v1/send", MAIL)).status == 401


async def test_credentials_are_not_taken_in_clear(world: ApiWorld) -> None:
    """Attack row 4, also with a token."""
    body = json.dumps(MAIL).encode()
    request = (
        f"POST /api/v1/send HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {world.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    assert (await world.raw(request, secure=False)).status == 403
    assert (await world.raw(request, secure=False, peer="127.0.0.1")).status == 403
    assert (await world.raw(request)).status == 202


async def test_a_body_is_not_read_of_somebody_unknown(world: ApiWorld) -> None:
    request = b"POST /api/v1/send HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    answer = await world.raw(request)
    assert answer.status == 401 and "100 Continue" not in answer.head


async def test_a_page_of_somebody_else_cannot_post_a_form(world: ApiWorld) -> None:
    """Attack row 42: what a browser sends without asking first is not taken."""
    octets = json.dumps(MAIL).encode()
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        lines = f"POST /api/v1/send HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {world.token}\r\n"
        lines += f"Content-Type: {media}\r\nContent-Length: {len(octets)}\r\n\r\n"
        assert (await world.raw(lines.encode() + octets)).status == 415
    assert await world.inbox(world.bob) == []


# --- JSON ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"", 400), (b"{", 400), (b"\xff\xfe", 400), (b'{"to": ["bob@a.test"]} x', 400), (b"[]", 422),
        (b"null", 422),
        (b'{"to": ["bob@a.test"], "unknown": 1}', 422), (b'{"to": "bob@a.test"}', 422),
        (b'{"to": ["bob@a.test"], "subject": 1}', 422),
        (b'{"to": ["bob@a.test"], "to": ["alice@a.test"]}', 400),
        (b'{"to": ["bob@a.test"], "headers": {"X-A": "1", "X-A": "2"}}', 400),
        (b'{"to": ["bob@a.test"], "subject": "\\ud800"}', 400),
        (b"[" * 100_000, 422), (b'{"to":' * 100_000, 422), (b'{"to":' + b"[" * 100_000, 422),
        (b'{"subject": ' + b"1" * 200_000 + b"}", 422), (b'{"subject": 1e999999999}', 422),
        (b'{"to": ["bob@a.test"], "subject": "' + b"x" * 999 + b'"}', 422),
    ],
)  # fmt: skip
async def test_json_is_taken_strictly(world: ApiWorld, octets: bytes, status: int) -> None:
    """Attack row 28."""
    answer = await world.ask("POST /api/v1/send", octets)
    assert answer.status in (status, 400 if status == 422 else status), answer.body
    assert answer.head.find("application/problem+json") > 0 and answer.json["status"] == answer.status
    assert await world.inbox(world.bob) == []


# --- mails -----------------------------------------------------------------------------------------


async def test_a_mail_with_everything(world: ApiWorld) -> None:
    answer = await world.ask(
        "POST /api/v1/send",
        {
            "from": "Älice <alice@a.test>", "to": ['"B. Ob" <bob@a.test>', "bob@a.test"],
                "cc": ["away@a.test"],
            "bcc": ["Alice <alice@a.test>"], "reply_to": ["bob@a.test"], "subject": "Grüße",
            "text": "Schön.\n.\n", "html": "<p>Schön <img src='cid:logo@a'></p>",
            "attachments": [
                {"name": "bericht ä.pdf", "content": base64.b64encode(b"%PDF" * 50).decode(),
                    "type": "application/pdf"},
                {"name": "l.png", "content": "AAEC", "type": "image/png", "content_id": "logo@a"},
            ],
            "headers": {"X-Campaign": "März", "List-Unsubscribe": "<https://a.test/u>"},
                "tags": ["invoice", "2026"],
        },
    )  # fmt: skip
    assert answer.status == 202, answer.body
    told = answer.json
    assert f"Location: /api/v1/messages/{told['id']}\r\n" in answer.head + "\r\n"
    assert {r["address"]: r["state"] for r in told["recipients"]} == {
        "bob@a.test": "delivered", "away@a.test": "forwarded", "alice@a.test": "delivered",
    }  # fmt: skip
    assert (await world.ask(f"GET /api/v1/messages/{told['id']}")).json == told
    (octets,) = await world.inbox(world.bob)
    assert octets in await world.inbox(world.alice)  # the same mail
    mail = parsed(octets)
    assert mail["From"] == "Älice <alice@a.test>" and mail["To"] == '"B. Ob" <bob@a.test>, bob@a.test'
    assert mail["Cc"] == "away@a.test" and mail["Bcc"] is None and mail["Reply-To"] == "bob@a.test"
    assert (
        mail["Subject"] == "Grüße"
        and mail["X-Campaign"] == "März"
        and mail["Message-ID"] == f"<{told['message_id']}>"
    )
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds == ["multipart/mixed", "multipart/alternative", "text/plain", "multipart/related",
        "text/html",
                     "image/png", "application/pdf"]  # fmt: skip
    assert mail.get_body(("plain",)).get_content() == "Schön.\r\n.\r\n"
    (pdf,) = mail.iter_attachments()
    assert pdf.get_filename() == "bericht ä.pdf" and pdf.get_content() == b"%PDF" * 50
    assert b"\n" not in octets.replace(b"\r\n", b"") and octets.isascii()


async def test_a_large_mail_is_made_outside_the_loop(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    away: list[str] = []
    real = asyncio.to_thread

    async def seen(work: Any, *arguments: Any) -> Any:
        away.append(work.__name__)
        return await real(work, *arguments)

    monkeypatch.setattr(asyncio, "to_thread", seen)
    file = {"name": "a.bin", "content": base64.b64encode(bytes(range(256)) * 2000).decode()}
    assert (await world.ask("POST /api/v1/send", {**MAIL, "attachments": [file]})).status == 202
    assert away[:3] == ["decode", "_files", "_made"]
    (attached,) = parsed((await world.inbox(world.bob))[0]).iter_attachments()
    assert attached.get_content() == bytes(range(256)) * 2000


async def test_a_sender_is_ones_own(world: ApiWorld) -> None:
    """Attack row 7."""
    for sender in ("bob@a.test", "Alice <x@else.test>", "alice@a.test.else.test"):
        assert (await world.ask("POST /api/v1/send", {**MAIL, "from": sender})).status == 403
    (sent,) = [await world.ask("POST /api/v1/send", MAIL)]
    assert sent.json["from"] == "alice@a.test"
    assert len(await world.inbox(world.bob)) == 1


async def test_the_rates_of_submission_hold() -> None:
    """Counted by account, as for SMTP; a request that was answered already costs nothing more."""
    clock = FakeClock()
    settings = Settings(server=Server(hostname="mail.a.test", domain="a.test"), policy=Policy(account_rate=2))
    world = ApiWorld(MemoryStore(clock), clock, settings)
    await world.settle()
    for _ in range(5):
        assert (await world.ask("POST /api/v1/send", MAIL, Idempotency_Key="k")).status == 202
    assert (await world.ask("POST /api/v1/send", MAIL)).status == 202
    answer = await world.ask("POST /api/v1/send", MAIL)
    assert answer.status == 429 and "too many mails" in answer.json["detail"]
    clock.advance(3600)
    assert (await world.ask("POST /api/v1/send", MAIL)).status == 202
    assert len(await world.inbox(world.bob)) == 3
    await world.close()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"to": []}, "recipient"), ({"to": ["nonsense"]}, "address"),
        ({"to": ["bob@a.test\r\nBcc: x@y"]}, "address"),
        ({"to": ["Bob\r\nX: y <bob@a.test>"]}, "control"), ({"to": ["Bob\u2028 <bob@a.test>"]}, "control"),
        ({"to": ["bob@a.test, alice@a.test"]}, "address"), ({"to": ["<bob@a.test <alice@a.test"]}, "address"),
        ({"to": ["gr\u00fc\u00dfe@a.test"]}, "ASCII"), ({"from": "a\r\nb"}, "address"),
        ({"subject": "hi\r\nBcc: x@y.test"}, "control"), ({"subject": "hi\nX: y"}, "control"),
        ({"subject": "a\x00b"}, "control"), ({"subject": "a\rb"}, "control"),
        ({"subject": "a\u2028b"}, "control"),
        ({"headers": {"X-A": "b\r\nX-B: c"}}, "control"), ({"headers": {"X-A\r\nX-B": "c"}}, "name"),
        ({"headers": {"X A": "c"}}, "name"), ({"headers": {"X-A:": "c"}}, "name"),
        ({"headers": {"": "c"}}, "name"),
        ({"headers": {"BCC": "c@d.test"}}, "cannot be given"),
        ({"headers": {"from": "c@d.test"}}, "cannot be given"),
        ({"headers": {"Received": "x"}}, "cannot"), ({"headers": {"ARC-Seal": "x"}}, "cannot"),
        ({"headers": {"Content-Type": "text/html"}}, "cannot"),
        ({"headers": {"DKIM-Signature": "x"}}, "cannot"),
        ({"attachments": [{"name": "a\r\nb", "content": ""}]}, "control"),
        ({"attachments": [{"name": "a", "content": "", "type": "text/html\r\nX: y"}]}, "media type"),
        ({"attachments": [{"name": "a", "content": "", "type": "message/rfc822"}]}, "media type"),
        ({"attachments": [{"name": "a", "content": "", "content_id": "a>\r\nX: y"}]}, "content id"),
        ({"attachments": [{"name": "a", "content": "A"}]}, "base64"), ({"tags": ["a b"]}, ""),
        ({"template": "t"}, "template"), ({"variables": {"a": "b"}}, "template"), ({"text": "\ud800"}, ""),
    ],
)  # fmt: skip
async def test_what_cannot_be_a_mail(world: ApiWorld, change: dict[str, object], word: str) -> None:
    """Attack row 46: nothing given becomes a line of a header. Refused, not repaired."""
    answer = await world.ask("POST /api/v1/send", {**MAIL, **change})
    assert answer.status in (400, 422), answer.body
    assert word in answer.json.get("detail", ""), answer.json
    assert await world.inbox(world.bob) == [] and await world.inbox(world.alice) == []


async def test_a_recipient_nobody_takes_refuses_the_whole(world: ApiWorld) -> None:
    answer = await world.ask("POST /api/v1/send", {**MAIL, "to": ["bob@a.test", "nobody@a.test"]})
    assert answer.status == 404 and answer.json["detail"] == "nobody@a.test: NoSuchAccount"
    assert await world.inbox(world.bob) == []


# --- once ------------------------------------------------------------------------------------------


async def test_a_key_sends_once(world: ApiWorld) -> None:
    key = {"Idempotency_Key": "order 17"}
    first = await world.ask("POST /api/v1/send", MAIL, **key)
    world.clock.advance(60)
    again = await world.ask("POST /api/v1/send", MAIL, **key)
    assert (first.status, again.status) == (202, 202) and first.json == again.json
    assert len(await world.inbox(world.bob)) == 1
    assert (await world.ask("POST /api/v1/send", {**MAIL, "text": "x"}, **key)).status == 409
    other = basic("bob@a.test", "secret-a")
    assert (await world.ask("POST /api/v1/send", MAIL, other, **key)).json["id"] != first.json["id"]
    world.clock.advance(86_400)
    assert (await world.ask("POST /api/v1/send", MAIL, **key)).json["id"] != first.json["id"]
    for bad in ("x" * 256, "\u00e4"):
        assert (await world.ask("POST /api/v1/send", MAIL, Idempotency_Key=bad)).status == 400


async def test_a_refused_letter_may_be_tried_again_with_its_key(world: ApiWorld) -> None:
    key = {"Idempotency_Key": "k"}
    body = {**MAIL, "to": ["carol@a.test"]}
    assert (await world.ask("POST /api/v1/send", body, **key)).status == 404
    await world._create("carol@a.test")
    assert (await world.ask("POST /api/v1/send", body, **key)).status == 202


async def test_two_requests_at_once_are_one_mail(tmp_path: Path, clock: FakeClock) -> None:
    """Whoever comes second to the store finds the key taken and nothing of its own done."""
    store = await SqliteStore.open(tmp_path, Settings(), None, clock=clock)
    world = ApiWorld(store, clock)
    await world.settle()
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(world.ask("POST /api/v1/send", MAIL, Idempotency_Key="k")) for _ in range(5)
        ]
    assert {task.result().status for task in asked} == {202}
    assert len({task.result().json["id"] for task in asked}) == 1
    assert len(await world.inbox(world.bob)) == 1
    await world.close()
    await store.close()


async def test_after_a_crash_the_same_letter_is_one_mail(tmp_path: Path, clock: FakeClock) -> None:
    """The answer of the store was lost; the client asks again with its key: the store knows the mail."""
    store = await SqliteStore.open(tmp_path, Settings(), None, clock=clock)
    world = ApiWorld(store, clock)
    await world.settle()
    receive = world.receive
    lost = [True]

    async def losing(arrival: Any) -> Any:
        outcomes = await receive(arrival)
        return (Uncertain(),) * len(outcomes) if lost.pop(0) else outcomes

    world.sending._receive = losing  # type: ignore[assignment]
    key = {"Idempotency_Key": "k"}
    body = {**MAIL, "to": ["bob@a.test", "x@else.test"]}
    assert (await world.ask("POST /api/v1/send", body, **key)).status == 503
    world.clock.advance(5)
    lost += [False, True]
    assert (await world.ask("POST /api/v1/send", body, **key)).status == 202
    assert len(await world.inbox(world.bob)) == 1 and len(await world.store.queue()) == 1
    await world.close()
    await store.close()


async def test_a_letter_with_a_key_is_known_however_often_it_is_made(world: ApiWorld) -> None:
    """Of several tenants one may have it when a worker dies: it is the same mail there (ADR 0010)."""
    came: list[bytes] = []

    async def lost(arrival: Any) -> Any:
        came.append(fingerprint(arrival, TenantId(1)))
        return (TryLater(),) * len(arrival.routes)

    world.sending._receive = lost  # type: ignore[assignment]
    for key in ("k", "k", "other", "", ""):
        world.clock.advance(5)
        fields = {"Idempotency_Key": key} if key else {}
        assert (await world.ask("POST /api/v1/send", MAIL, **fields)).status == 503
    assert came[0] == came[1]
    assert len(set(came)) == 4


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


# --- templates, states, description ----------------------------------------------------------------


async def test_a_template_escapes_what_is_filled_into_html(world: ApiWorld) -> None:
    path = "/api/v1/templates/welcome"
    template = {
        "subject": "Hi {{name}}",
        "text": "{{ name }}, {{name}}",
        "html": '<a title="{{name}}">{{name}}</a>',
    }
    assert (await world.ask(f"PUT {path}", template)).status == 200
    assert (await world.ask(f"GET {path}")).json == template
    assert (await world.ask("GET /api/v1/templates")).json == ["welcome"]
    body = {"to": ["bob@a.test"], "template": "welcome", "variables": {"name": "<b>\"'&{{name}}"}}
    assert (await world.ask("POST /api/v1/send", body)).status == 202
    mail = parsed((await world.inbox(world.bob))[0])
    assert mail["Subject"] == "Hi <b>\"'&{{name}}"
    assert mail.get_body(("plain",)).get_content().strip() == "<b>\"'&{{name}}, <b>\"'&{{name}}"
    escaped = "&lt;b&gt;&quot;&#x27;&amp;{{name}}"
    assert mail.get_body(("html",)).get_content().strip() == f'<a title="{escaped}">{escaped}</a>'
    assert (await world.ask("POST /api/v1/send", {**body, "variables": {}})).status == 422
    assert (
        await world.ask("POST /api/v1/send", {**body, "variables": {"name": "a\r\nBcc: x@y"}})
    ).status == 422
    bob = basic("bob@a.test", "secret-a")
    assert (await world.ask(f"GET {path}", None, bob)).status == 404
    assert (await world.ask(f"DELETE {path}")).status == 204
    assert (await world.ask(f"DELETE {path}")).status == 404


async def test_templates_are_bounded(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MAX_TEMPLATES", 2)
    for number, status in ((1, 200), (2, 200), (3, 422), (2, 200)):
        assert (await world.ask(f"PUT /api/v1/templates/t{number}", {"subject": "x"})).status == status
    assert (await world.ask("PUT /api/v1/templates/a%2Fb", {"subject": "x"})).status == 404
    assert (await world.ask("PUT /api/v1/templates/-", {"subject": "x"})).status == 422


async def test_a_mail_is_its_senders(world: ApiWorld) -> None:
    number = (await world.ask("POST /api/v1/send", MAIL)).json["id"]
    bob = basic("bob@a.test", "secret-a")
    assert (await world.ask(f"GET /api/v1/messages/{number}", None, bob)).status == 404
    assert (await world.ask("GET /api/v1/messages/m" + "0" * 20)).status == 404
    assert (await world.ask("GET /api/v1/messages/%25")).status == 404


async def test_the_description_of_the_api(world: ApiWorld) -> None:
    answer = await world.ask("GET /api/v1/openapi.json", None, "")
    assert answer.status == 200
    told = answer.json
    assert told["openapi"] == "3.1.0" and set(told["paths"]["/api/v1/templates/{name}"]) == {
        "get",
        "put",
        "delete",
    }
    form = told["paths"]["/api/v1/send"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert form == {"$ref": "#/components/schemas/Send"}
    assert set(told["components"]["schemas"]["Send"]["properties"]) == {
        "from" if name == "sender" else name for name in Send.__struct_fields__
    }  # fmt: skip
    for route in world.door.routes.all:
        if not route.path.endswith("openapi.json"):
            assert route.about and set(route.methods) <= {m.upper() for m in told["paths"][route.path]}
