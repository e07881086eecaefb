"""Flags on the wire (RFC 9051 section 2.3.2 and section 9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.mail.flags import MAX_KEYWORD_LENGTH, MAX_KEYWORDS, SYSTEM_FLAGS
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.parser import Parser

_BITS: Final = {name.upper().encode(): bit for name, bit in SYSTEM_FLAGS.items()}


@dataclass(frozen=True, slots=True)
class FlagList:
    """System flags as bits, the rest as keywords in the order given."""

    bits: int = 0
    keywords: tuple[str, ...] = ()


# flag = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword / flag-extension
def parse_flag(p: Parser) -> bytes:
    """One flag; a system flag comes out upper-case. Errors: BadSyntax, also for one that cannot be set."""
    if p.take(b"\\"):
        word = b"\\" + p.keyword()
        if word not in _BITS:
            raise p.fail("no such system flag")
        return word
    word = p.atom()
    if len(word) > MAX_KEYWORD_LENGTH:
        raise p.fail("keyword too long")
    return word


# flag-list = "(" [flag *(SP flag)] ")"
def parse_flag_list(p: Parser) -> FlagList:
    """A list in parentheses. Errors: BadSyntax."""
    return flags_of(p, p.parenthesised(lambda: parse_flag(p), most=limits.FLAGS, empty=True))


# store-att-flags = ... SP (flag-list / (flag *(SP flag)))
def parse_flags(p: Parser) -> FlagList:
    """A list, with or without parentheses. Errors: BadSyntax."""
    if p.peek() == b"(":
        return parse_flag_list(p)
    words = [parse_flag(p)]
    while p.take(b" "):
        if len(words) >= limits.FLAGS:
            raise p.fail("list too long")
        words.append(parse_flag(p))
    return flags_of(p, tuple(words))


def flags_of(p: Parser, words: tuple[bytes, ...]) -> FlagList:
    """Bits and keywords of parsed flags. Errors: BadSyntax for too many."""
    bits = 0
    keywords: dict[str, str] = {}
    for word in words:
        if word[:1] == b"\\":
            bits |= _BITS[word]
        else:
            text = word.decode("ascii")
            keywords.setdefault(text.lower(), text)
    if len(keywords) > MAX_KEYWORDS:
        raise p.fail("too many keywords")
    return FlagList(bits, tuple(keywords.values()))
