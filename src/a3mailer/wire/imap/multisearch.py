"""ESEARCH, the search through several mailboxes (RFC 7377), with the filters of RFC 5465 section 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import InSet, Returns, SearchRequest, parse_search, word_ahead

SELECTED: Final = b"SELECTED"
ALONE: Final = frozenset((SELECTED, b"INBOXES", b"PERSONAL", b"SUBSCRIBED"))
"""Filters without names."""
NAMING: Final = frozenset((b"SUBTREE", b"SUBTREE-ONE", b"MAILBOXES"))


@dataclass(frozen=True, slots=True)
class Source:
    """Where to search: a filter, and the names it takes."""

    filter: bytes
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MultiSearch:
    sources: tuple[Source, ...]
    """Without any: the selected mailbox."""
    search: SearchRequest

    @property
    def selected(self) -> bool:
        """Whether the selected mailbox is among them: there has to be one."""
        return not self.sources or any(source.filter == SELECTED for source in self.sources)

    @property
    def selected_only(self) -> bool:
        return all(source.filter == SELECTED for source in self.sources)


# esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program
# esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"
# source-mbox = filter-mailboxes *(SP filter-mailboxes)      scope-options are not defined yet
def parse_multisearch(p: Parser) -> MultiSearch:
    """What follows ESEARCH. Errors: BadSyntax, UnknownCharset."""
    p.space()
    sources: tuple[Source, ...] = ()
    if word_ahead(p, b"IN "):
        sources = p.parenthesised(lambda: _source(p), most=limits.SOURCES)
    else:
        p.at -= 1
    asked = MultiSearch(sources, parse_search(p))
    if asked.selected_only:
        return asked
    if asked.search.options is not None and b"SAVE" in asked.search.options:
        raise BadSyntax("SAVE is for the selected mailbox alone")
    unnumbered(asked.search)
    return asked


def unnumbered(request: SearchRequest) -> None:
    """What is asked of any mailbox. Errors: BadSyntax, with sequence numbers or ``$``."""
    if any(isinstance(one, InSet) and (one.numbers.saved or not one.uid) for one in request.program):
        raise BadSyntax("sequence numbers and $ are of the selected mailbox alone")


# filter-mailboxes = "selected" / "inboxes" / "personal" / "subscribed" /
#                    ("subtree" / "subtree-one" / "mailboxes") SP one-or-more-mailbox
# one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")"
def _source(p: Parser) -> Source:
    word = p.keyword()
    if word in ALONE:
        return Source(word)
    if word not in NAMING:
        raise p.fail("unknown filter of mailboxes")
    p.space()
    if p.peek() == b"(":
        return Source(word, p.parenthesised(p.mailbox, most=limits.SOURCES))
    return Source(word, (p.mailbox(),))


def returned(request: SearchRequest) -> Returns:
    """What is to be answered: ALL where nothing was said."""
    return Returns(request.options or frozenset((b"ALL",)), request.partial)
