"""Masked addresses: one for each site an account gives it to, so that it shows who handed it on (ADR 0029).

``shop-example.k3x9qd@ours`` is an alias of the account; a document (``PutDocument``) of the kind ``masked``
says whom it was given to and which domains have written to it. Who writes first is taken for the site itself,
as many sites leave their mail to others; every other one has the address from it.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

import msgspec

from a3mailer.mail.address import Address
from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import Operation, PutDocument
from a3mailer.store.ports import DocumentReader
from a3mailer.telemetry.metrics import count

KIND: Final = "masked"
MAX_SENDERS: Final = 50
"""Domains that are remembered of one address."""
MAX_SITE: Final = 30
"""Characters of the site's name in the address."""
MARK: Final = 6
"""Characters nobody guesses."""
LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_FORM: Final = re.compile(rf"[a-z0-9-]{{1,{MAX_SITE}}}\.[{LETTERS}]{{{MARK}}}\Z")
_OTHER: Final = re.compile(r"[^a-z0-9]+")


class Sender(msgspec.Struct, frozen=True):
    """A domain that has written to an address."""

    domain: str
    since: int
    proved: bool
    """By DMARC, SPF or DKIM; else it only says so."""


class Masked(msgspec.Struct, frozen=True):
    """What is known of an address."""

    site: str
    created: int
    senders: tuple[Sender, ...] = ()
    disabled: bool = False


_masked: Final = msgspec.json.Decoder(Masked).decode


def has_form(local_part: str) -> bool:
    """May it be one of ours? A short answer for all others."""
    return local_part[-MARK - 1 : -MARK] == "." and _FORM.match(local_part.lower()) is not None


def new_local_part(site: str) -> str:
    """One for a site, which nobody guesses."""
    word = _OTHER.sub("-", site.lower())[:MAX_SITE].strip("-") or "site"
    return f"{word}.{''.join(secrets.choice(LETTERS) for _ in range(MARK))}"


def put(account: AccountId, address: str, masked: Masked) -> PutDocument:
    """Keep what is known."""
    return PutDocument(account, KIND, address, msgspec.json.encode(masked).decode())


async def masked_of(reader: DocumentReader, account: AccountId, address: str) -> Masked | None:
    """What is known of an address of an account; None: it is none of this kind."""
    row = await reader.document(account, KIND, address)
    return None if row is None else _masked(row.value)


async def all_of(reader: DocumentReader, account: AccountId) -> dict[str, Masked]:
    """Those of an account, by address."""
    found: dict[str, Masked] = {}
    after = ""
    while rows := await reader.documents(account, KIND, after=after):
        found |= {row.name: _masked(row.value) for row in rows}
        after = rows[-1].name
    return found


async def noted(
    reader: DocumentReader, account: AccountId, address: Address, sender: Sender
) -> tuple[Operation, ...]:
    """What a mail to an address of ours comes to: nothing, unless a domain writes there that is new."""
    if not sender.domain or not has_form(address.local_part):
        return ()
    name = str(address).lower()
    masked = await masked_of(reader, account, name)
    if masked is None or len(masked.senders) >= MAX_SENDERS:
        return ()
    if any(each.domain == sender.domain and each.proved >= sender.proved for each in masked.senders):
        return ()
    count("a3_masked_senders_total", "other" if _is_leak(masked, sender.domain) else "site")
    known = tuple(each for each in masked.senders if each.domain != sender.domain)
    first = next((each.since for each in masked.senders if each.domain == sender.domain), sender.since)
    senders = tuple(
        sorted((*known, Sender(sender.domain, first, sender.proved)), key=lambda each: each.since)
    )
    return (put(account, name, msgspec.structs.replace(masked, senders=senders)),)


def _is_leak(masked: Masked, domain: str) -> bool:
    return (
        not _same(domain, masked.site)
        and bool(masked.senders)
        and not _same(domain, masked.senders[0].domain)
    )


def _same(one: str, other: str) -> bool:
    """Is one of two domains the other, or below it?"""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def leaks(address: str, masked: Masked) -> tuple[str, ...]:
    """Who has the address from the site it was given to, in words; empty where nobody else writes to it."""
    others = [each for each in masked.senders if _is_leak(masked, each.domain)]
    return tuple(
        f"{masked.site} handed {address} on, or lost it: it was given to {masked.site} on "
        f"{_day(masked.created)}, and since {_day(each.since)} {each.domain} writes to it"
        + ("" if each.proved else " (so it says; that was not proved)")
        for each in others
    )


def _day(moment: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
