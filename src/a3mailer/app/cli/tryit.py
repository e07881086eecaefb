"""Try-it mode: ``a3mailer`` without a verb serves an instance in ./var that anyone can use at once.

This process becomes the server; a second, short one (``greet``) waits until it is ready, hands the sample
mails to its SMTP door at the first start, and prints where everything is.
The log goes to a file beside the data.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from a3mailer.app.cli.init import Plan, make
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.password import new_password
from a3mailer.config.write import write_file

FOLDER: Final = "var"
NOTES: Final = "try-it.json"
LOG: Final = "serve.log"
DOMAIN: Final = "localhost.test"
NAMES: Final = ("alice", "bob")
PORT_BASE: Final = 20000


def tryit() -> int:
    """Make the instance when it is not there, then serve it in the foreground."""
    from a3mailer.app.cli.start import start

    directory = Path.cwd() / FOLDER
    if not (directory / NOTES).exists():
        prepare(directory)
    log = os.open(directory / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "a3mailer.app.cli.greet", str(directory), str(os.getpid())],
        stdin=subprocess.DEVNULL,
    )
    terminal = os.dup(2)
    os.dup2(log, 2)
    try:
        return start(directory, {})
    finally:
        os.dup2(terminal, 2)


def prepare(directory: Path) -> None:
    """The instance, and the notes that ``greet`` prints from at every start."""
    print(f"Making a mail server in {directory} ...", flush=True)
    accounts = tuple((f"{name}@{DOMAIN}", new_password()) for name in NAMES)
    settings = {
        "server.hostname": f"mail.{DOMAIN}",
        "server.domain": DOMAIN,
        "server.port_base": str(PORT_BASE),
        "auth.plaintext": "on",
    }
    plan = Plan(settings, (DOMAIN,), accounts, f"admin@{DOMAIN}", new_password())
    made = make(directory, plan, Output(as_json=False))
    notes: dict[str, Any] = {
        "accounts": [*accounts, (made.admin, made.admin_password)],
        "recovery_key": made.recovery_key,
        "delivered": False,
    }
    write_file(directory / NOTES, json.dumps(notes, indent=1) + "\n")
