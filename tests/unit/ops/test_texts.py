"""The index is kept up: when it is told, when it was not, and what is gone goes."""

from a3mailer.mail.changes import EVERYTHING, Change
from a3mailer.mail.errors import StoreFull, TryLater
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId, MailboxId, ModSeq
from a3mailer.ops import texts
from a3mailer.ops.texts import TextIndexing
from a3mailer.telemetry import metrics
from a3mailer.testing.clock import FakeClock

ALICE, BOB = AccountId(1), AccountId(2)


class Keeper:
    """Has mails left by account; tells what was done."""

    def __init__(self) -> None:
        self.left: dict[AccountId, int] = {}
        self.acts: list[str] = []
        self.taken_away = 0
        self.trouble = self.full = False

    async def behind(self) -> list[AccountId]:
        self.acts.append("behind")
        return [account for account, left in self.left.items() if left]

    async def index(self, account: AccountId) -> int:
        if self.trouble:
            raise TryLater("busy")
        if self.full:
            self.acts.append(f"full {account}")
            raise StoreFull("full")
        taken = min(self.left.get(account, 0), 500)
        self.left[account] = self.left.get(account, 0) - taken
        self.acts.append(f"index {account} {taken}")
        return taken

    async def sweep(self, account: AccountId) -> int:
        if self.full:
            raise StoreFull("full")
        self.acts.append(f"sweep {account}")
        return 1

    def unswept(self, before: int) -> list[AccountId]:
        self.acts.append("unswept")
        return [BOB]

    def changed(self) -> int:
        return self.taken_away

    def done(self) -> list[str]:
        acts, self.acts = self.acts, []
        return acts


def change(account: AccountId) -> Change:
    return Change(account, MailboxId(1), ModSeq(5))


async def test_everything_is_looked_at_first_then_what_is_heard_of() -> None:
    keeper, clock = Keeper(), FakeClock()
    work = TextIndexing(keeper, clock)
    keeper.left[ALICE] = 700
    await work.round()
    assert keeper.done() == ["behind", "index 1 500", "index 1 200", "index 1 0"]
    await work.round()
    assert keeper.done() == []
    keeper.left[BOB] = 2
    work.heard(change(BOB))
    work.heard(change(SYSTEM_ACCOUNT))
    await work.round()
    assert keeper.done() == []  # more may come
    assert metrics.SHARED.total("a3_search_accounts_waiting") == 1
    clock.advance(texts.GATHER_SECONDS)
    work.heard(change(BOB))
    await work.round()
    assert keeper.done() == ["index 2 2", "index 2 0"]
    assert metrics.SHARED.total("a3_search_accounts_waiting") == 0
    assert metrics.SHARED.total("a3_search_lag_seconds") == 0


async def test_lost_hints_and_indexes_taken_away_are_noticed() -> None:
    keeper, clock = Keeper(), FakeClock()
    work = TextIndexing(keeper, clock)
    await work.round()
    for happens in (lambda: work.heard(EVERYTHING), lambda: setattr(keeper, "taken_away", 7)):
        keeper.done()
        keeper.left[ALICE] = 1
        happens()
        await work.round()
        assert keeper.done() == ["behind", "index 1 1", "index 1 0"]
    clock.advance(texts.RESCAN_SECONDS)
    await work.round()
    assert "behind" in keeper.done()


async def test_what_cannot_be_done_now_is_done_later() -> None:
    keeper, clock = Keeper(), FakeClock()
    work = TextIndexing(keeper, clock)
    keeper.left[ALICE], keeper.trouble = 1, True
    await work.round()
    assert metrics.SHARED.total("a3_search_accounts_waiting") == 1
    keeper.trouble = False
    clock.advance(texts.GATHER_SECONDS)
    await work.round()
    assert keeper.left[ALICE] == 0


async def test_what_is_gone_is_swept_out_in_time() -> None:
    keeper, clock = Keeper(), FakeClock()
    work = TextIndexing(keeper, clock)
    await work.round()
    keeper.done()
    clock.advance(texts.SWEEP_SECONDS)
    await work.round()
    assert keeper.done()[-2:] == ["unswept", "sweep 2"]


async def test_it_stops_between_two_batches() -> None:
    keeper = Keeper()
    keeper.left[ALICE] = 5000
    answers = iter([False, False, True, True])
    await TextIndexing(keeper, FakeClock()).round(lambda: next(answers))
    assert keeper.left[ALICE] == 4500


async def test_a_full_disk_is_left_alone_for_a_while_and_the_lag_is_told() -> None:
    keeper, clock = Keeper(), FakeClock()
    work = TextIndexing(keeper, clock)
    await work.round()
    keeper.left.update({ALICE: 1, BOB: 1})
    work.heard(change(ALICE))
    work.heard(change(BOB))
    clock.advance(texts.GATHER_SECONDS)
    keeper.full = True
    keeper.done()
    await work.round()
    assert keeper.done() == ["full 1"]  # the second one would find it full too
    clock.advance(texts.FULL_SECONDS / 2)
    await work.round()
    assert keeper.done() == []
    assert metrics.SHARED.total("a3_search_accounts_waiting") == 2
    assert metrics.SHARED.total("a3_search_lag_seconds") == texts.GATHER_SECONDS + texts.FULL_SECONDS / 2
    clock.advance(texts.FULL_SECONDS)
    await work.round()
    assert len(keeper.done()) == 1
    keeper.full = False
    clock.advance(texts.FULL_SECONDS)
    await work.round()
    assert keeper.left == {ALICE: 0, BOB: 0}
    assert metrics.SHARED.total("a3_search_accounts_waiting") == 0


async def test_what_cannot_be_swept_now_is_swept_later() -> None:
    keeper, clock = Keeper(), FakeClock()
    work = TextIndexing(keeper, clock)
    await work.round()
    keeper.full = True
    clock.advance(texts.SWEEP_SECONDS)
    await work.round()
    keeper.full = False
    keeper.done()
    clock.advance(texts.SWEEP_SECONDS)
    await work.round()
    assert keeper.done()[-1] == "sweep 2"
