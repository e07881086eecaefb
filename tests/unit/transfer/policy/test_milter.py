"""What filters do to mails before they are stored, and what their failures do (attack rows 8 and 70)."""

from __future__ import annotations

import asyncio
import struct

import pytest
from msgspec import structs

from a3mailer.config.tree import Milter, Server
from a3mailer.mail.errors import MailError, Refused, TryLater
from a3mailer.transfer.policy.judge import Judges
from a3mailer.transfer.policy.milter import Milters
from a3mailer.transfer.policy.rewrite import changed, split
from a3mailer.transfer.receive import Receive
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.milter import packets as p
from a3mailer.wire.milter.packets import PacketReader, packet
from tests.unit.transfer.policy.test_judge import only_mail
from tests.unit.transfer.world import SETTINGS, World

MAIL = b"From: carol@b.test\r\nSubject: hello\r\n there\r\nX-Old: 1\r\nx-old: 2\r\n\r\nbody\r\n"
GO_ON = packet(b"c")


class Filter:
    """A filter by script: ``ends`` is what it says of a mail; anything else it goes on with."""

    def __init__(self, ends: bytes = GO_ON, at: bytes = b"E", steps: int = 0, silent: bool = False) -> None:
        self.ends = ends
        self.at = at
        self.steps = steps
        self.silent = silent
        self.heard: list[tuple[bytes, bytes]] = []
        self.closed = False
        self._reader = PacketReader()
        self._out: asyncio.Queue[bytes] = asyncio.Queue()

    tls = ""
    local = ("", 0)

    def write(self, octets: bytes | memoryview) -> None:
        self._reader.feed(bytes(octets))
        while (each := self._reader.next()) is not None:
            self.heard.append(each)
            code = each[0]
            if code in b"DQ" or self.silent:
                continue
            if code == b"O":
                self._out.put_nowait(packet(b"O", struct.pack("!III", 6, 0x1FF, self.steps)))
            else:
                self._out.put_nowait(self.ends if code == self.at else GO_ON)

    async def read(self) -> bytes:
        return await self._out.get()

    async def drain(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def world_of(*filters: Filter | Exception, **settings: object) -> World:
    """Servers are named by their number."""
    names = tuple(str(n) for n in range(len(filters)))
    milter = Milter(servers=names, **settings)  # type: ignore[arg-type]
    world = World(structs.replace(SETTINGS, milter=milter))

    async def dial(where: str, seconds: float) -> Filter:
        found = filters[int(where)]
        if isinstance(found, Exception):
            raise found
        return found

    judges = Judges({"milters": Milters(dial, world.policy.lead, world.settings)})  # type: ignore[arg-type]
    world.receive = Receive(world.store, world.directory, world.settings, world.clock, judges)
    return world


def text(change: bytes, *texts: bytes, index: int | None = None) -> bytes:
    return packet(change, (b"" if index is None else struct.pack("!I", index)) + p.strings(*texts))


async def send(world: World, *to: str) -> tuple[MailError | None, ...]:
    return await world.send(MAIL, *(to or ("alice@a.test",)))


async def test_a_filter_hears_the_whole_transaction() -> None:
    heard = Filter()
    assert await send(world_of(heard)) == (None,)
    assert b"".join(code for code, _ in heard.heard) == b"ODCHDMRDTLLLLDNBDEQ" and heard.closed
    told = dict(heard.heard)
    assert told[b"M"].startswith(b"<carol@b.test>\0SIZE=") and told[b"R"] == b"<alice@a.test>\0"
    assert (b"L", b"Subject\0hello\n there\0") in heard.heard
    assert told[b"B"] == b"body\r\n"


async def test_what_a_filter_changes_is_what_is_stored_and_what_the_next_one_sees() -> None:
    changes = (
        text(b"h", b"X-Added", b"last\n line") + text(b"i", b"X-First", b"top", index=0)
        + text(b"m", b"X-Old", b"", index=1) + text(b"m", b"X-Old", b"changed", index=2)
        + text(b"m", b"X-New", b"new", index=1) + packet(b"b", b"other ") + packet(b"b", b"body\r\n")
    )  # fmt: skip
    second = Filter()
    world = world_of(Filter(changes + GO_ON), second)
    assert await send(world) == (None,)
    new = (
        b"X-First: top\r\nFrom: carol@b.test\r\nSubject: hello\r\n there\r\nX-Old: changed\r\n"
        b"X-Added: last\r\n line\r\nX-New: new\r\n\r\nother body\r\n"
    )
    assert (await only_mail(world)).endswith(new)
    assert (b"L", b"X-First\0top\0") in second.heard and (b"B", b"other body\r\n") in second.heard


async def test_recipients_and_sender_are_changed() -> None:
    changes = (
        text(b"+", b"<bob@a.test>") + text(b"-", b"<alice@a.test>")
        + text(b"2", b"<x@far.test>", b"NOTIFY=NEVER")
        + text(b"e", b"<other@b.test>")
    )  # fmt: skip
    world = world_of(Filter(changes + GO_ON))
    assert await send(world) == (None,)
    assert (await only_mail(world, "bob")).startswith(b"Return-Path: <other@b.test>\r\n")
    (entry,) = await world.store.queue()
    assert [r.address for r in entry.recipients] == ["x@far.test"]
    world = world_of(Filter(text(b"-", b"<alice@a.test>") + GO_ON))
    assert await send(world) == (None,)
    assert not (await world.store.columns(world.alice.id, 1))[1].uids  # type: ignore[arg-type]


@pytest.mark.parametrize("at", [b"C", b"H", b"M", b"R", b"T", b"L", b"N", b"B", b"E"])
async def test_a_refusal_at_any_step_refuses_the_mail(at: bytes) -> None:
    (error,) = await send(world_of(Filter(packet(b"y", b"550 5.7.9 no thanks\0"), at)))
    assert isinstance(error, Refused) and (str(error), error.status) == ("no thanks", "5.7.9")
    (error,) = await send(world_of(Filter(packet(b"t"), at)))
    assert isinstance(error, Refused) and error.transient


async def test_discard_and_quarantine() -> None:
    world = world_of(Filter(packet(b"d")), unasked := Filter())
    assert await send(world) == (None,)
    assert not unasked.heard and not (await world.store.columns(world.alice.id, 1))[1].uids  # type: ignore[arg-type]
    world = world_of(Filter(text(b"q", b"a virus") + GO_ON))
    assert await send(world) == (None,)
    assert MAIL in await only_mail(world, "alice", "Junk")
    (error,) = await send(world_of(Filter(text(b"q", b"a virus") + GO_ON)), "away@a.test")
    assert isinstance(error, Refused)


BROKEN = {
    "is not there": ConnectionError("refused"),
    "closes": Filter(b""),
    "talks nonsense": Filter(packet(b"?")),
    "sends a field that is none": Filter(text(b"h", b"X\r\nY", b"z") + GO_ON),
    "adds a recipient that is none": Filter(text(b"+", b"<<x>>") + GO_ON),
    "adds somebody who is not here": Filter(text(b"+", b"<nobody@a.test>") + GO_ON),
    "says nothing": Filter(silent=True),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("failure", ["tempfail", "accept"])
async def test_a_filter_that_fails_is_what_the_operator_says(how: str, failure: str) -> None:
    broken = BROKEN[how]
    if isinstance(broken, Filter):
        broken = Filter(broken.ends, silent=broken.silent)
    world = world_of(broken, after := Filter(), failure=failure, seconds=0.1)
    (error,) = await send(world)
    if failure == "accept":
        assert error is None and MAIL in await only_mail(world) and after.heard
    else:
        assert isinstance(error, TryLater) and not after.heard
    assert not isinstance(broken, Filter) or broken.closed


async def test_which_mail_filters_see() -> None:
    heard = Filter()
    world = world_of(heard, doors=("submission",))
    assert await send(world) == (None,) and not heard.heard
    mail = b"From: alice@a.test\r\nBcc: bob@a.test\r\n\r\nx\r\n"
    await world.send(mail, "bob@a.test", sender="alice@a.test", client=world.submitter())
    names = [data.partition(b"\0")[0] for code, data in heard.heard if code == b"L"]
    assert names == [
        b"Date",
        b"Message-ID",
        b"From",
    ]  # completed before it is seen, so that a signature holds
    heard.heard.clear()
    world.receive.reconfigure(structs.replace(world.settings, server=Server(profile="plain")))
    await world.send(mail, "bob@a.test", sender="alice@a.test", client=world.submitter())
    assert not heard.heard


@pytest.mark.parametrize(
    "octets",
    [MAIL, b"", b"body only", b"\r\nbody", b"a: b", b"a: b\n\nx", b"a: b\rc: d\r\n\r\nx", b"a\nb: c\n\n"],
)
def test_what_nobody_changes_keeps_its_octets(octets: bytes) -> None:
    fields, empty, body = split(octets)
    assert b"".join(fields) + empty + body == octets == changed(octets, (), leading_space=False)


def test_a_field_cannot_end_the_header_or_bring_another() -> None:
    new = changed(b"a: b\r\n\r\nx", [p.AddHeader(b"X", b"1\r\n\r\nY: 2\0\r3")], leading_space=False)
    assert new == b"a: b\r\nX: 1\r\n\tY: 2\r\n\t3\r\n\r\nx"
    for name in (b"", b"a b", b"a:", b"a\n", b"\xff"):
        with pytest.raises(RemoteProtocolError):
            changed(b"", [p.AddHeader(name, b"x")], leading_space=True)


def test_fields_taken_out_keep_their_number() -> None:
    octets = b"A: 1\r\nA: 2\r\nA: 3\r\n\r\n"
    gone = [p.ChangeHeader(1, b"a", b""), p.ChangeHeader(2, b"A", b"")]
    assert changed(octets, gone, leading_space=True) == b"A: 3\r\n\r\n"
    assert (
        changed(octets, [p.InsertHeader(99, b"B", b" 4")], leading_space=True)
        == octets[:-2] + b"B: 4\r\n\r\n"
    )
