"""What is stored and queued when a mail has come in, and what its trace says."""

import mmap

import pytest
from msgspec import structs

from a3mailer.mail.envelope import Client, Recipient
from a3mailer.mail.errors import (
    MailLoop,
    NoSuchAccount,
    NotAllowed,
    StoreFull,
    TooMany,
    TryLater,
    Uncertain,
)
from a3mailer.mail.ids import TenantId
from a3mailer.store.operations import Append, CreateAccount, Enqueue, QueueRecipient
from a3mailer.transfer import receive
from a3mailer.wire.dsn.parse import parse
from a3mailer.wire.dsn.report import Action
from tests.unit.transfer.world import MAIL, MX, World, address

TRACE = (
    b"Return-Path: <carol@b.test>\r\n"
    b"Received: from mx.b.test ([192.0.2.7])\r\n"
    b"\tby mail.a.test with ESMTP id 0123456789abcdef\r\n"
    b"\tfor <alice@a.test>;\r\n"
    b"\tFri, 15 Jan 2027 08:00:00 +0000\r\n"
)


async def test_a_mail_from_outside_is_delivered_with_its_trace_on_top_and_nothing_changed_below() -> None:
    world = World()
    assert await world.send(MAIL, "alice@a.test") == (None,)
    assert world.store.inbox(world.alice.id) == [TRACE + MAIL]
    (transaction,) = world.store.transactions
    assert transaction.operations == (
        Append(world.alice.id, 1, 0, internal_date=1_800_000_000, check_quota=False),  # type: ignore[arg-type]
    )
    assert transaction.contents[0].index.subject == "hello"


async def test_one_account_gets_one_copy_however_many_ways_lead_to_it() -> None:
    world = World()
    assert (
        await world.send(MAIL, "alice@a.test", "ally@a.test", "sales@a.test", "alice+x@a.test") == (None,) * 4
    )
    assert len(world.store.inbox(world.alice.id)) == 1
    assert len(world.store.inbox(world.bob.id)) == 1
    assert len(world.store.transactions) == 1
    assert b"\tfor <" not in world.store.inbox(1)[0]


async def test_local_and_remote_are_one_transaction_with_one_content() -> None:
    world = World()
    to = Recipient(address("away@a.test"), frozenset(("FAILURE", "DELAY")))
    assert await world.send(MAIL, "bob@a.test", to) == (None, None)
    (transaction,) = world.store.transactions
    assert len(transaction.contents) == 1
    append, enqueue = transaction.operations
    assert isinstance(append, Append)
    assert isinstance(enqueue, Enqueue)
    assert enqueue.recipients == (
        QueueRecipient("alice@elsewhere.test", ("DELAY", "FAILURE"), "rfc822;away@a.test"),
    )
    assert enqueue.reverse_path.endswith("=b.test=carol@a.test")  # SRS: test_forward.py
    assert (enqueue.account, enqueue.hops) == (0, 1)


async def test_a_mail_that_only_one_tenant_has_got_comes_once_to_it_when_it_is_sent_again() -> None:
    """Its sender was told to: the store was in trouble between the two transactions."""
    world = World()
    dora = world.store.put(CreateAccount(TenantId(2), "dora@tenant.test")).account
    world.store.fail_in[2] = TryLater()
    people = ("bob@a.test", "dora@tenant.test")
    assert [type(error) for error in await world.send(MAIL, *people)] == [TryLater, TryLater]
    assert (len(world.store.inbox(world.bob.id)), len(world.store.inbox(dora))) == (1, 0)
    for _ in range(2):  # a third one is another mail
        assert await world.send(MAIL, *people) == (None, None)
    assert (len(world.store.inbox(world.bob.id)), len(world.store.inbox(dora))) == (2, 2)


async def test_each_tenant_has_a_transaction_of_its_own() -> None:
    world = World()
    world.store.put_alias("out@tenant.test", "x@elsewhere.test", tenant=2)
    assert await world.send(MAIL, "bob@a.test", "out@tenant.test") == (None, None)
    assert [t.tenant for t in world.store.transactions] == [1, 2]
    assert len({t.fingerprint for t in world.store.transactions}) == 2


async def test_a_fingerprint_names_envelope_and_octets_and_not_the_moment() -> None:
    world = World()
    await world.send(MAIL, "bob@a.test")
    world.clock.advance(60)
    await world.send(MAIL, "bob@a.test")
    await world.send(MAIL, "bob@a.test", sender="")
    await world.send(MAIL + b"x", "bob@a.test")
    await world.send(MAIL, "bob@a.test", "alice@a.test")
    first, again, *others = (t.fingerprint for t in world.store.transactions)
    assert first == again
    assert len({first, *others}) == 4


async def test_what_a_client_may_not_have_heard_is_known_when_it_comes_again() -> None:
    world = World()
    own = b"Message-ID: <1@b.test>\r\n" + MAIL
    named = b"Received: from a by b with ESMTP id 1; Sun, 22 Nov 2026 10:00:00 +0000\r\n" + own
    heard: list[bytes] = []
    for octets in (own, named, named):
        await world.send(octets, "bob@a.test", kept=heard.append)
    assert len(heard) == 2 and heard[0] == heard[1]  # what no queue has had may be sent twice on purpose
    await world.receive.doubt(heard[:1])
    assert await world.send(named, "bob@a.test") == (None,)
    assert len(world.store.inbox(world.bob.id)) == 3
    await world.send(named, "bob@a.test")
    assert len(world.store.inbox(world.bob.id)) == 4


async def test_a_doubt_that_cannot_be_written_down_troubles_nobody() -> None:
    world = World()
    world.store.fail.append(StoreFull())
    await world.receive.doubt((b"f",))
    assert not world.store.transactions


@pytest.mark.parametrize("error", [StoreFull(), Uncertain()])
async def test_what_was_not_committed_is_not_ours(error: Exception) -> None:
    world = World()
    world.store.fail.append(error)
    assert await world.send(MAIL, "alice@a.test", "bob@a.test") == (error, error)
    assert not world.store.inbox(1)


def lmtp() -> Client:
    return structs.replace(MX, protocol="LMTP")


async def test_an_account_that_went_away_since_rcpt_fails_alone() -> None:
    world = World()
    outcomes = await world.send(
        MAIL, "alice@a.test", "bob@a.test", "sales@a.test", client=lmtp(),
        before=lambda: world.store.remove(world.alice.id),
    )  # fmt: skip
    assert isinstance(outcomes[0], NoSuchAccount)
    assert outcomes[1:] == (None, None)
    assert len(world.store.inbox(world.bob.id)) == 1
    assert not world.store.entries


async def test_smtp_has_one_reply_so_who_failed_alone_is_reported_by_mail() -> None:
    world = World()
    outcomes = await world.send(
        MAIL, "alice@a.test", "bob@a.test", before=lambda: world.store.remove(world.alice.id)
    )
    assert outcomes == (None, None)
    (entry,) = world.store.entries
    assert (entry.reverse_path, entry.recipients[0].address) == ("", "carol@b.test")
    report = parse(world.store.content(entry))
    assert report is not None
    assert [(r.final, r.action, r.status) for r in report.recipients] == [
        ("alice@a.test", Action.FAILED, "5.1.1")
    ]


async def test_a_failure_after_rcpt_is_not_reported_to_the_null_path_or_against_notify() -> None:
    world = World()
    never = Recipient(address("alice@a.test"), frozenset(("NEVER",)))
    gone = world.alice.id
    await world.send(MAIL, never, "bob@a.test", before=lambda: world.store.remove(gone))
    assert not world.store.entries
    world = World()
    await world.send(MAIL, "alice@a.test", "bob@a.test", sender="", before=lambda: world.store.remove(gone))
    assert not world.store.entries
    assert len(world.store.inbox(world.bob.id)) == 1


async def test_when_all_accounts_went_away_nothing_is_stored() -> None:
    world = World()
    outcomes = await world.send(
        MAIL, "alice@a.test", "ally@a.test", before=lambda: world.store.remove(world.alice.id)
    )
    assert [type(o) for o in outcomes] == [NoSuchAccount, NoSuchAccount]
    assert not world.store.transactions


async def test_a_delivery_is_confirmed_where_that_was_asked_for() -> None:
    world = World()
    asks = Recipient(address("alice@a.test"), frozenset(("SUCCESS",)), "rfc822;old@x.test")
    assert await world.send(MAIL, asks, "bob@a.test") == (None, None)
    (entry,) = world.store.entries
    report = parse(world.store.content(entry))
    assert report is not None
    (status,) = report.recipients
    assert (status.final, status.action, status.original) == (
        "alice@a.test", Action.DELIVERED, "rfc822;old@x.test",
    )  # fmt: skip
    assert entry.recipients[0].notify == ("NEVER",)
    assert len(world.store.transactions) == 2


async def test_an_alias_that_leads_out_and_in_is_expanded_where_that_was_asked_for() -> None:
    """RFC 3461 section 5.2.7.3 (c): successes are told of the alias, and of nobody behind it."""
    world = World()
    world.store.put_alias("both@a.test", "alice@a.test", "x@elsewhere.test", kind="group")
    wish = frozenset({"SUCCESS", "FAILURE"})
    await world.send(MAIL, Recipient(address("both@a.test"), wish, "rfc822;both@a.test"))
    forwarded, told = world.store.entries
    assert [(r.address, r.notify) for r in forwarded.recipients] == [("x@elsewhere.test", ("FAILURE",))]
    report = parse(world.store.content(told))
    assert report is not None
    assert [(r.final, r.action, r.status) for r in report.recipients] == [
        ("both@a.test", Action.EXPANDED, "2.1.5")
    ]
    assert len(world.store.inbox(world.alice.id)) == 1


async def test_row_9_a_mail_that_has_been_through_fifty_servers_stops() -> None:
    world = World()
    hop = b"Received: from x by y; Fri, 15 Jan 2027 08:00:00 +0000\r\n"
    assert await world.send(hop * 49 + MAIL, "alice@a.test") == (None,)
    (outcome,) = await world.send(hop * 50 + MAIL, "alice@a.test")
    assert isinstance(outcome, MailLoop)
    (outcome,) = await world.send(hop.replace(b"Received:", b"rEceived :") * 50 + MAIL, "alice@a.test")
    assert isinstance(outcome, MailLoop)
    assert await world.send(MAIL + hop * 60, "alice@a.test") == (None,)  # the body is no header


async def test_destinations_of_one_mail_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "MAX_ROUTES", 2)
    world = World()
    outcomes = await world.send(MAIL, "alice@a.test", "bob@a.test", "admin@a.test", client=lmtp())
    assert outcomes[:2] == (None, None)
    assert isinstance(outcomes[2], TooMany)


async def test_a_mapped_mail_is_stored_like_one_in_memory() -> None:
    world = World()
    mapped = mmap.mmap(-1, len(MAIL))
    mapped[:] = MAIL
    assert await world.send(mapped, "alice@a.test") == (None,)  # type: ignore[arg-type]
    assert world.store.inbox(1) == [TRACE + MAIL]


@pytest.mark.parametrize(
    "octets", [b"", b"\r\n", b"no header\r\n", b"\r\nbody\r\n", b"A: b\r\n", b"\0\r\n\r\n\xff"]
)
async def test_whatever_the_octets_are_they_are_kept(octets: bytes) -> None:
    world = World()
    assert await world.send(octets, "alice@a.test") == (None,)
    assert world.store.inbox(1) == [TRACE + octets]


# --- submission ----------------------------------------------------------------------------------------


async def submit(world: World, octets: bytes, *to: str, sender: str = "alice@a.test") -> object:
    (outcome, *_) = await world.send(
        octets, *(to or ("bob@a.test",)), sender=sender, client=world.submitter()
    )
    return outcome


async def test_submission_adds_what_is_missing_and_hides_where_the_client_is() -> None:
    world = World()
    octets = b"From: Alice <alice@a.test>\r\nSubject: x\r\n\r\nbody\r\n"
    assert await submit(world, octets) is None
    (stored,) = world.store.inbox(world.bob.id)
    assert stored.endswith(octets)
    top = stored.removesuffix(octets)
    assert top.startswith(
        b"Return-Path: <alice@a.test>\r\n"
        b"Authentication-Results: mail.a.test; auth=pass\r\n"
        b"Received: from unknown by mail.a.test with ESMTPA id 0123456789abcdef\r\n"
        b"\tfor <bob@a.test>;\r\n"
        b"\tFri, 15 Jan 2027 08:00:00 +0000\r\n"
        b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
        b"Message-ID: <"
    )
    assert b"198.51.100.9" not in stored
    assert b"laptop" not in stored


async def test_submission_leaves_date_and_message_id_that_are_there() -> None:
    world = World()
    octets = b"dAte : Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-Id: <a@b>\r\nFrom: alice@a.test\r\n\r\n"
    await submit(world, octets)
    assert world.store.inbox(world.bob.id)[0].count(b"Date:") == 0
    assert world.store.inbox(world.bob.id)[0].endswith(b"+0000\r\n" + octets)


@pytest.mark.parametrize(
    "hidden", [b"Bcc: x@y\r\n", b"bcc:\r\n", b"BCC :\r\n\tx@y,\r\n z@y\r\n", b"Resent-Bcc: q@y\r\n"]
)
async def test_bcc_is_removed_on_submission_only(hidden: bytes) -> None:
    world = World()
    head, tail = (
        b"Date: x\r\nMessage-ID: <1@a>\r\nFrom: alice@a.test\r\n",
        b"Subject: s\r\n\r\nBcc: in the body\r\n",
    )
    await submit(world, head + hidden + tail)
    assert world.store.inbox(world.bob.id)[0].endswith(b"+0000\r\n" + head + tail)
    await submit(world, head + hidden + hidden + tail)
    assert world.store.inbox(world.bob.id)[1].endswith(b"+0000\r\n" + head + tail)
    await world.send(head + hidden + tail, "alice@a.test")
    assert world.store.inbox(world.alice.id)[0].endswith(head + hidden + tail)


@pytest.mark.parametrize(
    "header",
    [
        b"From: bob@a.test",
        b"From: Alice <bob@a.test>",
        b'From: "alice@a.test" <bob@a.test>',
        b"From: alice@a.test, bob@a.test",
        b"From: alice@a.test\r\nFrom: bob@a.test",
        b"From: alice@a.test\r\nSender: bob@a.test",
        b"From: alice@a.test\r\nsender : bob@a.test",
        b"From: alice@a.test\r\nResent-From: bob@a.test",
        b"From: alice@a.test\r\nResent-Sender: bob@a.test",
        b"From: alice@a.test\r\nSubject: x\rFrom: bob@a.test",
        b"From: alice@a.test\r\nSubject: x\nFrom: bob@a.test",
        b"From: alice@a.test\r\nSubject: x\r\rFrom: bob@a.test",
        b"From: friends: alice@a.test, bob@a.test;",
        b"From: (alice@a.test) bob@a.test",
        b"From:\r\n bob@a.test",
        b"From: <@a.test:bob@a.test>",
        b"From: alice@a.test.b.test",
        b"From: alice",
        b"From: undisclosed:;",
        b"From:",
        b"From: =?utf-8?q?alice=40a.test?=",
        b"From: " + b"alice@a.test, " * 200 + b"alice@a.test",
        b"From: \xff@a.test",
    ],
)
async def test_row_7_author_fields_must_name_the_submitter(header: bytes) -> None:
    world = World()
    assert isinstance(await submit(world, header + b"\r\nSubject: x\r\n\r\nx\r\n"), NotAllowed)
    assert not world.store.inbox(1)


@pytest.mark.parametrize(
    "header",
    [
        b"From: alice@a.test",
        b"From: Alice <ALICE@A.Test>",
        b"From: ally@a.test\r\nSender: alice+x@a.test",
        b"From: (bob@a.test) alice@a.test (bob@a.test)",
        b'From: "bob@a.test" <alice@a.test>',
        b"Reply-To: bob@a.test\r\nFrom: alice@a.test",
        b"X-From: bob@a.test",
    ],
)
async def test_row_7_an_author_may_be_anything_of_the_submitters_own(header: bytes) -> None:
    assert await submit(World(), header + b"\r\n\r\nFrom: bob@a.test\r\n") is None


async def test_outside_of_submission_authors_are_not_ours_to_judge() -> None:
    assert await World().send(b"From: bob@a.test\r\n\r\nx\r\n", "alice@a.test") == (None,)


async def test_a_queued_submission_belongs_to_its_submitter() -> None:
    world = World()
    await submit(world, b"From: alice@a.test\r\n\r\nx\r\n", "carol@b.test")
    (entry,) = world.store.entries
    assert (entry.account, entry.reverse_path, entry.trace) == (
        world.alice.id,
        "alice@a.test",
        "0123456789abcdef",
    )
    assert not world.store.content(entry).startswith(b"Return-Path")


async def test_lmtp_says_so_in_its_trace() -> None:
    world = World()
    await world.send(MAIL, "alice@a.test", client=lmtp())
    assert b" with LMTP id " in world.store.inbox(1)[0]
