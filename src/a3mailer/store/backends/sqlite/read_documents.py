"""Reading documents."""

from __future__ import annotations

from typing import Any, Final

import apsw

from a3mailer.mail.ids import AccountId
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.rows import Document

_ROWS: Final = (
    "SELECT account, kind, name, value, due, expires, created FROM documents"
    " WHERE NOT (0 < expires AND expires <= ?)"
)
_LAST: Final = "\U0010ffff"
"""No name with a prefix comes after the prefix and this."""


class ReadDocuments:
    """The DocumentReader door (``store.ports``)."""

    def __init__(self, connection: apsw.Connection, clock: Clock) -> None:
        self._document_sql: Execute = connection.execute
        self._document_clock = clock

    def _rows(self, sql: str, *given: object) -> tuple[Document, ...]:
        rows: list[tuple[Any, ...]] = self._document_sql(sql, (self._document_clock.now(), *given)).fetchall()
        return tuple([Document(AccountId(row[0]), *row[1:]) for row in rows])

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
