"""SORT and THREAD (RFC 5256 section 5, RFC 5957, RFC 5267, RFC 6203): what they may ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.search import SearchRequest, no_relevancy, parse_criteria, parse_return

SORT_KEYS: Final = frozenset(
    (
        b"ARRIVAL",
        b"CC",
        b"DATE",
        b"FROM",
        b"SIZE",
        b"SUBJECT",
        b"TO",
        b"DISPLAYFROM",
        b"DISPLAYTO",
        b"RELEVANCY",
    )
)
THREAD_ALGORITHMS: Final = frozenset((b"ORDEREDSUBJECT", b"REFERENCES"))


@dataclass(frozen=True, slots=True)
class SortRequest:
    """``order``: criteria, each once, the first decides first; and whether it is reversed."""

    order: tuple[tuple[bytes, bool], ...]
    search: SearchRequest


@dataclass(frozen=True, slots=True)
class ThreadRequest:
    algorithm: bytes
    search: SearchRequest


# sort = "SORT" [search-return-opts] SP sort-criteria SP search-criteria
# sort-criteria = "(" sort-criterion *(SP sort-criterion) ")"     search-criteria = charset 1*(SP search-key)
def parse_sort(p: Parser) -> SortRequest:
    """What follows SORT. Errors: BadSyntax, UnknownCharset."""
    p.space()
    returns = parse_return(p)
    criteria = p.parenthesised(lambda: _criterion(p), most=limits.SORT_CRITERIA)
    p.space()
    order = dict(reversed(criteria))  # of one named twice the first decides
    search = parse_criteria(p, returns)
    if b"RELEVANCY" in order and not (search.literal or search.filters):
        raise no_relevancy()
    return SortRequest(tuple(reversed(order.items())), search)


# sort-criterion = ["REVERSE" SP] sort-key
def _criterion(p: Parser) -> tuple[bytes, bool]:
    word = p.keyword()
    reverse = word == b"REVERSE"
    if reverse:
        p.space()
        word = p.keyword()
    if word not in SORT_KEYS:
        raise p.fail("unknown sort criterion")
    return word, reverse


# thread = "THREAD" SP thread-alg SP search-criteria
def parse_thread(p: Parser) -> ThreadRequest:
    """What follows THREAD. Errors: BadSyntax, UnknownCharset."""
    p.space()
    algorithm = p.keyword()
    if algorithm not in THREAD_ALGORITHMS:
        raise p.fail("unknown threading algorithm")
    p.space()
    return ThreadRequest(algorithm, parse_criteria(p))
