"""Logins: accepted, refused, delayed, remembered, recorded (attack rows 52 and 53)."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import argon2
import pytest

from a3mailer.config.tree import Auth, Limits, Settings
from a3mailer.identity import authenticator as module
from a3mailer.identity import throttle, tokens
from a3mailer.identity.credentials import is_of_our_cost
from a3mailer.identity.principal import Object
from a3mailer.identity.roles import allow
from a3mailer.identity.throttle import Throttle, TooManyFailures, network
from a3mailer.mail.changes import Change
from a3mailer.mail.errors import AuthenticationFailed, BadName, TryLater
from a3mailer.mail.ids import AccountId, MailboxId, ModSeq
from a3mailer.store.operations import Done, RenewCredential, Result
from a3mailer.store.ports import Transaction
from a3mailer.telemetry import events
from a3mailer.telemetry.events import Secret
from tests.unit.identity.world import OTHER, SETTINGS, STORED, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.door.close()


@pytest.mark.parametrize("login", ["bob@a.test", "BOB@A.TEST", "bob", "Bob"])
async def test_the_right_password_makes_a_principal(world: World, login: str) -> None:
    found = await world.door.password(login, Secret("right"), "192.0.2.1")
    assert (found.account, found.address, found.role, found.epoch) == (world.bob.id, "bob@a.test", "user", 1)
    assert await world.door.current(found)


@pytest.mark.parametrize(
    "login", ["bob@a.test", "nobody@a.test", "bob+x@a.test", "", "@", "x" * 5000, "bob@a.test\0", "\udcff"]
)
async def test_every_wrong_login_is_the_same_error(world: World, login: str) -> None:
    with pytest.raises(AuthenticationFailed) as refused:
        await world.door.password(login, Secret("wrong"), "192.0.2.1")
    assert str(refused.value) == "wrong name or password"


async def test_a_disabled_account_is_refused_like_a_wrong_password(world: World) -> None:
    found = await world.door.password("bob", Secret("right"), "192.0.2.1")
    world.rows.change(world.bob.id, enabled=False)
    await world.fails(password="right")
    assert not await world.door.current(found)


async def test_a_wrong_name_costs_as_many_hashes_as_a_wrong_password(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes: list[str | None] = []
    real = module.verify_password

    def counted(stored: str | None, password: Secret) -> bool:
        hashes.append(stored)
        return real(stored, password)

    monkeypatch.setattr(module, "verify_password", counted)
    for login in ("bob", "nobody", "x" * 5000):
        hashes.clear()
        await world.fails(login)
        assert len(hashes) == 1, login


async def test_a_verified_password_is_remembered_until_it_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = 0
    real = module.verify_password

    def counted(stored: str | None, password: Secret) -> bool:
        nonlocal hashes
        hashes += 1
        return real(stored, password)

    monkeypatch.setattr(module, "verify_password", counted)
    for _ in range(5):
        await world.door.password("bob", Secret("right"), "192.0.2.1")
    assert hashes == 1
    await world.fails()
    assert hashes == 2
    world.rows.set_secret(world.bob.id, OTHER)
    await world.fails(password="right")
    assert hashes == 3
    await world.door.password("bob", Secret("other"), "192.0.2.1")
    assert hashes == 4
    world.clock.time += SETTINGS.auth.cache_seconds + 1
    await world.door.password("bob", Secret("other"), "192.0.2.1")
    assert hashes == 5


@pytest.mark.usefixtures("fast")
class Renewals:
    """A writer of renewed credentials into the world's rows; ``broken`` refuses."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.broken = False
        self.renewed: list[RenewCredential] = []

    async def commit(self, transaction: Transaction) -> tuple[Result, ...]:
        if self.broken:
            raise TryLater
        (operation,) = transaction.operations
        assert isinstance(operation, RenewCredential)
        self.renewed.append(operation)
        rows = self.world.rows
        (old,) = await rows.credentials(operation.account)
        assert (old.secret, old.name, old.kind) == (operation.was, operation.name, operation.kind)
        rows._credentials[operation.account] = (replace(old, secret=operation.secret),)
        return (Done(),)


async def test_an_imported_hash_of_another_cost_is_renewed_at_the_next_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.door._writer = writer = Renewals(world)
    cheap = argon2.PasswordHasher(1, 64, 1).hash("imported")
    world.rows.set_secret(world.bob.id, cheap)
    before = await world.rows.account(world.bob.id)
    checked: list[str] = []
    real = module.verify_password
    monkeypatch.setattr(module, "verify_password", lambda s, p: checked.append(str(s)) or real(s, p))
    await world.fails()
    writer.broken = True
    await world.door.password("bob", Secret("imported"), "192.0.2.1")  # goes on without
    assert checked == [cheap] * 2 and writer.renewed == []
    writer.broken = False
    world.clock.time += SETTINGS.auth.cache_seconds + 1
    principal = await world.door.password("bob", Secret("imported"), "192.0.2.1")
    assert await world.rows.account(world.bob.id) == before and await world.door.current(principal)
    (operation,) = writer.renewed
    assert is_of_our_cost(operation.secret) and not is_of_our_cost(cheap)
    world.clock.time += SETTINGS.auth.cache_seconds + 1
    await world.door.password("bob", Secret("imported"), "192.0.2.1")
    await world.fails()
    assert checked[-2:] == [operation.secret] * 2 and len(writer.renewed) == 1
    world.door.close()


async def test_hashes_of_ours_and_of_disabled_accounts_are_not_renewed() -> None:
    world = World()
    world.door._writer = writer = Renewals(world)
    await world.door.password("bob", Secret("right"), "192.0.2.1")
    world.rows.set_secret(world.bob.id, argon2.PasswordHasher(1, 64, 1).hash("imported"))
    world.rows.change(world.bob.id, enabled=False)
    await world.fails(password="imported")
    assert writer.renewed == []
    world.door.close()


async def test_failures_are_delayed_more_and_more_then_refused_unseen(world: World) -> None:
    for _ in range(throttle.FREE):
        await world.fails()
    assert world.waits == []
    for _ in range(8):
        await world.fails()
    assert world.waits == sorted(world.waits) and world.waits[0] == pytest.approx(
        throttle.FIRST_WAIT, rel=0.1
    )
    assert max(world.waits) <= throttle.MAX_WAIT
    for _ in range(4):
        await world.fails()
    await world.fails(password="right")  # too many: refused before anything is looked at
    world.clock.time += 20 * throttle.HALF_LIFE
    await world.door.password("bob", Secret("right"), "192.0.2.1")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password check without its price, for tests that only count."""

    def right(stored: str | None, password: Secret) -> bool:
        return stored == STORED and password.reveal() == "right"

    monkeypatch.setattr(
        module, "verify_password", lambda stored, secret: stored == STORED and secret.reveal() == "right"
    )


@pytest.mark.usefixtures("fast")
async def test_a_known_network_is_not_locked_out_by_strangers(world: World) -> None:
    await world.door.password("bob", Secret("right"), "198.51.100.7")
    for number in range(500):
        await world.fails(ip=f"10.0.{number // 250}.{number % 250}")
    world.waits.clear()
    await world.door.password("bob", Secret("right"), "198.51.100.7")
    assert world.waits == []
    await world.fails(ip="10.9.9.9", password="right")  # from a network never seen: refused, or made to wait
    world.clock.time += throttle.HALF_LIFE / 2
    await world.door.password("bob", Secret("right"), "10.9.9.9")
    assert world.waits


@pytest.mark.usefixtures("fast")
async def test_many_names_from_one_network_are_delayed(world: World) -> None:
    for number in range(throttle.FREE_NETWORK):
        await world.fails(f"user{number}", ip="203.0.113.5")
    assert world.waits == []
    await world.fails("another", ip="203.0.113.5")
    assert world.waits


@pytest.mark.usefixtures("fast")
async def test_the_profile_off_delays_nothing(world: World) -> None:
    world.door.reconfigure(Settings(server=SETTINGS.server, limits=Limits(profile="off")))
    for _ in range(3 * throttle.FREE):
        await world.fails()
    assert world.waits == [] and world.audit.records == []


@pytest.mark.usefixtures("fast")
async def test_crossing_into_delay_is_recorded_once_and_mail_flows_without_a_record(world: World) -> None:
    for _ in range(throttle.FREE + 4):
        await world.fails()
    assert [r[:4] for r in world.audit.records] == [
        ("bob@a.test", "session.login", "bob@a.test", "throttled")
    ]
    world.audit.broken = True
    for _ in range(throttle.FREE + 4):
        await world.fails("nobody", ip="192.0.2.9")
    assert len(world.audit.records) == 1


async def test_no_password_and_no_address_reaches_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = bytearray()
    monkeypatch.setattr(events.LOG, "_write", lambda _fd, octets: written.extend(octets) or len(octets))
    await world.fails("bob@a.test", "hunter2-wrong")
    await world.door.password("bob", Secret("right"), "192.0.2.1")
    events.LOG.flush()
    assert b"auth.login.failed" in written and b"auth.login.accepted" in written
    assert b"hunter2" not in written and b"bob@" not in written and b"right" not in written


# --- throttle ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ip", "block"),
    [
        ("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::"), ("unix", "unix"),
    ],
)  # fmt: skip
def test_addresses_are_counted_by_network(ip: str, block: str) -> None:
    assert network(ip) == block


def test_tries_at_once_are_counted_at_once() -> None:
    counts = Throttle()
    waits = []
    with pytest.raises(TooManyFailures):
        for _ in range(100):
            waits.append(counts.begin("a", "192.0.2.1", 0.0))
    assert len(waits) < 15


def test_spraying_a_thousand_users_from_five_hundred_networks(rng: random.Random) -> None:
    counts = Throttle()
    tries, hour = 100_000, 3600.0
    free: Counter[str] = Counter()
    tested: Counter[str] = Counter()
    for number in range(tries):
        login, ip = f"u{rng.randrange(1000)}", f"127.{rng.randrange(2)}.0.{rng.randrange(250)}"
        try:
            wait = counts.begin(login, ip, hour * number / tries)
        except TooManyFailures:
            continue
        tested[login] += 1
        if not wait:
            free[login] += 1
            free[ip] += 1
    assert max(free.values()) <= throttle.FREE_NETWORK
    assert max(n for key, n in free.items() if key[0] == "u") <= throttle.FREE_ACCOUNT <= 10
    assert sum(tested.values()) < 0.4 * tries and max(tested.values()) < 60


def test_a_flood_pushes_nothing_out_that_is_in_use() -> None:
    counts = Throttle(keys=64)
    waits = []
    for number in range(1000):
        with suppress(TooManyFailures):
            counts.begin(f"b{number}", f"10.0.{number % 250}.1", float(number))
        with suppress(TooManyFailures):
            waits.append(counts.begin("bob", "192.0.2.1", float(number)))
    assert len(waits) < 40 and max(waits) > throttle.MAX_WAIT / 4


def test_every_process_counts_in_the_same_memory() -> None:
    counts = Throttle()
    for number in range(throttle.FREE):
        if (child := os.fork()) == 0:
            os._exit(counts.begin("bob", "192.0.2.1", float(number)) > 0.0)
        assert os.waitpid(child, 0)[1] == 0
    assert counts.begin("bob", "192.0.2.1", float(throttle.FREE)) == pytest.approx(
        throttle.FIRST_WAIT, rel=0.1
    )
    if (child := os.fork()) == 0:
        counts.succeeded("bob", "192.0.2.1", 10.0)  # the network is known to all from now on
        os._exit(0)
    os.waitpid(child, 0)
    assert counts.failures("bob", "192.0.2.1", 11.0) == 0.0
    for number in range(1000):
        with suppress(TooManyFailures):
            counts.begin("bob", f"10.0.{number % 250}.1", 12.0)
    assert counts.begin("bob", "192.0.2.1", 13.0) == 0.0


def test_a_known_network_stays_known_by_logins_alone() -> None:
    counts = Throttle()
    now = 0.0
    while now < 3 * throttle.KNOWN_SECONDS:
        counts.succeeded("bob", "192.0.2.1", now)
        now += throttle.KNOWN_SECONDS / 7
    for number in range(1000):  # of a stranger, from everywhere
        with suppress(TooManyFailures):
            counts.begin("bob", f"10.0.{number % 250}.1", now)
    assert counts.begin("bob", "192.0.2.1", now) == 0.0
    counts.succeeded("bob", "192.0.2.1", now)
    assert counts.failures("bob", "192.0.2.1", now) == 0.0


def test_a_known_network_is_forgotten_without_logins() -> None:
    counts = Throttle()
    counts.succeeded("bob", "192.0.2.1", 0.0)
    counts.succeeded("bob", "192.0.2.1", throttle.RENEWED_SECONDS / 2)  # too soon to be written down
    late = throttle.KNOWN_SECONDS + throttle.RENEWED_SECONDS
    for number in range(1000):
        with suppress(TooManyFailures):
            counts.begin("bob", f"10.0.{number % 250}.1", late)
    with pytest.raises(TooManyFailures):
        counts.begin("bob", "192.0.2.1", late)


# --- tokens ---------------------------------------------------------------------------------------------


async def test_a_token_is_limited_to_its_scopes_and_dies_with_its_epoch(world: World) -> None:
    token, operation = tokens.issue(world.bob.id, "cli", ("message", "account.show", "message"), now=0)
    assert token.reveal().encode() not in operation.digest and repr(token) == "***"
    world.rows.put_token(operation)
    found = await world.door.token(token, "192.0.2.1")
    assert found.scopes == {"message", "account.show"} and found.account == world.bob.id
    world.rows.change(world.bob.id)
    with pytest.raises(AuthenticationFailed):
        await world.door.token(token, "192.0.2.1")


async def test_unknown_expired_and_strange_tokens_are_refused(world: World) -> None:
    token, operation = tokens.issue(world.bob.id, "old", ("message",), now=0, expires=10)
    world.rows.put_token(operation)
    for bad in (token, Secret("a3_nothing"), Secret(""), Secret("\u00fc"), Secret("x" * 10_000)):
        with pytest.raises(AuthenticationFailed):
            await world.door.token(bad, "192.0.2.1")


async def test_wrong_tokens_do_not_lock_out_the_right_one(world: World) -> None:
    """Attack row 52: guesses cost whoever makes them, from his network, and nobody else."""
    token, operation = tokens.issue(world.bob.id, "cli", ("message",), now=0)
    world.rows.put_token(operation)
    for number in range(60):
        with pytest.raises(AuthenticationFailed):
            await world.door.token(Secret(f"a3_guess{number}"), "192.0.2.66")
    assert world.waits and max(world.waits) > 1.0  # the guesser waits
    world.waits.clear()
    assert (await world.door.token(token, "198.51.100.7")).account == world.bob.id and world.waits == []


async def test_a_token_stands_in_the_place_of_its_own_accounts_password(world: World) -> None:
    world.rows.put_account("carol@a.test", secret=OTHER)
    token, operation = tokens.issue(
        world.bob.id, "phone", ("message", "smtp.submit"), now=0, expires=2 * 10**9
    )
    world.rows.put_token(operation)
    found = await world.door.password("bob", token, "192.0.2.1")
    assert (found.account, found.login, found.token) == (world.bob.id, "bob@a.test", operation.digest)
    assert allow(found, "smtp.submit", Object(found.tenant, found.account))
    assert not allow(found, "mailbox.list", Object(found.tenant, found.account))
    assert await world.door.current(found)
    for login in ("carol", "nobody"):
        with pytest.raises(AuthenticationFailed):
            await world.door.password(login, token, "192.0.2.1")
    world.clock.time += 2e9  # over
    assert not await world.door.current(found)
    with pytest.raises(AuthenticationFailed):
        await world.door.password("bob", token, "192.0.2.1")


async def test_a_revoked_token_ends_its_sessions(world: World) -> None:
    token, operation = tokens.issue(world.bob.id, "phone", ("message",), now=0)
    world.rows.put_token(operation)
    with_token = await world.door.password("bob", token, "192.0.2.1")
    with_password = await world.door.password("bob", Secret("right"), "192.0.2.1")
    world.rows.remove_token(operation.digest)
    assert not await world.door.current(with_token)
    assert await world.door.current(with_password)


async def test_what_looks_like_a_token_and_is_none_costs_a_hash(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes: list[str | None] = []
    monkeypatch.setattr(module, "verify_password", lambda stored, secret: hashes.append(stored))
    for login in ("bob", "nobody"):
        await world.fails(login, "a3_nothing")
    assert hashes == [STORED, None]
    world.rows.set_secret(world.bob.id, OTHER)
    monkeypatch.setattr(module, "verify_password", lambda stored, secret: secret.reveal() == "a3_chosen")
    assert not (await world.door.password("bob", Secret("a3_chosen"), "192.0.2.1")).token  # a password


@pytest.mark.parametrize(
    "scopes", [(), ("everything",), ("message.burn",), tuple(f"message.{n}" for n in range(40))]
)
def test_scopes_are_checked_when_a_token_is_made(world: World, scopes: tuple[str, ...]) -> None:
    with pytest.raises(BadName):
        tokens.issue(world.bob.id, "x", scopes, now=0)


async def test_scram_is_offered_where_a_domain_wants_it() -> None:
    world = World(Settings(server=SETTINGS.server, auth=Auth(scram=False)))
    assert not await world.door.scram_offered()
    world.rows.put_domain("b.test", settings='{"scram": true}')
    assert not await world.door.scram_offered()  # remembered until the directory changes
    world.door.heard(Change(AccountId(0), MailboxId(0), ModSeq(0)))
    assert await world.door.scram_offered()
    world.door.close()
