"""Contents as multi-line responses: stuffing, line ends, TOP."""

import pytest

from a3mailer.wire.pop3.multiline import TopCutter, encode, encoder, top

LONG = b"x" * 5000


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"..a\r\n.b\r\n", b"...a\r\n..b\r\n.\r\n"),
        (b"a\n.\nb\r.\rc", b"a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n"),
        (LONG + b"\r\n", LONG + b"\r\n.\r\n"),
        (b"\0\xff\r\n", b"\0\xff\r\n.\r\n"),
    ],
)
def test_no_line_of_a_message_is_its_end(octets: bytes, said: bytes) -> None:
    assert encode(octets) == said
    pieces = encoder()
    assert b"".join(pieces.feed(octets[i : i + 1]) for i in range(len(octets))) + pieces.finish() == said


MAIL = b"A: b\r\nC: d\r\n\r\n1\r\n\r\n3\r\n4"


@pytest.mark.parametrize(
    ("octets", "lines", "found"),
    [
        (MAIL, 0, b"A: b\r\nC: d\r\n\r\n"),
        (MAIL, 1, b"A: b\r\nC: d\r\n\r\n1\r\n"),
        (MAIL, 2, b"A: b\r\nC: d\r\n\r\n1\r\n\r\n"),
        (MAIL, 3, b"A: b\r\nC: d\r\n\r\n1\r\n\r\n3\r\n"),
        (MAIL, 4, MAIL),
        (MAIL, 2**32, MAIL),
        (b"\r\n1\r\n2\r\n", 1, b"\r\n1\r\n"),
        (b"A: b\r\n", 0, b"A: b\r\n"),
        (b"A: b\n\n1\n2\n", 1, b"A: b\n\n1\n"),
        (b"", 5, b""),
    ],
)
def test_top_is_the_header_and_so_many_lines(octets: bytes, lines: int, found: bytes) -> None:
    assert top(octets, lines) == found
    for size in (1, 2, 3):
        cutter = TopCutter(lines)
        pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
        assert b"".join(map(cutter.feed, pieces)) == found
