"""Make a mail of its pieces (RFC 5322, RFC 2045 to 2047, RFC 2231), those that applications give.

Nothing given becomes a line of its own (attack row 46): a name or value with a control character is refused
by ``field``, through which every header line goes. Same pieces, same octets.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

LINE: Final = 76
"""Characters of a line where it may be folded: RFC 5322 wants 78, RFC 2047 section 2 wants 76."""
LONGEST: Final = 998
"""Octets a line may have (RFC 5322 section 2.1.1)."""
WORD: Final = 42
"""Octets of text in one encoded-word: 56 of base64 and 12 around them, with room for a name before it."""
SECTION: Final = 20
"""Octets of a value in one section of a parameter that has several: 60 where each is written as three."""
_NAME: Final = re.compile(r"[!-9;-~]{1,76}\Z")
_MEDIA: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}\Z")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*\Z")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


class BadPiece(ValueError):
    """Something that cannot be part of a mail; the text says what."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name for people and an addr-spec, which is ASCII."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file. With ``content_id`` it is shown inside the HTML that names it ``cid:``."""

    name: str
    media: str
    octets: bytes
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a mail is made of."""

    sender: Mailbox
    to: tuple[Mailbox, ...]
    subject: str
    date: str
    message_id: str
    """Without brackets."""
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    utf8: bool = False
    """Addresses may be internationalised: it leaves by SMTPUTF8 only (RFC 6532)."""


# field = field-name ":" unstructured CRLF ; encoded-word where it is beyond ASCII (RFC 2047)
def field(name: str, value: str) -> str:
    """One unstructured field, folded. Errors: BadPiece."""
    if not _NAME.match(name):
        raise BadPiece(f"{name[:40]!r} is no name of a header field")
    return folded(name, encoded(checked(value, name)).split(" "))


def checked(value: str, what: str) -> str:
    """The text itself. Errors: BadPiece where it holds controls or what is no character."""
    if _CONTROL.search(value):
        raise BadPiece(f"{what}: control characters are not allowed")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadPiece(f"{what}: not Unicode text") from None
    return value


def encoded(value: str) -> str:
    """Text as ASCII: the value itself, or encoded-words between spaces."""
    if value.isascii() and "=?" not in value and all(len(word) <= LONGEST // 2 for word in value.split(" ")):
        return value
    return " ".join(f"=?utf-8?b?{base64.b64encode(piece).decode()}?=" for piece in _pieces(value))


def _pieces(value: str) -> Iterable[bytes]:
    """UTF-8, cut between characters."""
    octets, at = value.encode(), 0
    while at < len(octets):
        end = min(at + WORD, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        yield octets[at:end]
        at = end


def folded(name: str, words: Sequence[str]) -> str:
    """One field, its words on lines that are short enough."""
    out, length = [f"{name}:"], len(name) + 1
    for number, word in enumerate(words):
        # a line of nothing but space is no folding (RFC 5322 section 3.2.2)
        if number and word and length + 1 + len(word) > LINE:
            out.append("\r\n")
            length = 0
        out.append(f" {word}")
        length += 1 + len(word)
    return "".join((*out, "\r\n"))


def phrase(name: str) -> str:
    """A name as it stands before an address. Errors: BadPiece."""
    name = checked(name, "a name").strip(" ")
    if name.isascii() and "=?" not in name and all(len(word) <= LONGEST // 2 for word in name.split(" ")):
        quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return name if _ATOMS.match(name) else quoted
    return encoded(name)


def mailbox(mailbox: Mailbox, *, utf8: bool = False) -> str:
    """One mailbox of an address list; ``utf8``: its address may be internationalised. Errors: BadPiece."""
    if not (utf8 or mailbox.address.isascii()) or _CONTROL.search(mailbox.address):
        raise BadPiece("an address is ASCII here")
    text = phrase(mailbox.name)
    return f"{text} <{mailbox.address}>" if text else mailbox.address


def addresses(name: str, mailboxes: Sequence[Mailbox], *, utf8: bool = False) -> str:
    """A field of these mailboxes, nothing without any. Errors: BadPiece."""
    if not mailboxes:
        return ""
    return folded(name, ", ".join(mailbox(each, utf8=utf8) for each in mailboxes).split(" "))


def mailbox_field(name: str, mailbox: Mailbox) -> str:
    """One field with one mailbox. Errors: BadPiece."""
    return addresses(name, (mailbox,))


# parameter = attribute "=" value / attribute "*=" charset "'" [ language ] "'" value (RFC 2231 section 4)
#           / 2*( attribute "*" section "*=" value ) with a charset in the first (section 4.1)
def parameter(name: str, value: str) -> str:
    """One parameter of a structured field, a long one in sections on lines of their own."""
    value = checked(value, name)
    if value.isascii() and len(value) <= 60:
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name}="{quoted}"'
    kept = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
    written = [chr(o) if o in kept else f"%{o:02X}" for o in value.encode()]
    if sum(map(len, written)) <= SECTION * 3:
        return f"{name}*=utf-8''{''.join(written)}"
    sections: list[str] = []
    for at in range(0, len(written), SECTION):
        charset = "" if at else "utf-8''"
        sections.append(f"{name}*{at // SECTION}*={charset}{''.join(written[at : at + SECTION])}")
    return ";\r\n ".join(sections)


@dataclass(frozen=True, slots=True)
class Part:
    """A header, whole lines, and a body."""

    head: str
    body: bytes


def text_part(media: str, text: str, *, ended: bool = True) -> Part:
    """A text in the encoding that fits it, ``ended`` by a line end. Errors: BadPiece."""
    try:
        octets = b"\r\n".join(text.encode().replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    except UnicodeEncodeError:
        raise BadPiece("the text is not Unicode text") from None
    plain = octets.isascii() and b"\0" not in octets
    if plain and all(len(line) <= LONGEST for line in octets.split(b"\r\n")):
        charset, encoding = "us-ascii", "7bit"
    else:
        charset, encoding = "utf-8", "quoted-printable"
        octets = binascii.b2a_qp(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    if ended and octets and not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    head = f"Content-Type: {media}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return Part(head, octets)


def _file_part(file: Attachment) -> Part:
    if not _MEDIA.match(file.media) or file.media.lower().startswith(("multipart/", "message/")):
        raise BadPiece(f"{file.media[:40]!r} is no media type of an attachment")
    inline = "inline" if file.content_id else "attachment"
    head = f"Content-Type: {file.media};\r\n {parameter('name', file.name)}\r\n"
    head += f"Content-Disposition: {inline};\r\n {parameter('filename', file.name)}\r\n"
    head += "Content-Transfer-Encoding: base64\r\n"
    if file.content_id:
        if not _NAME.match(file.content_id) or not frozenset('<>()"\\').isdisjoint(file.content_id):
            raise BadPiece("a content id is some ASCII letters and digits, @ and dots")
        head += f"Content-ID: <{file.content_id}>\r\n"
    return Part(head, base64.encodebytes(file.octets).replace(b"\n", b"\r\n"))


def _joined(kind: str, parts: Sequence[Part], boundary: str) -> Part:
    """One part, or a multipart of several."""
    if len(parts) == 1:
        return parts[0]
    out = []
    for part in parts:
        out += [f"--{boundary}\r\n{part.head}\r\n".encode(), part.body, b"\r\n"]
    out.append(f"--{boundary}--\r\n".encode())
    return Part(f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n', b"".join(out))


def compose(draft: Draft, boundary: str) -> bytes:
    """The whole mail. ``boundary``: an ASCII word nobody guesses, so no text holds it. Errors: BadPiece."""
    texts = [text_part("text/plain", draft.text)] if draft.text is not None else []
    if draft.html is not None:
        shown = [file for file in draft.attachments if file.content_id]
        pieces = [text_part("text/html", draft.html), *(_file_part(file) for file in shown)]
        texts.append(_joined("related", pieces, f"=_{boundary}_r"))
    files = [file for file in draft.attachments if not (file.content_id and draft.html is not None)]
    alternative = _joined("alternative", texts or [text_part("text/plain", "")], f"=_{boundary}_a")
    whole = _joined("mixed", [alternative, *(_file_part(file) for file in files)], f"=_{boundary}_m")
    return letter(draft, f"{whole.head}\r\n".encode("ascii") + whole.body)


def text_entity(text: str) -> bytes:
    """A text as a MIME entity with its header. Errors: BadPiece."""
    part = text_part("text/plain", text)
    return f"{part.head}\r\n".encode("ascii") + part.body


def alternative_entity(text: str, html: str, boundary: str) -> bytes:
    """The same in both forms, as a MIME entity with its header. ``boundary`` as of ``compose``.

    Errors: BadPiece."""
    parts = [text_part("text/plain", text), text_part("text/html", html)]
    whole = _joined("alternative", parts, f"=_{boundary}_a")
    return f"{whole.head}\r\n".encode("ascii") + whole.body


def letter(draft: Draft, entity: bytes) -> bytes:
    """A mail with the header of a draft, and this MIME entity with its header. Errors: BadPiece."""
    head = [
        addresses("From", (draft.sender,), utf8=draft.utf8),
        addresses("To", draft.to, utf8=draft.utf8),
        addresses("Cc", draft.cc, utf8=draft.utf8),
        addresses("Reply-To", draft.reply_to, utf8=draft.utf8),
        field("Subject", draft.subject),
        f"Date: {draft.date}\r\nMessage-ID: <{draft.message_id}>\r\n",
        *(field(name, value) for name, value in draft.headers),
        "MIME-Version: 1.0\r\n",
    ]
    return "".join(head).encode() + entity
