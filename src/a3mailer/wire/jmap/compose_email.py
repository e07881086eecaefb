"""An Email as a client wants it made (RFC 8621 section 4.6), as octets; or which properties are wrong.

Same pieces, same octets. The body is made in ``compose_body``, header lines in ``written_fields``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from a3mailer.mail.compose import BadPiece
from a3mailer.mail.message.dates import format_date
from a3mailer.wire.jmap.compose_body import Pieces, of_views, part_of
from a3mailer.wire.jmap.errors import invalid_properties
from a3mailer.wire.jmap.header_forms import header_of
from a3mailer.wire.jmap.written_fields import Wrong, field_lines

BODIES: Final = ("textBody", "htmlBody", "attachments")
Json = Mapping[str, Any]


def blobs_of(record: Json) -> list[str]:
    """The blob ids that an Email object names, in order."""
    found: list[str] = []
    waiting = [record.get("bodyStructure"), *[each for name in BODIES for each in record.get(name) or ()]]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, dict):
            if isinstance(part.get("blobId"), str):
                found.append(part["blobId"])
            waiting += part.get("subParts") or () if isinstance(part.get("subParts"), list) else ()
    return list(dict.fromkeys(found))


def compose_email(record: Json, pieces: Pieces) -> bytes:
    """The mail. Errors: SetError (``invalidProperties``)."""
    _read_values(record.get("bodyValues") or {}, pieces)
    lines, names = _header(record, pieces)
    structure = record.get("bodyStructure")
    if structure is None:
        root = of_views(record, pieces)
    else:
        given = [name for name in BODIES if record.get(name) is not None]
        pieces.complain("one or the other is given", *given)
        root = part_of(structure, "bodyStructure", pieces)
    for name, path in root.fields.items():
        if name in names:
            pieces.complain("a header field is given once", path)
    if pieces.wrong:
        raise invalid_properties(*pieces.wrong, because="; ".join(dict.fromkeys(pieces.wrong.values())))
    names |= root.fields
    if "date" not in names:
        lines.append(f"Date: {format_date(pieces.now)}\r\n")
    if "message-id" not in names:
        lines.append(f"Message-ID: <{pieces.message_id}>\r\n")
    if "mime-version" not in names:
        lines.append("MIME-Version: 1.0\r\n")
    return ("".join(lines) + root.head + "\r\n").encode("ascii") + root.body


def _read_values(values: Json, pieces: Pieces) -> None:
    """EmailBodyValue objects: those that are written have no problem, and are whole."""
    pieces.values = values
    for name, given in values.items():
        path = f"bodyValues/{name[:100]}"
        if not isinstance(given, dict) or not isinstance(given.get("value"), str):
            pieces.complain("a body value has a value, which is a text", path)
            continue
        for each in ("isEncodingProblem", "isTruncated"):
            if given.get(each) not in (None, False):
                pieces.complain("what is written has no encoding problem and is whole", f"{path}/{each}")


def _header(record: Json, pieces: Pieces) -> tuple[list[str], dict[str, str]]:
    """Lines, and the properties they are of by the names of fields in lower case."""
    lines: list[str] = []
    by_field: dict[str, str] = {}
    for name, value in record.items():
        wanted = header_of(name)
        if wanted is None or value is None:
            continue
        lower = wanted.name.lower()
        if lower.startswith("content-"):
            pieces.complain("it is a field of a part, not of the email", name)
        elif lower in by_field:
            pieces.complain("a header field is given once", name)
        by_field.setdefault(lower, name)
        try:
            lines += field_lines(wanted, value)
        except (Wrong, BadPiece) as error:
            pieces.complain(error, name)
    return lines, by_field
