"""A compression dictionary a tenant, trained on its own mail once there is enough of it.

None is shipped, because a dictionary holds pieces of what it was trained on; for the same reason it is
sealed under the tenant's key, trained anew after mail was erased, and dropped when no content needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import zstandard

from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import TenantId
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.direct import Buffer
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.operations import Operation, PutDictionary
from a3mailer.telemetry.events import emit

SAMPLES: Final = 2_000
"""The newest small mails of a tenant: so many are wanted, and used."""
ENOUGH_OCTETS: Final = 8 << 20
"""... or so many octets of fewer."""
SAMPLE_OCTETS: Final = 16 * 1024
"""The beginning of a mail that is used."""
SIZE: Final = 64 * 1024
LARGEST: Final = 64 * 1024
"""Larger mails gain nothing from a dictionary."""
SLICE: Final = 20
"""Mails read before giving way."""

_DUE: Final = "SELECT tenant FROM tenants WHERE dictionary = 0 OR erased = 1"
_NEWEST: Final = (
    "SELECT b.blob, b.size, min(r.account) FROM blobs b"
    " JOIN blob_refs r ON r.tenant = b.tenant AND r.blob = b.blob"
    " WHERE b.tenant = ? AND b.size BETWEEN 1 AND ? GROUP BY b.blob ORDER BY b.blob DESC LIMIT ?"
)
_LAST: Final = (
    "SELECT max(coalesce((SELECT max(number) FROM dictionaries WHERE tenant = ?1), 0),"
    " coalesce((SELECT dictionary FROM tenants WHERE tenant = ?1), 0))"
)


class Training:
    """One store's. Runs in one worker at a time, on its loop; the training itself on a thread."""

    def __init__(
        self,
        clock: Clock,
        execute: Execute,
        keys: Keys,
        blobs: Blobs,
        commit: Callable[[Operation], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._execute = execute
        self._keys = keys
        self._blobs = blobs
        self._commit = commit

    async def run(self) -> int:
        """Train where it is due; the number of dictionaries made. Errors: those of writing."""
        made = 0
        for (tenant,) in self._execute(_DUE).fetchall():
            made += await self._train(TenantId(tenant))
        return made

    async def _train(self, tenant: TenantId) -> int:
        rows = self._execute(_NEWEST, (tenant, LARGEST, SAMPLES)).fetchall()
        if len(rows) < SAMPLES and sum(size for _, size, _ in rows) < ENOUGH_OCTETS:
            return 0
        samples: list[Buffer] = []
        for number, (blob, _, account) in enumerate(rows):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            try:
                samples.append((await self._blobs.octets(account, blob))[:SAMPLE_OCTETS])
            except MailError:
                continue  # damaged, or gone meanwhile
        try:
            trained = await asyncio.to_thread(zstandard.train_dictionary, SIZE, samples)
        except zstandard.ZstdError as error:  # mails so alike, or so different, that nothing is common
            emit("store.dictionary.failed", level="warning", tenant=tenant, error=str(error))
            return 0
        number = self._execute(_LAST, (tenant,)).fetchone()[0] + 1
        sealed = self._keys.seal_dictionary(trained.as_bytes(), tenant, number)
        await self._commit(PutDictionary(tenant, number, sealed, int(self._clock.now())))
        emit("store.dictionary.trained", tenant=tenant, number=number, mails=len(samples))
        return 1
