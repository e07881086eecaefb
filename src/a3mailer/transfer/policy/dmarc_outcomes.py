"""What DMARC found of mails, counted for the reports their domains ask for (RFC 7489 section 7.2, RFC 9990).

Only mails of domains whose record has ``rua`` count, and only where ``reports.dmarc_send`` is on; one whose
DNS could not be asked is in no report. What is told of a recipient is nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.authresults import FAIL, PASS
from a3mailer.msgauth.dmarc import DmarcResult
from a3mailer.msgauth.evaluate import Evaluation
from a3mailer.transfer.tallies import Tallies

KIND: Final = "dmarc"
"""Of the tallies."""
MAX_SIGNATURES: Final = 8
"""Of one mail that are told, in the order of RFC 9990 section 3.1.3."""
MAX_SELECTOR: Final = 63
TRUSTED: Final = "trusted_forwarder"
TESTING: Final = "policy_test_mode"
LOCAL: Final = "local_policy"


class DmarcOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is counted apart: the key of a tally."""

    ip: str
    author: str
    disposition: str
    """pass, none, quarantine or reject."""
    dkim: bool = False
    """An aligned signature passed; ``spf`` likewise."""
    spf: bool = False
    envelope_from: str = ""
    signatures: tuple[tuple[str, str, str], ...] = ()
    """(domain, selector, result)"""
    spf_domain: str = ""
    spf_result: str = ""
    reason: str = ""
    """Why something else was done than asked."""


_encode: Final = msgspec.json.Encoder().encode


class DmarcOutcomes:
    """One object a process."""

    __slots__ = ("_on", "_tallies")

    def __init__(self, tallies: Tallies, settings: Settings) -> None:
        self._tallies = tallies
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._on = settings.reports.dmarc_send

    def add(self, ip: str, envelope_from: str, found: Evaluation, disposition: str) -> None:
        """Count one mail. ``disposition``: what was done where DMARC failed (none, quarantine, reject)."""
        dmarc = found.dmarc
        if not self._on or dmarc.record is None or not dmarc.record.aggregate:
            return
        if dmarc.result in (PASS, FAIL):
            outcome = outcome_of(ip, envelope_from, found, disposition)
            self._tallies.add(KIND, dmarc.found_at, _encode(outcome).decode())


def outcome_of(ip: str, envelope_from: str, found: Evaluation, disposition: str) -> DmarcOutcome:
    """One mail as it is counted."""
    dmarc = found.dmarc
    signatures = sorted(
        (_rank(s.result, s.domain, dmarc), s.domain, s.selector, s.result) for s in found.dkim if s.domain
    )
    spf = found.spf
    passed = dmarc.result == PASS
    return DmarcOutcome(
        ip,
        dmarc.domain,
        PASS if passed else disposition,
        any(rank <= RELAXED for rank, *_ in signatures),
        spf is not None and spf.result == PASS and aligns(spf.domain, "spf", dmarc),
        envelope_from,
        tuple((d, s[:MAX_SELECTOR], result) for _, d, s, result in signatures[:MAX_SIGNATURES]),
        spf.domain if spf is not None else "",
        spf.result if spf is not None else "",
        _reason(found, disposition) if not passed else "",
    )


STRICT, RELAXED, PASSED, FAILED = range(4)


def _rank(result: str, domain: str, dmarc: DmarcResult) -> int:
    """How much a signature has to say (RFC 9990 section 3.1.3)."""
    if result != PASS:
        return FAILED
    if domain == dmarc.domain:
        return STRICT
    return RELAXED if aligns(domain, "dkim", dmarc) else PASSED


def aligns(domain: str, method: str, dmarc: DmarcResult) -> bool:
    """As DMARC saw it: its own word for the identifier that made it pass, names for the others."""
    if domain == dmarc.domain:
        return True
    made = dmarc.aligned
    if made is not None and (made.method, made.domain) == (method, domain):
        return True
    record, above = dmarc.record, dmarc.organizational
    strict = record is not None and (record.strict_dkim if method == "dkim" else record.strict_spf)
    return not strict and bool(above) and f".{domain}".endswith(f".{above}")


def _reason(found: Evaluation, disposition: str) -> str:
    """It must be told where something else was done than the published policy says (section 3.1.1.9)."""
    if found.forgiven:
        return TRUSTED
    if disposition != found.dmarc.policy:
        return LOCAL
    return TESTING if found.dmarc.published != disposition else ""
