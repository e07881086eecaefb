"""Contents on the way out: against a slow line-wise encoder, and back through the receiving engine."""

import re

from hypothesis import given
from hypothesis import strategies as st

from a3mailer.wire.smtp import events as ev
from a3mailer.wire.smtp.content import DataEncoder, encode_data, in_pieces, survey
from a3mailer.wire.smtp.engine import Engine, Offer
from a3mailer.wire.smtp.replies import Reply

nasty = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\r\n", b"\n", b"\r", b".", b"..", b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\0", b"x" * 9]
        ),
        st.binary(max_size=4),
    ),
    max_size=30,
).map(b"".join)
cuts = st.lists(st.integers(1, 12), min_size=1, max_size=10)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    out, at, n = [], 0, 0
    while at < len(octets):
        out.append(octets[at : at + cuts[n % len(cuts)]])
        at, n = at + cuts[n % len(cuts)], n + 1
    return out


def slow(octets: bytes, limit: int) -> bytes:
    """The same by the letter: lines, folds, dots."""
    lines = re.split(rb"\r\n|\r|\n", octets)
    if not lines[-1]:
        del lines[-1]
    out = b""
    for line in lines:
        folds = [line[:limit]] + [line[i : i + limit - 1] for i in range(limit, len(line), limit - 1)]
        line = b"\r\n ".join(folds)
        out += (b"." if line.startswith(b".") else b"") + line + b"\r\n"
    return out + b".\r\n"


def encode(octets: bytes, cuts: list[int], limit: int) -> bytes:
    encoder = DataEncoder(limit)
    return b"".join(encoder.feed(piece) for piece in pieces(octets, cuts)) + encoder.finish()


@given(nasty, cuts, st.integers(2, 12))
def test_as_by_the_letter(octets: bytes, cuts: list[int], limit: int) -> None:
    assert encode(octets, cuts, limit) == slow(octets, limit)
    assert encode(octets, [len(octets) or 1], limit) == slow(octets, limit)


@given(nasty, cuts)
def test_nothing_stored_ends_the_mail_at_the_next_server(octets: bytes, cuts: list[int]) -> None:
    """Attack row 2: what we send is one mail to whoever takes CRLF for a line's end, and to whoever takes
    a bare CR or LF for one, since none is left."""
    sent = encode(octets, cuts, 998)
    assert sent.replace(b"\r\n", b"").count(b"\r") == sent.replace(b"\r\n", b"").count(b"\n") == 0
    assert (b"\r\n" + sent).find(b"\r\n.\r\n") == len(sent) - 3
    engine = Engine(Offer("mx", 10**6, 10, 10))
    ok, go = Reply(250, "", "ok"), Reply(354, "", "go")
    engine.receive(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n" + sent + b"QUIT\r\n")
    content, quits = b"", 0
    while (event := engine.next_event()) is not None:
        if isinstance(event, ev.Content):
            content += event.octets
            if not event.last:
                continue
        quits += isinstance(event, ev.Quit)
        engine.reply(go if isinstance(event, ev.Data) else ok)
    assert quits == 1
    clean = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    assert content == (clean if clean.endswith(b"\r\n") or not clean else clean + b"\r\n")


def test_a_clean_content_is_not_copied_line_by_line() -> None:
    content = b"Subject: x\r\n\r\n" + (b"y" * 76 + b"\r\n") * 1000
    assert b"".join(encode_data(in_pieces(content, 4096))) == content + b".\r\n"


def test_a_line_without_end_is_folded() -> None:
    sent = b"".join(encode_data(in_pieces(b"z" * 5_000_000)))
    assert max(len(line) for line in sent.split(b"\r\n")) == 998
    assert sent.replace(b"\r\n ", b"") == b"z" * 5_000_000 + b"\r\n.\r\n"


def test_survey() -> None:
    seen = survey(b"a: b\r\n\r\n\xff\0", 8)
    assert (seen.eight_bit, seen.nul, seen.utf8_header) == (True, True, False)
    assert survey(b"a: \xc3\xa4\r\n\r\n", 8).utf8_header
    assert not survey(b"a: b\r\n\r\n", 8).eight_bit
