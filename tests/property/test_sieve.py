"""Sieve: a tree that is written is read again, and what runs is what a naive reading of the tree says."""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from a3mailer.wire.sieve.actions import Keep
from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.extensions import ALL
from a3mailer.wire.sieve.interpret import run
from a3mailer.wire.sieve.lexer import Token, tokens
from a3mailer.wire.sieve.parser import parse
from a3mailer.wire.sieve.syntax import Argument, Node, Number, Source, Strings, Tag, write
from a3mailer.wire.sieve.view import MailView

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "text")
OCTETS = st.binary(max_size=12).map(lambda octets: re.sub(rb"[\0\r\n]", b"\r\n", octets))


def _strings(values: list[bytes]) -> Strings:
    return Strings(tuple(values), True, 0)


ARGUMENTS: st.SearchStrategy[Argument] = st.one_of(
    st.lists(OCTETS, min_size=1, max_size=3).map(_strings),
    OCTETS.map(lambda value: Strings((value,), False, 0)),
    st.integers(0, 2**63 - 1).map(lambda value: Number(value, 0)),
    NAMES.map(lambda name: Tag(name, 0)),
)


def _test(name: str, arguments: list[Argument], tests: list[Node], listed: bool) -> Node:
    if not listed:
        tests = tests[:1]
    return Node(name, tuple(arguments), tuple(tests), listed and bool(tests), None, 0)


TESTS = st.recursive(
    st.builds(_test, NAMES, st.lists(ARGUMENTS, max_size=3), st.just([]), st.just(False)),
    lambda inner: st.builds(
        _test, NAMES, st.lists(ARGUMENTS, max_size=2), st.lists(inner, max_size=3), st.booleans()
    ),
    max_leaves=6,
)


def _command(test: Node, block: list[Node] | None) -> Node:
    return test._replace(block=None if block is None else tuple(block))


COMMANDS = st.recursive(
    st.builds(_command, TESTS, st.none()),
    lambda inner: st.builds(_command, TESTS, st.lists(inner, max_size=3)),
    max_leaves=5,
)


def placeless(node: Node) -> Node:
    """The node with every offset 0."""
    return node._replace(
        arguments=tuple(each._replace(at=0) for each in node.arguments),
        tests=tuple(map(placeless, node.tests)),
        block=None if node.block is None else tuple(map(placeless, node.block)),
        at=0,
    )


@settings(max_examples=40)
@given(st.lists(COMMANDS, max_size=4))
def test_a_tree_that_is_written_is_read_again(commands: list[Node]) -> None:
    assert list(map(placeless, parse(write(commands)))) == commands


@settings(max_examples=40)
@given(st.lists(COMMANDS, max_size=3), st.sampled_from((b"\n", b"\r\n", b" ", b"/* } */", b"#;\n", b"\t")))
def test_white_space_and_comments_mean_nothing(commands: list[Node], blank: bytes) -> None:
    script = Source(write(commands))
    pieces = list(tokens(script))
    spaced = b"".join(
        blank + script.octets[one.at : other.at].strip(b" \n") for one, other in itertools.pairwise(pieces)
    )
    assert all(isinstance(each, Token) for each in pieces)
    assert list(map(placeless, parse(spaced))) == commands


# --- a small part of the language, by its own words and by Python's ----------------------------------------

WORDS = st.text("ab*?", max_size=3)
SIMPLE = st.one_of(
    st.sampled_from(("true", "false")),
    st.builds(
        lambda match, name, key: f'header :{match} "{name}" "{key}"',
        st.sampled_from(("is", "contains", "matches")),
        st.sampled_from("xyz"),
        WORDS,
    ),
    st.builds(lambda name: f'exists "{name}"', st.sampled_from("xyz")),
    st.builds(
        lambda how, size: f"size :{how} {size}", st.sampled_from(("over", "under")), st.integers(0, 60)
    ),
)
SCRIPT_TESTS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        inner.map(lambda test: f"not {test}"),
        st.builds(
            lambda word, tests: f"{word} ({', '.join(tests)})",
            st.sampled_from(("allof", "anyof")),
            st.lists(inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=5,
)
SCRIPT_COMMANDS = st.recursive(
    st.sampled_from(
        ("keep;", "discard;", "stop;", 'fileinto "a";', 'fileinto "b";', 'redirect "a@b.example";')
    ),
    lambda inner: st.builds(
        lambda tests, blocks, last: (
            "".join(
                f"{'els' if number else ''}if {test} {{ {' '.join(block)} }} "
                for number, (test, block) in enumerate(zip(tests, blocks, strict=False))
            )
            + (f"else {{ {' '.join(last)} }}" if last is not None else "")
        ),
        st.lists(SCRIPT_TESTS, min_size=1, max_size=3),
        st.lists(st.lists(inner, max_size=2), min_size=3, max_size=3),
        st.none() | st.lists(inner, max_size=2),
    ),
    max_leaves=8,
)
MAILS = st.lists(st.tuples(st.sampled_from("XyZ"), st.text("AaBb", max_size=3)), max_size=4).map(
    lambda fields: "".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\n"
)


class _Stop(Exception):
    pass


class Naive:
    """RFC 5228 as read aloud: a walk over the tree."""

    def __init__(self, mail: bytes) -> None:
        self.size = len(mail)
        self.fields = [
            (line.partition(b":")[0].lower(), line.partition(b":")[2].strip().lower())
            for line in mail.split(b"\r\n")
            if line
        ]
        self.actions: list[str] = []
        self.implicit = True

    def run(self, commands: tuple[Node, ...]) -> list[str]:
        with contextlib.suppress(_Stop):
            self.block(commands)
        return self.actions + (["implicit keep"] if self.implicit and "keep" not in self.actions else [])

    def block(self, commands: tuple[Node, ...]) -> None:
        done = False
        for node in commands:
            if node.name in ("if", "elsif", "else"):
                done = done and node.name != "if"
                if not done and (node.name == "else" or self.test(node.tests[0])):
                    done = True
                    self.block(node.block or ())
            elif node.name == "stop":
                raise _Stop
            elif node.name != "require":
                self.implicit = False
                told = " ".join((node.name, *(text.decode() for text in self.texts(node, 0))))
                if told not in self.actions:
                    self.actions.append(told)

    def texts(self, node: Node, place: int) -> tuple[bytes, ...]:
        lists = [each.values for each in node.arguments if isinstance(each, Strings)]
        return lists[place] if place < len(lists) else ()

    def test(self, node: Node) -> bool:
        if node.name in ("allof", "anyof"):
            return (all if node.name == "allof" else any)(map(self.test, node.tests))
        if node.name == "not":
            return not self.test(node.tests[0])
        if node.name == "size":
            limit = next(each.value for each in node.arguments if isinstance(each, Number))
            return self.size > limit if self.tag(node) == "over" else self.size < limit
        if node.name in ("true", "false"):
            return node.name == "true"
        values = [value for name, value in self.fields if name == self.texts(node, 0)[0]]
        return bool(values) if node.name == "exists" else self.header(node, values)

    def tag(self, node: Node) -> str:
        return next(each.name for each in node.arguments if isinstance(each, Tag))

    def header(self, node: Node, values: list[bytes]) -> bool:
        key = self.texts(node, 1)[0]
        if self.tag(node) == "is":
            return key in values
        if self.tag(node) == "contains":
            return any(key in value for value in values)
        return any(fnmatch.fnmatchcase(value, key) for value in values)


@settings(max_examples=80)
@given(st.lists(SCRIPT_COMMANDS, max_size=4), MAILS)
def test_what_runs_is_what_the_tree_says(commands: list[str], mail: bytes) -> None:
    script = ('require "fileinto";\n' + "\n".join(commands)).encode()
    done = run(compile_script(script, ALL), MailView(mail))
    assert done.error is None
    told = [
        "implicit keep"
        if isinstance(each, Keep) and each.implicit
        else " ".join(
            ({"store": "fileinto"}.get(each.word, each.word), *(str(getattr(each, n)) for n in _shown(each)))
        )
        for each in done.actions
    ]
    assert told == Naive(mail).run(parse(script))


def _shown(action: object) -> list[str]:
    return [name for name in ("mailbox", "address") if hasattr(action, name)]
