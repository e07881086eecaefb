"""The server itself: its metrics, as any of its processes can tell them."""

from __future__ import annotations

from a3mailer.app.verbs.office import Nothing, Office
from a3mailer.identity.roles import require
from a3mailer.store.ports import QueueReader
from a3mailer.telemetry import metrics

QUEUE_STATES = ("waiting", "trying", "held")


async def gauge(store: QueueReader, now: int) -> None:
    """Set what is looked up when somebody asks for the metrics. Errors: TryLater."""
    counts = await store.queue_counts(now)
    for state in QUEUE_STATES:
        metrics.state("a3_queue_entries", state, getattr(counts, state))


async def totals(office: Office, request: Nothing) -> dict[str, object]:
    """Every metric by name and label, with its kind. Errors: TryLater."""
    require(office.subject, "server.status")
    await gauge(office.store, office.now)
    return {"kinds": {m.name: m.kind for m in metrics.METRICS}, "values": metrics.SHARED.totals()}
