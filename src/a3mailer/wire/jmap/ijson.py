"""I-JSON (RFC 7493, RFC 8259): octets of a stranger to plain values, or RequestError ``notJSON``.

UTF-8 without surrogates or noncharacters (RFC 7493 section 2.1), no name twice in an object (section 2.3),
numbers that a double can hold, and no deeper than MAX_DEPTH. Two passes: msgspec decodes (it stops at a
wrong octet, a huge number or a depth of some hundreds), then the values are walked without recursion.
A name that came twice is missing from them: as many names are counted in the octets. Attack rows 28 and 44.
"""

from __future__ import annotations

from typing import Final

import msgspec
import re2

from a3mailer.wire.jmap.errors import RequestError

MAX_DEPTH: Final = 64
"""Arrays and objects in one another."""
_OPTIONS: Final = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_OPTIONS.never_capture = True
# noncharacter = %xFDD0-FDEF / the last two of each plane; as UTF-8 ...
_RAW: Final = re2.compile(
    rb"\xEF\xB7[\x90-\xAF]|\xEF\xBF[\xBE\xBF]|[\xF0-\xF4][\x8F\x9F\xAF\xBF]\xBF[\xBE\xBF]", _OPTIONS
)
# ... and escaped, where no reverse solidus before it is one of two
_ESCAPED: Final = re2.compile(
    rb"\\u[fF](?:[dD][dDeE][0-9a-fA-F]|[fF][fF][eEfF])|\\u[dD][89abAB][37bBfF][fF]\\u[dD][fF][fF][eEfF]",
    _OPTIONS,
)


def decode(octets: bytes) -> object:
    """The value. Errors: RequestError (``notJSON``)."""
    try:
        value = msgspec.json.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RequestError("notJSON", str(error)[:200]) from error
    names = _walk(value)
    if not octets.isascii() and _RAW.search(octets) is not None:
        raise RequestError("notJSON", "a noncharacter of Unicode")
    bare = octets
    if b"\\" in octets:
        bare = octets.replace(b"\\\\", b"")
        if b"\\u" in bare and _ESCAPED.search(bare) is not None:
            raise RequestError("notJSON", "a noncharacter of Unicode")
        bare = bare.replace(b'\\"', b"")
    if b"".join(bare.split(b'"')[::2]).count(b":") != names:
        raise RequestError("notJSON", "a name occurs twice in one object")
    return value


def _walk(value: object) -> int:
    """How many members all objects have together. Errors: RequestError (too deep)."""
    names = 0
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                names += len(each)
                below += each.values()
            elif isinstance(each, list):
                below += each
        if not below:
            return names
        level = below
    raise RequestError("notJSON", f"more than {MAX_DEPTH} levels")


def weight(value: object, most: int) -> int:
    """How many values a value is made of, each as often as it is told; above ``most`` it is not counted on.

    Also so where it is deeper than MAX_DEPTH twice: what is put together of results must stay tellable."""
    count = 1
    level = [value]
    for _ in range(2 * MAX_DEPTH):
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list | tuple):
                below += each
            if count + len(below) > most:
                return most + 1
        if not below:
            return count
        count += len(below)
        level = below
    return most + 1
