"""VERP: a reverse-path of its own for each recipient, so that whatever comes back says who it is about.

Lists and applications send with ``BOUNCE=HASH=DAY=STREAM=domain=local-part@ours``: the bounce to it
names the recipient whatever the server there writes into it. STREAM says whom of ours it is for. HASH is an
HMAC under the keys of ``srs.py`` and covers our domain too, so nobody else makes bounces of mail that we have
not sent; DAY ends each address after some weeks. D. J. Bernstein described the idea in 1997. Pure.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.address import Address
from a3mailer.transfer.forwarding.srs import MAX_LOCAL_PART, MAX_PATH, is_fresh, mark, marked, stamp

TAG: Final = "BOUNCE="
KIND: Final = "verp"
MAX_STREAM: Final = 40
_STREAM: Final = frozenset(string.ascii_lowercase + string.digits + "-._")


class BadVerp(ValueError):
    """An address in our form that we have not made, or not lately; a stream with odd characters."""


@dataclass(frozen=True, slots=True)
class Verp:
    """The addresses that bounces come to."""

    secrets: tuple[bytes, ...]
    """The first makes hashes; any is good for checking one."""
    tag: str = TAG
    """What the local part begins with, in capitals."""
    kind: str = KIND
    """Keeps addresses with other tags apart (``srs.mark``)."""

    def holds(self, address: Address) -> bool:
        """Is a local part of this form, right or wrong?"""
        return address.local_part[: len(self.tag)].upper() == self.tag

    # verp = "BOUNCE=" hash "=" day "=" stream "=" domain "=" local-part
    def encode(self, stream: str, recipient: Address, domain: str, now: float) -> Address | None:
        """The reverse-path at ``domain``, one of ours; None when it would be too long. Errors: BadVerp."""
        if not 0 < len(stream) <= MAX_STREAM or not _STREAM.issuperset(stream):
            raise BadVerp(f"{stream!r} is no name of a stream")
        body = f"{stamp(now)}={stream}={recipient.domain}={recipient.local_part}"
        local_part = f"{self.tag}{mark(self.secrets[0], self.kind, domain, body)}={body}"
        octets = len(local_part.encode("utf-8", "replace"))
        if octets > MAX_LOCAL_PART or octets + 1 + len(domain) > MAX_PATH:
            return None
        return Address(local_part, domain)

    def decode(self, address: Address, now: float) -> tuple[str, Address]:
        """(stream, recipient) of the mail that came back. Errors: BadVerp."""
        if not self.holds(address):
            raise BadVerp("no address of this form")
        given, _, body = address.local_part[len(self.tag) :].partition("=")
        if not marked(given, self.secrets, self.kind, address.domain, body):
            raise BadVerp("not one of ours")
        day, _, rest = body.partition("=")
        stream, _, origin = rest.partition("=")
        domain, _, local_part = origin.partition("=")
        if not is_fresh(day.upper(), now):
            raise BadVerp("too old")
        return stream.lower(), Address(local_part, domain.lower().replace("[ipv6:", "[IPv6:"))
