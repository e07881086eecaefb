"""The arguments of one word of a script, checked against what the word takes (RFC 5228 section 2.6).

Errors: ScriptError; NotEnabled for what a capability that is not in force would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from a3mailer.wire.sieve import strings
from a3mailer.wire.sieve.comparators import ASCII_CASEMAP, Comparator
from a3mailer.wire.sieve.dialect import ALWAYS, COMPARATOR_PREFIX, Dialect
from a3mailer.wire.sieve.errors import BadCall, ScriptError
from a3mailer.wire.sieve.machine import Call, Machine, Matcher, Modify, Tagged, Value
from a3mailer.wire.sieve.matching import IS, matcher
from a3mailer.wire.sieve.strings import Template, Text
from a3mailer.wire.sieve.syntax import Argument, Node, Number, Source, Strings
from a3mailer.wire.sieve.syntax import Tag as GivenTag
from a3mailer.wire.sieve.vocabulary import COMPARATOR, MATCH_TYPE, Kind, MatchType, Parameter, Tag, Word

VARIABLES: Final = "variables"
ENCODED: Final = "encoded-character"
NAMESPACE: Final = "namespace"
"""The open set of the namespaces of variables."""
_LISTS: Final = (Kind.STRINGS, Kind.CONSTANTS)
_CONSTANT: Final = (Kind.CONSTANT, Kind.CONSTANTS)

Raw = tuple[Text, ...] | int


class NotEnabled(ScriptError):
    """It would need a capability; where ``ihave`` is in force this matters only when it is reached."""


class Dynamic(NamedTuple):
    """Arguments with variables in them."""

    positional: tuple[Raw, ...]
    tags: Mapping[str, tuple[str, Raw]]

    def call(self, machine: Machine, made: Call) -> Call:
        """The call with the values of now."""
        positional = tuple(_now(each, machine) for each in self.positional)
        tags = {group: Tagged(name, _now(value, machine)) for group, (name, value) in self.tags.items()}
        return made._replace(positional=positional, tags=tags, written=made)


def _now(value: Raw, machine: Machine) -> Value:
    if isinstance(value, int):
        return value
    return tuple(text.expand(machine) if isinstance(text, Template) else text for text in value)


class Made(NamedTuple):
    """A call; ``dynamic`` where it has to be made anew at each run; ``needs``: capabilities it uses."""

    call: Call
    dynamic: Dynamic | None
    needs: frozenset[str]


class Scope:
    """What is in force at a place of a script."""

    __slots__ = ("asked", "dialect", "required", "source")

    def __init__(self, source: Source, dialect: Dialect) -> None:
        self.source = source
        self.dialect = dialect
        self.required: set[str] = set(ALWAYS)
        self.asked: set[str] = set()
        """By ``ihave``, so far: whether they are in force shows when it runs."""

    def namespaces(self) -> frozenset[str]:
        """Of variables, in force here (RFC 5229 section 3)."""
        known = self.required | self.asked
        members = self.dialect.members.items()
        return frozenset(
            name for (group, name), owned in members if group == NAMESPACE and owned.owners & known
        )

    def need(self, owners: frozenset[str], what: str, at: int) -> frozenset[str]:
        """Which capabilities have to be in force at the run. Errors: NotEnabled."""
        if owners & self.required:
            return frozenset()
        if asked := owners & self.asked:
            return frozenset(sorted(asked)[:1])
        wanted = " or ".join(f'"{each}"' for each in sorted(owners))
        raise NotEnabled(f"{what} needs the capability {wanted}", *self.source.place(at))


class Reader:
    """Reads the arguments of one node."""

    def __init__(self, scope: Scope, word: Word, node: Node) -> None:
        self.scope = scope
        self.word = word
        self.node = node
        self.needs: set[str] = set()
        self.tags: dict[str, tuple[Tag, Raw]] = {}

    def made(self) -> Made:
        """The call. Errors: ScriptError."""
        rest = self._tagged()
        positional = self._positional(rest)
        for group in self.word.needs:
            if group not in self.tags:
                wanted = " or ".join(f":{tag.name}" for tag in self.word.tags if tag.of == group)
                raise self._error(f"{self.word.name} without {wanted}", self.node.at)
        for tag, _ in self.tags.values():
            if tag.beside and tag.beside not in self.tags:
                raise self._error(f":{tag.name} without :{tag.beside}", self.node.at)
        tags = {group: (tag.name, value) for group, (tag, value) in self.tags.items()}
        dynamic = Dynamic(positional, tags) if _varies(positional, tags) else None
        match_type, matches = self._matcher() if MATCH_TYPE in self.word.groups else (IS, None)
        call = Call(
            self.scope.source.place(self.node.at),
            tuple(map(_constant, positional)),
            {group: Tagged(name, _constant(value)) for group, (name, value) in tags.items()},
            matcher=matches,
            modifiers=self._modifiers(),
        )
        self._check(call, match_type, dynamic is not None)
        return Made(call, dynamic, frozenset(self.needs))

    def _modifiers(self) -> tuple[tuple[Modify, str], ...]:
        found = [(tag.modify, tag.of) for tag, _ in self.tags.values() if tag.modify is not None]
        return tuple(sorted(found, key=lambda each: each[1], reverse=True))

    def _check(self, call: Call, match_type: MatchType, varies: bool) -> None:
        try:
            for tag, value in self.tags.values():
                if tag.check is not None and not (isinstance(value, tuple) and _has_template(value)):
                    tag.check(call.tags[tag.of])
            if not varies:
                for check in (self.word.check, match_type.check):
                    if check is not None:
                        check(call)
        except BadCall as error:
            raise self._error(str(error), self.node.at) from error

    def _tagged(self) -> list[Argument]:
        """Take the tags and what belongs to them; the positional arguments are left."""
        given = list(self.node.arguments)
        at = 0
        while at < len(given):
            argument = given[at]
            if not isinstance(argument, GivenTag):
                break
            tag = self._tag(argument)
            value: Raw = ()
            at += 1
            if tag.takes is not None:
                if at >= len(given) or isinstance(given[at], GivenTag):
                    raise self._error(f":{tag.name} needs {tag.takes.value}", argument.at)
                value = self._value(tag.takes, given[at], f":{tag.name}")
                at += 1
            if tag.of in self.tags:
                raise self._error(
                    f":{tag.name} beside :{self.tags[tag.of][0].name}: only one of them", argument.at
                )
            self.tags[tag.of] = (tag, value)
        return given[at:]

    def _tag(self, given: GivenTag) -> Tag:
        tags = self.scope.dialect.tags
        for target in (self.word.name, *self.word.groups):
            owned = tags.get((target, given.name))
            if owned is not None:
                self.needs |= self.scope.need(owned.owners, f":{given.name}", given.at)
                return owned.part
        place = self.scope.source.place(given.at)
        raise NotEnabled(f"{self.word.name} takes no :{given.name[:60]}", *place)

    def _positional(self, given: list[Argument]) -> tuple[Raw, ...]:
        wanted: list[Parameter | None] = list(self.word.parameters)
        if len(given) == len(wanted) - 1:
            wanted = [None if each and each.optional else each for each in wanted]
        takers = [each for each in wanted if each is not None]
        for place, argument in enumerate(given):
            if isinstance(argument, GivenTag):
                raise self._error("a tag behind a positional argument", argument.at)
            if place >= len(takers):
                raise self._error(f"{self.word.name} takes no further argument", argument.at)
        if len(given) < len(takers):
            raise self._error(f"{self.word.name} without its {takers[len(given)].name}", self.node.at)
        values = iter(given)
        return tuple(self._parameter(each, next(values)) if each else () for each in wanted)

    def _parameter(self, parameter: Parameter, given: Argument) -> Raw:
        value = self._value(parameter.kind, given, f"the {parameter.name}")
        if parameter.members and isinstance(value, tuple):
            for text in value:
                if isinstance(text, bytes):
                    self._member(parameter, text, given.at)
        return value

    def _member(self, parameter: Parameter, text: bytes, at: int) -> None:
        name = text.decode("utf-8", "replace").lower()
        owned = self.scope.dialect.members.get((parameter.members, name))
        if owned is None:
            raise self._error(f'"{name[:60]}" is no {parameter.members}', at)
        self.needs |= self.scope.need(owned.owners, f'"{name}"', at)

    def _value(self, kind: Kind, given: Argument, what: str) -> Raw:
        if isinstance(given, Number):
            if kind is Kind.NUMBER:
                return given.value
        elif isinstance(given, Strings) and kind is not Kind.NUMBER and (kind in _LISTS or not given.listed):
            return tuple(self._text(value, kind in _CONSTANT, given.at) for value in given.values)
        raise self._error(f"{what} must be {kind.value}", given.at)

    def _text(self, value: bytes, constant: bool, at: int) -> Text:
        required = self.scope.required
        try:
            if ENCODED in required:
                value = strings.decode_characters(value)
            if VARIABLES not in required:
                return value
            read = strings.read(value, self.scope.namespaces())
        except BadCall as error:
            raise self._error(str(error), at) from error
        if constant and isinstance(read, Template):
            raise self._error("a string that has to be constant has variables in it", at)
        return read

    def _matcher(self) -> tuple[MatchType, Matcher]:
        """The match type and the comparator of the call (RFC 5228 sections 2.7.1 and 2.7.3)."""
        given = self.tags.get(MATCH_TYPE)
        match_type = self.scope.dialect.match_types[given[0].name].part if given else IS
        comparator = self._comparator()
        if match_type.substring and not comparator.substring:
            raise self._error(f"{comparator.name} finds no parts of strings", self.node.at)
        if match_type.order and not comparator.order:
            raise self._error(f"{comparator.name} does not know which is the greater", self.node.at)
        return match_type, matcher(match_type, comparator)

    def _comparator(self) -> Comparator:
        if COMPARATOR not in self.tags:
            return ASCII_CASEMAP
        value = self.tags[COMPARATOR][1]
        assert isinstance(value, tuple)
        name = bytes(value[0]).decode("utf-8", "replace") if isinstance(value[0], bytes) else ""
        capability = frozenset((COMPARATOR_PREFIX + name[:60],))
        self.needs |= self.scope.need(capability, "the comparator", self.node.at)
        return self.scope.dialect.comparators[name]

    def _error(self, text: str, at: int) -> ScriptError:
        return self.scope.source.error(text, at)


def _has_template(value: Iterable[object]) -> bool:
    return any(isinstance(text, Template) for text in value)


def _varies(positional: tuple[Raw, ...], tags: Mapping[str, tuple[str, Raw]]) -> bool:
    values = (*positional, *(value for _, value in tags.values()))
    return any(isinstance(value, tuple) and _has_template(value) for value in values)


def _constant(value: Raw) -> Value:
    """Templates as they are written, in the call that is only a mould."""
    if isinstance(value, int):
        return value
    return tuple(text.written if isinstance(text, Template) else text for text in value)
