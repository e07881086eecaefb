"""What a sender asked for and what is sent (RFC 6009, RFC 8580), lists (RFC 6134), verdicts (RFC 5235)."""

import pytest

from a3mailer.wire.sieve.actions import FileInto, Notify, Redirect, Vacation
from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.door import Verdict
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.extensions import ALL
from tests.unit.wire.sieve.scripts import result, told, true

ASKED = {
    "from": (b"a@b.example",),
    "to": (b"c@d.example",),
    "notify": (b"FAILURE", b"SUCCESS"),
    "orcpt": (b"rfc822;C@example.com",),
    "ret": (b"HDRS",),
    "envid": (b"QQ314159",),
    "bytimeabsolute": (b"1262340000",),
    "bytimerelative": (b"-60",),
    "bymode": (b"return",),
    "bytrace": (b"trace",),
}
NEED = (
    'require ["envelope", "envelope-dsn", "envelope-deliverby", "relational", "variables", "date", '
    '"comparator-i;ascii-numeric"];\n'
)


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ('envelope "notify" "SUCCESS"', True),
        ('envelope "notify" "NEVER"', False),
        ('envelope :comparator "i;ascii-numeric" :count "eq" "notify" "2"', True),
        ('envelope :matches "orcpt" "rfc822;*@example.com"', True),
        ('envelope "ret" "hdrs"', True),
        ('envelope "envid" "QQ314159"', True),
        ('envelope :contains "bytimerelative" "-"', True),
        ('envelope :zone "+0000" "bytimeabsolute" "2010-01-01T10:00:00Z"', True),
        ('envelope :zone "+0130" "bytimeabsolute" "2010-01-01T11:30:00+01:30"', True),
        ('envelope :matches :zone "+0000" "bytimeabsolute" "*T*:*:*"', True),
        ('envelope "bymode" "return"', True),
        ('envelope "bytrace" "trace"', True),
        ('envelope :count "eq" :comparator "i;ascii-numeric" "bytrace" "1"', True),
    ],
)
def test_parts_of_the_envelope(test: str, found: bool) -> None:
    said = told(f"{NEED}if {test} {{ discard; }}", envelope=ASKED, now=(0, 0))
    assert said == (["discard"] if found else ["implicit keep"])
    nothing = told(f"{NEED}if {test} {{ discard; }}", envelope={"from": (b"",), "to": (b"x@y.example",)})
    assert nothing == ["implicit keep"]


def only(script: str, **more: object) -> Redirect:
    (action,) = result(script, **more).actions  # type: ignore[arg-type]
    assert isinstance(action, Redirect)
    return action


@pytest.mark.parametrize("part", ["all", "localpart", "domain", "user", "detail"])
def test_the_null_path_is_the_empty_string_whatever_part_is_asked_for(part: str) -> None:
    """RFC 5228 section 5.4."""
    need, null = '"envelope", "subaddress"', {"from": (b"",), "to": (b"a@x.example",)}
    assert true(f'envelope :{part} "from" ""', require=need, envelope=null)
    assert not true('envelope :detail "to" ""', require=need, envelope=null)


def test_a_redirect_with_wishes_of_its_own() -> None:
    need = 'require ["redirect-dsn", "redirect-deliverby", "variables"];\n'
    made = only(need + 'redirect :notify "failure,DELAY" :ret "full" "a@b.example";')
    assert (made.notify, made.ret) == (("FAILURE", "DELAY"), "FULL")
    made = only(need + 'redirect :notify "NEVER" "a@b.example";')
    assert (made.notify, made.ret, made.by) == (("NEVER",), "", 0)
    made = only(need + 'redirect :bytimerelative 600 "a@b.example";')
    assert (made.by, made.by_mode) == (-600, "R"), "the default (RFC 6009 section 7)"
    made = only(need + 'redirect :bytimeabsolute "2010-01-01T11:30:00+0130" :bymode "Return" "a@b.example";')
    assert (made.by, made.by_mode) == (1262340000, "R")
    made = only(need + 'redirect :bytrace :bymode "return" :bytimerelative 60 "a@b.example";')
    assert made.by_mode == "RT"
    made = only(need + 'set "when" "2010-01-01T10:00:00Z"; redirect :bytimeabsolute "${when}" "a@b.example";')
    assert made.by == 1262340000


@pytest.mark.parametrize(
    "arguments",
    [
        ':notify "SOMETIMES"',
        ':notify "NEVER,DELAY"',
        ':notify "DELAY,DELAY"',
        ':notify ""',
        ':ret "HALF"',
        ':bymode "return"',
        ":bytrace",
        ':bytimerelative 5 :bytimeabsolute "2010-01-01T10:00:00Z"',
        ':bytimeabsolute "tomorrow"',
        ':bytimeabsolute "2010-13-01T10:00:00Z"',
        ':bytimerelative 5 :bymode "soon"',
    ],
)
def test_wishes_that_cannot_be(arguments: str) -> None:
    script = f'require ["redirect-dsn", "redirect-deliverby"];\nredirect {arguments} "a@b.example";'
    with pytest.raises(ScriptError):
        compile_script(script.encode(), ALL)


def test_a_wish_that_shows_at_the_run() -> None:
    script = (
        'require ["redirect-dsn", "redirect-deliverby", "variables"];\nset "x" "nonsense";\nredirect {} '
        '"a@b.example";'
    )
    for arguments in (
        ':notify "${x}"',
        ':ret "${x}"',
        ':bytimeabsolute "${x}"',
        ':bytimerelative 1 :bymode "${x}"',
    ):
        assert told(script.format(arguments))[0].startswith("error: line 3, column 1"), arguments


def test_a_copy_of_what_is_sent_is_filed() -> None:
    need = 'require ["vacation", "fcc", "mailbox", "special-use", "mailboxid", "imap4flags", "enotify"];\n'
    answer = result(
        need + 'vacation :specialuse "\\\\Sent" :create :fcc "INBOX.Sent" :flags ["\\\\Seen"] "Gone";'
    ).actions[0]
    assert isinstance(answer, Vacation)
    assert answer.fcc == FileInto("INBOX.Sent", True, True, "\\Sent", "", ("\\Seen",))
    notice = result(need + 'notify :fcc "Sent" :mailboxid "F1" "mailto:a@b.example";').actions[0]
    assert isinstance(notice, Notify)
    assert notice.fcc == FileInto("Sent", copy=True, mailbox_id="F1")
    assert told(need + 'if notify_method_capability "mailto:a@b.example" "fcc" "yes" { discard; }') == [
        "discard"
    ]
    with pytest.raises(ScriptError, match="without :fcc"):
        compile_script((need + 'vacation :create "x";').encode(), ALL)
    with pytest.raises(ScriptError, match="empty"):
        compile_script((need + 'vacation :fcc "" "x";').encode(), ALL)


LISTS = {
    "urn:ietf:params:sieve:addrbook:default": {b"coyote@desert.example.org": b"Coyote@desert.example.org"},
    "tag:example.com,2026:two": {b"a@one.example": b"A@one.example", b"b@two.example": b"b@two.example"},
    "tag:example.com,2026:many": {b"a%d@one.example" % n: b"a%d@one.example" % n for n in range(9)},
}


def asked(script: str) -> list[str]:
    need = 'require ["extlists", "variables", "envelope", "date", "copy"];\n'
    return told(need + script, lists=LISTS.get, now=(0, 0))


def test_lists() -> None:
    assert asked('if address :list "from" ":addrbook:default" { discard; }') == ["discard"]
    assert asked('if header :list "from" "tag:example.com,2026:two" { discard; }') == ["implicit keep"]
    either = '["tag:example.com,2026:two", ":addrbook:default"]'
    assert asked(f'if envelope :list "from" {either} {{ discard; }}') == ["discard"]
    assert asked('if string :list "B@Two.example" "tag:example.com,2026:two" { discard; }') == ["discard"]
    both = 'if valid_ext_list [":addrbook:default", "tag:example.com,2026:two"] { discard; }'
    assert asked(both) == ["discard"]
    assert asked('if valid_ext_list [":addrbook:default", ":none"] { discard; }') == ["implicit keep"]
    found = 'if address :list "from" ":addrbook:default" { redirect "${0}"; }'
    assert asked(found) == ["redirect Coyote@desert.example.org"], "as the list has it (RFC 6134 section 2.2)"


@pytest.mark.parametrize(
    "name", [":addrbook:default", ":ADDRBOOK:DEFAULT", ":AddrBook:%44%65%66ault",
             "URN:ietf:params:sieve:addrbook:default"],
)  # fmt: skip
def test_the_address_book_has_many_spellings_and_is_always_there(name: str) -> None:
    """RFC 6134 section 2.5."""
    assert asked(f'if address :list "from" "{name}" {{ discard; }}') == ["discard"]
    need = 'require "extlists"; '
    assert told(f'{need}if header :list "from" "{name}" {{ discard; }}', lists={}.get) == ["implicit keep"]
    assert told(f'{need}if valid_ext_list "{name}" {{ discard; }}', lists={}.get) == ["discard"]


def test_what_is_wrong_with_a_list() -> None:
    """RFC 6134 sections 2.2 and 2.5."""
    assert "there is no list" in asked('if header :list "from" ":none" { discard; }')[0]
    assert asked('if valid_ext_list "no name" { discard; }') == ["implicit keep"]
    for test, why in (
        ('header :list :comparator "i;octet" "from" ":none"', "takes no comparator"),
        ('header :list "from" "friends"', "absolute URI"),
        ('header :list "from" ["tag:a.example,2026:x", "1:x"]', "absolute URI"),
    ):
        with pytest.raises(ScriptError, match=why):
            asked(f"if {test} {{ discard; }}")
    late = 'set "x" ":none"; if header :list :comparator "i;octet" "from" "${x}" { discard; }'
    assert "takes no comparator" in asked(late)[0]


def test_parts_that_are_no_addresses_have_no_parts_of_addresses() -> None:
    """RFC 6009 sections 4 and 5."""
    for part in ("orcpt", "notify", "bymode", "bytimeabsolute"):
        with pytest.raises(ScriptError, match=":domain is for addresses"):
            told(f'{NEED}if envelope :domain "{part}" "x" {{ discard; }}')
    late = f'{NEED}set "x" "envid"; if envelope :all "${{x}}" "y" {{ discard; }}'
    assert ":all is for addresses" in told(late)[0]


def test_redirect_to_a_list() -> None:
    assert asked('redirect :copy :list "tag:example.com,2026:two";') == [
        "redirect A@one.example",
        "redirect b@two.example",
        "implicit keep",
    ]
    assert asked('redirect :list ":none";')[0].startswith("error: line 2, column 1: there is no list")
    assert "more than 4 of redirect" in asked('redirect :list "tag:example.com,2026:many";')[0]


TESTED = Verdict("phish", 40, ("A link leads elsewhere.", "The sender is new."), 5)


@pytest.mark.parametrize(
    ("test", "untested", "tested"),
    [
        ('spamtest "0"', True, False),
        ('spamtest :value "ge" :comparator "i;ascii-numeric" "4"', False, True),
        ('spamtest :percent :value "eq" :comparator "i;ascii-numeric" "40"', False, True),
        ('spamtest :count "eq" :comparator "i;ascii-numeric" "0"', True, False),
        ('virustest :value "eq" :comparator "i;ascii-numeric" "5"', False, True),
        ('virustest "0"', True, False),
        ('verdict "untested"', True, False),
        ('verdict ["ham", "phish"]', False, True),
        ('verdict :score :value "ge" :comparator "i;ascii-numeric" "40"', False, True),
        ('verdict :findings :contains "link"', False, True),
    ],
)
def test_verdicts(test: str, untested: bool, tested: bool) -> None:
    need = (
        'require ["spamtestplus", "virustest", "vnd.a3.verdict", "relational", "comparator-i;ascii-numeric"];'
    )
    script = f"{need}\nif {test} {{ discard; }}"
    assert (told(script) == ["discard"], told(script, verdict=TESTED) == ["discard"]) == (untested, tested)


def test_percent_needs_plus() -> None:
    with pytest.raises(ScriptError):
        compile_script(b'require "spamtest"; if spamtest :percent "1" { keep; }', ALL)
    assert told('require "spamtest"; if spamtest "10" { discard; }', verdict=Verdict("spam", 100)) == [
        "discard"
    ]
    assert told('require "spamtest"; if spamtest "1" { discard; }', verdict=Verdict("ham", 0)) == ["discard"]


def test_a_verdict_is_explained_in_the_header() -> None:
    script = 'require ["vnd.a3.explain", "editheader"];\nexplain "X-Why";\nexplain "Received";'
    (kept,) = result(script, verdict=TESTED).actions
    header = kept.header  # type: ignore[union-attr]
    assert header.startswith(b"X-Why: phish (40) A link leads elsewhere. The sender is new.\r\nDate: ")
    assert b"Received" not in header
    (kept,) = result(script).actions
    assert kept.header.startswith(b"X-Why: untested\r\n")  # type: ignore[union-attr]
