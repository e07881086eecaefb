"""The server engine: chunking changes nothing, nothing raises, content is as RFC 5321 section 4.5.2 says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from a3mailer.wire.smtp import events as ev
from a3mailer.wire.smtp.engine import Engine, Offer, State
from a3mailer.wire.smtp.replies import Reply

OK = Reply(250, "2.0.0", "ok")
GO = Reply(354, "", "go on")
SIZE = 4000
BEGIN = b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"

line_ends = st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"\r\n.", b"..", b"\0", b"\r\n.\r\n", b"x"])
nasty = st.lists(st.one_of(line_ends, st.binary(max_size=3)), max_size=30).map(b"".join)
COMMANDS = [
    *(b"EHLO a\r\n", b"HELO a\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n"),
    *(b"x\r\n.\r\n", b"BDAT 3\r\nabc", b"BDAT 0 LAST\r\n", b"BDAT 9999999\r\n", b"BDAT\r\n", b"RSET\r\n"),
    *(b"NOOP\r\n", b"QUIT\r\n", b"VRFY x\r\n", b"HELP\r\n", b"STARTTLS\r\n", b"X" * 5000),
    *(b"A" * 4096 + b"\r\n", b"A" * 4097 + b"\r\n", b"B" * 12288 + b"\r\n", b"B" * 12289 + b"\r\n"),
    *(b"AUTH PLAIN\r\n", b"*\r\n", b"AUTH PLAIN =\r\n"),
    *(b"MAIL FROM:<a@b> BODY=BINARYMIME SMTPUTF8\r\n", b"RCPT TO:<\xc3\xa4@d>\r\n"),
]
commands = st.lists(st.one_of(st.sampled_from(COMMANDS), nasty), max_size=30).map(b"".join)
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=20)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    out, at, n = [], 0, 0
    while at < len(octets):
        out.append(octets[at : at + cuts[n % len(cuts)]])
        at += cuts[n % len(cuts)]
        n += 1
    return out


def play(chunks: list[bytes], *, lmtp: bool = False) -> tuple[list[bytes], list[str], bytes, State]:
    """(contents, names of the events, everything replied, state)."""
    engine = Engine(Offer("mx", SIZE, 100, 100, lmtp=lmtp, mechanisms=("PLAIN",)))
    contents: list[bytes] = []
    names: list[str] = []
    out = b""
    content = b""
    for chunk in chunks:
        engine.receive(chunk)
        while (event := engine.next_event()) is not None:
            if isinstance(event, ev.Content | ev.Chunk):
                content += event.octets
                if isinstance(event, ev.Content):
                    if not event.last:
                        continue
                    contents.append(b"" if event.oversize else content)
                    content = b""
            elif isinstance(event, ev.MailFrom | ev.Reset | ev.Hello):
                content = b""
            names.append(type(event).__name__)
            match event:
                case ev.Refused(reply):
                    pass
                case ev.Data():
                    reply = GO
                case ev.Auth() | ev.AuthResponse():
                    reply = Reply(334, "", "") if len(names) % 2 else Reply(235, "2.7.0", "welcome")
                case _:
                    reply = OK
            out += engine.reply(reply)
    return contents, names, out, engine.state


@given(commands, sizes)
def test_chunking_changes_nothing(octets: bytes, cuts: list[int]) -> None:
    assert play([octets]) == play(pieces(octets, cuts))


@given(commands, sizes)
def test_chunking_changes_nothing_in_lmtp(octets: bytes, cuts: list[int]) -> None:
    octets = octets.replace(b"EHLO", b"LHLO")
    assert play([octets], lmtp=True) == play(pieces(octets, cuts), lmtp=True)


def unstuffed(content: bytes) -> tuple[bytes, bytes] | None:
    """RFC 5321 section 4.5.2, line by line and slowly: (content, what follows its end)."""
    lines, rest = [], content
    while b"\r\n" in rest:
        line, _, rest = rest.partition(b"\r\n")
        if line == b".":
            return b"".join(each + b"\r\n" for each in lines), rest
        lines.append(line[1:] if line.startswith(b".") else line)
    return None


@given(nasty, sizes)
def test_content_is_what_the_rfc_says(octets: bytes, cuts: list[int]) -> None:
    octets += b"\r\n.\r\n"
    expected = unstuffed(octets)
    assert expected is not None
    content, rest = expected
    sent = BEGIN + b"DATA\r\n" + octets[: len(octets) - len(rest)]
    contents, _, out, _ = play(pieces(sent, cuts))
    assert contents == [content]
    assert out.count(b"\r\n") == 5


@given(st.binary(max_size=300), sizes)
def test_bdat_changes_nothing(octets: bytes, cuts: list[int]) -> None:
    sent = BEGIN
    for piece in pieces(octets, [7, 1, 30]):
        sent += b"BDAT %d\r\n%s" % (len(piece), piece)
    sent += b"BDAT 0 LAST\r\nNOOP\r\n"
    contents, names, _, _ = play(pieces(sent, cuts))
    assert contents == [octets]
    assert names[-1] == "Noop"


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_nothing_raises(octets: bytes) -> None:
    play([BEGIN + octets])
    play([octets, b"\r\n", octets])


@given(st.integers(SIZE - 3, SIZE + 300), sizes)
def test_oversize_is_dropped_and_said_at_the_end(size: int, cuts: list[int]) -> None:
    sent = BEGIN + b"DATA\r\n" + b"x" * (size - 2) + b"\r\n.\r\nNOOP\r\n"
    contents, names, _, _ = play([sent])
    assert contents == [b"" if size > SIZE else b"x" * (size - 2) + b"\r\n"]
    assert names[-2:] == ["Content", "Noop"]
    assert play(pieces(sent, [c * 20 for c in cuts]))[0] == contents
