"""Mails made fit for the next server: what needs nothing is untouched, the rest can be read again."""

import base64
import binascii
import contextlib
import time

import pytest

from a3mailer.mail.message import encodings, index
from a3mailer.transfer.outgoing import MAX_LINE, NotConvertible, canonical, has_long_line, needs, prepare

HEAD = b"From: a@b\r\nSubject: x\r\n"


def body_of(octets: bytes) -> bytes:
    part = index(octets).parts[0]
    return encodings.decode(octets[part.body : part.end], part.encoding)


def sendable(octets: bytes, *, eight_bit_ok: bool) -> bool:
    return not needs(octets, eight_bit_ok=eight_bit_ok)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        HEAD + b"\r\nbody\r\n",
        HEAD + b"\r\n.\r\n..\r\n",
        HEAD + b"\r\n" + b"x" * MAX_LINE + b"\r\n",
        HEAD + b"X: " + b"y" * (MAX_LINE - 3) + b"\r\n\r\n",
        HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n//8=\r\n",
    ],
)
def test_what_needs_nothing_is_sent_untouched(octets: bytes) -> None:
    assert prepare(octets, eight_bit_ok=False) is octets


def test_eight_bits_are_untouched_where_they_may_be() -> None:
    octets = HEAD + b"\r\n\xc3\xa4\r\n"
    assert prepare(octets, eight_bit_ok=True) is octets


def test_eight_bit_text_becomes_quoted_printable() -> None:
    octets = (
        HEAD
        + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa4=\r\n"
    )
    sent = prepare(octets, eight_bit_ok=False)
    assert sent == (
        HEAD + b"Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4=3D\r\n"
    )


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_line_ends_of_text_become_crlf_without_an_encoding(end: bytes) -> None:
    octets = HEAD + b"\r\none" + end + b"two" + end
    assert prepare(octets, eight_bit_ok=True) == HEAD + b"\r\none\r\ntwo\r\n"
    whole = octets.replace(b"\r\n", end)
    assert prepare(whole, eight_bit_ok=True) == HEAD + b"\r\none\r\ntwo\r\n"


def test_a_long_line_of_text_can_be_read_again() -> None:
    text = (b"word " * 400).rstrip() + b"\r\n" + b"z" * 5000 + b"\r\n"
    sent = prepare(HEAD + b"MIME-Version: 1.0\r\n\r\n" + text, eight_bit_ok=True)
    assert sendable(sent, eight_bit_ok=False)
    assert body_of(sent) == text
    assert sent.count(b"MIME-Version") == 1


def test_nul_in_text_can_be_read_again() -> None:
    sent = prepare(HEAD + b"\r\na\0b\r\n", eight_bit_ok=True)
    assert sendable(sent, eight_bit_ok=True)
    assert body_of(sent) == b"a\0b\r\n"


@pytest.mark.parametrize("encoding", [b"", b"Content-Transfer-Encoding: binary\r\n"])
@pytest.mark.parametrize("kind", [b"application/octet-stream", b"text/plain; charset=utf-16le", b"image/png"])
def test_octets_that_are_no_text_survive_exactly(kind: bytes, encoding: bytes) -> None:
    octets = bytes(range(256)) * 20 + b"\r\n\n\r"
    sent = prepare(HEAD + b"Content-Type: " + kind + b"\r\n" + encoding + b"\r\n" + octets, eight_bit_ok=True)
    assert sendable(sent, eight_bit_ok=False)
    assert body_of(sent) == octets


MULTIPART = (
    HEAD + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\npreamble\r\n"
    b"--b\r\n\r\nplain\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>\xc3\xa4\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n\x1a\n\0\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    b"Subject: inner\r\n\r\n\xff\xfe\r\n"
    b"--b--\r\nepilogue\r\n"
)


def test_only_the_parts_concerned_are_encoded() -> None:
    sent = prepare(MULTIPART, eight_bit_ok=False)
    assert sendable(sent, eight_bit_ok=False)
    before, after = index(MULTIPART).parts, index(sent).parts
    assert [p.media for p in before] == [p.media for p in after]
    assert [p.encoding for p in after] == [
        b"7bit", b"7bit", b"quoted-printable", b"base64", b"7bit", b"quoted-printable",
    ]  # fmt: skip
    for old, new in zip(before, after, strict=True):
        if not old.media.startswith((b"multipart/", b"message/")):
            decoded = encodings.decode(sent[new.body : new.end], new.encoding)
            assert decoded == MULTIPART[old.body : old.end]
    assert b"\r\npreamble\r\n--b\r\n\r\nplain\r\n--b\r\n" in sent
    assert sent.endswith(b"\r\n--b--\r\nepilogue\r\n")


def test_with_8bitmime_only_the_binary_part_is_encoded() -> None:
    sent = prepare(MULTIPART, eight_bit_ok=True)
    assert sendable(sent, eight_bit_ok=True)
    assert [p.encoding for p in index(sent).parts] == [b"8bit", b"7bit", b"8bit", b"base64", b"8bit", b"7bit"]


def test_long_header_lines_are_folded_and_lose_nothing_but_folding() -> None:
    words = b" ".join(b"word%d" % n for n in range(400))
    octets = b"Subject: " + words + b"\r\nX: " + b"y" * 3000 + b"\r\n\r\nbody\r\n"
    sent = prepare(octets, eight_bit_ok=True)
    assert sendable(sent, eight_bit_ok=True)
    subject, rest = sent.split(b"\r\nX:")
    assert subject.replace(b"\r\n", b"") == b"Subject: " + words
    assert rest.replace(b"\r\n ", b"") == b"y" * 3000 + b"\r\n\r\nbody\r\n"


def test_a_nul_in_a_header_is_dropped() -> None:
    assert prepare(b"Subject: a\0b\r\n\r\nx\r\n", eight_bit_ok=True) == b"Subject: ab\r\n\r\nx\r\n"


def test_eight_bits_in_a_header_do_not_stop_a_mail() -> None:
    octets = b"Subject: \xff\r\n\r\nbody\r\n"
    assert prepare(octets, eight_bit_ok=False) == octets


@pytest.mark.parametrize(
    "octets",
    [
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xff no part\r\n",
        b"Content-Type: message/partial\r\n\r\n\xff\r\n",
    ],
)
def test_what_has_no_place_for_an_encoding_does_not_go_to_a_seven_bit_server(octets: bytes) -> None:
    with pytest.raises(NotConvertible):
        prepare(octets, eight_bit_ok=False)
    assert prepare(octets, eight_bit_ok=True) == octets


def test_ours_of_the_return_path_goes_and_others_stay() -> None:
    octets = b"Return-Path: <a@b>\r\nReturn-Path: <c@d>\r\n\r\nx\r\n"
    assert prepare(octets, eight_bit_ok=True) == b"Return-Path: <c@d>\r\n\r\nx\r\n"


def test_an_encoded_part_is_left_alone_but_for_its_lines() -> None:
    encoded = base64.b64encode(b"x" * 3000)
    octets = HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded + b"\r\n"
    sent = prepare(octets, eight_bit_ok=True)
    assert not has_long_line(sent)
    assert binascii.a2b_base64(sent.partition(b"\r\n\r\n")[2]) == b"x" * 3000


@pytest.mark.parametrize(
    "bomb",
    [
        lambda n: b"\r" * n,
        lambda n: b"x" * n,
        lambda n: (b"\xff" * 50 + b"\n") * (n // 50),
        lambda n: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\n\n\xff\n" * (n // 8),
        lambda n: b" " * n,
        lambda n: b"A: b\n" * (n // 5),
    ],
)
def test_preparing_is_linear(bomb: object) -> None:
    def cost(size: int) -> float:
        octets = bomb(size)  # type: ignore[operator]
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            with contextlib.suppress(NotConvertible):
                prepare(octets, eight_bit_ok=False)
            best = min(best, time.process_time() - began)
        return best

    assert cost(800_000) < 2.3 * cost(400_000) + 0.02


def test_canonical_knows_every_line_end() -> None:
    assert canonical(b"a\rb\nc\r\nd\n\re\r\r\n") == b"a\r\nb\r\nc\r\nd\r\n\r\ne\r\n\r\n"
    octets = b"a\r\n"
    assert canonical(octets) is octets
