"""Pointers into results (RFC 8620 section 3.7): JSON Pointer (RFC 6901) with ``*`` through an array.

What a reference gives is weighed: results may be put into results that are referred to again, so a request
of some hundred octets could otherwise name more values than there is memory for (attack row 44).
"""

from __future__ import annotations

from typing import Final

import msgspec

from a3mailer.wire.jmap.errors import MethodError

MAX_TOKENS: Final = 32
"""Tokens of one pointer."""
MAX_POINTER: Final = 1024
"""Characters of one pointer."""


# json-pointer = *( "/" *( unescaped / "~0" / "~1" ) )
def tokens(pointer: str) -> tuple[str, ...]:
    """The reference tokens, unescaped. Errors: ValueError."""
    if len(pointer) > MAX_POINTER:
        raise ValueError("the pointer is too long")
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise ValueError("a pointer begins with /")
    parts = pointer[1:].split("/")
    if len(parts) > MAX_TOKENS:
        raise ValueError(f"more than {MAX_TOKENS} tokens")
    return tuple(_unescaped(part) for part in parts)


def _unescaped(token: str) -> str:
    if "~" not in token:
        return token
    if token.count("~") != token.count("~0") + token.count("~1"):
        raise ValueError("a ~ that is neither ~0 nor ~1")
    return token.replace("~1", "/").replace("~0", "~")


def evaluate(pointer: str, value: object) -> object:
    """What the pointer refers to. Errors: MethodError (``invalidResultReference``)."""
    try:
        return _plain(_follow(tokens(pointer), 0, value))
    except (ValueError, LookupError, TypeError) as error:
        raise MethodError("invalidResultReference", f"{pointer[:100]}: {error}") from error


def _follow(path: tuple[str, ...], at: int, value: object) -> object:
    """As deep as a pointer has tokens."""
    while at < len(path):
        value = _plain(value)
        token = path[at]
        at += 1
        if isinstance(value, dict):
            value = value[token]
        elif not isinstance(value, list | tuple):
            raise TypeError("not an object or array")
        elif token == "*":  # noqa: S105 (a token of a pointer)
            gathered: list[object] = []
            for each in value:
                found = _follow(path, at, each)
                if isinstance(found, list | tuple):
                    gathered += found
                else:
                    gathered.append(found)
            return gathered
        else:
            value = value[_index(token)]
    return value


def _plain(value: object) -> object:
    """A part of a result that is JSON already, as values."""
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value


# array-index = %x30 / ( %x31-39 *(%x30-39) )
def _index(token: str) -> int:
    if not (token.isascii() and token.isdigit()) or (token[0] == "0" and token != "0") or len(token) > 9:  # noqa: S105
        raise ValueError("no index of an array")
    return int(token)
