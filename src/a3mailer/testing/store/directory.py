"""The rules of the directory, credentials, settings and audit."""

from __future__ import annotations

import pytest

from a3mailer.mail.errors import (
    AddressReserved,
    AlreadyExists,
    BadName,
    Conflict,
    NoSuchAccount,
    NoSuchDomain,
    NoSuchMessage,
    NoSuchThing,
)
from a3mailer.mail.ids import DEFAULT_TENANT, INBOX, AccountId, TenantId
from a3mailer.mail.mailbox import INITIAL
from a3mailer.store import operations as op
from a3mailer.store.operations import Operation
from a3mailer.store.rows import AddressEntry, AuditRecord, Credential, Domain, Token
from a3mailer.testing.store.case import StoreCase, World, mail

NOBODY = AccountId(987_654)
OTHER = TenantId(2)
DAY = 86_400


class DomainRules(StoreCase):
    """Domains, aliases and reserved addresses."""

    async def test_a_domain_is_put_changed_and_removed(self, world: World) -> None:
        await world.do(op.PutDomain(DEFAULT_TENANT, "c.test", "alice@a.test", '{"a": 1}'))
        row = Domain(DEFAULT_TENANT, "c.test", "alice@a.test", '{"a": 1}')
        assert await world.store.domain("c.test") == row
        assert {d.name for d in await world.store.domains()} == {"a.test", "c.test"}
        await world.do(op.PutDomain(DEFAULT_TENANT, "c.test"))
        assert await world.store.domain("c.test") == Domain(DEFAULT_TENANT, "c.test", "", "{}")
        await world.do(op.RemoveDomain("c.test"))
        assert await world.store.domain("c.test") is None
        await world.fails(NoSuchThing, op.RemoveDomain("c.test"))

    async def test_a_domain_with_addresses_stays(self, world: World) -> None:
        await world.fails(Conflict, op.RemoveDomain("a.test"))
        await world.do(op.PutDomain(DEFAULT_TENANT, "c.test"), op.PutDomain(DEFAULT_TENANT, "sub.c.test"))
        await world.do(op.PutAlias(DEFAULT_TENANT, "x@sub.c.test", ("alice@a.test",)))
        await world.do(op.RemoveDomain("c.test"))
        await world.fails(Conflict, op.RemoveDomain("sub.c.test"))
        await world.do(op.RemoveAlias("x@sub.c.test", world.now + 1000))
        await world.do(op.RemoveDomain("sub.c.test"))

    async def test_a_domain_belongs_to_one_tenant(self, world: World) -> None:
        await world.do(op.PutTenant(OTHER, "other"))
        await world.fails(AlreadyExists, op.PutDomain(OTHER, "a.test"))
        await world.do(op.PutDomain(OTHER, "other.test"))
        await world.fails(NoSuchDomain, op.CreateAccount(DEFAULT_TENANT, "x@other.test"))
        await world.fails(NoSuchDomain, op.PutAlias(DEFAULT_TENANT, "x@other.test", ("alice@a.test",)))
        await world.fails(NoSuchDomain, op.RenameAccount(world.alice, "alice@other.test"))
        account = await world.create("x@other.test", OTHER)
        assert (await world.account(account)).tenant == OTHER

    @pytest.mark.parametrize("name", ["", "C.test", "x@c.test"])
    async def test_a_domain_that_cannot_be(self, world: World, name: str) -> None:
        await world.fails(BadName, op.PutDomain(DEFAULT_TENANT, name))

    async def test_aliases_and_groups(self, world: World) -> None:
        await world.do(
            op.PutAlias(DEFAULT_TENANT, "ally@a.test", ("alice@a.test",)),
            op.PutAlias(DEFAULT_TENANT, "away@a.test", ("alice@elsewhere.test",)),
            op.PutAlias(DEFAULT_TENANT, "both@a.test", ("alice@a.test", "bob@a.test")),
            op.PutAlias(DEFAULT_TENANT, "team@a.test", ("alice@a.test",), "group"),
        )
        one = AddressEntry("ally@a.test", DEFAULT_TENANT, "alias", world.alice, ("alice@a.test",), 0)
        assert await world.store.address("ally@a.test") == one
        assert (await world.address("away@a.test")).account == 0
        both = await world.address("both@a.test")
        assert (both.account, both.targets) == (0, ("alice@a.test", "bob@a.test"))
        team = await world.address("team@a.test")
        assert (team.kind, team.account) == ("group", 0)
        names = {entry.address for entry in await world.store.aliases()}
        assert names == {"ally@a.test", "away@a.test", "both@a.test", "team@a.test"}
        assert await world.store.addresses_of(world.alice) == ("alice@a.test", "ally@a.test")
        await world.do(op.PutAlias(DEFAULT_TENANT, "ally@a.test", ("bob@a.test",)))
        assert (await world.address("ally@a.test")).account == world.bob
        assert await world.store.address("nobody@a.test") is None
        assert await world.store.address("Ally@a.test") is None

    async def test_alias_errors(self, world: World) -> None:
        await world.fails(AlreadyExists, op.PutAlias(DEFAULT_TENANT, "alice@a.test", ("bob@a.test",)))
        await world.fails(NoSuchDomain, op.PutAlias(DEFAULT_TENANT, "x@b.test", ("bob@a.test",)))
        await world.fails(BadName, op.PutAlias(DEFAULT_TENANT, "x@a.test", ()))
        await world.fails(BadName, op.PutAlias(DEFAULT_TENANT, "X@a.test", ("bob@a.test",)))
        await world.fails(BadName, op.PutAlias(DEFAULT_TENANT, "a.test", ("bob@a.test",)))
        await world.fails(BadName, op.PutAlias(DEFAULT_TENANT, "x@a.test", ("bob@a.test\ncarol@b.test",)))
        await world.fails(NoSuchThing, op.RemoveAlias("nobody@a.test"))
        await world.fails(NoSuchThing, op.RemoveAlias("alice@a.test"))

    async def test_a_removed_address_is_reserved_for_a_while(self, world: World) -> None:
        alias = op.PutAlias(DEFAULT_TENANT, "ally@a.test", ("alice@a.test",))
        await world.do(alias)
        await world.do(op.RemoveAlias("ally@a.test", world.now + 100))
        entry = await world.address("ally@a.test")
        assert (entry.kind, entry.account, entry.reserved_until) == ("reserved", 0, world.now + 100)
        await world.fails(AddressReserved, alias)
        await world.fails(AddressReserved, op.CreateAccount(DEFAULT_TENANT, "ally@a.test"))
        await world.fails(AddressReserved, op.RenameAccount(world.bob, "ally@a.test"))
        await world.fails(NoSuchThing, op.RemoveAlias("ally@a.test"))
        assert await world.store.aliases() == ()
        await world.do(op.PutAlias(DEFAULT_TENANT, "ally@a.test", ("alice@a.test",), reclaim=True))
        assert (await world.address("ally@a.test")).account == world.alice
        taken = op.PutAlias(DEFAULT_TENANT, "alice@a.test", ("bob@a.test",), reclaim=True)
        await world.fails(AlreadyExists, taken)
        await world.do(op.RemoveAlias("ally@a.test", world.now + 100))
        world.clock.advance(101)
        await world.do(alias)
        await world.do(op.RemoveAlias("ally@a.test"))
        assert await world.store.address("ally@a.test") is None
        await world.create("ally@a.test")


class AccountRules(StoreCase):
    """Accounts."""

    async def test_an_account_is_what_was_created(self, world: World) -> None:
        made = await world.one(
            op.AccountCreated,
            op.CreateAccount(
                DEFAULT_TENANT, "carol@a.test", "service", "Carol", 12_345, "auditor", 1_000_000
            ),
        )
        row = await world.account(made.account)
        assert (row.id, row.tenant, row.address) == (made.account, DEFAULT_TENANT, "carol@a.test")
        assert (row.kind, row.display_name, row.role) == ("service", "Carol", "auditor")
        assert (row.quota, row.created, row.settings) == (12_345, 1_000_000, "{}")
        assert (row.enabled, row.epoch, row.used_octets, row.used_messages) == (True, 1, 0, 0)
        entry = AddressEntry("carol@a.test", DEFAULT_TENANT, "account", made.account, (), 0)
        assert await world.store.address("carol@a.test") == entry
        assert (await world.account(world.alice)).created == world.now

    async def test_the_address_of_a_list_says_so_under_every_name(self, world: World) -> None:
        made = await world.one(op.AccountCreated, op.CreateAccount(DEFAULT_TENANT, "news@a.test", "list"))
        assert (await world.address("news@a.test")).kind == "list"
        await world.do(op.RenameAccount(made.account, "all@a.test"))
        assert (await world.address("all@a.test")).kind == "list"
        entry = await world.address("news@a.test")
        assert (entry.kind, entry.targets, entry.account) == ("alias", ("all@a.test",), made.account)
        await world.fails(AlreadyExists, op.PutAlias(DEFAULT_TENANT, "all@a.test", ("alice@a.test",)))
        await world.do(op.PutAlias(DEFAULT_TENANT, "everybody@a.test", ("all@a.test",)))
        assert (await world.address("everybody@a.test")).account == made.account
        await world.do(op.RemoveAccount(made.account, 0))
        assert await world.store.account(made.account) is None

    async def test_accounts_are_read_in_pages(self, world: World) -> None:
        made = [await world.create(f"user{n}@a.test") for n in range(4)]
        everyone = [world.alice, world.bob, *made]
        first = await world.store.accounts(limit=4)
        second = await world.store.accounts(limit=4, after=first[-1].id)
        assert [row.id for row in (*first, *second)] == everyone == sorted(set(everyone))
        assert await world.store.account(NOBODY) is None
        assert await world.store.addresses_of(NOBODY) == ()

    async def test_create_errors(self, world: World) -> None:
        await world.fails(AlreadyExists, op.CreateAccount(DEFAULT_TENANT, "alice@a.test"))
        await world.fails(NoSuchDomain, op.CreateAccount(DEFAULT_TENANT, "alice@b.test"))
        for address in ("Alice@a.test", "@a.test", "alice@", "alice", ""):
            await world.fails(BadName, op.CreateAccount(DEFAULT_TENANT, address))
        await world.do(op.PutAlias(DEFAULT_TENANT, "ally@a.test", ("alice@a.test",)))
        await world.fails(AlreadyExists, op.CreateAccount(DEFAULT_TENANT, "ally@a.test"))

    async def test_change_leaves_what_is_none(self, world: World) -> None:
        before = await world.account(world.alice)
        await world.do(op.ChangeAccount(world.alice, display_name="Alice", quota=7))
        row = await world.account(world.alice)
        assert (row.display_name, row.quota, row.enabled, row.role) == ("Alice", 7, True, "user")
        assert row.epoch == before.epoch
        await world.do(op.ChangeAccount(world.alice, settings='{"x": 1}'))
        row = await world.account(world.alice)
        assert (row.display_name, row.quota, row.settings) == ("Alice", 7, '{"x": 1}')
        await world.do(op.ChangeAccount(world.alice, display_name="", quota=0))
        row = await world.account(world.alice)
        assert (row.display_name, row.quota) == ("", 0)
        await world.fails(NoSuchAccount, op.ChangeAccount(NOBODY, quota=7))

    async def test_what_ends_sessions_bumps_the_epoch(self, world: World) -> None:
        epoch = (await world.account(world.alice)).epoch
        bumping: tuple[Operation, ...] = (
            op.ChangeAccount(world.alice, enabled=False),
            op.ChangeAccount(world.alice, enabled=True),
            op.ChangeAccount(world.alice, role="auditor"),
            op.PutCredential(world.alice, "", "password", "hash"),
            op.PutCredential(world.alice, "", "password", "other"),
            op.RemoveCredential(world.alice, "", "password"),
            op.BumpEpoch(world.alice),
        )
        for operation in bumping:
            await world.do(operation)
            epoch += 1
            assert (await world.account(world.alice)).epoch == epoch
        quiet: tuple[Operation, ...] = (
            op.ChangeAccount(world.alice, enabled=True, role="auditor"),
            op.ChangeAccount(world.alice, display_name="x"),
            op.PutToken(world.alice, b"d" * 32, "phone", "mail", 0, world.now),
            op.RenewCredential(world.alice, "", "password", "hash", "other"),
        )
        for operation in quiet:
            await world.do(operation)
            assert (await world.account(world.alice)).epoch == epoch
        assert (await world.account(world.bob)).epoch == 1
        await world.fails(NoSuchAccount, op.BumpEpoch(NOBODY))

    async def test_rename_keeps_mail_and_the_old_address(self, world: World) -> None:
        await world.append(world.alice)
        await world.do(op.PutAlias(DEFAULT_TENANT, "ally@a.test", ("alice@a.test",)))
        await world.do(op.RenameAccount(world.alice, "anna@a.test"))
        assert (await world.account(world.alice)).address == "anna@a.test"
        assert await world.uids(world.alice) == [1]
        addresses = await world.store.addresses_of(world.alice)
        assert addresses == ("anna@a.test", "alice@a.test", "ally@a.test")
        for name in ("alice@a.test", "ally@a.test"):
            entry = await world.address(name)
            assert (entry.kind, entry.account, entry.targets) == ("alias", world.alice, ("anna@a.test",))
        await world.do(op.RenameAccount(world.alice, "alice@a.test"))
        assert await world.store.addresses_of(world.alice) == ("alice@a.test", "ally@a.test", "anna@a.test")
        assert (await world.address("alice@a.test")).kind == "account"

    async def test_rename_errors(self, world: World) -> None:
        await world.do(op.PutAlias(DEFAULT_TENANT, "robert@a.test", ("bob@a.test",)))
        for taken in ("bob@a.test", "robert@a.test", "alice@a.test"):
            await world.fails(AlreadyExists, op.RenameAccount(world.alice, taken))
        await world.fails(NoSuchDomain, op.RenameAccount(world.alice, "alice@b.test"))
        await world.fails(BadName, op.RenameAccount(world.alice, "ALICE@a.test"))
        await world.fails(NoSuchAccount, op.RenameAccount(NOBODY, "x@a.test"))

    async def test_removal_erases_and_reserves(self, world: World) -> None:
        await world.append(world.alice)
        await world.append(world.bob)
        blob, his = await world.blob(world.alice), await world.blob(world.bob)
        queued = await world.enqueue()
        await world.do(
            op.PutAlias(DEFAULT_TENANT, "ally@a.test", ("alice@a.test",)),
            op.PutAlias(DEFAULT_TENANT, "both@a.test", ("alice@a.test", "bob@a.test")),
            op.PutCredential(world.alice, "", "password", "hash"),
            op.PutToken(world.alice, b"d" * 32, "phone", "mail", 0, world.now),
        )
        until = world.now + 1000
        await world.do(op.RemoveAccount(world.alice, until))
        assert await world.store.account(world.alice) is None
        assert await world.store.mailboxes(world.alice) == ()
        assert await world.store.vault(world.alice) == ()
        assert await world.store.credentials(world.alice) == ()
        assert await world.store.token(b"d" * 32) is None
        assert [row.id for row in await world.store.accounts()] == [world.bob]
        with pytest.raises(NoSuchMessage):
            await world.store.octets(world.alice, blob)
        with pytest.raises(NoSuchThing):
            await world.entry(queued)
        for name in ("alice@a.test", "ally@a.test"):
            entry = AddressEntry(name, DEFAULT_TENANT, "reserved", AccountId(0), (), until)
            assert await world.store.address(name) == entry
            await world.fails(AddressReserved, op.CreateAccount(DEFAULT_TENANT, name))
        assert (await world.address("both@a.test")).targets == ("alice@a.test", "bob@a.test")
        assert await world.store.octets(world.bob, his) == mail()
        await world.fails(NoSuchAccount, op.RemoveAccount(world.alice, until))
        world.clock.advance(1001)
        again = await world.create("alice@a.test")
        assert again not in (world.alice, world.bob), "an account id is never used again"
        assert await world.uids(again) == []

    async def test_reset_empties(self, world: World) -> None:
        await world.fill(world.alice, 2)
        await world.expunge(world.alice, 1)
        blob = await world.blob(world.alice)
        work = await world.one(op.MailboxCreated, op.CreateMailbox(world.alice, "Work"))
        await world.append(world.alice, mail("at work"), work.mailbox, delivery=b"key")
        await world.do(op.PutCredential(world.alice, "", "password", "hash"))
        queued = await world.enqueue()
        before = await world.account(world.alice)
        boxes = {box.name: box for box in await world.store.mailboxes(world.alice)}
        done = await world.one(op.Done, op.ResetAccount(world.alice))
        after = await world.account(world.alice)
        assert (after.used_octets, after.used_messages) == (0, 0)
        assert (after.epoch, after.address) == (before.epoch, before.address)
        assert done.modseq == after.modseq > before.modseq
        fresh = await world.store.mailboxes(world.alice)
        assert {(box.name, box.special_use) for box in fresh} == set(INITIAL)
        assert min(box.uid_validity for box in fresh) > max(box.uid_validity for box in boxes.values())
        used = {box.id for box in boxes.values()} - {INBOX}
        assert not used & {box.id for box in fresh}, "a mailbox id is never used again"
        assert (await world.box(world.alice)).name == "INBOX"
        assert await world.store.vault(world.alice) == ()
        assert await world.store.many_octets(world.alice, [blob]) == [None]
        assert len(await world.store.credentials(world.alice)) == 1
        assert (await world.entry(queued)).account == world.alice, (
            "what was promised to be relayed is relayed"
        )
        assert (await world.append(world.alice, delivery=b"key")).uid == 1
        await world.fails(NoSuchAccount, op.ResetAccount(NOBODY))


class CredentialRules(StoreCase):
    """Credentials, tokens, settings, audit."""

    async def test_credentials(self, world: World) -> None:
        await world.do(
            op.PutCredential(world.alice, "", "password", "hash", now=5),
            op.PutCredential(world.alice, "phone", "app-password", "hash2", "imap", 99, 6),
        )
        assert set(await world.store.credentials(world.alice)) == {
            Credential(world.alice, "", "password", "hash", "", 0, 5),
            Credential(world.alice, "phone", "app-password", "hash2", "imap", 99, 6),
        }
        await world.do(op.PutCredential(world.alice, "", "password", "new", now=7))
        await world.do(op.RemoveCredential(world.alice, "phone", "app-password"))
        assert await world.store.credentials(world.alice) == (
            Credential(world.alice, "", "password", "new", "", 0, 7),
        )
        assert await world.store.credentials(world.bob) == ()
        await world.fails(NoSuchThing, op.RemoveCredential(world.alice, "phone", "app-password"))
        await world.fails(NoSuchThing, op.RemoveCredential(world.alice, "", "app-password"))
        await world.fails(NoSuchAccount, op.PutCredential(NOBODY, "", "password", "hash"))

    async def test_a_credential_is_renewed_where_nobody_changed_it(self, world: World) -> None:
        await world.do(op.PutCredential(world.alice, "", "password", "hash", "mail", 99, 5))
        epoch = (await world.account(world.alice)).epoch
        assert [c.secret for c in await world.store.credentials(world.alice)] == ["hash"]
        await world.do(op.RenewCredential(world.alice, "", "password", "hash", "renewed"))
        renewed = Credential(world.alice, "", "password", "renewed", "mail", 99, 5)
        assert await world.store.credentials(world.alice) == (renewed,)
        for late in (
            op.RenewCredential(world.alice, "", "password", "hash", "too late"),
            op.RenewCredential(world.alice, "phone", "password", "renewed", "another"),
            op.RenewCredential(world.alice, "", "scram-sha-256", "renewed", "another kind"),
        ):
            await world.do(late)
        assert await world.store.credentials(world.alice) == (renewed,)
        assert (await world.account(world.alice)).epoch == epoch
        await world.fails(NoSuchAccount, op.RenewCredential(NOBODY, "", "password", "hash", "x"))

    async def test_tokens(self, world: World) -> None:
        digest = b"d" * 32
        await world.do(op.BumpEpoch(world.alice))
        await world.do(op.PutToken(world.alice, digest, "phone", "mail", 99, 5))
        assert await world.store.token(digest) == Token(world.alice, digest, "phone", "mail", 99, 5, 2)
        await world.do(op.BumpEpoch(world.alice))
        token = await world.store.token(digest)
        assert token is not None
        assert token.epoch == 2, "the epoch it was made in"
        await world.do(op.PutToken(world.bob, b"b" * 32, "", "message smtp", 0, 9))
        await world.do(op.PutToken(world.alice, b"a" * 32, "laptop", "mail", 0, 6))
        assert [(t.account, t.name) for t in await world.store.tokens()] == [
            (world.alice, "phone"),
            (world.alice, "laptop"),
            (world.bob, ""),
        ]
        await world.fails(NoSuchThing, op.RemoveToken(world.bob, digest))
        await world.do(op.RemoveToken(world.alice, digest))
        assert await world.store.token(digest) is None
        await world.fails(NoSuchThing, op.RemoveToken(world.alice, digest))
        await world.fails(NoSuchAccount, op.PutToken(NOBODY, digest, "phone", "mail", 99, 5))

    async def test_what_has_outlived_its_use_is_swept(self, world: World) -> None:
        await world.append(world.alice, delivery=b"old")
        world.clock.advance(DAY)
        await world.append(world.alice, delivery=b"young")
        now = world.now
        for name, until in (("old", now - 5), ("young", now + 5)):
            await world.do(op.PutAlias(DEFAULT_TENANT, f"{name}@a.test", ("bob@a.test",)))
            await world.do(op.RemoveAlias(f"{name}@a.test", now + 1 if until < now else until))
            await world.do(op.PutToken(world.alice, name.encode(), "phone", "", until, now))
        await world.do(op.PutToken(world.alice, b"for ever", "phone", "", 0, now))
        sweep = op.Sweep(now + 2)
        assert await world.one(op.Purged, sweep) == op.Purged(2)
        assert await world.store.address("old@a.test") is None
        assert (await world.address("young@a.test")).kind == "reserved"
        assert await world.store.token(b"old") is None
        assert await world.store.token(b"young") is not None
        assert await world.store.token(b"for ever") is not None
        assert await world.one(op.Purged, sweep) == op.Purged(0)
        late = op.Sweep(now + 30 * DAY - 1)
        assert (await world.one(op.Purged, late)).count == 3, (
            "the old key, the young token, the young address"
        )
        assert (await world.append(world.alice, mail("again"), delivery=b"young")).uid == 2
        assert (await world.append(world.alice, mail("again"), delivery=b"old")).uid == 3

    async def test_settings(self, world: World) -> None:
        await world.do(op.PutSetting("smtp.banner", "hello"), op.PutSetting("store.vault_days", "7"))
        assert await world.store.settings() == {"smtp.banner": "hello", "store.vault_days": "7"}
        await world.do(op.PutSetting("smtp.banner", "x"), op.PutSetting("store.vault_days", ""))
        assert await world.store.settings() == {"smtp.banner": "x"}
        await world.do(op.PutSetting("never.was", ""))
        (await world.store.settings())["smtp.banner"] = "changed by a reader"
        assert await world.store.settings() == {"smtp.banner": "x"}

    async def test_audit_is_kept_with_what_it_records(self, world: World) -> None:
        record = op.Audit(
            DEFAULT_TENANT, "alice@a.test", "account.change", "bob", "done", "t1", '{"a": 1}', 5
        )
        await world.do(op.ChangeAccount(world.bob, quota=7), record)
        await world.do(op.Audit(DEFAULT_TENANT, "alice@a.test", "login", "alice", "refused"))
        first, second = await world.store.audit()
        assert first == AuditRecord(
            first.number, DEFAULT_TENANT, 5, "alice@a.test", "account.change", "bob", "done", "t1", '{"a": 1}'
        )
        assert (second.action, second.outcome, second.time, second.detail) == (
            "login",
            "refused",
            world.now,
            "{}",
        )
        assert second.number > first.number
        assert await world.store.audit(after=first.number) == (second,)
        assert await world.store.audit(limit=1) == (first,)
        await world.fails(NoSuchAccount, record, op.ChangeAccount(NOBODY, quota=7))


class DirectoryRules(DomainRules, AccountRules, CredentialRules):
    """All rules of the directory."""
