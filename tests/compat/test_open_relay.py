"""Row 6 on a whole server: swaks tries every form that it can say, as a stranger and as a user."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

from tests import peers
from tests.relay_forms import RELAYED, STRANGERS, USERS
from tests.rig import Rig

REPLY = re.compile(rb"^ [-~*]> RCPT TO:<(.*)>\r?\n<[-~*]{1,2} +(\d{3})", re.MULTILINE)
REFUSED = (501, 550, 553)
SECONDS = 120


def sayable(forms: tuple[bytes, ...]) -> list[bytes]:
    """What it takes between its commas, on a command line."""
    return [form for form in forms if form.strip() == form != b"" and not re.search(rb"[\0,]", form)]


def answers(rig: Rig, door: str, forms: list[bytes], *more: str) -> dict[bytes, int]:
    """Form -> code, in one session without content."""
    program, env = peers.client("swaks")
    command = [program, "--server", f"127.0.0.1:{rig.port(door)}", "--quit-after", "RCPT", "--ehlo", "x.test"]
    done = subprocess.run(
        [*command, *more, "--to", os.fsdecode(b",".join(forms))],
        env={**os.environ, **env}, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return {form: int(code) for form, code in REPLY.findall(done.stdout)}


def test_swaks_finds_no_form_that_relays(tmp_path: pathlib.Path) -> None:
    settings = ("profile=plain", "limits.profile=off", "smtp.bad_commands=1000", "smtp.recipients=1000")
    login = ("--tls-on-connect", "--auth", "PLAIN", "--auth-user", "alice@example.test",
             "--auth-password", "secret-a", "--from", "alice@example.test")  # fmt: skip
    with Rig(tmp_path, settings=settings) as rig:
        rig.verb("domain", "add", "all.test", "--catch-all", "bob@example.test")
        rig.verb("domain", "add", "relayed.test", "--relay-to", "127.0.0.1:9")
        forms = sayable(STRANGERS)
        told = answers(rig, "smtp", [*forms, b"bob@example.test"], "--from", "mallory@evil.test")
        assert told.pop(b"bob@example.test") == 250
        assert len(told) >= 150 and told.keys() <= set(forms)
        taken = {form for form, code in told.items() if code not in REFUSED}
        assert all(form.endswith(b"@all.test") for form in taken), taken
        forms = sayable(RELAYED)
        told = answers(rig, "smtp", [*forms, b"eve@relayed.test"], "--from", "mallory@evil.test")
        assert told.pop(b"eve@relayed.test") == 250 and len(told) >= 40
        taken = {form for form, code in told.items() if code not in REFUSED}
        assert not taken, taken
        forms = sayable(USERS)
        told = answers(rig, "submissions", [*forms, b"eve@example.org"], *login)
        assert told.pop(b"eve@example.org") == 250
        taken = {form for form, code in told.items() if code not in REFUSED}
        assert len(told) >= 60 and not taken, taken
