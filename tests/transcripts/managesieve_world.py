"""The ManageSieve door over the memory store, with real logins: what every transcript of it talks to."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from a3mailer.access.scripts import Scripts
from a3mailer.config.tree import Sieve
from a3mailer.edge.managesieve.door import ManageSieveDoor
from a3mailer.edge.managesieve.services import Services
from a3mailer.testing.memory_connection import MemoryConnection
from tests.transcripts.imap_world import TRACE, ImapWorld


class ManageSieveWorld(ImapWorld):
    """One worker; ``options`` are those of ``ImapWorld``, ``scripts``, ``size`` and ``octets``."""

    def __init__(self, spool: Path, options: dict[str, str] | None = None) -> None:
        super().__init__(spool, options)
        named = [name for name in ("scripts", "size", "octets") if name in self.options]
        limits = {name: int(self.options[name]) for name in named}
        self.settings = structs.replace(self.settings, sieve=Sieve(**limits))
        self.scripts = Scripts(self.store, self.settings)
        self.managesieve = ManageSieveDoor(
            Services(
                scripts=self.scripts,
                authenticator=self.authenticator,
                settings=self.settings,
                clock=self.clock,
                views=self.views,
                tls=self.services.tls,
            )
        )

    async def serve(self, connection: MemoryConnection) -> None:
        await self.managesieve.serve(connection, TRACE)
