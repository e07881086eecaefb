"""What is demanded of a host's TLS: the operator's rule, or DANE, or MTA-STS, or what can be had.

The operator's rule for a domain decides alone (``queue.tls_policy``). Without one, a host with usable TLSA
records at the end of a validated way gets mail only with a certificate that one of them speaks of (RFC 7672),
whatever MTA-STS says (RFC 8461 section 2). Else a domain whose MTA-STS policy is ``enforce`` gets its mail
only by a host the policy names, with a certificate that public authorities vouch for (section 5); ``testing``
tries the same and goes on as if there were no policy. All others get what they offer, encrypted or in clear
(RFC 7435); but never in clear where there are TLSA records, be they unusable (RFC 7672 section 2.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from a3mailer.mail.tls import TlsLevel, TlsPlan
from a3mailer.msgauth.mta_sts import StsPolicy, encode_policy
from a3mailer.runtime.resolver import Resolver
from a3mailer.transfer.relay.destinations.dane import dane_plan
from a3mailer.transfer.relay.destinations.mx import Host, NoRoute
from a3mailer.transfer.relay.sts import Found
from a3mailer.wire.smtp.remote import RemoteReply, ours

MAY: Final = TlsPlan(TlsLevel.MAY)
NEVER: Final = TlsPlan(TlsLevel.NEVER)
OPPORTUNISTIC: Final = (MAY, NEVER)


class Policies(Protocol):
    """``transfer.sts.StsPolicies``."""

    async def find(self, domain: str) -> Found: ...


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of one host. ``plans`` are tried in order, the next when TLS failed under the last."""

    plans: tuple[TlsPlan, ...]
    refusal: RemoteReply | None = None
    """No mail for this host; why."""
    failure: str = ""
    """What is wrong with the host by its policy, as a result type of RFC 8460 section 4.3."""
    policy: TlsPlan | None = None
    """... which is this one, where it is not that of its TLSA records."""


@dataclass(frozen=True, slots=True)
class DomainDemand:
    """What is asked of the hosts of one destination."""

    domain: str
    level: str = ""
    """The operator's word; empty for none."""
    found: Found = Found()  # noqa: RUF009 - a frozen value

    def of(self, host: str, dane: TlsPlan | None = None) -> Demand:
        """... of this one. ``dane``: what its TLSA records demand."""
        if self.level == "never":
            return Demand((replace(NEVER, reason="queue.tls_policy says never"),))
        if self.level == "must":
            return Demand((TlsPlan(TlsLevel.MUST, reason="queue.tls_policy says must"),))
        if dane is not None and dane.level is TlsLevel.DANE:
            return Demand((dane,))
        if self.level == "dane":
            why = f"{host} has no usable TLSA records in signed zones"
            return Demand((), ours("4.7.5", f"queue.tls_policy says dane, and {why}"), "dane-required")
        policy, rest = self.found.policy, (dane,) if dane is not None else OPPORTUNISTIC
        if self.level == "may" or (policy is None and self.level != "sts"):
            return Demand(rest)
        if policy is None:
            why = self.found.reason or f"{self.domain} has no MTA-STS policy"
            return Demand((), ours("4.7.5", f"queue.tls_policy says sts, and {why}"))
        return self._by_policy(policy, host, rest)

    def _by_policy(self, policy: StsPolicy, host: str, rest: tuple[TlsPlan, ...]) -> Demand:
        strict = policy.mode == "enforce" or self.level == "sts"
        named = policy.names(host)
        plan = TlsPlan(
            TlsLevel.STS,
            names=(host.lower().rstrip("."),),
            reason=f"the MTA-STS policy of {self.domain} ({policy.mode})",
            policy_type="sts",
            policy_domain=self.domain,
            policy_strings=tuple(encode_policy(policy).decode("ascii").split("\r\n")[:-1]),
            mx_hosts=policy.mx,
        )
        if named:
            return Demand((plan,) if strict else (plan, *rest))
        unnamed = f"the MTA-STS policy of {self.domain} does not name {host}"
        refusal = ours("4.7.5", unnamed) if strict else None
        return Demand(() if strict else rest, refusal, "validation-failure", plan)


class TlsPolicy:
    """One object a process; ``rules`` as ``parse_rules`` gives them."""

    __slots__ = ("_policies", "_resolver", "_rules")

    def __init__(self, rules: Mapping[str, str], policies: Policies | None, resolver: Resolver) -> None:
        self._rules = rules
        self._policies = policies
        self._resolver = resolver

    async def demand(self, domain: str, *, smart_host: bool = False) -> DomainDemand:
        """For a domain, or for the smart host of that name, of whom no policy of its own is asked."""
        level = rule_of(self._rules, domain)
        if smart_host or domain.startswith("[") or level not in ("", "sts") or not self._policies:
            return DomainDemand(domain, level)
        return DomainDemand(domain, level, await self._policies.find(domain))

    async def of(self, demand: DomainDemand, host: Host) -> Demand:
        """... of one of its hosts; a question about its TLSA records that has no answer is a refusal."""
        if demand.level not in ("", "dane"):
            return demand.of(host.name)
        try:
            dane = await dane_plan(host, demand.domain, self._resolver)
        except NoRoute as error:
            return Demand((), ours(error.enhanced, error.text), "dnssec-invalid")
        return demand.of(host.name, dane)


def parse_rules(texts: Iterable[str]) -> dict[str, str]:
    """``domain=level`` each, as ``config.checks`` has let through."""
    return {name.lower(): level for name, _, level in (text.partition("=") for text in texts)}


def rule_of(rules: Mapping[str, str], domain: str) -> str:
    """The rule of a domain: its own, that of the nearest ``.parent``, or that of ``*``; empty for none."""
    name = domain.lower().rstrip(".")
    if name in rules:
        return rules[name]
    while name:
        name = name.partition(".")[2]
        if name and f".{name}" in rules:
            return rules[f".{name}"]
    return rules.get("*", "")
