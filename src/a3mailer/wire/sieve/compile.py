"""A script as a flat list of instructions (RFC 5228 sections 2 and 3): tests set one flag, jumps look at it.

The calls here nest no deeper than the parser lets blocks and tests nest. Errors: ScriptError,
UnknownCapability. With ``ihave`` (RFC 5463) what lacks a capability becomes an error of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from a3mailer.wire.sieve.arguments import Dynamic, NotEnabled, Reader, Scope
from a3mailer.wire.sieve.dialect import Dialect
from a3mailer.wire.sieve.errors import UnknownCapability
from a3mailer.wire.sieve.limits import INSTRUCTIONS, SCRIPT
from a3mailer.wire.sieve.machine import Call
from a3mailer.wire.sieve.parser import parse_source
from a3mailer.wire.sieve.syntax import Node, Source, Strings
from a3mailer.wire.sieve.vocabulary import BLOCKS, TESTS, Role, Run, Word

IHAVE: Final = "ihave"


class Op(IntEnum):
    """What an instruction does."""

    TEST = 0
    """Run, and set the flag to the result."""
    NOT = 1
    """Turn the flag over."""
    UNLESS = 2
    """Jump where the flag is not set."""
    WHEN = 3
    """Jump where it is."""
    JUMP = 4
    ACT = 5
    STOP = 6
    FAIL = 7
    """End with an error: the word is its text."""
    LOOP = 8
    """Begin a loop over the parts of the mail."""
    NEXT = 9
    """Go to the next part; where there is none, end the loop and jump."""
    BREAK = 10
    """End as many loops as ``loops`` says, and jump."""


class Instruction(NamedTuple):
    """One step. ``needs``: capabilities that ``ihave`` must have switched on."""

    op: Op
    at: tuple[int, int]
    word: str = ""
    target: int = 0
    run: Run | None = None
    call: Call | None = None
    dynamic: Dynamic | None = None
    needs: frozenset[str] = frozenset()
    loops: int = 0


class Program(NamedTuple):
    """A compiled script. ``required``: what is in force from its begin; ``late``: what ``ihave`` may add."""

    code: tuple[Instruction, ...]
    required: frozenset[str]
    late: frozenset[str]
    members: Mapping[tuple[str, str], frozenset[str]]
    """Names in open sets, with the capabilities of which any gives them."""


class _Loop:
    """A loop while it is compiled: its name, and the breaks that lead behind it."""

    __slots__ = ("breaks", "name")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.breaks: list[int] = []


class _Compiler:
    def __init__(self, source: Source, dialect: Dialect) -> None:
        self.scope = Scope(source, dialect)
        self.source = source
        self.dialect = dialect
        self.code: list[Instruction] = []
        self.loops: list[_Loop] = []
        """Those that are open here, the outermost first."""

    def program(self, commands: Sequence[Node]) -> Program:
        rest = self._requires(commands)
        self._commands(rest)
        members = {key: owned.owners for key, owned in self.dialect.members.items()}
        return Program(tuple(self.code), frozenset(self.scope.required), self.dialect.late, members)

    def _requires(self, commands: Sequence[Node]) -> Sequence[Node]:
        """Take the require commands at the begin."""
        for number, node in enumerate(commands):
            if node.name != "require":
                return commands[number:]
            self._shape(node, tests=False, block=False)
            if len(node.arguments) != 1 or not isinstance(node.arguments[0], Strings):
                raise self.source.error("require wants one list of strings", node.at)
            for value in node.arguments[0].values:
                capability = value.decode("utf-8", "replace")
                if capability not in self.dialect.capabilities:
                    place = self.source.place(node.arguments[0].at)
                    raise UnknownCapability(f'the capability "{capability[:60]}" is not offered', *place)
                self.scope.required.add(capability)
        return ()

    def _emit(self, instruction: Instruction, at: int) -> int:
        if len(self.code) >= INSTRUCTIONS:
            raise self.source.error(f"a script of more than {INSTRUCTIONS} instructions", at)
        self.code.append(instruction)
        return len(self.code) - 1

    def _op(self, op: Op, node: Node, target: int = 0, word: str = "") -> int:
        return self._emit(Instruction(op, self.source.place(node.at), word or node.name, target), node.at)

    def _aim(self, jumps: Sequence[int]) -> None:
        """Let jumps lead here."""
        for number in jumps:
            self.code[number] = self.code[number]._replace(target=len(self.code))

    def _commands(self, commands: Sequence[Node]) -> None:
        chain: list[Node] = []
        for node in commands:
            if chain and chain[-1].name != "else" and node.name in ("elsif", "else"):
                chain.append(node)
                continue
            self._chain(chain)
            chain = [node] if node.name == "if" else []
            if not chain:
                self._command(node)
        self._chain(chain)

    def _chain(self, chain: Sequence[Node]) -> None:
        """If, elsif, else (RFC 5228 section 3.1)."""
        ends: list[int] = []
        for node in chain:
            self._shape(node, tests=node.name != "else", block=True)
            if node.arguments:
                raise self.source.error(f"{node.name} takes no arguments", node.arguments[0].at)
            skip = []
            if node.name != "else":
                self._test(node.tests[0])
                skip.append(self._op(Op.UNLESS, node))
            self._commands(node.block or ())
            if node is not chain[-1]:
                ends.append(self._op(Op.JUMP, node))
            self._aim(skip)
        self._aim(ends)

    def _word(self, node: Node) -> tuple[Word, frozenset[str]]:
        """The word of a node, and what it needs at the run. Errors: NotEnabled."""
        owned = self.dialect.words.get(node.name)
        if owned is None:
            raise NotEnabled(f"there is no {node.name[:60]}", *self.source.place(node.at))
        needs = self.scope.need(owned.owners, node.name, node.at)
        if owned.part.also:
            needs |= self.scope.need(frozenset((owned.part.also,)), node.name, node.at)
        return owned.part, needs

    def _command(self, node: Node) -> None:
        try:
            word, needs = self._word(node)
            if word.role in TESTS:
                raise self.source.error(f"{node.name} is a test, no command", node.at)
            if word.role is Role.REQUIRE:
                raise self.source.error("require behind another command", node.at)
            if word.role in BLOCKS:
                raise self.source.error(f"{node.name} without an if before it", node.at)
            if word.looped and not self.loops:
                raise self.source.error(f"{node.name} outside of foreverypart", node.at)
            self._shape(node, tests=False, block=word.role is Role.LOOP)
            if word.role is Role.STOP:
                self._plain(word, node)
                self._op(Op.STOP, node)
            elif word.role is Role.LOOP:
                self._loop(node, Reader(self.scope, word, node).made().call)
            elif word.role is Role.BREAK:
                self._break(node, Reader(self.scope, word, node).made().call)
            else:
                self._call(Op.ACT, word, node, needs)
        except NotEnabled as error:
            self._late(node, error)

    def _loop(self, node: Node, call: Call) -> None:
        """foreverypart (RFC 5703 section 3.1)."""
        loop = _Loop(b"".join(call.tag_strings("name")))
        self._op(Op.LOOP, node)
        again = len(self.code)
        out = self._op(Op.NEXT, node)
        self.loops.append(loop)
        self._commands(node.block or ())
        self.loops.pop()
        self._op(Op.JUMP, node, again)
        self._aim((out, *loop.breaks))

    def _break(self, node: Node, call: Call) -> None:
        """Out of the loop of a name, else of the innermost one (RFC 5703 section 3.2)."""
        name = call.tag_strings("name")
        for count, loop in enumerate(reversed(self.loops), 1):
            if not name or name[0] == loop.name:
                place = self.source.place(node.at)
                instruction = Instruction(Op.BREAK, place, node.name, loops=count)
                loop.breaks.append(self._emit(instruction, node.at))
                return
        raise self.source.error("break outside of the loop it names", node.at)

    def _late(self, node: Node, error: NotEnabled) -> None:
        """With ``ihave`` it is an error only for who comes here. Errors: NotEnabled."""
        if IHAVE not in self.scope.required:
            raise error
        self._op(Op.FAIL, node, word=error.text)

    def _plain(self, word: Word, node: Node) -> None:
        Reader(self.scope, word, node).made()

    def _call(self, op: Op, word: Word, node: Node, needs: frozenset[str]) -> None:
        made = Reader(self.scope, word, node).made()
        if word.name == IHAVE:
            wanted = {value.decode("utf-8", "replace") for value in made.call.strings(0)}
            self.scope.asked |= wanted & self.dialect.late
        place = self.source.place(node.at)
        needs |= made.needs
        self._emit(Instruction(op, place, word.name, 0, word.run, made.call, made.dynamic, needs), node.at)

    def _test(self, node: Node) -> None:
        try:
            word, needs = self._word(node)
            if word.role not in TESTS:
                raise self.source.error(f"{node.name} is no test", node.at)
            self._tested(word, node, needs)
        except NotEnabled as error:
            self._late(node, error)

    def _tested(self, word: Word, node: Node, needs: frozenset[str]) -> None:
        if word.role is Role.TEST:
            self._shape(node, tests=False, block=False)
            self._call(Op.TEST, word, node, needs)
            return
        self._plain(word, node)
        if not node.tests:
            raise self.source.error(f"{node.name} without a test", node.at)
        if word.role is Role.NOT:
            self._shape(node, tests=True, block=False)
            self._test(node.tests[0])
            self._op(Op.NOT, node)
            return
        if not node.listed:
            raise self.source.error(f"{node.name} wants its tests in parentheses", node.at)
        out = Op.UNLESS if word.role is Role.ALLOF else Op.WHEN
        jumps = []
        for test in node.tests:
            self._test(test)
            if test is not node.tests[-1]:
                jumps.append(self._op(out, node))
        self._aim(jumps)

    def _shape(self, node: Node, *, tests: bool, block: bool) -> None:
        """Has a node one test, or none, and a block, or none?"""
        if tests and (len(node.tests) != 1 or node.listed):
            raise self.source.error(f"{node.name} wants one test", node.at)
        if not tests and (node.tests or node.listed):
            at = node.tests[0].at if node.tests else node.at
            raise self.source.error(f"{node.name} takes no tests: is there a semicolon missing?", at)
        if block and node.block is None:
            raise self.source.error(f"{node.name} wants a block", node.at)
        if not block and node.block is not None:
            raise self.source.error(f"{node.name} takes no block", node.at)


def compile_script(script: bytes, dialect: Dialect) -> Program:
    """Make a program of a script. Errors: ScriptError, and its kind UnknownCapability."""
    source = Source(script[: SCRIPT + 1])
    return _Compiler(source, dialect).program(parse_source(source))
