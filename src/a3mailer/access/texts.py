"""Which emails have a text: from the index where it reaches, else from the mails themselves.

For IMAP SEARCH and JMAP Email/query alike. An answer does not depend on the index, but for one thing: the
text of attachments that are no text parts (PDF) is known to the index only. RFC 9051 section 6.4.4, RFC 8621
section 4.4.1.

    texts = Texts(store, account, labour)               one account, any of its emails, whatever mailbox
    found = await texts.matching([Sought(Where.TEXT, needle(words)) ...], emails)
    needles("quick \"brown fox\"")                      what JMAP's text means: all of "quick", "brown fox"

A prefix of a word and a phrase over the end of a line are substrings of ``mail.message.searched``, so they
need nothing of their own.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

from a3mailer.access.labour import Labour
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.ids import AccountId, EmailId
from a3mailer.mail.message import MessageIndex, limits
from a3mailer.mail.message.searched import Searched, needle, searched
from a3mailer.store.ports import MailReader, TextReader
from a3mailer.store.rows import Fragments
from a3mailer.store.texts import Likely, Sought

READ_OCTETS: Final = 1024 * 1024
"""Contents read at once."""
READ_MAILS: Final = 256
LOOKED: Final = 1000
"""Texts looked for in a mail before others get their turn."""
QUOTES: Final = "\"'"
# what follows a quote, up to the one that matches it; linear: the quantifiers are possessive
_DOUBLE: Final = re.compile(r'(?:[^"\\]|\\.)*+"', re.DOTALL)
_SINGLE: Final = re.compile(r"(?:[^'\\]|\\.)*+'", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def needles(text: str) -> list[str]:
    """The texts that must all be found for a filter of JMAP (RFC 8621 section 4.4.1): words, and phrases in
    double or single quotes, inside which a backslash takes the next character as it is. A quote before a word
    that no other one matches says nothing."""
    found: list[str] = []
    word: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character in QUOTES and not word:
            if (end := _end(text, at)) >= 0:
                found.append(_ESCAPE.sub(r"\1", text[at:end]))
                at = end + 1
        elif character.isspace():
            found.append("".join(word))
            word = []
        else:
            word.append(character)
    found.append("".join(word))
    return [made for one in found if (made := needle(one)).strip()]


def _end(text: str, start: int) -> int:
    """Where the phrase that begins at ``start`` ends, behind its quote; -1: nowhere."""
    found = (_DOUBLE if text[start - 1] == '"' else _SINGLE).match(text, start)
    return -1 if found is None else found.end() - 1


class SearchReader(MailReader, TextReader, Protocol):
    """What searching reads."""


class Texts:
    """Looks for texts in the mails of one account."""

    def __init__(self, reader: SearchReader, account: AccountId, labour: Labour) -> None:
        self._reader = reader
        self._account = account
        self._labour = labour

    async def matching(
        self,
        sought: Sequence[Sought],
        emails: Sequence[int],
        looked: Callable[[EmailId], Awaitable[None]] | None = None,
    ) -> list[set[int]]:
        """Of each sought text the emails, among those given, that have it. Errors: TooCostly.

        ``looked`` is called behind each mail that had to be read, and has to let others work."""
        known = await self._reader.texts_with(self._account, sought, set(emails), self._rest)
        found = list(known.found)
        left = [email for email in emails if email > known.upto or email in known.left]
        for first in range(0, len(left), READ_MAILS):
            wanted = [EmailId(email) for email in left[first : first + READ_MAILS]]
            rows = await self._reader.fragments(self._account, wanted)
            for group in _groups(rows):
                await self._read(group, sought, found, looked or self._turn)
        return found

    async def likely(self, sought: Sequence[Sought]) -> Likely:
        """Of each sought text the emails of the account that may have it. Errors: TooCostly."""
        return await self._reader.texts_likely(self._account, sought, self._rest)

    async def _rest(self) -> None:
        await self._labour.step(0)

    async def _turn(self, email: EmailId) -> None:
        await self._labour.step(0)

    async def _read(
        self,
        rows: Sequence[Fragments],
        sought: Sequence[Sought],
        found: Sequence[set[int]],
        looked: Callable[[EmailId], Awaitable[None]],
    ) -> None:
        small = [row.blob for row in rows if row.size <= limits.SEARCHED]
        contents = dict(zip(small, await self._reader.many_octets(self._account, small), strict=True))
        for row in rows:
            octets = contents.get(row.blob)
            if row.size > limits.SEARCHED:
                octets = await self._beginning(row)
            if octets is not None:
                text = _text(octets, row)
                for first in range(0, len(sought), LOOKED):
                    if first:
                        await self._labour.step(0)
                    for at in range(first, min(first + LOOKED, len(sought))):
                        if sought[at].is_in(text):
                            found[at].add(row.email)
            await looked(row.email)

    async def _beginning(self, row: Fragments) -> bytes | None:
        try:
            return await self._reader.octets(self._account, row.blob, 0, limits.SEARCHED)
        except (DamagedContent, NoSuchMessage):
            return None


def _text(octets: bytes, row: Fragments) -> Searched:
    return searched(octets, MessageIndex.unpack_or_make(row.index, octets))


def _groups(rows: Sequence[Fragments]) -> Iterator[list[Fragments]]:
    group: list[Fragments] = []
    octets = 0
    for row in rows:
        group.append(row)
        octets += row.size
        if octets >= READ_OCTETS:
            yield group
            group, octets = [], 0
    if group:
        yield group
