"""The body of a mail as a client wants it made (RFC 8621 section 4.6): parts, texts and blobs as MIME.

What is wrong is noted by its path (``bodyStructure/subParts/0/partId``) and the rest is looked at all the
same, so that a client hears of everything at once.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from a3mailer.mail import compose
from a3mailer.mail.compose import BadPiece
from a3mailer.wire.jmap.header_forms import header_property
from a3mailer.wire.jmap.written_fields import ID, Wrong, field_lines

MAX_PARTS: Final = 500
"""Parts of one mail that is made."""
_MEDIA: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}\Z")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}\Z")
_LOCATION: Final = re.compile(r"[!-~]{1,900}\Z")
# "type/subtype" and the parameters that follow
_TYPE: Final = re.compile(rf" *({_MEDIA.pattern[:-2]}) *((?:;[ -~]{{0,900}})?)\Z")
# what this part of the code says itself in Content-Type: ";" ("boundary" / "charset") "=" value
_OURS: Final = re.compile(r';\s*(?:boundary|charset)\s*=\s*(?:"[^"]*"|[^;\s]*)', re.I)
_KNOWN: Final = frozenset(
    ("partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location",
     "subParts")
)  # fmt: skip
_OWN: Final = {
    "content-disposition": "disposition",
    "content-id": "cid",
    "content-language": "language",
    "content-location": "location",
}
"""Fields that a part names by a property of its own, or by themselves."""
_NEVER: Final = frozenset(("content-transfer-encoding", "content-type"))
_MESSAGES: Final = ("message/rfc822", "message/global")
Json = Mapping[str, Any]


@dataclass(slots=True)
class Pieces:
    """What a mail is made of besides the Email object, and what is wrong with that."""

    contents: Mapping[str, bytes]
    """By blob id, all that the object names."""
    now: int
    message_id: str
    boundary: str
    values: Json = field(default_factory=dict)
    parts: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    """Why, by the path of a property."""

    def complain(self, because: object, *paths: str) -> None:
        """Something is wrong there."""
        for path in paths:
            self.wrong.setdefault(path, str(because))


@dataclass(frozen=True, slots=True)
class Made:
    """A part as it will be: lines of its header, its body, and the paths of fields by their names."""

    head: str
    body: bytes
    fields: Mapping[str, str] = field(default_factory=dict)


_NONE: Final = Made("", b"")
"""In the place of a part that cannot be made."""


@dataclass(frozen=True, slots=True)
class _Given:
    """A part as the client describes it, and where."""

    part: Json
    where: str
    pieces: Pieces

    def wrong(self, because: object, *names: str) -> None:
        self.pieces.complain(because, *([f"{self.where}/{name}" for name in names] or [self.where]))

    def text(self, name: str, pattern: re.Pattern[str] | None, because: str) -> str | None:
        """A property that is a text; None where there is none, or a wrong one."""
        value = self.part.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or (pattern is not None and not pattern.match(value)):
            self.wrong(because, name)
            return None
        return value

    def parameter(self, name: str, value: str | None) -> str:
        """A parameter that names the part, on a line of its own."""
        if value is None:
            return ""
        try:
            return f";\r\n {compose.parameter(name, value)}"
        except BadPiece as error:
            self.wrong(error, "name")
            return ""


def of_views(record: Json, pieces: Pieces) -> Made:
    """The body of ``textBody``, ``htmlBody`` and ``attachments``."""
    texts: list[Made] = []
    for name, media in (("textBody", "text/plain"), ("htmlBody", "text/html")):
        parts = record.get(name)
        if parts is None:
            continue
        if len(parts) != 1 or not isinstance(parts[0], dict) or parts[0].get("type", media) != media:
            pieces.complain(f"{name} is one part of {media}", name)
            continue
        texts.append(part_of({"type": media, **parts[0]}, f"{name}/0", pieces))
    files = list(enumerate(record.get("attachments") or ()))
    if not all(isinstance(each, dict) for _, each in files):
        pieces.complain("attachments are parts", "attachments")
        return _NONE
    inline = [(at, each) for at, each in files if each.get("cid") and each.get("disposition") == "inline"]
    if inline and texts and record.get("htmlBody") is not None:
        shown = [part_of(each, f"attachments/{at}", pieces, "inline") for at, each in inline]
        texts[-1] = _joined("related", [texts[-1], *shown], pieces)
        files = [each for each in files if each not in inline]
    empty = compose.text_part("text/plain", "")
    whole = _joined("alternative", texts or [Made(empty.head, empty.body)], pieces)
    others = [part_of(each, f"attachments/{at}", pieces, "attachment") for at, each in files]
    return _joined("mixed", [whole, *others], pieces)


def _joined(kind: str, parts: Sequence[Made], pieces: Pieces) -> Made:
    return parts[0] if len(parts) == 1 else _multipart(f"Content-Type: multipart/{kind};\r\n", parts, pieces)


def _multipart(head: str, parts: Sequence[Made], pieces: Pieces) -> Made:
    pieces.parts += 1
    boundary = f"=_{pieces.boundary}_{pieces.parts}"
    out: list[bytes] = []
    for part in parts:
        out += [f"--{boundary}\r\n{part.head}\r\n".encode(), part.body, b"\r\n"]
    out.append(f"--{boundary}--\r\n".encode())
    return Made(f'{head} boundary="{boundary}"\r\n', b"".join(out))


def part_of(part: object, where: str, pieces: Pieces, disposition: str = "") -> Made:
    """One part and what is below it; as deep as JSON may be. ``disposition``: where it names none."""
    pieces.parts += 1
    if not isinstance(part, dict) or pieces.parts > MAX_PARTS:
        pieces.complain(f"a part is an object, and there are at most {MAX_PARTS}", where)
        return _NONE
    given = _Given(part, where, pieces)
    media, further = _media(given)
    fields, lines = _fields_of(given)
    head = _described(given, "" if "content-disposition" in fields else disposition) + lines
    if media.startswith("multipart/"):
        children = part.get("subParts")
        names = [name for name in ("partId", "blobId") if part.get(name) is not None]
        if not isinstance(children, list) or not children or names:
            given.wrong("a multipart has subParts, and nothing else to hold", *(names or ["subParts"]))
            return _NONE
        if media == "multipart/digest":
            children = list(map(_of_digest, children))
        inner = [part_of(each, f"{where}/subParts/{at}", pieces) for at, each in enumerate(children)]
        made = _multipart(f"Content-Type: {media}{further};\r\n", inner, pieces)
    else:
        if part.get("subParts"):
            given.wrong("only a multipart has subParts", "subParts")
        made = _leaf(given, media, further)
    return Made(made.head + head, made.body, fields)


def _of_digest(part: object) -> object:
    """What is in a digest is a message where nothing else is said of it (RFC 2046 section 5.1.5)."""
    if not isinstance(part, dict) or part.get("blobId") is None:
        return part
    said = any(name == "type" or _is_type(name) for name in part if part[name] is not None)
    return part if said else part | {"type": "message/rfc822"}


def _media(given: _Given) -> tuple[str, str]:
    """The media type, and parameters that the client wrote itself in a Content-Type."""
    written = [name for name in given.part if _is_type(name) and given.part[name] is not None]
    if not written:
        return (given.text("type", _MEDIA, "that is no media type") or "text/plain").lower(), ""
    found = _TYPE.match(value) if isinstance(value := given.part[written[0]], str) else None
    others = [each for each in ("type", "charset", "name") if given.part.get(each) is not None]
    if found is None or others or len(written) > 1:
        given.wrong("a Content-Type is given once, in ASCII", *written)
        return "text/plain", ""
    media, rest = found.groups()
    if given.part.get("blobId") is None:
        rest = _OURS.sub("", rest)
    rest = rest.strip("; ")
    return media.lower(), f";\r\n {rest}" if rest else ""


def _is_type(name: str) -> bool:
    wanted = header_property(name)
    return wanted is not None and wanted.field == b"content-type" and not wanted.every


def _fields_of(given: _Given) -> tuple[dict[str, str], str]:
    """Header fields that a part names by themselves: their paths, and their lines."""
    found: dict[str, str] = {}
    lines: list[str] = []
    for name, value in given.part.items():
        if name in _KNOWN or value is None:
            continue
        wanted = header_property(name)
        lower = "" if wanted is None else wanted.name.lower()
        if _is_type(name):  # which is looked at by itself
            continue
        own = lower in _NEVER or given.part.get(_OWN.get(lower, "")) is not None
        if wanted is None or lower in found or own:
            given.wrong("that cannot be given for a part, or is given twice", name)
            continue
        found[lower] = f"{given.where}/{name}"
        try:
            lines += field_lines(wanted, value)
        except (Wrong, BadPiece) as error:
            given.wrong(error, name)
    return found, "".join(lines)


def _described(given: _Given, disposition: str) -> str:
    """Content-Disposition and what else describes a part."""
    lines: list[str] = []
    word = given.text("disposition", _TOKEN, "that is no disposition") or disposition
    name = given.text("name", None, "a name is a text")
    if word:
        lines.append(f"Content-Disposition: {word}{given.parameter('filename', name)}\r\n")
    because = "a cid is printable ASCII without spaces and angle brackets"
    if (cid := given.text("cid", ID, because)) is not None:
        lines.append(f"Content-ID: <{cid}>\r\n")
    if (language := given.part.get("language")) is not None:
        tags = language if isinstance(language, list) else []
        if tags and all(isinstance(each, str) and _TOKEN.match(each) for each in tags):
            lines.append(compose.folded("Content-Language", ", ".join(tags).split(" ")))
        else:
            given.wrong("a language is a list of tags", "language")
    if (location := given.text("location", _LOCATION, "that is no location")) is not None:
        lines.append(f"Content-Location: {location}\r\n")
    return "".join(lines)


def _leaf(given: _Given, media: str, further: str) -> Made:
    held = [name for name in ("partId", "blobId") if given.part.get(name) is not None]
    if len(held) != 1:
        given.wrong("a part has either a partId or a blobId", *(held or ["partId"]))
        return _NONE
    head = f"Content-Type: {media}"
    name = given.text("name", None, "a name is a text")
    further += given.parameter("name", name)
    return (_text if held == ["partId"] else _blob)(given, media, head, further)


def _text(given: _Given, media: str, head: str, further: str) -> Made:
    if extra := [name for name in ("charset", "size") if given.part.get(name) is not None]:
        given.wrong("what has a partId has no charset and no size", *extra)
    part_id = given.text("partId", None, "a partId is a text")
    found = given.pieces.values.get(part_id) if part_id is not None else None
    if found is None:
        given.wrong("a partId is one of bodyValues", "partId")
        return _NONE
    value = found.get("value") if isinstance(found, dict) else None
    if not isinstance(value, str):  # which was said by the one who looks at all values
        return _NONE
    try:
        made = compose.text_part(media, value, ended=False)
    except BadPiece as error:
        given.pieces.complain(error, f"bodyValues/{part_id}/value")
        return _NONE
    first, _, rest = made.head.partition("\r\n")
    if media in _MESSAGES:
        octets = value.encode().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return Made(f"{head}{further}\r\n{_identity(octets)}", octets)
    charset = first.removeprefix(head) if media.startswith("text/") else ""
    return Made(f"{head}{charset}{further}\r\n{rest}", made.body)


def _blob(given: _Given, media: str, head: str, further: str) -> Made:
    blob_id = given.text("blobId", None, "a blobId is a text")
    if blob_id is None:
        return _NONE
    octets = given.pieces.contents[blob_id]
    charset = given.text("charset", _TOKEN, "that is no charset")
    if media.startswith("text/") and "charset" not in further.lower():
        charset = charset or ("utf-8" if not octets.isascii() and _is_utf8(octets) else None)
        head += "" if charset is None else f"; charset={charset}"
    head += f"{further}\r\n"
    if media in _MESSAGES:
        return Made(head + _identity(octets), octets)
    body = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    return Made(f"{head}Content-Transfer-Encoding: base64\r\n", body)


def _identity(octets: bytes) -> str:
    return f"Content-Transfer-Encoding: {'7bit' if octets.isascii() else '8bit'}\r\n"


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
