"""Encoded characters (RFC 5228 section 2.4.2.4) and variables (RFC 5229 section 3) in strings.

Backslashes are gone already; characters are decoded when a script is compiled, variables when it runs.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from a3mailer.wire.sieve.errors import BadCall
from a3mailer.wire.sieve.limits import MATCHES
from a3mailer.wire.sieve.machine import Machine

# encoded-arb-octets = "${hex:" hex-pair-seq "}"   hex-pair-seq = *blank hex-pair *(1*blank hex-pair) *blank
# encoded-unicode-char = "${unicode:" unicode-hex-seq "}"
_ENCODED: Final = re.compile(
    rb"\$\{(?:(hex):[ \t\r\n]*+([0-9a-f]{1,2}(?:[ \t\r\n]++[0-9a-f]{1,2})*+)"
    rb"|(unicode):[ \t\r\n]*+([0-9a-f]++(?:[ \t\r\n]++[0-9a-f]++)*+))[ \t\r\n]*+\}",
    re.IGNORECASE,
)
# variable-ref = "${" [namespace] variable-name "}"   namespace = identifier "." *(variable-name ".")
# variable-name = 1*DIGIT / identifier
_REFERENCE: Final = re.compile(
    rb"\$\{((?:[a-z_][a-z0-9_]*+\.(?:(?:[0-9]++|[a-z_][a-z0-9_]*+)\.)*+)?+)([0-9]++|[a-z_][a-z0-9_]*+)\}",
    re.IGNORECASE,
)
NAME: Final = re.compile(rb"(?:[a-z_][a-z0-9_]*+\.)*+[a-z_][a-z0-9_]*+", re.IGNORECASE)
_LAST: Final = 0x10FFFF
_NAME: Final = 64


class Template(NamedTuple):
    """A string with variables: octets, names (lower case) and numbers of match variables."""

    pieces: tuple[bytes | str | int, ...]

    @property
    def written(self) -> bytes:
        """As it stands in the script."""
        return b"".join(
            piece if isinstance(piece, bytes) else b"${%b}" % str(piece).encode() for piece in self.pieces
        )

    def expand(self, machine: Machine) -> bytes:
        """Its value now."""
        out = b"".join(map(machine.piece, self.pieces))
        machine.hold(len(out))
        return out


Text = bytes | Template


def decode_characters(value: bytes) -> bytes:
    """A string with its encoded characters decoded. Errors: BadCall."""
    return _ENCODED.sub(_decoded, value) if b"${" in value else value


def _decoded(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes(int(pair, 16) for pair in found[2].split())
    characters = []
    for word in found[4].split():
        code = int(word[-8:], 16) if not word[:-8].strip(b"0") else _LAST + 1
        if code > _LAST or 0xD800 <= code <= 0xDFFF:
            raise BadCall(f"{word[:16].decode()} is no character of Unicode")
        characters.append(chr(code))
    return "".join(characters).encode()


def read(value: bytes, namespaces: frozenset[str]) -> Text:
    """A string, or a template where it refers to variables. Errors: BadCall."""
    if b"${" not in value:
        return value
    pieces: list[bytes | str | int] = []
    at = 0
    for found in _REFERENCE.finditer(value):
        if found.start() > at:
            pieces.append(value[at : found.start()])
        pieces.append(_variable(found[1], found[2], namespaces))
        at = found.end()
    if at < len(value):
        pieces.append(value[at:])
    return Template(tuple(pieces)) if at else value


def _variable(namespace: bytes, name: bytes, namespaces: frozenset[str]) -> str | int:
    if namespace:
        first = namespace.partition(b".")[0].decode().lower()
        if first not in namespaces:
            raise BadCall(f"variables of {first}, which no capability in force has")
    elif name.isdigit():
        digits = name.lstrip(b"0") or b"0"
        if len(digits) > 3 or int(digits) >= MATCHES:
            raise BadCall(f"a match variable over {MATCHES - 1}")
        return int(digits)
    return (namespace + name).decode().lower()
