"""Which certificates there should be, and when each is fetched; pure.

A certificate is renewed when two thirds of its life are over, or at a moment of the window its authority
suggests (RFC 9773 section 4.2); the serial number decides which moment, so that restarts change nothing and
the servers of the world do not come all at once. What failed is tried again after a pause that doubles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography import x509

from a3mailer.config.tree import Settings
from a3mailer.ops.acme.jose import base64url
from a3mailer.ops.certificates import ACME, Kept
from a3mailer.ops.pkix import Chain, covers

RENEW_AT: Final = 2 / 3
"""Of a certificate's life."""
SPREAD: Final = 0.02
"""Of its life: how much earlier, at most."""
BACKOFF: Final = 300.0
"""Seconds after the first failure; doubled with each further one ..."""
BACKOFF_MOST: Final = 86_400.0
"""... up to this."""
EXPIRING: Final = 1 / 6
"""Of its life: what is left when a warning is due, a week at least ..."""
EXPIRING_LEAST: Final = 7 * 86_400.0
"""... unless the certificate is for less than twice that."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One certificate there should be."""

    name: str
    """What it is kept under."""
    names: tuple[str, ...]
    host: bool = False
    """Of the server itself, all whose names are needed; of a domain's only those the DNS knows."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one certificate between two looks. Times are seconds since the epoch."""

    at: float = 0.0
    """When it was last tried."""
    failures: int = 0
    not_before: float = 0.0
    error: str = ""
    advised: float = 0.0
    """When the authority would have it renewed; 0: it has not said."""
    ask_again: float = 0.0
    """When it is asked for that again."""
    directory: str = ""
    """Of the authority the certificate is from."""


def wishes(settings: Settings, domains: Iterable[str]) -> tuple[Wish, ...]:
    """The host's, then those of the domains; names that the host's has are in no other."""
    host = settings.server.hostname.lower()
    mine = tuple(dict.fromkeys((host, *(name.lower() for name in settings.acme.names))))
    found = [Wish(host, mine, host=True)]
    for domain in domains:
        names = [f"{prefix.lower()}.{domain}" for prefix in settings.acme.domain_names]
        if left := tuple(name for name in dict.fromkeys(names) if name not in mine):
            found.append(Wish(left[0], left))
    return tuple(found)


def renew_at(chain: Chain, trial: Trial) -> float:
    """When a certificate is renewed."""
    if trial.advised:
        return trial.advised
    life = chain.ends - chain.begins
    return chain.begins + life * (RENEW_AT - SPREAD * _share(chain))


def within(start: float, end: float, chain: Chain) -> float:
    """The moment of a suggested window that is this certificate's."""
    return start + max(0.0, end - start) * _share(chain)


def _share(chain: Chain) -> float:
    return chain.leaf.serial_number % 9973 / 9973


def is_due(wish: Wish, kept: Sequence[Kept], trial: Trial, now: float) -> bool:
    """Is it to be fetched now? Not where certificates that were put here by hand do as well."""
    if now < trial.not_before:
        return False
    by_hand = [each for each in kept if each.source != ACME and not each.self_signed]
    if all(any(_is_good(each, name, now) for each in by_hand) for name in wish.names):
        return False
    own = [each for each in kept if each.source == ACME and each.name == wish.name]
    fitting = [each for each in own if all(covers(each.chain.names, name) for name in wish.names)]
    return not any(now < min(renew_at(each.chain, trial), each.chain.ends) for each in fitting)


def _is_good(kept: Kept, name: str, now: float) -> bool:
    good = kept.chain.begins <= now < kept.chain.ends - warning_seconds(kept.chain)
    return good and covers(kept.chain.names, name)


def failed(trial: Trial, error: str, now: float, retry_after: float, draw: float) -> Trial:
    """After a failure; ``draw`` is from 0 to 1 and spreads the next one."""
    pause = min(BACKOFF * 2.0 ** min(trial.failures, 20), BACKOFF_MOST) * (0.9 + 0.2 * draw)
    after, again = trial.failures + 1, now + max(pause, retry_after)
    return msgspec.structs.replace(trial, at=now, failures=after, not_before=again, error=error)


def warning_seconds(chain: Chain) -> float:
    """How long before its end a certificate that was not renewed is worth a warning."""
    life = chain.ends - chain.begins
    return max(life * EXPIRING, min(EXPIRING_LEAST, life / 2))


def renewal_id(leaf: x509.Certificate) -> str:
    """What renewal information is asked by (RFC 9773 section 4.1); empty: the certificate has no such."""
    try:
        key = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return ""
    number = leaf.serial_number
    serial = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return f"{base64url(key)}.{base64url(serial)}" if key else ""
