"""Where forward-paths lead."""

from __future__ import annotations

import random
from typing import Any

import pytest

from a3mailer.config.tree import Server, Settings, Smtp
from a3mailer.identity import directory as module
from a3mailer.identity.directory import Directory, ListAddress, LocalAccount, RemoteAddress, parse_stored
from a3mailer.mail.address import Address
from a3mailer.mail.changes import Change
from a3mailer.mail.errors import NoSuchAccount, NoSuchDomain, TooMany
from a3mailer.mail.ids import AccountId, MailboxId, ModSeq
from tests.unit.identity.directory_rows import Rows

SETTINGS = Settings(server=Server(domain="a.test"))
DIRECTORY_CHANGED = Change(AccountId(0), MailboxId(0), ModSeq(0))


@pytest.fixture
def rows() -> Rows:
    rows = Rows()
    rows.put_domain("a.test")
    rows.put_domain("b.test", catch_all="bob@a.test")
    rows.put_account("admin@a.test", role="superadmin")
    rows.put_account("bob@a.test")
    rows.put_account("eve@a.test")
    return rows


async def names(directory: Directory, text: str) -> list[str]:
    return sorted(str(d.address) for d in await directory.resolve(parse_stored(text)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bob@a.test", "bob@a.test"),
        ("BoB@A.test", "bob@a.test"),
        ("bob+lists@a.test", "bob@a.test"),
        ("BOB+a+b@a.test", "bob@a.test"),
        ("anything@b.test", "bob@a.test"),
        ("postmaster@a.test", "admin@a.test"),
        ("Abuse@a.test", "admin@a.test"),
        ("postmaster@b.test", "admin@a.test"),
        ("abuse+x@b.test", "admin@a.test"),
        ("postmaster@", "admin@a.test"),
    ],
)
async def test_an_address_reaches_its_account(rows: Rows, asked: str, expected: str) -> None:
    assert await names(Directory(rows, SETTINGS), asked) == [expected]


@pytest.mark.parametrize("asked", ["nobody@a.test", "@a.test", "+bob@a.test", "bob-x@a.test", "bobx@a.test"])
async def test_unknown_local_parts_are_no_account(rows: Rows, asked: str) -> None:
    with pytest.raises(NoSuchAccount):
        await Directory(rows, SETTINGS).resolve(parse_stored(asked))


@pytest.mark.parametrize(
    "asked",
    [
        "bob@c.test",
        "bob@",
        "bob@[127.0.0.1]",
        "bob@a.test.",
        "abuse@c.test",
        "bob@a.test@c.test",
        "bob%a.test@",
    ],
)
async def test_foreign_domains_are_not_ours(rows: Rows, asked: str) -> None:
    with pytest.raises(NoSuchDomain):
        await Directory(rows, SETTINGS).resolve(parse_stored(asked))


async def test_aliases_and_groups_expand_each_once(rows: Rows) -> None:
    rows.put_alias("all@a.test", "sales@a.test", "bob@a.test", "x@outside.test", "gone@a.test", kind="group")
    rows.put_alias("sales@a.test", "bob+s@a.test", "eve@a.test", "X@outside.test", "all@a.test")
    directory = Directory(rows, SETTINGS)
    found = await directory.resolve(parse_stored("ALL@a.test"))
    assert sorted(str(d.address) for d in found) == [
        "X@outside.test", "bob@a.test", "eve@a.test", "x@outside.test"]  # fmt: skip
    assert {type(d) for d in found} == {LocalAccount, RemoteAddress}


async def test_a_cycle_of_aliases_reaches_nobody_and_ends(rows: Rows) -> None:
    rows.put_alias("one@a.test", "two@a.test")
    rows.put_alias("two@a.test", "one@a.test")
    with pytest.raises(NoSuchAccount):
        await Directory(rows, SETTINGS).resolve(parse_stored("one@a.test"))


async def test_postmaster_is_reached_even_when_its_alias_leads_nowhere(rows: Rows) -> None:
    rows.put_alias("postmaster@a.test", "gone@a.test")
    rows.put_alias("abuse@a.test", "eve@a.test")
    directory = Directory(rows, SETTINGS)
    assert await names(directory, "postmaster@a.test") == ["admin@a.test"]
    assert await names(directory, "abuse@a.test") == ["eve@a.test"]


@pytest.mark.parametrize(
    ("address", "leads_to"),
    [
        ("postmaster@mail.a.test", "admin@a.test"),
        ("MAILER-DAEMON@Mail.a.test", "admin@a.test"),
        ("abuse@mail.a.test", "admin@a.test"),
        ("mailer-daemon@a.test", "admin@a.test"),
    ],
)
async def test_who_answers_a_notification_reaches_a_person(rows: Rows, address: str, leads_to: str) -> None:
    """RFC 3464 section 2: at the name of the server, too, which is no domain of ours."""
    directory = Directory(rows, Settings(server=Server(hostname="mail.a.test", domain="a.test")))
    assert await names(directory, address) == [leads_to]


@pytest.mark.parametrize(
    "address", ["admin@mail.a.test", "postmaster@other.a.test", "postmaster@x.mail.a.test"]
)
async def test_nobody_else_is_at_the_name_of_the_server(rows: Rows, address: str) -> None:
    directory = Directory(rows, Settings(server=Server(hostname="mail.a.test", domain="a.test")))
    with pytest.raises(NoSuchDomain):
        await names(directory, address)


async def test_without_an_admin_address_the_first_superadmin_is_postmaster() -> None:
    rows = Rows()
    rows.put_domain("c.test")
    for number in range(2500):
        rows.put_account(f"u{number}@c.test")
    rows.put_account("chief@c.test", role="superadmin")
    assert await names(Directory(rows, Settings()), "postmaster@c.test") == ["chief@c.test"]


async def test_a_removed_address_is_not_caught_by_the_catch_all(rows: Rows) -> None:
    rows.put_alias("gone@b.test", kind="reserved")
    with pytest.raises(NoSuchAccount):
        await Directory(rows, SETTINGS).resolve(parse_stored("gone@b.test"))


async def test_a_long_chain_and_a_wide_group_meet_their_limits(rows: Rows) -> None:
    for number in range(module.MAX_DEPTH + 1):
        rows.put_alias(f"c{number}@a.test", f"c{number + 1}@a.test")
    rows.put_alias(
        "wide@a.test", *(f"r{n}@outside.test" for n in range(module.MAX_DESTINATIONS + 1)), kind="group"
    )
    rows.put_alias(
        "fit@a.test", *(f"r{n}@outside.test" for n in range(module.MAX_DESTINATIONS)), kind="group"
    )
    for number in range(module.MAX_DESTINATIONS):
        rows.put_alias(f"m{number}@a.test", *(["all@a.test"] * 10))
    rows.put_alias("all@a.test", *(f"m{n}@a.test" for n in range(module.MAX_DESTINATIONS)))
    directory = Directory(rows, SETTINGS)
    for name in ("c0@a.test", "wide@a.test", "all@a.test"):
        with pytest.raises(TooMany):
            await directory.resolve(parse_stored(name))
    assert len(await directory.resolve(parse_stored("fit@a.test"))) == module.MAX_DESTINATIONS


async def test_local_parts_beyond_ascii_compare_in_one_form(rows: Rows) -> None:
    rows.put_account("m\u00fcller@a.test")
    assert await names(Directory(rows, SETTINGS), "Mu\u0308LLER@a.test") == ["m\u00fcller@a.test"]


async def test_no_separator_means_no_subaddresses(rows: Rows) -> None:
    directory = Directory(rows, Settings(server=SETTINGS.server, smtp=Smtp(subaddress_separator="")))
    with pytest.raises(NoSuchAccount):
        await directory.resolve(parse_stored("bob+x@a.test"))
    assert not await directory.owns(AccountId(2), parse_stored("bob+x@a.test"))


async def test_answers_are_kept_until_the_directory_changes(rows: Rows) -> None:
    directory = Directory(rows, SETTINGS)
    await names(directory, "bob@a.test")
    with pytest.raises(NoSuchAccount):
        await names(directory, "new@a.test")
    reads = rows.reads
    await names(directory, "bob@a.test")
    with pytest.raises(NoSuchAccount):
        await names(directory, "new@a.test")
    assert rows.reads == reads
    rows.put_account("new@a.test")
    directory.heard(Change(AccountId(2), MailboxId(1), ModSeq(9)))  # mail, not the directory
    with pytest.raises(NoSuchAccount):
        await names(directory, "new@a.test")
    directory.heard(DIRECTORY_CHANGED)
    assert await names(directory, "new@a.test") == ["new@a.test"]


async def test_an_answer_read_before_a_change_is_not_kept_after_it(rows: Rows) -> None:
    directory = Directory(rows, SETTINGS)
    address = rows.address

    async def change_meanwhile(text: str) -> Any:
        found = await address(text)
        rows.put_account("late@a.test")
        directory.heard(DIRECTORY_CHANGED)
        return found

    rows.address = change_meanwhile  # type: ignore[method-assign]
    with pytest.raises(NoSuchAccount):
        await names(directory, "late@a.test")
    rows.address = address  # type: ignore[method-assign]
    assert await names(directory, "late@a.test") == ["late@a.test"]


async def test_a_harvester_does_not_push_known_answers_out(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CACHED_ABSENT", 8)
    monkeypatch.setattr(module, "MAX_CACHED", 8)
    directory = Directory(rows, SETTINGS)
    await names(directory, "bob@a.test")
    for number in range(100):
        with pytest.raises(NoSuchAccount):
            await names(directory, f"x{number}@a.test")
    reads = rows.reads
    await names(directory, "bob@a.test")
    assert rows.reads == reads
    for number in range(100):
        await names(directory, f"bob+{number}@a.test")
    assert len(directory._known) <= 8 and len(directory._absent) <= 8


async def test_ownership_is_of_own_addresses_and_lone_aliases(rows: Rows) -> None:
    rows.put_alias("robert@a.test", "bob@a.test")
    rows.put_alias("team@a.test", "bob@a.test", "eve@a.test", kind="group")
    directory = Directory(rows, SETTINGS)
    bob = AccountId(2)
    mine = ["bob@a.test", "BOB@A.TEST", "bob+x@a.test", "robert@a.test", "Robert+y@a.test"]
    others = [
        "eve@a.test",
        "team@a.test",
        "x@b.test",
        "bob@b.test",
        "bob@outside.test",
        "@a.test",
        "+bob@a.test",
    ]
    assert [a for a in mine if not await directory.owns(bob, parse_stored(a))] == []
    assert [a for a in others if await directory.owns(bob, parse_stored(a))] == []
    rows.put_alias("rob@a.test", "bob@a.test")
    directory.heard(DIRECTORY_CHANGED)
    assert await directory.owns(bob, Address("rob", "a.test"))


async def test_random_graphs_of_aliases_always_end_within_the_limits(rng: random.Random) -> None:
    for _ in range(50):
        rows = Rows()
        rows.put_domain("a.test")
        rows.put_account("end@a.test")
        size = rng.randrange(2, 60)
        for number in range(size):
            targets = [f"n{rng.randrange(size)}@a.test" for _ in range(rng.randrange(1, 4))]
            if rng.random() < 0.1:
                targets.append("end@a.test")
            rows.put_alias(f"n{number}@a.test", *targets)
        directory = Directory(rows, SETTINGS)
        for number in range(size):
            try:
                found = await directory.resolve(Address(f"n{number}", "a.test"))
            except (NoSuchAccount, TooMany):
                continue
            assert [str(d.address) for d in found] == ["end@a.test"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("shop-amazon@a.test", "bob@a.test"),
        ("Shop-Amazon+x@a.test", "bob@a.test"),
        ("shop-books-old@a.test", "eve@a.test"),
        ("shop-books-@a.test", "bob@a.test"),
        ("shop@b.test", "eve@a.test"),
        ("whoever@b.test", "eve@a.test"),
    ],
)
async def test_a_wildcard_stands_for_what_nobody_has(rows: Rows, asked: str, expected: str) -> None:
    rows.put_alias("shop-*@a.test", "bob@a.test")
    rows.put_alias("shop-books-*@a.test", "eve@a.test")
    rows.put_alias("*@b.test", "eve@a.test")
    assert await names(Directory(rows, SETTINGS), asked) == [expected]


@pytest.mark.parametrize("asked", ["shop@a.test", "shopx@a.test", "shop-@a.test", "x-shop-a@a.test"])
async def test_what_a_wildcard_does_not_stand_for(rows: Rows, asked: str) -> None:
    rows.put_alias("shop-*@a.test", "bob@a.test")
    with pytest.raises(NoSuchAccount):
        await Directory(rows, SETTINGS).resolve(parse_stored(asked))


async def test_who_has_a_wildcard_may_send_as_what_it_stands_for(rows: Rows) -> None:
    bob = rows.put_account("robert@a.test")
    rows.put_alias("shop-*@a.test", "robert@a.test")
    rows.put_account("shop-eve@a.test")
    directory = Directory(rows, SETTINGS)
    assert await directory.owns(bob.id, parse_stored("shop-amazon@a.test"))
    assert not await directory.owns(bob.id, parse_stored("shop-eve@a.test"))
    assert not await directory.owns(bob.id, parse_stored("other-amazon@a.test"))


def test_few_beginnings_are_tried_and_the_longest_first() -> None:
    assert module.wildcards("a-b.c") == ("a-b.*", "a-*", "*")
    assert module.wildcards("a") == ("*",)
    assert len(module.wildcards("-" * 10_000)) == module.MAX_WILDCARDS + 1


async def test_addresses_of_a_list_are_its_own_unless_somebody_has_them(rows: Rows) -> None:
    rows.put_list("news@a.test")
    rows.put_account("news-owner@a.test")
    directory = Directory(rows, SETTINGS)
    (found,) = await directory.resolve(parse_stored("News-Subscribe@a.test"))
    assert isinstance(found, ListAddress) and (found.word, found.address) == (
        "subscribe", "news-subscribe@a.test",
    )  # fmt: skip
    (found,) = await directory.resolve(parse_stored("news@a.test"))
    assert isinstance(found, ListAddress) and found.word == ""
    (owner,) = await directory.resolve(parse_stored("news-owner@a.test"))
    assert isinstance(owner, LocalAccount)
    for nobody in ("news-other@a.test", "bob-subscribe@a.test", "-subscribe@a.test"):
        with pytest.raises(NoSuchAccount):
            await directory.resolve(parse_stored(nobody))
