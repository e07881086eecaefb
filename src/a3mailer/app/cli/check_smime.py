"""check smime: has the author signed this mail, and why or why not, step by step (RFC 8551, RFC 8550).

The result is a word of RFC 9219 section 4.1, ``none`` without a signature; nothing is fetched. The exit code
is 0 whatever it is.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from a3mailer.app.cli.exits import OK, USAGE, Failed
from a3mailer.app.cli.output import Output
from a3mailer.app.cli.tools import read_octets
from a3mailer.app.cli.verb import Argument, Arguments, Option, Verb
from a3mailer.mail.message import index
from a3mailer.msgauth.author import authors
from a3mailer.msgauth.smime import Kind, Opened, Signature, against, judged, kind_of, opened
from a3mailer.msgauth.smime_chain import Trust, addresses_of, trust_of, vouched

STRUCTURES: Final = {
    Kind.NONE: "nothing in it is signed",
    Kind.OTHER: "it is signed by another protocol",
    Kind.SIGNED: "multipart/signed, and the second part is a signature by S/MIME",
    Kind.WITHIN: "a part of it is signed, the whole is not",
    Kind.OPAQUE: "its content is a message of CMS, with the signature in it or encrypted",
}
STATUSES: Final = {
    None: "no signature can be seen: it is encrypted, or not signed",
    "unknown": "that is no signature by S/MIME",
    "signed": "there is more in it than is looked at",
}


class Step(NamedTuple):
    """``good`` None: nobody looked, or there is nothing to say."""

    step: str
    good: bool | None
    told: str


def check_smime(args: Arguments, out: Output) -> int:
    """check smime."""
    octets = read_octets(args.mail)
    believed = args.authorities or ssl.get_default_verify_paths().cafile
    try:
        at = datetime.fromisoformat(args.at) if args.at else datetime.now(UTC)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        trust = trust_of(
            read_octets(believed) if believed else b"", read_octets(args.revoked) if args.revoked else b""
        )
    except (ValueError, OverflowError) as error:
        raise Failed(USAGE, str(error)) from error
    indexed = index(octets)
    mail, names = opened(octets, indexed.parts), authors(octets[: indexed.header_end])
    found = judged(mail, names, trust, at)
    steps = [Step("structure", bool(mail.signers) or None, STRUCTURES[kind_of(indexed.parts)])]
    steps += _opened(mail)
    for number, signatures in enumerate(mail.signers, 1):
        best = min(signatures, key=lambda each: len(against(each, mail, trust, at)))
        steps += _signer(number, best, mail, trust, at)
    if mail.signers:
        steps.append(_author(names, good=found.status == "signed/verified"))
    result = {
        "result": found.status or "none",
        "at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "errors": list(found.errors),
        "authors": list(names),
        "steps": [each._asdict() for each in steps],
    }
    words = {True: "good", False: "bad", None: "-"}
    lines = [f"{each.step:<12}{words[each.good]:<6}{each.told}" for each in steps]
    out.result(result, "\n".join((str(result["result"]), *lines)))
    return OK


def _opened(mail: Opened) -> Iterator[Step]:
    """Of what is good or bad whoever signed."""
    if mail.status in STATUSES:
        yield Step("signature", None, STATUSES[mail.status])
    for problem in mail.problems:
        yield Step("signature", False, problem)


def _signer(number: int, signature: Signature, mail: Opened, trust: Trust, at: datetime) -> Iterator[Step]:
    told = "; ".join(signature.problems) or f"signature {number} fits what was signed"
    yield Step("signature", not signature.problems, told)
    leaf = signature.certificate
    if leaf is None:
        return
    addresses = ", ".join(addresses_of(leaf)) or "no address"
    told = f"{leaf.subject.rfc4514_string()} ({addresses}), of {leaf.issuer.rfc4514_string()}"
    days = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
    found = vouched(leaf, mail.certificates, mail.lists, trust, at)
    yield Step("certificate", None, f"{told}, {days}")
    for problem in found.problems:
        yield Step("certificate", False, problem)
    if found.path:
        names = " < ".join(each.subject.rfc4514_string() for each in found.path)
        yield Step("authority", True, names)
        if not found.problems:
            told = f"not on {found.lists} lists" if found.lists else "no list is at hand, and none is fetched"
            yield Step("revocation", bool(found.lists) or None, told)


def _author(names: tuple[str, ...], *, good: bool) -> Step:
    if not names:
        return Step("author", False, "the From field does not plainly name an author")
    told = "in the certificate of a good signature" if good else "not all in certificates of good signatures"
    return Step("author", good, f"{', '.join(names)}: {told}")


VERB: Final = Verb(
    "check smime",
    "say whether the author signed a mail by S/MIME, and why or why not",
    "tool.use",
    check_smime,
    (Argument("MAIL", "a file with one mail; - is stdin", file=True),),
    (
        Option("--authorities", "who is believed (default: the authorities of the system)", metavar="FILE"),
        Option("--revoked", "lists of revoked certificates (CRL)", metavar="FILE"),
        Option("--at", "as of when, as 2026-11-23T12:00:00Z (default: now)", metavar="DATE"),
    ),
    directory=False,
)
