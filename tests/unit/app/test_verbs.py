"""Administrators' verbs over a store in memory: what they change, record and refuse."""

from __future__ import annotations

import gzip
import json
import pathlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from a3mailer.app.verbs.office import Office
from a3mailer.app.verbs.table import TABLE, perform
from a3mailer.config.load import load
from a3mailer.config.tree import Auth, Settings
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.credentials import HashPool, Verifier, hash_password, verify_password
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import (
    AddressReserved,
    AlreadyExists,
    AuthenticationFailed,
    BadName,
    Conflict,
    MailError,
    NoSuchAccount,
    NoSuchDomain,
    NoSuchThing,
    TooMany,
)
from a3mailer.mail.ids import DEFAULT_TENANT, SYSTEM_ACCOUNT, AccountId, TenantId
from a3mailer.mail.message import index
from a3mailer.ops.audit import StoreAudit
from a3mailer.ops.reports.read import read
from a3mailer.runtime.clock import SystemClock
from a3mailer.store.backends.memory.store import MemoryStore
from a3mailer.store.operations import (
    ClaimQueue,
    Enqueue,
    Enqueued,
    PutDomain,
    PutReport,
    PutTenant,
    QueueRecipient,
    RecipientOutcome,
    SettleQueue,
)
from a3mailer.store.ports import Content, Transaction
from a3mailer.telemetry.events import Secret
from a3mailer.testing.clock import FakeClock
from a3mailer.transfer.policy.reports import ReportMail
from tests.unit.msgauth.test_aggregate import WITHOUT_NAMESPACE
from tests.unit.ops.test_reports import mail_with


class Desk:
    """An office with a shorter word for ``perform``."""

    def __init__(self, directory: pathlib.Path, settings: Settings) -> None:
        self.store = MemoryStore()
        self.pool = HashPool(1)
        self.office = Office(self.store, directory, settings, SystemClock(), self.pool)

    async def do(self, verb: str, **arguments: object) -> object:
        return await perform(self.office, verb, arguments)

    async def audit(self) -> list[tuple[str, str, str]]:
        return [(r.subject, r.action, r.target) for r in await self.store.audit()]


@pytest.fixture
async def desk(tmp_path: pathlib.Path) -> AsyncIterator[Desk]:
    (tmp_path / "a3mailer.toml").write_text("")
    desk = Desk(tmp_path, Settings())
    await desk.do("domain add", name="Example.TEST")
    yield desk
    desk.pool.close()


HASH = hash_password(Secret("known"))


async def add(desk: Desk, address: str, password: str = HASH, **more: object) -> None:
    await desk.do("account add", address=address, password=password, **more)


async def test_an_account_has_its_password_its_role_and_its_record(desk: Desk) -> None:
    made = await desk.do(
        "account add", address="Alice@Example.test", password="s3cret", role="helpdesk", quota=5
    )
    assert isinstance(made, dict) and made["address"] == "alice@example.test"
    (row,) = await desk.store.credentials(made["account"])
    assert row.kind == "password" and verify_password(row.secret, Secret("s3cret"))
    (shown,) = await desk.do("account list")  # type: ignore[misc]
    assert (shown["role"], shown["quota"], shown["enabled"]) == ("helpdesk", 5, True)
    assert (await desk.audit())[-1] == ("operator", "account.add", "alice@example.test")
    assert "s3cret" not in json.dumps([r.detail for r in await desk.store.audit()])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"address": "x"}, BadName),
        ({"address": "@example.test"}, BadName),
        ({"address": "a b@example.test"}, BadName),
        ({"address": ".a@example.test"}, BadName),
        ({"address": "a..b@example.test"}, BadName),
        ({"address": "a\u200b@example.test"}, BadName),
        ({"address": "\ud800@example.test"}, BadName),
        ({"address": "x" * 65 + "@example.test"}, BadName),
        ({"address": "a@exa mple.test"}, BadName),
        ({"address": "a@[127.0.0.1]"}, BadName),
        ({"address": "a@other.test"}, NoSuchDomain),
        ({"address": "a@example.test", "role": "root"}, BadName),
        ({"address": "a@example.test", "quota": -1}, BadName),
        ({"address": "a@example.test", "password": "$argon2id$broken"}, BadName),
        ({"address": "a@example.test", "password": "x\0y"}, MailError),
        ({"address": 5}, BadName),
        ({"address": "a@example.test", "colour": "red"}, BadName),
        ({}, BadName),
    ],
)
async def test_accounts_that_cannot_be_are_refused_and_nothing_is_made(
    desk: Desk, arguments: dict[str, object], error: type[Exception]
) -> None:
    before = await desk.audit()
    with pytest.raises(error) as refused:
        await desk.do("account add", **arguments)
    assert str(refused.value)
    assert await desk.do("account list") == [] and await desk.audit() == before


async def test_an_address_is_taken_once_in_any_case(desk: Desk) -> None:
    await add(desk, "alice@example.test")
    with pytest.raises(AlreadyExists):
        await add(desk, "ALICE@example.TEST")


async def test_international_domains_and_local_parts(desk: Desk) -> None:
    await desk.do("domain add", name="b\u00fccher.example")
    await add(desk, "J\u00fcrgen@B\u00dcCHER.example")
    (row,) = await desk.do("account list")  # type: ignore[misc]
    assert row["address"] == "j\u00fcrgen@xn--bcher-kva.example"


async def test_import_goes_on_after_what_cannot_be(desk: Desk) -> None:
    await add(desk, "old@example.test")
    given = [
        ["new@example.test", HASH],
        ["old@example.test", HASH],
        ["bad", "x"],
        ["n@other.test", "x"],
        ["e@example.test", ""],
    ]
    found = await desk.do("account import", accounts=given)
    assert [(f["address"], f["outcome"]) for f in found] == [  # type: ignore[attr-defined]
        ("new@example.test", "added"), ("old@example.test", "exists"), ("bad", "refused"),
        ("n@other.test", "refused"), ("e@example.test", "refused"),
    ]  # fmt: skip
    assert all(f["reason"] for f in found if f["outcome"] == "refused")  # type: ignore[attr-defined]
    with pytest.raises(BadName):
        await desk.do("account import", accounts=[["a@example.test", "x"]] * 1001)


async def test_a_new_password_replaces_the_old_one_and_its_verifier(desk: Desk) -> None:
    desk.office = Office(
        desk.store, desk.office.directory, Settings(auth=Auth(scram=True)), desk.office.clock, desk.pool
    )
    await add(desk, "alice@example.test", password="first")
    rows = {c.kind: c.secret for c in await desk.store.credentials(AccountId(1))}
    assert Verifier.decode(rows["scram-sha-256"]).iterations >= 600_000
    epoch = (await desk.store.account(AccountId(1))).epoch  # type: ignore[union-attr]
    await desk.do("account passwd", address="alice@example.test", password=HASH)
    rows = {c.kind: c.secret for c in await desk.store.credentials(AccountId(1))}
    assert rows == {"password": HASH}  # no verifier of the old password stays behind
    assert (await desk.store.account(AccountId(1))).epoch > epoch  # type: ignore[union-attr]
    with pytest.raises(BadName):
        await desk.do("account passwd", address="alice@example.test", password="")


async def test_a_one_time_password_is_good_until_its_hours_are_over(desk: Desk) -> None:
    clock = FakeClock()
    desk.office = replace(desk.office, clock=clock)
    await add(desk, "alice@example.test")
    with pytest.raises(BadName):
        await desk.do("account passwd", address="alice@example.test", password=HASH, hours=-1)
    made = await desk.do("account passwd", address="alice@example.test", password=HASH, hours=24)
    assert made == {"address": "alice@example.test", "until": int(clock.now()) + 86400}
    door = Authenticator(desk.store, Settings(), clock, StoreAudit(desk.store, clock), bytes(32))

    async def enters() -> bool:
        try:
            await door.password("alice@example.test", Secret("known"), "192.0.2.1")
        except AuthenticationFailed:
            return False
        return True

    assert await enters() and await enters()  # mail programs log in more than once
    clock.advance(86399)
    assert await enters()
    clock.advance(1)
    assert not await enters()
    await desk.do("account passwd", address="alice@example.test", password=HASH)
    clock.advance(10 * 86400)
    assert await enters()
    door.close()


async def test_the_life_of_an_account(desk: Desk) -> None:
    await add(desk, "alice@example.test")
    for verb in ("account disable", "account enable", "account reset"):
        await desk.do(verb, address="alice@example.test")
    await desk.do("account quota", address="alice@example.test", octets=1000)
    await desk.do("role give", address="alice@example.test", role="domain-admin")
    await desk.do("account rename", address="alice@example.test", new="ally@example.test")
    (row,) = await desk.do("account list")  # type: ignore[misc]
    assert (row["address"], row["role"], row["quota"], row["enabled"]) == (
        "ally@example.test",
        "domain-admin",
        1000,
        True,
    )
    old = await desk.store.address("alice@example.test")
    assert old is not None and old.kind == "alias" and old.targets == ("ally@example.test",)
    await desk.do("account rm", address="ally@example.test")
    assert await desk.do("account list") == []
    with pytest.raises(AddressReserved):
        await add(desk, "ally@example.test")
    with pytest.raises(Conflict):
        await add(desk, "other@example.test")
        await desk.do("domain rm", name="example.test")
    assert [a for _, a, _ in await desk.audit()] == [
        "domain.add", "account.add", "account.disable", "account.disable", "account.reset", "account.quota",
        "role.give", "account.rename", "account.remove", "account.add",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "verb", [v.name for v in TABLE if v.name.startswith("account ") and "address" in v.form.__struct_fields__]
)
async def test_unknown_accounts_are_named(desk: Desk, verb: str) -> None:
    if verb == "account add":
        return
    more = {
        "account rename": {"new": "x@example.test"},
        "account passwd": {"password": "x"},
        "account quota": {"octets": 1},
        "account export": {"format": "maildir", "folder": "/elsewhere"},
    }
    with pytest.raises(NoSuchAccount, match=r"nobody@example\.test"):
        await desk.do(verb, address="nobody@example.test", **more.get(verb, {}))


async def test_rename_does_not_take_another_ones_address(desk: Desk) -> None:
    await add(desk, "a@example.test")
    await add(desk, "b@example.test")
    await desk.do("alias add", address="c@example.test", targets=["b@example.test"])
    for new, error in (
        ("b@example.test", AlreadyExists),
        ("c@example.test", AlreadyExists),
        ("a@other.test", NoSuchDomain),
    ):
        with pytest.raises(error):
            await desk.do("account rename", address="a@example.test", new=new)
    await desk.do("account rename", address="b@example.test", new="c@example.test")  # an alias of its own
    assert (await desk.store.account(AccountId(2))).address == "c@example.test"  # type: ignore[union-attr]


async def test_domains(desk: Desk) -> None:
    with pytest.raises(AlreadyExists):
        await desk.do("domain add", name="EXAMPLE.test.")
    for bad in ("", "a b", "-x.test", "x" * 300, "127.0.0.1", "\u2024test"):
        with pytest.raises(BadName):
            await desk.do("domain add", name=bad)
    await desk.do("domain set", name="example.test", catch_all="Bob@Example.test", scram=True)
    await desk.do("domain set", name="example.test")  # nothing given, nothing changed
    (row,) = await desk.do("domain list")  # type: ignore[misc]
    assert row == {
        "domain": "example.test",
        "catch_all": "bob@example.test",
        "relay_to": "",
        "settings": {"scram": True},
    }
    made = await desk.do("domain set", name="example.test", catch_all="", tls_post=True)
    assert made["settings"] == {"scram": True, "tls_post": True}  # type: ignore[index]
    assert (await desk.store.domain("example.test")).catch_all == ""  # type: ignore[union-attr]
    with pytest.raises(NoSuchDomain):
        await desk.do("domain rm", name="none.test")
    await desk.do("domain rm", name="example.test")
    assert await desk.do("domain list") == []


async def test_aliases_and_groups(desk: Desk) -> None:
    await add(desk, "bob@example.test")
    await desk.do(
        "alias add",
        address="Sales@example.test",
        targets=["bob@example.test", "BOB@example.test", "x@out.test"],
    )
    await desk.do("alias add", address="all@example.test", targets=["bob@example.test"], kind="group")
    assert await desk.do("alias list") == [
        {"address": "sales@example.test", "targets": ("bob@example.test", "x@out.test"), "kind": "alias"}
    ]
    assert [g["address"] for g in await desk.do("alias list", kind="group")] == ["all@example.test"]  # type: ignore[attr-defined]
    for arguments, error in (
        ({"address": "bob@example.test", "targets": ["x@out.test"]}, AlreadyExists),
        ({"address": "n@example.test", "targets": []}, BadName),
        ({"address": "n@example.test", "targets": ["x"]}, BadName),
        ({"address": "n@example.test", "targets": ["x@y.test"], "kind": "list"}, BadName),
        ({"address": "n@none.test", "targets": ["x@y.test"]}, NoSuchDomain),
        ({"address": "n@example.test", "targets": [f"t{n}@y.test" for n in range(1001)]}, TooMany),
    ):
        with pytest.raises(error):
            await desk.do("alias add", **arguments)  # type: ignore[arg-type]
    with pytest.raises(NoSuchThing):
        await desk.do("alias rm", address="all@example.test")  # it is a group
    await desk.do("alias rm", address="sales@example.test")
    with pytest.raises(AddressReserved):
        await desk.do("alias add", address="sales@example.test", targets=["x@y.test"])


async def test_tokens(desk: Desk) -> None:
    await add(desk, "bob@example.test")
    made = await desk.do("token add", address="bob@example.test", name="ci", scopes=["message.read"], days=2)
    assert isinstance(made, dict) and made["token"].startswith("a3_") and made["expires"] > 0
    assert made["token"] not in json.dumps([r.detail for r in await desk.store.audit()])
    with pytest.raises(BadName):
        await desk.do("token add", address="bob@example.test", name="ci", scopes=["everything"])
    (shown,) = await desk.do("token list")  # type: ignore[misc]
    assert made["token"] not in json.dumps(shown) and shown["digest"] == made["digest"]
    assert (shown["address"], shown["name"], shown["scopes"]) == ("bob@example.test", "ci", ["message.read"])
    assert shown["good"] and shown["expires"] == made["expires"]
    assert await desk.do("token list", address="bob@example.test") == [shown]
    await desk.do("account passwd", address="bob@example.test", password="another")
    (shown,) = await desk.do("token list")  # type: ignore[misc]
    assert not shown["good"]
    await add(desk, "carol@example.test")
    assert await desk.do("token list", address="carol@example.test") == []
    with pytest.raises(NoSuchAccount):
        await desk.do("token list", address="nobody@example.test")
    await desk.do("token rm", token=made["digest"])
    for gone in (made["digest"], made["token"], "x", "z" * 64):
        with pytest.raises(NoSuchThing):
            await desk.do("token rm", token=gone)


async def test_audit_query_selects(desk: Desk) -> None:
    await add(desk, "bob@example.test")
    await desk.do("account disable", address="bob@example.test")
    rows = await desk.do("audit query", action="account")
    assert [r["action"] for r in rows] == ["account.add", "account.disable"]  # type: ignore[attr-defined]
    assert await desk.do("audit query", action="account", limit=1) == rows[:1]  # type: ignore[index]
    assert await desk.do("audit query", after=rows[0]["number"]) == rows[1:]  # type: ignore[index]
    assert await desk.do("audit query", subject="nobody") == []
    assert await desk.do("audit query", since=2**40) == []


async def test_settings_are_kept_where_they_can_be_read(desk: Desk) -> None:
    kept = await desk.do("config set", name="smtp.hops", value="7")
    assert kept == {"name": "smtp.hops", "value": "7", "kept_in": "the store", "restart": False}
    boot = await desk.do("config set", name="workers", value="3")
    assert isinstance(boot, dict) and boot["kept_in"].endswith("90-set.toml") and boot["restart"]
    stored = await desk.do("config stored")
    assert stored == {"smtp.hops": "7"}
    settings = load(desk.office.directory, {}, {}, stored).settings  # type: ignore[arg-type]
    assert (settings.smtp.hops, settings.server.workers) == (7, 3)
    for name, value in (
        ("smtp.hops", "x"),
        ("smtp.hop", "1"),
        ("limits.profile", "weird"),
        ("server.listen", ""),
    ):
        with pytest.raises(BadName):
            await desk.do("config set", name=name, value=value)
    await desk.do("config set", name="smtp.hops", value=None)
    await desk.do("config set", name="server.workers", value=None)
    assert load(desk.office.directory, {}, {}, await desk.do("config stored")).settings == Settings()  # type: ignore[arg-type]
    assert await desk.do("config pending") == {"problems": (), "changes": []}
    (desk.office.directory / "a3mailer.toml").write_text("[server]\nport_base = 7\n")
    found = await desk.do("config pending")
    assert found == {
        "problems": (),
        "changes": [{"name": "server.port_base", "running": "0", "then": "7", "change": "restart"}],
    }
    (desk.office.directory / "a3mailer.toml").write_text("[server]\nport_base = 'x'\n")
    found = await desk.do("config pending")
    assert isinstance(found, dict) and "port_base" in found["problems"][0]


async def enqueue(desk: Desk, *recipients: str) -> int:
    mail = b"From: bob@example.test\r\nSubject: x\r\n\r\nbody\r\n"
    operation = Enqueue(
        SYSTEM_ACCOUNT, DEFAULT_TENANT, 0, "bob@example.test", tuple(QueueRecipient(r) for r in recipients)
    )
    (result,) = await desk.store.commit(Transaction((operation,), (Content(mail, index(mail)),)))
    assert isinstance(result, Enqueued)
    return result.queue


async def test_the_queue_at_the_operators_hand(desk: Desk) -> None:
    queue = await enqueue(desk, "a@elsewhere.test", "b@elsewhere.test")
    (row,) = await desk.do("queue list")  # type: ignore[misc]
    assert (row["queue"], row["from"], row["state"]) == (queue, "bob@example.test", "waiting")
    await desk.do("queue change", queue=queue, act="hold")
    shown = await desk.do("queue show", queue=queue)
    assert isinstance(shown, dict) and shown["state"] == "held"
    assert [r["address"] for r in shown["recipients"]] == ["a@elsewhere.test", "b@elsewhere.test"]
    for act in ("release", "retry"):
        await desk.do("queue change", queue=queue, act=act)
    assert (await desk.do("queue show", queue=queue))["state"] == "waiting"  # type: ignore[index]
    with pytest.raises(BadName):
        await desk.do("queue change", queue=queue, act="burn")
    await desk.do("queue change", queue=queue, act="fail")
    (told,) = await desk.do("queue list")  # type: ignore[misc]
    assert told["from"] == "" and [r["address"] for r in told["recipients"]] == ["bob@example.test"]
    actions = [a for _, a, _ in await desk.audit() if a.startswith("queue.")]
    assert actions == ["queue.hold", "queue.release", "queue.retry", "queue.fail"]


async def test_entries_are_chosen_by_what_they_are(desk: Desk) -> None:
    here = await enqueue(desk, "a@one.test", "b@two.test")
    there = await enqueue(desk, "c@below.two.test")
    await desk.store.commit(Transaction((ClaimQueue("w", desk.office.now, desk.office.now + 60),)))
    full = RecipientOutcome(0, "waiting", 452, "4.2.2", "over quota", "mx.one.test", desk.office.now + 900)
    put_off = RecipientOutcome(0, "waiting", 0, "4.4.5", "later", "", desk.office.now + 900, tried=False)
    await desk.store.commit(Transaction((SettleQueue(here, "w", (full,), desk.office.now),)))
    await desk.store.commit(Transaction((SettleQueue(there, "w", (put_off,), desk.office.now),)))

    async def found(**filters: object) -> list[int]:
        return [row["queue"] for row in await desk.do("queue list", **filters)]  # type: ignore[misc]

    assert await found() == [here, there]
    assert await found(domain="One.test") == await found(answer="full") == [here]
    assert await found(domain=".two.test") == await found(answer="throttled") == [there]
    assert await found(domain="two.test", answer="full") == []  # of one and the same recipient
    assert await found(sender="Bob@example.test") == await found(sender="example.test") == [here, there]
    assert await found(sender="<>") == await found(sender=".example.test") == await found(age=60) == []
    assert await found(limit=1) == [here] and await found(limit=1, after=here) == [there]
    (row,) = await desk.do("queue list", domain="one.test")  # type: ignore[misc]
    assert [r["answer"] for r in row["recipients"]] == ["full", ""]
    with pytest.raises(BadName, match="none of"):
        await desk.do("queue list", answer="rude")


async def test_addresses_that_nothing_is_sent_to(desk: Desk) -> None:
    assert await desk.do("queue suppressed") == []
    made = await desk.do("queue suppress", address="Gone@B.test", words="asked for it", days=2)
    assert made == {"address": "gone@b.test", "until": desk.office.now + 2 * 86_400}
    await desk.do("queue suppress", address="angry@b.test", reason="complaint")
    rows = await desk.do("queue suppressed")
    assert [(r["address"], r["state"], r["reason"], r["words"], r["until"]) for r in rows] == [  # type: ignore[attr-defined]
        ("angry@b.test", "suppressed", "complaint", "", 0),
        ("gone@b.test", "suppressed", "manual", "asked for it", desk.office.now + 2 * 86_400),
    ]
    await desk.do("queue unsuppress", address="angry@b.test")
    with pytest.raises(NoSuchThing):
        await desk.do("queue unsuppress", address="angry@b.test")
    with pytest.raises(NoSuchThing):
        await desk.do("queue suppress", address="gone@b.test", tenant=2)
    await desk.store.commit(Transaction((PutTenant(TenantId(2), "two"), PutDomain(TenantId(2), "two.test"))))
    await desk.do("queue suppress", address="gone@b.test", tenant=2)
    rows = await desk.do("queue suppressed", tenant=2)
    assert [(r["tenant"], r["address"]) for r in rows] == [(2, "gone@b.test")]  # type: ignore[attr-defined]
    await desk.do("queue unsuppress", address="gone@b.test", tenant=2)
    rows = await desk.do("queue suppressed")
    assert [(r["tenant"], r["address"]) for r in rows] == [(1, "gone@b.test")]  # type: ignore[attr-defined]
    for bad in ({"address": "nobody"}, {"address": "a@b.test", "reason": "whim"}):
        with pytest.raises(BadName):
            await desk.do("queue suppress", **bad)
    actions = [(a, t) for _, a, t in await desk.audit() if a.startswith("queue.")]
    assert actions == [
        ("queue.suppress", "gone@b.test"),
        ("queue.suppress", "angry@b.test"),
        ("queue.unsuppress", "angry@b.test"),
        ("queue.suppress", "gone@b.test"),
        ("queue.unsuppress", "gone@b.test"),
    ]


async def test_an_empty_queue_and_an_unknown_entry(desk: Desk) -> None:
    assert await desk.do("queue list") == []
    for verb, more in (("queue show", {}), ("queue change", {"act": "hold"})):
        with pytest.raises(NoSuchThing):
            await desk.do(verb, queue=5, **more)


async def test_what_a_lesser_role_may_not_touch_does_not_exist_for_it(desk: Desk) -> None:
    await add(desk, "boss@example.test", role="tenant-admin")
    await add(desk, "bob@example.test")
    help_desk = Principal(AccountId(99), TenantId(1), "h@example.test", "helpdesk", "h@example.test")
    desk.office = Office(
        desk.store,
        desk.office.directory,
        desk.office.settings,
        desk.office.clock,
        desk.pool,
        subject=help_desk,
    )
    await desk.do("account disable", address="bob@example.test")
    assert (await desk.audit())[-1] == ("h@example.test", "account.disable", "bob@example.test")
    with pytest.raises(NoSuchAccount):
        await desk.do("account disable", address="boss@example.test")
    for verb, arguments in (
        ("account add", {"address": "new@example.test"}),
        ("domain add", {"name": "new.test"}),
        ("alias add", {"address": "n@example.test", "targets": ["x@y.test"]}),
        ("config set", {"name": "smtp.hops", "value": "1"}),
        ("config stored", {}),
        ("role give", {"address": "bob@example.test", "role": "helpdesk"}),
    ):
        with pytest.raises((NoSuchDomain, NoSuchThing, NoSuchAccount)):
            await desk.do(verb, **arguments)  # type: ignore[arg-type]
    assert await desk.do("audit query") == []


async def test_unknown_verbs_are_named(desk: Desk) -> None:
    with pytest.raises(BadName, match="no such verb: account fly"):
        await desk.do("account fly")


def test_every_verb_is_in_the_table_once() -> None:
    names = [v.name for v in TABLE]
    assert len(names) == len(set(names))


# --- reports ---------------------------------------------------------------------------------------


async def test_reports_are_listed_shown_and_added_up_for_who_may_see_them(desk: Desk) -> None:
    (found,) = read(ReportMail("big.example", mail_with(gzip.compress(WITHOUT_NAMESPACE))))
    for domain in ("example.test", "gone.test"):
        put = PutReport(
            "dmarc", domain, "big.example", "1", found.begins, found.ends, found.content, desk.office.now
        )
        await desk.store.commit(Transaction((put,)))
    rows = await desk.do("report list", kind="dmarc")
    assert isinstance(rows, list)
    assert [(row["domain"], row["mails"], row["source"]) for row in rows] == [
        ("example.test", 415, "big.example"),
        ("gone.test", 415, "big.example"),
    ]
    assert await desk.do("report list", kind="dmarc", domain="Example.test") == rows[:1]
    assert await desk.do("report list", kind="dmarc", limit=1) == rows[:1]
    assert await desk.do("report list", kind="dmarc", after=rows[0]["report"]) == rows[1:]
    assert await desk.do("report list", kind="arf") == []
    shown = await desk.do("report show", kind="dmarc", report=rows[0]["report"])
    assert isinstance(shown, dict)
    assert shown["content"]["sources"][0]["ip"] == "192.0.2.7"
    (summed,) = await desk.do("report summary", kind="dmarc", domain="example.test", days=1)  # type: ignore[misc]
    assert summed["advice"][0].startswith(
        "192.0.2.7 sends as example.org with SPF softfail for other.example"
    )
    for verb, wrong in (
        ("report show", {"kind": "arf", "report": rows[0]["report"]}),
        ("report show", {"kind": "dmarc", "report": 99}),
    ):
        with pytest.raises(NoSuchThing):
            await desk.do(verb, **wrong)
    with pytest.raises(BadName):
        await desk.do("report list", kind="nothing")
    desk.office = replace(
        desk.office, subject=Principal(AccountId(7), DEFAULT_TENANT, "x@example.test", "domain-admin", "x")
    )
    assert await desk.do("report list", kind="dmarc") == rows[:1]
    with pytest.raises(NoSuchThing):
        await desk.do("report show", kind="dmarc", report=rows[1]["report"])


async def test_where_a_mail_is_and_what_became_of_it(desk: Desk) -> None:
    first = await enqueue(desk, "a@elsewhere.test", "b@elsewhere.test")
    second = await enqueue(desk, "a@elsewhere.test")
    found = await desk.do("message where", about="<A@elsewhere.test>")
    assert isinstance(found, dict)
    assert [row["queue"] for row in found["queue"]] == [first, second]
    assert (found["about"], found["finished"]) == ("A@elsewhere.test", [])
    assert len(found["story"]) == 5 and "not tried yet" in found["story"][1]
    await desk.do("queue change", queue=first, act="fail")
    found = await desk.do("message where", about="a@elsewhere.test")
    assert isinstance(found, dict)
    assert [row["queue"] for row in found["queue"]] == [second]
    assert [(row["queue"], row["state"]) for row in found["finished"]] == [(first, "removed")]
    assert "given up by an administrator" in found["story"][1]
    gone = await desk.do("queue show", queue=first)
    assert isinstance(gone, dict) and gone["state"] == "finished"
    assert [r["address"] for r in gone["recipients"]] == ["a@elsewhere.test", "b@elsewhere.test"]
    assert len(gone["story"]) == 3
    for nothing in ("", "nobody@elsewhere.test", "@", "*"):
        found = await desk.do("message where", about=nothing)
        assert isinstance(found, dict) and not found["story"]
