"""What the DNS demands of the TLS of one host (RFC 7672 section 2.2): its TLSA records, where they count.

They count only where the way to them is validated throughout: the domain's MX records, the host's addresses,
the records themselves. A question that fails on that way makes the host unusable for now, since whoever can
suppress an answer could otherwise suppress the demand.
"""

from __future__ import annotations

from dataclasses import replace

from a3mailer.mail.tls import TlsPlan
from a3mailer.msgauth.dane import plan_of
from a3mailer.runtime.resolver import Resolver
from a3mailer.transfer.relay.destinations.mx import Host, NoRoute, ask, is_address


async def dane_plan(host: Host, domain: str, resolver: Resolver) -> TlsPlan | None:
    """The demand, or None where DANE does not apply. ``domain`` is where the mail goes.

    Errors: NoRoute, not permanent: a question failed, and the host is not to be used."""
    if not host.authentic or is_address(host.name):
        return None
    for base in await _bases(host, resolver):
        answer = await ask(resolver, f"_{host.port}._tcp.{base}", "TLSA")
        if answer.authentic and answer.associations:
            names = filter(None, (base, host.name, domain, host.canonical))  # section 3.2.2
            plan = plan_of(answer.associations, base, tuple(names))
            return replace(plan, policy_domain=domain)
    return None


async def _bases(host: Host, resolver: Resolver) -> tuple[str, ...]:
    """Candidates for the TLSA base domain, the one to prefer first (section 2.2.2). Errors: NoRoute."""
    found, failure = [], None
    for kind in ("AAAA", "A"):
        try:
            answer = await ask(resolver, host.name, kind)
        except NoRoute as error:
            failure = error
            continue
        if answer.records:
            found.append(answer)
    secure = [answer for answer in found if answer.authentic]
    if secure:
        canonical = secure[0].canonical
        return (canonical, host.name) if canonical else (host.name,)
    if not found and failure is not None:
        raise failure
    if any(answer.canonical for answer in found):
        alias = await ask(resolver, host.name, "CNAME")
        if alias.authentic and alias.records:
            return (host.name,)
    return ()
