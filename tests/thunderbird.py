"""Debian's Thunderbird without a screen, told what to do through Marionette (its own remote control).

As a program (``python tests/thunderbird.py PROFILE``) it starts one, runs the script that it reads as JSON
``{"script": ..., "arguments": [...]}``, quits, and prints what the script returned. It is a program because
it has to run where the names of the test resolve (``tests/island.py``).
"""

from __future__ import annotations

import json
import pathlib
import socket
import subprocess
import sys
import time
from typing import Any, Final

PORT: Final = 2828
SECONDS: Final = 60.0
PREFERENCES: Final = {
    "network.manage-offline-status": False,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mailnews.start_page.enabled": False,
}
OPTIONS: Final = ("--headless", "--no-remote", "--marionette", "--remote-allow-system-access")


class Marionette:
    """Commands and answers are JSON arrays behind their length and a colon."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", PORT), 2 * SECONDS)
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._read()

    def _read(self) -> Any:
        length = b""
        while (octet := self._stream.read(1)) != b":":
            if not octet:
                raise EOFError("Thunderbird has gone")
            length += octet
        return json.loads(self._stream.read(int(length)))

    def do(self, name: str, **parameters: object) -> Any:
        self._number += 1
        octets = json.dumps([0, self._number, name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(octets), octets))
        _, _, error, result = self._read()
        if error:
            raise RuntimeError(f"{error['error']}: {error['message']}")
        return result


def run(profile: pathlib.Path, script: str, arguments: list[Any]) -> Any:
    """What the script, which may await, returns in the chrome of a Thunderbird that has ended since.

    Where it fails, it is told what it had last put into ``window.step``."""
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
    (profile / "user.js").write_text("".join(lines))
    process = subprocess.Popen(
        ["thunderbird", *OPTIONS, "--profile", str(profile)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(profile), "PATH": "/usr/bin:/bin", "TMPDIR": str(profile)},
    )
    try:
        there = Marionette(process)
        there.do("WebDriver:NewSession")
        there.do("Marionette:SetContext", value="chrome")
        there.do("WebDriver:SetTimeouts", script=int(SECONDS * 1000))
        whole = "return (async () => {" + script + "})();"
        try:
            found = there.do("WebDriver:ExecuteScript", script=whole, args=arguments)["value"]
        except RuntimeError as error:
            step = there.do("WebDriver:ExecuteScript", script="return window.step;", args=[])["value"]
            raise RuntimeError(f"at {step}") from error
        there.do("Marionette:Quit", flags=["eAttemptQuit"])
        process.wait(SECONDS)
    finally:
        process.kill()
        process.wait()
    return found


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps(run(pathlib.Path(sys.argv[1]), asked["script"], asked["arguments"])))
