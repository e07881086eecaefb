"""Scripts and mails for the tests of Sieve: the mails of RFC 5228 section 1.2, and a way to run a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from a3mailer.wire.sieve.actions import FileInto, Keep, Redirect
from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.extensions import ALL
from a3mailer.wire.sieve.interpret import Result, run
from a3mailer.wire.sieve.limits import STANDARD, Limits
from a3mailer.wire.sieve.view import MailView

MAIL_A = b"""Date: Tue, 1 Apr 1997 09:06:31 -0800 (PST)
From: coyote@desert.example.org
To: roadrunner@acme.example.com
Subject: I have a present for you

Look, I'm sorry about the whole anvil thing.
""".replace(b"\n", b"\r\n")
MAIL_B = b"""From: youcouldberich!@reply-by-postal-mail.invalid
Sender: b1ff@de.res.example.com
To: rube@landru.example.com
Date:  Mon, 31 Mar 1997 18:26:10 -0800
Subject: $$$ YOU, TOO, CAN BE A MILLIONAIRE! $$$

YOU MAY HAVE ALREADY WON TEN MILLION DOLLARS
""".replace(b"\n", b"\r\n")
ENVELOPE = {"from": (b"coyote@desert.example.org",), "to": (b"roadrunner@acme.example.com",)}


def result(
    script: str | bytes,
    mail: bytes = MAIL_A,
    envelope: Mapping[str, tuple[bytes, ...]] = ENVELOPE,
    environment: Mapping[str, bytes] | None = None,
    limits: Limits = STANDARD,
    trace: bool = False,
    **more: Any,
) -> Result:
    """What a script does with a mail."""
    octets = script.encode() if isinstance(script, str) else script
    view = MailView(mail, envelope, environment, **more)
    return run(compile_script(octets, ALL), view, limits, trace=trace)


def told(script: str | bytes, mail: bytes = MAIL_A, **more: Any) -> list[str]:
    """The same in words: ``keep``, ``implicit keep``, ``fileinto x`` ... ; an error is its text."""
    done = result(script, mail, **more)
    if done.error is not None:
        assert done.actions == (Keep(implicit=True),)
        return [f"error: {done.error}"]
    words = []
    for action in done.actions:
        if isinstance(action, Keep):
            words.append("implicit keep" if action.implicit else "keep")
        elif isinstance(action, FileInto):
            words.append(f"fileinto {action.mailbox}")
        elif isinstance(action, Redirect):
            words.append(f"redirect {action.address}")
        else:
            words.append(action.word)
    return words


def true(test: str, mail: bytes = MAIL_A, require: str = "", **more: Any) -> bool:
    """What a test gives."""
    script = f"require [{require}]; " if require else ""
    found = told(f"{script}if {test} {{ discard; }}", mail, **more)
    assert found in (["discard"], ["implicit keep"]), found
    return found == ["discard"]
