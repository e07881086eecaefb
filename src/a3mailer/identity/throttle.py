"""How long a login must wait after wrong ones: by account and network, by account, by network, by all.

The first FREE tries cost nothing, then the wait doubles up to MAX_WAIT; beyond it the try is refused
unseen and counts no more.  A try counts as failed from its begin, so that many at once gain nothing; a
right one takes its count back.  A network from which the account logged in lately is known: there only its
own failures count, so that a stranger cannot lock the owner out.  All workers count in the same
memory, which is bounded and forgotten at a restart; times are monotonic.
"""

from __future__ import annotations

import ipaddress
import math
from functools import lru_cache
from typing import Final

from a3mailer.runtime.shared import SharedTable

FREE: Final = 5
"""Failures without a wait, of one account from one network."""
FREE_ACCOUNT: Final = 10
"""... of one account from everywhere."""
FREE_NETWORK: Final = 20
"""... of one network on every account."""
FREE_ALL: Final = 2000
"""... of everybody."""
FIRST_WAIT: Final = 0.5
MAX_WAIT: Final = 30.0
"""Seconds; a longer wait is a refusal."""
MAX_WAIT_ALL: Final = 5.0
"""What failures of everybody together can ask for: no refusal, or one attacker would shut all others out."""
HALF_LIFE: Final = 1800.0
"""Seconds in which a count falls to half."""
KNOWN_SECONDS: Final = 30 * 86400.0
MAX_KEYS: Final = 32_768
"""Counts kept, and as many known networks; the least of them go first."""
RENEWED_SECONDS: Final = HALF_LIFE
"""A network that was known for no longer than this is not written down anew: most logins change nothing."""

REMEMBERED: Final = 1024
"""Addresses whose networks are kept."""

_EVERYBODY: Final = "\0"


class TooManyFailures(Exception):
    """The wait would be longer than MAX_WAIT."""


@lru_cache(REMEMBERED)
def network(ip: str) -> str:
    """The block an address is counted under: itself for IPv4, the /64 for IPv6."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


class Throttle:
    """Counts of failures and the networks each account is known from; made before the workers are forked."""

    __slots__ = ("_counts", "_known")

    def __init__(self, keys: int = MAX_KEYS) -> None:
        self._counts = SharedTable(keys, HALF_LIFE)
        self._known = SharedTable(keys, HALF_LIFE)

    def begin(self, login: str, ip: str, now: float) -> float:
        """Count a try and say how many seconds it must wait. Errors: TooManyFailures."""
        wait = 0.0
        with self._counts.locked():
            counts = [(k, free, self._count(k, now) + 1.0) for k, free in self._keys(login, network(ip), now)]
            for key, free, count in counts:
                if count > free:
                    longer = FIRST_WAIT * 2.0 ** min(count - free - 1.0, 16.0)
                    wait = max(wait, min(longer, MAX_WAIT_ALL) if key == _EVERYBODY else longer)
            if wait > MAX_WAIT:
                raise TooManyFailures
            for key, _, count in counts:
                self._counts.put(key, count, now)
        return wait

    def succeeded(self, login: str, ip: str, now: float) -> None:
        """The try was right: its counts are taken back, and the network is known from now on."""
        net = network(ip)
        own = f"{login}\0{net}"
        known = self._known.get(own)
        left = known[0] - now if known is not None else 0.0
        if left <= 0 or self._counts.get(own) is not None:
            with self._counts.locked():
                self._counts.remove(own)
                for key, _ in self._keys(login, net, now)[1:]:
                    self._counts.put(key, max(0.0, self._count(key, now) - 1.0), now)
        if left < KNOWN_SECONDS - RENEWED_SECONDS:
            with self._known.locked():
                self._known.put(own, now + KNOWN_SECONDS, now)

    def failures(self, login: str, ip: str, now: float) -> float:
        """How many there are for this account from this network."""
        return self._count(f"{login}\0{network(ip)}", now)

    def _count(self, key: str, now: float) -> float:
        """The count, fallen with time."""
        found = self._counts.get(key)
        return found[0] * math.exp2(-max(0.0, now - found[1]) / HALF_LIFE) if found is not None else 0.0

    def _keys(self, login: str, net: str, now: float) -> tuple[tuple[str, int], ...]:
        own = (f"{login}\0{net}", FREE)
        known = self._known.get(own[0])
        if known is not None and known[0] > now:
            return (own,)
        return own, (f"{login}\0", FREE_ACCOUNT), (f"\0{net}", FREE_NETWORK), (_EVERYBODY, FREE_ALL)
