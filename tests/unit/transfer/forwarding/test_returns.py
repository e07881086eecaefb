"""VERP: bounces find whom they are about, once, and nobody makes them up."""

import pytest

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.config.tree import Server, Settings
from a3mailer.mail.address import Address
from a3mailer.mail.envelope import Recipient
from a3mailer.mail.errors import NoSuchAccount, NotAllowed, Refused
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.store.operations import Audit, Operation
from a3mailer.transfer.forwarding.returns import Bounced, BounceSink, Returns
from a3mailer.transfer.forwarding.srs import DAYS_VALID
from a3mailer.transfer.forwarding.verp import MAX_STREAM, BadVerp, Verp
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.route import Returned
from a3mailer.transfer.suppression import Suppressions
from a3mailer.wire.dsn.compose import compose
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report
from tests.unit.transfer.office import Office
from tests.unit.transfer.world import World, address

VERP = Verp((b"new" * 11, b"old" * 11))
X = Address("x", "b.test")
DAY = 86400


def bounce(action: Action = Action.FAILED, final: str = "x@b.test", status: str = "5.1.1") -> bytes:
    report = Report("mx.b.test", (RecipientStatus(final, action, status, "", "mx.b.test", "550 5.1.1 no"),))
    return compose(report, Original(b"Subject: x\r\n\r\n", full=False), to="x@y", now=0, token="t")


class Sink:
    """Keeps what it hears and has it audited."""

    def __init__(self) -> None:
        self.heard: list[Bounced] = []

    async def bounced(self, bounce: Bounced) -> tuple[Operation, ...]:
        self.heard.append(bounce)
        return (Audit(bounce.tenant, "list", "list.bounce", str(bounce.recipient), "done", now=bounce.now),)


def with_returns(world: World, always: tuple[BounceSink, ...] = ()) -> tuple[Sink, Returns]:
    """Give a World or an Office a sink for ``list``."""
    sink = Sink()
    returns = Returns(VERP, world.clock, {"list": sink}, always)
    world.policy = Policy(world.store, world.directory, world.settings, world.forwarding, None, returns)
    world.receive = Receive(world.store, world.directory, world.settings, world.clock, returns=returns)
    return sink, returns


def path_of(returns: Returns, stream: str = "list.42", recipient: Address = X) -> Address:
    made = returns.reverse_path(stream, recipient, "a.test")
    assert made is not None
    return made


def audited(world: World) -> list[str]:
    acts = [o for t in world.store.transactions for o in t.operations if isinstance(o, Audit)]
    return [act.target for act in acts]


def test_an_address_names_stream_and_recipient_and_ends() -> None:
    made = VERP.encode("list.42", Address("Jo+hn", "b.test"), "a.test", 0.0)
    assert made is not None
    assert made.local_part.startswith("BOUNCE=") and made.local_part.endswith("=list.42=b.test=Jo+hn")
    assert VERP.decode(made, DAYS_VALID * DAY) == ("list.42", Address("Jo+hn", "b.test"))
    with pytest.raises(BadVerp, match="too old"):
        VERP.decode(made, (DAYS_VALID + 1) * DAY)
    old = Verp((b"old" * 11,)).encode("list.42", X, "a.test", 0.0)
    assert old is not None
    assert VERP.decode(old, 0.0) == ("list.42", X), (
        "a key that was replaced is good for what is still to come"
    )


@pytest.mark.parametrize("stream", ["", "a=b", "A", "x" * (MAX_STREAM + 1), "ä", "a b", "a\r\nb"])
def test_a_stream_has_a_plain_name(stream: str) -> None:
    with pytest.raises(BadVerp):
        VERP.encode(stream, X, "a.test", 0.0)


def test_what_would_be_too_long_is_not_made() -> None:
    assert VERP.encode("list.42", Address("x" * 250, "b.test"), "a.test", 0.0) is None
    assert VERP.encode("list.42", X, "a" * 250, 0.0) is None


def test_row_6_nothing_but_our_own_addresses_is_taken() -> None:
    made = VERP.encode("list.42", X, "a.test", 0.0)
    assert made is not None
    for changed in (
        Address(made.local_part.replace("list.42", "list.43"), "a.test"),
        Address(made.local_part.replace("b.test", "c.test"), "a.test"),
        Address(made.local_part, "other.test"),
        Address("BOUNCE=AAAAAAAA=AA=list.42=b.test=x", "a.test"),
        Address("BOUNCE=", "a.test"),
        Address("bob", "a.test"),
    ):
        with pytest.raises(BadVerp):
            VERP.decode(changed, 0.0)


async def test_a_bounce_is_handed_to_its_sink_with_its_receipt_and_once() -> None:
    world = World()
    sink, returns = with_returns(world)
    path = path_of(returns)
    for _ in range(2):  # the other server did not hear our answer
        assert await world.send(bounce(), Recipient(path), sender="") == (None,)
    (first, *_) = sink.heard
    assert (first.stream, first.recipient, first.tenant) == ("list.42", X, DEFAULT_TENANT)
    assert (first.failure.status, first.failure.permanent) == ("5.1.1", True)
    assert audited(world)[:1] == ["x@b.test"]
    marks = [
        t.fingerprint for t in world.store.transactions if any(isinstance(o, Audit) for o in t.operations)
    ]
    assert len(set(marks)) == 1 and marks[0], "the store knows the second one for a repetition"
    assert not [t for t in world.store.transactions if t.contents], "a bounce is kept nowhere"


async def test_the_address_says_who_it_is_about_whatever_the_bounce_says() -> None:
    world = World()
    sink, returns = with_returns(world)
    path = path_of(returns)
    await world.send(bounce(final="victim@b.test"), Recipient(path), sender="")
    assert [b.recipient for b in sink.heard] == [X]


@pytest.mark.parametrize(
    "octets", [bounce(Action.DELAYED, status="4.4.1"), b"Subject: holidays\r\n\r\nBye\r\n"]
)
async def test_what_is_no_failure_is_taken_and_forgotten(octets: bytes) -> None:
    world = World()
    sink, returns = with_returns(world)
    path = path_of(returns)
    assert await world.send(octets, Recipient(path), sender="") == (None,)
    assert not sink.heard


async def test_a_stream_that_nobody_listens_to_is_taken() -> None:
    world = World()
    _, returns = with_returns(world)
    path = path_of(returns, "api.1")
    assert await world.send(bounce(), Recipient(path), sender="") == (None,)
    assert not audited(world)


async def test_only_bounces_reach_it_and_only_real_ones() -> None:
    world = World()
    _, returns = with_returns(world)
    path = path_of(returns)
    with pytest.raises(NotAllowed):
        await world.send(bounce(), Recipient(path), sender="carol@b.test")
    with pytest.raises(NoSuchAccount):
        await world.send(
            bounce(), Recipient(address("BOUNCE=AAAAAAAA=AA=list.42=b.test=x@a.test")), sender=""
        )
    with pytest.raises(NotAllowed, match="relaying"):
        await world.send(bounce(), Recipient(Address(path.local_part, "other.test")), sender="")
    assert world.policy.known(path) is None, "it is checked every time"


async def test_our_own_notice_of_a_failure_finds_its_way_without_leaving_the_house() -> None:
    office = Office()
    sink, returns = with_returns(office)
    path = path_of(returns, recipient=Address("nobody", "a.test"))
    office.desk = office.make_desk("worker-1")
    await office.enqueue("nobody@a.test", sender=str(path))
    await office.attempt()
    await office.attempt()
    assert [(b.stream, str(b.recipient), b.failure.status) for b in sink.heard] == [
        ("list.42", "nobody@a.test", "5.1.1")
    ]
    assert not office.store.entries
    assert audited(office) == ["nobody@a.test"]


async def test_addresses_that_bounce_elsewhere_are_not_sent_to_for_a_time() -> None:
    settings = Settings(
        server=Server(hostname="mail.a.test", domain="a.test"), queue=QueueSettings(suppress_after=2)
    )
    world = World(settings)
    listed = Suppressions(world.store, settings, world.clock)
    sink, returns = with_returns(world, (listed,))
    await world.send(bounce(status="5.2.2"), Recipient(path_of(returns)), sender="")
    await world.send(bounce(status="4.1.1"), Recipient(path_of(returns)), sender="")
    for number in range(2):
        await listed.check(DEFAULT_TENANT, X)
        mail = b"X-Number: %d\r\n" % number + bounce()
        await world.send(mail, Recipient(path_of(returns, "api.1")), sender="")
    with pytest.raises(Refused, match="no such user"):
        await listed.check(DEFAULT_TENANT, X)
    assert [b.failure.status for b in sink.heard] == ["5.2.2", "4.1.1"], "the stream's own sink hears, too"


async def test_our_own_notice_is_no_second_strike() -> None:
    office = Office(queue=QueueSettings(suppress_after=1))
    listed = Suppressions(office.store, office.settings, office.clock)
    sink, returns = with_returns(office, (listed,))
    office.desk = office.make_desk("worker-1")
    nobody = Address("nobody", "a.test")
    await office.enqueue("nobody@a.test", sender=str(path_of(returns, recipient=nobody)))
    await office.attempt()
    await office.attempt()
    assert [b.own for b in sink.heard] == [True]
    await listed.check(DEFAULT_TENANT, nobody)


def test_a_route_of_this_kind_is_a_value() -> None:
    assert Returned("list.42", X, DEFAULT_TENANT) == Returned("list.42", X, DEFAULT_TENANT)
