"""A header beyond ASCII (RFC 6532) for who has not said that he reads it: RFC 6858, simplified.

Text becomes encoded-words, parameters RFC 2231; an address that is not ASCII becomes a group without members
whose name shows it, so that nobody answers to something else. Other fields beyond ASCII are left out.
A header that is not UTF-8 stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from a3mailer.mail.compose import encoded, folded, parameter
from a3mailer.mail.message import addresses, parameters
from a3mailer.mail.message.headers import header_end, unfold
from a3mailer.mail.message.limits import ADDRESSES
from a3mailer.mail.message.words import clean

_ADDRESSES: Final = frozenset((b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"))
_PARAMETERS: Final = frozenset((b"content-type", b"content-disposition"))
_TEXT: Final = frozenset((b"subject", b"comments", b"keywords", b"content-description"))
"""Unstructured fields (RFC 5322 section 3.6.5, RFC 2045 section 8)."""


def in_ascii(octets: bytes) -> bytes:
    """A mail, or its beginning with the whole header, with a header in ASCII."""
    if octets.isascii():
        return octets
    end = header_end(octets, 0, len(octets))
    header = octets[:end]
    return octets if header.isascii() else downgraded(header) + octets[end:]


def downgraded(header: bytes) -> bytes:
    """The fields in ASCII. The empty line at the end, if there is one, stays."""
    try:
        header.decode("utf-8")
    except UnicodeDecodeError:
        return header
    return b"".join(field if field.isascii() else _field(field) for field in _fields(header))


def _fields(header: bytes) -> Iterator[bytes]:
    """Each with its line ends."""
    start = at = 0
    while (end := header.find(b"\n", at)) >= 0:
        at = end + 1
        if header[at : at + 1] not in {b" ", b"\t"}:
            yield header[start:at]
            start = at
    yield header[start:]


def _field(octets: bytes) -> bytes:
    name, _, value = octets.partition(b":")
    if not name.isascii():
        return b""
    kind, title = name.strip(b" \t").lower(), name.decode("ascii").strip()
    value = unfold(value.rstrip(b"\r\n"))
    if kind.removeprefix(b"resent-") in _ADDRESSES:
        return _address_field(title, value)
    if kind in _PARAMETERS:
        return _parameter_field(title, value)
    if kind in _TEXT:
        return folded(title, encoded(clean(value.decode())).split(" ")).encode("ascii")
    return b""


def _address_field(title: str, value: bytes) -> bytes:
    pieces = [_entry(entry) for entry in addresses.parse(value, ADDRESSES)]
    return folded(title, ", ".join(pieces).split(" ")).encode("ascii")


def _entry(entry: addresses.Address | addresses.Group) -> str:
    name = encoded(clean(entry.name))
    quoted = name if name.startswith("=?") or not name else f'"{name.translate(_QUOTES)}"'
    if isinstance(entry, addresses.Group):
        return f"{quoted}:{', '.join(map(_entry, entry.members))};"
    if not entry.addr_spec.isascii():  # RFC 6858 section 2.1
        return f"{encoded(f'{clean(entry.name)} {entry.addr_spec}'.strip())}:;"
    return f"{quoted} <{entry.addr_spec}>" if quoted else entry.addr_spec


_QUOTES: Final = {ord('"'): '\\"', ord("\\"): "\\\\"}


def _parameter_field(title: str, value: bytes) -> bytes:
    main, found = parameters.parse(value)
    if not main.isascii():
        return b""
    words = [main.decode("ascii")]
    for each, _ in found:
        if (name := each.removesuffix(b"*")).isascii():
            words[-1] += ";"
            words.append(parameter(name.decode("ascii"), clean(parameters.text_of(found, name))))
    return folded(title, words).encode("ascii")
