"""The API of a whole server as real clients use it: curl and aiohttp over TLS, a hook that listens."""

from __future__ import annotations

import asyncio
import json
import pathlib
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from a3mailer.msgauth.tlsrpt import pack
from a3mailer.ops.autoconfig import pacc
from a3mailer.ops.domain_records import TLS_REPORTS
from a3mailer.transfer.lists.lists import PATH as LEAVE
from tests.rig import Rig
from tests.unit.msgauth.test_tlsrpt import EXAMPLE
from tests.web import Web, reply

SECONDS = 30.0


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    settings = ("profile=plain", "limits.profile=off", "web.inside=true", "queue.relay=127.0.0.1:1")
    with Rig(tmp_path_factory.mktemp("api"), settings=settings, workers=2) as made:
        yield made


def token(rig: Rig) -> str:
    scopes = ("--scope", "smtp.submit", "--scope", "hook", "--scope", "template")
    return str(rig.verb("token", "add", "alice@example.test", "--name", "shop", *scopes)["token"])


def curl(rig: Rig, path: str, *arguments: str, body: bytes | None = None) -> tuple[int, Any]:
    url = f"https://127.0.0.1:{rig.port('https')}{path}"
    command = ["curl", "-sS", "-k", "-m", "20", "-w", "\n%{http_code}", *arguments, url]
    if body is not None:
        typed = any(each.startswith("Content-Type:") for each in arguments)
        command += [*(() if typed else ("-H", "Content-Type: application/json")), "--data-binary", "@-"]
    done = subprocess.run(command, input=body or b"", capture_output=True, timeout=60, check=True)
    text, _, status = done.stdout.rpartition(b"\n")
    return int(status), json.loads(text) if text else None


def test_curl_sends_a_mail_once(rig: Rig) -> None:
    bearer = ("-H", f"Authorization: Bearer {token(rig)}")
    body = json.dumps({"to": ["bob@example.test"], "subject": "by curl", "text": "hello"}).encode()
    key = ("-H", "Idempotency-Key: 17")
    status, first = curl(rig, "/api/v1/send", *bearer, *key, body=body)
    assert status == 202 and first["recipients"][0]["state"] == "delivered"
    assert curl(rig, "/api/v1/send", *bearer, *key, body=body) == (202, first)
    assert curl(rig, "/api/v1/send", "-u", "alice@example.test:secret-a", body=body)[0] == 202
    assert curl(rig, "/api/v1/send", "-u", "alice@example.test:wrong", body=body)[0] == 401
    assert curl(rig, "/api/v1/send", body=body)[0] == 401
    status, told = curl(rig, "/api/v1/openapi.json")
    assert status == 200 and "/api/v1/send" in told["paths"]
    assert curl(rig, "/api/v1/send", *bearer, body=b" " * (200 << 20))[0] == 413  # curl waits for 100


async def test_aiohttp_sends_in_chunks_and_on_one_connection(rig: Rig) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=context, limit=1)
    headers = {"Authorization": f"Bearer {token(rig)}", "Content-Type": "application/json"}
    base = f"https://127.0.0.1:{rig.port('https')}/api/v1"
    mail = {"to": ["bob@example.test"], "subject": "by aiohttp", "text": "x" * 300_000}

    async def pieces() -> Any:
        octets = json.dumps(mail).encode()
        for at in range(0, len(octets), 10_000):
            yield octets[at : at + 10_000]

    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        for _ in range(3):
            async with session.post(f"{base}/send", data=pieces()) as answer:
                assert answer.status == 202, await answer.text()
                number = (await answer.json())["id"]
            async with session.get(f"{base}/messages/{number}") as answer:
                assert (await answer.json())["recipients"][0]["state"] == "delivered"
        assert len(connector._conns) == 1


async def test_a_hook_hears_what_the_queue_finds_out(rig: Rig, tmp_path: pathlib.Path) -> None:
    bearer = ("-H", f"Authorization: Bearer {token(rig)}")
    async with Web(None, reply(b"")) as web:
        url = json.dumps({"url": f"http://127.0.0.1:{web.port}/"}).encode()
        status, _ = await asyncio.to_thread(curl, rig, "/api/v1/hooks/sink", "-X", "PUT", *bearer, body=url)
        assert status == 201
        body = json.dumps({"to": ["x@else.test", "bob@example.test"], "subject": "s", "text": "t"}).encode()
        status, sent = await asyncio.to_thread(curl, rig, "/api/v1/send", *bearer, body=body)
        assert status == 202
        async with asyncio.timeout(SECONDS):
            while len(web.bodies) < 2:
                await asyncio.sleep(0.1)
        told = {(event["data"]["recipient"], event["type"]) for event in map(json.loads, web.bodies)}
        assert told == {("bob@example.test", "delivered"), ("x@else.test", "deferred")}
        _, now = await asyncio.to_thread(curl, rig, f"/api/v1/messages/{sent['id']}", *bearer)
        states = {r["address"]: r["state"] for r in now["recipients"]}
        assert states == {"bob@example.test": "delivered", "x@else.test": "deferred"}


def test_curl_posts_a_tls_report(rig: Rig) -> None:
    packed = pack(EXAMPLE.replace(b"company-y.example", b"example.test"))
    media = ("-H", "Content-Type: application/tlsrpt+gzip")
    path = "/reports/tls/example.test"
    assert curl(rig, path, *media, body=packed)[0] == 404
    rig.verb("domain", "set", "example.test", "--tls-post", "on")
    found = [row["data"] for row in rig.verb("domain", "dns", "example.test") if "TLSRPT" in row["data"]]
    assert f"https://mail.example.test:{rig.port('https')}{path}" in found[0]
    assert curl(rig, path, *media, body=packed)[0] == 201
    (row,) = rig.verb("report", "tls", "list")
    assert (row["domain"], row["source"], row["organization"]) == ("example.test", "[127.0.0.1]", "Company-X")


def opened(rig: Rig, line: str, *arguments: str, body: bytes | None = None) -> tuple[str, str]:
    """The status and the media type; what does not end is left after two seconds."""
    method, _, path = line.partition(" ")
    url = f"https://127.0.0.1:{rig.port('https')}{path}"
    command = ["curl", "-sS", "-k", "-m", "2", "-o", "/dev/null", "-w", "%{http_code} %{content_type}"]
    given = ["--data-binary", "@-"] if body is not None else []
    done = subprocess.run(
        [*command, "-X", method, *arguments, *given, url],
        input=body or b"",
        capture_output=True,
        timeout=60,
        check=False,
    )
    status, _, media = done.stdout.decode().partition(" ")
    return status, media


def test_all_that_is_described_is_real(rig: Rig) -> None:
    """Every endpoint that is none of the API's, and every status of it that is no problem."""
    paths = curl(rig, "/api/v1/openapi.json")[1]["paths"]
    told = {
        (path, method.upper(), status, media)
        for path, methods in paths.items()
        if not path.startswith("/api/")
        for method, operation in methods.items()
        for status, answer in operation["responses"].items()
        if status != "default"
        for media in answer.get("content", {"": None})
    }
    alice = ("-u", "alice@example.test:secret-a")
    account = next(iter(curl(rig, "/.well-known/jmap", *alice)[1]["accounts"]))
    blob = curl(rig, f"/jmap/upload/{account}", *alice, body=b"octets")[1]["blobId"]
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Protocol: jmap", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")  # fmt: skip
    values = {"accountId": account, "blobId": blob, "token": "x", "domain": "example.test",
              "email": "alice@example.test"}  # fmt: skip
    outlook = (
        b'<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">'
        b"<Request><EMailAddress>alice@example.test</EMailAddress></Request></Autodiscover>"
    )
    calls = b'{"using": [], "methodCalls": []}'

    def ask(path: str, method: str, status: str) -> tuple[str, str]:
        line, given, body = f"{method} {path.format(**values)}", list(alice), None
        host = paths[path][method.lower()].get("servers", [{"url": ""}])[0]["url"]
        if host:
            given += ["-H", f"Host: {host.removeprefix('https://').format(**values)}"]
        if path.endswith(".json") or "{email}" in path:
            line += f"?Email=alice@example.test&Protocol=AutodiscoverV{'1' if status == '200' else '9'}"
        elif "config" in path:
            line += "?emailaddress=alice@example.test&email=alice@example.test"
        elif "{blobId}" in path:
            fields = {"206": "Range: bytes=1-2", "304": f'If-None-Match: "{blob}"', "416": "Range: bytes=99-"}
            given += ["-H", fields.get(status, "X: y")]
        elif status == "200" and "events" in path:
            line += "?types=*&closeafter=no&ping=0"
        elif status == "101":
            given += [each for field in upgrade for each in ("-H", field)] + ["--http1.1"]
        if method == "POST":
            body = outlook if path.endswith(".xml") else calls
            given += ["-H", "Content-Type: application/json"]
        return opened(rig, line, *given, body=body)

    # needs a list's mail (), port 443 (test_autoconfig.py), and a report (above)
    elsewhere = {(f"{LEAVE}{{token}}", "POST"), (pacc.PATH, "GET"), (TLS_REPORTS, "POST")}
    found = {
        (path, method, *ask(path, method, status))
        for path, method, status, _ in told
        if (path, method) not in elsewhere
    }
    assert found == {each for each in told if each[:2] not in elsewhere}
