"""Tag lists: the syntax of DKIM signatures, key records, ARC sets and DMARC (RFC 6376 section 3.2)."""

from __future__ import annotations

import binascii
import re
from typing import Final

MAX_TAGS: Final = 100
"""Tags of one list; a list with more is none."""
FWS: Final = b" \t\r\n"
_SIGNATURE: Final = re.compile(rb";[ \t\r\n]*b[ \t\r\n]*=")
_NAME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_OCTETS: Final = bytes((*FWS, *range(0x21, 0x7F), *range(0x80, 0x100)))
"""Octets of a list with its folding; beyond ASCII it is UTF-8 (RFC 8616 section 5)."""
_COMMON: Final = frozenset(b"v a b bh c d h i k l n p q s t x z cv".split())


# tag-list = tag-spec *( ";" tag-spec ) [ ";" ]
# tag-spec = [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
# tag-name = ALPHA *( ALPHA / DIGIT / "_" )
# tag-value = [ tval *( 1*(WSP / FWS) tval ) ]     ; tval: VALCHAR except ";"
def parse(octets: bytes) -> dict[bytes, bytes] | None:
    """Name -> value as written, without the white space around it; None for what is no tag list.

    A tag that occurs twice makes the whole list invalid."""
    specs = octets.split(b";", MAX_TAGS + 1)
    if specs and not specs[-1].strip(FWS):
        specs.pop()
    if not specs or len(specs) > MAX_TAGS or octets.translate(None, _OCTETS):
        return None
    found: dict[bytes, bytes] = {}
    for spec in specs:
        name, equals, value = spec.partition(b"=")
        name = name.strip(FWS)
        if not equals or name in found or (name not in _COMMON and not _NAME.fullmatch(name)):
            return None
        found[name] = value.strip(FWS)
    return found


def dense(value: bytes) -> bytes:
    """A value without any folding white space in it."""
    return value.translate(None, FWS)


def names(value: bytes) -> tuple[bytes, ...]:
    """The words of a colon-separated list in lower case."""
    return tuple(value.translate(None, FWS).lower().split(b":"))


def decode_base64(value: bytes) -> bytes | None:
    """A base64 value, folded or not; None where it is none."""
    try:
        return binascii.a2b_base64(dense(value), strict_mode=True)
    except binascii.Error:
        return None


def without_signature(raw: bytes) -> bytes:
    """A whole field as it is signed: the value of its ``b=`` tag taken out (section 3.5)."""
    name, colon, value = raw.partition(b":")
    found = _SIGNATURE.search(b";" + value)
    if found is None:
        return raw
    start = found.end() - 1
    end = value.find(b";", start)
    return name + colon + value[:start] + (value[end:] if end >= 0 else b"")
