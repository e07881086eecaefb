"""States and changes of records that are kept as documents, and mails that are held, sent and undone."""

from __future__ import annotations

import pytest

from a3mailer.edge.http.jmap.kept import DAY, FORGOTTEN_DAYS, MOST_MARKS, Kept
from a3mailer.mail.envelope import Client
from a3mailer.mail.errors import NotAllowed, TooMany
from a3mailer.mail.ids import AccountId
from a3mailer.transfer.applications.submitting import BadRecipients, Path
from a3mailer.transfer.outcomes import new_id
from a3mailer.wire.jmap.errors import MethodError
from tests.transcripts.jmap_world import JmapWorld, submitting_of

MAIL = b"From: alice@example.test\r\nTo: bob@example.test\r\nSubject: x\r\n\r\ntext\r\n"


def test_changes_of_kept_records() -> None:
    old = Kept({"a": {"made": 10}, "b": {"made": 20}}, {"a": 10, "b": 20})
    new = Kept({"a": {"made": 10, "x": 1}, "c": {"made": 30}}, {"a": 30, "b": 31, "c": 30})
    assert old.changes(old.state, 1, 50).state == old.state
    told = new.changes(old.state, 10, 50)
    assert (told.created, told.updated, told.destroyed, told.state) == (["c"], ["a"], ["b"], new.state)
    part = new.changes(old.state, 2, 50)
    assert (part.created, part.updated, part.destroyed, part.more) == (["c"], ["a"], [], True)
    rest = new.changes(part.state, 2, 50)
    assert (rest.created, rest.updated, rest.destroyed, rest.more) == ([], [], ["b"], False)
    for since in ("", "x", "7", "x-1", "9999999999999-1"):
        with pytest.raises(MethodError):
            new.changes(since, 10, 50)
    with pytest.raises(MethodError):
        new.changes("10-x", 10, (FORGOTTEN_DAYS + 1) * DAY)
    for bad in ("10-x.abc", "10-x." + "a" * 16 * (MOST_MARKS + 1)):
        with pytest.raises(MethodError):
            new.changes(bad, 10, 50)


def told_all(kept: Kept, since: str, most: int) -> list[tuple[list[str], list[str], list[str]]]:
    """What pages of changes say until there are no more."""
    pages = []
    while True:
        told = kept.changes(since, most, 50)
        pages.append((list(told.created), list(told.updated), list(told.destroyed)))
        if not told.more:
            assert told.state == kept.state
            return pages
        since = told.state


def test_the_same_second_is_told_once() -> None:
    """RFC 8620 section 5.2: created is what was created since the old state, however soon after it."""
    before = Kept({"a": {"made": 10}, "c": {"made": 10}, "d": {"made": 10}}, {"a": 10, "c": 10, "d": 10})
    now = {"a": {"made": 10}, "b": {"made": 10}, "c": {"made": 10, "x": 1}}
    after = Kept(now, dict.fromkeys("abcd", 10))
    assert told_all(after, before.state, 10) == [(["b"], ["c"], ["d"])]
    assert told_all(after, before.state, 1) == [(["b"], [], []), ([], ["c"], []), ([], [], ["d"])]
    empty = Kept({"0": {"made": 0}}, {"0": 0})
    changed = Kept({"0": {"made": 0, "x": 1}}, {"0": 10})
    assert told_all(changed, empty.state, 10) == [([], ["0"], [])], "it was there before it was changed"


def test_very_many_of_one_second_are_told_twice_and_never_missed() -> None:
    many = {str(at): {"made": 10} for at in range(MOST_MARKS + 1)}
    before = Kept(many, dict.fromkeys(many, 10))
    after = Kept(many | {"b": {"made": 10}}, dict.fromkeys((*many, "b"), 10))
    assert "." not in before.state and before.state != after.state
    assert set(after.changes(before.state, 100, 50).created) == {*many, "b"}
    with pytest.raises(MethodError):
        after.changes("5-x", MOST_MARKS + 1, 50)
    assert len(told_all(after, "5-x", MOST_MARKS)) == 2


@pytest.fixture
async def world() -> JmapWorld:
    world = JmapWorld()
    await world.fill()
    return world


def client(world: JmapWorld) -> Client:
    return Client("127.0.0.1", 0, account=world.accounts["alice"], login="alice", protocol="submission")


async def test_an_envelope_is_that_of_smtp(world: JmapWorld) -> None:
    way = submitting_of(world.store, world.clock, world.settings)
    sender = Path("alice@example.test", " RET=HDRS ENVID=a+2Bb HOLDFOR=60 MT-PRIORITY=-3")
    people = [
        Path("bob@example.test", " NOTIFY=SUCCESS ORCPT=rfc822;b@x"),
        Path("bob@example.test"),
        Path("c@d.test"),
    ]
    made = way.envelope(client(world), sender, people, MAIL)
    assert (made.return_content, made.envelope_id, made.priority) == ("HDRS", "a+b", -3)
    assert made.not_before == int(world.clock.now()) + 60
    assert len(made.recipients) == 3
    with pytest.raises(BadRecipients) as caught:
        way.envelope(client(world), sender, [Path("c@d.test"), Path("no address"), Path("a@b", " X=Y")], MAIL)
    assert caught.value.addresses == ("no address", "a@b")
    for bad in (Path("no address"), Path("a@b.test", " SIZE=x"), Path("a@b.test", " HOLDFOR=1 HOLDUNTIL=x")):
        with pytest.raises(NotAllowed):
            way.envelope(client(world), bad, people, MAIL)
    with pytest.raises(TooMany):
        way.envelope(
            client(world), sender, [Path(f"a{n}@d.test") for n in range(way.most_recipients + 1)], MAIL
        )
    world.close()


async def test_what_is_held_can_be_taken_back(world: JmapWorld) -> None:
    way = submitting_of(world.store, world.clock, world.settings)
    account, number = AccountId(world.accounts["alice"]), new_id()
    people = [Path("bob@example.test"), Path("c@d.test")]
    made = way.envelope(client(world), Path("alice@example.test", " HOLDFOR=60"), people, MAIL)
    await way(client(world), number, made, MAIL, ())
    assert await way.waiting(AccountId(world.accounts["bob"]), number) is None
    assert await way.waiting(account, new_id()) is None
    queue = await way.waiting(account, number)
    assert queue is not None
    await way.recall(queue, ())
    assert await world.store.queue() == ()
    assert (await world.store.mailbox_named(world.accounts["bob"], "INBOX")).messages == 0
    await way(client(world), number, made, MAIL, ())
    assert await way.waiting(account, number) is not None
    world.clock.advance(61)
    assert await way.waiting(account, number) is None, "it may be on its way"
    world.close()
