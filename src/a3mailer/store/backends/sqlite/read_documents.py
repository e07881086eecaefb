"""Reading documents."""

from __future__ import annotations

from typing import Any, Final

import apsw

from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.ids import AccountId
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.rows import SEALED_KINDS, Document
from a3mailer.telemetry.events import emit

_ROWS: Final = (
    "SELECT account, kind, name, value, due, expires, created FROM documents"
    " WHERE NOT (0 < expires AND expires <= ?)"
)
_LAST: Final = "\U0010ffff"
"""No name with a prefix comes after the prefix and this."""


class ReadDocuments:
    """The DocumentReader door (``store.ports``)."""

    def __init__(self, connection: apsw.Connection, clock: Clock, keys: Keys) -> None:
        self._document_keys = keys
        self._document_sql: Execute = connection.execute
        self._document_clock = clock

    def _rows(self, sql: str, *given: object) -> tuple[Document, ...]:
        rows: list[tuple[Any, ...]] = self._document_sql(sql, (self._document_clock.now(), *given)).fetchall()
        if any(row[1] in SEALED_KINDS for row in rows[:1]):  # those of one answer are of one kind
            rows = [(*row[:3], value, *row[4:]) for row in rows if (value := self._opened(row)) is not None]
        return tuple([Document(AccountId(row[0]), *row[1:]) for row in rows])

    def _opened(self, row: tuple[Any, ...]) -> str | None:
        """The value of a sealed one; None where it does not open: it is as if it were not there."""
        try:
            return self._document_keys.open_document(*row[:4])
        except DamagedContent as error:
            emit("store.document_damaged", level="error", account=row[0], kind=row[1], error=str(error))
            return None

    async def document(self, account: AccountId, kind: str, name: str) -> Document | None:
        found = self._rows(_ROWS + " AND account=? AND kind=? AND name=?", account, kind, name)
        return found[0] if found else None

    async def documents(
        self, account: AccountId, kind: str, prefix: str = "", limit: int = 1000, after: str = ""
    ) -> tuple[Document, ...]:
        sql = _ROWS + (
            " AND account=? AND kind=? AND name > ? AND name >= ? AND name < ? ORDER BY name LIMIT ?"
        )
        return self._rows(sql, account, kind, after, prefix, prefix + _LAST, limit)

    async def documents_due(self, kind: str, until: int, limit: int = 100) -> tuple[Document, ...]:
        sql = _ROWS + " AND kind=? AND due > 0 AND due <= ? ORDER BY due, account, name LIMIT ?"
        return self._rows(sql, kind, until, limit)
