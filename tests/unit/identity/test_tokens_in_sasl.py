"""OAUTHBEARER, XOAUTH2 and EXTERNAL (RFC 7628, RFC 4422 appendix A), and whom one may act for."""

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.exchange import BadExchange, Context
from a3mailer.identity.sasl.offer import begin, offered
from a3mailer.identity.tokens import issue
from a3mailer.mail.errors import AuthenticationFailed
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.store.rows import AddressEntry
from tests.unit.identity.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.rows.put_account("carol@a.test")
    world.rows._addresses["robert@a.test"] = AddressEntry(
        "robert@a.test", DEFAULT_TENANT, "alias", world.bob.id, ("bob@a.test",), 0
    )
    yield world
    world.door.close()


def context(world: World, *certified: str, ip: str = "192.0.2.1") -> Context:
    return Context(world.door, ip, confidential=True, certified=certified)


def token(world: World, scopes: tuple[str, ...] = ("mailbox", "message"), expires: int = 0) -> str:
    secret, put = issue(world.bob.id, "x", scopes, now=int(world.clock.now()), expires=expires)
    world.rows.put_token(put)
    return secret.reveal()


def oauthbearer(secret: str, authzid: str = "", flag: str = "n", scheme: str = "Bearer") -> bytes:
    return f"{flag},{authzid},\x01host=mail.a.test\x01port=993\x01auth={scheme} {secret}\x01\x01".encode()


def xoauth2(secret: str, user: str = "bob@a.test") -> bytes:
    return f"user={user}\x01auth=Bearer {secret}\x01\x01".encode()


@pytest.mark.parametrize("authzid", ["", "a=bob@a.test", "a=BOB@a.test", "a=bob", "a=robert@a.test"])
async def test_a_token_logs_in_by_any_of_its_names(world: World, authzid: str) -> None:
    for flag, scheme in (("n", "Bearer"), ("y", "bearer")):
        exchange = await begin("OAUTHBEARER", context(world))
        found = await exchange.step(oauthbearer(token(world), authzid, flag, scheme))
        assert isinstance(found, Principal) and found.account == world.bob.id
        assert found.scopes == {"mailbox", "message"} and found.token
    exchange = await begin("XOAUTH2", context(world))
    assert await exchange.step(None) == b""
    found = await exchange.step(xoauth2(token(world), authzid.removeprefix("a=") or "bob@a.test"))
    assert isinstance(found, Principal) and found.account == world.bob.id


@pytest.mark.parametrize(
    "message",
    [
        oauthbearer("a3_wrong"),
        oauthbearer("RIGHT", "a=carol@a.test"),
        oauthbearer("RIGHT", "a=nobody@a.test"),
        oauthbearer("RIGHT", scheme="Basic"),
        oauthbearer("a b"),
        oauthbearer(""),
        b"n,,\x01\x01",
        b"n,,\x01host=x\x01\x01",
    ],
)
async def test_a_refusal_takes_two_steps(world: World, message: bytes) -> None:
    message = message.replace(b"RIGHT", token(world).encode())
    for dummy in (b"\x01", b""):
        exchange = await begin("OAUTHBEARER", context(world))
        challenge = await exchange.step(message)
        assert isinstance(challenge, bytes) and json.loads(challenge)["status"] == "invalid_token"
        with pytest.raises(AuthenticationFailed):
            await exchange.step(dummy)


async def test_xoauth2_refuses_likewise(world: World) -> None:
    for message in (xoauth2("a3_wrong"), xoauth2(token(world), "carol@a.test"), xoauth2("a b")):
        exchange = await begin("XOAUTH2", context(world))
        challenge = await exchange.step(message)
        assert isinstance(challenge, bytes) and json.loads(challenge)["status"] == "401"
        with pytest.raises(AuthenticationFailed):
            await exchange.step(b"")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"n,,",
        b"n,\x01auth=Bearer x\x01\x01",
        b"x,,\x01auth=Bearer x\x01\x01",
        b"p=tls-exporter,,\x01auth=Bearer x\x01\x01",
        b"n,b=x,\x01auth=Bearer x\x01\x01",
        b"n,a=,\x01auth=Bearer x\x01\x01",
        b"n,,x\x01auth=Bearer x\x01\x01",
        b"n,,\x01auth=Bearer x\x01",
        b"n,,\x01auth=Bearer x",
        b"n,,\x01auth\x01\x01",
        b"n,,\x01a1=x\x01\x01",
        b"n,,\x01auth=\x00\x01\x01",
        b"n,,\x01auth=\xc3\xa4\x01\x01",
        b"n,,\x01" + b"a=b\x01" * 40 + b"\x01",
        b"\xff",
    ],
)
async def test_what_is_no_oauthbearer_message(world: World, message: bytes) -> None:
    exchange = await begin("OAUTHBEARER", context(world))
    with pytest.raises(BadExchange):
        await exchange.step(message)


@pytest.mark.parametrize(
    "message", [b"", b"user=bob@a.test", b"auth=Bearer x\x01\x01", b"user=\x01auth=Bearer x\x01\x01"]
)
async def test_what_is_no_xoauth2_message(world: World, message: bytes) -> None:
    exchange = await begin("XOAUTH2", context(world))
    with pytest.raises(BadExchange):
        await exchange.step(message)


async def test_tokens_end(world: World) -> None:
    over = token(world, expires=int(world.clock.now()))
    exchange = await begin("OAUTHBEARER", context(world))
    assert isinstance(await exchange.step(oauthbearer(over)), bytes)


async def test_guesses_of_tokens_are_slowed_down(world: World) -> None:
    for _ in range(8):
        exchange = await begin("OAUTHBEARER", context(world))
        await exchange.step(oauthbearer("a3_wrong"))
    assert world.waits


# --- EXTERNAL -------------------------------------------------------------------------------------------


async def test_a_certificate_logs_in_whom_it_names(world: World) -> None:
    assert "EXTERNAL" not in await offered(context(world))
    assert (await offered(context(world, "bob@a.test")))[0] == "EXTERNAL"
    for authzid in (b"", b"bob@a.test", b"robert@a.test"):
        exchange = await begin("EXTERNAL", context(world, "nobody@a.test", "Bob@A.test"))
        assert await exchange.step(None) == b""
        found = await exchange.step(authzid)
        assert isinstance(found, Principal) and found.account == world.bob.id and not found.scopes


async def test_of_two_accounts_in_a_certificate_the_one_asked_for_is_meant(world: World) -> None:
    for authzid, address in ((b"", "bob@a.test"), (b"carol@a.test", "carol@a.test")):
        exchange = await begin("EXTERNAL", context(world, "bob@a.test", "carol@a.test"))
        found = await exchange.step(authzid)
        assert isinstance(found, Principal) and found.address == address


async def test_a_certificate_of_nobody_or_for_somebody_else_is_refused(world: World) -> None:
    world.rows.change(world.bob.id, enabled=False)
    for names, authzid in (
        (("nobody@a.test",), b""),
        (("bob@a.test",), b""),
        (("carol@a.test",), b"bob@a.test"),
        (("carol@a.test",), b"nobody@a.test"),
    ):
        exchange = await begin("EXTERNAL", context(world, *names))
        with pytest.raises(AuthenticationFailed):
            await exchange.step(authzid)
    exchange = await begin("EXTERNAL", context(world, "carol@a.test"))
    with pytest.raises(BadExchange):
        await exchange.step(b"\0")


# --- all of them -----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(name=st.sampled_from(["OAUTHBEARER", "XOAUTH2", "EXTERNAL"]), data=st.data())
async def test_any_response_is_a_step_or_refused(name: str, data: st.DataObject) -> None:
    pieces = [b"n,,\x01", b"auth=Bearer a3_x", b"\x01", b"user=bob", b"a=", b",", b"\0", b"\xff", b"host=x"]
    drawn = data.draw(st.lists(st.sampled_from(pieces) | st.binary(max_size=20), max_size=8))
    world = World()
    exchange = await begin(name, context(world, "bob@a.test"))
    try:
        found = await exchange.step(b"".join(drawn))
    except (BadExchange, AuthenticationFailed):
        pass
    else:
        assert isinstance(found, bytes) or name == "EXTERNAL"
    world.door.close()
