"""imap4flags (RFC 5232), mailbox (RFC 5490), special-use (RFC 8579), mailboxid (RFC 9042)."""

from __future__ import annotations

import pytest

from a3mailer.wire.sieve.actions import FileInto, Keep
from a3mailer.wire.sieve.errors import ScriptError
from tests.unit.wire.sieve.scripts import result, told, true

NEED = 'require ["imap4flags", "variables", "fileinto", "relational", "comparator-i;ascii-numeric", "copy"]; '


def flags(script: str) -> list[tuple[str, ...] | None]:
    done = result(NEED + script)
    assert done.error is None, done.error
    return [each.flags for each in done.actions if isinstance(each, Keep | FileInto)]


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("", [None]),
        ("keep;", [None]),
        ('setflag "\\\\Seen";', [("\\Seen",)]),
        ('setflag "\\\\seen"; keep;', [("\\Seen",)]),
        ('setflag ["A", "b"]; addflag "a c"; addflag "";', [("A", "b", "c")]),
        ('setflag "a b c"; removeflag ["B", "q"];', [("a", "c")]),
        ('setflag "a"; removeflag "a";', [()]),
        ('setflag "a"; setflag "";', [()]),
        ('addflag "\\\\Recent \\\\Bogus a(b x\\"y \\\\Draft  $Junk ü";', [("\\Draft", "$Junk")]),
        ('addflag "x"; fileinto "m"; addflag "y"; keep;', [("x",), ("x", "y")]),
        ('addflag "x"; keep :flags "z z"; ', [("z",)]),
        ('addflag "x"; fileinto :flags ["", "\\\\Flagged"] "m";', [("\\Flagged",)]),
        ('addflag "x"; fileinto :copy "m"; addflag "y";', [("x",), ("x", "y")]),
        ('keep :flags "a"; keep :flags "b";', [("b",)]),
        ('fileinto :flags "a" "m"; fileinto :flags "b" "m";', [("b",)]),
        ('addflag "V" "\\\\Deleted"; addflag "v" "\\\\Answered"; keep :flags "${V}";',
         [("\\Deleted", "\\Answered")]),
        ('set "v" "a  b"; removeflag "v" "A"; keep :flags "${v}";', [("b",)]),
        ('setflag "v" "a"; keep;', [None]),
    ],
)  # fmt: skip
def test_flags_of_what_is_kept(script: str, wanted: list[tuple[str, ...] | None]) -> None:
    assert flags(script) == wanted


BIG = "NonJunk Junk gnus-forward $Forwarded NotJunk JunkRecorded $Junk $NotJunk"


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('hasflag :is "b A"', True),
        ('hasflag ["b", "A"]', True),
        ('hasflag "c"', False),
        ('hasflag :contains "big" "Junk"', True),
        ('hasflag :contains "big" ["label", "forward"]', True),
        ('hasflag :contains "big" "junk forward"', True),
        ('hasflag :contains "big" ["label1", "label2"]', False),
        ('hasflag :count "ge" :comparator "i;ascii-numeric" "2"', True),
        ('hasflag :count "eq" :comparator "i;ascii-numeric" ["big", "none"] "8"', True),
        ('hasflag ["none", "big"] "$junk"', True),
    ],
)
def test_hasflag(test: str, wanted: bool) -> None:
    script = f'{NEED} setflag "A B"; set "big" "{BIG}"; if {test} {{ discard; }}'
    assert (told(script) == ["discard"]) is wanted


def test_a_variable_of_flags_needs_variables() -> None:
    assert told('require "imap4flags"; addflag "v" "x";')[0].endswith("needs the capability variables")
    with pytest.raises(ScriptError, match="no name of a variable"):
        told(NEED + 'addflag "a b" "x";')
    with pytest.raises(ScriptError, match="takes no :flags"):
        told(NEED + 'redirect :flags "x" "a@b.example";')


MAILBOXES = {"INBOX": ("", "F1"), "Trash": ("\\Trash", "F2"), "Old": ("\\Archive", "F3")}


def has(by: str, value: str, of: str = "") -> bool:
    return any(
        value.lower() == {"name": name, "special-use": use, "id": each}[by].lower()
        for name, (use, each) in MAILBOXES.items()
        if of in ("", name)
    )


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('mailboxexists "Trash"', True),
        ('mailboxexists ["Trash", "None"]', False),
        ('specialuse_exists "\\\\trash"', True),
        ('specialuse_exists ["\\\\Trash", "\\\\Archive"]', True),
        ('specialuse_exists ["\\\\Trash", "\\\\Junk"]', False),
        ('specialuse_exists "Old" "\\\\Archive"', True),
        ('specialuse_exists "Old" "\\\\Trash"', False),
        ('mailboxidexists "F2"', True),
        ('mailboxidexists ["F2", "F9"]', False),
    ],
)
def test_which_mailboxes_there_are(test: str, wanted: bool) -> None:
    need = '"mailbox", "special-use", "mailboxid"'
    assert true(test, require=need, mailboxes=has) is wanted
    assert not true(test, require=need)


def test_where_a_mail_is_filed() -> None:
    script = """require ["fileinto", "mailbox", "special-use", "mailboxid", "copy"];
        fileinto :create :specialuse "\\\\Trash" "Bin";
        fileinto :mailboxid "F3" :copy "Old";"""
    assert result(script).actions == (
        FileInto("Bin", create=True, special_use="\\Trash"),
        FileInto("Old", copy=True, mailbox_id="F3"),
    )


def test_a_mailbox_is_named_by_its_use_or_by_its_id() -> None:
    """RFC 9042 section 4.2; so are those of copies (RFC 8580 section 3.1)."""
    need = 'require ["fileinto", "special-use", "mailboxid", "vacation", "fcc"]; '
    for action in ('fileinto {} "x";', 'vacation :fcc "x" {} "Gone.";'):
        with pytest.raises(ScriptError):
            told(need + action.format(':mailboxid "F1" :specialuse "\\\\Junk"'))


@pytest.mark.parametrize("use", ["Junk", "", "\\\\", "\\\\a b", "\\\\ä"])
def test_a_use_that_is_none_is_an_error(use: str) -> None:
    """RFC 8579 section 4: as a name of a mailbox that cannot be."""
    need = 'require ["fileinto", "special-use", "variables", "vacation", "fcc"];'
    for action in ('fileinto :specialuse "{}" "Bin";', 'vacation :fcc "Bin" :specialuse "{}" "Gone";'):
        with pytest.raises(ScriptError):
            told(need + action.format(use))
        script = f'{need} set "u" "{use}"; {action.format("${u}")}'
        assert told(script)[0].startswith("error: ")


ANNOTATIONS = {
    ("INBOX", "/private/vendor/x"): b"On",
    ("INBOX", "/shared/comment"): b"",
    (None, "/shared/admin"): b"mailto:root@a.test",
    (None, "/private/number"): b"17",
}


def annotated(mailbox: str | None, entry: str) -> bytes | None:
    return ANNOTATIONS.get((mailbox, entry.lower()))


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('metadata :is "INBOX" "/private/vendor/x" "on"', True),
        ('metadata "INBOX" "/Private/Vendor/X" ["off", "ON"]', True),
        ('metadata :is :comparator "i;octet" "INBOX" "/private/vendor/x" "on"', False),
        ('metadata "Other" "/private/vendor/x" "on"', False),
        ('metadata "INBOX" "/private/vendor/y" ""', False),
        ('metadata "INBOX" "/shared/comment" ""', True),
        ('metadata :matches "INBOX" "/private/vendor/y" "*"', False),
        ('metadata :count "eq" :comparator "i;ascii-numeric" "INBOX" "/shared/comment" "1"', True),
        ('metadata :count "eq" :comparator "i;ascii-numeric" "INBOX" "/shared/none" "0"', False),
        ('metadataexists "INBOX" ["/private/vendor/x", "/shared/comment"]', True),
        ('metadataexists "INBOX" ["/private/vendor/x", "/shared/none"]', False),
        ('metadataexists "Other" "/private/vendor/x"', False),
        ('servermetadata :contains "/shared/admin" "root@"', True),
        ('servermetadata :value "gt" :comparator "i;ascii-numeric" "/private/number" "16"', True),
        ('servermetadata "/private/vendor/x" "on"', False),
        ('servermetadataexists ["/shared/admin", "/private/number"]', True),
        ('servermetadataexists ["/shared/admin", "/private/vendor/x"]', False),
    ],
)
def test_annotations(test: str, wanted: bool) -> None:
    """RFC 5490 sections 3.3, 3.4 and 4: it has to exist and to match."""
    need = '"mboxmetadata", "servermetadata", "relational", "comparator-i;ascii-numeric"'
    assert true(test, require=need, annotations=annotated) is wanted
    assert not true(test, require=need), "without an account there are none"


def test_what_an_annotation_has_matched_is_a_variable() -> None:
    script = """require ["servermetadata", "variables", "fileinto"];
        if servermetadata :matches "/shared/admin" "mailto:*" { fileinto "${1}"; }"""
    assert told(script, annotations=annotated) == ["fileinto root@a.test"]
