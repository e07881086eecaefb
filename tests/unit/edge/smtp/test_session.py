"""What the door hands on, keeps to itself, and does when something below it fails."""

from __future__ import annotations

import base64
import errno
import mmap
import os
import re
from pathlib import Path

import pytest

from a3mailer.edge.smtp import replies
from a3mailer.edge.smtp.profiles import SUBMISSION
from a3mailer.identity.credentials import make_verifier
from a3mailer.mail import errors
from a3mailer.mail.address import Address
from a3mailer.mail.envelope import Body
from a3mailer.telemetry.events import LOG, Secret
from a3mailer.testing.memory_connection import MemoryConnection, MemorySession, Stage
from tests.transcripts.smtp_world import TRACE, SmtpWorld
from tests.unit.identity.test_sasl import ScramClient

BEGIN = b"EHLO a.example\r\nMAIL FROM:<eve@example.org>\r\nRCPT TO:<bob@example.test>\r\n"


async def play(world: SmtpWorld, *octets: bytes) -> bytes:
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        said = await session.greeting()
        for each in octets:
            said += await session.feed(each)
    return said


async def test_the_arrival_says_who_what_and_for_whom(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    await play(
        world,
        b"EHLO a.example\r\nMAIL FROM:<Eve@Example.ORG> BODY=8BITMIME SIZE=9 RET=HDRS ENVID=a+2Bb\r\n"
        b"RCPT TO:<bob@example.test> NOTIFY=NEVER ORCPT=rfc822;b+40x\r\nRCPT TO:<sales@example.test>\r\n"
        b"DATA\r\nx\r\n.\r\n",
    )
    (arrival,) = world.kept.arrivals
    envelope, client = arrival.envelope, arrival.client
    assert envelope.reverse_path.address == Address("Eve", "example.org")
    assert (envelope.body, envelope.size, envelope.smtputf8) == (Body.EIGHT_BIT, 9, False)
    assert (envelope.return_content, envelope.envelope_id) == ("HDRS", "a+b")
    bob, sales = envelope.recipients
    assert (bob.notify, bob.original) == (frozenset({"NEVER"}), "rfc822;b@x")
    assert (sales.notify, sales.original) == (frozenset(), "")
    assert [len(routes) for routes in arrival.routes] == [1, 1]
    assert (client.ip, client.port, client.helo, client.extended) == ("192.0.2.1", 40001, "a.example", True)
    assert (client.tls, client.account, client.login, client.protocol) == ("", 0, "", "SMTP")
    assert arrival.trace == TRACE
    assert arrival.octets == b"x\r\n"


async def test_who_has_logged_in_is_known_and_the_password_is_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    world = SmtpWorld(tmp_path, {"profile": "submissions"})
    good = base64.b64encode(b"\0alice@example.test\0secret-a")
    bad = base64.b64encode(b"\0alice@example.test\0hunter2-secret")
    LOG.configure(level="debug")
    said = await play(
        world,
        b"EHLO a.example\r\nAUTH PLAIN " + bad + b"\r\nAUTH PLAIN " + good + b"\r\n",
        b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<eve@example.org>\r\nDATA\r\nx\r\n.\r\n",
    )
    LOG.configure(level="info")
    assert b"235 " in said
    client = world.kept.arrivals[0].client
    assert (client.account, client.login, client.protocol) == (1, "alice@example.test", "submission")
    assert client.tls == "TLSv1.3 TLS_AES_256_GCM_SHA384"
    out, err = capfd.readouterr()
    assert "secret-a" not in out + err + said.decode()
    assert "hunter2" not in out + err + said.decode()


async def test_scram_over_smtp(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path, {"profile": "submissions", "scram": ""})
    verifier = make_verifier(Secret("secret-a"), 4096)
    world.rows.put_account("carol@example.test", secret=verifier.encode(), kind="scram-sha-256")
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        assert b"AUTH SCRAM-SHA-256 PLAIN LOGIN " in await session.feed(b"EHLO a.example\r\n")
        client = ScramClient("secret-a", login="carol@example.test")
        answer = await session.feed(b"AUTH SCRAM-SHA-256 " + base64.b64encode(client.first()) + b"\r\n")
        assert answer.startswith(b"334 ")
        final = client.final(base64.b64decode(answer[4:]))
        answer = await session.feed(base64.b64encode(final) + b"\r\n")
        assert base64.b64decode(answer[4:]).startswith(b"v=")
        assert await session.feed(b"\r\n") == b"235 2.7.0 authentication succeeded\r\n"


async def test_a_login_that_no_longer_stands_ends_the_session(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path, {"profile": "submissions"})
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        await session.feed(
            b"EHLO a\r\nAUTH PLAIN " + base64.b64encode(b"\0alice@example.test\0secret-a") + b"\r\n"
        )
        assert (await session.feed(b"MAIL FROM:<alice@example.test>\r\n")).startswith(b"250 ")
        await session.feed(b"RSET\r\n")
        world.rows.change(world.rows._addresses["alice@example.test"].account)
        assert await session.feed(b"MAIL FROM:<alice@example.test>\r\n") == replies.LOGIN_AGAIN.octets
        assert session.closed


@pytest.mark.parametrize(
    ("code", "reply"),
    [(errno.ENOSPC, b"452 4.3.1 "), (errno.EDQUOT, b"452 4.3.1 "), (errno.EIO, b"451 4.3.0 ")],
)
@pytest.mark.parametrize("bdat", [False, True])
async def test_a_full_disk_under_the_spool_is_said_and_survived(
    code: int, reply: bytes, bdat: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SmtpWorld(tmp_path)
    large = b"x" * 3_000_000
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _failing(code))
            if bdat:
                said = await session.feed(BEGIN + b"BDAT 3000000\r\n" + large)
            else:
                await session.feed(BEGIN + b"DATA\r\n" + large)
                said = await session.feed(b"\r\n.\r\n")
        assert said.splitlines()[-1].startswith(reply)
        await session.feed(BEGIN + b"DATA\r\n" + large)
        said = await session.feed(b"\r\n.\r\n")
        assert said.splitlines()[-1].startswith(b"250 ")
    assert world.kept.octets == [large + b"\r\n"]
    assert not list(tmp_path.iterdir())


def _failing(code: int):  # type: ignore[no-untyped-def]
    def write(fd: int, octets: bytes) -> int:
        raise OSError(code, os.strerror(code))

    return write


async def test_a_spool_directory_that_is_gone_is_a_reply(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path / "absent")
    said = await play(world, BEGIN + b"DATA\r\n" + b"x" * 2_000_000, b"\r\n.\r\n", b"NOOP\r\n")
    assert said.splitlines()[-2:] == [b"451 4.3.0 cannot do it now, try again", b"250 2.0.0 OK"]


async def test_a_large_content_is_handed_on_as_a_map(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    seen = []

    async def receive(arrival):  # type: ignore[no-untyped-def]
        seen.append((type(arrival.octets), bytes(arrival.octets[:]), list(tmp_path.iterdir())))
        return (None,)

    world.door.receive = receive  # type: ignore[assignment]
    content = os.urandom(100) * 20_000 + b"\r\n"
    content = content.replace(b"\r\n.", b"\r\n,").replace(b"\n.", b"\n,")
    await play(
        world,
        BEGIN + b"DATA\r\n",
        *(content[i : i + 70_001] for i in range(0, len(content), 70_001)),
        b".\r\n",
    )
    assert [(kind, octets == content, files) for kind, octets, files in seen] == [(mmap.mmap, True, [])]


@pytest.mark.parametrize("profile", ["mx", "lmtp"])
@pytest.mark.parametrize(
    ("fail", "reply"),
    [
        ("StoreFull", b"452 4.3.1"),
        ("Uncertain", b"451 4.3.0"),
        ("TryLater", b"451 4.3.0"),
        ("MailLoop", b"554 5.4.6"),
        ("NotAllowed", b"550 5.7.1"),
        ("OverQuota", b"452 4.2.2"),
        ("TooMany", b"452 4.5.3"),
        ("DamagedContent", b"451 4.3.0"),
    ],
)
async def test_every_failure_of_the_whole_has_its_reply(
    profile: str, fail: str, reply: bytes, tmp_path: Path
) -> None:
    world = SmtpWorld(tmp_path, {"fail": fail, "profile": profile})
    hello = b"LHLO" if profile == "lmtp" else b"EHLO"
    said = await play(world, BEGIN.replace(b"EHLO", hello) + b"DATA\r\nx\r\n.\r\n")
    assert said.splitlines()[-1].startswith(reply)


async def test_in_smtp_one_recipient_that_worked_is_enough(tmp_path: Path) -> None:
    """The rest is told by a notification, not by a reply (RFC 5321 section 4.2.5)."""
    world = SmtpWorld(tmp_path)
    said = await play(world, BEGIN + b"RCPT TO:<gone@example.test>\r\nDATA\r\nx\r\n.\r\n")
    assert said.splitlines()[-1].startswith(b"250 2.0.0 ")
    said = await play(world, BEGIN.replace(b"bob", b"gone") + b"DATA\r\nx\r\n.\r\n")
    assert said.splitlines()[-1].startswith(b"550 5.1.1 ")


async def test_a_bug_below_says_nothing_and_ends_the_session(tmp_path: Path) -> None:
    """No reply after the final dot: the client must try again."""
    world = SmtpWorld(tmp_path)

    async def receive(arrival):  # type: ignore[no-untyped-def]
        raise ZeroDivisionError

    world.door.receive = receive  # type: ignore[assignment]
    connection = MemoryConnection()
    connection.put(BEGIN + b"DATA\r\nx\r\n.\r\n")
    with pytest.raises(ZeroDivisionError):
        await world.door.serve(connection, world.profile, TRACE)
    assert not connection.taken().splitlines()[-1].startswith(b"250 2.0.0")


async def test_refused_at_the_greeting(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    async with Stage(world.serve, lambda n: MemoryConnection(("0.0.0.0", n))) as stage:
        session = stage.open(1)
        assert (await session.greeting()).startswith(b"554 5.7.1 ")
        assert (
            await session.feed(b"EHLO a\r\nNOOP\r\nMAIL FROM:<>\r\n")
            == 3 * b"503 5.5.1 bad sequence of commands\r\n"
        )
        assert await session.feed(b"QUIT\r\n") == b"221 2.0.0 bye\r\n"


async def test_offenders_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refusals are free, the next ones late; with limits.profile=off none is."""
    import msgspec

    from a3mailer.config.tree import Limits
    from a3mailer.edge.smtp import session as door

    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    for profile, expected in (("standard", [2.0, 2.0]), ("off", [])):
        world = SmtpWorld(tmp_path)
        world.settings = msgspec.structs.replace(world.settings, limits=Limits(profile=profile))
        slept.clear()
        connection = MemoryConnection()
        connection.put(b"X\r\n" * 5)
        connection.end()
        with monkeypatch.context() as patch:
            patch.setattr(door.asyncio, "sleep", sleep)
            await world.door.serve(connection, world.profile, TRACE)
        assert slept == expected


def test_every_error_has_a_reply_of_its_own_kind() -> None:
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.MailError)]
    assert len(kinds) > 15
    for kind in kinds:
        reply = replies.reply_to(kind("words that are not for strangers"))
        assert re.fullmatch(rb"[45]\d\d [45]\.\d+\.\d+ [ -~]+\r\n", reply.octets)
        assert reply.enhanced[0] == str(reply.code)[0]
        assert not kind.transient or reply.transient
        assert (b"strangers" in reply.octets) == issubclass(kind, replies.TELLING)


def test_replies_are_one_line_of_printable_ascii() -> None:
    reply = replies.reply_to(errors.NotAllowed("a\r\n250 2.0.0 injected é\0" + "x" * 1000))
    assert reply.octets.count(b"\r\n") == 1
    assert len(reply.octets) <= 512
    assert SUBMISSION.auth


def test_a_refusal_has_its_lines_and_nothing_beyond_ascii() -> None:
    """RFC 5429 sections 2.1.1 and 2.5."""
    reply = replies.reply_to(errors.Refused("Not\nwanted\nhere"))
    assert reply.octets == b"550-5.7.1 Not\r\n550-5.7.1 wanted\r\n550 5.7.1 here\r\n"
    assert replies.reply_to(errors.Refused("f\u00fcr Sie\nnicht")).text == replies.NOT_ASCII
    assert replies.reply_to(errors.Refused("x\n" * 1000)).octets.count(b"\r\n") == replies.LINES


async def test_mails_of_a_session_do_not_mix(tmp_path: Path) -> None:
    world = SmtpWorld(tmp_path)
    async with Stage(world.serve, world.connect) as stage:
        session: MemorySession = stage.open(1)
        await session.greeting()
        await session.feed(
            BEGIN + b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nA\r\n.\r\n"
        )
        await session.feed(
            BEGIN + b"BDAT 1\r\nB" + b"EHLO b\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\n"
        )
        await session.feed(b"BDAT 1 LAST\r\nC")
    assert world.kept.octets == [b"A\r\n", b"C"]
    assert [len(a.envelope.recipients) for a in world.kept.arrivals] == [1, 1]
    assert [a.trace for a in world.kept.arrivals] == [TRACE, TRACE + "-2"]
