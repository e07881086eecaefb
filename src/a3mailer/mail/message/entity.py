"""What the header of a part says of its content (RFC 2045, 2046, 2183), and the BODYSTRUCTURE made of that.

Mails differ in their content, but hardly in how it is described: what was made of the same few fields before
is remembered, within `limits.REMEMBERED`. Total over any fields.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from a3mailer.mail.message import limits, parameters
from a3mailer.mail.message.ascii import SLASH
from a3mailer.mail.message.parameters import Parameters
from a3mailer.mail.message.wire import NIL, nstring, string

OTHER: Final = 0  # kinds of content
TEXT: Final = 1
MULTIPART: Final = 2
MESSAGE: Final = 3
CONTAINERS: Final = (MULTIPART, MESSAGE)

MESSAGES: Final = frozenset((b"message/rfc822", b"message/global"))
_SIGNATURES: Final = frozenset(
    (b"application/pgp-signature", b"application/pkcs7-signature", b"application/x-pkcs7-signature")
)
PLAIN: Final = b"text/plain"
_OPAQUE: Final = b"application/octet-stream"
_BLANK: Final = b" \t\r\n"
_TOKEN: Final = limits.TOKEN
_US_ASCII: Final = b'("charset" "us-ascii")'
_FURTHER: Final = frozenset(
    (
        b"content-disposition",
        b"content-id",
        b"content-description",
        b"content-language",
        b"content-location",
        b"content-md5",
    )
)
_MULTIPART_BEGINS: Final = b"mM"

# boundary := 0*69<bchars> bcharsnospace
_USUAL_MULTIPART: Final = re.compile(
    rb"multipart/([a-z-]{1,60});[ \t]*+boundary=\"([0-9A-Za-z'()+_,./:=? -]{1,250})\""
)


@dataclass(frozen=True, slots=True)
class Entity:
    """The description of one part.

    Octets are in lower case and cut at limit TOKEN; `filename` is as in `parts.Part`. `opening` and `closing`
    are what stands in BODYSTRUCTURE before the size of the part, and after its lines or its inner parts.
    `attachment` tells whether the part is one to save, None where that depends on where it is.
    """

    kind: int
    media: bytes
    encoding: bytes
    charset: bytes
    disposition: bytes
    filename: str
    boundary: bytes
    opening: bytes
    closing: bytes
    attachment: bool | None


def entity(fields: Mapping[bytes, bytes], assumed: bytes) -> Entity:
    """Return what the wanted fields of a header say; `assumed` is the media type without a Content-Type."""
    content_type = fields.get(b"content-type")
    encoding = fields.get(b"content-transfer-encoding")
    if (
        _FURTHER.isdisjoint(fields)
        and (not content_type or (len(content_type) <= _TOKEN and content_type[0] not in _MULTIPART_BEGINS))
        and (not encoding or len(encoding) <= _TOKEN)
    ):
        return _remembered(content_type, encoding, assumed)
    return _made(fields, assumed)  # a boundary, an identifier and a file name do not come again


@lru_cache(limits.REMEMBERED)
def _remembered(content_type: bytes | None, encoding: bytes | None, assumed: bytes) -> Entity:
    both = ((b"content-type", content_type), (b"content-transfer-encoding", encoding))
    return _made({name: value for name, value in both if value is not None}, assumed)


def _made(fields: Mapping[bytes, bytes], assumed: bytes) -> Entity:
    value = fields.get(b"content-type")
    usual = _USUAL_MULTIPART.fullmatch(value) if value and _FURTHER.isdisjoint(fields) else None
    if usual is not None:
        subtype, boundary = usual.groups()
        closing = b' "%b" ("boundary" "%b") NIL NIL NIL)' % (subtype, boundary)
        encoding = _encoding(fields.get(b"content-transfer-encoding"))
        media, boundary = b"multipart/" + subtype, boundary.rstrip(_BLANK)
        return Entity(MULTIPART, media, encoding[:_TOKEN], b"", b"", "", boundary, b"(", closing, False)
    media, pairs = parameters.parse(value) if value else (assumed, ())
    if SLASH not in media:  # RFC 2045 section 5.2
        media, pairs = PLAIN, ()
    return _described(fields, media, pairs)


def opaque(fields: Mapping[bytes, bytes]) -> Entity:
    """Return the description of a container that is shown as one part, since it may not be opened."""
    return _described(fields, _OPAQUE, ())


def _described(fields: Mapping[bytes, bytes], media: bytes, pairs: Parameters) -> Entity:
    get = fields.get
    encoding = _encoding(get(b"content-transfer-encoding"))
    word, disposition_pairs = parameters.parse(get(b"content-disposition") or b"")
    name = parameters.text_of(disposition_pairs, b"filename") if word else ""
    kind = _kind(media)
    shown = _US_ASCII if kind == TEXT and b"content-type" not in fields else _parameters(pairs)
    disposition = b"(%b %b)" % (string(word), _parameters(disposition_pairs)) if word else NIL
    language, location = _language(get(b"content-language")), nstring(get(b"content-location"))
    if kind == MULTIPART:
        opening = b"("
        # body-ext-mpart = body-fld-param [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
        closing = b" %b %b %b %b %b)" % (string(media[10:]), shown, disposition, language, location)
    else:
        type_, _, subtype = media.partition(b"/")
        # body-fields = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP body-fld-octets
        opening = b"(%b %b %b %b %b %b " % (
            string(type_),
            string(subtype),
            shown,
            nstring(get(b"content-id")),
            nstring(get(b"content-description")),
            string(encoding),
        )
        # body-ext-1part = body-fld-md5 [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
        closing = b" %b %b %b %b)" % (nstring(get(b"content-md5")), disposition, language, location)
    name = name or parameters.text_of(pairs, b"name")
    return Entity(
        kind,
        media[:_TOKEN],
        encoding[:_TOKEN],
        parameters.value_of(pairs, b"charset").lower()[:_TOKEN],
        word[:_TOKEN],
        name[: limits.FILENAME],
        parameters.value_of(pairs, b"boundary").rstrip(_BLANK) if kind == MULTIPART else b"",
        opening,
        closing,
        _attachment(kind, media, word, name),
    )


# encoding = "Content-Transfer-Encoding" ":" mechanism
def _encoding(value: bytes | None) -> bytes:
    return (value or b"").partition(b"(")[0].strip(_BLANK).lower() or b"7bit"


def _kind(media: bytes) -> int:
    if media.startswith(b"text/"):
        return TEXT
    if media.startswith(b"multipart/"):
        return MULTIPART
    return MESSAGE if media in MESSAGES else OTHER


def _attachment(kind: int, media: bytes, disposition: bytes, name: str) -> bool | None:
    if kind == MULTIPART:
        return False
    if disposition == b"attachment":
        return True
    if kind == TEXT:
        return bool(name) and disposition != b"inline"
    return False if media in _SIGNATURES else None


# body-fld-param = "(" string SP string *(SP string SP string) ")" / nil
def _parameters(pairs: Parameters) -> bytes:
    if not pairs:
        return NIL
    return b"(%b)" % b" ".join([b"%b %b" % (string(name), string(value)) for name, value in pairs])


# body-fld-lang = nstring / "(" string *(SP string) ")"
def _language(value: bytes | None) -> bytes:
    if not value:
        return NIL
    tags = [tag.strip() for tag in value.split(b",", limits.LANGUAGES)[: limits.LANGUAGES]]
    strings = [string(tag) for tag in tags if tag]
    if len(strings) < 2:
        return strings[0] if strings else NIL
    return b"(%b)" % b" ".join(strings)
