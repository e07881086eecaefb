"""The greeter of try-it mode: waits for the server, delivers the sample mails, says where everything is."""

from __future__ import annotations

import importlib.resources
import json
import os
import smtplib
import sys
import time
from pathlib import Path
from typing import Any, Final

import a3mailer
from a3mailer.app.cli.server import state
from a3mailer.app.cli.tryit import DOMAIN, LOG, NOTES
from a3mailer.config.write import write_file
from a3mailer.mail.message import index

READY_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05
SMTP_SECONDS: Final = 20.0


def main(directory: Path, server: int) -> int:
    """Greet once; 1 when the server ended or never became ready."""
    deadline = time.monotonic() + READY_SECONDS
    while not (found := state(directory))["ready"] or found["pid"] != server:
        if os.getppid() != server or time.monotonic() > deadline:
            return 1
        time.sleep(POLL_SECONDS)
    notes = json.loads((directory / NOTES).read_bytes())
    first = not notes["delivered"]
    if first:
        deliver(found["listeners"]["smtp"])
        kept = {"accounts": notes["accounts"], "delivered": True}  # the recovery key is not kept
        write_file(directory / NOTES, json.dumps(kept, indent=1) + "\n")
    print(greeting(directory, found["listeners"], notes, first), flush=True)
    return 0


def deliver(where: str) -> None:
    """The sample mails, one after another, through the door every stranger's mail comes through."""
    host, _, port = where.rpartition(":")
    with smtplib.SMTP(host, int(port), f"samples.{DOMAIN}", SMTP_SECONDS) as smtp:
        for sender, recipients, octets in samples():
            smtp.sendmail(sender, recipients, octets, mail_options=["BODY=8BITMIME"])


def samples() -> list[tuple[str, list[str], bytes]]:
    """(reverse-path, forward-paths, content) of each sample, in the order of their names."""
    folder = importlib.resources.files("a3mailer.app.sample_mails")
    found = []
    for file in sorted((f for f in folder.iterdir() if f.name.endswith(".eml")), key=lambda f: f.name):
        octets = file.read_bytes()
        read = index(octets)
        found.append((read.from_[0].addr_spec, [a.addr_spec for a in read.to], octets))
    return found


def command() -> str:
    """How the person who reads this calls a3mailer: by the checkout's ``run`` where there is one."""
    run = Path(a3mailer.__path__[0]).parents[1] / "run"
    if not run.exists():
        return "a3mailer"
    return "./run" if run.parent == Path.cwd() else str(run)


def greeting(directory: Path, listeners: dict[str, str], notes: dict[str, Any], first: bool) -> str:
    """What a new user needs to know, on one screen."""
    address, password = notes["accounts"][0]
    people = "\n".join(f"  {name:22} {secret}" for name, secret in notes["accounts"])
    recovery = (
        f"\nRecovery key of its backups, shown this once:\n  {notes['recovery_key']}\n" if first else ""
    )
    return f"""
A3Mailer is running.

  read mail     IMAP   {listeners["imaps"]:18} (TLS)   {listeners["imap"]} (plain or STARTTLS)
  send mail     SMTP   {listeners["submissions"]:18} (TLS)   {listeners["submission"]} (plain or STARTTLS)
  receive mail  SMTP   {listeners["smtp"]}
  health        HTTP   http://{listeners["metrics"]}/healthz/ready

Accounts and passwords:
{people}
{recovery}
{"Six sample mails were delivered; one of them is a phish." if first else "Your mail is as you left it."}
The certificate is self-signed: tell your mail program to accept it, or have a look at once with
  curl -k --user '{address}:{password}' 'imaps://{listeners["imaps"]}/INBOX;MAILINDEX=1'
Next: {command()} account list --dir {directory.name}      all verbs: {command()} --help
The log is in {directory.name}/{LOG}. Ctrl-C stops the server and keeps the mail.
"""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
