"""The header read once: the same fields that the rest of the house sees."""

from hypothesis import given
from hypothesis import strategies as st

from a3mailer.mail.message import headers
from a3mailer.msgauth import fields, tags
from tests.growth import assert_linear

BLOCK = st.lists(
    st.sampled_from([b"From", b" ", b"\t", b":", b"a", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b"\xff"])
).map(b"".join)


@given(BLOCK)
def test_fields_are_those_of_the_message_index(octets: bytes) -> None:
    header = fields.read(octets)
    seen = [(name, octets[a:b]) for name, a, b in headers.fields(octets, 0, len(octets))]
    ours = [f for f in header.fields if b":" in f.raw.split(b"\n")[0]]
    assert [f.name for f in ours] == [name for name, _ in seen]
    assert [headers.unfold(f.value) for f in ours] == [headers.unfold(value) for _, value in seen]
    assert all(f.raw.endswith(b"\r\n") and f.raw.count(b"\n") == f.raw.count(b"\r\n") for f in header.fields)
    assert header.body == headers.header_end(octets, 0, len(octets))


def test_fields_are_found_by_name() -> None:
    header = fields.read(b"From: a\r\nTo: b\r\n c\r\nno colon\r\nFROM : d\r\n\r\n")
    assert [f.value for f in header.all(b"from")] == [b" a", b" d"]
    assert header.all(b"cc") == []
    assert header.names == (b"from", b"to")
    assert header.fields[2] == fields.Field(b"", b"no colon\r\n")


def test_headers_that_want_to_be_dear_are_linear() -> None:
    for unit in (b"a: b\r\n", b"a: b\r\n ", b"\n ", b"a\n", b":\n", b" \r\n", b"\r"):
        assert_linear(lambda n, unit=unit: unit * n, fields.read, 10_000)


def test_a_tag_list() -> None:
    assert tags.parse(b" v = 1 ; b=A B\r\n\tC;; x=") is None
    assert tags.parse(b" v = 1 ;\r\n b=A B\r\n\tC; x=; ") == {b"v": b"1", b"b": b"A B\r\n\tC", b"x": b""}
    for bad in (b"", b";", b"v", b"=1", b"1v=1", b"v=1; v=2", b"a=\0", b"a=\x7f", b"a-b=1", b"a=1;" * 101):
        assert tags.parse(bad) is None, bad
    assert tags.names(b"From : to:\r\n Cc") == (b"from", b"to", b"cc")
    assert tags.decode_base64(b"YWJj\r\n ZGVm") == b"abcdef"
    assert tags.decode_base64(b"YWJ") is None and tags.decode_base64(b"Y*Jj") is None


def test_the_signature_is_taken_out_and_nothing_else() -> None:
    for before, after in (
        (b"X: v=1; b=abc;\r\n bh=q; b=z\r\n", b"X: v=1; b=;\r\n bh=q; b=z\r\n"),
        (b"X: b =\r\n abc\r\n def; bb=1\r\n", b"X: b =; bb=1\r\n"),
        (b"X: v=1; bh=b=c; b=d\r\n", b"X: v=1; bh=b=c; b="),
        (b"X: v=1\r\n", b"X: v=1\r\n"),
    ):
        assert tags.without_signature(before) == after


@given(
    st.lists(st.sampled_from([b"v", b"b", b"=", b";", b" ", b"\r\n ", b"a1", b"\0", b"\xc3"])).map(b"".join)
)
def test_any_octets_are_a_tag_list_or_none(octets: bytes) -> None:
    found = tags.parse(octets)
    if found is not None:
        assert tags.parse(b";".join(k + b"=" + v for k, v in found.items())) == found


def test_tag_lists_that_want_to_be_dear_are_linear() -> None:
    for unit in (b"b", b"b=", b";", b" ", b"; b", b";  \r\n "):
        assert_linear(lambda n, unit=unit: unit * n, tags.parse, 10_000)
        assert_linear(lambda n, unit=unit: b"X:" + unit * n, tags.without_signature, 10_000)
