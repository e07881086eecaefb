"""The rules of documents."""

from __future__ import annotations

from a3mailer.mail.changes import ANNOTATIONS, SCRIPTS
from a3mailer.mail.errors import AlreadyExists, NoSuchAccount, NoSuchThing
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId
from a3mailer.store import operations as op
from a3mailer.store.ports import Store
from a3mailer.store.rows import Document
from a3mailer.testing.store.case import Ear, StoreCase, World

NOBODY = AccountId(987_654)


async def names(store: Store, account: AccountId, kind: str = "template", **how: object) -> list[str]:
    """Those ``documents`` gives."""
    return [row.name for row in await store.documents(account, kind, **how)]  # type: ignore[arg-type]


class DocumentRules(StoreCase):
    """Small texts of accounts."""

    async def test_a_document_is_put_replaced_and_removed(self, world: World) -> None:
        assert await world.store.document(world.alice, "template", "a") is None
        await world.do(op.PutDocument(world.alice, "template", "a", "one"))
        row = Document(world.alice, "template", "a", "one", 0, 0, world.now)
        assert await world.store.document(world.alice, "template", "a") == row
        world.clock.advance(10)
        await world.do(op.PutDocument(world.alice, "template", "a", "two", 7, world.now + 100))
        row = Document(world.alice, "template", "a", "two", 7, world.now + 100, world.now)
        assert await world.store.documents(world.alice, "template") == (row,)
        assert await world.store.documents(world.alice, "hook") == ()
        assert await world.store.documents(world.bob, "template") == ()
        await world.do(op.RemoveDocument(world.alice, "template", "a"))
        assert await world.store.documents(world.alice, "template") == ()
        await world.fails(NoSuchThing, op.RemoveDocument(world.alice, "template", "a"))
        await world.fails(NoSuchAccount, op.PutDocument(NOBODY, "template", "a", "one"))

    async def test_the_system_has_documents_of_its_own(self, world: World) -> None:
        await world.do(op.PutDocument(SYSTEM_ACCOUNT, "template", "a", "ours"))
        assert await names(world.store, SYSTEM_ACCOUNT) == ["a"]
        assert await names(world.store, world.alice) == []

    async def test_only_new(self, world: World) -> None:
        put = op.PutDocument(world.alice, "key", "a", "one", 0, world.now + 10, only_new=True)
        await world.do(put)
        await world.fails(AlreadyExists, put)
        world.clock.advance(11)
        await world.do(put)

    async def test_what_has_expired_is_not_there_and_is_swept_away(self, world: World) -> None:
        for name, expires in (("a", world.now + 10), ("b", 0), ("c", world.now + 100)):
            await world.do(op.PutDocument(world.alice, "template", name, name, world.now, expires))
        world.clock.advance(10)
        assert await names(world.store, world.alice) == ["b", "c"]
        assert await world.store.document(world.alice, "template", "a") is None
        assert [row.name for row in await world.store.documents_due("template", world.now)] == ["b", "c"]
        world.clock.advance(1)
        assert await world.do(op.Sweep(world.now)) == (op.Purged(1),)
        assert await world.do(op.Sweep(world.now)) == (op.Purged(0),)
        await world.fails(NoSuchThing, op.RemoveDocument(world.alice, "template", "a"))
        assert await names(world.store, world.alice) == ["b", "c"]

    async def test_by_prefix_and_in_pages(self, world: World) -> None:
        for name in ("b/2", "a", "b/1", "b/\u00e4", "b", "b0", "b/10"):
            await world.do(op.PutDocument(world.alice, "template", name, ""))
        assert await names(world.store, world.alice) == ["a", "b", "b/1", "b/10", "b/2", "b/\u00e4", "b0"]
        assert await names(world.store, world.alice, prefix="b/") == ["b/1", "b/10", "b/2", "b/\u00e4"]
        assert await names(world.store, world.alice, prefix="b/", after="b/10", limit=1) == ["b/2"]
        assert await names(world.store, world.alice, after="b/\u00e4") == ["b0"]

    async def test_what_is_due_of_all_accounts(self, world: World) -> None:
        for account, name, due in ((world.alice, "a", 30), (world.bob, "b", 10), (world.alice, "c", 0)):
            await world.do(op.PutDocument(account, "event", name, "", due))
        await world.do(op.PutDocument(world.alice, "hook", "d", "", 5))
        assert [row.name for row in await world.store.documents_due("event", 30)] == ["b", "a"]
        assert [row.name for row in await world.store.documents_due("event", 29)] == ["b"]
        assert [row.name for row in await world.store.documents_due("event", 99, limit=1)] == ["b"]

    async def test_they_go_with_their_account(self, world: World) -> None:
        await world.do(op.PutDocument(world.alice, "event", "a", "", 5))
        await world.do(op.RemoveAccount(world.alice, world.now + 10))
        assert await world.store.documents_due("event", 99) == ()
        assert await world.store.documents(world.alice, "event") == ()

    async def test_watchers_are_told_of_scripts_and_of_nothing_else(self, world: World) -> None:
        await world.do(op.PutDocument(world.alice, "template", "1", ""))
        for change in (
            op.PutDocument(world.alice, "sieve-roll", "1", ""),
            op.RemoveDocument(world.alice, "sieve-roll", "1"),
        ):
            ear = Ear(world.store)
            await world.do(change)
            await ear.hears_of(world.alice, SCRIPTS)
            ear.stop()
            assert set(ear.places()) == {(world.alice, SCRIPTS)}

    async def test_watchers_are_told_of_subscriptions_and_annotations(self, world: World) -> None:
        """The former as of a change of the tree of mailboxes."""
        for kind, place in (("subscription", 0), ("metadata", ANNOTATIONS)):
            for change in (
                op.PutDocument(world.alice, kind, "1/x", ""),
                op.RemoveDocument(world.alice, kind, "1/x"),
            ):
                ear = Ear(world.store)
                await world.do(change)
                await ear.hears_of(world.alice, place)
                ear.stop()
                assert set(ear.places()) == {(world.alice, place)}
