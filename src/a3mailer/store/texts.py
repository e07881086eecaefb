"""Values of the door to an index of texts (``ports.TextReader``, ADR 0037)."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from a3mailer.mail.message.searched import Searched, values


class Where(Enum):
    """In which part of ``mail.message.searched.Searched`` a text is looked for."""

    TEXT = 1
    """Header or body."""
    BODY = 2
    HEADER = 3
    """The values of the header fields of one name."""
    ENVELOPE = 4
    """The decoded Subject, or the addresses of ENVELOPE: an index does not know them, but rules mails out."""


class Sought(NamedTuple):
    """A text that is looked for, as ``searched.needle`` makes it (of ENVELOPE: ``searched.fold``); ``name``:
    of a field, in lower case."""

    where: Where
    text: str
    name: str = ""

    def is_in(self, searched: Searched) -> bool:
        """Whether a mail of this text is one of those that are looked for."""
        if self.where is Where.HEADER:
            return any(self.text in value for value in values(searched.header, self.name))
        return self.text in searched.body or (self.where is Where.TEXT and self.text in searched.header)


class Matches(NamedTuple):
    """What an index knows: of each sought text the emails that have it, of emails up to ``upto``.

    The emails above ``upto``, and those ``left`` out, are not in the index: whoever asks looks into them
    himself."""

    found: tuple[set[int], ...]
    upto: int
    left: frozenset[int] = frozenset()


Likely = tuple[set[int] | None, ...]
"""Of each sought text the emails that may have it: no other has. None: too many, or nobody knows."""


class TextCounts(NamedTuple):
    """How far an index has got: emails there are, those that are in it, and octets on disk."""

    emails: int
    indexed: int
    octets: int
