"""The IMAP BODYSTRUCTURE and BODY of a message as wire fragments (RFC 9051 section 7.5.2, RFC 3501 7.4.2).

One pass over the parts in document order writes BODYSTRUCTURE; BODY is the same without the extension data
and is cut out of it when it is asked for, since few clients do.
"""

from collections.abc import Sequence
from typing import Final

from a3mailer.mail.message import limits
from a3mailer.mail.message.envelope import AddressRoom, envelope
from a3mailer.mail.message.parameters import Parameters
from a3mailer.mail.message.parts import MESSAGES, Draft
from a3mailer.mail.message.wire import NIL, nstring, skip, string

_MEDIA: Final = {b"text/plain": b'"text" "plain"', b"text/html": b'"text" "html"'}  # the usual ones, made
_ENCODINGS: Final = {
    name: string(name) for name in (b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable")
}
_EXTENDED: Final = frozenset(
    (b"content-md5", b"content-disposition", b"content-language", b"content-location")
)  # what extension data is made of
_BASIC_ELEMENTS: Final = 7  # of BODY, without extension data; a text part has one more
_MESSAGE_ELEMENTS: Final = 10
_BEFORE_BODY: Final = 8  # elements of a message part before the body of its message
_US_ASCII: Final = b'("charset" "us-ascii")'


def bodystructure(drafts: Sequence[Draft], room: AddressRoom) -> bytes:
    """Return the BODYSTRUCTURE of the parts of a mail."""
    out: list[bytes] = []
    opened: list[Draft] = []
    for at, draft in enumerate(drafts):
        if draft.media.startswith(b"multipart/"):
            out.append(b"(")
            opened.append(draft)
            continue
        out.append(_head(draft))
        if draft.media in MESSAGES:
            inner = drafts[at + 1].fields
            out.append(b" %b " % envelope(inner, room))
            opened.append(draft)
            continue
        out.append(_extension(draft))
        depth = drafts[at + 1].depth if at + 1 < len(drafts) else 0
        while opened and opened[-1].depth >= depth:
            out.append(_tail(opened.pop()))
    return b"".join(out)


# body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]
def _head(draft: Draft) -> bytes:
    fields = draft.fields
    media = _MEDIA.get(draft.media)
    if media is None:
        type_, _, subtype = draft.media.partition(b"/")
        media = b"%b %b" % (string(type_), string(subtype))
    is_text = draft.media.startswith(b"text/")
    parameter_list = _parameters(draft.parameters)
    if is_text and b"content-type" not in fields:
        parameter_list = _US_ASCII
    return b"(%b %b %b %b %b %d%b" % (
        media,
        parameter_list,
        nstring(fields.get(b"content-id")),
        nstring(fields.get(b"content-description")),
        _ENCODINGS.get(draft.encoding) or string(draft.encoding),
        draft.end - draft.body,
        b" %d" % draft.lines if is_text else b"",
    )


# body-ext-1part = body-fld-md5 [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
def _extension(draft: Draft) -> bytes:
    fields = draft.fields
    if _EXTENDED.isdisjoint(fields):
        return b" NIL NIL NIL NIL)"
    return b" %b %b %b %b)" % (
        nstring(fields.get(b"content-md5")),
        _disposition(draft),
        _language(fields.get(b"content-language")),
        nstring(fields.get(b"content-location")),
    )


# body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
# body-ext-mpart  = body-fld-param [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
def _tail(draft: Draft) -> bytes:
    """Return what follows the parts of a multipart, or the message of a message part."""
    if draft.media in MESSAGES:
        return b" %d%b" % (draft.lines, _extension(draft))
    fields = draft.fields
    return b" %b %b %b %b %b)" % (
        string(draft.media[10:]),
        _parameters(draft.parameters),
        _disposition(draft),
        _language(fields.get(b"content-language")),
        nstring(fields.get(b"content-location")),
    )


# body-fld-param = "(" string SP string *(SP string SP string) ")" / nil
def _parameters(pairs: Parameters) -> bytes:
    if not pairs:
        return NIL
    return b"(%b)" % b" ".join([b"%b %b" % (string(name), string(value)) for name, value in pairs])


# body-fld-dsp = "(" string SP body-fld-param ")" / nil
def _disposition(draft: Draft) -> bytes:
    word, pairs = draft.disposition
    return b"(%b %b)" % (string(word), _parameters(pairs)) if word else NIL


# body-fld-lang = nstring / "(" string *(SP string) ")"
def _language(value: bytes | None) -> bytes:
    if not value:
        return NIL
    tags = [tag.strip() for tag in value.split(b",", limits.LANGUAGES)[: limits.LANGUAGES]]
    strings = [string(tag) for tag in tags if tag]
    if len(strings) < 2:
        return strings[0] if strings else NIL
    return b"(%b)" % b" ".join(strings)


class _Body:
    """A list of the fragment that is open while it is read: `body` tells a body from any other list."""

    __slots__ = ("body", "elements", "type_", "wanted")

    def __init__(self, body: bool) -> None:
        self.body = body
        self.elements = 0
        self.wanted = 0  # elements that BODY has; 0 while that is not known
        self.type_ = b""

    def opens_body(self) -> bool:
        """Tell whether a list that begins here is a body itself."""
        return (self.body and not self.type_) or (
            self.wanted == _MESSAGE_ELEMENTS and self.elements == _BEFORE_BODY
        )

    def element(self, token: bytes) -> bool:
        """Count an element, `token` being b"(" for a list; tell whether it is the last that BODY has."""
        self.elements += 1
        if not self.body:
            return False
        if not self.type_ and token != b"(":
            self.type_ = token
            self.wanted = self.elements if self.elements > 1 else _BASIC_ELEMENTS + (token == b'"text"')
        elif self.elements == 2 and self.type_ == b'"message"' and token in (b'"rfc822"', b'"global"'):
            self.wanted = _MESSAGE_ELEMENTS
        return self.elements == self.wanted


def without_extension(fragment: bytes) -> bytes:
    """Return the BODY fragment for a BODYSTRUCTURE fragment that this module made.

    Cuts the extension data of each body: what follows the subtype of a multipart, the lines of a text or
    message part, the size of any other part. Linear, iterative.
    """
    out: list[bytes] = []
    opened: list[_Body] = [_Body(False)]
    cut = 0  # how many lists are open, when one of them is being cut
    at = kept = 0
    while at < len(fragment):
        after = skip(fragment, at)
        token = fragment[at:after]
        if token == b"(":
            opened.append(_Body(len(opened) == 1 or (not cut and opened[-1].opens_body())))
        elif token == b")":
            opened.pop()
            if len(opened) < cut:
                cut, kept = 0, at
        if token not in (b"(", b" ") and opened[-1].element(b"(" if token == b")" else token) and not cut:
            out.append(fragment[kept:after])
            cut = len(opened)
        at = after
    out.append(fragment[kept:])
    return b"".join(out)
