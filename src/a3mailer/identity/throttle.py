"""How long a login must wait after wrong ones: by account and network, by account, by network, by all.

The first FREE tries cost nothing, then the wait doubles up to MAX_WAIT; beyond it the try is refused
unseen and counts no more.  A try counts as failed from its begin, so that many at once gain nothing; a
right one takes its count back.  A network from which the account logged in lately is known: there only its
own failures count, so that a stranger cannot lock the owner out.  One process's memory, bounded; times are
monotonic.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from typing import Final

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
MAX_KEYS: Final = 20_000
"""Counts kept a process; the oldest go first."""

_Key = tuple[str, str]
_EVERYBODY: Final[_Key] = ("", "")


class TooManyFailures(Exception):
    """The wait would be longer than MAX_WAIT."""


@dataclass(slots=True)
class _Count:
    failures: float
    at: float

    def now(self, now: float) -> float:
        """The count, fallen with time."""
        return self.failures * math.exp2(-max(0.0, now - self.at) / HALF_LIFE)


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
    """Counts of failures and the networks each account is known from."""

    __slots__ = ("_counts", "_known")

    def __init__(self) -> None:
        self._counts: dict[_Key, _Count] = {}
        self._known: dict[_Key, float] = {}

    def begin(self, login: str, ip: str, now: float) -> float:
        """Count a try and say how many seconds it must wait. Errors: TooManyFailures."""
        wait = 0.0
        keys = self._keys(login, network(ip), now)
        for key, free in keys:
            known = self._counts.get(key)
            count = (known.now(now) if known is not None else 0.0) + 1.0
            if count > free:
                longer = FIRST_WAIT * 2.0 ** min(count - free - 1.0, 16.0)
                wait = max(wait, min(longer, MAX_WAIT_ALL) if key == _EVERYBODY else longer)
        if wait > MAX_WAIT:
            raise TooManyFailures
        for key, _ in keys:
            self._add(key, now)
        return wait

    def succeeded(self, login: str, ip: str, now: float) -> None:
        """The try was right: its counts are taken back, and the network is known from now on."""
        net = network(ip)
        self._counts.pop((login, net), None)
        for key, _ in self._keys(login, net, now)[1:]:
            count = self._counts.get(key)
            if count is not None:
                count.failures, count.at = max(0.0, count.now(now) - 1.0), now
        self._known.pop((login, net), None)
        _bound(self._known)
        self._known[login, net] = now + KNOWN_SECONDS

    def failures(self, login: str, ip: str, now: float) -> float:
        """How many there are for this account from this network."""
        count = self._counts.get((login, network(ip)))
        return count.now(now) if count is not None else 0.0

    def _keys(self, login: str, net: str, now: float) -> tuple[tuple[_Key, int], ...]:
        own = ((login, net), FREE)
        if self._known.get((login, net), 0.0) > now:
            return (own,)
        return own, ((login, ""), FREE_ACCOUNT), (("", net), FREE_NETWORK), (_EVERYBODY, FREE_ALL)

    def _add(self, key: _Key, now: float) -> None:
        count = self._counts.pop(key, None) or _Count(0.0, now)
        count.failures, count.at = count.now(now) + 1.0, now
        _bound(self._counts)
        self._counts[key] = count


def _bound(memory: dict[_Key, _Count] | dict[_Key, float]) -> None:
    while len(memory) >= MAX_KEYS:
        del memory[next(iter(memory))]
