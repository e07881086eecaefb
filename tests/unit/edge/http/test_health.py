"""The private HTTP listener: truth, not decoration."""

from __future__ import annotations

import asyncio

from a3mailer.edge.http.door import HEAD_SECONDS, HttpDoor
from a3mailer.edge.http.health import Health
from a3mailer.edge.http.routes import Routes
from a3mailer.telemetry import metrics
from a3mailer.testing.memory_connection import Stage
from a3mailer.wire.http.engine import MAX_HEAD


async def ask(request: bytes, reason: str = "") -> bytes:
    async def ready() -> str:
        return reason

    async def gauge() -> None:
        metrics.state("a3_queue_entries", "held", 7)

    async with Stage(
        lambda connection: HttpDoor(Routes(Health(ready, gauge).routes())).serve(connection, "")
    ) as stage:
        session = stage.open(1)
        await session.greeting()
        return await session.feed(request)


async def test_ready_says_why_not() -> None:
    assert (await ask(b"GET /healthz/ready HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")
    answer = await ask(
        b"GET /healthz/ready HTTP/1.1\r\nHost: x\r\n\r\n", "the store's writer does not answer"
    )
    assert answer.startswith(b"HTTP/1.1 503") and answer.endswith(b"the store's writer does not answer\n")


async def test_metrics_count_what_was_counted() -> None:
    before = metrics.SHARED.total("a3_deliveries_total")
    metrics.count("a3_deliveries_total", by=3)
    metrics.observe("a3_store_commit_seconds", 0.003)
    text = (await ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")).decode()
    assert f"a3_deliveries_total {before + 3:.17g}\n" in text
    assert 'a3_store_commit_seconds_bucket{le="0.005"}' in text


async def test_a_gauge_of_all_is_set_when_it_is_asked_for_whoever_is_asked() -> None:
    metrics.state("a3_queue_entries", "held", 99)
    metrics.SHARED.take_row(5)
    text = (await ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")).decode()
    metrics.SHARED.take_row(0)
    assert 'a3_queue_entries{state="held"} 7\n' in text


async def test_bad_requests_are_refused() -> None:
    assert (await ask(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert (await ask(b"GET /" + b"x" * (MAX_HEAD + 1) + b" HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 431")
    assert (await ask(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")).startswith(
        b"HTTP/1.1 405"
    )
    assert (await ask(b"GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 404")


async def test_a_request_that_drips_in_has_one_deadline() -> None:
    """Attack row 11: the private listener, too, waits for a whole request, not for the next octet."""

    async def ready() -> str:
        return ""

    async def gauge() -> None:
        return None

    async with Stage(
        lambda connection: HttpDoor(Routes(Health(ready, gauge).routes())).serve(connection, "")
    ) as stage:
        session = stage.open(1)
        await session.greeting()
        begun = session.connection.deadline
        assert 0 < begun <= asyncio.get_running_loop().time() + HEAD_SECONDS
        for octet in b"GET /healthz/live HTTP/1.1\r\nHost: x\r\n\r":
            assert not await session.feed(bytes([octet]))
            assert session.connection.deadline == begun
        assert (await session.feed(b"\n")).endswith(b"live\n")
        assert session.connection.deadline > begun
