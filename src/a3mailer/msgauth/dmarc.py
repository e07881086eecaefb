"""DMARC: is a mail from the domain it says it is from, and what does that domain ask for if not?

RFC 9989 (organizational domains by DNS tree walk) and the records of RFC 7489 and RFC 9091. Pure over the
Resolver door; a DNS failure is ``temperror``. Nothing here raises but ``ResolverFailure`` inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from a3mailer.mail.authresults import FAIL, NONE, PASS, PERMERROR, TEMPERROR
from a3mailer.msgauth import dmarc_record as record
from a3mailer.msgauth.author import Author, domain_name
from a3mailer.msgauth.dmarc_record import DmarcRecord
from a3mailer.runtime.resolver import Resolver, ResolverFailure

MAX_QUESTIONS: Final = 8
"""Names one tree walk asks for (RFC 9989 section 4.10)."""
MAX_IDENTIFIERS: Final = 20
"""Authenticated domains that are compared with the author domain."""

MILDER: Final = {
    record.REJECT: record.QUARANTINE,
    record.QUARANTINE: record.NONE,
    record.NONE: record.NONE,
}
"""What ``t=y`` makes of a policy (RFC 9989 section 4.7)."""


class Identifier(msgspec.Struct, frozen=True):
    """What SPF or DKIM found out about a domain: ``method`` is spf or dkim, ``result`` a word of RFC 8601."""

    method: str
    domain: str
    result: str


class DmarcResult(msgspec.Struct, frozen=True):
    """``policy`` is what the domain asks to be done with this mail: none, quarantine or reject;
    ``published`` what its record says of such a mail before ``t=y`` makes it milder, passed or not."""

    result: str
    domain: str = ""
    """The author domain; empty where there is not exactly one."""
    policy: str = record.NONE
    reason: str = ""
    aligned: Identifier | None = None
    """What made it pass, or what could not be checked."""
    record: DmarcRecord | None = None
    found_at: str = ""
    """The domain whose record it is."""
    organizational: str = ""
    """The organizational domain of the author domain."""
    published: str = "none"

    def sentence(self) -> str:
        """The verdict for people."""
        if self.result == PASS and self.aligned is not None:
            return (
                f"The mail is from {self.domain}: {self.aligned.method} of {self.aligned.domain} proves it."
            )
        if self.result == FAIL and not self.domain:
            return f"The mail is from nobody in particular: {self.reason}."
        if self.result == FAIL:
            asked = {record.NONE: "nothing to be done", record.QUARANTINE: "caution"}.get(
                self.policy, "refusal"
            )
            return f"Nothing proves that the mail is from {self.domain}, which asks for {asked}."
        if self.result == NONE:
            return f"{self.domain} has no DMARC record."
        return f"DMARC of {self.domain} could not be found out: {self.reason}."


class Walk(msgspec.Struct, frozen=True):
    """What a tree walk found: domain and record, from the domain itself upwards."""

    start: str
    found: tuple[tuple[str, DmarcRecord], ...]

    @property
    def organizational(self) -> str:
        """The organizational domain (RFC 9989 section 4.10.2); the start where no record says otherwise."""
        for domain, each in self.found:
            if each.psd == "n":
                return domain
            if each.psd == "y" and domain != self.start:
                labels = self.start.split(".")
                return ".".join(labels[-domain.count(".") - 2 :])
        return self.found[-1][0] if self.found else self.start

    @property
    def in_force(self) -> tuple[str, DmarcRecord] | None:
        """The record that holds for the start: its own, its organization's, or its public suffix's."""
        known = dict(self.found)
        for domain in (self.start, self.organizational):
            if domain in known:
                return domain, known[domain]
        return next(((d, r) for d, r in self.found if r.psd == "y"), None)


def names(domain: str) -> tuple[str, ...]:
    """The domains a tree walk asks for: the start, then upwards from seven labels at most."""
    labels = domain.split(".")
    upwards = min(len(labels) - 1, MAX_QUESTIONS - 1)
    return (domain, *(".".join(labels[-n:]) for n in range(upwards, 0, -1)))


async def walk(domain: str, resolver: Resolver) -> Walk:
    """Walk the tree up from ``domain``. Errors: ResolverFailure."""
    found = []
    for name in names(domain):
        answer = await resolver.lookup(f"_dmarc.{name}", "TXT")
        records = [r for r in map(record.parse, answer.texts) if r is not None]
        if len(records) == 1:  # several are none (RFC 9989 section 4.10)
            found.append((name, records[0]))
            if records[0].psd in ("y", "n"):  # at the start, too: what is above it is somebody else's
                break
    return Walk(domain, tuple(found))


async def evaluate(
    author: Author, identifiers: Sequence[Identifier], resolver: Resolver, tree: Walk | None = None
) -> DmarcResult:
    """DMARC of one mail, from its author and from what SPF and DKIM have found.

    ``tree``: what the walk up from the author domain has found, where that is known already."""
    if not author.domain:
        return nobody(author)
    try:
        return await _evaluate(tree or await walk(author.domain, resolver), identifiers, resolver)
    except ResolverFailure as error:
        return DmarcResult(TEMPERROR, author.domain, reason=str(error))


def nobody(author: Author) -> DmarcResult:
    """A mail that is from nobody in particular."""
    return DmarcResult(FAIL, policy=record.REJECT, reason=author.problem)


async def _evaluate(tree: Walk, identifiers: Sequence[Identifier], resolver: Resolver) -> DmarcResult:
    domain, in_force = tree.start, tree.in_force
    if in_force is None:
        return DmarcResult(NONE, domain)
    found_at, published = in_force
    if not published.policy:
        return DmarcResult(
            PERMERROR, domain, reason="a record without a policy", record=published, found_at=found_at
        )
    known = [i for i in identifiers[:MAX_IDENTIFIERS] if i.result in (PASS, TEMPERROR)]
    known.sort(key=lambda i: (i.result != PASS, i.domain != domain))
    for each in known:
        if await is_aligned(each, tree, published, resolver):
            reason = "" if each.result == PASS else f"{each.method} of {each.domain} could not be checked"
            return DmarcResult(
                each.result,
                domain,
                reason=reason,
                aligned=each,
                record=published,
                found_at=found_at,
                organizational=tree.organizational,
                published=_published(domain, found_at, published),
            )
    policy = await _policy(domain, found_at, published, resolver)
    return DmarcResult(
        FAIL,
        domain,
        MILDER[policy] if published.testing else policy,
        record=published,
        found_at=found_at,
        organizational=tree.organizational,
        published=policy,
    )


async def is_aligned(identifier: Identifier, tree: Walk, published: DmarcRecord, resolver: Resolver) -> bool:
    """Is an authenticated domain the author's (RFC 9989 section 4.4)? Errors: ResolverFailure."""
    domain = domain_name(identifier.domain.encode("utf-8", "replace"))
    if domain == tree.start:
        return True
    strict = published.strict_spf if identifier.method == "spf" else published.strict_dkim
    organization = tree.organizational
    if strict or not domain or not (domain == organization or domain.endswith(f".{organization}")):
        return False
    return (await walk(domain, resolver)).organizational == organization


async def _policy(domain: str, found_at: str, published: DmarcRecord, resolver: Resolver) -> str:
    """What is published for a mail that fails. Errors: ResolverFailure."""
    if domain != found_at and published.absent_policy and not (await resolver.lookup(domain, "A")).exists:
        return published.absent_policy
    return _published(domain, found_at, published)


def _published(domain: str, found_at: str, published: DmarcRecord) -> str:
    """... for a mail of a domain that exists."""
    return (published.subdomain_policy if domain != found_at else "") or published.policy
