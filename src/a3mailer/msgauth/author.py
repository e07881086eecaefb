"""The author domain of a mail (RFC 9989 section 4.4.1, RFC 7489 section 6.6.1): exactly one, or none.

Readers of mail differ in what they show of an unusual From field, so a mail has an author domain only where
all of them must see the same one (attack row 16): one From field of the plain name, in it nothing but
mailboxes of one domain, without routes, groups, or marks that stand where some parsers look and others do
not. Everything else has a reason why it has none. Linear, bounded, nothing here raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

from a3mailer.mail.message import addresses

MAX_AUTHORS: Final = 100
"""Mailboxes one From field may name."""
MAX_FROM: Final = 16_384
"""Octets of a From field that are looked at; a longer one names nobody."""
MAX_NAME: Final = 253
"""Octets of a domain name (RFC 1035 section 2.3.4)."""
REMEMBERED: Final = 4_096
"""Domains whose A-labels are kept, and From fields whose authors."""
REMEMBERED_OCTETS: Final = 512
"""Of a From field that is kept; strangers write them."""
SEVERAL: Final = "authors of several domains"

_NOT_IN_A_NAME: Final = bytes(c for c in range(256) if not 0x21 <= c <= 0x7E or c == 0x3A)
_CONTROLS: Final = bytes(c for c in range(256) if (c < 0x20 and c != 0x09) or c == 0x7F)
_LOCAL: Final = bytes(c for c in range(256) if c > 0x20 and c not in b"()<>[]:;@\\,\x7f")
_QUOTE, _OPEN, _CLOSE, _BACKSLASH = b'"()\\'
_MARKS: Final = bytes(1 if c in (_QUOTE, _OPEN, _CLOSE, _BACKSLASH) else 0 for c in range(256))
_ADDRESS_MARKS: Final = b"<>@,:;\\"
"""What inside a comment, or a quoted local part, one parser passes over and another takes for syntax."""
_LABELS: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\Z")


@dataclass(frozen=True, slots=True)
class Author:
    """``domain`` in lower-case A-labels; empty: there is none, and ``problem`` says why."""

    domain: str
    problem: str = ""


def domain_name(name: bytes) -> str:
    """A domain as a stranger wrote it, in lower-case A-labels; empty when it is no name of a domain.

    A final dot, an address literal, an empty label and anything but letters, digits, "-" and "_" are none."""
    return _name(name) if 0 < len(name) <= 4 * MAX_NAME else ""


@lru_cache(REMEMBERED)
def _name(name: bytes) -> str:
    try:
        text = name.decode("utf-8").lower()
        if not text.isascii():
            text = idna.encode(text, uts46=True).decode("ascii")
    except (UnicodeError, idna.IDNAError):
        return ""
    if len(text) > MAX_NAME or not _LABELS.match(text) or text.replace(".", "").isdigit():
        return ""
    return text


def author(header: bytes) -> Author:
    """Who a mail says it is from; ``header`` is its header block as received."""
    value = _value(header)
    if isinstance(value, Author):
        return value
    return _remembered(value) if len(value) <= REMEMBERED_OCTETS else _of_value(value)


def authors(header: bytes) -> tuple[str, ...]:
    """The addresses of the one From field, of several domains, too; none where they are not plain."""
    value = _value(header)
    if isinstance(value, Author):
        return ()
    found = _of_value(value)
    if not found.domain and found.problem != SEVERAL:
        return ()
    return tuple(
        f"{each.local_part.decode('utf-8', 'replace')}@{domain_name(each.domain)}"
        for each in addresses.parse_mailboxes(value)
    )


def _value(header: bytes) -> bytes | Author:
    """Of the one From field, unfolded; why there is none."""
    values = []
    for name, value in _lines(header):
        plain = name.rstrip(b" \t")
        if plain.translate(None, _NOT_IN_A_NAME).lower() == b"from":
            if len(plain) != 4:
                return Author("", "a From field with octets in its name that are not its name")
            values.append(value)
    if not values:
        return Author("", "no From field")
    if len(values) > 1:
        return Author("", f"{len(values)} From fields")
    return values[0].strip(b" \t")


def _lines(header: bytes) -> list[tuple[bytes, bytes]]:
    """(name, unfolded value) of every line that has a colon.

    A bare CR ends a line here although it ends none on the wire: whoever reads it so must not see another
    author than we did."""
    block = header.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = block.replace(b"\n ", b" ").replace(b"\n\t", b"\t").split(b"\n")
    return [(name, value) for name, colon, value in (line.partition(b":") for line in lines) if colon]


# from = "From:" mailbox-list CRLF    ; mailbox = [display-name] "<" addr-spec ">" / addr-spec (RFC 5322)
def _of_value(value: bytes) -> Author:
    """The author domain of an unfolded From value."""
    if len(value) > MAX_FROM:
        return Author("", f"a From field of more than {MAX_FROM} octets")
    if value != value.translate(None, _CONTROLS):
        return Author("", "control characters in the From field")
    plain = _without_quotes(value)
    if plain is None:
        return Author("", "a From field with a comment or quoting that readers understand differently")
    items = plain.split(b",")
    if len(items) > MAX_AUTHORS:
        return Author("", f"more than {MAX_AUTHORS} authors")
    domains = set()
    for item in items:
        domain = _of_mailbox(item.strip(b" \t"))
        if not domain:
            return Author("", "a From field that is not a plain list of addresses")
        domains.add(domain)
    if len(domains) > 1:
        return Author("", SEVERAL)
    if {domain_name(a.domain) for a in addresses.parse_mailboxes(value)} != domains:
        return Author("", "a From field that readers understand differently")
    return Author(domains.pop())


_remembered: Final = lru_cache(REMEMBERED)(_of_value)


def _of_mailbox(item: bytes) -> str:
    """The domain of one mailbox whose quoted strings are ``"`` and whose comments are gone; "" without."""
    phrase, angle, spec = item.partition(b"<")
    if angle:
        if spec[-1:] != b">" or phrase.translate(None, b"@:;>[]\\") != phrase:
            return ""
        spec = spec[:-1].strip(b" \t")
    else:
        spec = item
    local_part, at, domain = spec.partition(b"@")
    if not at or not local_part or local_part.translate(None, _LOCAL):
        return ""
    return "" if b"=?" in local_part or b'""' in local_part else domain_name(domain)


def _without_quotes(value: bytes) -> bytes | None:
    """The value with ``"`` for each quoted string and a space for each comment.

    None where one does not end, or where a comment holds what another parser would take for an address. A
    quoted string with such octets is ``""``: it may be a phrase, but no local part."""
    marks = value.translate(_MARKS)
    at = marks.find(b"\x01")
    if at < 0:
        return value
    out = [value[:at]]
    while at >= 0:
        closed = _closing(value, marks, at)
        if closed < 0:
            return None
        inside = value[at + 1 : closed]
        harmless = inside.translate(None, _ADDRESS_MARKS) == inside
        if value[at] == _QUOTE:
            out.append(b'"' if harmless else b'""')
        elif harmless:
            out.append(b" ")
        else:
            return None
        at = marks.find(b"\x01", closed + 1)
        out.append(value[closed + 1 : at if at >= 0 else len(value)])
    return b"".join(out)


def _closing(value: bytes, marks: bytes, opened: int) -> int:
    """Where the quoted string or the comment that begins at ``opened`` ends; -1 where it does not plainly."""
    if value[opened] == _OPEN:
        at = marks.find(b"\x01", opened + 1)
        return at if at >= 0 and value[at] == _CLOSE else -1
    if value[opened] != _QUOTE:
        return -1
    at = marks.find(b"\x01", opened + 1)
    while at >= 0 and value[at] != _QUOTE:
        at = marks.find(b"\x01", at + (2 if value[at] == _BACKSLASH else 1))
    return at
