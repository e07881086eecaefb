"""check spf, dkim, arc, dmarc: what this server would say of a mail or of a sender (needs no instance).

The result is a word of RFC 8601; the exit code is 0 whatever it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from a3mailer.app.cli.exits import OK
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.resolve import resolver_of
from a3mailer.app.cli.tools import read_octets
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.config.tree import Dns
from a3mailer.mail.authresults import MethodResult
from a3mailer.msgauth import arc, dkim
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.evaluate import Evaluator, Incoming
from a3mailer.msgauth.fields import read
from a3mailer.msgauth.spf import SpfResult, check_mail_from
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.resolver import Resolver

SECONDS: Final = 30.0
"""For all questions of one check."""

Values = dict[str, object]


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
    now = SystemClock().now()
    return await check_mail_from(args.ip, args.helo or "", args.mail_from or "", resolver, now=now)


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
)
