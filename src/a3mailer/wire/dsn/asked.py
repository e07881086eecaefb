"""What a mail says of notifications about it (RFC 8098 section 2), and what its author is told of by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.mail.message import headers
from a3mailer.mail.message.addresses import parse_mailboxes

MAX_HEADER: Final = 1 << 18
"""Octets of a header that are looked at."""
MAX_ADDRESSES: Final = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """Read of the header of a mail."""

    recipients: tuple[str, ...]
    """Who asks: the addresses of Disposition-Notification-To, unlike each other; empty: nobody does."""
    return_path: str
    requires: bool
    """Something is required that is not known here: then no notification is made (section 2.2)."""
    automatic: bool
    """A program may answer without asking its user (section 2.1): one address asks, the mail came from it."""
    original_recipient: str
    """As the sender wrote it, ``addr-type; address`` (section 2.3)."""
    message_id: str
    """With its brackets."""
    references: str
    """Those of an answer."""
    notification: bool
    """It is one itself: it is not answered by one (section 3)."""


# mdn-request-header = "Disposition-Notification-To" ":" mailbox-list CRLF
# Disposition-Notification-Options = "Disposition-Notification-Options" ":" parameter *( ";" parameter )
#     parameter = attribute "=" importance "," value *( "," value )     ; importance = "required" / "optional"
def asked(octets: bytes) -> Asked:
    """What a mail says; nothing is too broken for it."""
    end = min(headers.header_end(octets, 0, len(octets)), MAX_HEADER)
    found: dict[bytes, list[bytes]] = {}
    for name, start, stop in headers.fields(octets, 0, end):
        found.setdefault(name, []).append(headers.unfold(octets[start:stop]))

    def first(name: bytes) -> bytes:
        return found.get(name, [b""])[0]

    addresses = _addresses(b", ".join(found.get(b"disposition-notification-to", [])))
    path = "".join(_addresses(first(b"return-path"))[:1])
    options = first(b"disposition-notification-options").lower().split(b";")
    required = any(each.partition(b"=")[2].partition(b",")[0].strip() == b"required" for each in options)
    kind = first(b"content-type").lower()
    ident = _text(first(b"message-id"))
    before = first(b"references") or first(b"in-reply-to")
    words = [_text(word) for word in before.split()[-20:] if word[:1] == b"<" and word[-1:] == b">"]
    return Asked(
        addresses,
        path,
        required,
        len(addresses) == 1 and _same(addresses[0], path),
        _text(first(b"original-recipient")),
        ident,
        " ".join((*words, ident)).strip(),
        kind.startswith(b"multipart/report") and b"disposition-notification" in kind,
    )


def _addresses(value: bytes) -> tuple[str, ...]:
    found = {
        each.addr_spec: None
        for each in parse_mailboxes(value)[:MAX_ADDRESSES]
        if each.local_part and each.domain
    }
    return tuple(found)


def _same(one: str, other: str) -> bool:
    """Domains are compared without case, local parts with it (RFC 8098 section 2.1)."""
    (local, _, domain), (other_local, _, other_domain) = one.rpartition("@"), other.rpartition("@")
    return (local, domain.lower()) == (other_local, other_domain.lower())


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
