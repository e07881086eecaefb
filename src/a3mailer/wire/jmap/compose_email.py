"""An Email as a client wants it made (RFC 8621 section 4.6), as octets; or which properties are wrong.

Every line of a header goes through ``mail.compose``, which refuses what would begin a line of its own
(attack row 46). Same pieces, same octets.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from a3mailer.mail import compose
from a3mailer.mail.compose import BadPiece, Part
from a3mailer.mail.message.dates import format_date
from a3mailer.wire.jmap.errors import invalid_properties
from a3mailer.wire.jmap.header_forms import HeaderProperty, header_of, header_property
from a3mailer.wire.jmap.values import read_date

MAX_PARTS: Final = 500
"""Parts of one mail that is made."""
MAX_ADDRESS: Final = 320
_ADDRESS: Final = re.compile(
    r'(?:[^\s<>,;:()\[\]"\\]+|"[^"\\\x00-\x1f]*"@[^\s<>,;:()"\\]+|[^\s<>,;:()"\\]+)\Z'
)
_ID: Final = re.compile(r"[!-;=?-~]{1,900}\Z")
_MEDIA: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}\Z")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}\Z")
_ZONE: Final = re.compile(r"([+-])([0-9]{2}):([0-9]{2})\Z")
_LOCATION: Final = re.compile(r"[!-~]{1,900}\Z")
_KNOWN: Final = frozenset(
    ("partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location",
     "subParts")
)  # fmt: skip
BODIES: Final = ("textBody", "htmlBody", "attachments")
Json = Mapping[str, Any]


class Wrong(ValueError):
    """A value that cannot be part of a mail; the text says why."""


@dataclass(slots=True)
class Pieces:
    """What a mail is made of besides the Email object."""

    contents: Mapping[str, bytes]
    """By blob id, all that the object names."""
    now: int
    message_id: str
    boundary: str
    values: Json = field(default_factory=dict)
    parts: int = 0


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
    pieces.values = record.get("bodyValues") or {}
    lines, names = _header(record, pieces)
    structure = record.get("bodyStructure")
    given = [name for name in BODIES if record.get(name) is not None]
    if structure is not None and given:
        raise invalid_properties("bodyStructure", *given, because="one or the other")
    where = "bodyStructure" if structure is not None else (given or ["textBody"])[0]
    try:
        whole = structure is not None
        root = _part(structure, pieces, "", names) if whole else _from_views(record, pieces)
    except (Wrong, BadPiece) as error:
        raise invalid_properties(where, because=str(error)) from error
    head = "".join(lines)
    if "mime-version" not in names:
        head += "MIME-Version: 1.0\r\n"
    return (head + root.head + "\r\n").encode("ascii") + root.body


# --- header ------------------------------------------------------------------------------------------


def _header(record: Json, pieces: Pieces) -> tuple[list[str], set[str]]:
    """Lines, and the names of their fields in lower case."""
    lines: list[str] = []
    by_field: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for name, value in record.items():
        wanted = header_of(name)
        if wanted is None or value is None:
            continue
        lower = wanted.name.lower()
        if lower in by_field or lower.startswith("content-"):
            wrong[name] = "a header field is given once, and none of a part"
            wrong.setdefault(by_field.get(lower, name), "a header field is given once")
        by_field[lower] = name
        try:
            lines += field_lines(wanted, value)
        except (Wrong, BadPiece) as error:
            wrong[name] = str(error)
    if wrong:
        raise invalid_properties(*wrong, because="; ".join(dict.fromkeys(wrong.values())))
    if "date" not in by_field:
        lines.append(f"Date: {format_date(pieces.now)}\r\n")
    if "message-id" not in by_field:
        lines.append(f"Message-ID: <{pieces.message_id}>\r\n")
    return lines, set(by_field)


def field_lines(wanted: HeaderProperty, value: object) -> list[str]:
    """The lines of a header property. Errors: Wrong, BadPiece."""
    if not wanted.every:
        return [_WRITE[wanted.form](wanted.name, value)]
    if not isinstance(value, list):
        raise Wrong("a list of values is wanted")
    return [_WRITE[wanted.form](wanted.name, each) for each in value]


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("a text is wanted")
    return compose.field(name, value.strip(" "))


def _mailbox(value: object) -> compose.Mailbox:
    if not isinstance(value, dict) or not set(value) <= {"name", "email"}:
        raise Wrong("an address has a name and an email")
    name, email = value.get("name"), value.get("email")
    if not isinstance(email, str) or not (name is None or isinstance(name, str)):
        raise Wrong("an address has a name and an email")
    if len(email) > MAX_ADDRESS or not _ADDRESS.match(email):
        raise Wrong("that is no address")
    return compose.Mailbox(name or "", email)


def people_of(value: object) -> list[compose.Mailbox]:
    """EmailAddress objects. Errors: Wrong."""
    if not isinstance(value, list):
        raise Wrong("a list of addresses is wanted")
    return [_mailbox(each) for each in value]


def _addresses(name: str, value: object) -> str:
    people = people_of(value)
    return compose.addresses(name, people) or f"{name}:\r\n"


def _grouped(name: str, value: object) -> str:
    if not isinstance(value, list):
        raise Wrong("a list of groups is wanted")
    shown: list[str] = []
    for group in value:
        if not isinstance(group, dict) or not set(group) <= {"name", "addresses"}:
            raise Wrong("a group has a name and addresses")
        people = [compose.mailbox(each) for each in people_of(group.get("addresses"))]
        label = group.get("name")
        if label is None:
            shown += people
        elif isinstance(label, str):
            shown.append(f"{compose.phrase(label)}: {', '.join(people)};")
        else:
            raise Wrong("the name of a group is a text")
    return compose.folded(name, ", ".join(shown).split(" "))


def _message_ids(name: str, value: object) -> str:
    if not isinstance(value, list) or not value:
        raise Wrong("a list of message ids is wanted")
    if not all(isinstance(each, str) and _ID.match(each) for each in value):
        raise Wrong("a message id is printable ASCII without spaces and angle brackets")
    return compose.folded(name, [f"<{each}>" for each in value])


def _date(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("a date is wanted")
    try:
        seconds = read_date(value)
    except ValueError as error:
        raise Wrong("that is no date") from error
    zone = _ZONE.search(value)
    minutes = 0
    if zone is not None:
        minutes = (int(zone[2]) * 60 + int(zone[3])) * (-1 if zone[1] == "-" else 1)
    return f"{name}: {format_date(seconds, minutes)}\r\n"


def _urls(name: str, value: object) -> str:
    if not isinstance(value, list) or not value:
        raise Wrong("a list of URLs is wanted")
    if not all(isinstance(each, str) and _LOCATION.match(each) and ">" not in each for each in value):
        raise Wrong("a URL is printable ASCII")
    return compose.folded(name, ", ".join(f"<{each}>" for each in value).split(" "))


_WRITE: Final[dict[str, Callable[[str, object], str]]] = {
    "asRaw": _text,
    "asText": _text,
    "asAddresses": _addresses,
    "asGroupedAddresses": _grouped,
    "asMessageIds": _message_ids,
    "asDate": _date,
    "asURLs": _urls,
}


# --- body --------------------------------------------------------------------------------------------


def _from_views(record: Json, pieces: Pieces) -> Part:
    texts = []
    for name, media in (("textBody", "text/plain"), ("htmlBody", "text/html")):
        parts = record.get(name)
        if parts is None:
            continue
        if len(parts) != 1 or not isinstance(parts[0], dict) or parts[0].get("type", media) != media:
            raise Wrong(f"{name} is one part of {media}")
        texts.append(_part({"type": media, **parts[0]}, pieces, ""))
    files = record.get("attachments") or []
    if not all(isinstance(each, dict) for each in files):
        raise Wrong("attachments are parts")
    inline = [each for each in files if each.get("cid") and each.get("disposition") == "inline"]
    if inline and record.get("htmlBody") is not None:
        texts[-1] = _joined(
            "related", [texts[-1], *(_part(each, pieces, "inline") for each in inline)], pieces
        )
        files = [each for each in files if each not in inline]
    whole = _joined("alternative", texts or [compose.text_part("text/plain", "")], pieces)
    return _joined("mixed", [whole, *(_part(each, pieces, "attachment") for each in files)], pieces)


def _joined(kind: str, parts: Sequence[Part], pieces: Pieces, head: str = "") -> Part:
    if len(parts) == 1 and not head:
        return parts[0]
    pieces.parts += 1
    boundary = f"=_{pieces.boundary}_{pieces.parts}"
    out: list[bytes] = []
    for part in parts:
        out += [f"--{boundary}\r\n{part.head}\r\n".encode(), part.body, b"\r\n"]
    out.append(f"--{boundary}--\r\n".encode())
    head = head or f"Content-Type: multipart/{kind};\r\n"
    return Part(f'{head} boundary="{boundary}"\r\n', b"".join(out))


def _part(given: object, pieces: Pieces, disposition: str, taken: Iterable[str] = ()) -> Part:
    """One part and what is below it; as deep as JSON may be. Errors: Wrong, BadPiece, SetError."""
    if not isinstance(given, dict):
        raise Wrong("a part is an object")
    pieces.parts += 1
    if pieces.parts > MAX_PARTS:
        raise Wrong(f"more than {MAX_PARTS} parts")
    media = given.get("type") or "text/plain"
    if not isinstance(media, str) or not _MEDIA.match(media):
        raise Wrong("that is no media type")
    media = media.lower()
    extra = _part_header(given, set(taken))
    further = _fields(given, "" if _names_disposition(given) else disposition)
    if media.startswith("multipart/"):
        children = given.get("subParts")
        if not isinstance(children, list) or not children or "partId" in given or "blobId" in given:
            raise Wrong("a multipart has subParts, and nothing else to hold")
        inner = [_part(each, pieces, "") for each in children]
        made = _joined("", inner, pieces, f"Content-Type: {media};\r\n")
        return Part(made.head + further + extra, made.body)
    if given.get("subParts"):
        raise Wrong("only a multipart has subParts")
    made = _leaf(given, media, pieces)
    return Part(made.head + further + extra, made.body)


def _names_disposition(given: Json) -> bool:
    found = [header_property(name) for name, value in given.items() if value is not None]
    return any(each is not None and each.field == b"content-disposition" for each in found)


def _part_header(given: Json, taken: set[str]) -> str:
    """Lines of the header fields that a part names by themselves."""
    lines: list[str] = []
    for name, value in given.items():
        if name in _KNOWN or value is None:
            continue
        wanted = header_property(name)
        lower = "" if wanted is None else wanted.name.lower()
        if wanted is None or lower in taken or given.get(_OWN.get(lower, "")) is not None or lower in _NEVER:
            raise Wrong(f"{name[:100]} cannot be given for a part, or is given twice")
        taken.add(lower)
        lines += field_lines(wanted, value)
    return "".join(lines)


_OWN: Final = {
    "content-disposition": "disposition",
    "content-id": "cid",
    "content-language": "language",
    "content-location": "location",
}
"""Fields that a part names by a property of its own, or by themselves."""
_NEVER: Final = frozenset(("content-type", "content-transfer-encoding"))


def _leaf(given: Json, media: str, pieces: Pieces) -> Part:
    part_id, blob_id = given.get("partId"), given.get("blobId")
    name = given.get("name")
    if (part_id is None) == (blob_id is None):
        raise Wrong("a part has either a partId or a blobId")
    if part_id is not None:
        if given.get("charset") is not None or given.get("size") is not None:
            raise Wrong("what has a partId has no charset and no size")
        made = compose.text_part(media, _value(part_id, pieces), ended=False)
        if not media.startswith("text/"):
            raise Wrong("only texts have a partId")
        if name is None:
            return made
        first, _, rest = made.head.partition("\r\n")
        return Part(f"{first};\r\n {compose.parameter('name', _string(name))}\r\n{rest}", made.body)
    octets = pieces.contents[_string(blob_id)]
    head = f"Content-Type: {media}"
    charset = given.get("charset")
    if charset is not None and media.startswith("text/"):
        if not _TOKEN.match(_string(charset)):
            raise Wrong("that is no charset")
        head += f"; charset={charset}"
    if name is not None:
        head += f";\r\n {compose.parameter('name', _string(name))}"
    if media in ("message/rfc822", "message/global"):
        encoding = "7bit" if octets.isascii() else "8bit"
        return Part(f"{head}\r\nContent-Transfer-Encoding: {encoding}\r\n", octets)
    body = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    return Part(f"{head}\r\nContent-Transfer-Encoding: base64\r\n", body)


def _value(part_id: object, pieces: Pieces) -> str:
    found = pieces.values.get(_string(part_id))
    if not isinstance(found, dict) or not isinstance(found.get("value"), str):
        raise Wrong("a partId is one of bodyValues")
    if found.get("isEncodingProblem") or found.get("isTruncated"):
        raise Wrong("a value that is written has no encoding problem and is not truncated")
    return str(found["value"])


def _fields(given: Json, disposition: str) -> str:
    """Content-Disposition and what else describes a part."""
    lines: list[str] = []
    word = given.get("disposition") or disposition
    if word:
        if not _TOKEN.match(_string(word)):
            raise Wrong("that is no disposition")
        name = given.get("name")
        more = f";\r\n {compose.parameter('filename', _string(name))}" if name is not None else ""
        lines.append(f"Content-Disposition: {word}{more}\r\n")
    if (cid := given.get("cid")) is not None:
        if not _ID.match(_string(cid)):
            raise Wrong("a cid is printable ASCII without spaces and angle brackets")
        lines.append(f"Content-ID: <{cid}>\r\n")
    if (language := given.get("language")) is not None:
        if not isinstance(language, list) or not all(_TOKEN.match(_string(each)) for each in language):
            raise Wrong("a language is a list of tags")
        lines.append(compose.folded("Content-Language", ", ".join(language).split(" ")))
    if (location := given.get("location")) is not None:
        if not _LOCATION.match(_string(location)):
            raise Wrong("that is no location")
        lines.append(f"Content-Location: {location}\r\n")
    return "".join(lines)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("a text is wanted")
    return value
