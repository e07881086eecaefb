"""Executing the store's own upkeep: dictionaries, rotation of keys, compaction."""

from __future__ import annotations

from a3mailer.store.backends.sqlite.handover import NOTHING, Work
from a3mailer.store.backends.sqlite.ledger import Ledger
from a3mailer.store.operations import Done, Doubt, PutDictionary, Relocate, RewrapKeys


def doubt(ledger: Ledger, op: Doubt, work: Work) -> Done:
    """Receipts without results."""
    ledger.make_receipts([(fingerprint, NOTHING) for fingerprint in op.fingerprints])
    return Done()


def put_dictionary(ledger: Ledger, op: PutDictionary, work: Work) -> Done:
    """New contents of the tenant use it from now on; ``octets`` are sealed under the tenant's key."""
    ledger.execute(
        "INSERT INTO dictionaries (tenant, number, created, sealed) VALUES (?,?,?,?)",
        (op.tenant, op.number, op.now, op.octets),
    )
    ledger.execute("UPDATE tenants SET dictionary=?, erased=0 WHERE tenant=?", (op.number, op.tenant))
    _drop_unused_dictionaries(ledger, op.tenant)
    ledger.hints.append((0, 0, ledger.commits))
    return Done()


def _drop_unused_dictionaries(ledger: Ledger, tenant: int) -> None:
    """Older ones that no content needs any more: they hold pieces of mail."""
    ledger.flush()
    ledger.forget_dictionaries()
    ledger.execute(
        "DELETE FROM dictionaries WHERE tenant=?1"
        " AND number <> (SELECT dictionary FROM tenants WHERE tenant=?1)"
        " AND number NOT IN (SELECT dictionary FROM blobs WHERE tenant=?1)",
        (tenant,),
    )


def rewrap_keys(ledger: Ledger, op: RewrapKeys, work: Work) -> Done:
    """Keys of accounts and tenants that are gone meanwhile stay gone; new ones are wrapped by this key."""
    ledger.use_key(op.key_id)
    ledger.connection.executemany(
        "UPDATE account_keys SET key_id=?, wrapped=? WHERE account=?",
        [(op.key_id, wrapped, account) for account, wrapped in op.wrapped],
    )
    ledger.connection.executemany(
        "UPDATE tenants SET key_id=?, wrapped=? WHERE tenant=?",
        [(op.key_id, wrapped, tenant) for tenant, wrapped in op.tenants],
    )
    ledger.hints.append((0, 0, ledger.commits))
    return Done()


def relocate(ledger: Ledger, op: Relocate, work: Work) -> Done:
    """A blob that was freed meanwhile is left alone: its copy is garbage of the new segment."""
    ledger.fresh.clear()  # they know where their contents lie
    ledger.flush()
    for tenant, blob, segment, offset in op.moves:
        row = ledger.execute(
            "SELECT segment, length FROM blobs WHERE tenant=? AND blob=?", (tenant, blob)
        ).fetchone()
        if row is None:
            continue
        old, length = row
        ledger.execute(
            "UPDATE blobs SET segment=?, offset=? WHERE tenant=? AND blob=?", (segment, offset, tenant, blob)
        )
        ledger.execute(
            "UPDATE segments SET live = live - ?, records = records - 1 WHERE segment=?", (length, old)
        )
        ledger.grow(segment, length)
    ledger.flush()
    ledger.execute("DELETE FROM segments WHERE records <= 0")
    return Done()
