"""Who was let in on a connection whose every request brings its credentials again (RFC 7617).

The same words on the same connection are the same session as on a door with a login: it stands as long as
``Authenticator.current`` says so, which is asked for every request, and for HOLDS at most, behind which the
words are checked as at first (an expiry of theirs, an address that was renamed).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import Final

from a3mailer.identity.principal import ANONYMOUS, Principal

HOLDS: Final = 30.0
"""Seconds."""
_KEY: Final = os.urandom(32)


@dataclass(slots=True)
class Standing:
    """Of one connection. The words themselves are not kept."""

    _digest: bytes = b""
    _principal: Principal = ANONYMOUS
    _until: float = 0.0

    def known(self, words: str, now: float) -> Principal | None:
        """Whose these words were; ``now`` is monotonic."""
        if now >= self._until or not hmac.compare_digest(self._digest, _digest(words)):
            return None
        return self._principal

    def remember(self, words: str, principal: Principal, now: float) -> None:
        """They let somebody in."""
        self._digest, self._principal, self._until = _digest(words), principal, now + HOLDS

    def forget(self) -> None:
        """They do no more."""
        self._digest, self._principal, self._until = b"", ANONYMOUS, 0.0


def _digest(words: str) -> bytes:
    return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), key=_KEY, digest_size=32).digest()
