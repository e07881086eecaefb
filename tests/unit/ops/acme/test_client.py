"""The conversation with servers that are not as pebble is: broken, slow, hostile, or newer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import pytest

from a3mailer.ops.acme.client import NONCE_TRIES, PATIENCE, POLL_MOST, AcmeClient
from a3mailer.ops.acme.documents import PROBLEM, AcmeFailure, Order, retry_after
from a3mailer.ops.acme.jose import AccountKey
from a3mailer.runtime.http import HttpAnswer, HttpFailure
from a3mailer.testing.clock import FakeClock

BASE = "https://acme.test"
DIRECTORY = {"newNonce": f"{BASE}/nonce", "newAccount": f"{BASE}/account", "newOrder": f"{BASE}/order",
             "renewalInfo": f"{BASE}/renewal"}  # fmt: skip


def answer(
    status: int = 200, document: object = None, *fields: tuple[str, str], nonce: str = "n"
) -> HttpAnswer:
    known = (*fields, *([("replay-nonce", nonce)] if nonce else []))
    return HttpAnswer(status, "application/json", json.dumps(document).encode(), known)


def problem(kind: str, status: int = 400, *fields: tuple[str, str], **more: object) -> HttpAnswer:
    return answer(status, {"type": f"{PROBLEM}{kind}", "detail": f"{kind}!", **more}, *fields)


Say = HttpAnswer | HttpFailure | Callable[[], HttpAnswer]


class Server:
    """Says what it was told to, by URL; the last answer repeats."""

    def __init__(self) -> None:
        self.says: dict[str, list[Say]] = {}
        self.asked: list[str] = []
        self.clock = FakeClock()
        self.pauses: list[float] = []
        self.put("/dir", answer(200, DIRECTORY))
        self.put("/nonce", answer(204))
        self.put("/account", answer(201, {"status": "valid"}, ("location", f"{BASE}/a/1")))

    def put(self, path: str, *says: Say) -> None:
        self.says[BASE + path] = list(says)

    async def get(self, url: str, **_: object) -> HttpAnswer:
        self.asked.append(url.removeprefix(BASE))
        says = self.says[url]
        said = says.pop(0) if len(says) > 1 else says[0]
        if isinstance(said, HttpFailure):
            raise said
        return said if isinstance(said, HttpAnswer) else said()

    async def post(self, url: str, body: bytes, media: str, **_: object) -> HttpAnswer:
        assert media == "application/jose+json"
        json.loads(body)
        return await self.get(url)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    async def client(self) -> AcmeClient:
        client = AcmeClient(self, f"{BASE}/dir", AccountKey.generate(), self.clock, self.pause)
        await client.begin()
        await client.register((), agreed=True, eab=None)
        return client


@pytest.fixture
def server() -> Server:
    return Server()


async def kind_of(server: Server, path: str, *says: Say) -> str:
    client = await server.client()
    server.put(path, *says)
    with pytest.raises(AcmeFailure) as caught:
        await client.order(("a.test",))
    return caught.value.kind


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (problem("rateLimited", 429), "rateLimited"),
        (answer(500, nonce=""), "serverInternal"),
        (answer(301, {}, ("location", "https://elsewhere.test/")), "nonsense"),
        (answer(201, {"status": "pending"}, ("location", f"{BASE}/o/1")), "nonsense"),
        (answer(201, {"status": "pending", "finalize": "x", "authorizations": []}), "nonsense"),
        (answer(201, ["?"], ("location", "x")), "nonsense"),
        (HttpAnswer(200, "", b"\xff\xfe" * 10), "nonsense"),
        (HttpAnswer(200, "", b"[" * 100_000, (("location", "x"),)), "nonsense"),
        (HttpFailure("timeout", "slow"), "timeout"),
        (problem("badNonce"), "badNonce"),
    ],
)
async def test_what_a_server_may_do_wrong(server: Server, says: Say, kind: str) -> None:
    assert await kind_of(server, "/order", says) == kind


async def test_a_refused_nonce_is_tried_again_only_so_often(server: Server) -> None:
    assert await kind_of(server, "/order", problem("badNonce")) == "badNonce"
    assert server.asked.count("/order") == NONCE_TRIES


async def test_no_nonce_at_all(server: Server) -> None:
    server.put("/dir", answer(200, DIRECTORY, nonce=""))
    server.put("/nonce", answer(204, nonce=""))
    with pytest.raises(AcmeFailure, match="no nonce"):
        await server.client()


@pytest.mark.parametrize("status", ["deactivated", "revoked", ""])
async def test_an_account_that_is_no_more(server: Server, status: str) -> None:
    server.put("/account", answer(200, {"status": status}, ("location", f"{BASE}/a/1")))
    with pytest.raises(AcmeFailure, match="the account is"):
        await server.client()


async def test_an_account_without_url(server: Server) -> None:
    server.put("/account", answer(200, {"status": "valid"}))
    with pytest.raises(AcmeFailure, match="no URL"):
        await server.client()


async def test_the_server_says_when_to_come_back(server: Server) -> None:
    client = await server.client()
    server.put("/order", problem("rateLimited", 429, ("retry-after", "3600")))
    with pytest.raises(AcmeFailure) as caught:
        await client.order(("a.test",))
    assert caught.value.retry_after == 3600


def looks(*statuses: str, field: str = "") -> Iterable[HttpAnswer]:
    fields = (("retry-after", field),) if field else ()
    for status in statuses:
        yield answer(200, {"status": status, "identifier": {"type": "dns", "value": "a.test"}}, *fields)


async def test_looks_come_slower_and_obey_retry_after_within_reason(server: Server) -> None:
    client = await server.client()
    server.put("/authz", *looks("pending", "pending"), *looks("pending", field="7"),
               *looks("pending", field="86400"), *looks("valid"))  # fmt: skip
    await client.authorized(f"{BASE}/authz")
    assert server.pauses[2:] == [7.0, POLL_MOST] and server.pauses[0] < server.pauses[1]


async def test_patience_ends(server: Server) -> None:
    client = await server.client()
    server.put("/authz", *looks("pending"))
    with pytest.raises(AcmeFailure, match="still pending"):
        await client.authorized(f"{BASE}/authz")
    assert PATIENCE <= sum(server.pauses) <= PATIENCE + POLL_MOST


async def test_an_order_that_fails_at_the_end(server: Server) -> None:
    client = await server.client()
    forbidden = {
        "type": f"{PROBLEM}caa",
        "detail": "CAA forbids",
        "identifier": {"type": "dns", "value": "a.test"},
    }
    told = {"type": f"{PROBLEM}caa", "detail": "no", "subproblems": [forbidden]}
    made = {"finalize": f"{BASE}/finalize", "authorizations": []}
    server.put(
        "/o",
        answer(200, {"status": "ready", **made}),
        answer(200, {"status": "invalid", "error": told, **made}),
    )
    server.put("/finalize", answer(200, {"status": "processing", **made}))
    order = Order("pending", f"{BASE}/finalize", ())
    with pytest.raises(AcmeFailure, match=r"no; a\.test: CAA forbids") as caught:
        await client.certificate(f"{BASE}/o", order, b"csr")
    assert caught.value.kind == "caa"


async def test_advice_on_renewal(server: Server) -> None:
    """RFC 9773."""
    client = await server.client()
    window = {"start": "2027-01-03T04:00:00Z", "end": "2027-01-05T04:00:00Z"}
    server.put("/renewal/abc", answer(200, {"suggestedWindow": window}, ("retry-after", "21600")))
    found = await client.renewal("abc")
    assert found is not None
    assert (found[0].window.end - found[0].window.start).days == 2 and found[1] == 21600
    assert await client.renewal("") is None
    server.put("/renewal/abc", answer(200, {"suggestedWindow": {"start": "soon", "end": "later"}}))
    with pytest.raises(AcmeFailure):
        await client.renewal("abc")


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("120", 120.0),
        ("", 0.0),
        ("-5", 0.0),
        ("999999999999999999999", 86_400.0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2021 08:01:00 GMT", 0.0),
        ("Fri, 99 Jan 9999 99:99:99 GMT", 0.0),
        ("²", 0.0),
        ("next week", 0.0),
    ],
)
def test_retry_after(field: str, seconds: float) -> None:
    assert retry_after(field, FakeClock().now()) == seconds
