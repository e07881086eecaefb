"""Properties of the transfer room: what is stored, what is sent on, what strangers can do to it."""

from __future__ import annotations

import asyncio
import random
import string

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.config.tree import Queue
from a3mailer.mail.address import NULL_PATH, Address
from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.mail.errors import MailError, NotAllowed
from a3mailer.mail.ids import AccountId, BlobId, QueueId, TenantId
from a3mailer.mail.message import encodings, headers, index
from a3mailer.runtime.resolver import Mx, _parse
from a3mailer.store.rows import QueuedRecipient, QueueEntry
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.fields import names_of, with_fields, without
from a3mailer.transfer.forwarding.srs import DAYS_VALID, BadSrs, Srs
from a3mailer.transfer.forwarding.verp import BadVerp, Verp
from a3mailer.transfer.outgoing import NotConvertible, canonical, needs, prepare
from a3mailer.transfer.queue.settle import judge
from a3mailer.transfer.relay.destinations.mx import NoRoute, Ourselves, hosts_of, smart_host
from a3mailer.transfer.relay.relay import Result
from a3mailer.transfer.schedule import Schedule
from a3mailer.transfer.submission import author_fields, completed
from a3mailer.transfer.trace import count_hops
from a3mailer.wire.dsn.compose import compose
from a3mailer.wire.dsn.parse import parse, parse_status
from a3mailer.wire.dsn.report import Action, Original, RecipientStatus, Report
from a3mailer.wire.dsn.returned import failures
from a3mailer.wire.smtp.remote import ours
from tests.unit.transfer.world import MX, World

PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b".", b" ", b"\t", b"x", b":", b"\xff", b"\xc3\xa4", b"a" * 999,
    b"From: alice@a.test\r\n", b"from : bob@a.test\r\n", b"Bcc: c@d\r\n", b"Received: x\r\n", b"Date: x\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: text/plain; charset=utf-8\r\n",
    b"Content-Type: application/octet-stream\r\n", b"Content-Type: message/rfc822\r\n",
    b"Content-Transfer-Encoding: 8bit\r\n", b"Content-Transfer-Encoding: base64\r\n",
    b"--b\r\n", b"--b--\r\n",
    b"Return-Path: <a@b>\r\n",
)  # fmt: skip
MAILS = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)
ODD = st.text(st.sampled_from(string.printable + "\0äß@<>\u202e"), max_size=30)


@given(MAILS)
def test_whatever_comes_from_outside_is_kept_below_the_trace(octets: bytes) -> None:
    world = World()
    (outcome,) = asyncio.run(world.send(octets, "alice@a.test"))
    if outcome is None:
        (stored,) = world.store.inbox(world.alice.id)
        assert stored.endswith(octets)
        assert stored[: len(stored) - len(octets)].startswith(b"Return-Path: <carol@b.test>\r\nReceived: ")


@given(MAILS)
def test_a_submission_keeps_its_body_and_every_field_but_bcc(octets: bytes) -> None:
    world = World()
    (outcome,) = asyncio.run(
        world.send(octets, "bob@a.test", sender="alice@a.test", client=world.submitter())
    )
    if outcome is not None:
        assert isinstance(outcome, MailError)
        assert not world.store.inbox(world.bob.id)
        return
    (stored,) = world.store.inbox(world.bob.id)
    end = headers.header_end(octets, 0, len(octets))
    assert stored.endswith(octets[end:])
    assert stored.endswith(without(octets[:end], frozenset((b"bcc", b"resent-bcc"))) + octets[end:])


@given(MAILS)
def test_no_author_that_anybody_sees_is_missed(octets: bytes) -> None:
    """Whatever way a reader splits lines, an author field it finds was looked at."""
    end = headers.header_end(octets, 0, len(octets))
    seen = author_fields(octets[:end])
    for ending in (b"\r\n", b"\n", b"\r"):
        for line in octets[:end].split(ending):
            name, colon, _ = line.lstrip(b"\r\n").partition(b":")
            if colon and name.rstrip(b" \t").lower() == b"from" and not line.startswith((b" ", b"\t")):
                assert seen


@given(MAILS, st.booleans())
def test_what_is_sent_can_be_sent(octets: bytes, eight_bit_ok: bool) -> None:
    try:
        sent = prepare(octets, eight_bit_ok=eight_bit_ok)
    except NotConvertible:
        assert not eight_bit_ok
        return
    assert not needs(sent, eight_bit_ok=True)
    assert prepare(sent, eight_bit_ok=True) == sent or sent.startswith(b"Return-Path: <")


@given(st.binary(max_size=3000), st.sampled_from((b"text/plain", b"application/pdf")), st.booleans())
def test_a_part_that_is_encoded_says_the_same(content: bytes, media: bytes, eight_bit_ok: bool) -> None:
    sent = prepare(b"Content-Type: %b\r\n\r\n%b" % (media, content), eight_bit_ok=eight_bit_ok)
    part = index(sent).parts[0]
    decoded = encodings.decode(sent[part.body : part.end], part.encoding)
    if media == b"text/plain":
        assert decoded == canonical(content) or canonical(decoded) == canonical(content)
    else:
        assert decoded == content


@given(MAILS, st.sets(st.sampled_from((b"bcc", b"from", b"date", b"received")), max_size=3))
def test_fields_are_taken_out_and_the_rest_stays(octets: bytes, names: set[bytes]) -> None:
    header = octets[: headers.header_end(octets, 0, len(octets))]
    left = without(header, frozenset(names))
    assert not names_of(left) & names
    assert names_of(left) == names_of(header) - names
    assert b"x-new" in names_of(with_fields(header, b"X-New: 1\r\n")) or not header.endswith(b"\n")


@given(MAILS)
def test_hops_are_never_undercounted(octets: bytes) -> None:
    header = octets[: headers.header_end(octets, 0, len(octets))]
    fields = [name for name, _, _ in headers.fields(header, 0, len(header))]
    assert count_hops(header) >= fields.count(b"received")


@given(st.binary(max_size=200))
def test_completing_a_header_never_fails(header: bytes) -> None:
    added, kept = completed(header, "h", "d")
    assert added.count(b"\r\n") <= 2
    assert len(kept) <= len(header)


STATUSES = st.builds(
    RecipientStatus,
    final=st.text(string.ascii_letters + "@.ä+=\\{}", min_size=1, max_size=40).map(
        lambda t: t.strip() or "x"
    ),
    action=st.sampled_from(Action),
    status=st.just("5.1.1"),
    original=st.just(""),
    remote_mta=st.just("mx.test"),
    diagnostic=st.just("550 no"),
    last_attempt=st.integers(0, 2**31),
    retry_until=st.integers(0, 2**31),
)


@given(st.lists(STATUSES, min_size=1, max_size=5), st.booleans())
def test_what_a_notification_says_is_read_again(statuses: list[RecipientStatus], utf8: bool) -> None:
    report = Report("mail.test", tuple(statuses), "", 1_800_000_000)
    octets = compose(report, Original(b"A: b\r\n\r\n", full=False), to="a@b", now=0, token="t", utf8=utf8)
    read = parse(octets)
    assert read is not None
    assert [r.final for r in read.recipients] == [r.final for r in statuses]
    assert [r.action for r in read.recipients] == [r.action for r in statuses]


@given(ODD, ODD, ODD, ODD, MAILS, st.booleans())
def test_foreign_words_never_make_a_field(a: str, b: str, c: str, d: str, octets: bytes, utf8: bool) -> None:
    plain = compose(
        Report("h", (RecipientStatus("x", Action.FAILED, "5.0.0"),)), Original(b"", full=False),
        to="x", now=0, token="t",
    )  # fmt: skip
    evil = compose(
        Report(a, (RecipientStatus(b, Action.FAILED, c, f"rfc822;{d}", a, b),), c),
        Original(octets, full=True), to=d, now=0, token="t", utf8=utf8,
    )  # fmt: skip
    wanted = {name for name, _, _ in headers.fields(plain, 0, index(plain).header_end)}
    found = {name for name, _, _ in headers.fields(evil, 0, index(evil).header_end)}
    assert found - {b"in-reply-to", b"references"} == wanted


@given(st.binary(max_size=500))
def test_any_octets_are_read_as_a_notification_or_not(octets: bytes) -> None:
    parse_status(octets)
    parse(b"Content-Type: message/delivery-status\r\n\r\n" + octets)


@given(st.binary(max_size=300))
def test_any_datagram_is_an_answer_or_is_not(octets: bytes) -> None:
    query = dns.message.make_query("a.test.", "MX", id=7)
    assert _parse(octets, query) is None
    mutated = bytearray(dns.message.make_response(query).to_wire())
    for at, octet in enumerate(octets[:8]):
        mutated[(at * 7 + octet) % len(mutated)] ^= octet
    answer = _parse(bytes(mutated), query)
    assert answer is None or answer.question == query.question


@given(
    st.lists(st.integers(1, 100_000), max_size=8),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(-(10**8), 10**8),
    st.integers(1, 500),
)
def test_a_schedule_ends_every_mail_and_no_young_one(
    retry: list[int], expire: int, notice: int, jump: int, attempts: int
) -> None:
    schedule = Schedule.of(Queue(retry=tuple(retry), expire_seconds=expire, delay_notice_seconds=notice))
    assert schedule.expired(0, 2 * schedule.life + 4, max(jump, expire))
    assert schedule.expired(max(jump, 1), 2 * schedule.life + 4, 0) or jump <= 0
    if attempts < schedule.life // 2:
        assert not schedule.expired(0, attempts, jump)


@given(
    st.sampled_from(("", "R", "RT", "N", "NT")),
    st.integers(-100_000, 1_000_000),
    st.integers(0, 500),
    st.integers(0, 1_000_000),
    st.floats(0, 1e6),
    st.randoms(use_true_random=False),
)
def test_nobody_waits_beyond_the_time_a_sender_has_set(
    mode: str, deliver_by: int, attempts: int, now: int, wait: float, chance: random.Random
) -> None:
    """RFC 2852: by-mode R ends at its time, by-mode N is told of at its time, and neither sleeps past it."""
    recipient = QueuedRecipient(0, "x@b.test", (), "", "waiting", attempts, 0, 0, "", "", "", False)
    entry = QueueEntry(
        QueueId(1), AccountId(1), TenantId(1), BlobId(b""), 1, "a@a.test", "7BIT", False, "", "", "t", 0, 0,
        False, "", 0, (recipient,), 0, 0, deliver_by if mode else 0, mode,
    )  # fmt: skip
    result = Result("waiting", ours("4.4.1", "no"), wait=wait)
    verdict = judge(entry, recipient, result, Schedule.of(Queue()), now, chance)
    outcome = verdict.outcome
    assert outcome.state in ("waiting", "expired")
    if outcome.state == "waiting":
        assert outcome.next_attempt > now
        if mode and now < deliver_by:
            assert outcome.next_attempt <= deliver_by
        assert not (mode.startswith("R") and now >= deliver_by)
        if mode.startswith("N"):
            assert verdict.late is (0 < deliver_by <= now)
    elif mode.startswith("R") and now >= deliver_by:
        assert verdict.status is not None and verdict.status.status == "5.4.7"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(("a.b", "mail.us", "c.d", "."))), max_size=8),
    st.randoms(use_true_random=False),
)
def test_mail_goes_only_to_hosts_better_than_ourselves(
    records: list[tuple[int, str]], chance: object
) -> None:
    resolver = FakeResolver()
    resolver.put("b.test", "MX", *(Mx(p, name) for p, name in records))
    us = Ourselves(frozenset(("mail.us",)), frozenset(), 25)
    try:
        hosts = asyncio.run(hosts_of("b.test", resolver, us, 25, chance))  # type: ignore[arg-type]
    except NoRoute:
        assert records
        return
    ours = min((p for p, name in records if name == "mail.us"), default=99)
    assert hosts
    assert all(host.name == "b.test" or min(p for p, n in records if n == host.name) < ours for host in hosts)


@given(ODD)
def test_a_smart_host_is_a_host_or_a_value_error(text: str) -> None:
    try:
        host = smart_host(text, 25)
    except ValueError:
        return
    assert host.name


@given(ODD, ODD)
def test_a_stranger_never_gets_a_route_out(local_part: str, domain: str) -> None:
    recipient = Recipient(Address(local_part, domain + ".out"))
    with pytest.raises(NotAllowed):
        asyncio.run(World().policy.recipient(MX, Envelope(NULL_PATH), recipient))


# --- forwarding ----------------------------------------------------------------------------------------

SENDERS = st.builds(
    Address,
    st.text(st.sampled_from(string.ascii_letters + "=+-.@ ä\0" + "srSR01"), min_size=1, max_size=40),
    st.sampled_from(("c.test", "b.test", "xn--bcher-kva.example", "[192.0.2.1]", "[IPv6:2001:db8::1]")),
) | st.builds(
    Address,
    st.builds("{}{}{}".format, st.sampled_from(("SRS0", "srs1", "SRS1")), st.sampled_from("=+-x"), ODD),
    st.just("b.test"),
)
SRS = Srs("a.test", (b"k" * 32,))


@given(SENDERS, st.floats(0, 4e9), st.integers(0, DAYS_VALID))
def test_a_bounce_finds_the_sender_or_the_first_forwarder(sender: Address, now: float, days: int) -> None:
    made = SRS.forward(sender, now)
    if made is None:
        return
    assert made.domain == "a.test"
    assert len(str(made).encode()) <= 254
    back = SRS.reverse(made, now + days * 86400)
    if made.local_part.startswith("SRS0"):
        assert back == sender
    else:
        assert back.local_part.startswith("SRS0")
        assert sender.local_part.endswith(back.local_part[4:])


@given(SENDERS | st.builds(Address, ODD.map("SRS0={}".format), st.just("a.test")), st.floats(0, 4e9))
def test_no_stranger_makes_an_address_that_leads_through_us(address: Address, now: float) -> None:
    """Row 6: whatever is in the form, without the key it is refused, and nothing else is raised."""
    if not SRS.holds(address):
        assert address.domain != "a.test" or not address.local_part.upper().startswith(("SRS0=", "SRS1="))
    with pytest.raises(BadSrs):
        SRS.reverse(address, now)


STREAMS = st.from_regex(r"[a-z0-9._-]{1,40}", fullmatch=True)


@given(
    STREAMS,
    SENDERS,
    st.floats(0, 4e9),
    st.integers(0, DAYS_VALID),
)
def test_a_bounce_to_a_path_of_its_own_names_stream_and_recipient(
    stream: str, recipient: Address, now: float, days: int
) -> None:
    verp = Verp((b"k" * 32,))
    made = verp.encode(stream, recipient, "a.test", now)
    if made is None:
        return
    assert len(str(made).encode()) <= 254
    assert verp.decode(made, now + days * 86400) == (stream, recipient)
    with pytest.raises(BadVerp):
        Verp((b"other" * 7,)).decode(made, now)
    with pytest.raises(BadVerp):
        verp.decode(recipient, now)


@given(MAILS | st.binary(max_size=300))
def test_any_octets_have_failed_or_not(octets: bytes) -> None:
    for failure in failures(b"From: mailer-daemon@x\r\nSubject: undeliverable\r\n" + octets):
        assert failure.status[0] in "45" and failure.diagnostic.isprintable()


@given(SENDERS, st.lists(st.integers(0, 3), max_size=8))
def test_row_9_addresses_do_not_grow_and_lead_back_however_often_a_mail_is_forwarded(
    sender: Address, ways: list[int]
) -> None:
    """A chain of forwarders, circles included: each hands the bounce on until the sender has it."""
    servers = {name: Srs(name, (name.encode() * 8,)) for name in ("f0.test", "f1.test", "f2.test", "f3.test")}
    at, first = sender, 0
    for number, way in enumerate(ways):
        made = servers[f"f{way}.test"].forward(at, 0.0)
        if made is None:
            return
        if number == 1:
            first = len(made.local_part)
        assert number < 2 or len(made.local_part) == first
        at = made
    for _ in range(20):
        if at.domain not in servers:
            break
        at = servers[at.domain].reverse(at, 0.0)
    assert at.domain == sender.domain
    assert at == sender or sender.local_part.upper().startswith("SRS")
