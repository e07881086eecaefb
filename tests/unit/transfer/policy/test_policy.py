"""Who may send what to whom; attack rows 6, 7 and 8 at MAIL and RCPT."""

import pytest
from msgspec import structs

from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.changes import EVERYTHING
from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.mail.errors import MailError, NoSuchAccount, NotAllowed, OverQuota, TooLarge
from a3mailer.transfer.route import Local, Remote
from tests.unit.transfer.world import MX, World, address

NOBODY = Envelope(NULL_PATH)


async def routes(world: World, to: Address, client: object = MX) -> tuple[object, ...]:
    return await world.policy.recipient(client, NOBODY, Recipient(to))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("to", "names"),
    [
        ("alice@a.test", ["alice@a.test"]),
        ("ALICE@A.test", ["alice@a.test"]),
        ("alice+shop@a.test", ["alice@a.test"]),
        ("sales@a.test", ["alice@a.test", "bob@a.test"]),
        ("postmaster@a.test", ["admin@a.test"]),
        ("abuse@a.test", ["admin@a.test"]),
        ("postmaster", ["admin@a.test"]),
    ],
)
async def test_our_own_addresses_lead_to_mailboxes(to: str, names: list[str]) -> None:
    found = await routes(World(), address(to) if "@" in to else Address(to, ""))
    assert [r.address for r in found if isinstance(r, Local)] == names


async def test_an_alias_of_ours_may_lead_out_for_anybody() -> None:
    (route,) = await routes(World(), address("away@a.test"))
    assert route == Remote(address("alice@elsewhere.test"), World().alice.tenant)


@pytest.mark.parametrize(
    ("local_part", "domain"),
    [
        ("victim", "b.test"),
        ("victim%b.test", "a.test"),
        ("victim@b.test", "a.test"),
        ("b.test!victim", "a.test"),
        ("user", "[127.0.0.1]"),
        ("user", "[IPv6:::1]"),
        ("user", ""),
        ("user", "a.test."),
        ("user", "a.test\0.b.test"),
        ("user", "аlice.test"),
        ("alicе", "a.test"),
        ("alice\0", "a.test"),
        ("", "a.test"),
        ("@b.test:victim", "a.test"),
    ],
)
async def test_row_6_no_odd_address_makes_us_a_relay(local_part: str, domain: str) -> None:
    with pytest.raises(MailError) as refusal:
        await routes(World(), Address(local_part, domain))
    assert isinstance(refusal.value, NotAllowed | NoSuchAccount)
    assert not refusal.value.transient


async def test_row_6_with_a_catch_all_odd_addresses_stay_here() -> None:
    world = World()
    world.store.put_domain("a.test", catch_all="bob@a.test")
    for local_part in ("victim%b.test", "victim@b.test", "b.test!victim"):
        (route,) = await routes(world, Address(local_part, "a.test"))
        assert isinstance(route, Local)
        assert route.account == world.bob.id


async def test_lmtp_relays_for_nobody() -> None:
    with pytest.raises(NotAllowed):
        await routes(World(), address("x@b.test"), structs.replace(MX, protocol="LMTP"))


async def test_who_logged_in_reaches_everyone_but_private_networks() -> None:
    world = World()
    (route,) = await routes(world, address("x@b.test"), world.submitter())
    assert route == Remote(address("x@b.test"), world.alice.tenant)
    assert await routes(world, Address("x", "[8.8.8.8]"), world.submitter())
    for literal in ("[127.0.0.1]", "[10.0.0.1]", "[169.254.169.254]", "[IPv6:::1]", "[IPv6:fe80::1]", "[x]"):
        with pytest.raises(NotAllowed):
            await routes(world, Address("x", literal), world.submitter())


async def test_row_7_the_reverse_path_must_be_the_submitters_own() -> None:
    world = World()
    for own in ("alice@a.test", "ally@a.test", "alice+x@a.test"):
        await world.policy.sender(world.submitter(), Envelope(ReversePath(address(own))))
    await world.policy.sender(world.submitter(), NOBODY)
    for foreign in ("bob@a.test", "sales@a.test", "carol@b.test", "alice@b.test"):
        with pytest.raises(NotAllowed):
            await world.policy.sender(world.submitter(), Envelope(ReversePath(address(foreign))))


async def test_a_stranger_may_name_any_sender() -> None:
    await World().policy.sender(MX, Envelope(ReversePath(address("alice@a.test"))))


async def test_submission_needs_an_account_that_is_enabled() -> None:
    world = World()
    with pytest.raises(NotAllowed):
        await world.policy.sender(world.submitter(0), NOBODY)
    world.store.change(world.alice.id, enabled=False)
    with pytest.raises(NotAllowed):
        await world.policy.sender(world.submitter(), NOBODY)


async def test_an_account_that_is_disabled_still_gets_mail() -> None:
    world = World()
    world.store.change(world.alice.id, enabled=False)
    assert await routes(world, address("alice@a.test"))


async def test_quota_is_refused_at_rcpt_for_now_unless_somebody_has_room() -> None:
    world = World()
    world.store.change(world.alice.id, quota=100, used_octets=100)
    with pytest.raises(OverQuota) as refusal:
        await routes(world, address("alice@a.test"))
    assert refusal.value.transient
    assert len(await routes(world, address("sales@a.test"))) == 2
    world.store.change(world.alice.id, quota=100, used_octets=99)
    assert await routes(world, address("alice@a.test"))


async def test_what_is_known_of_an_address_ends_with_the_directory_that_said_it() -> None:
    world = World()
    alice = address("alice@a.test")
    assert world.policy.known(alice) is None
    found = await routes(world, alice)
    assert world.policy.known(alice) == found
    world.store.change(world.alice.id, quota=100, used_octets=100)
    world.directory.heard(EVERYTHING)
    assert world.policy.known(alice) is None
    for _ in range(2):  # a quota is asked each time
        with pytest.raises(OverQuota):
            await routes(world, alice)
    assert world.policy.known(alice) is None
    with pytest.raises(NotAllowed):
        await routes(world, address("carol@b.test"))
    assert world.policy.known(address("carol@b.test")) is None


async def test_a_declared_size_beyond_ours_is_refused_at_mail() -> None:
    world = World()
    with pytest.raises(TooLarge):
        await world.policy.sender(MX, Envelope(NULL_PATH, size=world.settings.smtp.size + 1))
    await world.policy.sender(MX, Envelope(NULL_PATH, size=world.settings.smtp.size))


async def test_addresses_that_are_no_host_are_refused_at_connect() -> None:
    for ip in ("224.0.0.1", "0.0.0.0", "ff02::1", "::"):
        with pytest.raises(NotAllowed):
            await World().policy.connect(structs.replace(MX, ip=ip))
