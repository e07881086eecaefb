"""The milter session of one mail, packet by packet: what is said, in which order, and what ends it."""

from __future__ import annotations

import struct

import pytest

from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.milter import packets
from a3mailer.wire.milter.codes import ACTIONS, STEPS, VERSION, Action, Command, Step
from a3mailer.wire.milter.engine import MAX_CHANGES, Mail, MilterEngine, Result, Verdict
from a3mailer.wire.milter.packets import packet

MAIL = Mail(
    "[192.0.2.1]", "192.0.2.1", 4000, b"mx.b.test", (b"<carol@b.test>", b"SIZE=9"),
    ((b"<alice@a.test>",), (b"<bob@a.test>",)), ((b"From", b" carol@b.test"), (b"Subject", b" a\n b")),
    b"x" * 70_000, {Command.CONNECT: {"j": "mx.a.test", "daemon_name": "SMTP"}, Command.MAIL: {"i": "trace"}},
)  # fmt: skip
GO_ON = packet(b"c")


def terms(steps: int = 0, actions: int = 0, more: bytes = b"", version: int = VERSION) -> bytes:
    return packet(b"O", struct.pack("!III", version, actions, steps) + more)


def cut(octets: bytes) -> list[tuple[bytes, bytes]]:
    reader = packets.PacketReader()
    reader.feed(octets)
    found = []
    while (each := reader.next()) is not None:
        found.append(each)
    return found


def play(*said: bytes, mail: Mail = MAIL) -> tuple[list[bytes], Result | None]:
    """(codes we said, in turns joined by spaces; the result)."""
    engine = MilterEngine(mail)
    turns = [engine.octets_to_send()]
    for each in said:
        engine.receive(each)
        turns.append(engine.octets_to_send())
    return [b"".join(code for code, _ in cut(turn)) for turn in turns], engine.result


def test_we_offer_the_newest_version_and_all_that_we_understand() -> None:
    (code, data), *rest = cut(MilterEngine(MAIL).octets_to_send())
    assert (code, struct.unpack("!III", data), rest) == (b"O", (6, int(ACTIONS), int(STEPS)), [])


def test_a_filter_that_hears_and_answers_everything() -> None:
    said, result = play(terms(), *[GO_ON] * 11)
    assert said == [b"O", b"DC", b"H", b"DM", b"R", b"R", b"T", b"L", b"L", b"N", b"B", b"B", b"E"]
    assert result is None
    said, result = play(terms(), *[GO_ON] * 12)
    assert said[-1] == b"Q" and result == Result(Verdict.ACCEPT)


def test_what_is_not_answered_is_said_in_one_go() -> None:
    silent = (
        Step.SILENT_CONNECT | Step.SILENT_HELO | Step.SILENT_MAIL | Step.SILENT_RCPT | Step.SILENT_DATA
        | Step.SILENT_HEADER | Step.SILENT_END_OF_HEADER | Step.SILENT_BODY
    )  # fmt: skip
    said, result = play(terms(silent), GO_ON)
    assert said == [b"O", b"DCHDMRRTLLNBBE", b"Q"] and result == Result(Verdict.ACCEPT)


def test_what_is_not_wanted_is_not_said() -> None:
    unwanted = (
        Step.NO_CONNECT | Step.NO_HELO | Step.NO_MAIL | Step.NO_RCPT | Step.NO_DATA | Step.NO_HEADERS
        | Step.NO_END_OF_HEADER | Step.NO_BODY
    )  # fmt: skip
    assert play(terms(unwanted), GO_ON)[0] == [b"O", b"E", b"Q"]
    assert play(terms(unwanted, version=2), GO_ON)[1] == Result(Verdict.ACCEPT)


def test_macros_are_those_it_asks_for() -> None:
    engine = MilterEngine(MAIL)
    engine.octets_to_send()
    engine.receive(terms(more=struct.pack("!I", 0) + b"{daemon_name} x\0" + struct.pack("!I", 2) + b"none\0"))
    assert cut(engine.octets_to_send())[0] == (b"D", b"C{daemon_name}\0SMTP\0")
    engine.receive(GO_ON * 2)
    assert [code for code, _ in cut(engine.octets_to_send())] == [b"H", b"M"]


def test_the_words_of_each_command() -> None:
    engine = MilterEngine(MAIL)
    engine.octets_to_send()
    engine.receive(terms(Step.LEADING_SPACE) + GO_ON * 11)
    found = cut(engine.octets_to_send())
    assert found[0] == (b"D", b"Cj\0mx.a.test\0{daemon_name}\0SMTP\0")
    assert found[1] == (b"C", b"[192.0.2.1]\x004\x0f\xa0192.0.2.1\0")
    assert found[2] == (b"H", b"mx.b.test\0")
    assert found[4] == (b"M", b"<carol@b.test>\0SIZE=9\0")
    assert found[8:10] == [(b"L", b"From\0 carol@b.test\0"), (b"L", b"Subject\0 a\n b\0")]
    assert [len(data) for code, data in found if code == b"B"] == [65_535, 4_465]
    bare = MilterEngine(MAIL)
    bare.receive(terms() + GO_ON * 8)
    assert (b"L", b"Subject\0a\n b\0") in cut(bare.octets_to_send())
    assert packets.connect("x", "2001:db8::1", 1)[5:] == b"x\x006\0\x01IPv6:2001:db8::1\0"
    assert packets.connect("x", "", 0)[5:] == b"x\0U"


@pytest.mark.parametrize(
    ("last", "result"),
    [
        (packet(b"a"), Result(Verdict.ACCEPT)),
        (packet(b"r"), Result(Verdict.REJECT)),
        (packet(b"t"), Result(Verdict.TEMPFAIL)),
        (packet(b"d"), Result(Verdict.DISCARD)),
        (packet(b"4"), Result(Verdict.TEMPFAIL)),
        (packet(b"f"), Result(Verdict.TEMPFAIL)),
        (packet(b"y", b"550 5.7.9 no\0"), Result(Verdict.REJECT, (), "5.7.9", "no")),
        (packet(b"y", b"451 come back\0"), Result(Verdict.REJECT, (), "4.7.1", "come back")),
        (packet(b"y", b"550-5.7.9 one\r\n550 two\0"), Result(Verdict.REJECT, (), "5.7.9", "one two")),
        (packet(b"y", b"550 4.7.9 lies\0"), Result(Verdict.REJECT, (), "5.7.1", "4.7.9 lies")),
    ],
)
@pytest.mark.parametrize("after", [0, 3, 11])
def test_every_answer_may_end_it(last: bytes, result: Result, after: int) -> None:
    said, found = play(terms(), *[GO_ON] * after, last)
    assert found == result and said[-1] == b"Q"


def test_a_body_that_is_skipped_is_not_sent_on() -> None:
    said, _ = play(terms(), *[GO_ON] * 10, packet(b"s"))
    assert said[-2:] == [b"B", b"E"]
    with pytest.raises(RemoteProtocolError):
        play(terms(), packet(b"s"))


def test_progress_only_asks_for_time() -> None:
    engine = MilterEngine(MAIL)
    engine.receive(terms() + GO_ON * 11 + packet(b"p"))
    assert engine.progressed and engine.result is None
    engine.receive(GO_ON)
    assert engine.result == Result(Verdict.ACCEPT)


CHANGES = (
    (packet(b"h", b"X-A\0 b\0"), packets.AddHeader(b"X-A", b" b")),
    (packet(b"i", b"\0\0\0\1X-A\0b\0"), packets.InsertHeader(1, b"X-A", b"b")),
    (packet(b"m", b"\0\0\0\2X-A\0\0"), packets.ChangeHeader(2, b"X-A", b"")),
    (packet(b"b", b"new\0body"), packets.ReplaceBody(b"new\0body")),
    (packet(b"+", b"<x@a.test>\0"), packets.AddRecipient(b"<x@a.test>")),
    (packet(b"2", b"<x@a.test>\0NOTIFY=NEVER\0"), packets.AddRecipient(b"<x@a.test>", b"NOTIFY=NEVER")),
    (packet(b"-", b"<x@a.test>\0"), packets.DeleteRecipient(b"<x@a.test>")),
    (packet(b"e", b"<y@a.test>\0"), packets.ChangeSender(b"<y@a.test>")),
    (packet(b"q", b"a virus\0"), packets.Quarantine(b"a virus")),
)


@pytest.mark.parametrize("last", [GO_ON, packet(b"a")])
def test_all_changes_come_at_the_end_in_order(last: bytes) -> None:
    octets = b"".join(each for each, _ in CHANGES)
    _, result = play(terms(), *[GO_ON] * 11, octets + last)
    assert result == Result(Verdict.ACCEPT, tuple(change for _, change in CHANGES))
    with pytest.raises(RemoteProtocolError):
        play(terms(), *[GO_ON] * 3, octets)
    _, refused = play(terms(), *[GO_ON] * 11, octets + packet(b"r"))
    assert refused == Result(Verdict.REJECT)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_how_octets_are_cut_changes_nothing(size: int) -> None:
    whole = terms(Step.SILENT_RCPT) + GO_ON * 9 + b"".join(each for each, _ in CHANGES) + GO_ON
    engine = MilterEngine(MAIL)
    for at in range(0, len(whole), size):
        engine.receive(whole[at : at + size])
    assert engine.result == Result(Verdict.ACCEPT, tuple(change for _, change in CHANGES))


@pytest.mark.parametrize(
    "octets",
    [
        packet(b"c"),
        terms(version=7),
        terms(version=1),
        terms(actions=int(Action.SET_MACROS) * 2),
        terms(int(Step.REFUSED_RECIPIENTS)),
        packet(b"O", b"short"),
        terms(more=b"\0\0\0\x63x\0"),
        terms(more=b"\0\0\0\0unended"),
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        terms() + packet(b"?"),
        terms() + packet(b"y", b"250 fine\0"),
        terms() + packet(b"y", b"550 no end"),
        terms() + packet(b"y", b"5\xb2\xb2 x\0"),
        terms() + GO_ON * 11 + packet(b"h", b"only a name\0"),
        terms() + GO_ON * 11 + packet(b"m", b"\0\0"),
        terms() + GO_ON * 11 + packet(b"h", b"a\0b\0") * (MAX_CHANGES + 1),
        terms() + GO_ON * 11 + packet(b"b", b"x" * (1 << 20 >> 1)) * 101,
    ],
)
def test_a_filter_that_breaks_the_protocol_is_left(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        MilterEngine(MAIL).receive(octets)
