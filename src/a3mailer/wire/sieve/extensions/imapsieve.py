"""imapsieve (RFC 6785): scripts that run when a client of IMAP has stored, copied or marked a message.

It adds no words. What it tells a script are items of ``environment``, what it forbids is ``INAPPLICABLE``
and the test ``envelope``; who runs a script for an event looks after both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from a3mailer.mail.event import Event
from a3mailer.wire.sieve.compile import Program
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.vocabulary import Extension

INAPPLICABLE: Final = frozenset(("reject", "ereject", "vacation", "vacation-seconds", "duplicate"))
"""Capabilities that only make sense for mail that arrives (section 3.11; RFC 7352 section 3.4)."""
EXTENSION: Final = Extension("imapsieve")


def applicable(program: Program) -> Program:
    """A program that can run for an event: ``ihave`` has nothing of that. Errors: ScriptError."""
    if found := sorted(program.required & INAPPLICABLE):
        raise ScriptError(f"{found[0]} is for mail that arrives, not for events of IMAP", 1, 1)
    return program._replace(late=program.late - INAPPLICABLE)


def items(event: Event | None, mailbox: str = "") -> Mapping[str, str]:
    """The items of the environment (section 4); empty strings where mail arrives."""
    cause, user, email, changed = event or ("", "", "", "")
    return {
        "imap.cause": cause,
        "imap.user": user,
        "imap.email": email,
        "imap.mailbox": mailbox,
        "imap.changedflags": changed,
    }
