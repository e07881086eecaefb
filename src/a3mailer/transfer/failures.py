"""A mail that failed DMARC, as it is told to whoever reports failures (RFC 6591)."""

from __future__ import annotations

import mmap
from collections.abc import Callable

import msgspec

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
