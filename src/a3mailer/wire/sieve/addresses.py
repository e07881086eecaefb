"""Addresses: parts of those in a mail (RFC 5228 section 2.7.4), those a script sends to (section 2.4.2.3)."""

from __future__ import annotations

from typing import Final, NamedTuple

from a3mailer.mail.address import Address
from a3mailer.mail.message import addresses
from a3mailer.wire.sieve.door import Mail
from a3mailer.wire.sieve.errors import BadCall
from a3mailer.wire.smtp.paths import BadPath, parse_mailbox

SEPARATOR: Final = "vnd.a3.subaddress-separator"
"""The item of the environment."""


class Parts(NamedTuple):
    """An address of a mail in octets. An empty domain: it is no valid one, ``whole`` is all there is."""

    whole: bytes
    local_part: bytes = b""
    domain: bytes = b""
    separator: bytes = b"+"
    """Between user and detail (RFC 5233); empty for none."""


def whole(parts: Parts) -> bytes | None:
    """All of it."""
    return parts.whole


def local_part(parts: Parts) -> bytes | None:
    """None for what is no address; of the null reverse-path the empty string (RFC 5228 section 5.4)."""
    return parts.local_part if parts.domain or not parts.whole else None


def domain(parts: Parts) -> bytes | None:
    """The same of the right side."""
    return parts.domain if parts.domain or not parts.whole else None


def separator_of(mail: Mail) -> bytes:
    """What the server puts between user and detail."""
    found = mail.environment(SEPARATOR)
    return b"+" if found is None else found


def of_field(value: bytes, separator: bytes) -> list[Parts]:
    """The addresses of a field's unfolded value, those of its groups included."""
    return [
        Parts(each.addr_spec.encode(), each.local_part, each.domain, separator)
        for each in addresses.parse_mailboxes(value)
    ]


def of_path(value: bytes, separator: bytes) -> Parts:
    """A path of the envelope, its source route already dropped."""
    local, at, right = value.rpartition(b"@")
    return Parts(value, local, right, separator) if at and local else Parts(value)


def outbound(text: bytes) -> Address:
    """An address to send to. Errors: BadCall.

    sieve-address = addr-spec / phrase "<" addr-spec ">" """
    spec = text.strip()
    if spec.endswith(b">"):
        found = addresses.parse(spec)
        if len(found) != 1 or not isinstance(found[0], addresses.Address) or found[0].route:
            raise BadCall(_wrong(text))
        spec = found[0].addr_spec.encode()
    try:
        if spec.startswith(b"@"):
            raise BadCall(_wrong(text))
        return parse_mailbox(spec)
    except BadPath as error:
        raise BadCall(_wrong(text)) from error


# mailbox-list = mailbox *("," mailbox)
def mailboxes(text: bytes) -> None:
    """Is it a list of mailboxes (RFC 5322 section 3.4)? Errors: BadCall."""
    found = addresses.parse(text)
    try:
        for each in found:
            if not isinstance(each, addresses.Address) or each.route:
                raise BadCall(_wrong(text))
            parse_mailbox(each.addr_spec.encode())
    except BadPath as error:
        raise BadCall(_wrong(text)) from error
    if not found:
        raise BadCall(_wrong(text))


def _wrong(text: bytes) -> str:
    return f"{text[:100].decode('utf-8', 'replace')!r} is no address to send to"
