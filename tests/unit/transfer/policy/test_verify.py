"""Whether a recipient exists at the next server: who is asked what, how often, and what is done meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from a3mailer.config.tree import Dns, Limits, Policy, Queue, Server, Settings
from a3mailer.identity.relaying import Relaying
from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import Refused
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.runtime.resolver import Mx
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.check import CheckCompliance
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.policy import verify
from a3mailer.transfer.policy.checks.harvest import Harvest
from a3mailer.transfer.policy.checks.rate import RecipientRate
from a3mailer.transfer.policy.stages import STRANGERS, Facts, Stage, Stages
from a3mailer.transfer.policy.verify import RANDOM_LETTERS, REST_SECONDS, Verification, VerifyRecipient
from a3mailer.transfer.relay.callout import Callout, Unreachable
from a3mailer.transfer.route import Local, Remote, Route
from a3mailer.wire.smtp.client import Outcome, Status
from a3mailer.wire.smtp.remote import RemoteReply, ours

NEXT = Relaying("next.test")
EXISTS = Outcome(Status.RELAYED, RemoteReply(250, "2.1.5", "ok"))
NOBODY = Outcome(Status.PERMANENT, RemoteReply(550, "5.1.1", "user unknown"))
LATER = Outcome(Status.TRANSIENT, RemoteReply(451, "4.7.1", "greylisted"))
SETTINGS = Settings(policy=Policy(verify=True, seconds=20.0), dns=Dns(servers=("127.0.0.1:53",)))


class NextServer:
    """The next server: ``people`` exist; ``all`` takes everybody; ``silent`` hangs."""

    def __init__(self, *people: str) -> None:
        self.people = set(people)
        self.says: dict[str, Outcome] = {}
        self.all = self.silent = self.down = False
        self.asked: list[str] = []
        self.at_once = self.most = 0

    async def ask(
        self, settings: Settings, relaying: Relaying, people: Sequence[Address]
    ) -> tuple[Outcome, ...]:
        self.asked += [address.local_part for address in people]
        if self.down:
            raise Unreachable(ours("4.4.1", "connection refused"))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await (asyncio.Event().wait() if self.silent else asyncio.sleep(0))
        finally:
            self.at_once -= 1
        return tuple(map(self._said, people))

    def _said(self, address: Address) -> Outcome:
        known = EXISTS if self.all or address.local_part in self.people else NOBODY
        return self.says.get(address.local_part, known)

    @property
    def real(self) -> list[str]:
        """Who was asked for, without random ones."""
        return [name for name in self.asked if len(name) != RANDOM_LETTERS]


class Rig:
    def __init__(
        self, server: NextServer, settings: Settings = SETTINGS, table: SharedTable | None = None
    ) -> None:
        self.clock = FakeClock()
        self.table = table or SharedTable(verify.KEYS, verify.HALF_LIFE)
        self.verification = Verification(server, self.relaying, self.table, self.clock, random.Random(1))
        tables = SharedTable(8192, 3600.0), SharedTable(8192, 86400.0)
        resolver = FakeResolver()
        self.stages = Stages(
            (RecipientRate(),), resolver, self.clock, *tables, settings, self.verification.checks()
        )

    async def relaying(self, domain: str) -> Relaying | None:
        return NEXT if domain == "r.test" else None

    async def said(self, name: str, ip: str = "192.0.2.7", *routes: Route, protocol: str = "SMTP") -> str:
        """The code that RCPT gets, and the notes."""
        client = Client(ip, 40000, "mx.b.test", protocol=protocol)
        course = self.stages.course(client, "t")
        address = Address(name, "r.test")
        found = routes or (Remote(address, DEFAULT_TENANT, relayed=True),)
        envelope = Envelope(ReversePath(Address("carol", "b.test")))
        try:
            await course.run(Stage.RCPT, Facts(client, envelope, Recipient(address), found))
        except Refused as error:
            return error.status
        return "; ".join(course.notes)


async def test_who_is_unknown_there_is_refused_and_both_are_remembered() -> None:
    server = NextServer("bob")
    rig = Rig(server)
    for _ in range(3):
        assert await rig.said("bob") == "" and await rig.said("eve") == "5.1.1"
    assert server.real == ["bob", "eve"] and len(server.asked) == 3  # and one random address, once
    rig.clock.advance(SETTINGS.policy.verify_unknown_seconds + 1)
    server.people = {"eve"}
    assert await rig.said("eve") == "" and await rig.said("bob") == ""
    assert server.real == ["bob", "eve", "eve"]
    rig.clock.advance(SETTINGS.policy.verify_known_seconds)
    assert await rig.said("bob") == "5.1.1"


async def test_what_is_known_is_known_to_all_workers_and_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    server = NextServer("bob")
    assert await Rig(server, table=verify.table_of(tmp_path)).said("eve") == "5.1.1"
    other = NextServer()
    assert await Rig(other, table=verify.table_of(tmp_path)).said("eve") == "5.1.1" and not other.asked


async def test_only_relayed_addresses_of_strangers_are_asked_for() -> None:
    server = NextServer()
    rig = Rig(server)
    at = Address("eve", "r.test")
    relayed, elsewhere = Remote(at, DEFAULT_TENANT, relayed=True), Remote(at, DEFAULT_TENANT)
    assert await rig.said("eve", "192.0.2.7", elsewhere) == ""
    assert await rig.said("eve", "192.0.2.7", Local(1, DEFAULT_TENANT)) == ""  # type: ignore[arg-type]
    assert await rig.said("eve", "192.0.2.7", relayed, elsewhere) == ""
    for protocol in ("submission", "LMTP"):
        assert await rig.said("eve", protocol=protocol) == ""
    assert not server.asked
    off = Rig(server, Settings(policy=Policy(seconds=20.0)))
    assert await off.said("eve") == "" and not server.asked


@pytest.mark.parametrize(("failure", "said"), [("accept", "verify=unsaid"), ("tempfail", "4.1.1")])
async def test_where_nobody_answers_in_time_the_operator_has_chosen(
    failure: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SHARE", 0.002)
    server = NextServer("bob")
    policy = Policy(verify=True, seconds=20.0, verify_failure=failure)
    rig = Rig(server, Settings(policy=policy, dns=SETTINGS.dns))
    server.silent = True
    assert await rig.said("bob") == said
    assert await rig.said("eve") == said and server.real == ["bob"]  # it is left alone for all
    server.silent, server.down = False, True
    rig.clock.advance(REST_SECONDS + 1)
    assert await rig.said("bob") == said and await rig.said("eve") == said
    assert server.real == ["bob", "bob"]
    rig.clock.advance(REST_SECONDS + 1)
    server.down = False
    assert await rig.said("bob") == "" and await rig.said("eve") == "5.1.1"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (RemoteReply(550, "", "no"), "5.1.1"),
        (RemoteReply(553, "", "no"), "5.1.1"),
        (RemoteReply(550, "5.1.10", "no such recipient"), "5.1.1"),
        (RemoteReply(554, "5.7.1", "your address is on a blocklist"), "verify=unsaid"),
        (RemoteReply(550, "5.7.1", "relaying denied"), "verify=unsaid"),
        (RemoteReply(552, "5.2.2", "mailbox full"), "verify=unsaid"),
        (RemoteReply(0, "5.6.7", "the server does not take internationalised mail"), "verify=unsaid"),
    ],
)
async def test_only_what_is_about_the_mailbox_refuses(reply: RemoteReply, said: str) -> None:
    server = NextServer()
    server.says["bob"] = Outcome(Status.PERMANENT, reply)
    rig = Rig(server)
    assert await rig.said("bob") == said and await rig.said("bob") == said
    assert server.real == ["bob"]


async def test_a_temporary_answer_is_asked_again_soon_but_not_at_once() -> None:
    server = NextServer("bob")
    server.says["bob"] = LATER
    rig = Rig(server)
    assert await rig.said("bob") == await rig.said("bob") == "verify=unsaid" and server.real == ["bob"]
    del server.says["bob"]
    rig.clock.advance(REST_SECONDS + 1)
    assert await rig.said("bob") == "" and server.real == ["bob", "bob"]


async def test_one_question_at_a_time_of_an_address_and_few_of_all() -> None:
    server = NextServer(*(f"u{number}" for number in range(100)))
    rig = Rig(server)
    async with asyncio.TaskGroup() as tasks:
        for number in range(100):
            for _ in range(3):
                tasks.create_task(rig.said(f"u{number}"))
    assert sorted(server.real) == sorted(server.people) and server.most <= verify.AT_ONCE
    assert not rig.verification._under_way


async def test_a_server_that_takes_everybody_is_noticed_and_not_asked_again(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    server = NextServer()
    server.all = True
    rig = Rig(server, table=verify.table_of(tmp_path))
    for name in ("eve", "bob", "carol"):
        assert await rig.said(name) == ""
    assert server.real == ["eve"] and len(server.asked) == 2
    now = rig.clock.now()
    assert verify.accepts_all(tmp_path, "r.test", now, SETTINGS)
    assert not verify.accepts_all(tmp_path, "other.test", now, SETTINGS)
    assert not verify.accepts_all(tmp_path, "r.test", now, Settings())
    assert not verify.accepts_all(tmp_path / "no", "r.test", now, SETTINGS)
    rig.clock.advance(SETTINGS.policy.verify_known_seconds + 1)
    server.all = False
    assert await rig.said("eve") == "5.1.1"
    assert not verify.accepts_all(tmp_path, "r.test", rig.clock.now(), SETTINGS)


async def test_a_harvester_makes_us_ask_so_often_and_no_more() -> None:
    server = NextServer("bob")
    rig = Rig(server, Settings(policy=Policy(verify=True, verify_rate=20, seconds=20.0), dns=SETTINGS.dns))
    found = [await rig.said(f"guess{number}") for number in range(50)]
    assert found == ["5.1.1"] * 20 + ["4.7.28"] * 30 and len(server.real) == 20
    assert await rig.said("guess1") == "5.1.1"  # what is known costs nothing
    assert await rig.said("bob", "203.0.113.9") == ""  # others are not in the way of it
    off = Settings(policy=Policy(verify=True, verify_rate=1, seconds=20.0), limits=Limits(profile="off"))
    rig = Rig(server, off)
    assert [await rig.said(f"guess{number}", "203.0.113.9") for number in range(3)] == ["5.1.1"] * 3


async def test_who_is_unknown_there_counts_as_a_guess() -> None:
    rig = Rig(NextServer("bob"), Settings(policy=Policy(verify=True, unknown_rate=3), dns=SETTINGS.dns))
    doors, client = rig.stages.doors, Client("192.0.2.7", 40000, "mx.b.test")
    for name in ("bob", "eve", "eve", "bob"):
        await rig.said(name)
        assert await Harvest().look(Facts(client), doors) is None
    await rig.said("mallory")
    found = await Harvest().look(Facts(client), doors)
    assert found is not None and found.status == "4.7.28"


async def test_what_the_other_checks_refuse_is_not_asked_for() -> None:
    server = NextServer("bob")
    rig = Rig(server, Settings(policy=Policy(verify=True, recipient_rate=1, seconds=20.0), dns=SETTINGS.dns))
    assert [await rig.said("eve") for _ in range(3)] == ["5.1.1", "4.7.28", "4.7.28"]
    assert server.real == ["eve"]


class TestVerifyRecipient(CheckCompliance):
    class Of(VerifyRecipient):
        def __init__(self) -> None:
            super().__init__(Rig(NextServer()).verification)

    check = Of()
    settings = Settings(policy=Policy(verify=True, seconds=0.02), dns=SETTINGS.dns)


def test_it_is_for_strangers_only() -> None:
    assert VerifyRecipient.protocols == STRANGERS and not VerifyRecipient.judges


# --- on the wire ---------------------------------------------------------------------------------------


class Wire:
    """A next server by its answers to verbs; ``keywords`` of EHLO."""

    tls, tls_ticket, certificates = "", None, ()
    local = ("192.0.2.250", 50000)

    def __init__(self, *keywords: str, **answers: str) -> None:
        self.keywords = keywords
        self.answers = {"QUIT": "221 bye", "MAIL": "250 ok", "RCPT": "250 ok", "RSET": "250 ok", **answers}
        self.out = b"220 next.test\r\n"
        self.heard: list[str] = []
        self.closed = False

    async def read(self) -> bytes:
        out, self.out = self.out, b""
        return out

    def write(self, octets: bytes | memoryview) -> None:
        for line in bytes(octets).decode().split("\r\n")[:-1]:
            self.heard.append(line)
            verb = line[:4]
            words = ("next.test", *self.keywords)
            ehlo = "".join(f"250{' ' if word is words[-1] else '-'}{word}\r\n" for word in words)
            self.out += ehlo.encode() if verb == "EHLO" else f"{self.answers[verb]}\r\n".encode()

    def close(self) -> None:
        self.closed = True


def callout(wire: Wire | None, dialled: list[str] | None = None) -> tuple[Callout, FakeResolver]:
    async def dial(address: str, port: int, seconds: float, source: str = "") -> Any:
        if dialled is not None:
            dialled.append(f"{address}:{port}")
        if wire is None:
            raise ConnectionRefusedError("refused")
        return wire

    resolver = FakeResolver()
    resolver.put("next.test", "A", "192.0.2.9")
    return Callout(resolver, dial, object(), object(), FakeClock(), random.Random(1)), resolver


WORLD = Settings(
    server=Server(hostname="mail.a.test", domain="a.test", listen=("192.0.2.250",)),
    queue=Queue(inside=("192.0.2.0/24",)),  # which is nobody's in the world outside
)
PEOPLE = (Address("bob", "r.test"), Address("xyz", "r.test"))


@pytest.mark.parametrize(
    "keywords", [(), ("PIPELINING", "SIZE 1000", "DSN", "CHUNKING", "MT-PRIORITY MIXER")]
)
async def test_a_question_is_a_transaction_without_a_mail(keywords: tuple[str, ...]) -> None:
    wire = Wire(*keywords)
    ask, _ = callout(wire)
    said = await ask.ask(WORLD, NEXT, PEOPLE)
    assert [each.status for each in said] == [Status.RELAYED] * 2 and wire.closed
    plain = [line.split(" MT-")[0].split(" NOTIFY")[0] for line in wire.heard]
    once = ["MAIL FROM:<>", "RCPT TO:<bob@r.test>", "RSET"]
    assert plain == ["EHLO mail.a.test", *once, *(line.replace("bob", "xyz") for line in once), "QUIT"]


async def test_it_asks_as_postmaster_where_the_operator_wants_it() -> None:
    wire = Wire()
    ask, _ = callout(wire)
    settings = Settings(server=WORLD.server, policy=Policy(verify_sender="postmaster"))
    await ask.ask(settings, NEXT, PEOPLE[:1])
    assert "MAIL FROM:<postmaster@a.test>" in wire.heard


@pytest.mark.parametrize(
    ("answers", "statuses"),
    [
        ({"RCPT": "550 5.1.1 no such user"}, [Status.PERMANENT] * 2),
        ({"RCPT": "450 4.7.1 later"}, [Status.TRANSIENT] * 2),
        ({"MAIL": "550 5.1.1 no bounces here"}, [Status.TRANSIENT] * 2),  # it says nothing of recipients
        ({"RCPT": "421 4.3.2 going away"}, [Status.TRANSIENT]),
        ({"RSET": "421 4.3.2 going away"}, [Status.RELAYED]),
    ],
)
@pytest.mark.parametrize("keywords", [(), ("PIPELINING",)])
async def test_every_answer_has_its_meaning(
    keywords: tuple[str, ...], answers: dict[str, str], statuses: list[Status]
) -> None:
    ask, _ = callout(Wire(*keywords, **answers))
    assert [each.status for each in await ask.ask(WORLD, NEXT, PEOPLE)] == statuses


@pytest.mark.parametrize(
    ("relaying", "words"),
    [
        (Relaying("next.test"), "refused"),
        (Relaying("nowhere.test"), "nowhere.test"),
        (Relaying("192.0.2.250", 25), "this server"),
        (Relaying(), "does not exist"),
    ],
)
async def test_why_nobody_could_be_asked(relaying: Relaying, words: str) -> None:
    ask, _ = callout(None)
    with pytest.raises(Unreachable, match=words):
        await ask.ask(WORLD, relaying, PEOPLE)


async def test_tls_is_demanded_of_it_as_for_mail() -> None:
    for relaying, settings in (
        (Relaying("next.test", 0, "must"), WORLD),
        (NEXT, Settings(server=WORLD.server, queue=Queue(tls_policy=("next.test=must",)))),
    ):
        wire = Wire()
        ask, _ = callout(wire)
        with pytest.raises(Unreachable, match="STARTTLS"):
            await ask.ask(settings, relaying, PEOPLE)
        assert not any(line.startswith("MAIL") for line in wire.heard)


async def test_a_backup_asks_the_mx_before_it() -> None:
    dialled: list[str] = []
    ask, resolver = callout(Wire(), dialled)
    resolver.put("r.test", "MX", Mx(20, "mail.a.test"), Mx(10, "next.test"), Mx(30, "third.test"))
    assert (await ask.ask(WORLD, Relaying(), PEOPLE[:1]))[0].status is Status.RELAYED
    assert dialled == ["192.0.2.9:25"]


async def test_an_mx_inside_is_asked_where_mail_would_go_and_not_else() -> None:
    """Attack row 50: who names his MX may not have us knock at our own machines."""
    dialled: list[str] = []
    ask, resolver = callout(Wire(), dialled)
    resolver.put("r.test", "MX", Mx(10, "inside.test"), Mx(15, "nothing.test"), Mx(20, "next.test"))
    resolver.put("inside.test", "A", "10.0.0.9")
    assert (await ask.ask(WORLD, Relaying(), PEOPLE[:1]))[0].status is Status.RELAYED
    assert dialled == ["192.0.2.9:25"]
    allowed = Settings(server=WORLD.server, queue=Queue(inside=("10.0.0.0/8", "192.0.2.0/24")))
    assert await ask.ask(allowed, Relaying(), PEOPLE[:1])
    assert await ask.ask(WORLD, Relaying("inside.test"), PEOPLE[:1])  # an operator has named it
    assert dialled[1:] == ["10.0.0.9:25"] * 2
