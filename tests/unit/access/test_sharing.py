"""Who is told when rights on mailboxes change, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from a3mailer.access import notices as kept
from a3mailer.access.notices import AGE, GONE, GONE_AGE, MOST, MOST_OF_ONE, Notice, dismissed, notices, told
from a3mailer.access.sharing import AT_ONCE, MEMBERS, Sharing
from a3mailer.identity.principal import OPERATOR
from a3mailer.mail.errors import NoSuchMailbox
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, MailboxId
from a3mailer.mail.rights import ALL_RIGHTS, ANYONE, NEGATIVE, ROOT, of_account, of_group
from a3mailer.store import operations as op
from tests.unit.access.test_rights import World


class Town(World):
    def __init__(self) -> None:
        super().__init__()
        self.sharing = Sharing(self.store, self.rights, self.clock)

    async def share(
        self, identifier: str, rights: str, *, mode: str = "=", by: str = "alice", mailbox: int = INBOX
    ) -> None:
        change = op.ChangeGrant(self.ids["alice"], MailboxId(mailbox), identifier, mode, rights)
        await self.do(*await self.sharing.announced(self.who(by), change))
        self.rights.forget()

    async def told(self, name: str) -> list[Notice]:
        found = await notices(self.store, self.ids[name], int(self.clock.now()))
        return list(found.live.values())

    def id(self, name: str) -> str:
        return of_account(self.ids[name])


@pytest.fixture
async def town() -> Town:
    made = Town()
    await made.settle_in()
    await made.do(op.ChangeAccount(made.ids["alice"], display_name="Alice A."))
    return made


async def test_who_is_named_is_told_what_it_may_now(town: Town) -> None:
    await town.share(town.id("bob"), "lrs")
    (notice,) = await town.told("bob")
    now = int(town.clock.now())
    alice = int(town.ids["alice"])
    assert notice == Notice(
        now, alice, INBOX, "INBOX", "", "lrs", alice, "Alice A.", "alice@a.test"
    )  # fmt: skip
    assert await town.told("alice") == await town.told("carol") == []


async def test_later_changes_take_the_place_of_earlier_ones(town: Town) -> None:
    await town.share(town.id("bob"), "lrs")
    first = (await notices(town.store, town.ids["bob"], 0)).live.keys()
    await town.share(town.id("bob"), "w", mode="+")
    ((id, notice),) = (await notices(town.store, town.ids["bob"], 0)).live.items()
    assert id not in first and (notice.old, notice.new) == ("", "lrsw"), "both together"
    await town.share(town.id("bob"), "")
    (notice,) = await town.told("bob")
    assert (notice.old, notice.new) == ("lrsw", ""), "together they are nothing: the last of them"
    await town.share(town.id("bob"), "lr", by="carol")
    (notice,) = await town.told("bob")
    assert (notice.old, notice.new, notice.by_address) == ("lrsw", "lr", "carol@b.test")


async def test_what_changes_nothing_for_somebody_is_not_told(town: Town) -> None:
    for identifier, rights in (
        (town.id("bob"), "r"),  # cannot be seen
        (NEGATIVE + town.id("bob"), "w"),
        (town.id("alice"), "lr"),
        (town.id("eve"), ALL_RIGHTS),  # of another tenant
        (of_group("nobody@a.test"), "lr"),
        (ANYONE, "lr"),
        (of_account(AccountId(999)), "lr"),
    ):
        await town.share(identifier, rights)
    assert [await town.told(name) for name in ("alice", "bob", "carol", "eve")] == [[], [], [], []]
    await town.share(town.id("carol"), "lra", by="carol")
    assert await town.told("carol") == [], "who does it knows it"
    await town.share(town.id("bob"), "", mode="=")
    assert await town.told("bob") == [], "anyone may read, so he may as before"


async def test_members_of_a_group_are_told_unless_they_are_many(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = ("bob@a.test", "carol@b.test", "alice@a.test")
    await town.do(op.PutAlias(DEFAULT_TENANT, "sales@a.test", people, "group"))
    town.rights.forget()
    await town.share(of_group("sales@a.test"), "lr")
    assert [len(await town.told(name)) for name in ("alice", "bob", "carol")] == [0, 1, 1]
    await town.share(NEGATIVE + town.id("bob"), "r")
    assert [each.new for each in await town.told("bob")] == ["l"]
    monkeypatch.setattr("a3mailer.access.sharing.MEMBERS", 2)
    assert MEMBERS == 100
    await town.share(of_group("sales@a.test"), "lrs")
    assert [each.new for each in await town.told("carol")] == ["lr"]


async def test_one_act_on_many_mailboxes(town: Town) -> None:
    made = [await town.do(op.CreateMailbox(town.ids["alice"], f"A/{n}")) for n in range(AT_ONCE)]
    boxes = [each.mailbox for (each,) in made if isinstance(each, op.MailboxCreated)]
    changes = [
        op.ChangeGrant(town.ids["alice"], place, town.id("bob"), "=", "lr") for place in (ROOT, *boxes, INBOX)
    ]
    await town.do(*await town.sharing.announced(OPERATOR, *changes))
    found = await town.told("bob")
    assert len(found) == AT_ONCE and {each.name for each in found} == {str(n) for n in range(AT_ONCE)}
    assert (found[0].by, found[0].by_name, found[0].by_address) == (0, "operator", "")
    both = [
        op.ChangeGrant(town.ids["alice"], INBOX, town.id("carol"), mode, rights)
        for mode, rights in (("=", "lrsw"), ("-", "w"))
    ]
    await town.do(*await town.sharing.announced(OPERATOR, *both))
    assert [each.new for each in await town.told("carol")] == ["lrs"], "what all of them do together"
    with pytest.raises(NoSuchMailbox):
        gone = op.ChangeGrant(town.ids["alice"], MailboxId(999), town.id("bob"), "=", "lr")
        await town.sharing.announced(OPERATOR, gone)


# --- what is kept ------------------------------------------------------------------------------------


async def tell(town: Town, *news: tuple[int, int]) -> None:
    """By (account, mailbox), a second each."""
    for account, mailbox in news:
        town.clock.advance(1)
        now = int(town.clock.now())
        notice = Notice(now, account, mailbox, "x", "", "lr", account, "somebody")
        await town.do(*await told(town.store, town.ids["bob"], [notice], now))


async def places(town: Town) -> Sequence[tuple[int, int]]:
    return sorted((each.account, each.mailbox) for each in await town.told("bob"))


async def test_nobody_pushes_out_what_others_told(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 6)
    monkeypatch.setattr(kept, "MOST_OF_ONE", 4)
    assert (MOST, MOST_OF_ONE) == (256, 64)
    await tell(town, (7, 1), *((8, n) for n in range(10)))
    assert await places(town) == [(7, 1), (8, 6), (8, 7), (8, 8), (8, 9)]
    await tell(town, (9, 1), (9, 2), (9, 3))
    assert await places(town) == [(7, 1), (8, 8), (8, 9), (9, 1), (9, 2), (9, 3)]


async def test_notices_go_by_themselves_and_what_went_is_known_for_a_while(town: Town) -> None:
    bob = town.ids["bob"]
    await tell(town, (7, 1))
    made = int(town.clock.now())
    ((id, _),) = (await notices(town.store, bob, made)).live.items()
    town.clock.advance(AGE - 1)
    assert len(await town.told("bob")) == 1
    town.clock.advance(1)
    found = await notices(town.store, bob, int(town.clock.now()))
    assert not found.live and found.touched == {id: made + AGE}
    town.clock.advance(GONE_AGE)
    assert not (await notices(town.store, bob, int(town.clock.now()))).touched


async def test_of_many_that_went_the_oldest_are_forgotten(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "GONE", 3)
    assert GONE == 512
    bob = town.ids["bob"]
    for _ in range(6):
        await tell(town, (7, 1))
    found = await notices(town.store, bob, int(town.clock.now()))
    assert len(found.live) == 1 and len(found.touched) == 1 + 3
    assert 0 < found.floor < min(found.touched.values())
    town.clock.advance(1)
    await town.do(*dismissed(bob, found.live, int(town.clock.now())))
    assert await places(town) == []
