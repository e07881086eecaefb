"""Packets of the milter protocol: a length (4 octets), a code (1 octet), data; ours made, theirs read.

``parse_change`` and the other readers raise nothing but RemoteProtocolError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.milter.codes import MACRO_STAGES, Command

MAX_PACKET: Final = 1 << 20
"""Octets of one packet of a filter."""
MAX_MACROS: Final = 256
"""Names of macros one filter may ask for at a stage."""
_LENGTH: Final = struct.Struct("!I")
_OFFER: Final = struct.Struct("!III")


# packet = length code *OCTET       ; the length counts the code
def packet(code: bytes, data: bytes = b"") -> bytes:
    """One packet."""
    return _LENGTH.pack(len(data) + 1) + code + data


def strings(*texts: bytes) -> bytes:
    """NUL-terminated; a NUL inside ends nothing."""
    return b"".join(text.replace(b"\0", b"") + b"\0" for text in texts)


def offer(version: int, actions: int, steps: int) -> bytes:
    """The packet that begins a session."""
    return packet(Command.NEGOTIATE, _OFFER.pack(version, actions, steps))


# macros = command *(name NUL value NUL)
def macros(command: Command, values: dict[str, str]) -> bytes:
    """Macros for the command that follows; long names in braces."""
    pairs = [
        text.encode("utf-8", "replace")
        for name, value in values.items()
        for text in (name if len(name) == 1 else f"{{{name}}}", value)
    ]
    return packet(Command.MACROS, command.value + strings(*pairs))


# connect = hostname NUL family [port address NUL]      ; family: 4, 6, L(ocal) or U(nknown)
def connect(hostname: str, ip: str, port: int) -> bytes:
    """Who has connected; an empty address is not known."""
    name = strings(hostname.encode("utf-8", "replace"))
    if not ip:
        return packet(Command.CONNECT, name + b"U")
    family = b"6" if ":" in ip else b"4"
    where = struct.pack("!H", port) + strings(
        (f"IPv6:{ip}" if family == b"6" else ip).encode("ascii", "replace")
    )
    return packet(Command.CONNECT, name + family + where)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a filter has negotiated."""

    version: int
    actions: int
    steps: int
    wanted: dict[Command, frozenset[str]]
    """Macros it asks for, where it asks; without braces."""


# terms = version actions steps *(stage names NUL)      ; 4 octets each, names separated by SP or ","
def parse_terms(data: bytes) -> Terms:
    """The answer to our offer."""
    if len(data) < _OFFER.size:
        raise RemoteProtocolError("short negotiation")
    version, actions, steps = _OFFER.unpack_from(data)
    wanted: dict[Command, frozenset[str]] = {}
    rest = data[_OFFER.size :]
    while len(rest) > _LENGTH.size:
        (stage,) = _LENGTH.unpack_from(rest)
        names, end, rest = rest[_LENGTH.size :].partition(b"\0")
        if not end or stage >= len(MACRO_STAGES):
            raise RemoteProtocolError("bad list of macros")
        words = names.decode("ascii", "replace").replace(",", " ").split()[:MAX_MACROS]
        wanted[MACRO_STAGES[stage]] = frozenset(word.strip("{}") for word in words)
    return Terms(version, actions, steps, wanted)


@dataclass(frozen=True, slots=True)
class AddHeader:
    """A field at the end of the header."""

    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class InsertHeader:
    """A field at a place of the header: 0 and 1 are its top."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeHeader:
    """The value of the index-th field (from 1) of a name; without a value the field goes."""

    index: int
    name: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """A piece of the new body; all pieces in order are the body."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """A forward-path, and parameters of RCPT."""

    path: bytes
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """A forward-path as it was sent to the filter."""

    path: bytes


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Another reverse-path, and parameters of MAIL."""

    path: bytes
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Keep the mail apart."""

    reason: bytes


Change = (
    AddHeader | InsertHeader | ChangeHeader | ReplaceBody | AddRecipient | DeleteRecipient
    | ChangeSender | Quarantine
)  # fmt: skip
MODIFICATIONS: Final = b"hmib+2-eq"
"""Codes of packets that change the mail; they come before the last answer."""


def _split(data: bytes, least: int, most: int) -> list[bytes]:
    if not data.endswith(b"\0"):
        raise RemoteProtocolError("a text without its end")
    parts = data[:-1].split(b"\0")
    if not least <= len(parts) <= most:
        raise RemoteProtocolError("wrong number of texts")
    return parts


def _indexed(data: bytes) -> tuple[int, bytes, bytes]:
    if len(data) < _LENGTH.size:
        raise RemoteProtocolError("a change without its place")
    name, value = _split(data[_LENGTH.size :], 2, 2)
    return _LENGTH.unpack_from(data)[0], name, value


def parse_change(code: bytes, data: bytes) -> Change:
    """One modification. Errors: RemoteProtocolError."""
    match code:
        case b"h":
            return AddHeader(*_split(data, 2, 2))
        case b"i":
            return InsertHeader(*_indexed(data))
        case b"m":
            return ChangeHeader(*_indexed(data))
        case b"b":
            return ReplaceBody(data)
        case b"+":
            return AddRecipient(*_split(data, 1, 1))
        case b"2":
            return AddRecipient(*_split(data, 1, 2))
        case b"-":
            return DeleteRecipient(*_split(data, 1, 1))
        case b"e":
            return ChangeSender(*_split(data, 1, 2))
        case b"q":
            return Quarantine(*_split(data, 1, 1))
    raise RemoteProtocolError("no such modification")


# replycode = 3DIGIT SP [status SP] text *(CRLF 3DIGIT SP ...) NUL
def parse_reply(data: bytes) -> tuple[str, str]:
    """(enhanced status code, text) of a filter's own SMTP reply. Errors: RemoteProtocolError."""
    (text,) = _split(data, 1, 1)
    lines = text.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    code = lines[0][:3]
    if code[:1] not in ("4", "5") or not (len(code) == 3 and code.isascii() and code.isdigit()):
        raise RemoteProtocolError("a reply that refuses nothing")
    words = " ".join(line[4:].strip() for line in lines if line[4:].strip())
    status, _, rest = words.partition(" ")
    numbers = status.split(".")
    if len(numbers) == 3 and numbers[0] == code[0] and all(n.isascii() and n.isdigit() for n in numbers):
        return status[:11], rest
    return f"{code[0]}.7.1", words


class PacketReader:
    """Cuts what comes into packets."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> None:
        """More octets."""
        self._buffer += octets

    def next(self) -> tuple[bytes, bytes] | None:
        """(code, data) of the next whole packet. Errors: RemoteProtocolError for one that is too long."""
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if not 1 <= length <= MAX_PACKET:
            raise RemoteProtocolError(f"a packet of {length} octets")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        whole = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return whole[:1], whole[1:]
