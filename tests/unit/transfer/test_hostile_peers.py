"""Servers that are slow, lie, cut, flood and inject: the mail waits with the reason, and then arrives.

One row a behaviour, over real sockets. After each the operator reads why in ``queue show``, another
destination has had its mail meanwhile, nothing went in clear where policy forbids it, and the mail is there
when the server behaves (attack rows 3, 5 and 70).
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from a3mailer.config.tree import Queue as QueueSettings
from a3mailer.edge.dial import dial
from a3mailer.edge.tls import opportunistic_context
from a3mailer.mail.ids import QueueId
from a3mailer.msgauth.mta_sts import StsPolicy
from a3mailer.runtime.resolver import Mx, Tlsa
from a3mailer.transfer.queue.story import of_entry
from a3mailer.transfer.relay import session as session_module
from a3mailer.transfer.relay.relay import Relay
from a3mailer.transfer.relay.session import Manners
from a3mailer.transfer.relay.sts import Found
from tests.unit.transfer.hostile import (
    STAGES,
    Act,
    Peer,
    Talk,
    cuts,
    drips,
    floods,
    hangs,
    resets,
    says,
)
from tests.unit.transfer.office import Office
from tests.web import Authority

SECRET = b"never in clear"
CONTENT = b"Received: from x by y; date\r\nFrom: <alice@a.test>\r\n\r\n" + SECRET + b"\r\n"
PATIENCE = 0.15
"""Seconds that stand for the minutes of RFC 5321 section 4.5.3.2."""
MEMORY = 4 << 20
"""What a flood may cost."""


@dataclass(frozen=True, slots=True)
class Row:
    """``state`` and ``words``: of the mail, and in what ``queue show`` says of it."""

    name: str
    acts: dict[str, Act]
    words: str = ""
    state: str = "waiting"
    offers: tuple[bytes, ...] = (b"PIPELINING", b"8BITMIME")
    holds: bool = False
    """The client is kept until its patience ends."""
    rule: str = ""
    """What demands TLS: ``must`` (the operator), ``MTA-STS`` or ``DANE``."""
    tls: bool = False
    content: bytes = CONTENT


async def _answers_before_it_is_asked(talk: Talk) -> bool:
    await talk.say(b"220 mx\r\n250-mx\r\n250 8BITMIME\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 taken\r\n")
    return await hangs(talk)


async def _one_answer_for_a_group(talk: Talk) -> bool:
    await talk.say(b"250 2.1.0 ok\r\n")
    return await hangs(talk)


async def _data_and_taken_at_once(talk: Talk) -> bool:
    await talk.say(b"354 go\r\n250 2.0.0 taken\r\n")
    return await hangs(talk)


async def _garbage_for_a_handshake(talk: Talk) -> bool:
    await talk.say(b"220 go\r\n")
    await talk.reader.read(1)
    await talk.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    return await hangs(talk)


async def _cut_in_the_handshake(talk: Talk) -> bool:
    await talk.say(b"220 go\r\n")
    await talk.reader.read(100)
    return False


async def _silent_in_the_handshake(talk: Talk) -> bool:
    await talk.say(b"220 go\r\n")
    return await hangs(talk)


async def _injects_before_the_handshake(talk: Talk) -> bool:
    await talk.say(b"220 go\r\n250-mx.b.test\r\n250 AUTH PLAIN\r\n")
    return await hangs(talk)


def _cut() -> list[Row]:
    rows = []
    for offers in ((b"PIPELINING",), ()):
        how = "pipelined" if offers else "one by one"
        for stage in STAGES:
            rows.append(Row(f"FIN at {stage}, {how}", {stage: cuts}, "connection", offers=offers))
            rows.append(Row(f"RST at {stage}, {how}", {stage: resets}, "connection", offers=offers))
    return rows


def _at_every_stage() -> list[Row]:
    rows = []
    for stage in STAGES:
        leaves = says(b"421 4.3.2 going down\r\n")
        rows.append(Row(f"421 at {stage}", {stage: leaves}, "421 4.3.2 going down"))
        rows.append(Row(f"silent at {stage}", {stage: hangs}, "no reply in 0.15 s", holds=True))
        rows.append(Row(f"1 MB line at {stage}", {stage: floods(b"2" * 65536, b"250 ", 1 << 20)}, "too long"))
        rows.append(Row(f"endless reply at {stage}", {stage: floods(b"250-x\r\n" * 9000)}, "too many lines"))
        strange = says(b"450 4.2.0 \xff\xfe\0\x1b[31m later\r\n")
        rows.append(Row(f"NUL and 8 bits at {stage}", {stage: strange}, "450 4.2.0"))
        rows.append(Row(f"two digits at {stage}", {stage: says(b"25\r\n")}, "not a reply"))
        rows.append(Row(f"two codes at {stage}", {stage: says(b"250-a\r\n550 b\r\n")}, "two codes"))
    return rows


def _drips() -> list[Row]:
    names = ("greeting", "EHLO", "MAIL", "DATA", "content")
    rows = [Row(f"a byte now and then at {s}", {s: drips(b"2")}, holds=True) for s in names]
    lines = [Row(f"a line now and then at {s}", {s: drips(b"250-x\r\n")}, holds=True) for s in names]
    return rows + lines


def _lies() -> list[Row]:
    group = {"MAIL": _one_answer_for_a_group}
    not_now = says(b"454 4.7.0 TLS not available\r\n")
    codes = (b"099 x", b"600 x", b"abc x", b"2500 x", b"", b"250\0x", b"\xb2\xb5\xb0 x")
    return [
        *(Row(f"code {code!r}", {"MAIL": says(code + b"\r\n")}, "not a reply") for code in codes),
        Row("10 MB banner of one line", {"greeting": floods(b"x" * 65536, b"220 ")}, "reply line too long"),
        Row("10 MB banner of lines", {"greeting": floods(b"220-hello\r\n" * 6000)}, "too many lines"),
        Row("answers before it is asked", {"greeting": _answers_before_it_is_asked}, "before the content"),
        Row("taken before the content", {"DATA": _data_and_taken_at_once}, "before the content"),
        Row("PIPELINING that is none", group, "no reply in 0.15 s", holds=True),
        Row("2yz to DATA", {"DATA": says(b"250 2.0.0 taken\r\n")}, "2yz to DATA"),
        Row("3yz to MAIL", {"MAIL": says(b"354 go\r\n")}, "354"),
        Row("3yz to the content", {"content": says(b"354 go\r\n")}, "354"),
        Row("3yz as a greeting", {"greeting": says(b"354 go\r\n")}, "354"),
        Row("NUL in good answers", {"MAIL": says(b"250 \0\xff\r\n"), "content": says(b"250 \xc3\0\r\n")},
            "250", "relayed"),
        Row("SIZE above all numbers", {}, "taken", "relayed", offers=(b"SIZE " + b"9" * 400,)),
        Row("SIZE of nothing", {}, "taken", "relayed", offers=(b"SIZE 0",)),
        Row("LIMITS of nothing", {}, "taken", "relayed", offers=(b"LIMITS RCPTMAX=0 MAILMAX=0",)),
        Row("CHUNKING for text", {"BDAT": cuts}, "taken", "relayed", offers=(b"CHUNKING", b"BINARYMIME")),
        Row("keywords without end", {}, "taken", "relayed", offers=(b"8BITMIME", b"X" * 4000)),
        Row("8BITMIME that is refused", {"MAIL": says(b"555 5.5.4 what is BODY?\r\n")}, "what is BODY",
            "failed", content=CONTENT + b"\xe4\r\n"),
        Row("no 8BITMIME", {}, "taken", "relayed", offers=(), content=CONTENT + b"\xe4\r\n"),
        Row("EHLO refused, and HELO", {"EHLO": says(b"500 no\r\n"), "HELO": says(b"500 no\r\n")}, "500",
            "failed"),
        Row("STARTTLS refused", {"STARTTLS": not_now}, "taken", "relayed", tls=True),
    ]  # fmt: skip


def _tls() -> list[Row]:
    """A handshake that fails leaves the clear way open only where nothing demands TLS."""
    acts = {
        "garbage": _garbage_for_a_handshake,
        "cut": _cut_in_the_handshake,
        "silence": _silent_in_the_handshake,
    }
    rows = []
    for rule in ("", "must", "MTA-STS", "DANE"):
        state, words = ("waiting", "TLS") if rule else ("relayed", "taken")
        for how, act in acts.items():
            name = f"{how} in the handshake under {rule or 'no rule'}"
            rows.append(Row(name, {"STARTTLS": act}, words, state, rule=rule, tls=True))
        refused = {"STARTTLS": says(b"502 5.5.1 no\r\n")}
        rows.append(
            Row(f"STARTTLS refused under {rule or 'no rule'}", refused, words, state, rule=rule, tls=True)
        )
        rows.append(Row(f"no STARTTLS under {rule or 'no rule'}", {}, words, state, rule=rule))
        injects = {"STARTTLS": _injects_before_the_handshake}
        words = "before the handshake"
        rows.append(
            Row(f"octets after STARTTLS under {rule or 'no rule'}", injects, words, rule=rule, tls=True)
        )
    for how, act, words in (
        ("FIN", cuts, "connection"),
        ("RST", resets, "connection"),
        ("421", says(b"421 4.3.2 down\r\n"), "421 4.3.2 down"),
    ):
        after = {"EHLO in TLS": act}
        rows.append(Row(f"{how} after the handshake", after, words, rule="DANE", tls=True))
    return rows


ROWS = [*_cut(), *_at_every_stage(), *_drips(), *_lies(), *_tls()]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@dataclass(frozen=True, slots=True)
class Shown:
    """The certificate of mx.b.test, and what the DNS says of it."""

    context: ssl.SSLContext
    record: Tlsa


@pytest.fixture(scope="module")
def shown(authority: Authority) -> Shown:
    certificate, key = authority.issue("mx.b.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    public = load_pem_x509_certificate(certificate.read_bytes()).public_key()
    octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Shown(context, Tlsa(3, 1, 1, hashlib.sha256(octets).digest()))


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GREETING_SECONDS", "FINAL_SECONDS", "PIECE_SECONDS"):
        monkeypatch.setattr(session_module, name, PATIENCE)
    monkeypatch.setattr(session_module, "TICK_SECONDS", PATIENCE / 5)
    for name in ("OPENING_SECONDS", "MAIL_SECONDS"):
        monkeypatch.setattr(session_module, name, 2 * PATIENCE)


class _Policies:
    """MTA-STS of ``b.test``; the others have none."""

    async def find(self, domain: str) -> Found:
        policy = StsPolicy("enforce", ("mx.b.test",), 86400)
        return Found(policy) if domain == "b.test" else Found()


def _office(row: Row, port: int, authority: Authority, record: Tlsa) -> Office:
    rules = ("b.test=must",) if row.rule == "must" else ()
    office = Office(dial, QueueSettings(smtp_port=port, tls_policy=rules))
    for domain, address in (("b.test", "127.0.0.1"), ("c.test", "127.0.0.2")):
        office.resolver.put(domain, "MX", Mx(10, f"mx.{domain}"))
        office.resolver.put(f"mx.{domain}", "A", address)
    if row.rule == "DANE":
        office.resolver.signed = {"b.test"}
        office.resolver.put(f"_{port}._tcp.mx.b.test", "TLSA", record)
    manners = Manners("mail.a.test", opportunistic_context(), verifying=authority.client())
    policies = _Policies() if row.rule == "MTA-STS" else None
    office.relay = Relay(
        office.resolver, dial, manners, office.settings, office.clock, office.chance, policies
    )
    office.desk = office.make_desk("worker-1")
    return office


async def _says(office: Office, queue: int) -> str:
    """What ``queue show`` prints of one that waits."""
    entry = await office.store.queue_entry(QueueId(queue))
    return "\n".join(of_entry(entry, office.desk.schedule, int(office.clock.now())))


async def same_port(stack: AsyncExitStack, peer: Peer, good: Peer) -> int:
    """Both listen, at one port of two addresses."""
    while True:
        port = await peer.start("127.0.0.1")
        async with AsyncExitStack() as mine:
            await mine.enter_async_context(peer)
            try:
                await good.start("127.0.0.2", port)
            except OSError:  # somebody has it there
                continue
            await mine.enter_async_context(good)
            stack.push_async_exit(mine.pop_all())
            return port


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_hostile_server(row: Row, authority: Authority, shown: Shown) -> None:
    peer = Peer(row.acts, row.offers, shown.context if row.tls else None)
    good = Peer()
    async with AsyncExitStack() as stack:
        port = await same_port(stack, peer, good)
        office = _office(row, port, authority, shown.record)
        queue = await office.enqueue("x@b.test", content=row.content)
        await office.enqueue("x@c.test")
        with measured(row) as peak:
            await _work(office, row, peer, good)
        assert peak() < MEMORY
        (outcome,) = [o for o in office.outcomes if o.host != "mx.c.test"]
        assert outcome.state == row.state
        assert row.words in f"{outcome.code} {outcome.enhanced} {outcome.text}"
        assert outcome.text.isprintable()
        assert row.state == "relayed" or not peer.taken
        assert not (row.rule and SECRET in peer.clear)
        assert not (row.rule and b"MAIL" in peer.clear)
        if row.state == "waiting":
            assert row.words in await _says(office, queue)
            await _arrives_in_the_end(office, row, peer, shown.context)
        await office.relay.close()


@contextmanager
def measured(row: Row) -> Iterator[Callable[[], int]]:
    """The most octets in memory meanwhile, where the row floods (it makes all else slow)."""
    floods = "10 MB" in row.name or "1 MB" in row.name or "endless" in row.name
    if not floods:
        yield lambda: 0
        return
    tracemalloc.start()
    try:
        most = list[int]()
        yield lambda: most[0]
        most.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


async def _work(office: Office, row: Row, peer: Peer, good: Peer) -> None:
    """Both mails at once; who holds us keeps the other one from nothing."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(office.make_queue().run(stop))
        while not good.taken:
            await asyncio.sleep(0.002)
        if row.holds:
            assert peer.open == 1
            assert {o.host for o in office.outcomes} <= {"mx.c.test"}
        while len(office.outcomes) < 2:
            await asyncio.sleep(0.002)
        stop.set()


async def _arrives_in_the_end(office: Office, row: Row, peer: Peer, context: ssl.SSLContext) -> None:
    """The server has come to its senses."""
    peer.acts, peer.offers, peer.context = {}, (b"PIPELINING",), context
    office.clock.advance(86400.0)
    await office.attempt()
    assert office.outcomes[-1].state == "relayed"
    (content,) = peer.taken
    assert SECRET in content
    assert not (row.rule and SECRET in peer.clear)
