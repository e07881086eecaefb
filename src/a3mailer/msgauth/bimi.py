"""BIMI: which picture a domain wants shown beside its mail.

The draft is draft-brand-indicators-for-message-identification. Asked for only where DMARC passes under a
policy that is in force: quarantine or reject, for the domain, its organization and all below, not in testing.
The picture is another file (``msgauth/bimi_svg.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.mail.authresults import FAIL, NONE, PASS, TEMPERROR
from a3mailer.msgauth import dmarc_record, tags
from a3mailer.msgauth.dmarc import DmarcResult
from a3mailer.msgauth.dmarc_record import DmarcRecord
from a3mailer.runtime.resolver import Resolver, ResolverFailure

VERSION: Final = b"BIMI1"
DEFAULT: Final = "default"
"""The selector of mails that name none."""
DECLINED: Final = "declined"
"""The domain wants no picture shown."""
SKIPPED: Final = "skipped"
"""DMARC does not allow one."""
MAX_RECORD: Final = 4096
MAX_SELECTOR: Final = 63
MAX_LOCATION: Final = 2048
IN_FORCE: Final = (dmarc_record.QUARANTINE, dmarc_record.REJECT)


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a record says: where the picture is, and the certificate of who vouches for it."""

    location: str
    """An https address; empty only where ``authority`` is not."""
    authority: str = ""
    """Likewise; empty: nobody vouches."""


@dataclass(frozen=True, slots=True)
class BimiResult:
    """``result`` is pass, none, fail, temperror, declined or skipped."""

    result: str
    domain: str = ""
    """Whose record it is."""
    selector: str = DEFAULT
    assertion: Assertion | None = None
    reason: str = ""


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


async def look(found: DmarcResult, selector: str, resolver: Resolver) -> BimiResult:
    """What is to be shown beside a mail. ``selector``: as ``parse_selector`` gives it."""
    if found.result != PASS or found.record is None:
        return BimiResult(SKIPPED, found.domain, selector, reason="DMARC does not pass")
    if reason := lacks(found.domain, found.found_at, found.record):
        return BimiResult(SKIPPED, found.domain, selector, reason=reason)
    return await find(found.domain, found.organizational, selector, resolver)


async def find(domain: str, organizational: str, selector: str, resolver: Resolver) -> BimiResult:
    """The record of a domain, else that of its organization."""
    for name in dict.fromkeys((domain, organizational or domain)):
        try:
            answer = await resolver.lookup(f"{selector}._bimi.{name}", "TXT")
        except ResolverFailure as error:
            return BimiResult(TEMPERROR, name, selector, reason=str(error))
        ours = [text for text in answer.texts if _is_ours(text)]
        if len(ours) > 1:
            return BimiResult(FAIL, name, selector, reason="several records, so none counts")
        if ours:
            return _judged(name, selector, ours[0])
    return BimiResult(NONE, domain, selector)


def _is_ours(text: bytes) -> bool:
    name, equals, value = text[:64].partition(b";")[0].partition(b"=")
    return name.strip(tags.FWS) == b"v" and bool(equals) and value.strip(tags.FWS) == VERSION


def _judged(domain: str, selector: str, text: bytes) -> BimiResult:
    try:
        found = parse_record(text)
    except ValueError as error:
        return BimiResult(FAIL, domain, selector, reason=str(error))
    if found is None:
        return BimiResult(DECLINED, domain, selector)
    return BimiResult(PASS, domain, selector, found)


# bimi-record = "v=BIMI1" ";" [ "l=" [ https-uri ] ";" ] [ "a=" [ https-uri / "self" ] ";" ] *( further tags )
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
    if not text.lower().startswith("https://") or len(text) > MAX_LOCATION or not text.isascii():
        raise ValueError(f"{text[:80]!a} is no https address")
    return text


# bimi-selector = "v=BIMI1" ";" "s=" selector [ ";" ]
def parse_selector(values: tuple[bytes, ...]) -> str:
    """The selector that the BIMI-Selector field of a mail names; the default where there is not one field."""
    found = tags.parse(values[0]) if len(values) == 1 else None
    if found is None or found.get(b"v") != VERSION:
        return DEFAULT
    selector = found.get(b"s", b"").lower()
    if not selector or selector.translate(None, b"abcdefghijklmnopqrstuvwxyz0123456789-_."):
        return DEFAULT
    labels = selector.split(b".")
    if len(selector) > MAX_SELECTOR or not all(labels):
        return DEFAULT
    return selector.decode("ascii")
