"""Port 80: the answer to a challenge, and the way to https."""

from __future__ import annotations

from pathlib import Path

import pytest

from a3mailer.config.tree import Server, Settings
from a3mailer.edge.http.door import HttpDoor
from a3mailer.edge.http.plain import Plain
from a3mailer.edge.http.routes import Routes
from a3mailer.ops.acme.answers import HTTP_PATH, Answers
from a3mailer.testing.memory_connection import Stage

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"


async def ask(
    place: Path, target: str, host: str = "mail.a.test", method: str = "GET", base: int = 0
) -> bytes:
    settings = Settings(server=Server(port_base=base))
    plain = Plain(Answers(place), lambda: settings)
    door = HttpDoor(Routes(plain.routes()), otherwise=plain.elsewhere)
    async with Stage(lambda connection: door.serve(connection, "")) as stage:
        session = stage.open(1)
        await session.greeting()
        return await session.feed(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))


async def test_the_answer_to_a_challenge(tmp_path: Path) -> None:
    Answers(tmp_path).put_http(TOKEN, f"{TOKEN}.thumbprint")
    head, _, body = (await ask(tmp_path, HTTP_PATH + TOKEN)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and b"application/octet-stream" in head
    assert body == f"{TOKEN}.thumbprint".encode()


TOKENS = ("x" * 43, "..%2f..%2f..%2fa3mailer.toml", "%2fetc%2fpasswd", ".", "..", "%00" * 22)


@pytest.mark.parametrize("token", TOKENS)
async def test_there_is_nothing_else_there(tmp_path: Path, token: str) -> None:
    Answers(tmp_path).put_http(TOKEN, "x")
    (tmp_path / "a3mailer.toml").write_text("secret")
    said = await ask(tmp_path, HTTP_PATH + token)
    assert said.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 308 ")) and b"secret" not in said


@pytest.mark.parametrize(("base", "port"), [(0, b""), (20_000, b":20443")])
async def test_everything_else_is_led_to_https(tmp_path: Path, base: int, port: bytes) -> None:
    said = await ask(tmp_path, "/mail/?a=b%20c", "Mail.a.test:80", base=base)
    assert said.startswith(b"HTTP/1.1 308 ")
    assert b"\r\nLocation: https://mail.a.test" + port + b"/mail/?a=b%20c\r\n" in said


@pytest.mark.parametrize(
    ("target", "host", "method", "status"),
    [
        ("/", "", "GET", b"404"),
        ("/", "a.test@evil.test", "GET", b"400"),
        ("/", "192.0.2.1", "GET", b"404"),
        ("/", "a..test", "GET", b"404"),
        ("//evil.test/", "a.test", "GET", b"308"),
        ("/api/v1/messages", "a.test", "POST", b"403"),
        ("/" + "x" * 3000, "a.test", "GET", b"403"),
        (HTTP_PATH + TOKEN, "a.test", "POST", b"405"),
    ],
)
async def test_what_leads_nowhere(tmp_path: Path, target: str, host: str, method: str, status: bytes) -> None:
    said = await ask(tmp_path, target, host, method)
    assert said.split(b" ", 2)[1] == status
    assert b"Location: " not in said or b"Location: https://a.test//evil.test/\r\n" in said
