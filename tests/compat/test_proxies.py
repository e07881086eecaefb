"""HAProxy in front of the HTTPS port: TLS passed on with a PROXY header, or HTTP of its own (row 43)."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.rig import Rig

CONFIG = """
defaults
  timeout connect 5s
  timeout client 2s
  timeout http-keep-alive 200ms
  timeout server 5s
frontend tls
  mode tcp
  bind 127.0.0.1:{tls}
  default_backend tls
backend tls
  mode tcp
  server us 127.0.0.1:{https} send-proxy-v2
frontend http
  mode http
  bind 127.0.0.1:{http}
  {accept}
  default_backend http
backend http
  mode http
  http-reuse always
  server us 127.0.0.1:{https} ssl verify none send-proxy-v2
"""
THERE = b"/api/v1/openapi.json"
"""What answers 200; everything else asked here does not."""
SMUGGLED = b"GET " + THERE + b" HTTP/1.1\r\nHost: mail.example.test\r\n\r\n"
POST = b"POST /no HTTP/1.1\r\nHost: mail.example.test\r\n"
GET = b"GET /nothing HTTP/1.1\r\nHost: mail.example.test\r\nConnection: close\r\n\r\n"
VECTORS = (
    POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(SMUGGLED)),
    POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Content-Length: 0, %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Transfer-Encoding: \x0bchunked\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"X: y\rContent-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Content-Length: +0\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED),
    b"GET /no HTTP/1.1\r\nHost: mail.example.test\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    POST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
)
"""A request whose body, or rest, is SMUGGLED to whoever reads it in another way."""


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def proxy(rig: Rig, folder: pathlib.Path, accept: str = "") -> Iterator[tuple[int, int]]:
    """HAProxy before the instance; its ports for TLS passed on and for HTTP."""
    program = shutil.which("haproxy")
    if program is None:
        pytest.skip("absent: haproxy")
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    tls, http = (each.getsockname()[1] for each in taken)
    for each in taken:
        each.close()
    config = folder / "haproxy.cfg"
    config.write_text(CONFIG.format(tls=tls, http=http, https=rig.port("https"), accept=accept))
    running = subprocess.Popen(
        [program, "-db", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        while not listens(http):
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.05)
        yield tls, http
    finally:
        running.terminate()
        running.wait(20)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    settings = ("profile=plain", "limits.profile=off", "server.proxy_from=127.0.0.1")
    with Rig(tmp_path_factory.mktemp("proxies"), settings=settings, workers=1) as made:
        yield made


def said(port: int, octets: bytes) -> bytes:
    """All that comes back on one connection, until the proxy has had enough of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(octets)
        found = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            while piece := sock.recv(65536):
                found += piece
        return found


@pytest.mark.parametrize("accept", ["", "option accept-invalid-http-request"], ids=["strict", "lenient"])
def test_nothing_is_smuggled_past_a_proxy(rig: Rig, tmp_path: pathlib.Path, accept: str) -> None:
    """The proxy in front keeps its connections to us open and shares them: what one client leaves behind
    would answer the next."""
    with proxy(rig, tmp_path, accept) as (_, http):
        assert b"HTTP/1.1 200 " in said(http, SMUGGLED)
        for number, vector in enumerate(VECTORS):
            assert b"HTTP/1.1 200 " not in said(http, vector + SMUGGLED), (number, vector)
            for _ in range(2):
                victim = said(http, GET)
                assert victim.startswith(b"HTTP/1.1 404 "), (number, vector, victim)


def test_the_client_is_who_the_proxy_header_says(rig: Rig, tmp_path: pathlib.Path) -> None:
    token = rig.verb("token", "add", "alice@example.test", "--name", "x", "--scope", "smtp.submit")["token"]
    body = json.dumps({"to": ["bob@example.test"], "subject": "x", "text": "y"}).encode()
    with proxy(rig, tmp_path) as (tls, _):
        command = ["curl", "-sSk", "-m", "20", "--interface", "127.0.0.2", "--data-binary", "@-"]
        command += ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
        url = f"https://127.0.0.1:{tls}/api/v1/send"
        done = subprocess.run([*command, url], input=body, capture_output=True, timeout=60, check=True)
        number = json.loads(done.stdout)["id"]
    deadline = time.monotonic() + 20
    while number not in rig.log_tail(200_000) and time.monotonic() < deadline:
        time.sleep(0.1)
    lines = [json.loads(line) for line in rig.log_tail(200_000).splitlines() if number in line]
    assert [line["client"] for line in lines if line["event"] == "mail.received"] == ["127.0.0.2"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        pytest.raises(OSError),
        socket.create_connection(("127.0.0.1", rig.port("https")), timeout=20) as raw,
    ):
        context.wrap_socket(raw)  # whom we trust to say who the client is must say so
