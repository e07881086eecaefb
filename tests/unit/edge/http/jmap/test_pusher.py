"""Pushing to subscriptions: nothing before the verification, one push a change, and what fails (row 44)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from a3mailer.access.pushes import subscriptions
from a3mailer.access.subscriptions import subscribe
from a3mailer.edge.http.jmap import pusher as module
from a3mailer.edge.http.jmap.capabilities import CORE
from a3mailer.edge.http.jmap.methods import pushsubscription
from a3mailer.edge.http.jmap.pusher import Pusher
from a3mailer.identity.principal import Principal
from a3mailer.mail.envelope import Client
from a3mailer.mail.ids import INBOX
from a3mailer.mail.rights import of_account
from a3mailer.runtime.http import HttpAnswer, HttpFailure
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from a3mailer.wire.jmap.request import Request
from a3mailer.wire.webpush.encrypt import base64url, point_of
from tests.unit.edge.http.jmap.test_events import MAIL, EventWorld

URL = "https://push.test/x"


class Web:
    """What is posted, and what is answered."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.status = 201

    async def post(self, url: str, body: bytes, media: str, **how: Any) -> HttpAnswer:
        assert media == "application/json"
        self.posted.append((url, body, how["fields"]))
        if not self.status:
            raise HttpFailure("connect", "nobody there")
        return HttpAnswer(self.status, "", b"")

    def taken(self) -> list[Any]:
        """The bodies since the last call, as JSON."""
        found, self.posted = [json.loads(body) for _, body, _ in self.posted], []
        return found


class PushWorld(EventWorld):
    """With a pusher whose rounds are made by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.web = Web()
        self.pusher = Pusher(self.jmap.services, self.jmap.hub, self.web)  # type: ignore[arg-type]
        self.store.watch(self.pusher.heard)

    async def ask(self, method: str, **arguments: object) -> dict[str, Any]:
        account = await self.store.account(self.accounts["alice"])
        assert account is not None
        who = Principal(account.id, account.tenant, account.address, "user", "alice", epoch=account.epoch)
        call = (f"PushSubscription/{method}", dict(arguments), "0")
        ((_, told, _),) = (
            await self.jmap.dispatcher.perform(who, Client("192.0.2.1", 0), Request((CORE,), (call,)))
        ).method_responses
        return told

    async def subscribe(self, **more: object) -> str:
        record = {"deviceClientId": "d", "url": URL, **more}
        told = await self.ask("set", create={"k": record})
        return str(told["created"]["k"]["id"])

    async def verified(self, **more: object) -> str:
        """A subscription that knows the states of now."""
        id = await self.subscribe(**more)
        await self.round()
        ((_, (each, _)),) = (await subscriptions(self.store, self.accounts["alice"])).items()
        told = await self.ask("set", update={id: {"verificationCode": each.code}})
        assert told["updated"] == {id: None}
        await self.round()
        self.web.posted.clear()
        return id

    async def round(self, seconds: int = 0) -> None:
        self.clock.advance(seconds)
        await self.pusher.round()

    async def there(self) -> int:
        return len(await subscriptions(self.store, self.accounts["alice"]))


@pytest.fixture
async def world() -> AsyncIterator[PushWorld]:
    made = PushWorld()
    await made.fill()
    yield made
    made.close()


async def test_nothing_but_one_verification_before_it_is_verified(world: PushWorld) -> None:
    id = await world.subscribe()
    for _ in range(5):
        await world.deliver(MAIL)
        await world.round(10)
    ((url, body, fields),) = world.web.posted
    told = json.loads(body)
    assert url == URL and told["@type"] == "PushVerification" and told["pushSubscriptionId"] == id
    assert len(told["verificationCode"]) >= 32
    assert fields["TTL"].isdigit() and fields["Authorization"].startswith("vapid t=")
    await world.round(module.VERIFY_SECONDS + 1)
    assert await world.there() == 0 and len(world.web.posted) == 1


async def test_a_verification_that_fails_is_tried_a_few_times(world: PushWorld) -> None:
    world.web.status = 0
    await world.subscribe()
    for _ in range(20):
        await world.round(module.LONGEST_PAUSE)
    assert len(world.web.posted) == module.MOST_UNVERIFIED and await world.there() == 0


async def test_changes_are_pushed_together_and_not_too_often(world: PushWorld) -> None:
    await world.verified()
    await world.deliver(MAIL)
    await world.deliver(MAIL)
    await world.round(1)
    assert world.web.taken() == [{"@type": "StateChange", "changed": {"A1": {"Email": "3"}}}]
    account = world.accounts["alice"]
    await world.store.commit(Transaction((op.CreateMailbox(account, "New"),)))
    await world.round()
    assert world.web.taken() == [], "not yet"
    await world.round(module.GAP + 1)
    assert world.web.taken() == [{"@type": "StateChange", "changed": {"A1": {"Mailbox": "7"}}}]
    for _ in range(3):
        await world.round(module.GAP + 1)
    assert world.web.taken() == []


async def test_only_the_types_that_are_wanted(world: PushWorld) -> None:
    await world.verified(types=["Mailbox"])
    await world.deliver(MAIL)
    await world.round(10)
    assert world.web.taken() == []


async def test_a_url_that_fails_is_asked_less_and_less_and_forgotten_at_last(world: PushWorld) -> None:
    await world.verified()
    world.web.status = 429
    await world.deliver(MAIL)
    times = []
    for _ in range(400):
        await world.round(30)
        if world.web.posted:
            times.append(int(world.clock.now()))
            world.web.posted.clear()
    gaps = [b - a for a, b in pairwise(times)]
    assert len(times) > 5 and all(b > a for a, b in pairwise(gaps))
    world.web.status = 201
    await world.round(module.LONGEST_PAUSE)
    assert [each["changed"] for each in world.web.taken()] == [{"A1": {"Email": "2"}}]
    world.web.status = 410
    await world.deliver(MAIL)
    await world.round(module.GAP + 1)
    assert await world.there() == 0


async def test_what_has_keys_is_encrypted(world: PushWorld) -> None:
    key, auth = ec.generate_private_key(ec.SECP256R1()), b"a" * 16
    keys = {"p256dh": base64url(point_of(key.public_key())), "auth": base64url(auth)}
    await world.subscribe(keys=keys)
    await world.round()
    ((_, body, fields),) = world.web.posted
    assert fields["Content-Encoding"] == "aes128gcm"
    salt, theirs, sealed = body[:16], body[21:86], body[86:]
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))

    def derive(secret: bytes, salt: bytes, about: bytes, size: int) -> bytes:
        return HKDF(hashes.SHA256(), size, salt, about).derive(secret)

    secret = derive(shared, auth, b"WebPush: info\0" + point_of(key.public_key()) + theirs, 32)
    cipher = AESGCM(derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16))
    plain = cipher.decrypt(derive(secret, salt, b"Content-Encoding: nonce\0", 12), sealed, None)
    assert json.loads(plain.rstrip(b"\2"))["@type"] == "PushVerification"


async def test_it_dies_with_the_credentials_and_at_its_time(world: PushWorld) -> None:
    await world.verified()
    await world.store.commit(Transaction((op.BumpEpoch(world.accounts["alice"]),)))
    assert (await world.ask("get"))["list"] == [], "other credentials"
    await world.deliver(MAIL)
    await world.round(10)
    assert await world.there() == 0 and world.web.taken() == []


async def test_an_account_has_only_so_many_and_makes_only_so_many(world: PushWorld) -> None:
    records = {f"k{n}": {"deviceClientId": "d", "url": URL} for n in range(30)}
    told = await world.ask("set", create=records)
    assert len(told["created"]) == pushsubscription.NEW
    assert {each["type"] for each in told["notCreated"].values()} == {"rateLimit"}
    world.clock.advance(pushsubscription.NEW_SECONDS + 1)
    told = await world.ask("set", create=records)
    assert len(told["created"]) == 10
    world.clock.advance(pushsubscription.NEW_SECONDS + 1)
    told = await world.ask("set", create=records)
    assert told["created"] is None and {each["type"] for each in told["notCreated"].values()} == {"overQuota"}


async def test_what_is_lent_is_pushed_too(world: PushWorld) -> None:
    alice, bob = world.accounts["alice"], world.accounts["bob"]
    await world.store.commit(Transaction((op.ChangeGrant(bob, INBOX, of_account(alice), "=", "lr"),)))
    world.rights.forget()
    await world.verified()
    await world.deliver(MAIL, account="bob")
    await world.round(10)
    assert world.web.taken() == [], "only of what she has subscribed to (RFC 9670 section 1.4)"
    await world.store.commit(Transaction((subscribe(alice, "Other Users/bob/INBOX"),)))
    await world.deliver(MAIL, account="bob")
    await world.round(10)
    (told,) = world.web.taken()
    assert set(told["changed"]) == {"A2"}
    await world.store.commit(Transaction((op.ChangeGrant(bob, INBOX, of_account(alice), "=", ""),)))
    await world.deliver(MAIL, account="bob")
    await world.round(10)
    assert world.web.taken() == []
