"""Reading an ENVELOPE fragment: its elements, and its addresses as the text that searches look into."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from a3mailer.mail.message.searched import fold, pieces
from a3mailer.mail.message.wire import skip
from a3mailer.mail.message.words import decode_words

_ADDRESS_FIELDS: Final = {"from": 2, "to": 5, "cc": 6, "bcc": 7}
"""Places in ENVELOPE: date, subject, from, sender, reply-to, to, cc, bcc, in-reply-to, message-id."""

# Linear: the quantifiers are possessive, and what they repeat begins differently.
_STRING: Final = rb'"(?:[^"\\]|\\.)*+"'
_ADDRESS: Final = rb"\((?:[^()\"]++|" + _STRING + rb")*+\)"
_ELEMENT: Final = re.compile(_STRING + rb"|NIL|\((?:" + _ADDRESS + rb")*+\)", re.DOTALL)
_NSTRING: Final = re.compile(_STRING + rb"|NIL", re.DOTALL)


def envelope_fields(fragment: bytes) -> list[bytes]:
    """The ten elements of an ENVELOPE fragment, as they stand."""
    if b"{" not in fragment:  # no literal
        found = _ELEMENT.findall(fragment, 1)
        if sum(map(len, found)) + len(found) + 1 == len(fragment):
            return found
    fields: list[bytes] = []
    at = 1
    depth = 0
    start = at
    while at < len(fragment) - 1:
        after = skip(fragment, at)
        token = fragment[at:after]
        if token == b" " and depth == 0:
            fields.append(fragment[start:at])
            start = after
        elif token == b"(":
            depth += 1
        elif token == b")":
            depth -= 1
        at = after
    fields.append(fragment[start:at])
    return fields


def strings(element: bytes) -> Iterator[bytes]:
    """The strings (NIL as b"") inside an element, in order."""
    if b"{" not in element:
        yield from map(unquoted, _NSTRING.findall(element))
        return
    at = 0
    while at < len(element):
        after = skip(element, at)
        token = element[at:after]
        if token not in (b"(", b")", b" "):
            yield unquoted(token)
        at = after


def unquoted(token: bytes) -> bytes:
    """The value of ``nstring``."""
    if token[:1] == b'"':
        return token[1:-1].replace(b'\\"', b'"').replace(b"\\\\", b"\\")
    if token[:1] == b"{":
        return token.partition(b"\r\n")[2]
    return b""


def addresses_text(fragment: bytes, place: str) -> str:
    """``Name <mailbox@host>`` of each address of an ENVELOPE field, decoded."""
    return _addresses(envelope_fields(fragment), _ADDRESS_FIELDS[place])


def all_in(header: str, subject: str, fragment: bytes) -> bool:
    """Whether a header text (``searched.Searched``) has every piece of a decoded Subject and of the addresses
    of an ENVELOPE: then what the header's grams rule out is in neither."""
    fields = envelope_fields(fragment)
    texts = [subject, *[_addresses(fields, number) for number in _ADDRESS_FIELDS.values()]]
    return all(piece in header for text in texts for piece in pieces(fold(text)))


def _addresses(fields: list[bytes], number: int) -> str:
    if number >= len(fields):
        return ""
    found = list(strings(fields[number]))
    shown: list[str] = []
    for name, _route, mailbox, host in zip(*[iter(found)] * 4, strict=False):
        shown.append(f"{decode_words(name)} <{_utf8(mailbox)}@{_utf8(host)}>")
    return ", ".join(shown)


def _utf8(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
