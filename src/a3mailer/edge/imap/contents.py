"""Contents that were read a moment ago, or ahead for a client that takes one message after the other."""

from __future__ import annotations

from typing import Final

from a3mailer.mail.ids import AccountId, MailboxId

Key = tuple[AccountId, MailboxId, int]
"""Account, mailbox and uid."""
KEPT_OCTETS: Final = 4 * 1024 * 1024
"""Octets after which a generation is full; there are two."""
KEPT_SWEEPS: Final = 5
"""Sweeps (one a second) that a generation lasts."""


class Contents:
    """What all sessions of a worker share, by account, mailbox and uid, which never means another message."""

    __slots__ = ("_octets", "_old", "_sweeps", "_young")

    def __init__(self) -> None:
        self._young: dict[Key, bytes] = {}
        self._old: dict[Key, bytes] = {}
        self._octets = 0
        """Of the young ones."""
        self._sweeps = 0

    def find(self, key: Key) -> bytes | None:
        """A content that is still here."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def keep(self, key: Key, octets: bytes) -> None:
        """Remember a content for a while."""
        if self._octets + len(octets) > KEPT_OCTETS:
            self._age()
        self._young[key] = octets
        self._octets += len(octets)

    def sweep(self) -> None:
        """Forget what is old; called once a second."""
        self._sweeps += 1
        if self._sweeps >= KEPT_SWEEPS:
            self._age()

    def _age(self) -> None:
        self._old, self._young = self._young, {}
        self._octets = self._sweeps = 0
