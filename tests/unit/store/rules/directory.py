"""Compliance: the directory, settings and audit."""

from __future__ import annotations

import pytest

from a3mailer.mail import errors
from a3mailer.mail.ids import (
    DEFAULT_TENANT,
    INBOX,
    AccountId,
)
from a3mailer.store import operations as op
from a3mailer.store.ports import Store, Transaction
from tests.unit.store.rules.harness import DOMAIN, StoreHarness


class DirectoryCompliance(StoreHarness):
    """Who and what there is."""

    async def test_accounts(self, store: Store, account: AccountId) -> None:
        entry = await store.account(account)
        assert entry is not None
        assert (entry.address, entry.enabled, entry.role) == (f"alice@{DOMAIN}", True, "user")
        assert [a.id for a in await store.accounts()] == [account]
        found = await store.address(f"alice@{DOMAIN}")
        assert found is not None
        assert (found.kind, found.account) == ("account", account)
        assert await store.address(f"nobody@{DOMAIN}") is None
        assert await store.account(AccountId(999)) is None
        with pytest.raises(errors.AlreadyExists):
            await self.make_account(store)
        with pytest.raises(errors.NoSuchDomain):
            await self.one(store, op.CreateAccount(DEFAULT_TENANT, "a@other.test"))

    async def test_epochs(self, store: Store, account: AccountId) -> None:
        async def epoch() -> int:
            entry = await store.account(account)
            assert entry is not None
            return entry.epoch

        epochs = [await epoch()]
        for operation in (
            op.PutCredential(account, "main", "password", "hash"),
            op.ChangeAccount(account, enabled=False),
            op.ChangeAccount(account, role="auditor"),
            op.RemoveCredential(account, "main", "password"),
            op.BumpEpoch(account),
        ):
            await self.one(store, operation)
            epochs.append(await epoch())
        assert epochs == sorted(set(epochs))
        await self.one(store, op.ChangeAccount(account, enabled=False, display_name="A", quota=5))
        assert await epoch() == epochs[-1]
        entry = await store.account(account)
        assert entry is not None
        assert (entry.display_name, entry.quota, entry.enabled) == ("A", 5, False)

    async def test_credentials_and_tokens(self, store: Store, account: AccountId) -> None:
        await self.one(store, op.PutCredential(account, "main", "password", "hash-1"))
        await self.one(store, op.PutCredential(account, "main", "password", "hash-2"))
        assert [c.secret for c in await store.credentials(account)] == ["hash-2"]
        await self.one(store, op.PutToken(account, b"d" * 32, "cli", "mail", 99, 1))
        token = await store.token(b"d" * 32)
        entry = await store.account(account)
        assert token is not None
        assert entry is not None
        assert (token.account, token.scopes, token.epoch) == (account, "mail", entry.epoch)
        await self.one(store, op.RemoveToken(account, b"d" * 32))
        assert await store.token(b"d" * 32) is None
        with pytest.raises(errors.NoSuchThing):
            await self.one(store, op.RemoveCredential(account, "x", "password"))

    async def test_rename_keeps_the_old_address(self, store: Store, account: AccountId) -> None:
        await self.one(store, op.RenameAccount(account, f"alicia@{DOMAIN}"))
        assert await store.addresses_of(account) == (f"alicia@{DOMAIN}", f"alice@{DOMAIN}")
        old = await store.address(f"alice@{DOMAIN}")
        assert old is not None
        assert (old.kind, old.account, old.targets) == ("alias", account, (f"alicia@{DOMAIN}",))
        await self.one(store, op.RenameAccount(account, f"alice@{DOMAIN}"))
        assert await store.addresses_of(account) == (f"alice@{DOMAIN}", f"alicia@{DOMAIN}")

    async def test_remove_account(self, store: Store, account: AccountId) -> None:
        await self.fill(store, account, 3)
        blob = (await self.message(store, account, INBOX, 1)).blob
        await self.enqueue(store, account)
        await self.one(store, op.RemoveAccount(account, reserved_until=1 << 40))
        assert await store.account(account) is None
        assert await store.mailboxes(account) == ()
        assert await store.queue() == ()
        assert await store.addresses_of(account) == ()
        with pytest.raises(errors.NoSuchMessage):
            await store.octets(account, blob)
        with pytest.raises(errors.AddressReserved):
            await self.make_account(store)
        fresh = await self.make_account(store, "carol")
        assert fresh > account

    async def test_reset_account(self, store: Store, account: AccountId) -> None:
        await self.one(store, op.PutCredential(account, "main", "password", "hash"))
        await self.fill(store, account, 3)
        await self.one(store, op.CreateMailbox(account, "more"))
        before = await store.mailbox(account, INBOX)
        await self.one(store, op.ResetAccount(account))
        after = await store.mailbox(account, INBOX)
        assert after.messages == 0
        assert after.uid_validity > before.uid_validity
        assert len(await store.mailboxes(account)) == 6
        assert len(await store.credentials(account)) == 1
        assert (await self.append(store, account)).uid == 1
        await self.counters_are_right(store, account)

    async def test_aliases(self, store: Store, account: AccountId) -> None:
        main = f"alice@{DOMAIN}"
        await self.one(store, op.PutAlias(DEFAULT_TENANT, f"al@{DOMAIN}", (main,)))
        await self.one(store, op.PutAlias(DEFAULT_TENANT, f"all@{DOMAIN}", (main, "x@e.test"), "group"))
        assert await store.addresses_of(account) == (main, f"al@{DOMAIN}")
        found = await store.address(f"all@{DOMAIN}")
        assert found is not None
        assert (found.kind, found.targets) == ("group", (main, "x@e.test"))
        assert [a.address for a in await store.aliases()] == [f"al@{DOMAIN}", f"all@{DOMAIN}"]
        with pytest.raises(errors.AlreadyExists):
            await self.one(store, op.PutAlias(DEFAULT_TENANT, main, ("x@e.test",)))
        await self.one(store, op.RemoveAlias(f"al@{DOMAIN}"))
        assert await store.address(f"al@{DOMAIN}") is None
        with pytest.raises(errors.NoSuchThing):
            await self.one(store, op.RemoveAlias(main))

    async def test_domains(self, store: Store, account: AccountId) -> None:
        await self.one(store, op.PutDomain(DEFAULT_TENANT, "b.test", f"alice@{DOMAIN}", '{"a":1}'))
        found = await store.domain("b.test")
        assert found is not None
        assert (found.catch_all, found.settings) == (f"alice@{DOMAIN}", '{"a":1}')
        assert [d.name for d in await store.domains()] == ["b.test", DOMAIN]
        with pytest.raises(errors.Conflict):
            await self.one(store, op.RemoveDomain(DOMAIN))
        await self.one(store, op.RemoveDomain("b.test"))
        assert await store.domain("b.test") is None
        with pytest.raises(errors.NoSuchThing):
            await self.one(store, op.RemoveDomain("b.test"))

    async def test_settings_and_audit(self, store: Store) -> None:
        await self.one(store, op.PutSetting("a.b", "1"))
        await self.one(store, op.PutSetting("c", "2"))
        await self.one(store, op.PutSetting("a.b", ""))
        assert await store.settings() == {"c": "2"}
        for n in range(3):
            await self.one(store, op.Audit(DEFAULT_TENANT, "admin", "account.add", f"t{n}", "ok", now=n + 1))
        found = await store.audit()
        assert [(r.target, r.time) for r in found] == [("t0", 1), ("t1", 2), ("t2", 3)]
        assert [r.target for r in await store.audit(after=found[0].number, limit=1)] == ["t1"]

    async def test_audit_is_undone_with_what_it_records(self, store: Store) -> None:
        record = op.Audit(DEFAULT_TENANT, "admin", "domain.rm", "x", "ok")
        with pytest.raises(errors.NoSuchThing):
            await store.commit(Transaction((record, op.RemoveDomain("absent.test"))))
        assert await store.audit() == ()

    async def test_sweep(self, store: Store, account: AccountId) -> None:
        await self.one(store, op.PutToken(account, b"d" * 32, "cli", "mail", 99, 1))
        await self.append(store, account, delivery=b"key")
        assert await self.one(store, op.Sweep(now=98)) == op.Purged(0)
        assert await self.one(store, op.Sweep(now=1 << 40)) == op.Purged(2)
        assert await store.token(b"d" * 32) is None
