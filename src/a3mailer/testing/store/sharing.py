"""The rules of rights on mailboxes (RFC 4314)."""

from __future__ import annotations

import pytest

from a3mailer.mail.changes import RIGHTS
from a3mailer.mail.errors import BadName, NoSuchAccount, NoSuchMailbox, TooMany
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, MailboxId, TenantId
from a3mailer.mail.rights import ALL_RIGHTS, ANYONE, MAX_GRANTS, MAX_IDENTIFIER, ROOT, of_account, of_group
from a3mailer.store import operations as op
from a3mailer.store.rows import Grant
from a3mailer.testing.store.case import Ear, StoreCase, World

NOBODY = AccountId(987_654)


async def grant(
    world: World, identifier: str, rights: str, mailbox: MailboxId = INBOX, mode: str = "="
) -> op.Done:
    """Rights on a mailbox of alice."""
    return await world.one(op.Done, op.ChangeGrant(world.alice, mailbox, identifier, mode, rights))


async def rights(world: World, mailbox: MailboxId = INBOX) -> dict[str, str]:
    """What there is on a mailbox of alice."""
    rows = await world.store.grants(world.alice)
    return {row.identifier: row.rights for row in rows if row.mailbox == mailbox}


class SharingRules(StoreCase):
    """Who may do what with whose mailboxes."""

    async def test_rights_are_given_and_taken(self, world: World) -> None:
        bob = of_account(world.bob)
        assert await world.store.grants(world.alice) == ()
        before = (await world.account(world.alice)).modseq
        done = await grant(world, bob, "rl")
        assert done.modseq == (await world.account(world.alice)).modseq == before + 1
        assert await world.store.grants(world.alice) == (Grant(world.alice, INBOX, bob, "lr"),)
        assert await world.store.grants(world.bob) == ()
        await grant(world, bob, "ea", mode="+")
        await grant(world, bob, "le", mode="-")
        await grant(world, "-" + bob, "w")
        assert await rights(world) == {bob: "ra", "-" + bob: "w"}
        await grant(world, bob, "xyz" + ALL_RIGHTS)
        assert (await rights(world))[bob] == ALL_RIGHTS
        await grant(world, bob, "")
        assert await rights(world) == {"-" + bob: "w"}

    async def test_what_changes_nothing_is_no_change(self, world: World) -> None:
        done = await grant(world, ANYONE, "lr")
        ear = Ear(world.store)
        for mode, letters in (("=", "rl"), ("+", "l"), ("-", "w"), ("+", "")):
            assert await grant(world, ANYONE, letters, mode=mode) == done
        assert await grant(world, of_account(world.bob), "") == done
        await grant(world, ANYONE, "lrs")
        await ear.hears_of(*RIGHTS)
        assert ear.places().count(RIGHTS) == 1
        assert ear.places().count((world.alice, 0)) == 1
        ear.stop()

    async def test_errors(self, world: World) -> None:
        await world.fails(NoSuchAccount, op.ChangeGrant(NOBODY, ROOT, ANYONE, "=", "l"))
        await world.fails(NoSuchMailbox, op.ChangeGrant(world.alice, MailboxId(9_999), ANYONE, "=", "l"))
        for identifier in ("", "x" * (MAX_IDENTIFIER + 1)):
            await world.fails(BadName, op.ChangeGrant(world.alice, INBOX, identifier, "=", "l"))
        await grant(world, "x" * MAX_IDENTIFIER, "l")

    async def test_a_list_has_an_end(self, world: World) -> None:
        names = [of_group(f"g{number}@a.test") for number in range(MAX_GRANTS)]
        await world.do(*(op.ChangeGrant(world.alice, INBOX, name, "=", "l") for name in names))
        await world.fails(TooMany, op.ChangeGrant(world.alice, INBOX, ANYONE, "=", "l"))
        await grant(world, names[0], "lr")
        await grant(world, names[1], "")
        await grant(world, ANYONE, "l")

    async def test_who_was_given_something(self, world: World) -> None:
        bob, sales = of_account(world.bob), of_group("sales@a.test")
        await world.do(op.PutTenant(TenantId(2), "other"), op.PutDomain(TenantId(2), "b.test"))
        carol = await world.create("carol@b.test", TenantId(2))
        sent = await world.named(world.alice, "Sent")
        await world.do(
            op.ChangeGrant(world.alice, sent, bob, "=", "lr"),
            op.ChangeGrant(world.alice, INBOX, bob, "=", "l"),
            op.ChangeGrant(world.bob, INBOX, sales, "=", "r"),
            op.ChangeGrant(carol, INBOX, bob, "=", "r"),
            op.ChangeGrant(carol, INBOX, of_group("sales@b.test"), "=", "r"),
        )
        store = world.store
        mine = (Grant(world.alice, INBOX, bob, "l"), Grant(world.alice, sent, bob, "lr"))
        assert await store.granted(DEFAULT_TENANT, [bob, ANYONE]) == mine
        sold = Grant(world.bob, INBOX, sales, "r")
        assert await store.granted(DEFAULT_TENANT, [sales, bob]) == (*mine, sold)
        assert await store.granted(TenantId(2), [bob]) == (Grant(carol, INBOX, bob, "r"),)
        assert await store.granted(DEFAULT_TENANT, []) == ()
        assert await store.grantees(DEFAULT_TENANT, "group:") == (sales,)
        assert await store.grantees(TenantId(2), "group:") == (of_group("sales@b.test"),)
        assert await store.grantees(TenantId(3), "group:") == ()

    # --- what mailboxes do to them -----------------------------------------------------------------

    async def test_a_new_mailbox_begins_with_the_rights_of_its_parent(self, world: World) -> None:
        bob = of_account(world.bob)
        await grant(world, ANYONE, "lr", ROOT)
        await grant(world, bob, ALL_RIGHTS, INBOX)
        ear = Ear(world.store)
        made = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "a/b"))
        assert await rights(world, made.mailbox) == {ANYONE: "lr"}
        assert await rights(world, await world.named(world.alice, "a")) == {ANYONE: "lr"}
        await ear.hears_of(*RIGHTS)
        ear.stop()
        made = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "INBOX/x/y"))
        assert await rights(world, made.mailbox) == {bob: ALL_RIGHTS}

    async def test_rename_keeps_them_and_delete_drops_them(self, world: World) -> None:
        made = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "Work"))
        await grant(world, ANYONE, "lr", made.mailbox)
        await world.do(op.RenameMailbox(world.alice, made.mailbox, "Done/Work"))
        assert await rights(world, made.mailbox) == {ANYONE: "lr"}
        ear = Ear(world.store)
        await world.do(op.DeleteMailbox(world.alice, made.mailbox))
        assert await world.store.grants(world.alice) == ()
        await ear.hears_of(*RIGHTS)
        ear.stop()
        again = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "Done/Work"))
        assert await rights(world, again.mailbox) == {}

    @pytest.mark.parametrize("reset", [True, False])
    async def test_they_go_with_the_account_of_their_mailbox(self, world: World, reset: bool) -> None:
        await grant(world, ANYONE, "lr")
        await grant(world, ANYONE, "lr", ROOT)
        await world.do(op.ResetAccount(world.alice) if reset else op.RemoveAccount(world.alice, 0))
        assert await world.store.grants(world.alice) == ()
        assert await world.store.granted(DEFAULT_TENANT, [ANYONE]) == ()

    async def test_they_go_with_whom_they_are_given_to(self, world: World) -> None:
        bob, sales = of_account(world.bob), of_group("sales@a.test")
        await world.do(op.PutAlias(DEFAULT_TENANT, "sales@a.test", ("bob@a.test",), "group"))
        for identifier in (bob, "-" + bob, sales, "-" + sales, ANYONE):
            await grant(world, identifier, "lr")
        await world.do(op.RemoveAlias("sales@a.test"))
        assert set(await rights(world)) == {bob, "-" + bob, ANYONE}
        await world.do(op.RemoveAccount(world.bob, 0))
        assert set(await rights(world)) == {ANYONE}
