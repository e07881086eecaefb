"""What a submission server does to a mail, and to nobody else's (RFC 6409 sections 6 and 8).

Missing Date and Message-ID are added, Bcc is removed, and every author field must name an address of the
account (attack row 7). The other octets stay as they are.
"""

from __future__ import annotations

import secrets
from typing import Final

from a3mailer.identity.directory import Directory
from a3mailer.mail.address import Address
from a3mailer.mail.errors import NotAllowed
from a3mailer.mail.ids import AccountId
from a3mailer.mail.message import addresses, headers
from a3mailer.transfer.fields import names_of, without

AUTHORS: Final = frozenset((b"from", b"sender", b"resent-from", b"resent-sender"))
"""Fields that say who a mail is from (RFC 5322 sections 3.6.2 and 3.6.6)."""
HIDDEN: Final = frozenset((b"bcc", b"resent-bcc"))
AUTHORS_LOOKED_AT: Final = 100
"""Author addresses one mail may name; more are refused."""


def author_fields(header: bytes) -> list[bytes]:
    """The unfolded values of all author fields.

    A bare CR ends a line here although it ends none on the wire: whoever reads it so must not see another
    author than we did."""
    block = header.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found = []
    for line in block.replace(b"\n ", b" ").replace(b"\n\t", b"\t").split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and name.strip(b" \t").lower() in AUTHORS:
            found.append(value)
    return found


async def check_authors(header: bytes, account: AccountId, directory: Directory) -> None:
    """Errors: NotAllowed unless every address in every author field is the account's own."""
    looked_at = 0
    for value in author_fields(header):
        named = False
        for author in addresses.mailboxes(addresses.parse(headers.unfold(value))):
            named, looked_at = True, looked_at + 1
            if looked_at > AUTHORS_LOOKED_AT:
                raise NotAllowed("too many author addresses")
            if not await directory.owns(account, _address(author)):
                raise NotAllowed("an author address is not yours")
        if not named:
            raise NotAllowed("an author field names no address")


def _address(author: addresses.Address) -> Address:
    """The address as ``owns`` compares it; octets that are no UTF-8 own nothing."""
    local_part = author.local_part.decode("utf-8", "replace")
    return Address(local_part, author.domain.decode("utf-8", "replace").lower())


def completed(header: bytes, hostname: str, date: str) -> tuple[bytes, bytes]:
    """(fields to put on top, the header without Bcc): the same object where nothing is removed."""
    names = names_of(header)
    added = b""
    if b"date" not in names:
        added += f"Date: {date}\r\n".encode()
    if b"message-id" not in names:
        added += f"Message-ID: <{secrets.token_hex(16)}@{hostname}>\r\n".encode()
    return added, header if names.isdisjoint(HIDDEN) else without(header, HIDDEN)
