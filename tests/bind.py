"""Debian's bind9 as a name server of its own, on loopback and a free port, for one test or module."""

import pathlib
import shutil
import socket
import subprocess
import time
from typing import Final, Self

import pytest

SECONDS: Final = 20.0
ZONE: Final = """$ORIGIN {zone}.
$TTL 300
@ IN SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 60
@ IN NS ns.{zone}.
ns IN A 127.0.0.1
{records}
"""
CONFIG: Final = """
options {{
    directory "{place}"; pid-file "{place}/pid"; session-keyfile "{place}/session.key";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion no; dnssec-validation no; notify no;
}};
controls {{ }};
{key}
zone "{zone}" {{ type master; file "{place}/zone.db"; allow-update {{ key "update"; }}; }};
"""


def program(name: str) -> str:
    """The path of one of bind9's programs; skips as ``absent``."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"absent: {name} (bind9)")
    return found


class Named:
    """One zone that may be updated with the key in ``key_file``."""

    def __init__(self, place: pathlib.Path, zone: str, records: str = "") -> None:
        self.place = place
        self.zone = zone
        self.port = _free_port()
        self.key_file = place / "update.key"
        key = subprocess.run([program("tsig-keygen"), "update"], capture_output=True, text=True, check=True)
        self.key_file.write_text(key.stdout)
        (place / "zone.db").write_text(ZONE.format(zone=zone, records=records))
        config = CONFIG.format(place=place, port=self.port, key=key.stdout, zone=zone)
        (place / "named.conf").write_text(config)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self.place / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program("named"), "-g", "-n", "1", "-c", str(self.place / "named.conf")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if b"running" in (self.place / "log").read_bytes():
                return self
            time.sleep(0.05)
        log_text = (self.place / "log").read_text("utf-8", "replace")
        self.__exit__()
        raise RuntimeError(f"named did not start:\n{log_text[-2000:]}")

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(SECONDS)


def _free_port() -> int:
    """A port free for UDP and TCP at this moment."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
