"""The POP3 door over the memory store, with real logins: what every POP3 transcript talks to."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from a3mailer.config.tree import Pop3
from a3mailer.edge.imap.door import ImapDoor
from a3mailer.edge.pop3.door import Pop3Door
from a3mailer.edge.pop3.services import Services
from a3mailer.mail.ids import INBOX
from a3mailer.runtime.leases import Leases
from a3mailer.runtime.shared import SharedTable
from a3mailer.store.operations import SetMailbox
from a3mailer.store.ports import Transaction
from a3mailer.testing.memory_connection import MemoryConnection
from tests.transcripts.imap_world import TRACE, ImapWorld

IMAP_FROM = 5
"""Connections from this number on talk to the IMAP door of the same store."""


class Pop3World(ImapWorld):
    """One worker; ``options`` are those of ``ImapWorld``, ``login_delay`` and ``expire``."""

    def __init__(self, spool: Path, options: dict[str, str] | None = None) -> None:
        super().__init__(spool, options)
        self.settings = structs.replace(
            self.settings, pop3=Pop3(login_delay=int(self.options.get("login_delay", 0)))
        )
        self.leases = Leases(spool.parent / f"{spool.name}.leases")
        self.pop3 = Pop3Door(
            Services(
                store=self.store,
                views=self.views,
                authenticator=self.authenticator,
                settings=self.settings,
                clock=self.clock,
                leases=self.leases,
                logins=SharedTable(64, 600.0),
                tls=self.services.tls,
            )
        )
        self.imap: ImapDoor = self.door

    async def fill(self) -> None:
        await super().fill()
        if days := int(self.options.get("expire", 0)):
            operation = SetMailbox(self.accounts["alice"], INBOX, expire_days=days)
            await self.store.commit(Transaction((operation,)))

    def connect(self, number: int) -> MemoryConnection:
        connection = super().connect(number)
        connection.names = tuple(self.options.get("certified", "").split())
        if number < IMAP_FROM:
            connection._local = ("127.0.0.1", 110)
        return connection

    async def serve(self, connection: MemoryConnection) -> None:
        door = self.imap if connection.local[1] == 143 else self.pop3
        await door.serve(connection, TRACE)

    def close(self) -> None:
        self.leases.close()
        super().close()
