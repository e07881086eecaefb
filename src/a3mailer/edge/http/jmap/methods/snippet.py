"""SearchSnippet/get (RFC 8621 section 5): what of an email matched, with the words marked."""

from __future__ import annotations

import html
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any, Final

import msgspec

from a3mailer.access.account_mail import merged
from a3mailer.access.labour import Labour
from a3mailer.access.texts import needles
from a3mailer.edge.http.jmap import email_query as querying
from a3mailer.edge.http.jmap.capabilities import MAIL
from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_GET
from a3mailer.edge.http.jmap.method import Call, Method
from a3mailer.edge.http.jmap.methods.email import EMAILS
from a3mailer.edge.http.jmap.records import Operator
from a3mailer.edge.http.jmap.standard.get import too_many
from a3mailer.edge.http.jmap.standard.query import searched
from a3mailer.mail.errors import DamagedContent, NoSuchMessage
from a3mailer.mail.ids import AccountId, EmailId
from a3mailer.mail.message import MessageIndex, limits
from a3mailer.mail.message.html import html_text
from a3mailer.mail.message.text import decoded_text
from a3mailer.mail.objectids import EMAIL_LETTER, number_of, object_id
from a3mailer.store.rows import Fragments
from a3mailer.wire.jmap.values import Id

MAX_PREVIEW: Final = 255
"""Octets of a preview."""
MAX_TEXT: Final = 100_000
"""Characters of a text that are looked at."""
MAX_MARKS: Final = 64
"""Places where one word is marked: as many as fit into a preview."""
BEFORE: Final = 60
"""Characters shown before what matched."""
SECONDS: Final = 60.0


class SnippetArguments(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Section 5.1."""

    account_id: Id
    email_ids: tuple[Id, ...]
    filter: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SnippetGet:
    """The method."""

    name: str = "SearchSnippet/get"
    capability: str = MAIL
    action: str = "message.read"
    writes: bool = False
    form: type[msgspec.Struct] = SnippetArguments

    async def run(self, call: Call, arguments: SnippetArguments) -> dict[str, object]:
        ids = tuple(dict.fromkeys(arguments.email_ids))
        if len(ids) > MAX_OBJECTS_IN_GET:
            raise too_many(MAX_OBJECTS_IN_GET)
        filter, _ = searched(EMAILS, arguments.filter, None)
        querying.node_of(filter)
        subject, body = list(_words(filter, ("subject", "text"))), list(_words(filter, ("body", "text")))
        numbers = [EmailId(number) for id in ids if (number := number_of(EMAIL_LETTER, id)) is not None]
        there = merged(await call.view.places(call.account.id, numbers))
        order = [number for number in numbers if number in there]
        labour = Labour(call.services.clock, SECONDS)
        found = {}
        for row in await call.view.fragments(call.account.id, order):
            id = object_id(EMAIL_LETTER, row.email)
            found[id] = {
                "emailId": id,
                "subject": marked(row.subject, subject, MAX_PREVIEW * 4),
                "preview": await _preview(call, call.account.id, row, body),
            }
            await labour.step()
        return {
            "accountId": call.account.key,
            "list": [found[id] for id in ids if id in found],
            "notFound": [id for id in ids if id not in found] or None,
        }


def _words(filter: Any, names: tuple[str, ...]) -> Iterable[str]:
    """What is looked for in these places, whatever the operators; not below NOT."""
    if isinstance(filter, Operator):
        if filter.operator != "NOT":
            for each in filter.conditions:
                yield from _words(each, names)
    elif filter is not None:
        for name in names:
            if (text := getattr(filter, name)) is not None:
                yield from needles(text)


async def _preview(call: Call, account: AccountId, row: Fragments, words: list[str]) -> str | None:
    if not words:
        return None
    try:
        octets = await call.view.octets(account, row.blob, 0, limits.SEARCHED)
    except (DamagedContent, NoSuchMessage):
        return None
    for part in MessageIndex.unpack_or_make(row.index, octets).parts:
        if part.media.startswith(b"text/"):
            text = decoded_text(octets, part)
            shown = " ".join((html_text(text) if part.media == b"text/html" else text).split())
            if (found := marked(shown, words, MAX_PREVIEW)) is not None:
                return found
    return None


def marked(text: str, words: Iterable[str], most: int) -> str | None:
    """Some text from shortly before the first word that is in it, with all of them marked, as HTML of at most
    so many octets; None where none is."""
    text = text[:MAX_TEXT]
    letters = [letter.casefold() for letter in text]
    folded = "".join(letters)
    spans = [span for word in words for span in islice(_places(folded, word), MAX_MARKS)]
    spans.sort(key=lambda span: (span[0], -span[1]))
    if len(folded) != len(text):  # some letters are two when folded
        ends = list(accumulate(map(len, letters)))
        spans = [(bisect_right(ends, first), bisect_right(ends, end - 1) + 1) for first, end in spans]
    if not spans:
        return None
    start = max(0, spans[0][0] - BEFORE) if len(text) > most else 0
    out: list[str] = []
    left, at = most, start
    for first, end in [*spans, (len(text), len(text))]:
        if first < at:
            continue
        left = _add(out, text[at:first], left, "", "")
        left = _add(out, text[first:end], left, "<mark>", "</mark>")
        at = end
    return "".join(out)


def _places(text: str, word: str) -> Iterator[tuple[int, int]]:
    at = text.find(word)
    while at >= 0:
        yield at, at + len(word)
        at = text.find(word, at + len(word))


def _add(out: list[str], text: str, left: int, opening: str, closing: str) -> int:
    """What fits of a piece, escaped, whole characters; how many octets are left then."""
    left -= len(opening) + len(closing)
    pieces: list[str] = []
    for character in text:
        shown = html.escape(character, quote=False)
        size = len(shown.encode())
        if size > left:
            left = 0
            break
        pieces.append(shown)
        left -= size
    if pieces:
        out.append(f"{opening}{''.join(pieces)}{closing}")
    return max(left, 0)


METHODS: Final[tuple[Method, ...]] = (SnippetGet(),)
