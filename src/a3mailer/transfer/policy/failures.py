"""A mail of which DMARC or what it builds on failed, as it is told to whoever reports failures (RFC 6591)."""

from __future__ import annotations

import mmap
from collections.abc import Callable

import msgspec

from a3mailer.mail.authresults import FAIL, PASS
from a3mailer.msgauth.dmarc import DmarcResult
from a3mailer.msgauth.evaluate import Evaluation


class DmarcFailure(msgspec.Struct, frozen=True):
    """One mail, as the judge saw it."""

    ip: str
    reverse_path: str
    """Empty for the null one."""
    octets: bytes | mmap.mmap
    found: Evaluation
    disposition: str
    """What was done: none, quarantine or reject."""
    now: int


Failed = Callable[[DmarcFailure], None]
"""Told at once, for every such mail: it must be cheap, wait for nothing, and keep no octets of the mail."""


def may_ask(found: DmarcResult) -> bool:
    """May its domain want to hear of a mail? Where DMARC passes: only if ``fo`` asks for more than failures
    of DMARC (RFC 7489 section 6.3)."""
    if found.result == FAIL:
        return True
    record = found.record
    return (
        found.result == PASS and record is not None and bool(record.failure) and record.failure_options != "0"
    )
