"""What becomes of an application's mail is kept by recipient, and nobody else's mail is looked at."""

from __future__ import annotations

from dataclasses import replace

from a3mailer.mail.ids import AccountId
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.ports import Transaction
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer import outcomes
from a3mailer.transfer.outcomes import Outcome, is_id, new_id, settled
from tests.unit.edge.http.api_world import ApiWorld

MAIL = {"to": ["x@else.test", "y@else.test", "away@a.test"], "subject": "hello", "text": "Good morning."}


async def test_the_queue_tells_what_becomes_of_a_recipient() -> None:
    clock = FakeClock()
    world = ApiWorld(MemoryStore(clock), clock)
    await world.settle()
    number = (await world.ask("POST /api/v1/send", MAIL)).json["id"]
    (entry,) = await world.store.queue()
    assert entry.trace == number
    now = int(clock.now())
    news = [
        ("x@else.test", Outcome("delivered", now, "250 2.0.0 ok", "mx.else.test")),
        ("y@else.test", Outcome("deferred", now, "450 4.2.1 later")),
        ("alice@else.test", Outcome("bounced", now, "an address the sender does not know")),
    ]
    made = await settled(world.store, entry, news)
    await world.do(*made)
    told = (await world.ask(f"GET /api/v1/messages/{number}")).json["recipients"]
    assert {r["address"]: (r["state"], r["says"]) for r in told} == {
        "away@a.test": ("forwarded", "accepted: this address leads to others"),
        "x@else.test": ("delivered", "delivered by mx.else.test: 250 2.0.0 ok"),
        "y@else.test": ("deferred", "not delivered yet; another attempt will be made: 450 4.2.1 later"),
    }
    for other in (replace(entry, account=AccountId(0)), replace(entry, trace="0123456789abcdef")):
        assert await settled(world.store, other, news) == ()
    assert await settled(world.store, replace(entry, account=world.bob), news) == ()
    clock.advance(outcomes.KEPT_DAYS * outcomes.DAY)
    assert (await world.ask(f"GET /api/v1/messages/{number}")).status == 404
    await world.close()


async def test_a_complaint_is_of_a_mail_that_was_sent_there() -> None:
    clock = FakeClock()
    world = ApiWorld(MemoryStore(clock), clock)
    await world.settle()
    sent = (await world.ask("POST /api/v1/send", MAIL)).json
    now = int(clock.now())
    for account, message_id, address in (
        (world.bob, sent["message_id"], "x@else.test"),
        (world.alice, sent["message_id"], "z@else.test"),
        (world.alice, f"{sent['id']}@else.test", "x@else.test"),
        (world.alice, "nonsense", "x@else.test"),
    ):
        assert await outcomes.complained(world.store, account, message_id, address, now) == ()
    made = await outcomes.complained(world.store, world.alice, f"<{sent['message_id']}>", "x@else.test", now)
    await world.store.commit(Transaction(made))
    told = (await world.ask(f"GET /api/v1/messages/{sent['id']}")).json["recipients"]
    assert {r["address"]: r["state"] for r in told}["x@else.test"] == "complained"
    await world.close()


def test_ids() -> None:
    assert is_id(new_id()) and new_id() != new_id()
    assert not any(
        map(is_id, ("", "m", "x" + "0" * 20, "m" + "0" * 19, "m" + "g" * 20, "0123456789abcdef-2"))
    )
