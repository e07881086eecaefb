"""May a mail be answered by a program (RFC 5230 sections 4.5 and 4.6, RFC 3834 section 2)?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from a3mailer.mail.authresults import FAIL
from a3mailer.mail.message.addresses import Address, parse_mailboxes
from a3mailer.msgauth.fields import read
from a3mailer.runtime.reach import is_public_domain
from a3mailer.transfer.filtering.letters import first
from a3mailer.transfer.filtering.mail import Delivery
from a3mailer.transfer.forwarding.sealing import found_here
from a3mailer.wire.sieve.door import Field

NEVER: Final = frozenset(
    {
        *("mailer-daemon", "listserv", "majordomo", "mailman", "listproc", "nobody", "noreply", "no-reply"),
        *("donotreply", "do-not-reply", "bounce", "bounces"),
    }
)
"""Local parts of addresses where nobody reads."""
NEVER_BEGINS: Final = ("owner-", "bounce-", "bounces-", "srs0=", "srs1=", "prvs=")
NEVER_ENDS: Final = ("-request", "-owner", "-bounces", "-bounce", "-relay")
LISTS: Final = frozenset(
    b"list-id list-help list-subscribe list-unsubscribe list-post list-owner list-archive".split()
)
BULK: Final = frozenset((b"bulk", b"list", b"junk"))
SUPPRESSED: Final = frozenset((b"all", b"oof", b"autoreply"))
"""What programs of Microsoft write where no answer of this kind is wanted."""
RECIPIENTS: Final = frozenset(b"to cc bcc resent-to resent-cc resent-bcc".split())
_HEADER: Final = 65_536
"""Octets of a header in which our own results are looked for."""


def is_automatic(fields: Sequence[Field]) -> bool:
    """Does a mail say that a program has sent it (RFC 3834 section 5)?"""
    said = first(fields, b"auto-submitted").partition(b";")[0].strip().lower()
    return said not in (b"", b"no")


def why_not(mail: Delivery, fields: Sequence[Field], own: Collection[str], hostname: str) -> str:
    """Why an answer is not sent; empty where it may be. ``own``: the addresses of the account, lower case."""
    sender = mail.reverse_path.address
    if sender is None:
        return "the null reverse-path"
    local = sender.local_part.lower()
    if local in NEVER or local.startswith(NEVER_BEGINS) or local.endswith(NEVER_ENDS):
        return "nobody reads at that address"
    if str(sender).lower() in own:
        return "it is one's own mail"
    if not is_public_domain(sender.domain):
        return "an address that cannot be answered"
    if mail.junk:
        return "junk"
    if is_automatic(fields):
        return "a program has sent it"
    if any(field.name in LISTS for field in fields) or first(fields, b"precedence").lower() in BULK:
        return "a mailing list"
    if _is_suppressed(fields):
        return "its sender wants no answers of programs"
    if not _is_addressed(fields, own):
        return "it is not addressed to the account"
    return "the sender is forged" if is_forged(mail, hostname) else ""


def is_forged(mail: Delivery, hostname: str) -> bool:
    """Have we seen ourselves that it is not from where it says?"""
    found = found_here(read(bytes(mail.octets[:_HEADER])), hostname)
    return found is not None and any(each.result == FAIL for m in ("spf", "dmarc") for each in found.of(m))


# X-Auto-Response-Suppress = "None" / "All" / 1#("DR" / "RN" / "NRN" / "OOF" / "AutoReply")   (MS-OXCMAIL)
def _is_suppressed(fields: Sequence[Field]) -> bool:
    said = first(fields, b"x-auto-response-suppress").lower().split(b",")
    return not SUPPRESSED.isdisjoint(each.strip() for each in said)


def _is_addressed(fields: Sequence[Field], own: Collection[str]) -> bool:
    return any(each.addr_spec.lower() in own for each in recipients(fields))


def recipients(fields: Sequence[Field]) -> Iterator[Address]:
    """To whom a mail says that it is."""
    for field in fields:
        if field.name in RECIPIENTS:
            yield from parse_mailboxes(field.value)
