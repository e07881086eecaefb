"""Our Sieve beside Pigeonhole's (Debian's dovecot-sieve): the same scripts over the same mails.

One script holds hundreds of tests, each of which files the mail into a mailbox of its own when it is true;
match variables are part of the name. Pigeonhole 0.5.19 differs in ways that are kept out of the random tests:
its ``string`` takes i;octet where no comparator is named (RFC 5228 section 2.7.3: i;ascii-casemap), its
i;ascii-casemap orders by lower-case letters (RFC 4790 section 9.2.1: upper-case), and ``?`` before the first
``*`` lets it match what does not ("??x*" and "abc"), or die.
"""

from __future__ import annotations

import random
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from a3mailer.wire.sieve.actions import FileInto, Keep, Redirect
from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.extensions import USERS
from a3mailer.wire.sieve.interpret import run
from a3mailer.wire.sieve.limits import Limits
from a3mailer.wire.sieve.view import MailView
from bench.peers.packages import Prefix
from tests import peers
from tests.unit.wire.sieve import test_body, test_core, test_date, test_mime

PACKAGES = ("dovecot-sieve",)
SECONDS = 60
DIED = "died"
RANDOM_TESTS = 400
MANY = Limits(actions=10_000, steps=10_000_000, memory=100_000_000)
CONFIG = """
ssl = no
log_path = /dev/stderr
stats_writer_socket_path =
mail_location = maildir:{folder}/mail
mail_home = {folder}/home
mail_uid = {user}
mail_gid = {user}
first_valid_uid = 1
first_valid_gid = 1
plugin {{
  sieve_extensions = +editheader
  sieve_max_actions = 0
  sieve_max_script_size = 0
}}
"""
NEED = (
    'require ["fileinto", "relational", "comparator-i;ascii-numeric", "envelope", "subaddress", "variables", '
    '"encoded-character", "date", "index", "body", "copy", "imap4flags", "editheader", "environment"];\n'
)
ENVELOPE = ("from@x.example", "bob+detail@example.test")
MAIL = b"""Received: from a; Sun, 25 Feb 2007 12:00:00 +0000 (UTC)
Received: from b; Mon, 26 Feb 2007 13:30:01 +0130
From: "Doe, Jane" (a comment) <jane.doe@Example.org>, other+x@x.example
To: friends: a@one.example, "b c"@two.example;, undisclosed:;
Cc: c@three.example
Date: Tue, 1 Apr 1997 09:06:31 -0800
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus =?iso-8859-1?q?K=F6ln?=
X-Folded: one
 two three\x20\x20
X-Empty:\x20
X-Many: 12
X-MANY : 2x
X-A: abab*a?b
X-B: aaa\\b

body
""".replace(b"\n", b"\r\n")

STATIC = (
    'header "subject" "Grüße aus Köln"',
    'header :matches "subject" "Gr* aus K*ln"',
    'header "x-folded" "one two three"',
    'header "x-empty" ""',
    'header :contains "x-empty" ""',
    'header :contains "x-none" ""',
    'header :is "x-none" ""',
    'header :value "gt" :comparator "i;ascii-numeric" "x-many" "11"',
    'header :count "eq" "x-many" "2"',
    'header :value "lt" :comparator "i;ascii-numeric" "x-many" "2"',
    'header :is :comparator "i;ascii-numeric" "x-many" "2"',
    'header :is :comparator "i;ascii-numeric" "x-many" "012"',
    'header :value "ge" "x-a" "ABAB"',
    'header :value "ne" "x-many" "2x"',
    'header :comparator "i;octet" "x-a" "ABAB*A?B"',
    'header :matches "x-a" "*\\\\*a\\\\?b"',
    'header :matches "x-b" "aaa\\\\\\\\b"',
    'header :matches "x-b" "aaa\\\\b"',
    'header :index 1 "x-many" "12"',
    'header :index 1 :last "x-many" "12"',
    'header :index 2 "x-many" "2x"',
    'header :index 3 :contains "x-many" ""',
    'address :localpart "from" "jane.doe"',
    'address :domain "from" "example.org"',
    'address :all "from" "OTHER+x@x.example"',
    'address :user "from" "other"',
    'address :detail "from" "x"',
    'address :detail :contains "from" ""',
    'address :detail "cc" ""',
    'address :localpart "to" "b c"',
    'address :contains "to" "friends"',
    'address :count "eq" :comparator "i;ascii-numeric" "to" "2"',
    'address :count "ge" :comparator "i;ascii-numeric" ["to", "cc"] "3"',
    'address :contains "from" "Jane,"',
    'address :contains "from" "comment"',
    'exists ["x-a", "x-b"]',
    'exists ["x-a", "x-c"]',
    'envelope "from" "FROM@x.example"',
    'envelope :detail "to" "detail"',
    'envelope :user "to" "bob"',
    'envelope :domain "to" "example.test"',
    'envelope :localpart :matches "to" "bob*"',
    "size :over 100",
    "size :under 1K",
    "size :over 1M",
    'date :originalzone "date" "hour" "09"',
    'date :zone "+0530" "date" "iso8601" "1997-04-01T22:36:31+05:30"',
    'date :zone "+0000" "date" "iso8601" "1997-04-01T17:06:31Z"',
    'date :originalzone "date" "julian" "50539"',
    'date :originalzone "date" "weekday" "2"',
    'date :originalzone "date" "zone" "-0800"',
    'date :originalzone "date" "time" "09:06:31"',
    'date :originalzone "received" "date" "2007-02-25"',
    'date :originalzone :index 2 "received" "time" "13:30:01"',
    'date :zone "+0000" :index 1 :last "received" "hour" "12"',
    'date "x-a" "year" "1997"',
    'date :value "ge" :originalzone "date" "hour" "09"',
    'body :raw :contains "BODY"',
    'body :text :contains "body"',
    'string "${unset}" ""',
    'string :contains :comparator "i;ascii-casemap" "abc" "B"',
    'string :count "eq" :comparator "i;ascii-numeric" ["a", "", "b"] "2"',
    'string "${hex:41 42}" "AB"',
    'string "${unicode:fc}" "ü"',
    'string "${unicode:}" "${unicode:}"',
    'environment :contains "bogus" ""',
    "not not true",
    "allof (true, not false, anyof (false, true))",
    "anyof (false, allof (true, false))",
)


class Peer:
    """Runs scripts with ``sieve-test``."""

    def __init__(self, prefix: Prefix, folder: Path) -> None:
        self.prefix = prefix
        self.folder = folder
        folder.chmod(0o777)
        (folder / "conf").write_text(CONFIG.format(folder=folder, user="backup"))

    def told(self, script: str, mail: bytes) -> list[str]:
        """``fileinto NAME``, ``redirect ADDRESS``, ``discard``, ``keep`` ...; ``refused``: a bad script."""
        (self.folder / "s.sieve").write_text(script)
        (self.folder / "m").write_bytes(mail)
        sender, recipient = ENVELOPE
        words = ("-c", "conf", "-f", sender, "-r", recipient, "-a", recipient, "s.sieve", "m")
        done = subprocess.run(
            self.prefix.inside("sieve-test", *words),
            cwd=self.folder,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
        )
        text = done.stdout.decode()
        if b"Panic" in done.stderr:
            return [DIED]
        if "Performed actions:" not in text:
            assert "failed to compile" in text + done.stderr.decode(), (text, done.stderr)
            return ["refused"]
        actions, _, implicit = text.partition("Implicit keep:")
        found = [_word(line) for line in actions.splitlines() if line.startswith(" * ")]
        return found + ["keep" for line in implicit.splitlines() if line.startswith(" * ")]


def _word(line: str) -> str:
    for pattern, word in (
        (r" \* store message in folder: INBOX$", "keep"),
        (r" \* store message in folder: (.*)", "fileinto"),
        (r" \* redirect message to: <(.*)>", "redirect"),
        (r" \* discard", "discard"),
    ):
        if found := re.match(pattern, line):
            return " ".join((word, *found.groups()))
    raise AssertionError(line)


def ours(script: str, mail: bytes) -> list[str]:
    """The same in our words."""
    sender, recipient = (each.encode() for each in ENVELOPE)
    try:
        program = compile_script(script.encode(), USERS)
    except ScriptError:
        return ["refused"]
    done = run(program, MailView(mail, {"from": (sender,), "to": (recipient,)}), MANY)
    assert done.error is None, done.error
    words = []
    for each in done.actions:
        if isinstance(each, Keep):
            words.append("keep")
        elif isinstance(each, Redirect):
            words.append(f"redirect {each.address}")
        else:
            words.append(f"fileinto {each.mailbox}" if isinstance(each, FileInto) else each.word)
    return words


def asked(tests: list[str]) -> str:
    """A script that files by number what is true, with the first match variables."""
    rules = (
        f'if string :matches "" "" {{ }} if {test} {{ fileinto "t{number} ${{1}}|${{2}}|${{3}}"; }}\n'
        for number, test in enumerate(tests)
    )
    return NEED + "".join(rules)


def differences(peer: Peer, tests: list[str], mail: bytes) -> list[str]:
    """The tests that the two answer differently, with both answers, but those the peer dies of."""
    script = asked(tests)
    theirs = peer.told(script, mail)
    if theirs == [DIED]:
        half = len(tests) // 2
        return (
            [*differences(peer, tests[:half], mail), *differences(peer, tests[half:], mail)] if half else []
        )
    one, other = _answers(ours(script, mail)), _answers(theirs)
    return [
        f"{test}: ours {one.get(number)}, theirs {other.get(number)}"
        for number, test in enumerate(tests)
        if one.get(number) != other.get(number)
    ]


def _answers(said: list[str]) -> dict[int, str]:
    assert said != ["refused"]
    return dict(_numbered(word) for word in said if " t" in word)


def _numbered(word: str) -> tuple[int, str]:
    found = re.match(r"fileinto t(\d+) ?(.*)", word)
    assert found is not None, word
    return int(found[1]), found[2]


def random_test(rng: random.Random) -> str:
    value = "".join(rng.choices("ab", k=rng.randrange(12)))
    match = rng.choice((":matches", ":matches", ":contains", ":is", ':value "gt"', ':value "le"'))
    pieces = "ab" if ":value" in match else ("a", "b", "*", "\\\\*", "\\\\?")
    key = "".join(rng.choices(pieces, k=rng.randrange(7)))
    comparator = rng.choice(("i;octet", "i;ascii-casemap"))
    if rng.random() < 0.2:
        key, value = key.upper(), value.title()
    return f'string {match} :comparator "{comparator}" "{value}" "{key}"'


@pytest.fixture
def peer() -> Iterator[Peer]:
    """In a folder that its user may enter, too: it drops root's rights."""
    with tempfile.TemporaryDirectory() as folder:
        yield Peer(peers.server_prefix(PACKAGES), Path(folder))


def test_the_two_answer_alike(peer: Peer) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    tests = [*STATIC, *(random_test(rng) for _ in range(RANDOM_TESTS))]
    assert not differences(peer, tests, MAIL)


def test_scripts_of_the_rfcs(peer: Peer) -> None:
    for script in (test_core.CHAIN, test_core.EXTENDED):
        for mail in (test_core.MAIL_A, test_core.MAIL_B, MAIL):
            assert ours(script, mail) == peer.told(script, mail)
    dates = [f'date :originalzone "date" "{part}" "{value}"' for part, value in DATES]
    assert not differences(peer, dates, test_date.MAIL)
    bodies = [
        f'body :content "{kind}" :contains "{text}"'
        for kind in test_body.MARKS
        for text in ("MIME", "Hello", "Please", "end of the", "Someone Else", "<body>")
    ]
    assert not differences(peer, bodies, test_body._mail(b"\r\n"))


DATES = (
    ("year", "1997"),
    ("month", "04"),
    ("day", "01"),
    ("minute", "06"),
    ("second", "31"),
    ("date", "1997-04-01"),
)


def test_what_one_refuses_the_other_does(peer: Peer) -> None:
    taken = [script for script, *_ in test_core.BAD[:30] if peer.told(script, MAIL) != ["refused"]]
    assert not taken


SENT_TO = (
    " a @ b.example ", "(c) a.x @b.example (d)", "Al. B (x) <a@b.example>", "<a@b.example>", "a@[192.0.2.1]",
    '\\"B, A\\" <c@b.example>',
)  # fmt: skip
SENT_TO_NOBODY = (
    "A B a@b.example", "a@b.example c", "@b.example", "a@b..example", "A@b <a@b.example>", "a@b, c@d",
    "a . x@b.example",
)  # fmt: skip
CHANGED = (
    ('addheader "X-Some" "1234567890";', "size :over {0}"),
    ('addheader "X-Some" "1234567890";', "size :over {1}"),
    ('deleteheader "Subject";', "size :under {0}"),
    ('addheader :last "X-B" "z"; deleteheader :index 1 "x-b";', 'header "x-b" "z"'),
    ('deleteheader :contains "x-many" "x";', 'header :count "eq" "x-many" "1"'),
)


def test_addresses_to_send_to(peer: Peer) -> None:
    """RFC 5228 section 2.4.2.3."""
    script = "".join(f'redirect "{each}";\n' for each in SENT_TO[:4])
    assert ours(script, MAIL) == peer.told(script, MAIL)
    for each in SENT_TO[4:]:
        assert ours(f'redirect "{each}";', MAIL) == peer.told(f'redirect "{each}";', MAIL)
    for each in SENT_TO_NOBODY:
        assert ours(f'redirect "{each}";', MAIL) == peer.told(f'redirect "{each}";', MAIL) == ["refused"]


def test_the_mail_as_a_script_has_changed_it(peer: Peer) -> None:
    """RFC 5293 section 7, its size included."""
    size = len(MAIL)
    for number, (change, test) in enumerate(CHANGED):
        script = f'{NEED} {change} if {test.format(size, size + 20)} {{ fileinto "t{number}"; }}'
        assert ours(script, MAIL) == peer.told(script, MAIL), change


PARTS = 'require ["foreverypart", "mime", "extracttext", "variables", "fileinto"];'
LOOPS = (
    'foreverypart { if header :mime :contenttype :matches "Content-Type" "*" { set "x" "${x} ${1}"; } }',
    'foreverypart :name "a" { foreverypart { set "x" "${x}i"; break :name "a"; } }',
    'foreverypart { if header :mime :contenttype "Content-Type" "text/plain" { extracttext :first 2 "x"; } }',
    'foreverypart { if exists :mime "Content-Disposition" { set "x" "yes"; break; } set "x" "${x}."; }',
    'if header :mime :anychild :param "name" :contains "Content-Type" "TOOL" { set "x" "yes"; }',
    'if header :mime :anychild :type "Content-Disposition" "attachment" { set "x" "yes"; }',
    'if header :mime :anychild :contenttype "Content-Type" "text/html" { set "x" "yes"; }',
    'if header :mime :contenttype "Content-Type" "text/html" { set "x" "yes"; }',
    'if address :mime :anychild :domain "From" "c.example" { set "x" "yes"; }',
    'if header :mime :anychild "Subject" "within" { set "x" "yes"; }',
)


def test_parts_of_mails(peer: Peer) -> None:
    """RFC 5703, as far as Pigeonhole has it; 0.5.19 gives up on some loops in loops, and counts octets for
    the characters of :first."""
    for loop in LOOPS:
        script = f'{PARTS}\n{loop}\nfileinto "f${{x}}";\n'
        for mail in (test_mime.MAIL, test_mime.SIMPLE):
            assert ours(script, mail) == peer.told(script, mail), loop
