"""A script's tree (RFC 5228 section 8.2): by a stack of what is open, not by calls, so no nesting is deep.

start = commands     commands = *command     command = identifier arguments (";" / block)
block = "{" commands "}"     arguments = *argument [ test / test-list ]     test = identifier arguments
argument = string-list / number / tag     test-list = "(" test *("," test) ")"
string-list = "[" string *("," string) "]" / string
Errors: ScriptError.
"""

from __future__ import annotations

from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.lexer import END, IDENTIFIER, NUMERAL, STRINGY, TAG, Token, tokens
from a3mailer.wire.sieve.limits import NESTED_BLOCKS, NESTED_TESTS, SCRIPT
from a3mailer.wire.sieve.syntax import Argument, Node, Number, Source, Strings, Tag


class _Open:
    """A command or a test whose arguments are being read. ``closed``: its test list has ended."""

    __slots__ = ("arguments", "at", "closed", "listed", "name", "tests")

    def __init__(self, token: Token) -> None:
        self.name = token.name
        self.at = token.at
        self.arguments: list[Argument] = []
        self.tests: list[Node] = []
        self.listed = False
        self.closed = False

    def node(self, block: tuple[Node, ...] | None = None) -> Node:
        return Node(self.name, tuple(self.arguments), tuple(self.tests), self.listed, block, self.at)


class _Parser:
    """The blocks that are open, each with the command it belongs to; the command being read, its tests."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = tokens(source)
        self.blocks: list[list[Node]] = [[]]
        self.owners: list[_Open] = []
        self.open: list[_Open] = []

    def parse(self) -> tuple[Node, ...]:
        while True:
            token = next(self.tokens)
            if self.open:
                self._within(token)
            elif token.kind == IDENTIFIER:
                self.open.append(_Open(token))
            elif token.kind == "}" and self.owners:
                block = tuple(self.blocks.pop())
                self.blocks[-1].append(self.owners.pop().node(block))
            elif token.kind == END and not self.owners:
                return tuple(self.blocks[0])
            else:
                raise self._unexpected(token, "a command or }" if self.owners else "a command")

    def _within(self, token: Token) -> None:
        """One token of the arguments of the innermost open command or test."""
        top = self.open[-1]
        if top.tests or top.closed:
            self._end(token)
        elif token.kind in (STRINGY, NUMERAL, TAG, "["):
            top.arguments.append(self._argument(token))
        elif token.kind == IDENTIFIER:
            self._test(token)
        elif token.kind == "(":
            top.listed = True
            self._test(next(self.tokens))
        else:
            self._end(token)

    def _test(self, token: Token) -> None:
        if token.kind != IDENTIFIER:
            raise self._unexpected(token, "a test")
        if len(self.open) > NESTED_TESTS:
            raise self.source.error(f"tests nested deeper than {NESTED_TESTS}", token.at)
        self.open.append(_Open(token))

    def _end(self, token: Token) -> None:
        """A token that ends tests, as many as it ends, then a test list or a command."""
        while True:
            top = self.open[-1]
            if top.tests and top.listed and not top.closed:
                if token.kind == ",":
                    self._test(next(self.tokens))
                    return
                if token.kind == ")":
                    top.closed = True
                    return
                raise self._unexpected(token, ", or )")
            if len(self.open) == 1:
                self._end_command(token)
                return
            self.open.pop()
            self.open[-1].tests.append(top.node())

    def _end_command(self, token: Token) -> None:
        if token.kind == ";":
            self.blocks[-1].append(self.open.pop().node())
        elif token.kind == "{":
            if len(self.owners) >= NESTED_BLOCKS:
                raise self.source.error(f"blocks nested deeper than {NESTED_BLOCKS}", token.at)
            self.owners.append(self.open.pop())
            self.blocks.append([])
        else:
            raise self._unexpected(token, "; or {")

    def _argument(self, token: Token) -> Argument:
        if token.kind == TAG:
            return Tag(token.name, token.at)
        if token.kind == NUMERAL:
            return Number(token.number, token.at)
        if token.kind == STRINGY:
            return Strings((token.octets,), False, token.at)
        values = [self._string()]
        while (after := next(self.tokens)).kind == ",":
            values.append(self._string())
        if after.kind != "]":
            raise self._unexpected(after, ", or ]")
        return Strings(tuple(values), True, token.at)

    def _string(self) -> bytes:
        token = next(self.tokens)
        if token.kind != STRINGY:
            raise self._unexpected(token, "a string")
        return token.octets

    def _unexpected(self, token: Token, wanted: str) -> ScriptError:
        named = token.kind in (IDENTIFIER, TAG)
        found = f"{':' if token.kind == TAG else ''}{token.name[:60]}" if named else token.kind
        return self.source.error(f"{wanted} is wanted here, not {found}", token.at)


def parse(script: bytes) -> tuple[Node, ...]:
    """The commands of a script."""
    return parse_source(Source(script[: SCRIPT + 1]))


def parse_source(source: Source) -> tuple[Node, ...]:
    """The same, of a source that is kept for its places."""
    if len(source.octets) > SCRIPT:
        raise source.error(f"a script of more than {SCRIPT} octets", SCRIPT)
    return _Parser(source).parse()
