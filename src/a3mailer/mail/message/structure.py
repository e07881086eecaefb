"""The IMAP BODYSTRUCTURE and BODY of a message as wire fragments (RFC 9051 section 7.5.2, RFC 3501 7.4.2).

One pass over the parts in document order writes BODYSTRUCTURE; BODY is the same without the extension data
and is cut out of it when it is asked for, since few clients do.
"""

from collections.abc import Sequence
from typing import Final

from a3mailer.mail.message.entity import MESSAGE, MULTIPART, TEXT
from a3mailer.mail.message.envelope import AddressRoom, envelope
from a3mailer.mail.message.parts import Draft
from a3mailer.mail.message.wire import skip

_BASIC_ELEMENTS: Final = 7  # of BODY, without extension data; a text part has one more
_MESSAGE_ELEMENTS: Final = 10
_BEFORE_BODY: Final = 8  # elements of a message part before the body of its message


# body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]
# body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
def bodystructure(drafts: Sequence[Draft], room: AddressRoom) -> bytes:
    """Return the BODYSTRUCTURE of the parts of a mail."""
    out: list[bytes] = []
    opened: list[Draft] = []
    for at, draft in enumerate(drafts):
        while opened and opened[-1].depth >= draft.depth:
            out.append(_closing(opened.pop()))
        entity = draft.entity
        kind = entity.kind
        if kind == MULTIPART:
            out.append(b"(")
            opened.append(draft)
            continue
        size = draft.end - draft.body
        if kind == TEXT:
            out.append(b"%b%d %d%b" % (entity.opening, size, draft.lines, entity.closing))
        elif kind == MESSAGE:
            out.append(b"%b%d %b " % (entity.opening, size, envelope(drafts[at + 1].fields, room)))
            opened.append(draft)
        else:
            out.append(b"%b%d%b" % (entity.opening, size, entity.closing))
    while opened:
        out.append(_closing(opened.pop()))
    return b"".join(out)


def _closing(draft: Draft) -> bytes:
    """Return what follows the parts of a multipart, or the message of a message part."""
    closing = draft.entity.closing
    return b" %d%b" % (draft.lines, closing) if draft.entity.kind == MESSAGE else closing


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
