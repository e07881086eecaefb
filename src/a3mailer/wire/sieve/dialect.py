"""The language that a set of extensions makes: words, tags, match types, comparators, and whose each is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, NamedTuple, TypeVar

from a3mailer.wire.sieve.comparators import BUILT_IN, Comparator
from a3mailer.wire.sieve.vocabulary import MATCH_TYPE, Extension, MatchType, Tag, Word

K = TypeVar("K")
T = TypeVar("T")
CORE: Final = ""
"""The capability of what needs none."""
COMPARATOR_PREFIX: Final = "comparator-"
ALWAYS: Final = frozenset((CORE, *(COMPARATOR_PREFIX + each.name for each in BUILT_IN)))
"""In force without being required (RFC 5228 section 6.1)."""


class Owned(NamedTuple, Generic[T]):
    """A part of the language, and the capabilities of which any gives it."""

    part: T
    owners: frozenset[str]


class Dialect:
    """An index of extensions; made once, never changed. Words in lower case."""

    __slots__ = ("comparators", "extensions", "match_types", "members", "tags", "words")

    def __init__(self, extensions: Iterable[Extension]) -> None:
        self.extensions = {each.capability: each for each in extensions}
        self.words: dict[str, Owned[Word]] = {}
        self.tags: dict[tuple[str, str], Owned[Tag]] = {}
        """By the word or group that takes it, and its own name."""
        self.match_types: dict[str, Owned[MatchType]] = {}
        self.comparators: dict[str, Comparator] = {each.name: each for each in BUILT_IN}
        self.members: dict[tuple[str, str], Owned[str]] = {}
        """By the set and the name."""
        for extension in self.extensions.values():
            self._add(extension)

    def _add(self, extension: Extension) -> None:
        owner = extension.capability
        for word in extension.words:
            _own(self.words, word.name, word, owner)
            for tag in word.tags:
                _own(self.tags, (word.name, tag.name), tag, owner)
        for target, tag in extension.tags:
            _own(self.tags, (target, tag.name), tag, owner)
        for match_type in extension.match_types:
            _own(self.match_types, match_type.name, match_type, owner)
            tag = Tag(match_type.name, match_type.takes, MATCH_TYPE, match_type.check_tag)
            _own(self.tags, (MATCH_TYPE, tag.name), tag, owner)
        self.comparators |= {each.name: each for each in extension.comparators}
        for group, member in extension.members:
            _own(self.members, (group, member), member, owner)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What a script may require, and what a server says it has (RFC 5804 section 1.7)."""
        return tuple(sorted((self.extensions.keys() | ALWAYS) - {CORE}))

    @property
    def late(self) -> frozenset[str]:
        """What ``ihave`` may switch on: what does not change how a script is read (RFC 5463 section 4)."""
        return frozenset(each.capability for each in self.extensions.values() if not each.grammar) | ALWAYS

    def without(self, *capabilities: str, words: tuple[str, ...] = ()) -> Dialect:
        """The dialect that is left, without some extensions and without some words of others."""
        return Dialect(
            each._replace(words=tuple(word for word in each.words if word.name not in words))
            for each in self.extensions.values()
            if each.capability not in capabilities
        )


def _own(table: dict[K, Owned[T]], key: K, part: T, owner: str) -> None:
    before = table.get(key)
    table[key] = Owned(part, frozenset((owner,)) if before is None else before.owners | {owner})
