"""The words of the language as data: an extension is a value of this, and one line of ``extensions``.

The compiler checks a script against it; how a word works is the function beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from a3mailer.wire.sieve.comparators import Comparator
from a3mailer.wire.sieve.machine import Call, Machine, Modify, Tagged

MATCH_TYPE: Final = "match-type"
COMPARATOR: Final = "comparator"
ADDRESS_PART: Final = "address-part"
"""The groups of optional tags that many tests share (RFC 5228 section 8.3). What an address part makes of
``addresses.Parts`` is its octets, or None where the address has no such part."""
MATCHING: Final = (MATCH_TYPE, COMPARATOR)


class Kind(Enum):
    """The types of arguments."""

    NUMBER = "a number"
    STRING = "a string"
    STRINGS = "a string list"
    CONSTANT = "a constant string"
    """No variables in it (RFC 5229 section 3)."""
    CONSTANTS = "a list of constant strings"


class Role(Enum):
    """What the compiler makes of a word: a call, or a jump."""

    TEST = "test"
    ACTION = "command"
    REQUIRE = "require"
    IF = "if"
    ELSIF = "elsif"
    ELSE = "else"
    STOP = "stop"
    LOOP = "loop"
    BREAK = "break"
    ALLOF = "allof"
    ANYOF = "anyof"
    NOT = "not"


TESTS: Final = frozenset((Role.TEST, Role.ALLOF, Role.ANYOF, Role.NOT))
BLOCKS: Final = frozenset((Role.IF, Role.ELSIF, Role.ELSE))


class Parameter(NamedTuple):
    """A positional argument. At most one of a word is optional."""

    name: str
    kind: Kind
    optional: bool = False
    members: str = ""
    """The open set its strings are from, in any case (``Extension.members``); empty for any strings."""


class Tag(NamedTuple):
    """``:name``, with what follows it. Of one group only one can be given."""

    name: str
    takes: Kind | None = None
    group: str = ""
    """Its own name, when empty."""
    check: Callable[[Tagged], None] | None = None
    """Errors: BadCall."""
    beside: str = ""
    """A group of which a tag must be given too."""
    modify: Modify | None = None
    """What it makes of what its word works on."""

    @property
    def of(self) -> str:
        """The group."""
        return self.group or self.name


Run = Callable[[Machine, Call], bool | None]


class Word(NamedTuple):
    """A command or a test."""

    name: str
    role: Role
    run: Run | None = None
    """Of a test it gives the result. Errors: RunFailed."""
    parameters: tuple[Parameter, ...] = ()
    tags: tuple[Tag, ...] = ()
    groups: tuple[str, ...] = ()
    """Shared groups of tags it takes."""
    needs: tuple[str, ...] = ()
    """Groups of which one tag must be given."""
    also: str = ""
    """A capability that must be in force besides its own."""
    check: Callable[[Call], None] | None = None
    """Looks at arguments that are known before the run. Errors: BadCall."""
    looped: bool = False
    """It is for blocks of foreverypart only."""


Matches = Callable[[Machine, Call, Comparator, Sequence[bytes], Sequence[bytes]], bool]
"""Does any value match any key?"""


class MatchType(NamedTuple):
    """A match type; its tag is made of it."""

    name: str
    run: Matches
    substring: bool = False
    """Needs a comparator that finds parts of strings."""
    order: bool = False
    """Needs a comparator that knows which is the greater."""
    takes: Kind | None = None
    """What follows its tag."""
    check_tag: Callable[[Tagged], None] | None = None
    """Errors: BadCall."""
    check: Callable[[Call], None] | None = None
    """Looks at keys that are known before the run. Errors: BadCall."""


class Extension(NamedTuple):
    """What one capability adds to the language."""

    capability: str
    words: tuple[Word, ...] = ()
    tags: tuple[tuple[str, Tag], ...] = ()
    """Further tags, each with the word or the group that takes it."""
    match_types: tuple[MatchType, ...] = ()
    comparators: tuple[Comparator, ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    """Of open sets, each with the set: parts of the envelope, for one."""
    grammar: bool = False
    """It changes how a script is read, so ``ihave`` cannot switch it on (RFC 5463 section 4)."""
