"""The message index: what everyone after delivery wants to know of a mail, made once in one linear walk.

`index` is total: it returns an index for any octets, within the limits of `limits.py`, and never raises. All
offsets are octets from the start of the mail, which is kept unchanged elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from a3mailer.mail.message import (
    addresses,
    dates,
    headers,
    identifiers,
    limits,
    packed,
    parts,
    structure,
    text,
)
from a3mailer.mail.message.addresses import Address
from a3mailer.mail.message.entity import MESSAGE
from a3mailer.mail.message.envelope import AddressRoom, address_list, envelope
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.packed import Unpacked
from a3mailer.mail.message.parts import MESSAGES, Draft, Part
from a3mailer.mail.message.subject import base_subject
from a3mailer.mail.message.wire import NIL
from a3mailer.mail.message.words import decode_words

_ADDRESS_FIELDS: Final = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
_SHOWN_TO: Final = (b"from", b"to", b"cc", b"bcc")
_NAME: Final = frozenset((b"message-id",))
_NO_OCTETS: Final = (b"",) * len(_ADDRESS_FIELDS)


class MessageIndex(NamedTuple):
    """What is known of one mail. `pack` keeps parts, offsets, has_attachment and truncated.

    `message_id` and `references` are without angle brackets; `date` is Unix time or None; `thread_keys` are
    8 octets each, the mail's own first; `preview` has at most 200 characters; `truncated` names the limits
    that were met; `address_fields` are the unfolded values of From, Sender, Reply-To, To, Cc
    and Bcc. In an index from `unpack` the fields that are not packed are empty unless they were given.
    """

    envelope: bytes
    bodystructure: bytes
    preview: str
    subject: str
    date: int | None
    has_attachment: bool
    thread_keys: tuple[bytes, ...]
    parts: tuple[Part, ...] = ()
    header_end: int = 0
    size: int = 0
    message_id: bytes = b""
    in_reply_to: tuple[bytes, ...] = ()
    references: tuple[bytes, ...] = ()
    address_fields: tuple[bytes, ...] = _NO_OCTETS
    truncated: tuple[str, ...] = ()
    empty_fields: int = 0
    """Which of From, To, Cc and Bcc are there without an address, the first in the lowest bit."""

    @property
    def lineage(self) -> bytes:
        """Who the mail is and whom it follows (``identifiers.lineage``), for threads as RFC 5256 has them."""
        return identifiers.lineage(self.message_id, self.references, self.in_reply_to)

    @property
    def base_subject(self) -> str:
        """The Subject without the marks of replies and forwards (RFC 5256 section 2.1), for threading."""
        return base_subject(self.subject)[0]

    @property
    def body(self) -> bytes:
        """The IMAP BODY fragment: BODYSTRUCTURE without its extension data."""
        return structure.without_extension(self.bodystructure)

    @property
    def from_(self) -> tuple[Address, ...]:
        """The mailboxes of From."""
        return addresses.parse_mailboxes(self.address_fields[0])

    @property
    def sender(self) -> tuple[Address, ...]:
        """The mailboxes of Sender, empty without the field."""
        return addresses.parse_mailboxes(self.address_fields[1])

    @property
    def reply_to(self) -> tuple[Address, ...]:
        """The mailboxes of Reply-To, empty without the field."""
        return addresses.parse_mailboxes(self.address_fields[2])

    @property
    def to(self) -> tuple[Address, ...]:
        """The mailboxes of all To fields, members of groups included."""
        return addresses.parse_mailboxes(self.address_fields[3])

    @property
    def cc(self) -> tuple[Address, ...]:
        """The mailboxes of all Cc fields."""
        return addresses.parse_mailboxes(self.address_fields[4])

    @property
    def bcc(self) -> tuple[Address, ...]:
        """The mailboxes of all Bcc fields."""
        return addresses.parse_mailboxes(self.address_fields[5])

    def pack(self) -> bytes:
        """Return the parts and offsets in a few octets, for the store."""
        return packed.pack(
            Unpacked(
                self.parts,
                self.header_end,
                self.size,
                self.has_attachment,
                self.truncated,
                self.empty_fields,
            )
        )

    @classmethod
    def unpack(
        cls, octets: bytes, envelope: bytes = b"", bodystructure: bytes = b"", preview: str = ""
    ) -> "MessageIndex":
        """Return the index that was packed, with the fragments stored beside it; ValueError if it is none."""
        kept = packed.unpack(octets)
        return cls(
            envelope,
            bodystructure,
            preview,
            "",
            None,
            kept.has_attachment,
            (),
            kept.parts,
            kept.header_end,
            kept.size,
            truncated=kept.truncated,
            empty_fields=kept.empty_fields,
        )

    @classmethod
    def unpack_or_make(cls, packed_index: bytes, octets: bytes) -> "MessageIndex":
        """Return the index that was packed; where that is damaged, one of the octets of the message."""
        try:
            return cls.unpack(packed_index)
        except ValueError:
            return index(octets)

    def part(self, number: tuple[int, ...]) -> Part | None:
        """Return the part of an IMAP part specifier, () for the message; None when there is none."""
        at = self._at(number)
        return None if at is None else self.parts[at]

    def _at(self, number: tuple[int, ...]) -> int | None:
        if number == (1,) and not self.parts[0].media.startswith(b"multipart/"):
            return 0
        for at, part in enumerate(self.parts):
            if part.number == number:
                return at
        return None

    def _message(self, number: tuple[int, ...]) -> Part | None:
        """Return the part that holds the header of a message: the mail, or the one inside a message part."""
        if not number:
            return self.parts[0]
        at = self._at(number)
        return None if at is None or self.parts[at].media not in MESSAGES else self.parts[at + 1]

    # section-spec = section-msgtext / (section-part ["." section-text])
    def section(self, number: tuple[int, ...], kind: str) -> tuple[int, int] | None:
        """Return (start, end) of BODY[number.kind], kind "", "HEADER", "TEXT" or "MIME"; None without one."""
        if kind in ("HEADER", "TEXT"):
            message = self._message(number)
            if message is None:
                return None
            return (message.start, message.body) if kind == "HEADER" else (message.body, message.end)
        if not number:
            return (0, self.size) if kind == "" else None
        part = self.part(number)
        if part is None:
            return None
        return (part.start, part.body) if kind == "MIME" else (part.body, part.end)

    def header_fields(
        self, octets: Octets, names: frozenset[bytes], negate: bool = False, number: tuple[int, ...] = ()
    ) -> bytes:
        """Return BODY[number.HEADER.FIELDS (names)], or .NOT with `negate`; names are in lower case."""
        message = self._message(number)
        if message is None:
            return b""
        return headers.select(octets, message.start, message.body, names, negate)


def index(octets: Octets) -> MessageIndex:
    """Return the index of a mail, whatever its octets are."""
    walk = parts.Walk(octets)
    walk.run()
    root = walk.drafts[0]
    fields = root.fields
    get = fields.get
    room = AddressRoom()
    own_envelope = envelope(fields, room)
    finished = tuple(map(Draft.finished, walk.drafts))
    fragment = structure.bodystructure(walk.drafts, room)
    if room.met:
        walk.truncated["addresses"] = None
    message_id = identifiers.identifier(get(b"message-id"))
    in_reply_to = identifiers.identifiers(get(b"in-reply-to"))
    references = identifiers.identifiers(get(b"references"))
    date = get(b"date")
    header = b"" if message_id else octets[: min(root.body, limits.HEADER_OCTETS)]
    return MessageIndex(
        own_envelope,
        fragment,
        text.preview(octets, finished),
        decode_words(get(b"subject", b"")),
        dates.parse(date) if date else None,
        has_attachment(walk.drafts),
        identifiers.thread_keys(header, message_id, references, in_reply_to),
        finished,
        root.body,
        root.end,
        message_id,
        in_reply_to,
        references,
        tuple(map(get, _ADDRESS_FIELDS, _NO_OCTETS)),
        tuple(walk.truncated),
        _empty_fields(fields),
    )


def _empty_fields(fields: Mapping[bytes, bytes]) -> int:
    """Return what ENVELOPE cannot tell from fields that are missing; an @ is taken for an address."""
    found = 0
    for bit, name in enumerate(_SHOWN_TO):
        value = fields.get(name)
        if value is not None and b"@" not in value and address_list(value, AddressRoom()) == NIL:
            found |= 1 << bit
    return found


def glance(octets: Octets) -> MessageIndex:
    """Return what has to be known of a mail that only passes through: its name, and where its header ends."""
    end = headers.header_end(octets, 0, len(octets))
    found = headers.select(octets, 0, end, _NAME)
    message_id = identifiers.identifier(headers.first(found, 0, len(found), b"message-id"))
    return MessageIndex(
        b"", b"", "", "", None, False, (), header_end=end, size=len(octets), message_id=message_id
    )


def has_attachment(drafts: Sequence[Draft]) -> bool:
    """Tell whether a user should be offered something to save (RFC 8621 section 4.1.4, hasAttachment)."""
    for draft in drafts:
        attachment = draft.entity.attachment
        if attachment or (attachment is None and _apart(drafts, draft)):
            return True
    return False


def _apart(drafts: Sequence[Draft], draft: Draft) -> bool:
    """Tell whether a part that is no text is neither a mail by itself nor what the text beside it shows."""
    if draft.entity.kind == MESSAGE:
        return draft.parent >= 0
    return draft.parent < 0 or drafts[draft.parent].entity.media != b"multipart/related"
