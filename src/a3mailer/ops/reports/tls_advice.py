"""What TLS reports of others come to, added up and in words (RFC 8460): who failed how, and what to do.

Everything here was written by strangers, who may lie: numbers are added up as they come, words are cleaned
and cut before anybody reads them, and nothing is done but telling.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from a3mailer.msgauth.mta_sts import PATH
from a3mailer.msgauth.tlsrpt import RESULT_TYPES, Failure, PolicyResult, TlsReport
from a3mailer.wire.dsn.compose import clean

MOST_WORD: Final = 100
"""Characters of a stranger's word that are repeated."""
MOST_FAILURES: Final = 1000
"""Kinds of failure that are told apart."""
MOST_SOURCES: Final = 1000
ADVICES: Final = 20
"""Sentences about failures of one domain."""
NAMED: Final = 3
"""Sources that a sentence names."""
POLICIES: Final = {
    "sts": "the MTA-STS policy demands it",
    "tlsa": "the TLSA records demand it",
}
DO: Final = {
    "starttls-not-supported": "see that it offers STARTTLS to all, and that nothing on the way takes it out",
    "certificate-host-mismatch": "its certificate must carry the name {host}",
    "certificate-expired": "renew its certificate",
    "tlsa-invalid": "publish the records that domain dns prints",
    "dnssec-invalid": "see that the signatures of the zone are valid and the DS record fits",
    "dane-required": "publish the records that domain dns prints, in a signed zone",
    "sts-policy-fetch-error": "see that {policy} answers from outside",
    "sts-policy-invalid": "see what {policy} gives",
    "sts-webpki-invalid": "the certificate there must be valid and carry the name mta-sts.{domain}",
}
TRUST: Final = {
    "tlsa": "publish the TLSA records of the certificate in use before it is used",
    "sts": "use one of a public authority, with all intermediate certificates",
}
"""What to do about certificate-not-trusted, by policy type."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Failures that are told together."""

    domain: str
    policy_type: str
    result: str
    host: str


@dataclass(slots=True)
class TlsSum:
    """``add`` reports, then ask."""

    reports: int = 0
    good: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Sessions by (domain, policy type)."""
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: Counter[Kind] = field(default_factory=Counter)
    sources: dict[Kind, set[str]] = field(default_factory=dict)
    reasons: dict[Kind, str] = field(default_factory=dict)
    """The first reason that was given."""
    testing: set[str] = field(default_factory=set)
    """Domains whose policy was seen in testing."""

    def add(self, report: TlsReport) -> None:
        """Count one report."""
        self.reports += 1
        source = word(report.organization_name)
        for result in report.policies:
            place = (word(result.policy.policy_domain).lower(), word(result.policy.policy_type))
            if place not in self.good and len(self.good) >= MOST_FAILURES:
                continue
            self.good[place] += result.summary.total_successful_session_count
            self.failed[place] += result.summary.total_failure_session_count
            if "mode: testing" in result.policy.policy_string:
                self.testing.add(place[0])
            for failure in result.failure_details:
                self._fail(place, result, failure, source)

    def _fail(self, place: tuple[str, str], result: PolicyResult, failure: Failure, source: str) -> None:
        host = failure.receiving_mx_hostname or failure.receiving_ip or " ".join(result.policy.mx_host[:1])
        kind = Kind(*place, word(failure.result_type), word(host).lower().rstrip("."))
        if kind not in self.failures and len(self.failures) >= MOST_FAILURES:
            return
        self.failures[kind] += failure.failed_session_count
        sources = self.sources.setdefault(kind, set())
        if len(sources) < MOST_SOURCES:
            sources.add(source)
        if failure.failure_reason_code:
            self.reasons.setdefault(kind, word(failure.failure_reason_code))

    def advice(self) -> list[str]:
        """Sentences, the gravest first: what fails under a policy, then the rest, each by how often."""
        ranked = sorted(
            self.failures.items(), key=lambda each: (each[0].policy_type not in POLICIES, -each[1])
        )
        told = [self._sentence(kind, count) for kind, count in ranked if count][:ADVICES]
        for domain in sorted(self.testing):
            good, failed = self.good[domain, "sts"], self.failed[domain, "sts"]
            if good and not failed:
                told.append(
                    f"{domain}: {times(good)} a session met the MTA-STS policy, which is in testing, and none"
                    " failed: web.mta_sts can be enforce"
                )
        return told

    def _sentence(self, kind: Kind, count: int) -> str:
        who = kind.domain if kind.result.startswith("sts-") else kind.host or f"a host of {kind.domain}"
        told = [f"{who} {said(kind.result)} {times(count)}"]
        if kind.result == "starttls-not-supported" and kind.policy_type in POLICIES:
            told[0] += f": {POLICIES[kind.policy_type]}"
        if kind in self.reasons and (kind.result not in DO or kind.result.startswith("sts-policy-")):
            told[0] += f" ({self.reasons[kind]})"
        names = sorted(self.sources.get(kind, ()))
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        told.append(f"says {', '.join(names[:NAMED])}{more}")
        do = (
            TRUST.get(kind.policy_type, "")
            if kind.result == "certificate-not-trusted"
            else DO.get(kind.result, "")
        )
        policy = f"https://mta-sts.{kind.domain}{PATH}"
        told += [do.format(host=kind.host or "of the host", domain=kind.domain, policy=policy)] if do else []
        return "; ".join(told)


def said(result: str) -> str:
    """A result type in words; one that is not of the RFC as it came."""
    return RESULT_TYPES.get(result) or word(result) or "failed"


def times(count: int) -> str:
    """... in words."""
    return "once" if count == 1 else f"{count} times"


def word(text: str) -> str:
    """A stranger's word: one line, without controls, short."""
    return clean("".join(c if c.isprintable() else " " for c in text), MOST_WORD).strip()
