"""What is demanded of the TLS of a destination's hosts: the operator's rule, or MTA-STS, or what can be had.

The operator's rule for a domain decides alone (``queue.tls_policy``). Without one, a domain whose MTA-STS
policy is ``enforce`` gets its mail only by a host the policy names, with a certificate that public
authorities vouch for (RFC 8461 section 5); ``testing`` tries the same and goes on as if there were no policy.
All others get what they offer, encrypted or in clear (RFC 7435).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from a3mailer.mail.tls import TlsLevel, TlsPlan
from a3mailer.msgauth.mta_sts import StsPolicy, encode_policy
from a3mailer.transfer.sts import Found
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


@dataclass(frozen=True, slots=True)
class DomainDemand:
    """What is asked of the hosts of one destination."""

    domain: str
    level: str = ""
    """The operator's word; empty for none."""
    found: Found = Found()  # noqa: RUF009 - a frozen value

    def of(self, host: str) -> Demand:
        """... of this one."""
        if self.level == "never":
            return Demand((replace(NEVER, reason="queue.tls_policy says never"),))
        if self.level == "must":
            return Demand((TlsPlan(TlsLevel.MUST, reason="queue.tls_policy says must"),))
        policy = self.found.policy
        if self.level == "may" or (policy is None and self.level != "sts"):
            return Demand(OPPORTUNISTIC)
        if policy is None:
            why = self.found.reason or f"{self.domain} has no MTA-STS policy"
            return Demand((), ours("4.7.5", f"queue.tls_policy says sts, and {why}"))
        return self._by_policy(policy, host)

    def _by_policy(self, policy: StsPolicy, host: str) -> Demand:
        strict = policy.mode == "enforce" or self.level == "sts"
        named = policy.names(host)
        if strict and not named:
            return Demand((), ours("4.7.5", f"the MTA-STS policy of {self.domain} does not name {host}"))
        plan = TlsPlan(
            TlsLevel.STS,
            names=(host.lower().rstrip("."),),
            reason=f"the MTA-STS policy of {self.domain} ({policy.mode})",
            policy_type="sts",
            policy_domain=self.domain,
            policy_strings=tuple(encode_policy(policy).decode("ascii").split("\r\n")[:-1]),
            mx_hosts=policy.mx,
        )
        if strict:
            return Demand((plan,))
        return Demand((plan, *OPPORTUNISTIC) if named else OPPORTUNISTIC)


class TlsPolicy:
    """One object a process; ``rules`` as ``parse_rules`` gives them."""

    __slots__ = ("_policies", "_rules")

    def __init__(self, rules: Mapping[str, str], policies: Policies | None) -> None:
        self._rules = rules
        self._policies = policies

    async def demand(self, domain: str, *, smart_host: bool = False) -> DomainDemand:
        """For a domain, or for the smart host of that name, of whom no policy of its own is asked."""
        level = rule_of(self._rules, domain)
        if smart_host or domain.startswith("[") or level in ("may", "must", "never") or not self._policies:
            return DomainDemand(domain, level)
        return DomainDemand(domain, level, await self._policies.find(domain))


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
