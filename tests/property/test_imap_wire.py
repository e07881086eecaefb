"""IMAP on the wire: chunking changes nothing, what is printed is read back, patterns match as defined."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from a3mailer.wire.imap import encode, engine, limits
from a3mailer.wire.imap.dates import parse_date_time, print_date_time
from a3mailer.wire.imap.errors import RemoteProtocolError
from a3mailer.wire.imap.names import decode_mailbox, decode_utf7, encode_utf7
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import parse_sequence_set, print_set
from a3mailer.wire.imap.wildcard import Pattern

PIECES = [
    *(
        b"a1 NOOP\r\n",
        b"a1 LOGIN {3+}\r\nbob {2}\r\nxy\r\n",
        b"a2 APPEND x {4+}\r\nabcd\r\n",
        b"a3 IDLE\r\nDONE\r\n",
    ),
    *(
        b"a4 APPEND {1+}\r\nx (\\Seen) {2}\r\nab {1+}\r\nc\r\n",
        b"a5 NOOP\n",
        b"{99999999999+}\r\n",
        b"}\r\n",
        b"\r\n",
    ),
    *(b"{2+}\r\n", b"~{2+}\r\n", b"{", b" ", b"x" * 5000),
]
octets = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=20).map(b"".join)
cuts = st.lists(st.integers(1, 30), min_size=1, max_size=10)


def play(chunks: list[bytes], *, authenticated: bool, take: bool) -> list[engine.Event]:
    """All events; pieces of one message joined."""
    framing = engine.Engine()
    framing.authenticated = authenticated
    found: list[engine.Event] = []
    for chunk in chunks:
        framing.receive(chunk)
        while (event := framing.next_event()) is not None:
            if isinstance(event, engine.MessageData) and found and isinstance(found[-1], engine.MessageData):
                event = engine.MessageData(found.pop().octets + event.octets, event.last)  # type: ignore[union-attr]
            found.append(event)
            if isinstance(event, engine.MessageStart):
                if take:
                    framing.take_message()
                else:
                    framing.skip_message()
            elif isinstance(event, engine.Command) and event.octets.endswith(b"IDLE"):
                framing.expect_line()
    return found


@given(octets, cuts, st.booleans(), st.booleans())
def test_chunking_changes_nothing(octets: bytes, cuts: list[int], authenticated: bool, take: bool) -> None:
    chunks, at, number = [], 0, 0
    while at < len(octets):
        step = cuts[number % len(cuts)]
        chunks.append(octets[at : at + step])
        at += step
        number += 1
    whole = play([octets], authenticated=authenticated, take=take)
    cut = play(chunks, authenticated=authenticated, take=take)
    if cut and isinstance(cut[-1], engine.MessageData) and not cut[-1].last:
        assert whole[-1] == cut[-1]
    assert cut == whole


@given(st.binary(max_size=2000))
def test_strings_are_read_back(value: bytes) -> None:
    printed = encode.string(value)
    p = Parser(printed)
    if b"\0" in value:
        assert printed.startswith(b"{")
    else:
        assert p.string() == value
        p.end()


@given(st.text(max_size=60).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)))
def test_names_are_read_back_and_have_one_form(name: str) -> None:
    wire = encode_utf7(name)
    assert wire.isascii()
    assert decode_utf7(wire) == name
    for utf8 in (False, True):
        printed = encode.mailbox(name, utf8=utf8)
        if not any(c in name for c in "\0\r\n"):
            assert Parser(printed, utf8=utf8).mailbox() == decode_mailbox(name.encode(), utf8=True)


@given(st.binary(max_size=40))
def test_whatever_is_a_name_is_the_one_form_of_it(wire: bytes) -> None:
    try:
        name = decode_utf7(wire)
    except RemoteProtocolError:
        return
    assert encode_utf7(name) == wire


@given(st.sets(st.integers(1, limits.NUMBER32), max_size=50))
def test_sets_are_read_back(numbers: set[int]) -> None:
    if numbers:
        printed = print_set(sorted(numbers))
        bounds = parse_sequence_set(Parser(printed)).bounds(limits.NUMBER32)
        assert {n for low, high in bounds for n in range(low, high + 1)} == numbers


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8),
    st.lists(st.integers(1, 30), unique=True).map(sorted),
)
def test_sets_mean_what_they_say(ranges: list[tuple[int, int]], uids: list[int]) -> None:
    text = ",".join(f"{a or '*'}:{b or '*'}" for a, b in ranges).encode()
    found = parse_sequence_set(Parser(text))
    last = uids[-1] if uids else 0
    wanted = {n for a, b in ranges for n in range(min(a or last, b or last), max(a or last, b or last) + 1)}
    places = [at for low, high in found.uid_spans(uids, len(uids)) for at in range(low, high)]
    assert [uids[at] for at in places] == [uid for uid in uids if uid in wanted]
    largest = max(max(a, b) for a, b in ranges) or 1
    numbers = [at + 1 for low, high in found.spans(largest) for at in range(low, high)]
    wanted = {
        n
        for a, b in ranges
        for n in range(min(a or largest, b or largest), max(a or largest, b or largest) + 1)
    }
    assert numbers == sorted(wanted)


@given(st.integers(0, 253402300799))
def test_dates_are_read_back(seconds: int) -> None:
    assert parse_date_time(Parser(print_date_time(seconds).encode())) == seconds


@given(st.text(alphabet="ab/*%", max_size=8), st.text(alphabet="ab/", max_size=8))
def test_patterns_match_as_defined(pattern: str, name: str) -> None:
    @cache
    def matches(i: int, j: int) -> bool:
        if i == len(pattern):
            return j == len(name)
        if pattern[i] in "*%":
            if matches(i + 1, j):
                return True
            return j < len(name) and (pattern[i] == "*" or name[j] != "/") and matches(i, j + 1)
        return j < len(name) and pattern[i] == name[j] and matches(i + 1, j + 1)

    assert Pattern(pattern).matches(name) is matches(0, 0)
