"""The IMAP ENVELOPE of a message as a wire fragment (RFC 9051 section 7.5.2, RFC 3501 section 7.4.2).

Built once from the wanted fields of a header; served by concatenation. Values are as written in the mail,
unfolded, encoded words not decoded. Total over any fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.message import addresses, limits
from a3mailer.mail.message.addresses import Address, Entry, Group
from a3mailer.mail.message.wire import NIL, nstring, string

EMPTY: Final = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
_END_OF_GROUP: Final = b"(NIL NIL NIL NIL)"

Entries = tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Correspondents:
    """The address fields of a message as written: no field stands in for another here."""

    from_: Entries = ()
    sender: Entries = ()
    reply_to: Entries = ()
    to: Entries = ()
    cc: Entries = ()
    bcc: Entries = ()


class AddressRoom:
    """How many more address entries the fragments of one mail may hold."""

    __slots__ = ("left", "met")

    def __init__(self) -> None:
        self.left = limits.ALL_ADDRESSES
        self.met = False

    def parse(self, value: bytes | None) -> Entries:
        """Return the entries of a field within the limits; `met` remembers that there were more."""
        if not value:
            return ()
        room = min(self.left, limits.ADDRESSES)
        entries = addresses.parse(value, room)
        found = len(entries)
        if found >= room or value.count(b":"):
            found = sum(1 + len(entry.members) if isinstance(entry, Group) else 1 for entry in entries)
            self.met = self.met or found >= room
        self.left -= found
        return entries


def correspondents(fields: Mapping[bytes, bytes], room: AddressRoom) -> Correspondents:
    """Parse the address fields of a header."""
    get, parse = fields.get, room.parse
    return Correspondents(
        parse(get(b"from")),
        parse(get(b"sender")),
        parse(get(b"reply-to")),
        parse(get(b"to")),
        parse(get(b"cc")),
        parse(get(b"bcc")),
    )


# envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP
#            env-bcc SP env-in-reply-to SP env-message-id ")"
def envelope(fields: Mapping[bytes, bytes], people: Correspondents) -> bytes:
    """Return the fragment. Sender and Reply-To are those of From where they are missing or empty."""
    get = fields.get
    from_ = address_list(people.from_)
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(get(b"date")),
        nstring(get(b"subject")),
        from_,
        address_list(people.sender) if people.sender else from_,
        address_list(people.reply_to) if people.reply_to else from_,
        address_list(people.to),
        address_list(people.cc),
        address_list(people.bcc),
        nstring(get(b"in-reply-to")),
        nstring(get(b"message-id")),
    )


# env-from = "(" 1*address ")" / nil
def address_list(entries: Entries) -> bytes:
    """Return the address structures of a list, NIL for an empty one; groups by their two markers."""
    if not entries:
        return NIL
    out: list[bytes] = []
    for entry in entries:
        if isinstance(entry, Address):
            out.append(_address(entry))
        else:
            out.append(b"(NIL NIL %b NIL)" % string(entry.phrase))
            out += map(_address, entry.members)
            out.append(_END_OF_GROUP)
    return b"(%b)" % b"".join(out)


# address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"
def _address(address: Address) -> bytes:
    """Return one address; a missing domain is "", since NIL would make it a group."""
    return b"(%b %b %b %b)" % (
        nstring(address.phrase or None),
        nstring(address.route or None),
        string(address.local_part),
        string(address.domain),
    )
