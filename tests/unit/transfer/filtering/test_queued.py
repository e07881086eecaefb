"""Scripts of what comes out of the queue: redirects to somebody here, aliases, lists."""

from dataclasses import replace

import pytest

from a3mailer.access.scripts import Scripts
from a3mailer.mail.ids import AccountId
from a3mailer.runtime.shared import SharedTable
from a3mailer.store.operations import Append
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.filtering.hourly import Hourly
from a3mailer.transfer.policy.checks.rate import HALF_LIFE, KEYS
from tests.unit.transfer.office import CONTENT, Office


class Town(Office):
    """Its queue runs scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = Scripts(self.store, self.settings)
        counts = Hourly(SharedTable(KEYS, HALF_LIFE), self.clock, self.settings)
        self.filtering = Filtering(
            self.scripts, self.store, self.directory, self.settings, counts, self.forwarding
        )
        self.desk = replace(self.desk, filtering=self.filtering)

    async def script(self, text: str, account: AccountId | None = None) -> None:
        account = self.bob.id if account is None else account
        await self.scripts.put(account, "main", text.encode(), 0)
        await self.scripts.activate(account, "main")

    async def counts(self, account: AccountId | None = None) -> dict[str, int]:
        boxes = await self.store.mailboxes(self.bob.id if account is None else account)
        return {box.name: box.messages for box in boxes if box.messages}


@pytest.fixture
def town() -> Town:
    return Town()


async def test_filed_with_the_end_of_the_entry(town: Town) -> None:
    await town.script('require ["fileinto", "copy"]; fileinto :copy "Archive";')
    await town.enqueue("bob@a.test")
    await town.attempt()
    assert await town.counts() == {"INBOX": 1, "Archive": 1} and town.store.entries == []
    assert len(town.store.transactions[-1].contents) == 1
    assert [each.state for each in town.settled] == ["delivered"]


async def test_a_mailbox_made_for_a_mail_of_the_queue_has_it_once(town: Town) -> None:
    """Also where it is tried again without word of the first time: the mailbox is there by then."""
    await town.script('require ["fileinto", "mailbox"]; fileinto :create "New";')
    await town.enqueue("bob@a.test")
    (entry,) = town.store.entries
    await town.attempt()
    assert await town.counts() == {"New": 1}
    appended = next(each for each in town.store.transactions[-1].operations if isinstance(each, Append))
    await town.script('require ["fileinto"]; fileinto "New";')
    await town.enqueue("bob@a.test")
    (again,) = town.store.entries
    await town.attempt()
    later = next(each for each in town.store.transactions[-1].operations if isinstance(each, Append))
    assert await town.counts() == {"New": 2}
    old, new = b"%d" % entry.id, b"%d" % again.id
    assert appended.delivery.replace(old, b"*", 1) == later.delivery.replace(new, b"*", 1)


async def test_discarded(town: Town) -> None:
    await town.script("discard;")
    await town.enqueue("bob@a.test")
    await town.attempt()
    assert await town.counts() == {} and town.store.entries == []


async def test_ereject_is_a_failure_and_reject_a_disposition(town: Town) -> None:
    await town.script('require "ereject"; ereject "No";')
    await town.enqueue("bob@a.test", sender="dave@c.test")
    await town.attempt()
    (entry,) = town.store.entries
    octets = town.store.content(entry)
    assert b"report-type=delivery-status" in octets and b"5.7.1 No" in octets
    town.store._state.queue.clear()
    await town.script('require "reject"; reject "No";')
    await town.enqueue("bob@a.test", sender="dave@c.test")
    await town.attempt()
    (entry,) = town.store.entries
    assert b"report-type=disposition-notification" in town.store.content(entry)
    assert await town.counts() == {}


async def test_an_alias_of_two_where_one_refuses(town: Town) -> None:
    await town.script('require "ereject"; ereject "No";')
    await town.enqueue("sales@a.test", sender="dave@c.test")
    await town.attempt()
    assert await town.counts(town.alice.id) == {"INBOX": 1}
    (entry,) = town.store.entries
    assert b"report-type=disposition-notification" in town.store.content(entry)


async def test_of_two_with_the_same_mail_one_is_the_duplicate(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await town.script('require "duplicate"; if duplicate { discard; }')
    ask, asked = Filtering._answer, list[object]()

    async def late(self: Filtering, *about: object) -> object:
        found = await ask(self, *about)  # type: ignore[arg-type]
        asked.append(found)
        if len(asked) == 1:
            await town.enqueue("bob@a.test", content=CONTENT)
            await town.attempt()
        return found

    monkeypatch.setattr(Filtering, "_answer", late)
    await town.enqueue("bob@a.test", content=CONTENT)
    await town.attempt()
    assert asked == [False, False, True]
    assert await town.counts() == {"INBOX": 1} and town.store.entries == []
