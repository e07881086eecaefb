"""Debian's pebble: an ACME server (RFC 8555) on loopback and free ports, for one test or module."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request
from typing import Final, Self

import pytest

from tests.web import Authority

SECONDS: Final = 20.0
KID: Final = "kid-1"
MAC: Final = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


class Pebble:
    """Looks names up at ``dns``, challenges at the two ports; refuses ``refused`` of 100 good nonces."""

    def __init__(
        self,
        place: pathlib.Path,
        dns: int,
        http: int,
        tls: int,
        *,
        external: bool = False,
        refused: int = 20,
        days: int = 90,
        authority: Authority | None = None,
    ) -> None:
        found = shutil.which("pebble")
        if found is None:
            pytest.skip("absent: pebble")
        self._program = found
        self._place = place
        place.mkdir(exist_ok=True)
        self.authority = authority or Authority(place)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}/dir"
        self.management = f"https://127.0.0.1:{free_port()}"
        certificate, key = self.authority.issue("localhost", address="127.0.0.1")
        self._config = place / "pebble.json"
        config: dict[str, object] = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": self.management.removeprefix("https://"),
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": http,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": external,
            "certificateValidityPeriod": days * 86_400,
        }
        if external:
            config["externalAccountMACKeys"] = {KID: MAC}
        self._config.write_text(json.dumps({"pebble": config}))
        self._dns, self.http, self.tls = dns, http, tls
        self._env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": str(refused),
                     "PEBBLE_AUTHZREUSE": "0"}  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def root(self) -> bytes:
        """The certificate of the authority it issues by, PEM: another in each life."""
        context = self.authority.client()
        with urllib.request.urlopen(f"{self.management}/roots/0", context=context, timeout=10) as answer:
            return bytes(answer.read())

    @property
    def log(self) -> str:
        """All it said."""
        return (self._place / "pebble.log").read_text("utf-8", "replace")

    def __enter__(self) -> Self:
        options = ["-strict", "-config", str(self._config), "-dnsserver", f"127.0.0.1:{self._dns}"]
        with (self._place / "pebble.log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, cwd=self._place,
            )  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self
        self.__exit__()
        raise RuntimeError(f"pebble did not start:\n{self.log[-2000:]}")

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(SECONDS)


def free_port() -> int:
    """A port free for TCP at this moment."""
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        return int(tcp.getsockname()[1])
