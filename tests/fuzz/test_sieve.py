"""Fuzz target of Sieve: any octets are a script or an error with its place, and what runs ends in its budget.

Seeds and tokens are made of the tables of the language, so a new word is fuzzed as soon as it has its line.
"""

from __future__ import annotations

from a3mailer.mail.message.headers import fields
from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.extensions import ALL, EXTENSIONS
from a3mailer.wire.sieve.interpret import run
from a3mailer.wire.sieve.limits import Limits
from a3mailer.wire.sieve.parser import parse
from a3mailer.wire.sieve.syntax import Node, write
from a3mailer.wire.sieve.view import MailView
from a3mailer.wire.sieve.vocabulary import MATCH_TYPE, TESTS, Kind, Parameter, Role, Tag, Word
from tests.fuzz import mutate

BORDER = b"\0\0"
"""Between the script and the mail."""
LIMITS = Limits(steps=5_000, memory=100_000)
SHORT = 4_096
"""Octets of a script that is written and read again."""
OVER = 5_000
"""Steps that the last call may have been over the budget."""
MAIL = (
    b'From: "A, B" <a+c@x.example>\r\nTo: g: b@y.example, c@z.example;\r\n'
    b"Subject: =?utf-8?q?h=C3=A4?= x\r\n"
    b"Received: a\r\nReceived: b\r\nDate: Tue, 1 Apr 1997 09:06:31 -0800\r\nX-Number: 42\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
    b"Content-Type: text/html\r\n\r\n<p>html</p>\r\n--b--\r\n"
)
ENVELOPE = {"from": (b"a@x.example",), "to": (b"b+d@y.example",), "auth": (b"b",)}
ENVIRONMENT = {
    "vnd.a3.stage": b"data", "remote-ip": b"192.0.2.1", "vnd.a3.helo": b"x.example", "vnd.a3.tls": b"TLSv1.3",
    "vnd.a3.login": b"b", "name": b"n",
}  # fmt: skip
WORDS = (
    b'"subject"', b'"from"', b'"to"', b'"*"', b'"*@*.example"', b'"?"', b'"a@b.example"', b'"1"', b'"gt"',
    b'""',
    b'"${1}"', b'"${a}"', b'"${hex:41}"', b'"192.0.2.0/24"', b'"data"', b'"i;octet"', b'"i;ascii-numeric"',
)  # fmt: skip
VALUES = {
    Kind.NUMBER: b"1",
    Kind.STRING: b'"a@b.example"',
    Kind.STRINGS: b'["subject", "from"]',
    Kind.CONSTANT: b'"gt"',
    Kind.CONSTANTS: b'["fileinto"]',
}
BY_NAME = {
    "variable": b'"a"',
    "method": b'"mailto:a@b.example?subject=x"',
    "list of methods": b'["mailto:a@b.example", "x:y"]',
    "list of stages": b'"data"',
    "list of networks": b'["192.0.2.0/24", "::/0"]',
    "list of keys": b'["*\xc3\xa4*", "*", "a"]',
    "name": b'"a"',
    "text": b'"5.7.1 ${1} x"',
    "field name": b'"X-Number"',
}


BY_TAG = {
    "zone": b'"+0100"',
    "notify": b'"SUCCESS,DELAY"',
    "ret": b'"HDRS"',
    "bytimeabsolute": b'"2026-01-31T20:00:00Z"',
    "bytimerelative": b"3600",
    "bymode": b'"return"',
    "importance": b'"1"',
    "specialuse": b'"\\\\Sent"',
    "options": b'["a=b"]',
}
"""What a tag takes, where not just anything of its kind."""
BESIDE = {
    "index": b":index 1",
    "mime": b":mime",
    "bytime": b":bytimerelative 60",
    "fcc": b':fcc "INBOX"',
}
"""What is given for a tag of a group that another stands beside."""
KEYS_OF = {"regex": b'"^(a+)b*", "x{2,3}$"', "list": b'":addrbook:default", "tag:x.example,2026:l"'}
"""Keys of a match type."""
ANY_KEYS = BY_NAME["list of keys"]
LISTS = {
    "urn:ietf:params:sieve:addrbook:default": {b"a+c@x.example": b"A+C@x.example"},
    "tag:x.example,2026:l": {b"b@y.example": b"b@y.example", b"subject": b"Subject"},
}
SCRIPT = compile_script(b'require ["include", "variables"]; global "a"; set "a" "x"; keep;', ALL)
IN_A_LOOP = ("extracttext", "break", "replace", "enclose")


def _value(parameter: Parameter) -> bytes:
    if parameter.members:
        return next(b'"%b"' % name.encode() for group, name in ALL.members if group == parameter.members)
    return BY_NAME.get(parameter.name, VALUES[parameter.kind])


def _call(word: Word, tag: bytes = b"", keys: bytes = b"") -> bytes:
    tags = [tag] if tag else [b":" + t.name.encode() for t in word.tags if t.of in word.needs][:1]
    values = list(map(_value, word.parameters))
    if keys and values:
        values[-1] = b"[%b]" % keys if word.parameters[-1].kind is Kind.STRINGS else keys.partition(b", ")[0]
    return b" ".join((word.name.encode(), *tags, *values))


def _tagged(word: Word, tag: Tag) -> bytes:
    """A call with a tag and what it cannot be without."""
    pieces = [b":" + tag.name.encode()]
    if tag.takes:
        pieces.append(BY_TAG.get(tag.name, VALUES[tag.takes]))
    if tag.beside:
        pieces.insert(0, BESIDE[tag.beside])
    return _call(word, b" ".join(pieces), KEYS_OF.get(tag.name, b""))


def _calls() -> list[bytes]:
    """Every word as it is, with each of its tags, and with each tag of its groups."""
    out = []
    for owned in ALL.words.values():
        word = owned.part
        if word.role not in (Role.TEST, Role.ACTION):
            continue
        calls = [_call(word)]
        for (target, _), tag in ALL.tags.items():
            if target in (word.name, *word.groups):
                calls.append(_tagged(word, tag.part))
        said = [b"if %b { keep; }" % c if word.role in TESTS else c + b";" for c in calls]
        if word.name in IN_A_LOOP:
            said = [b"foreverypart { %b }" % each for each in said]
        out += said
    return out


CAPABILITIES = b"require [%b];\r\n" % b", ".join(b'"%b"' % name.encode() for name in ALL.capabilities)
CALLS = _calls()
SEEDS = (
    *(CAPABILITIES + call + BORDER + MAIL for call in CALLS),
    *(CAPABILITIES + b"\r\n".join(CALLS[at : at + 6]) + BORDER + MAIL for at in range(0, len(CALLS), 6)),
    b'require "ihave"; if allof (ihave "copy", not anyof (true, false)) { stop; } else { frob :x 5; }\0\0',
    b"/* c */ if true { redirect text: # c\r\na@b.example\r\n..\r\n.\r\n; } elsif size :over 1K { }\0\0"
    + MAIL,
)
TOKENS = (
    *WORDS,
    *CALLS,
    *(b":" + name.encode() + b" " for _, name in ALL.tags),
    *(b"{", b"}", b"(", b")", b"[", b"]", b",", b";", b"\\", b'"', b"#", b"/*", b"*/", b"text:\r\n"),
    *(b"if ", b"elsif ", b"else ", b"not ", b"allof (", b"anyof (", b"stop;", b"\xff",),
    *(b"\xc3\xa4", b"99999999999999999999G", b"\r\n.\r\n"),
    *(BORDER, b"=?utf-8?q?", b"${", b"Subject: "),
)  # fmt: skip


def _placeless(node: Node) -> Node:
    return node._replace(
        arguments=tuple(each._replace(at=0) for each in node.arguments),
        tests=tuple(map(_placeless, node.tests)),
        block=None if node.block is None else tuple(map(_placeless, node.block)),
        at=0,
    )


def len_is_odd(handle: bytes, value: bytes) -> bool:
    """A memory for ``duplicate``."""
    return len(value) % 2 == 1


def name_is_odd(by: str, value: str, of: str = "") -> bool:
    """The mailboxes there are."""
    return len(value) % 2 == 1


def target(octets: bytes) -> None:
    script, _, mail = octets.partition(BORDER)
    try:
        if len(script) < SHORT:
            tree = parse(script)
            assert list(map(_placeless, parse(write(tree)))) == list(map(_placeless, tree))
        program = compile_script(script, ALL)
    except ScriptError as error:
        assert error.line >= 1
        assert error.column >= 1
        return
    view = MailView(
        mail,
        ENVELOPE,
        ENVIRONMENT,
        now=(1_700_000_000, 60),
        memory=len_is_odd,
        mailboxes=name_is_odd,
        scripts=lambda location, name: SCRIPT if name == "a" else None,
        lists=LISTS.get,
        annotations=lambda mailbox, entry: None if mailbox is None else entry.encode(),
        flags=("\\Seen", "$a"),
    )
    done = run(
        program,
        view,
        LIMITS,
        trace=True,
    )
    assert done.steps <= LIMITS.steps + OVER, done.steps
    assert done.actions or done.error is None
    if done.error is not None:
        assert [each.word for each in done.actions] == ["keep"]
    for action in done.actions:
        header = getattr(action, "header", None)
        if header:
            added = header[: len(header) - len(mail)] if len(header) > len(mail) else b""
            assert b"\r\n\r\n" not in added
            assert list(fields(header, 0, len(header))) or not added


@mutate.CASES
def test_any_octets_are_a_script_or_none(count: int, seed: int) -> None:
    mutate.run(target, SEEDS, count=count, seed=seed, tokens=TOKENS)


def test_the_seeds_are_scripts() -> None:
    """So that the mutations begin where the interpreter works; each word is in one."""
    for call in CALLS:
        compile_script(CAPABILITIES + call, ALL)
    named = {call.removeprefix(b"foreverypart { ").removeprefix(b"if ").split()[0] for call in CALLS}
    good = {each.rstrip(b";").decode() for each in named}
    wanted = {w.name for e in EXTENSIONS for w in e.words if w.role in (Role.TEST, Role.ACTION)}
    assert wanted <= good, wanted - good
    assert MATCH_TYPE
