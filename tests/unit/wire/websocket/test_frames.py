"""Frames: the examples of RFC 6455 section 5.7, every rule, and any cutting."""

import random
import time

import pytest

from a3mailer.wire.websocket import engine as ws

KEY = b"\x37\xfa\x21\x3d"


def frame(opcode: int, payload: bytes, *, final: bool = True, key: bytes = KEY, first: int = 0) -> bytes:
    """A client's frame."""
    size = len(payload)
    long = b"" if size < 126 else size.to_bytes(2, "big") if size < 65536 else size.to_bytes(8, "big")
    head = bytes(
        (
            first or (0x80 if final else 0) | opcode,
            0x80 | (size if size < 126 else 126 if size < 65536 else 127),
        )
    )
    return head + long + key + ws.unmasked(payload, key)


def events(octets: bytes, most: int = 1 << 20, step: int = 0) -> list[ws.Event]:
    engine, found = ws.WebSocketEngine(most), []
    for at in range(0, len(octets), step or len(octets) or 1):
        engine.receive(octets[at : at + (step or len(octets))])
        while (event := engine.next_event()) is not None:
            found.append(event)
    return found


def test_the_examples() -> None:
    assert frame(1, b"Hello") == bytes.fromhex("818537fa213d7f9f4d5158")
    assert ws.text(b"Hello") == bytes.fromhex("810548656c6c6f")
    assert ws.text(b"x" * 256)[:4] == bytes.fromhex("817e0100")
    assert ws.text(b"x" * 65536)[:10] == bytes.fromhex("817f0000000000010000")
    assert ws.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert ws.accept("") is None and ws.accept("dGhl") is None and ws.accept("\xff" * 24) is None


@pytest.mark.parametrize("step", [0, 1, 2, 7])
def test_messages_in_pieces_with_control_frames_between(step: int) -> None:
    octets = (
        frame(1, b"Hel", final=False) + frame(9, b"are you there") + frame(0, b"lo ", final=False)
        + frame(0, "é".encode()) + frame(1, b"") + frame(1, b"x" * 300) + frame(10, b"")
        + frame(8, b"\x03\xe8bye") + frame(1, b"after the end")
    )  # fmt: skip
    assert events(octets, step=step) == [
        ws.Ping(b"are you there"), ws.Text("Hello é".encode()), ws.Text(b""), ws.Text(b"x" * 300),
        ws.Pong(b""), ws.Close(1000),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (bytes.fromhex("810548656c6c6f"), 1002),
        (frame(1, b"a", first=0xC1), 1002),
        (frame(3, b"a"), 1002),
        (frame(11, b"a"), 1002),
        (frame(2, b"a"), 1003),
        (frame(0, b"a"), 1002),
        (frame(1, b"a", final=False) + frame(1, b"b"), 1002),
        (frame(9, b"a", final=False), 1002),
        (frame(9, b"a" * 126), 1002),
        (frame(1, b"\xff"), 1007),
        (frame(1, b"\xc3", final=False) + frame(0, b""), 1007),
        (frame(8, b"\x03"), 1002),
        (frame(8, b"\x03\xec"), 1002),
        (frame(8, b"\x00\x01"), 1002),
        (frame(8, b"\x03\xe8\xff"), 1007),
        (frame(1, b"x" * 2000), 1009),
        (frame(1, b"x" * 600, final=False) + frame(0, b"x" * 600), 1009),
        (bytes.fromhex("81fe0001") + KEY + b"a", 1002),
        (bytes.fromhex("81ff0000000000000001") + KEY + b"a", 1002),
        (bytes.fromhex("81ffffffffffffffffff"), 1002),
        (b"".join(frame(0 if n else 1, b"", final=False) for n in range(ws.MAX_FRAMES + 1)), 1008),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_ends_it(octets: bytes, code: int) -> None:
    for step in (0, 1):
        last = events(octets + frame(1, b"more"), most=1000, step=step)[-1]
        assert isinstance(last, ws.Broken) and last.code == code


def test_a_large_message_is_refused_before_it_is_gathered() -> None:
    engine = ws.WebSocketEngine(1000)
    engine.receive(bytes.fromhex("81ff00000000ffffffff"))
    assert isinstance(engine.next_event(), ws.Broken)


def test_a_large_message_costs_its_size() -> None:
    octets = frame(1, b"x" * (4 << 20))
    began = time.process_time()
    assert len(events(octets, most=8 << 20, step=65536)) == 1
    assert time.process_time() - began < 2.0  # quadratic would be minutes


def test_unmasking_is_its_own_inverse() -> None:
    rng = random.Random(20261123)
    for size in (0, 1, 3, 4, 5, 1000):
        payload, key = rng.randbytes(size), rng.randbytes(4)
        masked = ws.unmasked(payload, key)
        assert ws.unmasked(masked, key) == payload
        assert masked == bytes(octet ^ key[n % 4] for n, octet in enumerate(payload))
