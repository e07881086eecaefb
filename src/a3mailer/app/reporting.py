"""Everything of a worker that makes reports for other domains (ADR 0025), wired together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from a3mailer.app.held import Held
from a3mailer.app.material import redaction_key
from a3mailer.config.tree import Settings
from a3mailer.ops.reports.dmarc_sending import DmarcReports
from a3mailer.ops.reports.failures import FailureReports
from a3mailer.ops.reports.tls_sending import TlsReports
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.http import HttpClient
from a3mailer.runtime.resolver import Resolver
from a3mailer.store.ports import Store
from a3mailer.transfer.indicators import Indicators
from a3mailer.transfer.policy.authenticate import Authenticate
from a3mailer.transfer.policy.dmarc_outcomes import DmarcOutcomes
from a3mailer.transfer.policy.replays import Replays
from a3mailer.transfer.signing import Personal, Signing
from a3mailer.transfer.tallies import Tallies


@dataclass(frozen=True, slots=True)
class Reporting:
    """What counts, who hears of failures, the judge that tells both, what signs, and what has pictures."""

    signing: Signing
    tallies: Tallies
    failures: FailureReports
    authenticate: Authenticate
    indicators: Indicators


def reporting(
    held: Held,
    store: Store,
    resolver: Resolver,
    clock: Clock,
    settings: Callable[[], Settings],
    personal: Personal | None = None,
    *,
    http: HttpClient,
) -> Reporting:
    """Of one worker."""
    signing = Signing(held.directory / "keys" / "dkim", settings(), personal)
    tallies = Tallies(store, clock)
    key = redaction_key(held.directory)
    failures = FailureReports(store, resolver, clock, settings, signing.signs, key)
    outcomes = DmarcOutcomes(tallies, settings())
    indicators = Indicators(store, http, clock, held.directory, settings())
    replays = Replays(held.signatures, clock)
    authenticate = Authenticate(resolver, settings(), clock, outcomes, failures.note, indicators, replays)
    return Reporting(signing, tallies, failures, authenticate, indicators)


def daily(
    store: Store,
    resolver: Resolver,
    http: HttpClient,
    clock: Clock,
    settings: Callable[[], Settings],
    signing: Signing,
) -> tuple[TlsReports, DmarcReports]:
    """What one worker of an instance sends for all of them."""
    return (
        TlsReports(store, resolver, http, clock, settings, signing.signs),
        DmarcReports(store, resolver, clock, settings, signing.signs),
    )
