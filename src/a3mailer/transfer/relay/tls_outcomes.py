"""What became of the TLS of sessions out, counted for the reports their domains ask for (RFC 8460).

A session counts once, where it is opened, under the first plan that was tried: what a failed one falls back
to is the same session to its domain. Mails that share a session are not counted, nor hosts that could not be
reached at all (section 4.3.3: transient errors need not be reported), nor a smart host, which is nobody's MX,
nor sessions for a mail with a wish of its own (RFC 8689): our reports are such mails (section 3).
"""

from __future__ import annotations

from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.tls import TlsLevel, TlsPlan
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.relay.sts import Found
from a3mailer.transfer.relay.tls_policy import Demand, DomainDemand
from a3mailer.transfer.tallies import Tallies
from a3mailer.wire.smtp.remote import RemoteReply

KIND: Final = "tls"
"""Of the tallies."""
MAX_REASON: Final = 200
"""Characters of what went wrong in words."""
MAX_POLICY: Final = 100
"""Lines of a policy that are kept with a count."""
FETCH: Final = TlsPlan(policy_type="sts")
"""The policy that could not be had."""


class TlsOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is counted apart: the key of a tally."""

    policy_type: str
    policy_string: tuple[str, ...] = ()
    mx_host: tuple[str, ...] = ()
    result: str = ""
    """A result type of section 4.3; empty: the session was as the policy wants it."""
    host: str = ""
    sender: str = ""
    """Our address."""
    receiver: str = ""
    """... and theirs."""
    reason: str = ""


class Ends(msgspec.Struct, frozen=True):
    """Who talked to whom."""

    host: str
    sender: str = ""
    receiver: str = ""


class TlsOutcomes:
    """One object a process. A session without a ``DomainDemand`` is in nobody's report."""

    __slots__ = ("_on", "_tallies")

    def __init__(self, tallies: Tallies | None, settings: Settings) -> None:
        """``tallies`` None: only the metrics count."""
        self._tallies = tallies
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._on = settings.reports.tls_send

    def opened(self, demand: DomainDemand | None, plan: TlsPlan, ends: Ends, tls: str) -> None:
        """A session under ``plan``; ``tls`` is empty where it is in clear."""
        if plan.level is TlsLevel.NEVER:
            return
        if not tls:
            self._add(demand, plan, ends, "starttls-not-supported")
        elif plan.policy_type == "tlsa" and plan.level is not TlsLevel.DANE:
            self._add(demand, plan, ends, "tlsa-invalid", plan.reason)
        else:
            self._add(demand, plan)
        self._unfetched(demand)

    def failed(
        self, demand: DomainDemand | None, plan: TlsPlan, ends: Ends, result: str, reply: RemoteReply
    ) -> None:
        """TLS failed under ``plan``. Of what they said the code is kept: words could be others each time."""
        reason = f"{reply.code} {reply.enhanced}" if reply.code else reply.text
        self._add(demand, plan, ends, result or "validation-failure", reason)
        self._unfetched(demand)

    def refused(self, demand: DomainDemand | None, host: str, ask: Demand) -> None:
        """No session was tried with a host, or none under the policy that does not name it."""
        if ask.refusal is not None and not ask.failure:
            self._unfetched(demand)
        elif ask.failure:
            plan = ask.policy or TlsPlan(policy_type="tlsa")
            reason = ask.refusal.text if ask.refusal is not None else "the policy does not name this host"
            self._add(demand, plan, Ends(host), ask.failure, reason)

    def _unfetched(self, demand: DomainDemand | None) -> None:
        """Of a policy that could not be had and of which nothing is kept."""
        found = Found() if demand is None else demand.found
        if found.failure and found.policy is None:
            self._add(demand, FETCH, Ends(""), found.failure, found.reason)

    def _add(
        self,
        demand: DomainDemand | None,
        plan: TlsPlan,
        ends: Ends | None = None,
        result: str = "",
        reason: str = "",
    ) -> None:
        count("a3_relay_tls_total", f"{plan.policy_type} {'failed' if result else 'ok'}")
        if demand is None or self._tallies is None or not self._on:
            return
        policy = (plan.policy_type, plan.policy_strings[:MAX_POLICY], plan.mx_hosts[:MAX_POLICY])
        if result and ends is not None:
            key = TlsOutcome(*policy, result, ends.host, ends.sender, ends.receiver, reason[:MAX_REASON])
        else:
            key = TlsOutcome(*policy)
        self._tallies.add(KIND, demand.domain, msgspec.json.encode(key).decode())
