"""The IMAP ENVELOPE of a message as a wire fragment (RFC 9051 section 7.5.2, RFC 3501 section 7.4.2).

Built once from the wanted fields of a header; served by concatenation. Values are as written in the mail,
unfolded, encoded words not decoded. Total over any fields.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from a3mailer.mail.message import addresses, limits
from a3mailer.mail.message.addresses import Address, Group
from a3mailer.mail.message.ascii import BACKSLASH, COMMA, DQUOTE
from a3mailer.mail.message.wire import NIL, QUOTABLE, nstring, string

_END_OF_GROUP: Final = b"(NIL NIL NIL NIL)"
_HIDDEN: Final = b"\x01"
_PHRASE: Final = bytes(c for c in QUOTABLE if c not in b"()<>@,;:[]")
_WORD: Final = bytes(c for c in _PHRASE if c not in b" \t")


class AddressRoom:
    """How many more address entries the fragments of one mail may hold; `met` tells that some were cut."""

    __slots__ = ("left", "met")

    def __init__(self) -> None:
        self.left = limits.ALL_ADDRESSES
        self.met = False


# envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP
#            env-bcc SP env-in-reply-to SP env-message-id ")"
def envelope(fields: Mapping[bytes, bytes], room: AddressRoom) -> bytes:
    """Return the fragment. Sender and Reply-To are those of From where they are missing or empty."""
    get = fields.get
    from_ = address_list(get(b"from"), room)
    sender = address_list(get(b"sender"), room)
    reply_to = address_list(get(b"reply-to"), room)
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(get(b"date")),
        nstring(get(b"subject")),
        from_,
        from_ if sender == NIL else sender,
        from_ if reply_to == NIL else reply_to,
        address_list(get(b"to"), room),
        address_list(get(b"cc"), room),
        address_list(get(b"bcc"), room),
        nstring(get(b"in-reply-to")),
        nstring(get(b"message-id")),
    )


# env-from = "(" 1*address ")" / nil
def address_list(value: bytes | None, room: AddressRoom) -> bytes:
    """Return the address structures of a field, NIL for an empty one; groups by their two markers."""
    if not value:
        return NIL
    if len(value) <= limits.TOKEN < room.left:
        fragment, found = _remembered(value)
        room.left -= found
        return fragment
    return _made(value, room)


@lru_cache(limits.REMEMBERED)
def _remembered(value: bytes) -> tuple[bytes, int]:
    """Return the structures of a field that is too short to meet a limit, and how many there are."""
    room = AddressRoom()
    return _made(value, room), limits.ALL_ADDRESSES - room.left


def _made(value: bytes, room: AddressRoom) -> bytes:
    limit = min(room.left, limits.ADDRESSES)
    specials = value.translate(None, _WORD)
    if specials == b"@" or (specials[:3] == b"@, " and specials == (b"@, " * (len(specials) // 3 + 1))[:-2]):
        items = value.split(b", ")
        if len(items) == len(specials) // 3 + 1 < limit and len(value) <= limits.QUOTED:
            room.left -= len(items)
            return b'((NIL NIL "%b"))' % b'")(NIL NIL "'.join(items).replace(b"@", b'" "')
    if COMMA not in value and limit > 1:
        address = _usual(value, False)
        if address is not None:
            room.left -= 1
            return b"(%b)" % address
    out = _usual_list(value, limit)
    if out is None:
        out, found = general_list(value, limit)
    else:
        found = len(out)
    room.left -= found
    room.met = room.met or found >= limit
    return b"(%b)" % b"".join(out) if out else NIL


def _usual_list(value: bytes, limit: int) -> list[bytes] | None:
    """Return the structures of a list whose mailboxes all have one of the usual forms, None for any other.

    Gives what `general_list` gives, several times faster.
    """
    hidden = False  # commas in quoted strings
    if DQUOTE in value:
        pieces = value.split(b'"')
        if len(pieces) % 2 == 0 or BACKSLASH in value or _HIDDEN in value:
            return None
        if COMMA in b"".join(pieces[1::2]):
            pieces[1::2] = [piece.replace(b",", _HIDDEN) for piece in pieces[1::2]]
            value = b'"'.join(pieces)
            hidden = True
    items = value.split(b",", limit)
    out: list[bytes] = []
    for item in items[:limit]:
        address = _usual(item.strip(b" \t"), hidden)
        if address is None:
            return None
        out.append(address)
    return out


def _usual(item: bytes, hidden: bool) -> bytes | None:
    """Return the structure of `"phrase" <spec>`, `phrase <spec>`, `<spec>` or `spec`, None for any other."""
    if len(item) > limits.QUOTED:
        return None
    if item[-1:] != b">":
        if item.translate(None, _WORD) != b"@":
            return None
        return b'(NIL NIL "%b")' % item.replace(b"@", b'" "')
    phrase, _, spec = item[:-1].partition(b"<")
    if spec.translate(None, _WORD) != b"@":
        return None
    spec = spec.replace(b"@", b'" "')
    phrase = phrase.rstrip(b" \t")
    if phrase[:1] == b'"':
        if phrase[-1:] != b'"' or len(phrase) < 3:
            return None
        phrase = phrase[1:-1].replace(_HIDDEN, b",") if hidden else phrase[1:-1]
        phrase = phrase.strip(b" \t")
        if not phrase or phrase.translate(None, QUOTABLE):
            return None
    elif phrase.translate(None, _PHRASE):
        return None
    return b'("%b" NIL "%b")' % (phrase, spec) if phrase else b'(NIL NIL "%b")' % spec


def general_list(value: bytes, limit: int) -> tuple[list[bytes], int]:
    """Return the structures of any address list, and how many entries it has."""
    out: list[bytes] = []
    found = 0
    for entry in addresses.parse(value, limit):
        found += 1
        if isinstance(entry, Group):
            out.append(b"(NIL NIL %b NIL)" % string(entry.phrase))
            out += map(_address, entry.members)
            out.append(_END_OF_GROUP)
            found += len(entry.members)
        else:
            out.append(_address(entry))
    return out, found


# address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"
def _address(address: Address) -> bytes:
    """Return one address; a missing domain is "", since NIL would make it a group."""
    return b"(%b %b %b %b)" % (
        nstring(address.phrase or None),
        nstring(address.route or None),
        string(address.local_part),
        string(address.domain),
    )
