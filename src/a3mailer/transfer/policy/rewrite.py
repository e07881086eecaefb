"""What a filter changes of a mail, done to its octets (libmilter: smfi_addheader, smfi_chgheader ...).

Fields are counted as the filter saw them: one that was taken out keeps its number. Every field that nobody
changes keeps its octets. What a filter puts in cannot end the header or make a second field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from a3mailer.mail.message.headers import header_end
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.milter.packets import AddHeader, Change, ChangeHeader, InsertHeader, ReplaceBody

_NAME: Final = bytes(c for c in range(0x21, 0x7F) if c != 0x3A)
"""ftext (RFC 5322 section 3.6.8)."""
_FIELD: Final = re.compile(rb"[^\n]+(?:\n[ \t][^\n]*)*\n?|\n(?:[ \t][^\n]*\n?)*")


def split(octets: bytes) -> tuple[list[bytes], bytes, bytes]:
    """(whole fields with their line ends, the empty line, the body); joined they are the octets."""
    end = header_end(octets, 0, len(octets))
    header, body = octets[:end], octets[end:]
    empty = b""
    for line in (b"\r\n", b"\n"):
        if header == line or header.endswith(b"\n" + line):
            header, empty = header[: -len(line)], line
            break
    return _FIELD.findall(header), empty, body


def told(fields: Iterable[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """(name, value) of each as a filter hears it; lines without a colon are no fields."""
    pairs = (field.partition(b":") for field in fields)
    return tuple(
        (name.rstrip(b" \t"), value.replace(b"\r\n", b"\n").removesuffix(b"\n"))
        for name, colon, value in pairs
        if colon and name.strip(b" \t")
    )


# field = name ":" value CRLF      ; further lines of the value begin with WSP
def field(name: bytes, value: bytes, *, leading_space: bool) -> bytes:
    """A field as a filter wants it. Errors: RemoteProtocolError for a name that is none."""
    if not name or name.translate(None, _NAME):
        raise RemoteProtocolError("a field name that is none")
    lines = value.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n").split(b"\n")
    kept = [lines[0]] + [
        line if line[:1] in (b" ", b"\t") else b"\t" + line for line in lines[1:] if line.strip()
    ]
    return name + (b":" if leading_space else b": ") + b"\r\n".join(kept) + b"\r\n"


def changed(octets: bytes, changes: Iterable[Change], *, leading_space: bool) -> bytes:
    """The mail with these changes of header and body. Errors: RemoteProtocolError."""
    fields, empty, body = split(octets)
    pieces: list[bytes] | None = None
    seen = list(fields)
    """As the filter counts them; b"" for one it has taken out."""
    names = [f.partition(b":")[0].rstrip(b" \t").lower() if b":" in f else b"" for f in seen]
    for change in changes:
        match change:
            case AddHeader(name, value):
                seen.append(field(name, value, leading_space=leading_space))
                names.append(name.lower())
            case InsertHeader(index, name, value):
                at = min(max(index - 1, 0), len(seen))  # our own Received field is its number 0
                seen.insert(at, field(name, value, leading_space=leading_space))
                names.insert(at, name.lower())
            case ChangeHeader(index, name, value):
                made = field(name, value, leading_space=leading_space) if value else b""
                places = [n for n, known in enumerate(names) if known == name.lower()]
                if 1 <= max(index, 1) <= len(places):
                    seen[places[max(index, 1) - 1]] = made
                elif made:
                    seen.append(made)
                    names.append(name.lower())
            case ReplaceBody(piece):
                pieces = [piece] if pieces is None else [*pieces, piece]
    if pieces is not None:
        body, empty = b"".join(pieces), empty or b"\r\n"
    if seen and seen[-1] and not seen[-1].endswith(b"\n") and (empty or body):
        seen[-1] += b"\r\n"
    return b"".join((*_ended(seen), empty, body))


def _ended(fields: list[bytes]) -> list[bytes]:
    """All but the last with a line end."""
    return [
        f + b"\r\n" if f and not f.endswith(b"\n") and n < len(fields) - 1 else f
        for n, f in enumerate(fields)
    ]
