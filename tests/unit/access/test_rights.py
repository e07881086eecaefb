"""Whose mailboxes a subject may use, by which names, and what it may do with each."""

from __future__ import annotations

import pytest

from a3mailer.access.rights import Rights, quoted, unquoted
from a3mailer.config.tree import Server, Settings
from a3mailer.identity.directory import Directory
from a3mailer.identity.principal import Principal
from a3mailer.identity.roles import RIGHTS
from a3mailer.mail.errors import BadName, MailError, NoSuchAccount, NoSuchMailbox, NotAllowed, NotPermitted
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, MailboxId, TenantId
from a3mailer.mail.rights import ALL_RIGHTS, ANYONE, ROOT, of_account, of_group
from a3mailer.store import operations as op
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import Operation, Result
from a3mailer.store.ports import Transaction
from a3mailer.testing.clock import FakeClock

OTHER = TenantId(2)
PEOPLE = (
    ("alice@a.test", "person", DEFAULT_TENANT),
    ("bob@a.test", "person", DEFAULT_TENANT),
    ("carol@b.test", "person", DEFAULT_TENANT),
    ("team@a.test", "group", DEFAULT_TENANT),
    ("eve@c.test", "person", OTHER),
    ("a/b=c@a.test", "person", DEFAULT_TENANT),
)


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.directory = Directory(self.store, Settings(server=Server(domain="a.test")))
        self.rights = Rights(self.store, self.directory)
        self.ids: dict[str, AccountId] = {}
        self.store.watch(self.directory.heard)
        self.store.watch(self.rights.heard)

    async def settle_in(self) -> None:
        for tenant, *domains in ((DEFAULT_TENANT, "a.test", "b.test"), (OTHER, "c.test")):
            await self.do(op.PutTenant(tenant, "x"), *(op.PutDomain(tenant, name) for name in domains))
        for address, kind, tenant in PEOPLE:
            (made,) = await self.do(op.CreateAccount(tenant, address, kind))
            assert isinstance(made, op.AccountCreated)
            self.ids[address.partition("@")[0]] = made.account

    async def do(self, *operations: Operation) -> tuple[Result, ...]:
        return await self.store.commit(Transaction(operations))

    async def grant(self, owner: str, identifier: str, rights: str, mailbox: MailboxId = INBOX) -> None:
        await self.do(op.ChangeGrant(self.ids[owner], mailbox, identifier, "=", rights))
        self.rights.forget()
        self.directory.forget()

    def who(self, name: str, role: str = "user") -> Principal:
        address, _, tenant = next(one for one in PEOPLE if one[0].startswith(name))
        return Principal(self.ids[name], tenant, address, role, name)

    async def of(self, name: str, owner: str, mailbox: MailboxId = INBOX) -> str:
        return await self.rights.of(self.who(name), self.ids[owner], mailbox)

    async def names(self, name: str) -> list[str]:
        return [row.name for row in await self.rights.shared(self.who(name))]

    async def answer(self, subject: Principal, name: str, action: str) -> str:
        try:
            return (await self.rights.find(subject, name, action)).name
        except MailError as error:
            return type(error).__name__


@pytest.fixture
async def world() -> World:
    world = World()
    await world.settle_in()
    return world


async def test_the_owner_has_all_rights_and_nobody_else_any(world: World) -> None:
    for subject in world.ids:
        for owner in world.ids:
            assert await world.of(subject, owner) == (ALL_RIGHTS if subject == owner else "")


async def test_rights_are_added_up_and_negative_ones_taken_away(world: World) -> None:
    await world.do(op.PutAlias(DEFAULT_TENANT, "inner@a.test", ("bob@a.test", "x@elsewhere.test"), "group"))
    await world.do(op.PutAlias(DEFAULT_TENANT, "sales@a.test", ("inner@a.test", "team@a.test"), "group"))
    bob = of_account(world.ids["bob"])
    await world.grant("alice", ANYONE, "lr")
    await world.grant("alice", of_group("sales@a.test"), "se")
    await world.grant("alice", bob, "wr")
    assert await world.of("bob", "alice") == "lrswe"
    assert await world.of("carol", "alice") == "lr"
    assert await world.of("eve", "alice") == ""
    await world.grant("alice", "-" + of_group("sales@a.test"), "r")
    await world.grant("alice", "-" + ANYONE, "e")
    assert await world.of("bob", "alice") == "lsw"
    assert await world.of("carol", "alice") == "lr"
    assert await world.of("alice", "alice") == ALL_RIGHTS


async def test_a_group_is_one_of_the_tenants_and_a_group(world: World) -> None:
    await world.do(op.PutAlias(DEFAULT_TENANT, "sales@a.test", ("bob@a.test",), "group"))
    await world.do(op.PutAlias(OTHER, "sales@c.test", ("bob@a.test", "eve@c.test"), "group"))
    await world.grant("alice", of_group("sales@c.test"), "lr")
    await world.grant("eve", of_group("sales@c.test"), "lr")
    assert (
        await world.of("bob", "alice") == await world.of("bob", "eve") == await world.of("eve", "alice") == ""
    )
    await world.grant("alice", of_group("sales@a.test"), "lr")
    assert await world.of("bob", "alice") == "lr"
    await world.do(op.PutAlias(DEFAULT_TENANT, "sales@a.test", ("bob@a.test",), "alias"))
    world.rights.forget()
    assert await world.of("bob", "alice") == ""


async def test_answers_are_kept_until_something_changes(world: World) -> None:
    assert await world.of("bob", "alice") == ""
    generation = world.rights.generation
    await world.do(op.ChangeGrant(world.ids["alice"], INBOX, of_account(world.ids["bob"]), "=", "lr"))
    while world.rights.generation == generation:
        await world.store.settings()
        await world.do(op.PutSetting("a", "b"))
    assert await world.of("bob", "alice") == "lr"


# --- names ---------------------------------------------------------------------------------------------


async def test_names(world: World) -> None:
    sent = (await world.store.mailbox_named(world.ids["alice"], "Sent")).id
    await world.grant("alice", ANYONE, "lr")
    await world.grant("alice", ANYONE, "r", sent)
    await world.grant("team", ANYONE, "lr")
    await world.grant("a/b=c", ANYONE, "lr")
    await world.grant("eve", ANYONE, "lr")
    assert await world.names("bob") == [
        "Other Users/alice/INBOX",
        "Shared/team/INBOX",
        "Other Users/a=2Fb=3Dc/INBOX",
    ]
    assert await world.names("carol") == [
        "Other Users/alice@a.test/INBOX",
        "Shared/team@a.test/INBOX",
        "Other Users/a=2Fb=3Dc@a.test/INBOX",
    ]
    assert await world.names("alice") == ["Shared/team/INBOX", "Other Users/a=2Fb=3Dc/INBOX"]
    assert await world.names("eve") == []
    bob = world.who("bob")
    for name in await world.names("bob"):
        row = await world.rights.find(bob, name, "mailbox.select")
        assert (row.name, row.id) == (name, INBOX)
        assert row.account != bob.account
    row = await world.rights.find(bob, "Other Users/alice/inbox", "mailbox.select")
    assert (row.account, row.name) == (world.ids["alice"], "Other Users/alice/INBOX")
    assert await world.answer(bob, "Other Users/alice/Sent", "mailbox.select") == "Other Users/alice/Sent"
    assert await world.answer(bob, "Other Users/alice/Sent", "mailbox.list") == "NotPermitted"


@pytest.mark.parametrize(
    "name",
    ["Other Users", "Other Users/", "Other Users/alice", "Other Users/alice/", "Other Users//INBOX",
     "other users/alice/INBOX", "Other Users/ALICE/INBOX", "Other Users/alice@a.test/INBOX",
     "Shared/alice/INBOX", "Other Users/team/INBOX", "Other Users/bob/INBOX", "Other Users/=61lice/INBOX",
     "Other Users/a=2fb=3Dc/INBOX", "Other Users/a=/INBOX", "Other Users/alice/a//b",
     "Other Users/nobody/INBOX",
     "Other Users/eve@c.test/INBOX", "Other Users/eve/INBOX", "Other Users/alice//INBOX"],
)  # fmt: skip
async def test_a_mailbox_has_one_name(world: World, name: str) -> None:
    for owner in world.ids:
        await world.grant(owner, ANYONE, ALL_RIGHTS)
    for action in RIGHTS:
        assert await world.answer(world.who("bob"), name, action) in ("NoSuchMailbox", "BadName")


async def test_ones_own_name_comes_first(world: World) -> None:
    await world.grant("alice", ANYONE, "lr")
    await world.do(op.CreateMailbox(world.ids["bob"], "Other Users/alice/INBOX"))
    row = await world.rights.find(world.who("bob"), "Other Users/alice/INBOX", "mailbox.select")
    assert row.account == world.ids["bob"]


@pytest.mark.parametrize("level", ["alice", "a=2Fb", "=2A=25=3D", "ä"])
def test_an_address_as_a_level(level: str) -> None:
    assert quoted(unquoted(level)) == level


# --- the matrix (attacks.md row 37) --------------------------------------------------------------------


@pytest.mark.parametrize("right", ["", *ALL_RIGHTS])
async def test_every_act_and_every_right(world: World, right: str) -> None:
    """What one may not know of is what is not there; others of the tenant, and other tenants, see nothing."""
    await world.grant("alice", of_account(world.ids["bob"]), right)
    await world.grant("eve", of_account(world.ids["bob"]), right)
    for action, needed in RIGHTS.items():
        absent = await world.answer(world.who("bob"), "Other Users/alice/Absent", action)
        assert absent == "NoSuchMailbox"
        here = await world.answer(world.who("bob"), "Other Users/alice/INBOX", action)
        if right == needed:
            assert here == "Other Users/alice/INBOX"
        else:
            assert here == ("NotPermitted" if right in ("l", "r") else absent)
        for subject, name in (
            (world.who("carol"), "Other Users/alice@a.test/INBOX"),
            (world.who("bob"), "Other Users/eve@c.test/INBOX"),
            (world.who("eve"), "Other Users/alice@a.test/INBOX"),
            (world.who("eve"), "Other Users/alice/INBOX"),
        ):
            assert await world.answer(subject, name, action) == absent
        assert await world.answer(world.who("bob", "auditor"), "Other Users/alice/INBOX", action) in (
            absent,
            "NotPermitted",
        )


# --- where new mailboxes belong ------------------------------------------------------------------------


async def test_places(world: World) -> None:
    bob, place = world.who("bob"), world.rights.place
    assert await place(bob, "Work/a") == (bob.account, "Work/a")
    await world.grant("team", of_account(bob.account), "lk", ROOT)
    assert await place(bob, "Shared/team/New/a") == (world.ids["team"], "New/a")
    await world.grant("alice", of_account(bob.account), "k")
    assert await place(bob, "Other Users/alice/INBOX/a/b") == (world.ids["alice"], "INBOX/a/b")
    for name, error in (
        ("Shared", BadName),
        ("Other Users/alice", BadName),
        ("Other Users/alice/a//b", BadName),
        ("Other Users/alice/New", NoSuchMailbox),
        ("Other Users/nobody/New", NoSuchMailbox),
        ("Other Users/eve@c.test/New", NoSuchMailbox),
    ):
        with pytest.raises(MailError) as caught:
            await place(bob, name)
        assert type(caught.value) is error, name
    await world.grant("alice", of_account(bob.account), "l")
    with pytest.raises(NotPermitted):
        await place(bob, "Other Users/alice/INBOX/a")


# --- identifiers ---------------------------------------------------------------------------------------


async def test_identifiers(world: World) -> None:
    await world.do(
        op.PutAlias(DEFAULT_TENANT, "sales@a.test", ("bob@a.test",), "group"),
        op.PutAlias(DEFAULT_TENANT, "robert@a.test", ("bob@a.test",)),
        op.PutAlias(DEFAULT_TENANT, "out@a.test", ("x@elsewhere.test",)),
    )
    alice = world.who("alice")
    bob = of_account(world.ids["bob"])
    for text, kept, shown in (
        ("bob", bob, "bob@a.test"),
        ("BOB@a.test", bob, "bob@a.test"),
        ("robert", bob, "bob@a.test"),
        ("-bob", "-" + bob, "-bob@a.test"),
        ("sales", "group:sales@a.test", "sales@a.test"),
        ("-sales@a.test", "-group:sales@a.test", "-sales@a.test"),
        ("anyone", ANYONE, "anyone"),
        ("-Anyone", "-anyone", "-anyone"),
    ):
        assert await world.rights.identifier(alice, text) == kept
        assert await world.rights.shown(kept) == shown
    for text in ("", "-", "nobody", "eve@c.test", "out@a.test", "a b", "*", "bob@", "account:1"):
        with pytest.raises(NoSuchAccount):
            await world.rights.identifier(alice, text)
    with pytest.raises(NoSuchAccount):
        await world.rights.shown("account:99999")


async def test_a_person_keeps_all_rights_on_what_is_his(world: World) -> None:
    alice, team = world.ids["alice"], world.ids["team"]
    inbox = await world.store.mailbox(alice, INBOX)
    bob = of_account(world.ids["bob"])
    change = await world.rights.granting(inbox, bob, "=", "lr")
    assert change == op.ChangeGrant(alice, INBOX, bob, "=", "lr")
    mine = of_account(alice)
    for identifier, mode, letters in ((mine, "=", ALL_RIGHTS), (mine, "+", "l"), (f"-{mine}", "=", "")):
        assert await world.rights.granting(inbox, identifier, mode, letters) is None
    for identifier, mode, letters in (
        (mine, "=", "lr"),
        (mine, "-", "x"),
        (mine, "=", ""),
        (f"-{mine}", "+", "l"),
    ):
        with pytest.raises(NotAllowed):
            await world.rights.granting(inbox, identifier, mode, letters)
    shared = await world.store.mailbox(team, INBOX)
    assert await world.rights.granting(shared, of_account(team), "=", "lr") is not None, "nobody is a team"
