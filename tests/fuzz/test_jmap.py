"""Fuzz targets of JMAP: requests, pointers, patches, names of blobs, and frames of WebSocket."""

from __future__ import annotations

import json
import random
import zlib

import msgspec

from a3mailer.access.blobs import name_of, name_of_part, read_name
from a3mailer.edge.http.jmap.binary import asked, disposition, media_type
from a3mailer.edge.http.jmap.news import unpacked
from a3mailer.wire.jmap.errors import MethodError, RequestError, SetError
from a3mailer.wire.jmap.ijson import decode, weight
from a3mailer.wire.jmap.patch import patched, paths
from a3mailer.wire.jmap.pointer import evaluate
from a3mailer.wire.jmap.request import MAX_REFERENCED, References, request_of
from a3mailer.wire.websocket import engine as ws
from tests.fuzz import mutate

REQUESTS = (
    b'{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"a":[1,{"b":2}]},"0"],["Core/echo",'
    b'{"#x":{"resultOf":"0","name":"Core/echo","path":"/a/*/b"}},"1"]],"createdIds":{"k":"F1"}}',
    b'{"using":[],"methodCalls":[["e",{"#x":{"resultOf":"0","name":"e","path":"/a~1b/0"},"a/b":[[]]},"0"]]}',
    '{"ü":["\\ud83d\\ude00\\u0000","\U0001f600"],"n":[-0,1.5e3,9007199254740993,true,null]}'.encode(),
)
TOKENS = (
    b'"', b"\\", b"\\u", b"\\ud800", b"\\uffff", b"{", b"}", b"[", b"]", b":", b",", b'"a":', b'"a":1,',
    b"[" * 70, b'{"a":' * 70, b"9" * 400, b"\xef\xbf\xbf", b"\xed\xa0\x80", b'"#x":', b'"path":"/*/*"',
    b"null", b"~0", b"/",
)  # fmt: skip


def requests_of(octets: bytes) -> None:
    try:
        value = decode(octets)
    except RequestError as error:
        assert error.type == "notJSON"
        return
    assert weight(value, 1 << 30) <= len(octets) + 1
    assert json.loads(msgspec.json.encode(value)) is not None or value is None
    try:
        request = request_of(value)
    except RequestError as error:
        assert error.type == "notRequest"
        return
    references, responses = References(), []
    for name, arguments, call_id in request.method_calls[:64]:
        try:
            responses.append((name, references.resolved(arguments, responses), call_id))
        except MethodError as error:
            assert error.type in ("invalidResultReference", "invalidArguments")
    assert sum(weight(each[1], 1 << 30) for each in responses) <= MAX_REFERENCED + len(octets)


@mutate.CASES
def test_any_octets_are_a_request_or_refused(count: int, seed: int) -> None:
    mutate.run(requests_of, REQUESTS, count=count, seed=seed, tokens=TOKENS)


RECORD = {"a": {"b": {"c": 1}, "": 2, "~": [1, {"x": 1}]}, "list": [[1], [2, 3]], "n": 1}


def paths_of(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    try:
        found = evaluate(text, RECORD)
        assert weight(found, 1000) < 100
    except MethodError as error:
        assert error.type == "invalidResultReference"
    patch = {key: None if n % 2 else {"v": n} for n, key in enumerate(text.split("\n"))}
    before = json.dumps(RECORD)
    try:
        assert patched(RECORD, paths(patch), {"n": 5}) is not None
    except SetError as error:
        assert error.type == "invalidPatch"
    assert json.dumps(RECORD) == before


@mutate.CASES
def test_any_text_is_a_pointer_and_a_patch_or_refused(count: int, seed: int) -> None:
    seeds = (b"/a/b/c", b"/list/*/0", b"a/b/d\nn\na/~0", b"a/b\na/b/c", b"/a/~0/1/x\n/a")
    tokens = (b"/", b"~0", b"~1", b"~2", b"*", b"\n", b"/0", b"/-", b"\xff", b"/*" * 40)
    mutate.run(paths_of, seeds, count=count, seed=seed, tokens=tokens)


def names_of(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    found = read_name(text)
    if found is not None:
        made = (
            name_of(found.blob)
            if found.whole
            else name_of_part(found.blob, found.start, found.stop, found.coding)
        )
        assert made == text
    told = disposition(text)
    assert told.isascii() and told.isprintable() and len(told) < 5000
    media = media_type(text)
    assert media.isascii() and media.isprintable()
    part = asked(text, None, "t", 100)
    assert part is None or 0 <= part[0] <= part[1] <= 100
    unpacked(text)


@mutate.CASES
def test_any_text_is_a_name_a_type_and_a_range_or_none(count: int, seed: int) -> None:
    seeds = (b"B" + b"0f" * 16, b"P" + b"0f" * 16 + b"_10_200_b", b"bytes=0-5", b"text/html; a=b",
             b"eyJBMSI6e319", "a\"b é.txt".encode())  # fmt: skip
    tokens = (b"_", b"-", b"bytes=", b"\r\n", b'"', b"%", b"\xe2\x80\xae", b";", b"9" * 20, b"\0")
    mutate.run(names_of, seeds, count=count, seed=seed, tokens=tokens)


def _frame(opcode: int, payload: bytes, first: int = 0x80) -> bytes:
    size = len(payload)
    head = bytes((first | opcode, 0x80 | min(size, 126))) + (size.to_bytes(2, "big") if size > 125 else b"")
    return head + b"\x01\x02\x03\x04" + ws.unmasked(payload, b"\x01\x02\x03\x04")


def _events(octets: bytes, rng: random.Random | None) -> list[ws.Event]:
    engine, at, found = ws.WebSocketEngine(5000), 0, []
    while at < len(octets):
        step = rng.choice((1, 3, 50)) if rng else len(octets)
        engine.receive(octets[at : at + step])
        at += step
        while (event := engine.next_event()) is not None:
            found.append(event)
    return found


def frames_of(octets: bytes) -> None:
    found = _events(octets, None)
    assert all(not isinstance(each, ws.Broken | ws.Close) for each in found[:-1])
    for each in found:
        if isinstance(each, ws.Text):
            assert len(each.octets) <= 5000 and each.octets.decode("utf-8") is not None
    assert _events(octets, random.Random(zlib.crc32(octets))) == found


@mutate.CASES
def test_any_octets_are_frames_or_refused(count: int, seed: int) -> None:
    seeds = (
        _frame(1, b'{"@type":"Request"}') + _frame(9, b"x") + _frame(8, b"\x03\xe8"),
        _frame(1, b"Hel", 0) + _frame(10, b"") + _frame(0, b"lo") + _frame(1, b"x" * 200),
    )
    tokens = (
        b"\x81",
        b"\x80",
        b"\x00",
        b"\x82",
        b"\xff" * 9,
        _frame(0, b"", 0),
        _frame(1, "é".encode()),
        b"\x88\x80",
    )
    mutate.run(frames_of, seeds, count=count, seed=seed, tokens=tokens)
