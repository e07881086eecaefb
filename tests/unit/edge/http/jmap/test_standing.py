"""A connection that brings its credentials with every request: one login, and an end at once (RFC 7617)."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from a3mailer.edge.http.jmap import dispatch
from a3mailer.edge.http.jmap.capabilities import CORE, SUBMISSION
from a3mailer.identity.credentials import hash_password
from a3mailer.identity.principal import ANONYMOUS, Principal
from a3mailer.identity.standing import HOLDS, Standing
from a3mailer.identity.tokens import PREFIX, digest
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from a3mailer.telemetry.events import Secret
from a3mailer.testing.memory_connection import MemorySession, Stage
from tests.transcripts.jmap_world import JmapWorld

OTHER = hash_password(Secret("secret-b"))


class Asker:
    """One world; every connection of it counts the whole logins."""

    def __init__(self, world: JmapWorld, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.logins = 0
        self._stage = stage
        self._opened = 0
        whole = world.authenticator.password

        async def counted(*given: Any) -> Any:
            self.logins += 1
            return await whole(*given)

        monkeypatch.setattr(type(world.authenticator), "password", lambda _, *given: counted(*given))

    async def open(self) -> MemorySession:
        self._opened += 1
        session = self._stage.open(self._opened)
        await session.greeting()
        return session

    async def ask(self, session: MemorySession, field: str = "") -> tuple[int, Any]:
        """The status of a request, and its answer."""
        head, _, told = (await session.feed(self.request(field))).partition(b"\r\n\r\n")
        return int(head[9:12]), json.loads(told) if told else None

    @staticmethod
    def request(field: str = "") -> bytes:
        """Its octets."""
        body = json.dumps({"using": [CORE], "methodCalls": [["Core/echo", {}, "0"]]}).encode()
        lines = (
            "POST /jmap/api HTTP/1.1", "Host: mx.example.test", f"Content-Length: {len(body)}",
            "Content-Type: application/json", f"Authorization: {field or JmapWorld.basic('alice')}", "", "",
        )  # fmt: skip
        return "\r\n".join(lines).encode() + body

    async def do(self, operation: op.Operation) -> None:
        await self.world.store.commit(Transaction((operation,)))


@pytest.fixture
async def asker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asker]:
    world = JmapWorld()
    await world.fill()
    async with world.stage() as stage:
        yield Asker(world, stage, monkeypatch)
    world.close()


async def test_the_same_words_are_one_login_a_connection(asker: Asker) -> None:
    one, two = await asker.open(), await asker.open()
    for _ in range(3):
        assert (await asker.ask(one))[0] == 200
    assert asker.logins == 1
    assert (await asker.ask(two))[0] == 200
    assert asker.logins == 2
    asker.world.clock.advance(HOLDS)
    assert (await asker.ask(one))[0] == 200
    assert asker.logins == 3


async def test_other_words_are_another_login(asker: Asker) -> None:
    session = await asker.open()
    (_, mine) = await asker.ask(session)
    (status, theirs) = await asker.ask(session, JmapWorld.basic("bob"))
    assert (status, asker.logins) == (200, 2)
    assert theirs["sessionState"] != mine["sessionState"]
    assert (await asker.ask(session))[1] == mine
    wrong = "Basic " + base64.b64encode(b"alice@example.test:secret-b").decode()
    assert (await asker.ask(session, wrong))[0] == 401
    assert asker.logins == 4


@pytest.mark.parametrize("what", ["password", "no password", "disabled", "removed", "signed out"])
async def test_what_is_revoked_ends_with_the_next_request(asker: Asker, what: str) -> None:
    alice = asker.world.accounts["alice"]
    session = await asker.open()
    assert (await asker.ask(session))[0] == 200
    if what == "password":
        await asker.do(op.PutCredential(alice, "main", "password", OTHER))
    elif what == "no password":
        await asker.do(op.RemoveCredential(alice, "main", "password"))
    elif what == "disabled":
        await asker.do(op.ChangeAccount(alice, enabled=False))
    elif what == "removed":
        await asker.do(op.RemoveAccount(alice, 0))
    else:
        await asker.do(op.BumpEpoch(alice))
    assert (await asker.ask(session))[0] == (200 if what == "signed out" else 401)
    assert asker.logins == 2


async def test_what_is_disabled_stays_out_when_it_is_enabled_again_with_another_password(
    asker: Asker,
) -> None:
    alice = asker.world.accounts["alice"]
    session = await asker.open()
    assert (await asker.ask(session))[0] == 200
    await asker.do(op.ChangeAccount(alice, enabled=False))
    await asker.do(op.PutCredential(alice, "main", "password", OTHER))
    await asker.do(op.ChangeAccount(alice, enabled=True))
    assert (await asker.ask(session))[0] == 401
    new = "Basic " + base64.b64encode(b"alice@example.test:secret-b").decode()
    assert (await asker.ask(await asker.open(), new))[0] == 200


async def test_another_credential_that_comes_or_goes_is_another_login(asker: Asker) -> None:
    alice = asker.world.accounts["alice"]
    session = await asker.open()
    assert (await asker.ask(session))[0] == 200
    await asker.do(op.PutCredential(alice, "phone", "app-password", OTHER))
    assert (await asker.ask(session))[0] == 200
    await asker.do(op.RemoveCredential(alice, "phone", "app-password"))
    assert (await asker.ask(session))[0] == 200
    assert asker.logins == 3


async def test_a_password_that_changes_while_it_is_checked_lets_nobody_stand(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(asker.world.authenticator)
    whole = kind.password

    async def overtaken(*given: Any) -> Any:
        who = await whole(*given)
        await asker.do(op.PutCredential(asker.world.accounts["alice"], "main", "password", OTHER))
        return who

    session = await asker.open()
    with monkeypatch.context() as patch:
        patch.setattr(kind, "password", overtaken)
        assert (await asker.ask(session))[0] == 200
    assert (await asker.ask(session))[0] == 401


async def test_requests_in_a_row_stand_each_for_itself(asker: Asker) -> None:
    wrong = "Basic " + base64.b64encode(b"alice@example.test:secret-b").decode()
    bob = JmapWorld.basic("bob")
    session = await asker.open()
    fields = ("", "", bob, bob, "", wrong, "")
    answers = await session.feed(b"".join(map(asker.request, fields)))
    said = [int(each[:3]) for each in answers.split(b"HTTP/1.1 ")[1:]]
    assert said == [200, 200, 200, 200, 200, 401], "what is refused with its body unread ends the connection"
    assert asker.logins == 4, "a connection remembers one login"


async def test_words_that_look_alike_are_others(asker: Asker) -> None:
    right = JmapWorld.basic("alice")
    for field in (right[:-1], right[:-4], right.replace("Basic", "Bearer"), "Basic ", right.lower()):
        session = await asker.open()
        assert (await asker.ask(session, right))[0] == 200
        assert (await asker.ask(session, field))[0] == 401, field


async def test_a_token_in_the_place_of_the_password_is_revoked_at_once(asker: Asker) -> None:
    token = PREFIX + "standing"
    known = digest(Secret(token))
    await asker.do(op.PutToken(asker.world.accounts["alice"], known, "x", "session mailbox", 0, 0))
    words = "Basic " + base64.b64encode(f"alice@example.test:{token}".encode()).decode()
    session = await asker.open()
    assert [(await asker.ask(session, words))[0] for _ in range(2)] == [200, 200]
    assert asker.logins == 1
    await asker.do(op.RemoveToken(asker.world.accounts["alice"], known))
    assert (await asker.ask(session, words))[0] == 401


async def test_settings_that_change_are_told_with_the_next_request(asker: Asker) -> None:
    session = await asker.open()
    (_, first), (_, same) = await asker.ask(session), await asker.ask(session)
    assert first["sessionState"] == same["sessionState"]
    jmap = msgspec.structs.replace(asker.world.settings.jmap, upload_size=12_345)
    asker.world.settings = msgspec.structs.replace(asker.world.settings, jmap=jmap)
    (_, other) = await asker.ask(session)
    assert other["sessionState"] != first["sessionState"]
    auth = msgspec.structs.replace(asker.world.settings.auth, plaintext=False)
    asker.world.settings = msgspec.structs.replace(asker.world.settings, auth=auth)
    assert (await asker.ask(session))[0] == 200  # it is a TLS connection


async def test_what_somebody_can_is_found_out_once_and_anew_for_other_settings(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, dispatcher = asker.world, asker.world.jmap.dispatcher
    alice = Principal(
        world.accounts["alice"], DEFAULT_TENANT, "alice@example.test", "user", "alice@example.test"
    )

    async def capabilities(who: Principal) -> Any:
        return next(iter((await dispatcher.accounts(who)).values())).capabilities

    first = await capabilities(alice)
    assert await capabilities(alice) is first
    limited = replace(alice, scopes=frozenset(("message",)))
    assert SUBMISSION in first and SUBMISSION not in await capabilities(limited)
    world.settings = msgspec.structs.replace(world.settings)
    assert await capabilities(alice) is not first
    monkeypatch.setattr(dispatch, "REMEMBERED", 1)
    second = await capabilities(alice)
    await capabilities(limited)
    assert await capabilities(alice) is not second


async def test_a_role_that_changes_is_another_login(asker: Asker) -> None:
    session = await asker.open()
    assert (await asker.ask(session))[0] == 200
    await asker.do(op.ChangeAccount(asker.world.accounts["alice"], role="helpdesk"))
    assert (await asker.ask(session))[0] == 200
    assert asker.logins == 2


def test_a_standing_holds_no_words() -> None:
    standing = Standing()
    assert standing.known("", 1.0) is None
    standing.remember("Basic x", ANONYMOUS, 1.0)
    assert standing.known("Basic x", 1.0) is ANONYMOUS
    assert standing.known("Basic y", 1.0) is None
    assert standing.known("Basic x", 1.0 + HOLDS) is None
    assert "Basic" not in repr(standing)
    standing.forget()
    assert standing.known("Basic x", 1.0) is None
