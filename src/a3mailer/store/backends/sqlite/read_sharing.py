"""Reading rights on mailboxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from a3mailer.mail.ids import AccountId, MailboxId, TenantId
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.rows import Grant

_GRANTS: Final = "SELECT g.account, g.mailbox, g.identifier, g.rights FROM grants g"
_ORDER: Final = " ORDER BY g.account, g.mailbox, g.identifier"
_LAST: Final = "\U0010ffff"


class ReadSharing:
    """The SharingReader door (``store.ports``)."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._sharing_sql: Execute = connection.execute

    def _grants(self, sql: str, *given: Any) -> tuple[Grant, ...]:
        rows = self._sharing_sql(_GRANTS + sql + _ORDER, given).fetchall()
        return tuple([Grant(AccountId(row[0]), MailboxId(row[1]), row[2], row[3]) for row in rows])

    async def grants(self, account: AccountId) -> tuple[Grant, ...]:
        return self._grants(" WHERE g.account=?", account)

    async def granted(self, tenant: TenantId, identifiers: Sequence[str]) -> tuple[Grant, ...]:
        return self._grants(
            " JOIN accounts a USING (account) WHERE g.identifier IN carray(?) AND a.tenant=?",
            apsw.carray(tuple(identifiers) or ("",)),
            tenant,
        )

    async def grantees(self, tenant: TenantId, prefix: str) -> tuple[str, ...]:
        rows = self._sharing_sql(
            "SELECT DISTINCT g.identifier FROM grants g JOIN accounts a USING (account)"
            " WHERE g.identifier >= ? AND g.identifier < ? AND a.tenant=? ORDER BY g.identifier",
            (prefix, prefix + _LAST, tenant),
        ).fetchall()
        return tuple([row[0] for row in rows])
