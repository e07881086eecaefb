"""SPF: may this client send mail in this name (RFC 7208)?

``check_mail_from`` and ``check_helo`` ask for the two identities of section 2; ``check_host`` is the function
of section 4. Everything comes in: addresses, names, a resolver, the time. Nothing raises: a policy that
cannot be used is permerror, one that could not be read is temperror. Whoever has a deadline keeps it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from a3mailer.mail.authresults import (
    FAIL,
    NEUTRAL,
    NONE,
    PASS,
    PERMERROR,
    SOFTFAIL,
    TEMPERROR,
    MethodResult,
)
from a3mailer.msgauth.iprev import Address, leads_to, names_of, parse_address
from a3mailer.msgauth.spf_macro import MacroString, as_name, expand, is_name, letters, parse_macros
from a3mailer.msgauth.spf_record import Directive, Malformed, Record, Records, is_record
from a3mailer.runtime.resolver import Answer, Resolver, ResolverFailure

MAX_LOOKUPS: Final = 10
"""Terms that ask the DNS, in a policy and all it includes (section 4.6.4)."""
MAX_VOIDS: Final = 2
"""Of them, those that may be answered with nothing."""
MAX_EXCHANGES: Final = 10
"""MX records of one "mx"."""
MAX_EXPLANATION: Final = 500
"""Characters of an explanation."""

MAIL_FROM: Final = "mailfrom"
HELO: Final = "helo"

_RECORDS: Final = Records()


class Explain(msgspec.Struct, frozen=True):
    """That the explanation of a fail is wanted, and what it may say of us (section 7.3)."""

    receiver: str = "unknown"
    """Our name."""
    now: float = 0.0
    """Seconds of the epoch."""


class SpfResult(msgspec.Struct, frozen=True):
    """What a policy says of a client."""

    result: str
    """none, neutral, pass, fail, softfail, temperror or permerror (section 2.6)."""
    ip: str
    domain: str
    """Whose policy was asked for, in lower case."""
    identity: str = MAIL_FROM
    """``MAIL_FROM`` or ``HELO``."""
    sender: str = ""
    matched: tuple[str, ...] = ()
    """The terms that led here, from outside in: ``("include:_spf.example.net", "ip4:192.0.2.0/24")``."""
    explanation: str = ""
    """What the domain says about a fail: a stranger's words, printable ASCII."""
    reason: str = ""
    """Why there is no better result."""
    lookups: int = 0
    """Terms that asked the DNS."""
    voids: int = 0

    @property
    def mechanism(self) -> str:
        """The term of the domain's own policy that matched, "" without one."""
        return self.matched[0] if self.matched else ""

    def method_result(self) -> MethodResult:
        """As it stands in Authentication-Results (RFC 8601 section 2.7.2)."""
        value = self.sender if self.identity == MAIL_FROM else self.domain
        return MethodResult("spf", self.result, self.reason, (("smtp", self.identity, value),))

    def sentence(self) -> str:
        """The verdict for people."""
        where = f" ({' > '.join(self.matched)})" if self.matched else ""
        text = _SENTENCES[self.result].format(domain=self.domain, ip=self.ip, why=self.reason)
        return f"{text}{where}."


_SENTENCES: Final = {
    PASS: "{domain} allows {ip} to send its mail",
    FAIL: "{domain} says that {ip} must not send its mail",
    SOFTFAIL: "{domain} says that {ip} should probably not send its mail",
    NEUTRAL: "{domain} says neither that {ip} may send its mail nor that it must not",
    NONE: "Nothing says who may send mail of {domain}: {why}",
    PERMERROR: "The policy of {domain} cannot be used: {why}",
    TEMPERROR: "The policy of {domain} could not be read: {why}",
}


class _NoPolicy(Exception):
    """A policy that cannot be followed to its end: ``result`` is temperror or permerror."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


class _Match(msgspec.Struct, frozen=True):
    """What one policy says; ``domain`` is where the term stands that decided, or "" without a policy."""

    result: str
    domain: str = ""
    matched: tuple[str, ...] = ()
    explanation: MacroString = ()


def _dotted(address: Address) -> str:
    """The value of %{i}: an IPv6 address as nibbles (section 7.3)."""
    return str(address) if address.version == 4 else ".".join(f"{int(address):032X}")


class _Check:
    """One evaluation: the client, the sender and what is left of the budgets."""

    __slots__ = (
        "_address",
        "_helo",
        "_kind",
        "_names",
        "_number",
        "_resolver",
        "_sender",
        "lookups",
        "voids",
    )

    def __init__(self, address: Address, sender: str, helo: str, resolver: Resolver) -> None:
        self._address = address
        self._number = int(address)
        self._kind = "A" if address.version == 4 else "AAAA"
        self._sender = sender
        self._helo = helo
        self._resolver = resolver
        self._names: tuple[str, ...] | None = None
        self.lookups = 0
        self.voids = 0

    # --- the DNS ------------------------------------------------------------------------------------------

    async def _lookup(self, name: str, kind: str) -> Answer:
        """A name that the DNS cannot have does not exist. Errors: ResolverFailure."""
        if not is_name(name):
            return Answer(name, kind, exists=False)
        return await self._resolver.lookup(name.replace("\\", "\\\\"), kind)

    async def _ask(self, name: str, kind: str) -> Answer:
        """The question of a term, counted when it is answered with nothing. Errors: _NoPolicy."""
        try:
            answer = await self._lookup(name, kind)
        except ResolverFailure as error:
            raise _NoPolicy(TEMPERROR, str(error)) from error
        if not answer.records:
            self.voids += 1
            if self.voids > MAX_VOIDS:
                raise _NoPolicy(PERMERROR, f"more than {MAX_VOIDS} of its terms lead nowhere in the DNS")
        return answer

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:
            raise _NoPolicy(PERMERROR, f"more than {MAX_LOOKUPS} of its terms ask the DNS")

    # --- macros -------------------------------------------------------------------------------------------

    async def _expand(self, macros: MacroString, domain: str, explain: Explain | None = None) -> str:
        """A macro-string in the policy of ``domain``."""
        if len(macros) == 1 and isinstance(macros[0], str):
            return macros[0]
        address, explain = self._address, explain or Explain()
        local_part, _, sender_domain = self._sender.rpartition("@")
        local_part = local_part or "postmaster"
        values = {
            "s": f"{local_part}@{sender_domain}",
            "l": local_part,
            "o": sender_domain,
            "d": domain,
            "i": _dotted(address),
            "p": await self._confirmed_name(domain) if "p" in letters(macros) else "",
            "v": "in-addr" if address.version == 4 else "ip6",
            "h": self._helo,
            "c": str(address),
            "r": explain.receiver,
            "t": str(int(explain.now)),
        }
        return expand(macros, values)

    async def _target(self, macros: MacroString, domain: str) -> str:
        """The name a term asks for. A local-part beyond ASCII makes none (RFC 8616 section 4)."""
        return as_name(await self._expand(macros, domain)) if macros else domain

    async def _confirmed(self) -> tuple[str, ...]:
        """The names of the client that lead back to it (section 5.5); asked for once."""
        if self._names is None:
            found = []
            try:
                for name in await names_of(self._address, self._resolver):
                    try:
                        if await leads_to(name, self._address, self._resolver):
                            found.append(name)
                    except ResolverFailure:
                        continue  # "that domain name is skipped and the search continues"
            except ResolverFailure:
                found = []
            self._names = tuple(found)
        return self._names

    async def _confirmed_name(self, domain: str) -> str:
        """The value of %{p}: the domain itself, one under it, any, or "unknown" (section 7.3)."""
        if self._names is None:
            self._count()
        names = await self._confirmed()
        under = [name for name in names if name.endswith("." + domain)]
        return domain if domain in names else (under or names or ("unknown",))[0]

    # --- mechanisms ---------------------------------------------------------------------------------------

    def _has(self, answer: Answer, directive: Directive) -> bool:
        """Whether one of the addresses, cut as the mechanism says, is the client's."""
        shift = directive.shift4 if self._kind == "A" else directive.shift6
        for text in answer.strings:
            address = parse_address(text)
            if (
                address is not None
                and address.version == self._address.version
                and int(address) >> shift == self._number >> shift
            ):
                return True
        return False

    async def _a(self, directive: Directive, domain: str) -> bool:
        name = await self._target(directive.domain, domain)
        return self._has(await self._ask(name, self._kind), directive)

    async def _mx(self, directive: Directive, domain: str) -> bool:
        answer = await self._ask(await self._target(directive.domain, domain), "MX")
        exchanges = answer.exchanges
        if len(exchanges) > MAX_EXCHANGES:
            raise _NoPolicy(PERMERROR, f"{directive.term} leads to more than {MAX_EXCHANGES} MX records")
        for mx in exchanges:
            try:
                found = await self._lookup(mx.exchange.removesuffix("."), self._kind)
            except ResolverFailure as error:
                raise _NoPolicy(TEMPERROR, str(error)) from error
            if self._has(found, directive):
                return True
        return False

    async def _ptr(self, directive: Directive, domain: str) -> bool:
        target = (await self._target(directive.domain, domain)).lower()
        return any(name == target or name.endswith("." + target) for name in await self._confirmed())

    async def _exists(self, directive: Directive, domain: str) -> bool:
        return bool((await self._ask(await self._target(directive.domain, domain), "A")).records)

    async def _include(self, directive: Directive, domain: str) -> tuple[str, ...] | None:
        """The terms inside that matched; None without a match (the table of section 5.2)."""
        inside = await self.policy(await self._target(directive.domain, domain))
        if inside.result == NONE:
            raise _NoPolicy(PERMERROR, f"{directive.term} leads to no policy")
        return inside.matched if inside.result == PASS else None

    # --- policies -----------------------------------------------------------------------------------------

    async def _record(self, domain: str) -> Record | None:
        """Section 4.4 and 4.5. Errors: _NoPolicy."""
        try:
            answer = await self._lookup(domain, "TXT")
        except ResolverFailure as error:
            raise _NoPolicy(TEMPERROR, str(error)) from error
        found = [text for text in answer.texts if is_record(text)]
        if not found:
            return None
        if len(found) > 1:
            raise _NoPolicy(PERMERROR, f"{domain} has {len(found)} SPF records")
        record = _RECORDS.parse(found[0])
        if isinstance(record, Malformed):
            raise _NoPolicy(PERMERROR, record.reason)
        return record

    async def _matches(self, directive: Directive, domain: str) -> tuple[str, ...] | None:
        """The terms that matched, from outside in; None without a match. Not for ip4 and ip6."""
        if directive.name == "all":
            return (directive.term,)
        self._count()
        if directive.name == "include":
            inside = await self._include(directive, domain)
            return None if inside is None else (directive.term, *inside)
        hit = await _MATCHERS[directive.name](self, directive, domain)
        return (directive.term,) if hit else None

    async def policy(self, domain: str) -> _Match:
        """What the policy of ``domain`` says, its redirect included; NONE without one. Errors: _NoPolicy."""
        record = await self._record(domain)
        if record is None:
            return _Match(NONE)
        number, version = self._number, self._address.version
        for directive in record.directives:
            matched: tuple[str, ...] | None = None
            if not directive.version:
                matched = await self._matches(directive, domain)
            elif directive.version == version and number >> directive.shift4 == directive.network:
                matched = (directive.term,)
            if matched is not None:
                return _Match(directive.result, domain, matched, record.explanation)
        if not record.redirect:
            return _Match(NEUTRAL, domain)
        self._count()
        target = await self._target(record.redirect, domain)
        match = await self.policy(target)
        if match.result == NONE:
            raise _NoPolicy(PERMERROR, "its redirect leads to no policy")
        matched = (f"redirect={target}", *match.matched)
        return _Match(match.result, match.domain, matched, match.explanation)

    async def explanation(self, match: _Match, explain: Explain) -> str:
        """What the domain says about its fail; "" where that cannot be used (section 6.2)."""
        try:
            name = await self._target(match.explanation, match.domain)
            texts = (await self._lookup(name, "TXT")).texts
            if len(texts) != 1 or not texts[0].isascii():
                return ""
            macros = parse_macros(texts[0].decode("ascii"), explain=True)
            text = "" if macros is None else await self._expand(macros, match.domain, explain)
        except (ResolverFailure, _NoPolicy):
            return ""
        return text[:MAX_EXPLANATION] if text.isascii() and text.isprintable() else ""


_MATCHERS: Final[dict[str, Callable[[_Check, Directive, str], Awaitable[bool]]]] = {
    "a": _Check._a,
    "mx": _Check._mx,
    "ptr": _Check._ptr,
    "exists": _Check._exists,
}


# check_host(<ip>, <domain>, <sender>)
async def check_host(
    ip: str,
    domain: str,
    sender: str,
    helo: str,
    resolver: Resolver,
    explain: Explain | None = None,
    identity: str = MAIL_FROM,
) -> SpfResult:
    """Section 4. ``sender`` is local-part@domain. Without ``explain`` no explanation is asked for."""
    domain = domain.lower().removesuffix(".")
    address = parse_address(ip)
    if address is None:
        return SpfResult(NONE, ip, domain, identity, sender, reason="the client has no address")
    if not is_name(domain) or "." not in domain or domain.startswith("["):
        return SpfResult(NONE, ip, domain, identity, sender, reason="it is no domain name")
    check = _Check(address, sender, helo, resolver)
    explanation = ""
    try:
        match = await check.policy(domain)
        reason = "it publishes no policy" if match.result == NONE else ""
        if explain is not None and match.result == FAIL and match.explanation:
            explanation = await check.explanation(match, explain)
    except _NoPolicy as error:
        match, reason = _Match(error.result), error.reason
    lookups, voids = check.lookups, check.voids
    return SpfResult(
        match.result, ip, domain, identity, sender, match.matched, explanation, reason, lookups, voids
    )


async def check_helo(ip: str, helo: str, resolver: Resolver, explain: Explain | None = None) -> SpfResult:
    """The HELO identity (section 2.3): may this client call itself so?"""
    return await check_host(ip, helo, f"postmaster@{helo}", helo, resolver, explain, HELO)


async def check_mail_from(
    ip: str, helo: str, reverse_path: str, resolver: Resolver, explain: Explain | None = None
) -> SpfResult:
    """The MAIL FROM identity (section 2.4); the null reverse-path "" stands for postmaster@HELO."""
    if not reverse_path:
        return await check_helo(ip, helo, resolver, explain)
    domain = reverse_path.rpartition("@")[2]
    return await check_host(ip, domain, reverse_path, helo, resolver, explain)
