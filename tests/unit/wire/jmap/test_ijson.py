"""I-JSON: what is taken, what is not, and at what price (attack rows 28 and 44)."""

import time

import pytest

from a3mailer.wire.jmap.errors import RequestError
from a3mailer.wire.jmap.ijson import MAX_DEPTH, decode, weight

MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b'{"a\\":":1,"a:\\\\":2}', {'a":': 1, "a:\\": 2}),
        (b'"\\\\ufffe"', "\\ufffe"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        ('{"ü":[{}]}'.encode(), {"ü": [{}]}),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b'"\\u0000"', "\0"),
        (b" [1.5, -0] ", [1.5, 0]),
    ],
)
def test_is_taken(octets: bytes, value: object) -> None:
    made = decode(octets)
    assert value is None or made == value


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"{", b"[1,]", b"NaN", b"'a'", b"\xef\xbb\xbf[]", b'"\xff"', b'"\xed\xa0\x80"', b'"a\nb"',
        b'{"a":1,"a":1}', b'{"a":1,"\\u0061":1}', b'[{"x":{"a":1,"b":2,"a":3}}]',
        b'"\\ud800"', b'"\\ud800a"', b'"\\udc00\\ud800"', b'"\\ufffe"', b'"\\uFDD0"', b'"\\ud83f\\udffe"',
        "\"\ufdd0\"".encode(), "\"\U0010ffff\"".encode(), "\"\uffff\"".encode(),
        b"1" * 5000, b"1e400", b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2),
        b"[" * 100_000, b'{"a":' * 100_000, b"[1]]",
    ],
    ids=lambda octets: repr(octets[:24]),
)  # fmt: skip
def test_is_not_taken(octets: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        decode(octets)
    assert caught.value.type == "notJSON"


def test_what_is_shared_is_weighed_as_often_as_it_is_told() -> None:
    value: object = "x"
    for _ in range(60):
        value = [value, value]
    began = time.process_time()
    assert weight(value, 1000) == 1001
    assert time.process_time() - began < 1.0  # not 2**60 steps
    assert weight({"a": [1, 2, {"b": 3}]}, 1000) == 6
