"""Each check: the compliance suite, and what it finds (RFC 5782, 7505, 6647)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from a3mailer.config.tree import Dns, Policy, Server, Settings
from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.ids import DEFAULT_TENANT, AccountId
from a3mailer.runtime.resolver import Mx, ResolverFailure
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.check import CheckCompliance
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.policy.checks import CHECKS, greylist, rate
from a3mailer.transfer.policy.checks.dnsbl import Dnsbl
from a3mailer.transfer.policy.checks.domain_list import DomainList
from a3mailer.transfer.policy.checks.greylist import Greylist
from a3mailer.transfer.policy.checks.harvest import Harvest, missed
from a3mailer.transfer.policy.checks.helo import Helo
from a3mailer.transfer.policy.checks.lists import reversed_address
from a3mailer.transfer.policy.checks.rate import HOUR, RecipientRate, SenderRate, SubmittedRate
from a3mailer.transfer.policy.checks.recipient_domain import RecipientDomain
from a3mailer.transfer.policy.checks.sender_domain import SenderDomain
from a3mailer.transfer.policy.stages import Doors, Facts
from a3mailer.transfer.route import Local, Remote, Route


class TestDnsbl(CheckCompliance):
    check = Dnsbl()


class TestDomainList(CheckCompliance):
    check = DomainList()


class TestHelo(CheckCompliance):
    check = Helo()


class TestHarvest(CheckCompliance):
    check = Harvest()


class TestSenderDomain(CheckCompliance):
    check = SenderDomain()


class TestRecipientDomain(CheckCompliance):
    check = RecipientDomain()


class TestSenderRate(CheckCompliance):
    check = SenderRate()


class TestSubmittedRate(CheckCompliance):
    check = SubmittedRate()


class TestRecipientRate(CheckCompliance):
    check = RecipientRate()


class TestGreylist(CheckCompliance):
    check = Greylist()


def test_every_check_of_the_table_is_tested_here() -> None:
    suites = [
        each for each in globals().values() if isinstance(each, type) and issubclass(each, CheckCompliance)
    ]
    tested = {type(each.check) for each in suites if each is not CheckCompliance}
    assert {type(check) for check in CHECKS} == tested
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def doors(table: Path | None = None, **settings: object) -> Doors:
    chosen = Settings(
        server=Server(hostname="mx.ours.test"),
        policy=Policy(**settings),  # type: ignore[arg-type]
        dns=Dns(servers=("127.0.0.1:53",)),
    )
    return Doors(
        chosen,
        FakeResolver(),
        FakeClock(),
        SharedTable(rate.KEYS, rate.HALF_LIFE),
        SharedTable(256, greylist.HALF_LIFE, table),
    )


def facts(ip: str = "192.0.2.99", sender: str = "carol@b.test", to: str = "alice@a.test", account: int = 0,
          helo: str = "mx.b.test") -> Facts:  # fmt: skip
    def address(text: str) -> Address:
        local_part, _, domain = text.rpartition("@")
        return Address(local_part, domain)

    path = ReversePath(address(sender)) if sender else NULL_PATH
    return Facts(Client(ip, 4000, helo, account=account), Envelope(path), Recipient(address(to)))


def dns(of: Doors) -> FakeResolver:
    assert isinstance(of.resolver, FakeResolver)
    return of.resolver


# --- lists ------------------------------------------------------------------------------------------------


def test_addresses_are_asked_backwards() -> None:
    assert reversed_address("192.0.2.99") == "99.2.0.192"
    assert reversed_address("::ffff:192.0.2.99") == "99.2.0.192"
    assert reversed_address("2001:db8:1:2:3:4:567:89ab") == (
        "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
    )


async def test_a_listed_address_is_found_with_every_list_that_has_it() -> None:
    world = doors(dnsbl=("one.test", "two.test", "three.test"))
    dns(world).put("99.2.0.192.one.test", "A", "127.0.0.2")
    dns(world).put("99.2.0.192.three.test", "A", "127.0.0.4", "127.0.0.10")
    found = await Dnsbl().look(facts(), world)
    assert found is not None and not found.binding
    assert found.text == "192.0.2.99 is listed by one.test (127.0.0.2), three.test (127.0.0.4)"
    assert await Dnsbl().look(facts("192.0.2.98"), world) is None


@pytest.mark.parametrize("code", ["192.0.2.1", "127.255.255.254"])
async def test_an_answer_that_is_no_code_is_no_listing(code: str) -> None:
    world = doors(dnsbl=("one.test",))
    dns(world).put("99.2.0.192.one.test", "A", code)
    assert await Dnsbl().look(facts(), world) is None


async def test_a_list_that_lists_everything_says_nothing() -> None:
    world = doors(dnsbl=("one.test",), domain_lists=("dom.test",))
    for name in ("99.2.0.192.one.test", "1.0.0.127.one.test", "b.test.dom.test", "invalid.dom.test"):
        dns(world).put(name, "A", "127.0.0.2")
    assert await Dnsbl().look(facts(), world) is None
    assert await DomainList().look(facts(), world) is None


async def test_a_silent_list_counts_only_where_no_other_has_it() -> None:
    world = doors(dnsbl=("dead.test", "one.test"))
    dns(world).fail("99.2.0.192.dead.test", "A")
    with pytest.raises(ResolverFailure):
        await Dnsbl().look(facts(), world)
    dns(world).put("99.2.0.192.one.test", "A", "127.0.0.2")
    assert await Dnsbl().look(facts(), world) is not None


async def test_a_listed_sender_domain_and_without_one_the_name_of_ehlo() -> None:
    world = doors(domain_lists=("dom.test",))
    dns(world).put("b.test.dom.test", "A", "127.0.1.2")
    dns(world).put("mx.b.test.dom.test", "A", "127.0.1.2")
    assert await DomainList().look(facts(), world) is not None
    assert await DomainList().look(facts(sender="x@c.test"), world) is None
    assert await DomainList().look(facts(sender=""), world) is not None


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("mx.b.test", True),
        ("mx.b.test.", True),
        ("[192.0.2.99]", True),
        ("[192.0.2.98]", False),
        ("[IPv6:2001:db8::1]", False),
        ("[x]", False),
        ("localhost", False),
        ("MX.ours.test", False),
        ("192.0.2.99", False),
        ("a..b", False),
        ("", False),
    ],
)
async def test_what_a_client_calls_itself(name: str, good: bool) -> None:
    assert (await Helo().look(facts(helo=name), doors()) is None) is good


async def test_sender_domains_that_take_mail_and_that_do_not() -> None:
    world = doors()
    dns(world).put("mail.test", "MX", Mx(10, "mx.mail.test"))
    dns(world).put("null.test", "MX", Mx(0, "."))
    dns(world).put("host.test", "AAAA", "2001:db8::1")
    dns(world).put("text.test", "TXT", b"v=spf1 -all")
    dns(world).fail("later.test", "MX")

    async def status(sender: str) -> str:
        found = await SenderDomain().look(facts(sender=sender), world)
        return found.status if found else ""

    assert [await status(s) for s in ("a@mail.test", "a@host.test", "", "a@[192.0.2.1]")] == [""] * 4
    assert await status("a@null.test") == "5.7.27"
    assert await status("a@text.test") == await status("a@nowhere.test") == await status("a@local") == "5.1.8"
    with pytest.raises(ResolverFailure):
        await status("a@later.test")


async def test_what_users_write_to_and_what_takes_no_mail() -> None:
    world = doors(recipient_domain=True)
    dns(world).put("mail.test", "MX", Mx(10, "mx.mail.test"))
    dns(world).put("null.test", "MX", Mx(0, "."))
    dns(world).put("host.test", "A", "192.0.2.1")
    dns(world).fail("later.test", "MX")

    async def status(domain: str, *routes: Route) -> str:
        to = Address("x", domain)
        user = Client("192.0.2.9", 1, account=1, protocol="submission")
        given = Facts(user, recipient=Recipient(to), routes=routes or (Remote(to, DEFAULT_TENANT),))
        found = await RecipientDomain().look(given, world)
        assert found is None or found.binding
        return found.status if found else ""

    assert [await status(domain) for domain in ("mail.test", "host.test", "[192.0.2.1]")] == [""] * 3
    assert (await status("null.test"), await status("nowhere.test")) == ("5.1.10", "5.1.2")
    assert await status("null.test", Local(AccountId(1), DEFAULT_TENANT)) == ""  # ours, whatever its DNS says
    with pytest.raises(ResolverFailure):
        await status("later.test")


# --- rates --------------------------------------------------------------------------------------------------


async def test_a_sender_may_burst_his_hour_and_goes_on_at_its_pace() -> None:
    world = doors(sender_rate=10)
    clock = world.clock
    assert isinstance(clock, FakeClock)

    async def sent(sender: str = "carol@b.test") -> bool:
        return await SenderRate().look(facts(sender=sender), world) is None

    assert [await sent() for _ in range(12)] == [True] * 10 + [False] * 2
    assert await sent("dave@b.test")
    clock.advance(3600)
    assert (
        sum([await sent() for _ in range(10)]) == 6
    )  # 10 (1 - 1/e): the rest of the hour before still counts
    clock.advance(24 * 3600)
    assert sum([await sent() for _ in range(20)]) == 10


async def test_domains_and_networks_are_counted_over_their_senders() -> None:
    world = doors(domain_rate=2, network_rate=3)
    found = [
        await SenderRate().look(facts(ip, sender), world)
        for ip, sender in (
            ("192.0.2.1", "a@b.test"),
            ("192.0.2.2", "b@b.test"),
            ("192.0.2.3", "c@b.test"),
            ("192.0.2.1", "a@c.test"),
            ("192.0.2.1", "a@d.test"),
            ("192.0.2.1", "a@e.test"),
        )
    ]
    assert [f.text.split()[-1] if f else "" for f in found] == ["", "", "domain", "", "", "network"]
    assert all(f.binding and f.status.startswith("4") for f in found if f)


async def test_an_account_is_not_slowed_down_by_strangers() -> None:
    world = doors(sender_rate=1, account_rate=3, recipient_rate=1)
    assert await SenderRate().look(facts(), world) is None
    assert await SenderRate().look(facts(), world) is not None
    found = [await SenderRate().look(facts(account=7), world) for _ in range(4)]
    assert [f is None for f in found] == [True] * 3 + [False]
    for _ in range(3):
        assert await RecipientRate().look(facts(account=7), world) is None
    assert await RecipientRate().look(facts(), world) is None
    assert await RecipientRate().look(facts(sender="x@y.test"), world) is not None


async def test_accounts_and_their_domains_have_hours_of_their_own() -> None:
    world = doors(account_rate=2, account_domain_rate=3, account_recipients=2, account_domain_recipients=5)
    mails = [
        await SenderRate().look(facts(account=account, sender=sender), world)
        for account, sender in (
            (7, "a@a.test"), (7, "a@a.test"), (7, "a@a.test"), (8, "b@a.test"), (9, "c@a.test"),
            (9, "c@d.test"), (9, ""), (9, ""),
        )
    ]  # fmt: skip
    words = [f.text.split(" in ")[0] if f else "" for f in mails]
    from_account, from_domain = "too many mails from this account", "too many mails from this domain"
    assert words == ["", "", from_account, "", from_domain, "", "", from_account]
    recipients = [
        await SubmittedRate().look(facts(account=account), world) for account in (7, 7, 7, 8, 8, 9, 9)
    ]
    assert [f.text.split(" in ")[0] if f else "" for f in recipients] == [
        "", "", "too many recipients from this account", "", "", "", "too many recipients from this domain",
    ]  # fmt: skip
    assert all(f.binding and f.status == "4.7.28" for f in (*mails, *recipients) if f)
    assert await SubmittedRate().look(facts(), world) is None  # a stranger has no account


# --- harvesting ---------------------------------------------------------------------------------------------


async def test_who_asks_for_many_nobodies_waits_and_nobody_else() -> None:
    world = doors(unknown_rate=2)
    for _ in range(2):
        assert await Harvest().look(facts(), world) is None
        missed(facts().client, world)
    found = await Harvest().look(facts(), world)
    assert found is not None and found.binding and found.status == "4.7.28"
    assert await Harvest().look(facts("192.0.2.2"), world) is None
    world.clock.advance(HOUR)
    assert await Harvest().look(facts(), world) is None
    submitter = facts(account=7).client
    for _ in range(9):  # who has logged in may mistype, and 0 is no limit
        missed(msgspec.structs.replace(submitter, protocol="submission"), world)
        missed(facts().client, doors(unknown_rate=0))
    assert await Harvest().look(facts(), world) is None
    assert not Harvest().wanted(Settings(policy=Policy(unknown_rate=0)))


# --- greylisting --------------------------------------------------------------------------------------------


async def test_a_triplet_passes_when_it_comes_back_and_its_network_with_it(tmp_path: Path) -> None:
    world = doors(tmp_path / "greylist", greylist=True, greylist_seconds=300.0)
    clock = world.clock
    assert isinstance(clock, FakeClock)

    async def passes(of: Doors = world, **said: str) -> bool:
        return await Greylist().look(facts(**said), of) is None  # type: ignore[arg-type]

    assert not await passes()
    clock.advance(299)
    assert not await passes()
    after_restart = doors(tmp_path / "greylist", greylist=True, greylist_seconds=300.0)
    assert isinstance(after_restart.clock, FakeClock)
    after_restart.clock.advance(301)
    assert not await passes(after_restart, sender="eve@b.test")
    assert await passes(after_restart)
    clock.advance(2)
    assert await passes(ip="192.0.2.7", sender="other@c.test")  # the network has shown that it retries
    assert not await passes(ip="192.0.3.7")
    clock.advance(36 * 86400)
    assert not await passes()


async def test_who_comes_back_too_late_begins_anew_and_no_clock_opens_the_door() -> None:
    world = doors(greylist=True, greylist_seconds=300.0)
    clock = world.clock
    assert isinstance(clock, FakeClock)
    assert await Greylist().look(facts(), world)
    clock.advance(3 * 86400)
    assert await Greylist().look(facts(), world)
    clock.jump(-86400)
    assert await Greylist().look(facts(), world)


async def test_a_flood_of_triplets_pushes_out_its_own(tmp_path: Path) -> None:
    world = doors(tmp_path / "greylist", greylist=True, greylist_seconds=1.0)
    size = (tmp_path / "greylist").stat().st_size
    clock = world.clock
    assert isinstance(clock, FakeClock)
    assert await Greylist().look(facts(), world)
    clock.advance(2)
    assert await Greylist().look(facts(), world) is None
    for number in range(3000):
        await Greylist().look(facts(f"198.51.{number % 200}.1", f"x{number}@spam.test"), world)
    assert await Greylist().look(facts(sender="new@b.test"), world) is None
    assert (tmp_path / "greylist").stat().st_size == size


def test_a_file_of_another_kind_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "greylist"
    path.write_bytes(b"x" * 1000)
    table = SharedTable(64, 1.0, path)
    table.put("key", 1.0, 2.0)
    assert SharedTable(64, 1.0, path).get("key") == (1.0, 2.0)
    assert SharedTable(128, 1.0, path).get("key") is None
