"""Header and body canonicalisation (RFC 6376 section 3.4) against a slow second opinion."""

import base64
import hashlib
import mmap
import re
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from a3mailer.msgauth import canonical, fields
from tests.growth import assert_linear

TEXT = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n", b"\n", b"\r", b"a", b"b c", b"\0", b"\xff", b" \r\n", b"\r\n\r\n"])
).map(b"".join)


def slow_body(octets: bytes, *, relaxed: bool) -> bytes:
    lines = re.sub(rb"(?<!\r)\n", b"\r\n", octets).split(b"\r\n")
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return b"" if relaxed else b"\r\n"
    return b"\r\n".join(lines) + b"\r\n"


def body(octets: bytes, *, relaxed: bool) -> bytes:
    return b"".join(canonical.body(octets, 0, relaxed=relaxed))


def test_the_example_of_the_rfc() -> None:
    # RFC 6376 section 3.4.5
    mail = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"
    header = fields.read(mail)
    assert canonical.relaxed_fields(f.raw for f in header.fields) == b"a:X\r\nb:Y Z\r\n"
    assert b"".join(canonical.body(mail, header.body, relaxed=True)) == b" C\r\nD E\r\n"
    assert b"".join(canonical.body(mail, header.body, relaxed=False)) == b" C \r\nD \t E\r\n"
    assert [f.raw for f in header.fields] == [b"A: X\r\n", b"B : Y\t\r\n\tZ  \r\n"]


def test_the_hash_of_an_empty_body() -> None:
    # RFC 6376 sections 3.4.3 and 3.4.4
    bodies = canonical.Bodies(b"a: b\r\n\r\n", 8)
    assert base64.b64encode(bodies.sha256(relaxed=False) or b"") == (
        b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="
    )
    assert base64.b64encode(bodies.sha256(relaxed=True) or b"") == (
        b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    )


@given(TEXT, st.booleans())
def test_a_body_is_what_the_rfc_says(octets: bytes, relaxed: bool) -> None:
    whole = slow_body(octets, relaxed=relaxed)
    assert body(octets, relaxed=relaxed) == whole
    for own in (octets, whole):  # the second has nothing that had to be made canonical
        made = canonical.Bodies(b"x" + own, 1).sha256(relaxed=relaxed)
        assert made == hashlib.sha256(slow_body(own, relaxed=relaxed)).digest()


@given(TEXT, st.booleans(), st.integers(1, 7))
def test_pieces_change_nothing(octets: bytes, relaxed: bool, size: int) -> None:
    whole, canonical_size = slow_body(octets, relaxed=relaxed), canonical.PIECE
    try:
        canonical.PIECE = size  # type: ignore[misc]
        assert body(octets, relaxed=relaxed) == whole
    finally:
        canonical.PIECE = canonical_size  # type: ignore[misc]


def test_a_mapped_body_is_hashed_like_one_in_memory() -> None:
    octets = b"a: b\r\n\r\n" + b"word \t word  \r\n\r\n" * 40_000 + b"\r\n" * 70_000
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            for relaxed in (False, True):
                made = canonical.Bodies(mapped, 8).sha256(relaxed=relaxed)
                assert made == hashlib.sha256(slow_body(octets[8:], relaxed=relaxed)).digest()
            header = fields.read(mapped)
            assert (header.fields[0].raw, header.body) == (b"a: b\r\n", 8)


@given(TEXT, st.booleans(), st.integers(0, 30))
def test_a_length_takes_the_first_octets(octets: bytes, relaxed: bool, length: int) -> None:
    whole = slow_body(octets, relaxed=relaxed)
    made = canonical.Bodies(octets, 0).sha256(relaxed=relaxed, length=length)
    assert made == (hashlib.sha256(whole[:length]).digest() if length <= len(whole) else None)


def test_bodies_that_want_to_be_dear_are_linear() -> None:
    for unit in (b" ", b"\t \t", b"\r\n", b" \r\n", b"\r", b" \r", b"\n", b"a  b\r\n", b"\r\r\n"):
        for relaxed in (False, True):

            def hashed(octets: bytes, relaxed: bool = relaxed) -> object:
                return canonical.Bodies(octets, 0).sha256(relaxed=relaxed)

            assert_linear(lambda n, unit=unit: unit * n, hashed, 40_000)
