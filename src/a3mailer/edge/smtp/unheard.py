"""The mails of a session whose 250 its client may not have heard, or not yet written down (ADR 0010).

Between our 250 and the moment a client's own queue has recorded it there is a gap; who dies in it sends the
mail again (RFC 1047). A session that ends without QUIT is the sign that this may have happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MOST: Final = 100
"""Mails of a session that are remembered, the last ones."""
SECONDS: Final = 60.0
"""How long ago a mail may have become ours: whoever has not recorded it by then is stuck, not dead."""


class Unheard:
    """One session's; costs nothing before the first mail."""

    __slots__ = ("_clock", "_kept")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: list[tuple[float, bytes]] = []

    def add(self, fingerprint: bytes) -> None:
        """This mail became ours now."""
        self._kept.append((self._clock(), fingerprint))
        del self._kept[:-MOST]

    def take(self) -> tuple[bytes, ...]:
        """The fingerprints to doubt; they are asked for once."""
        kept, self._kept, since = self._kept, [], self._clock() - SECONDS
        return tuple(fingerprint for at, fingerprint in kept if at >= since)
