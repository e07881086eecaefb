"""The grammar: what is read, what is refused, what is printed."""

import pytest

from a3mailer.mail.criteria import Contains, HasFlag, Operator, Place
from a3mailer.wire.imap import encode, limits
from a3mailer.wire.imap.dates import parse_date, parse_date_time, print_date_time
from a3mailer.wire.imap.errors import BadSyntax, UnknownCharset
from a3mailer.wire.imap.fetch import Item, Kind, parse_fetch_items
from a3mailer.wire.imap.flags import FlagList, parse_flags
from a3mailer.wire.imap.listing import parse_list
from a3mailer.wire.imap.names import decode_mailbox, decode_utf7, encode_utf7
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.resync import parse_select_options
from a3mailer.wire.imap.search import InSet, parse_search
from a3mailer.wire.imap.sequence import SAVED, SequenceSet, parse_sequence_set, print_set
from a3mailer.wire.imap.wildcard import Pattern


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"abc", b"abc"),
        (b"a]b rest", b"a]b"),
        (b'""', b""),
        (b'"a b"', b"a b"),
        (b'"a\\"b\\\\"', b'a"b\\'),
        (b'"\xc3\xa4"', b"\xc3\xa4"),
        (b"{3}\r\na\rb", b"a\rb"),
        (b"{3+}\r\na\nb", b"a\nb"),
    ],
)
def test_astring(octets: bytes, value: bytes) -> None:
    assert Parser(octets).astring() == value


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b" a",
        b"(",
        b'"',
        b'"a',
        b'"\\',
        b'"\\a"',
        b'"a\0"',
        b'"a\rb"',
        b"{3}\r\nab",
        b"{3\r\nabc",
        b"{1}\r\n\0",
        b"%",
        b"\x80",
        b"{99999999999999999999}\r\n",
        b"{9999999999999999999}\r\n",
        b"x" * (limits.ATOM + 1),
    ],
)
def test_what_is_no_astring(octets: bytes) -> None:
    with pytest.raises(BadSyntax):
        Parser(octets).astring()


@pytest.mark.parametrize(
    ("octets", "ranges"),
    [
        (b"1", ((1, 1),)),
        (b"*", ((0, 0),)),
        (b"2,4:7,9,12:*", ((2, 2), (4, 7), (9, 9), (12, 0))),
        (b"4294967295", ((4294967295, 4294967295),)),
    ],
)
def test_sequence_set(octets: bytes, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_sequence_set(Parser(octets)) == SequenceSet(ranges)


@pytest.mark.parametrize(
    "octets", [b"", b"0", b"1,", b",1", b"1:", b":1", b"1:2:3", b"a", b"-1", b"4294967296", b"**", b"1,$"]
)
def test_what_is_no_sequence_set(octets: bytes) -> None:
    p = Parser(octets)
    with pytest.raises(BadSyntax):
        parse_sequence_set(p)
        p.end()


def test_sequence_sets_become_spans() -> None:
    def spans(octets: bytes, count: int) -> list[tuple[int, int]]:
        return parse_sequence_set(Parser(octets)).spans(count)

    assert spans(b"2,4:7,9,12:*", 15) == [(1, 2), (3, 7), (8, 9), (11, 15)]
    assert spans(b"*:4,5:7", 10) == [(3, 10)]
    assert spans(b"1,1,1", 1) == [(0, 1)]
    for octets, count in ((b"3", 2), (b"1:3", 2), (b"*", 0), (b"1:*", 0)):
        with pytest.raises(BadSyntax):
            spans(octets, count)


def test_uids_become_spans_of_what_is_there() -> None:
    uids = [3, 5, 9, 10]

    def spans(octets: bytes) -> list[tuple[int, int]]:
        return parse_sequence_set(Parser(octets)).uid_spans(uids, len(uids))

    assert spans(b"5:9") == [(1, 3)]
    assert spans(b"100:*") == [(3, 4)]
    assert spans(b"1,2,4") == []
    assert spans(b"10,3") == [(0, 1), (3, 4)]
    assert parse_sequence_set(Parser(b"1:*")).uid_spans([], 0) == []


def test_the_saved_result_is_a_set_of_its_own() -> None:
    assert parse_sequence_set(Parser(b"$")) is SAVED


def test_uids_are_printed_in_ranges() -> None:
    assert print_set([1, 2, 3, 7, 9, 10]) == b"1:3,7,9:10"
    assert print_set([]) == b""


# --- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (b"Archive/2022", "Archive/2022"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        (b"a&-b", "a&b"),
        (b"&Jjo-!", "☺!"),
        (b"&2D3eAA-", "😀"),
    ],
)
def test_modified_utf7(wire: bytes, name: str) -> None:
    assert decode_utf7(wire) == name
    assert encode_utf7(name) == wire


@pytest.mark.parametrize(
    "wire",
    [
        b"&",
        b"&AGEAYg-",
        b"&AGE-",
        b"a&b",
        b"&ZeVnLIqe",
        b"&Jjo",
        b"\xc3\xa4",
        b"&2AA-",
        b"&3gA-",
        b"&Jjo-&Jjo-",
        b"&AA-",
        b"&====-",
        b"&Jjo/-",
        b"\x07",
    ],
)
def test_other_spellings_of_a_name_are_refused(wire: bytes) -> None:
    with pytest.raises(BadSyntax):
        decode_utf7(wire)


def test_a_name_in_another_form_is_remembered_as_it_was_given() -> None:
    p = Parser(b'"A\xcc\x8a" {2}\r\n\xc3\x85', utf8=True)
    assert (p.mailbox(), p.given) == ("\u00c5", "A\u030a")
    p.space()
    assert (p.mailbox(), p.given) == ("\u00c5", "")


@pytest.mark.parametrize("line", [b"x+y NOOP", b"a) NOOP", b'a"b NOOP', b"a\\ NOOP", b"+ NOOP", b""])
def test_a_part_of_a_tag_is_no_tag(line: bytes) -> None:
    with pytest.raises(BadSyntax):
        Parser(line).tag()


def test_mailbox_names() -> None:
    assert decode_mailbox(b"inBox", utf8=False) == "INBOX"
    assert decode_mailbox("Entwürfe".encode(), utf8=True) == "Entwürfe"
    assert decode_mailbox(b"&AGE-", utf8=True) == "&AGE-"
    assert decode_mailbox(b"inbox/x", utf8=False) == "INBOX/x"
    assert decode_mailbox(b"inboxes", utf8=False) == "inboxes"
    assert decode_mailbox(b"A&Awo-", utf8=False) == decode_mailbox("A\u030a".encode(), utf8=True) == "\u00c5"
    for wire in (b"\xff", b"x" * 5000):
        with pytest.raises(BadSyntax):
            decode_mailbox(wire, utf8=True)


@pytest.mark.parametrize(
    ("name", "utf8", "wire"),
    [
        ("Sent", False, b"Sent"),
        ("a b", False, b'"a b"'),
        ('a"b\\', False, b'"a\\"b\\\\"'),
        ("é", False, b'"&AOk-"'),
        ("é", True, '"é"'.encode()),
        ("nil", False, b'"nil"'),
        ("", False, b'""'),
    ],
)
def test_mailbox_names_are_printed(name: str, utf8: bool, wire: bytes) -> None:
    if name == "é" and not utf8:
        wire = b"&AOk-"  # an atom
    assert encode.mailbox(name, utf8=utf8) == wire


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "a/b", True),
        ("%", "a", True),
        ("%", "a/b", False),
        ("a/%", "a/b", True),
        ("a/%", "a/b/c", False),
        ("a*c", "abbc", True),
        ("a*c", "abbd", False),
        ("*%*", "anything/at/all", True),
        ("%/%", "a/b", True),
        ("%/%", "a/b/c", False),
        ("*b%", "a/bc", True),
        ("*b%", "a/bc/d", False),
        ("", "", True),
        ("", "a", False),
        ("a", "a", True),
        ("ab", "a", False),
        ("%%", "ab", True),
        ("**", "", True),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    assert Pattern(pattern).matches(name) is matches


# --- dates ---------------------------------------------------------------------------------------------


def test_dates() -> None:
    assert parse_date_time(Parser(b'"17-Jul-1996 02:44:25 -0700"')) == 837596665
    assert parse_date_time(Parser(b'" 1-jan-1970 00:00:00 +0000"')) == 0
    assert parse_date_time(Parser(b'" 1-Jan-1970 00:00:00 +0100"')) == 0  # nothing is older than the epoch
    assert print_date_time(837596665) == '"17-Jul-1996 09:44:25 +0000"'
    assert parse_date(Parser(b"2-Jan-1970")) == parse_date(Parser(b'"02-JAN-1970"')) == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b'"',
        b'"30-Feb-2022 00:00:00 +0000"',
        b'"1-Jan-2022 24:00:00 +0000"',
        b'"1-Jan-2022 00:60:00 +0000"',
        b'"1-Jan-2022 00:00:00 0000"',
        b'"1-Jan-22 00:00:00 +0000"',
        b'"1-Foo-2022 00:00:00 +0000"',
        b'"1-Jan-2022 00:00:00 +00000"',
        b'"1-Jan-2022 0:00:00 +0000"',
        b'"001-Jan-2022 00:00:00 +0000"',
        b'"1-Jan-0000 00:00:00 +0000"',
    ],
)
def test_what_is_no_date_time(octets: bytes) -> None:
    with pytest.raises(BadSyntax):
        parse_date_time(Parser(octets))


# --- FETCH, STORE, LIST, SELECT ---------------------------------------------------------------------------


def test_fetch_items() -> None:
    found = parse_fetch_items(
        Parser(b"(uid body.peek[1.2.header.fields (Date {4+}\r\nFrom)]<0.10> BODYSTRUCTURE uid)")
    )
    assert found.items == (Item.UID, Item.BODYSTRUCTURE)
    (section,) = found.sections
    assert (section.kind, section.part, section.text, section.fields) == (
        Kind.BODY,
        (1, 2),
        "FIELDS",
        (b"Date", b"From"),
    )
    assert (section.start, section.size, section.peek) == (0, 10, True)
    assert section.label == b"BODY[1.2.HEADER.FIELDS (Date From)]"
    assert parse_fetch_items(Parser(b"fast")).items == (Item.FLAGS, Item.INTERNALDATE, Item.SIZE)
    assert parse_fetch_items(Parser(b"RFC822")).sets_seen
    assert not parse_fetch_items(Parser(b"(RFC822.HEADER BINARY.SIZE[1])")).sets_seen


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"()",
        b"(UID",
        b"(UID UID",
        b"FOO",
        b"BODY[",
        b"BODY[]<1>",
        b"BODY[]<1.0>",
        b"BODY[0]",
        b"BODY[1.]",
        b"BODY[.1]",
        b"BODY[1.FOO]",
        b"BODY[MIME]",
        b"BINARY[TEXT]",
        b"BODY[HEADER.FIELDS]",
        b"BODY[HEADER.FIELDS ()]",
        b"(ALL)",
        b"BODY[1]]",
        b"UID[]",
        b"BODYSTRUCTURE[]",
        b"BODY[HEADER.FIELDS (" + b"a " * 300 + b"b)]",
    ],
)
def test_what_cannot_be_fetched(octets: bytes) -> None:
    p = Parser(octets)
    with pytest.raises(BadSyntax):
        parse_fetch_items(p)
        p.end()


def test_a_part_number_may_be_deep_and_costs_its_length() -> None:
    deep = b".".join([b"1"] * 500)
    (section,) = parse_fetch_items(Parser(b"BODY.PEEK[" + deep + b"]")).sections
    assert len(section.part) == 500


def test_flags() -> None:
    assert parse_flags(Parser(b"(\\seen \\Deleted $Junk $junk x)")) == FlagList(9, ("$Junk", "x"))
    assert parse_flags(Parser(b"\\Seen x")) == FlagList(1, ("x",))
    assert parse_flags(Parser(b"()")) == FlagList()
    assert parse_flags(Parser(b"x" * 255)) == FlagList(0, ("x" * 255,))  # RFC 8621 section 4.1.1
    for octets in (b"(\\Foo)", b"(\\Recent)", b"\\", b"(" + b"x" * 256 + b")", b"(a", b"(a  b)", b"(" * 1000):
        with pytest.raises(BadSyntax):
            parse_flags(Parser(octets))
    many = b" ".join(b"k%d" % n for n in range(65))
    with pytest.raises(BadSyntax):
        parse_flags(Parser(many))


def test_list_requests() -> None:
    found = parse_list(
        Parser(b' (SUBSCRIBED RECURSIVEMATCH) "" (a% "b*") RETURN (CHILDREN STATUS (MESSAGES SIZE))')
    )
    assert found.patterns == ("a%", "b*")
    assert found.selection == {b"SUBSCRIBED", b"RECURSIVEMATCH"}
    assert found.returns == {b"CHILDREN"}
    assert found.status == (b"MESSAGES", b"SIZE")
    for octets in (
        b' (FOO) "" *',
        b' "" * RETURN (FOO)',
        b' "" * FOO',
        b' ""',
        b' "" ()',
        b' "" ' + b"x" * 1025,
        b' (RECURSIVEMATCH) "" *',
        b' "" * RETURN (STATUS ())',
        b' "" * RETURN (CHILDREN',
    ):
        with pytest.raises(BadSyntax):
            parse_list(Parser(octets))


def test_select_parameters() -> None:
    found = parse_select_options(Parser(b" (CONDSTORE QRESYNC (1 20 1:5,9 (1,3 2,6)))"))
    assert found.condstore
    assert found.resync is not None
    assert (found.resync.uid_validity, found.resync.modseq) == (1, 20)
    assert found.resync.known_uids == SequenceSet(((1, 5), (9, 9)))
    short = parse_select_options(Parser(b" (QRESYNC (1 20))")).resync
    assert short is not None
    assert short.known_uids is None
    for octets in (
        b" (",
        b" (FOO)",
        b" (QRESYNC)",
        b" (QRESYNC (0 1))",
        b" (QRESYNC (1 2 *))",
        b" (QRESYNC (1 2 3 4))",
    ):
        with pytest.raises(BadSyntax):
            p = Parser(octets)
            parse_select_options(p)
            p.end()


# --- SEARCH --------------------------------------------------------------------------------------------


def test_search_programs_are_postfix() -> None:
    found = parse_search(Parser(b" OR SEEN (FROM bob NOT 1:3) UID 7"))
    assert found.program == (
        HasFlag(1),
        Contains(Place.FROM, "bob"),
        InSet(SequenceSet(((1, 3),)), uid=False),
        Operator.NOT,
        Operator.AND,
        Operator.OR,
        InSet(SequenceSet(((7, 7),)), uid=True),
        Operator.AND,
    )
    assert found.options is None


def test_search_options() -> None:
    assert parse_search(Parser(b" RETURN () CHARSET utf-8 ALL")).options == {b"ALL"}
    assert parse_search(Parser(b" RETURN (MIN SAVE) ALL")).options == {b"MIN", b"SAVE"}
    assert parse_search(Parser(b' MODSEQ "/flags/\\\\draft" all 620162338')).modseq
    with pytest.raises(UnknownCharset):
        parse_search(Parser(b" CHARSET ISO-8859-1 ALL"))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b" ",
        b" FOO",
        b" OR SEEN",
        b" NOT",
        b" (SEEN",
        b" SEEN)",
        b" ()",
        b" SEEN  SEEN",
        b" RETURN (FOO) ALL",
        b" SUBJECT",
        b" SUBJECT {2+}\r\n\xff\xfe",
        b" HEADER x",
        b" LARGER x",
        b" BEFORE x",
        b" KEYWORD \\Seen",
        b" UID x",
        b" NOT)",
        b" (NOT) SEEN",
        b" OR (SEEN) )",
    ],
)
def test_what_cannot_be_searched(octets: bytes) -> None:
    p = Parser(octets)
    with pytest.raises(BadSyntax):
        parse_search(p)
        p.end()


def test_deep_nesting_is_read_without_recursion() -> None:
    depth = 20_000
    found = parse_search(Parser(b" " + b"(" * depth + b"ALL" + b")" * depth))
    assert len(found.program) == 1
    assert len(parse_search(Parser(b" " + b"NOT " * depth + b"ALL")).program) == depth + 1
    assert len(parse_search(Parser(b" " + b"OR ALL " * depth + b"ALL")).program) == 2 * depth + 1
    with pytest.raises(BadSyntax):
        parse_search(Parser(b" " + b"(" * 100_000))


# --- strings -------------------------------------------------------------------------------------------


def test_strings_are_quoted_where_they_may_be() -> None:
    assert encode.string(b"abc") == b'"abc"'
    assert encode.string(b'a"b\\c') == b'"a\\"b\\\\c"'
    assert encode.string(b"a\r\nb") == b"{4}\r\na\r\nb"
    assert encode.string(b"\xc3\xa4") == b"{2}\r\n\xc3\xa4"
    assert encode.string(b"x" * 2000) == b"{2000}\r\n" + b"x" * 2000
    assert encode.nstring(None) == b"NIL"
    assert encode.flag_list(9, "$Junk x") == b"\\Seen \\Deleted $Junk x"
    assert encode.flag_list(0) == b""
