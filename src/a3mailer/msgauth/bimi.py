"""BIMI: which picture a domain wants shown beside its mail.

The draft is draft-brand-indicators-for-message-identification-10. Asked for only where DMARC passes under a
policy that is in force: quarantine or reject, for the domain, its organization and all below, not in testing.
A BIMI-Selector counts only where a signature of the author's domain that passes covers it (section 5.5).
The picture is another file (``msgauth/bimi_svg.py``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from a3mailer.mail.authresults import FAIL, NONE, PASS, TEMPERROR, MethodResult
from a3mailer.mail.message import addresses
from a3mailer.mail.message.headers import cut
from a3mailer.msgauth import dkim, dmarc_record, tags
from a3mailer.msgauth.dkim import DkimResult, Signature, Unusable
from a3mailer.msgauth.dmarc import DmarcResult
from a3mailer.msgauth.dmarc_record import DmarcRecord
from a3mailer.msgauth.fields import CRLF, Header
from a3mailer.runtime.resolver import Resolver, ResolverFailure

VERSION: Final = b"BIMI1"
DEFAULT: Final = "default"
"""The selector of mails that name none."""
DECLINED: Final = "declined"
"""The domain wants no picture shown."""
SKIPPED: Final = "skipped"
"""DMARC does not allow one."""
MAX_RECORD: Final = 4096
REMEMBERED: Final = 1024
"""Records kept parsed, by their octets."""
MAX_SELECTOR: Final = 63
MAX_LOCATION: Final = 2048
SELECTOR: Final = b"bimi-selector"
"""The field that names a selector."""
_LABEL: Final = b"abcdefghijklmnopqrstuvwxyz0123456789-"
IN_FORCE: Final = (dmarc_record.QUARANTINE, dmarc_record.REJECT)


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a record says: where the picture is, and the certificate of who vouches for it."""

    location: str
    """An https address; empty only where ``authority`` is not."""
    authority: str = ""
    """Likewise; empty: nobody vouches."""


class BimiResult(msgspec.Struct, frozen=True):
    """``result`` is pass, none, fail, temperror, declined or skipped."""

    result: str
    domain: str = ""
    """Whose record it is."""
    selector: str = DEFAULT
    assertion: Assertion | None = None
    reason: str = ""
    organizational: str = ""
    """The organizational domain of the author."""

    def method_result(self, authority: str = NONE) -> MethodResult:
        """As Authentication-Results says it (section 7.7). ``authority``: pass or fail of the certificate,
        none where it was not looked at."""
        properties: tuple[tuple[str, str, str], ...] = ()
        if self.result != SKIPPED:
            properties += (("header", "d", self.domain), ("header", "selector", self.selector))
        if self.assertion is not None:
            properties += (("policy", "authority", authority),)
        return MethodResult("bimi", self.result, self.reason, properties)


async def of_mail(
    header: Header, found: DmarcResult, signatures: Sequence[DkimResult], resolver: Resolver
) -> BimiResult:
    """What is to be shown beside a mail with this header, of which DMARC and DKIM have found this."""
    if found.result != PASS:
        return BimiResult(SKIPPED, reason="DMARC does not pass")
    values = [field.value.replace(CRLF, b"") for field in header.all(b"from")]
    authors = [each for value in values for each in addresses.parse_mailboxes(value)]
    if len(authors) != 1:
        return BimiResult(SKIPPED, found.domain, reason="more than one author")
    return await look(found, selector_of(header, found, signatures), resolver, authors[0].local_part)


def selector_of(header: Header, found: DmarcResult, signatures: Sequence[DkimResult]) -> str:
    """The selector that the mail names, where the author's domain has signed that; else the default."""
    named = header.all(SELECTOR)
    if len(named) != 1:
        return DEFAULT
    read: list[Signature] = []
    for field in header.all(dkim.NAME)[: dkim.MAX_READ]:
        with suppress(Unusable):
            read.append(dkim.parse(field))
    for proof in signatures:
        if proof.result != PASS or not _is_the_authors(proof.domain, found):
            continue
        about = (proof.domain, proof.selector, proof.told)
        same = [s for s in read if (s.domain.decode(), s.selector.decode(), s.told) == about]
        if len(same) == 1 and SELECTOR in same[0].names:
            return parse_selector((named[0].value,))
    return DEFAULT


def _is_the_authors(domain: str, found: DmarcResult) -> bool:
    aligned = found.aligned
    return domain == found.domain or (
        aligned is not None and aligned.method == "dkim" and aligned.domain == domain
    )


def lacks(domain: str, found_at: str, published: DmarcRecord) -> str:
    """Why the DMARC record that counts for a domain allows no picture; empty: it does."""
    asked = published.policy if domain == found_at else published.subdomain_policy or published.policy
    if published.policy not in IN_FORCE or asked not in IN_FORCE:
        return "DMARC asks for nothing (p=none)"
    if published.subdomain_policy == dmarc_record.NONE:
        return "DMARC asks for nothing below the domain (sp=none)"
    if published.testing:
        return "DMARC is being tested (t=y or pct below 100)"
    return ""


async def look(found: DmarcResult, selector: str, resolver: Resolver, local_part: bytes = b"") -> BimiResult:
    """What is to be shown beside a mail. ``selector``: as ``parse_selector`` gives it; ``local_part``: of its
    author."""
    if found.result != PASS or found.record is None:
        return BimiResult(SKIPPED, found.domain, selector, reason="DMARC does not pass")
    try:
        reason = lacks(found.domain, found.found_at, found.record)
        reason = reason or await _organization_lacks(found, resolver)
    except ResolverFailure as error:
        return BimiResult(TEMPERROR, found.domain, selector, reason=str(error))
    if reason:
        return BimiResult(SKIPPED, found.domain, selector, reason=reason)
    return await find(found.domain, found.organizational, selector, resolver, local_part)


async def _organization_lacks(found: DmarcResult, resolver: Resolver) -> str:
    """The same of the organization's record, where the domain has one of its own. Errors: ResolverFailure."""
    if found.found_at != found.domain or found.organizational in ("", found.domain):
        return ""
    answer = await resolver.lookup(f"_dmarc.{found.organizational}", "TXT")  # the tree walk has asked it
    records = [each for each in map(dmarc_record.parse, answer.texts) if each is not None]
    if len(records) != 1:
        return ""
    lack = lacks(found.organizational, found.organizational, records[0])
    return f"{found.organizational}: {lack}" if lack else ""


async def find(
    domain: str, organizational: str, selector: str, resolver: Resolver, local_part: bytes = b""
) -> BimiResult:
    """The record of a domain, else that of its organization (section 7.2)."""
    organization = organizational or domain
    for name in dict.fromkeys((domain, organization)):
        try:
            ours = await _records(name, selector, resolver)
            if len(ours) > 1:
                reason = "several records, so none counts"
                return BimiResult(FAIL, name, selector, None, reason, organization)
            if ours:
                return await _judged(name, organization, selector, ours[0], resolver, local_part)
        except ResolverFailure as error:
            return BimiResult(TEMPERROR, name, selector, None, str(error), organization)
    return BimiResult(NONE, domain, selector, organizational=organization)


async def _records(domain: str, selector: str, resolver: Resolver) -> list[bytes]:
    """Errors: ResolverFailure."""
    answer = await resolver.lookup(f"{selector}._bimi.{domain}", "TXT")
    return [text for text in answer.texts if _is_ours(text)]


def _is_ours(text: bytes) -> bool:
    name, equals, value = text[:64].partition(b";")[0].partition(b"=")
    return name.strip(tags.FWS) == b"v" and bool(equals) and value.strip(tags.FWS) == VERSION


async def _judged(
    domain: str, organization: str, selector: str, text: bytes, resolver: Resolver, local_part: bytes
) -> BimiResult:
    """What a record says, or the one that it wants looked for by the author's local part (section 4.5).

    Errors: ResolverFailure."""
    own = local_selector(local_part) if _goes_by_local_part(text) else ""
    if own and own != selector:
        theirs = await _records(domain, own, resolver)
        if len(theirs) == 1 and (found := _read(domain, organization, own, theirs[0])).result != FAIL:
            return found
    return _read(domain, organization, selector, text)


def _read(domain: str, organization: str, selector: str, text: bytes) -> BimiResult:
    try:
        found = parse_record(text)
    except ValueError as error:
        return BimiResult(FAIL, domain, selector, None, str(error), organization)
    return BimiResult(
        DECLINED if found is None else PASS, domain, selector, found, organizational=organization
    )


@lru_cache(REMEMBERED)
def _goes_by_local_part(text: bytes) -> bool:
    found = tags.parse(text) if len(text) <= MAX_RECORD else None
    return found is not None and found.get(b"lps") == b"true"


def local_selector(local_part: bytes) -> str:
    """The selector that a local part is (section 4.5); empty where it is none."""
    plain = re.sub(rb"[-_.]+", b"-", local_part.partition(b"+")[0]).strip(b"-").lower()
    if len(plain) > MAX_SELECTOR or plain.translate(None, _LABEL):
        return ""
    return plain.decode("ascii")


# bimi-record = "v=BIMI1" ";" [ "l=" [ https-uri ] ";" ] [ "a=" [ https-uri / "self" ] ";" ] *( further tags )
@lru_cache(REMEMBERED)
def parse_record(text: bytes) -> Assertion | None:
    """What a record says; None: no picture, please. Errors: ValueError, with the reason."""
    found = tags.parse(text) if len(text) <= MAX_RECORD else None
    if found is None or next(iter(found)) != b"v" or found[b"v"] != VERSION:
        raise ValueError("it cannot be read")
    if b"l" not in found and b"a" not in found:
        raise ValueError("it has neither l= nor a=")
    location, authority = (_address(found.get(name, b"")) for name in (b"l", b"a"))
    return Assertion(location, authority) if location or authority else None


def _address(value: bytes) -> str:
    """An https address. Errors: ValueError."""
    text = tags.dense(value).decode("ascii", "replace")
    if text.lower() in ("", "self"):
        return ""
    plain = text.isascii() and text.isprintable()
    if not text.lower().startswith("https://") or len(text) > MAX_LOCATION or not plain:
        raise ValueError(f"{text[:80]!a} is no https address")
    return text


# bimi-selector = "v=BIMI1" ";" "s=" selector [ ";" ]
def parse_selector(values: tuple[bytes, ...]) -> str:
    """The selector that the BIMI-Selector field of a mail names; the default where there is not one field."""
    found = tags.parse(values[0]) if len(values) == 1 else None
    if found is None or next(iter(found)) != b"v" or found[b"v"] != VERSION:
        return DEFAULT
    selector = found.get(b"s", b"").lower()
    if not selector or selector.translate(None, _LABEL + b"_."):
        return DEFAULT
    labels = selector.split(b".")
    if len(selector) > MAX_SELECTOR or not all(labels):
        return DEFAULT
    return selector.decode("ascii")


_SHOWN: Final = re.compile(
    rb"\n(bimi-(?:location|indicator|logo-preference)[ \t\r\v\f\0]*:[^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE
)


def strip(header: bytes) -> bytes:
    """A header block without the fields that only the last server writes (section 5.6); else as it is."""
    block = b"\n" + header
    if b"\nbimi-" not in block.lower():
        return header
    return cut(header, (found.span() for found in _SHOWN.finditer(block)))
