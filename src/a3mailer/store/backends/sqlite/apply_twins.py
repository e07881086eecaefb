"""What tells messages of one email in INBOX from each other: the unique-ids of POP3 (RFC 1939 section 7).

A message has a number, 0 at first, that goes with it by COPY and MOVE. One that comes into INBOX where
another of its email has that number already gets its uid there, which no other message ever had.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable
from typing import Final

import apsw

from a3mailer.mail.ids import INBOX
from a3mailer.store.backends.sqlite.ledger import Ledger

_TAKEN: Final = (
    "SELECT m.uid, m.email, m.twin"
    " FROM carray(?1) AS c CROSS JOIN fragments AS f ON f.id = (?2 << 32 | c.value)"
    " CROSS JOIN messages AS m ON m.account = ?2 AND m.mailbox = ?3 AND m.uid = f.uid AND m.copied = 0"
    " WHERE f.mailbox = ?3"
    " UNION ALL SELECT m.uid, m.email, m.twin"
    " FROM carray(?1) AS c CROSS JOIN messages AS m INDEXED BY messages_copied"
    " ON m.account = ?2 AND m.email = c.value AND m.copied = 1 WHERE m.mailbox = ?3"
)


class Twins:
    """The numbers that are taken where messages of these emails are about to come in."""

    def __init__(
        self,
        ledger: Ledger,
        account: int,
        mailbox: int,
        emails: Iterable[int],
        leaving: Container[int] = frozenset(),
    ) -> None:
        """``leaving``: uids in that mailbox that are about to go."""
        self._inbox = mailbox == INBOX
        self._taken: set[tuple[int, int]] = set()
        wanted = sorted(set(emails))
        if self._inbox and wanted:
            ledger.flush()
            rows = ledger.execute(_TAKEN, (apsw.carray(array("q", wanted)), account, INBOX))
            self._taken = {(email, twin) for uid, email, twin in rows if uid not in leaving}

    def enter(self, email: int, twin: int, uid: int) -> int:
        """The number of a message that had ``twin`` and comes in as ``uid``."""
        if not self._inbox:
            return twin
        if (email, twin) in self._taken:
            twin = uid
        self._taken.add((email, twin))
        return twin
