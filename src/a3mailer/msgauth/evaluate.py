"""All that is known of who sent a mail: SPF, DKIM, ARC, iprev and DMARC under one deadline (RFC 8601).

The methods ask the DNS at the same time; what has no answer when the deadline comes is ``temperror``. Pure
over the Resolver door: no sockets, no store, the time is handed in.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Coroutine
from typing import Final

import msgspec
from msgspec.structs import replace

from a3mailer.mail.authresults import FAIL, NONE, PASS, TEMPERROR, AuthResults, MethodResult
from a3mailer.mail.message.headers import header_end
from a3mailer.msgauth import arc, bimi, dmarc
from a3mailer.msgauth.arc import Chain
from a3mailer.msgauth.author import Author, author, domain_name
from a3mailer.msgauth.bimi import BimiResult
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.dkim import LARGE, DkimResult, verify
from a3mailer.msgauth.dkim import NAME as DKIM_SIGNATURE
from a3mailer.msgauth.dmarc import DmarcResult, Identifier, Walk
from a3mailer.msgauth.dmarc_record import NONE as NOTHING
from a3mailer.msgauth.fields import Octets, read
from a3mailer.msgauth.iprev import IprevResult, check_iprev
from a3mailer.msgauth.spf import SpfResult, check_mail_from
from a3mailer.runtime.resolver import Answer, Resolver, ResolverFailure

LATE: Final = "no answer in time"
MAX_HEADER: Final = 256 * 1024
"""Octets of a header that is looked at; what a larger one says of its author is not believed."""
TOO_LARGE: Final = f"a header of more than {MAX_HEADER} octets"


class Incoming(msgspec.Struct, frozen=True):
    """A mail and how it came."""

    ip: str
    helo: str
    mail_from: str
    """The reverse-path in its SMTP form, empty for the null one."""
    octets: Octets


class Evaluation(msgspec.Struct, frozen=True):
    """What was found: for the header field, and for whoever decides."""

    results: AuthResults
    dmarc: DmarcResult
    chain: Chain
    """What ARC says; a seal of ours would carry it on."""
    forgiven: str = ""
    """The sealer for whose word a failed DMARC asks for nothing (RFC 8617 section 7.2.1); empty: none."""
    spf: SpfResult | None = None
    dkim: tuple[DkimResult, ...] = ()
    bimi: BimiResult | None = None
    """What the author wants shown; None: nobody has looked."""

    @property
    def author(self) -> str:
        """The author domain where it is proved: by DMARC, or, where it has no record, by a signature of
        its own or by SPF of itself. Empty where not."""
        found = self.dmarc
        if found.result == PASS:
            return found.domain
        proofs = [(each.result, each.domain) for each in self.dkim]
        if self.spf is not None:
            proofs.append((self.spf.result, self.spf.domain))
        return found.domain if found.result == NONE and (PASS, found.domain) in proofs else ""


class Evaluator:
    """One object serves all mails of a process. ``hostname`` is our authserv-id, ``trusted`` the domains
    whose ARC seals are believed, ``indicators``: whether BIMI is looked at."""

    __slots__ = ("_hostname", "_indicators", "_resolver", "_trusted")

    def __init__(
        self, resolver: Resolver, hostname: str, trusted: Collection[str] = (), *, indicators: bool = False
    ) -> None:
        self._indicators = indicators
        self._resolver = resolver
        self._hostname = hostname
        self._trusted = frozenset(domain.lower() for domain in trusted)

    async def __call__(self, mail: Incoming, now: float, seconds: float) -> Evaluation:
        """Look at one mail at ``now`` (seconds since the epoch), for no longer than ``seconds``."""
        size = len(mail.octets)
        if size > MAX_HEADER and header_end(mail.octets, 0, size) > MAX_HEADER:
            judged = dmarc.nobody(Author("", TOO_LARGE))
            return Evaluation(AuthResults(self._hostname, (method_result(judged),)), judged, Chain(NONE))
        until = asyncio.get_running_loop().time() + seconds
        work = _Work(mail, self._resolver, now, until)
        judged = await work.at_once() or await work.in_time()
        found = self._evaluation(work, judged)
        return replace(found, bimi=await work.bimi(judged)) if self._indicators else found

    def _evaluation(self, work: _Work, judged: DmarcResult) -> Evaluation:
        forgiven = ""
        if judged.result == FAIL and judged.domain:
            said = arc.trusted(work.chain, self._trusted)
            if said is not None and any(_vouches(r, judged.domain) for r in said.of("dmarc")):
                forgiven = work.chain.sets[-1].sealer
                judged = replace(judged, policy=NOTHING)
        results = (*work.results(), method_result(judged, forgiven))
        said = AuthResults(self._hostname, results)
        return Evaluation(said, judged, work.chain, forgiven, work.spf, work.dkim)


class _Unknown(Exception):
    """An answer that has to be waited for."""


class _Known:
    """What a resolver knows already. Errors: _Unknown."""

    __slots__ = ("known",)

    def __init__(self, resolver: Resolver) -> None:
        self.known = resolver.known

    async def lookup(self, name: str, kind: str) -> Answer:
        answer = self.known(name, kind)
        if answer is None:
            raise _Unknown
        return answer


class _Silence:
    """The resolver after the deadline."""

    def known(self, name: str, kind: str) -> Answer | None:
        return None

    async def lookup(self, name: str, kind: str) -> Answer:
        raise ResolverFailure(LATE)


class _Work:
    """One evaluation on its way. Each method leaves what it finds; of one that is cut off ``LATE`` stays."""

    __slots__ = (
        "_author",
        "_bodies",
        "_header",
        "_iprev",
        "_mail",
        "_now",
        "_resolver",
        "_tree",
        "_until",
        "chain",
        "dkim",
        "spf",
    )

    def __init__(self, mail: Incoming, resolver: Resolver, now: float, until: float) -> None:
        self._mail = mail
        self._resolver = resolver
        self._now = now
        self._until = until
        self._header = read(mail.octets)
        self._bodies = Bodies(mail.octets, self._header.body)
        self._author = author(mail.octets[: self._header.body])
        self._tree: Walk | None = None
        self.spf = SpfResult(TEMPERROR, mail.ip, "", sender=mail.mail_from, reason=LATE)
        self._iprev = IprevResult(TEMPERROR, mail.ip, reason=LATE)
        signed = bool(self._header.all(DKIM_SIGNATURE))
        self.dkim: tuple[DkimResult, ...] = (DkimResult(TEMPERROR, LATE),) if signed else ()
        self.chain = Chain(TEMPERROR, LATE) if arc.present(self._header) else Chain(NONE)

    async def at_once(self) -> DmarcResult | None:
        """DMARC, from answers that are known already, one method after the other; None where one is not.

        (Tasks and a deadline are a fifth of what a mail costs; a large body is hashed while others work.)"""
        judged, resolver = None, self._resolver
        if self._bodies.size < LARGE:
            self._resolver = _Known(resolver)
            try:
                for method in self._methods:
                    await method()
                judged = await self._dmarc()
            except* _Unknown:
                pass
            self._resolver = resolver
        return judged

    async def in_time(self) -> DmarcResult:
        """DMARC, from what all methods find at the same time, until the deadline."""
        try:
            async with asyncio.timeout_at(self._until):
                async with asyncio.TaskGroup() as tasks:
                    for method in self._methods:
                        tasks.create_task(method())
                return await self._dmarc()
        except TimeoutError:
            self._resolver = _Silence()
        found = await self._dmarc()
        if found.result == FAIL and found.domain:  # something is not known that might have made it pass
            return DmarcResult(TEMPERROR, found.domain, reason=LATE)
        return found

    @property
    def _methods(self) -> tuple[Callable[[], Coroutine[None, None, None]], ...]:
        always = (self._look_at_iprev, self._look_at_spf, self._walk)
        chained = (self._look_at_arc,) if self.chain.result != NONE else ()
        signed = (self._look_at_dkim,) if self.dkim else ()
        return (*always, *signed, *chained)

    async def _look_at_iprev(self) -> None:
        self._iprev = await check_iprev(self._mail.ip, self._resolver)

    async def _look_at_spf(self) -> None:
        mail = self._mail
        self.spf = await check_mail_from(mail.ip, mail.helo, mail.mail_from, self._resolver)

    async def _look_at_dkim(self) -> None:
        author_domain = self._author.domain
        self.dkim = await verify(self._header, self._bodies, self._resolver, self._now, author_domain)

    async def _look_at_arc(self) -> None:
        self.chain = await arc.validate(self._header, self._bodies, self._resolver)

    async def _walk(self) -> None:
        if self._author.domain:
            with contextlib.suppress(ResolverFailure):  # DMARC asks again, and is told at once
                self._tree = await dmarc.walk(self._author.domain, self._resolver)

    async def _dmarc(self) -> DmarcResult:
        return await dmarc.evaluate(self._author, self._identifiers(), self._resolver, self._tree)

    async def bimi(self, found: DmarcResult) -> BimiResult:
        """BIMI of what is known."""
        try:
            async with asyncio.timeout_at(self._until):
                return await bimi.of_mail(self._header, found, self.dkim, self._resolver)
        except TimeoutError:
            return BimiResult(TEMPERROR, found.domain, reason=LATE)

    def _identifiers(self) -> list[Identifier]:
        """The domains that SPF and DKIM speak of."""
        return [
            Identifier("spf", self.spf.domain, self.spf.result),
            *(Identifier("dkim", each.domain, each.result) for each in self.dkim),
        ]

    def results(self) -> tuple[MethodResult, ...]:
        """What is told of all methods but DMARC."""
        signatures = tuple(each.method_result() for each in self.dkim) or (MethodResult("dkim", NONE),)
        chain = () if self.chain.result == NONE else (self.chain.method_result(self._mail.ip),)
        return (self._iprev.method_result(), self.spf.method_result(), *signatures, *chain)


def _vouches(result: MethodResult, domain: str) -> bool:
    """Does a result of a sealer we trust say that DMARC of this domain passed there?"""
    said = result.value("header", "from") or ""
    return result.result == PASS and domain_name(said.encode("utf-8", "replace")) == domain


def method_result(found: DmarcResult, forgiven: str = "") -> MethodResult:
    """DMARC as Authentication-Results says it (RFC 7489 section 11.1, RFC 9989); of a mail that passed, what
    would have been asked: whoever changes the mail later has to know (``transfer/lists/mail.py``)."""
    reason = f"sealed by {forgiven}, whom we trust" if forgiven else found.reason
    properties: tuple[tuple[str, str, str], ...] = ()
    if found.domain:
        properties += (("header", "from", found.domain),)
    policy = found.published if found.result == PASS else found.policy
    if found.result == FAIL or policy != NOTHING:
        properties += (("policy", "dmarc", policy),)
    return MethodResult("dmarc", found.result, reason, properties)
