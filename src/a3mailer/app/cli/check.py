"""check spf, dkim, arc, dmarc, bimi, smime: what this server would say of a mail or a sender (no instance).

The result is a word of RFC 8601; the exit code is 0 whatever it is.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from cryptography import x509

from a3mailer.app.cli.check_smime import VERB as SMIME
from a3mailer.app.cli.exits import OK, USAGE, Failed
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.resolve import resolver_of
from a3mailer.app.cli.tools import read_octets
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.config.fields import BadValue
from a3mailer.config.syntax import domain_name
from a3mailer.config.tree import Dns
from a3mailer.mail.authresults import FAIL, TEMPERROR, MethodResult
from a3mailer.msgauth import arc, bimi, bimi_mark, bimi_svg, dkim, dmarc
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.evaluate import Evaluator, Incoming
from a3mailer.msgauth.fields import read
from a3mailer.msgauth.spf import Explain, SpfResult, check_mail_from
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.resolver import Resolver, ResolverFailure

SECONDS: Final = 30.0
"""For all questions of one check."""

Values = dict[str, object]


class Answer(Protocol):
    """What a fetch gives."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class Get(Protocol):
    """A fetch by ``runtime/http.py``."""

    async def __call__(self, url: str, *, most: int) -> Answer: ...


def _run(work: Callable[[Resolver], Awaitable[Values]], args: Arguments, out: Output) -> int:
    async def bounded() -> Values:
        servers = (args.dns,) if args.dns else ()
        async with asyncio.timeout(SECONDS), resolver_of(Dns(dnssec="off"), servers) as resolver:
            return await work(resolver)

    try:
        found = asyncio.run(bounded())
    except TimeoutError:
        found = {"result": "temperror", "reason": "no answer in time"}
    text = [f"{found['result']}: {found['sentence']}" if found.get("sentence") else str(found["result"])]
    text += [f"{k.replace('_', ' ')}: {v}" for k, v in found.items() if v and isinstance(v, str | int)][1:]
    out.result(found, "\n".join(line for line in text if not line.startswith("sentence: ")))
    return OK


def _told(result: MethodResult) -> Values:
    """A method's result as plain values."""
    properties = {f"{kind}.{name}": value for kind, name, value in result.properties}
    return {"result": result.result, "reason": result.reason, **properties}


def check_spf(args: Arguments, out: Output) -> int:
    """check spf."""

    async def work(resolver: Resolver) -> Values:
        found = await _spf(args, resolver)
        return {
            "result": found.result,
            "sentence": found.sentence(),
            "domain": found.domain,
            "mechanism": found.mechanism,
            "reason": found.reason,
            "explanation": found.explanation,
            "lookups": found.lookups,
            "voids": found.voids,
        }

    return _run(work, args, out)


async def _spf(args: Arguments, resolver: Resolver) -> SpfResult:
    explain = Explain(now=SystemClock().now())
    return await check_mail_from(args.ip, args.helo or "", args.mail_from or "", resolver, explain)


def check_dkim(args: Arguments, out: Output) -> int:
    """check dkim: the best result of all signatures first."""
    octets = read_octets(args.mail)

    async def work(resolver: Resolver) -> Values:
        header = read(octets)
        bodies = Bodies(octets, header.body)
        results = await dkim.verify(header, bodies, resolver, SystemClock().now())
        found = [_told(each.method_result()) for each in results]
        best = next((each for each in found if each["result"] == "pass"), found[0] if found else None)
        return {**(best or {"result": "none", "reason": ""}), "signatures": found}

    return _run(work, args, out)


def check_arc(args: Arguments, out: Output) -> int:
    """check arc."""
    octets = read_octets(args.mail)

    async def work(resolver: Resolver) -> Values:
        header = read(octets)
        chain = await arc.validate(header, Bodies(octets, header.body), resolver)
        return {**_told(chain.method_result()), "sets": len(chain.sets)}

    return _run(work, args, out)


def check_dmarc(args: Arguments, out: Output) -> int:
    """check dmarc: with DKIM, and with SPF where the client is named."""
    octets = read_octets(args.mail)

    async def work(resolver: Resolver) -> Values:
        evaluate = Evaluator(resolver, "localhost")
        mail = Incoming(args.ip or "", args.helo or "", args.mail_from or "", octets)
        found = await evaluate(mail, SystemClock().now(), SECONDS)
        dmarc = found.dmarc
        return {
            "result": dmarc.result,
            "sentence": dmarc.sentence(),
            "domain": dmarc.domain,
            "policy": dmarc.policy,
            "record_of": dmarc.found_at,
            "reason": dmarc.reason,
            "methods": [{"method": r.method, **_told(r)} for r in found.results.results],
        }

    return _run(work, args, out)


def check_bimi(args: Arguments, out: Output) -> int:
    """check bimi: the record of a domain, what allows it, and the picture itself."""
    selector = args.selector or bimi.DEFAULT
    if bimi.parse_selector((f"v=BIMI1; s={selector}".encode(),)) != selector.lower():
        raise Failed(USAGE, f"{selector!r} is no selector")
    try:
        domain_name(args.domain)
    except BadValue as error:
        raise Failed(USAGE, str(error)) from error

    try:
        pem = read_octets(args.authorities) if args.authorities else b""
        authorities = tuple(x509.load_pem_x509_certificates(pem)) if pem else ()
    except ValueError as error:
        raise Failed(USAGE, f"{args.authorities}: no certificates") from error

    async def work(resolver: Resolver) -> Values:
        from a3mailer.runtime.http import HttpClient

        client = HttpClient(resolver, SystemClock(), ssl.create_default_context())
        try:
            brand = Brand(args.domain.lower(), selector.lower(), authorities)
            return await look_at_brand(brand, resolver, client.get)
        finally:
            await client.close()

    return _run(work, args, out)


@dataclass(frozen=True, slots=True)
class Brand:
    """What is asked: a domain, a selector, and whose word on marks is believed (nobody's: none is asked)."""

    domain: str
    selector: str = bimi.DEFAULT
    authorities: tuple[x509.Certificate, ...] = ()


async def look_at_brand(brand: Brand, resolver: Resolver, get: Get) -> Values:
    """What a domain says of its picture, and whether it may be shown beside a mail that passes DMARC."""
    domain, selector = brand.domain, brand.selector
    try:
        tree = await dmarc.walk(domain, resolver)
    except ResolverFailure as error:
        return {"result": TEMPERROR, "reason": str(error)}
    found = await bimi.find(domain, tree.organizational, selector, resolver)
    told: Values = {
        "result": found.result,
        "reason": found.reason,
        "domain": found.domain,
        "selector": selector,
    }
    if found.assertion is None:
        return told
    told |= {"location": found.assertion.location, "authority": found.assertion.authority}
    told |= await _shown(found, brand, get)
    if lack := bimi.lacks(domain, *tree.in_force) if tree.in_force else f"{domain} has no DMARC record":
        told |= {"result": bimi.SKIPPED, "reason": lack}
    return told


async def _shown(found: bimi.BimiResult, brand: Brand, get: Get) -> Values:
    """The picture, and the mark where there is somebody to believe; fetched from nowhere inside, bounded."""
    from a3mailer.runtime.http import HttpFailure

    assert found.assertion is not None
    picture = mark = None
    try:
        if location := found.assertion.location:
            picture = await asyncio.to_thread(
                bimi_svg.parse, await _fetched(location, get, bimi_svg.MAX_PICTURE)
            )
        if found.assertion.authority and brand.authorities:
            octets = await _fetched(found.assertion.authority, get, bimi_mark.MAX_FILE)
            args = (octets, found.domain, brand.selector, brand.authorities, datetime.now(UTC))
            mark = await asyncio.to_thread(bimi_mark.check, *args)
    except HttpFailure as error:
        return {"result": TEMPERROR, "reason": str(error)}
    except bimi_svg.BadPicture as error:
        return {"result": FAIL, "reason": f"the picture cannot be shown: {error}"}
    except bimi_mark.BadMark as error:
        return {"result": FAIL, "reason": f"the mark vouches for nothing: {error}"}
    if mark is not None and picture is not None and mark.picture.octets != picture.octets:
        return {"result": FAIL, "reason": "the mark is of another picture"}
    shown = picture or (mark.picture if mark else None)
    told: Values = {"vouched_for_by": mark.authority, "organization": mark.organization} if mark else {}
    if shown is not None:
        told |= {"title": shown.title, "square": shown.square, "octets": len(shown.octets)}
    return told


async def _fetched(address: str, get: Get, most: int) -> bytes:
    """Errors: HttpFailure."""
    from a3mailer.runtime.http import HttpFailure

    answer = await get(address, most=most)
    if answer.status != 200:
        raise HttpFailure("status", f"{address} answers {answer.status}")
    return answer.body


_DNS: Final = Option("--dns", "the name server to ask (default: the system's)", metavar="HOST:PORT")
_MAIL: Final = Argument("MAIL", "a file with one mail; - is stdin", file=True)
_CLIENT: Final = (
    Option("--helo", "the name it greeted with", metavar="NAME"),
    Option("--mail-from", "the reverse-path; without, the null one", metavar="ADDRESS"),
    _DNS,
)

VERBS: Final = (
    Verb(
        "check spf",
        "say whether a client may send in a name",
        "tool.use",
        check_spf,
        (),
        (Option("--ip", "the address of the client", metavar="IP", required=True), *_CLIENT),
        directory=False,
    ),
    Verb(
        "check dkim",
        "verify the signatures of a mail",
        "tool.use",
        check_dkim,
        (_MAIL,),
        (_DNS,),
        directory=False,
    ),
    Verb(
        "check arc",
        "verify the ARC chain of a mail",
        "tool.use",
        check_arc,
        (_MAIL,),
        (_DNS,),
        directory=False,
    ),
    Verb(
        "check dmarc",
        "say whether a mail is from the domain it says it is from",
        "tool.use",
        check_dmarc,
        (_MAIL,),
        (Option("--ip", "the address of the client that brought it", metavar="IP"), *_CLIENT),
        directory=False,
    ),
    Verb(
        "check bimi",
        "say which picture a domain wants shown beside its mail, and whether it may be",
        "tool.use",
        check_bimi,
        (Argument("DOMAIN", "the domain of the author"),),
        (
            Option("--selector", "as a mail's BIMI-Selector names it (default: default)", metavar="NAME"),
            Option("--authorities", "certificates of who is believed to vouch for marks", metavar="FILE"),
            _DNS,
        ),
        directory=False,
    ),
    SMIME,
)
