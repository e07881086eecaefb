"""Our own MTA-STS policy, as others fetch it (RFC 8461)."""

from __future__ import annotations

import pytest

from a3mailer.config.tree import Server, Settings, Web
from a3mailer.edge.http.door import HttpDoor
from a3mailer.edge.http.routes import Routes
from a3mailer.edge.http.wellknown import WellKnown
from a3mailer.msgauth.mta_sts import own_id, parse_policy
from a3mailer.testing.memory_connection import Stage

PATH = b"/.well-known/mta-sts.txt"


async def ask(request: bytes, mode: str = "enforce") -> bytes:
    settings = Settings(server=Server(hostname="Mail.a.test"), web=Web(mta_sts=mode))

    async def is_ours(domain: str) -> bool:
        return domain in ("a.test", "")

    async with Stage(
        lambda connection: HttpDoor(Routes(WellKnown(lambda: settings, is_ours).routes())).serve(
            connection, ""
        )
    ) as stage:
        session = stage.open(1)
        await session.greeting()
        return await session.feed(request)


def get(host: bytes, path: bytes = PATH, *more: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path, host, b"".join(more))


@pytest.mark.parametrize("host", [b"mta-sts.a.test", b"MTA-STS.A.test:20443"])
@pytest.mark.parametrize("mode", ["enforce", "testing"])
async def test_the_policy_of_a_domain_of_ours(host: bytes, mode: str) -> None:
    head, _, body = (await ask(get(host), mode)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and head.endswith(b"\r\nContent-Type: text/plain")
    policy = parse_policy(body)
    assert (policy.mode, policy.mx) == (mode, ("mail.a.test",))


@pytest.mark.parametrize(
    "request_",
    [
        get(b"mta-sts.b.test"),
        get(b"a.test"),
        get(b"mta-sts."),
        get(b""),
        get(b"mta-sts.a.test", b"/"),
        get(b"mta-sts.a.test", PATH + b"/../x"),
        get(b"mta-sts.a.test", PATH, b"Host: mta-sts.a.test\r\n"),
        get(b"mta-sts.\xc3\xa4.test"),
        b"GET " + PATH + b" HTTP/1.0\r\n\r\n",
    ],
)
async def test_nothing_else_is_there(request_: bytes) -> None:
    assert (await ask(request_)).startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))


async def test_a_policy_switched_off_is_not_served() -> None:
    assert (await ask(get(b"mta-sts.a.test"), "none")).startswith(b"HTTP/1.1 404 ")


def test_the_id_changes_with_the_policy() -> None:
    ids = {own_id(host, mode) for host in ("a.test", "b.test") for mode in ("enforce", "testing")}
    assert len(ids) == 4 and all(each.isalnum() for each in ids)
    assert own_id("A.test", "enforce") == own_id("a.test", "enforce")
