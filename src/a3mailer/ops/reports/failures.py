"""Our failure reports: of single mails that failed DMARC, to domains whose record asks (RFC 6591, RFC 9991).

Off by default, because they tell of single mails: of the header only FIELDS go, with a keyed hash in place of
every local part (RFC 6590), nothing of subject, recipients and body. A domain gets a few an hour; what is
beyond is counted into the next (``Incidents``). They are made beside the mail, which waits for nothing; those
that a worker has not sent when it is killed are lost. Mails with the null reverse-path are in no report: a
report of ours that fails elsewhere must not come back as one about it.
"""

from __future__ import annotations

import asyncio
import mmap
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from a3mailer import __version__
from a3mailer.config.tree import Settings
from a3mailer.mail.authresults import FAIL, PASS, TEMPERROR
from a3mailer.mail.errors import MailError
from a3mailer.mail.message import headers, index
from a3mailer.msgauth.evaluate import Evaluation
from a3mailer.msgauth.feedback import AUTH_FAILURE, Feedback, compose, redact
from a3mailer.ops.reports.destinations import destinations
from a3mailer.ops.reports.posting import queued, sender_of
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver, ResolverFailure
from a3mailer.runtime.rest import until
from a3mailer.store.operations import Operation
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.policy.dmarc_outcomes import aligns
from a3mailer.transfer.policy.failures import DmarcFailure

HOUR: Final = 3600
MOST_WAITING: Final = 200
"""Reports that wait to be made; of more nothing is told."""
MOST_DOMAINS: Final = 10_000
"""Domains whose hour is remembered."""
MAX_HEADER: Final = 32 * 1024
"""Octets of a header that go into a report."""
FIELDS: Final = frozenset(
    (b"from", b"sender", b"reply-to", b"date", b"received", b"dkim-signature", b"list-id")
)
"""What the owner of a domain needs to know his own mail by."""
MAX_POLICIES: Final = 3
"""SPF policies of a domain that are told; there should be one."""
MESSAGE_ID: Final = frozenset((b"message-id",))
CONTACT: Final = "dmarc-reports"
AGENT: Final = f"A3Mailer/{__version__}"
_RESULTS: Final = {"none": "delivered", "quarantine": "spam", "reject": "reject"}
_TOLD: Final = frozenset((("header", "from"), ("header", "d"), ("header", "s"), ("policy", "dmarc")))
"""Properties of results that name no person."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A report to be made."""

    domain: str
    """Whose record asks for it."""
    uris: tuple[str, ...]
    feedback: Feedback
    header: bytes


class FailureReports:
    """One object a process: ``note`` is told of failures, ``run`` makes the reports."""

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        clock: Clock,
        settings: Callable[[], Settings],
        signs: Callable[[str], bool],
        key: bytes,
    ) -> None:
        """``signs``: whether mail of a domain of ours is signed; ``key``: of the hashes in place of names."""
        self._store = store
        self._resolver = resolver
        self._clock = clock
        self._settings = settings
        self._signs = signs
        self._key = key
        self._waiting: deque[Waiting] = deque()
        self._more = asyncio.Event()
        self._hours: dict[str, tuple[int, int, int]] = {}
        """Domain -> (hour, reports in it, mails since that are in none)."""

    def note(self, failure: DmarcFailure) -> None:
        """See ``transfer/policy/failures.py``."""
        settings, dmarc = self._settings(), failure.found.dmarc
        record = dmarc.record
        if not settings.reports.failure_send or record is None or not record.failure or record.psd == "y":
            return  # of a public suffix: never (RFC 9991 section 2)
        if not failure.reverse_path or not _asks(record.failure_options, failure):
            return
        incidents = self._counted(dmarc.found_at, failure.now, settings.reports.failure_rate)
        if not incidents or len(self._waiting) >= MOST_WAITING:
            return
        feedback = _feedback(failure, incidents, self._key)
        header = shown(failure.octets, self._key)
        self._waiting.append(Waiting(dmarc.found_at, record.failure, feedback, header))
        self._more.set()

    def _counted(self, domain: str, now: int, most: int) -> int:
        """How many mails the report stands for; 0 where there were enough in this hour."""
        hour, reports, left_out = self._hours.pop(domain, (0, 0, 0))
        if hour != now // HOUR:
            hour, reports = now // HOUR, 0
        if len(self._hours) >= MOST_DOMAINS:
            del self._hours[next(iter(self._hours))]
        if reports >= most:
            self._hours[domain] = (hour, reports, left_out + 1)
            return 0
        self._hours[domain] = (hour, reports + 1, 0)
        return left_out + 1

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; what waits then is lost."""
        await until(stop, self._run())

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            await self.round()

    async def round(self) -> None:
        """Make what waits."""
        self._more.clear()
        while self._waiting:
            one = self._waiting.popleft()
            try:
                await self._send(one)
            except (MailError, ResolverFailure) as error:
                emit("reports.failure.lost", level="warning", domain=one.domain, error=repr(error))

    async def _send(self, one: Waiting) -> None:
        sender = sender_of(self._settings(), CONTACT)
        domain = sender.domain
        if not self._signs(domain):
            emit("reports.failure.unsigned", level="warning", domain=one.domain, sender=domain)
            return
        places = await destinations(one.domain, one.uris, self._resolver, failures=True)
        feedback = await self._with_spf(one.feedback)
        contents: list[Content] = []
        operations: list[Operation] = []
        for address in places:
            octets = compose(
                feedback,
                one.header,
                sender=sender.address,
                to=address,
                subject=f"DMARC failure of {one.domain}",
                now=int(self._clock.now()),
                token=secrets.token_hex(12),
            )
            operations.append(queued(len(contents), address))
            contents.append(Content(octets, index(octets)))
        if operations:
            await self._store.commit(Transaction(tuple(operations), tuple(contents)))
            count("a3_reports_sent_total", "failure", len(contents))
            emit("reports.failure.sent", domain=one.domain, places=len(contents))

    async def _with_spf(self, feedback: Feedback) -> Feedback:
        """With the SPF policies of the aligned domain that failed (RFC 6591 section 3.2.6)."""
        if not feedback.spf_domain:
            return feedback
        answer = await self._resolver.lookup(feedback.spf_domain, "TXT")
        policies = tuple(t.decode("ascii", "replace") for t in answer.texts if t[:6].lower() == b"v=spf1")
        return structs.replace(feedback, spf_policies=policies[:MAX_POLICIES])


def shown(octets: bytes | mmap.mmap, key: bytes) -> bytes:
    """What a report has of a header: FIELDS without names, and the Message-ID."""
    header = bytes(octets[: min(headers.header_end(octets, 0, len(octets)), MAX_HEADER)])
    fields = headers.select(header, 0, len(header), FIELDS).removesuffix(b"\r\n")
    return redact(fields, key) + headers.select(header, 0, len(header), MESSAGE_ID)


def _asks(options: str, failure: DmarcFailure) -> bool:
    """Does ``fo`` ask for a mail (RFC 7489 section 6.3)? ``0``: where DMARC failed; ``1``: also where DKIM or
    SPF have not proved the author's domain, though the other has; ``d`` and ``s``: where DKIM or SPF itself
    failed. What the DNS did not say is no failure."""
    words, found = options.split(":"), failure.found
    if found.dmarc.result == FAIL and ("0" in words or "1" in words):
        return True
    if "1" in words and _lacking(found):
        return True
    if "d" in words and any(each.result not in ("pass", "temperror") for each in found.dkim):
        return True
    return "s" in words and found.spf is not None and found.spf.result in ("fail", "softfail", "permerror")


def _lacking(found: Evaluation) -> tuple[str, ...]:
    """The methods that have not proved the author's domain, and whose answer is known."""
    spf = () if found.spf is None else (found.spf,)
    lacking = []
    for method, results in (("dkim", found.dkim), ("spf", spf)):
        proved = any(each.result == PASS and aligns(each.domain, method, found.dmarc) for each in results)
        if not proved and all(each.result != TEMPERROR for each in results):
            lacking.append(method)
    return tuple(lacking)


def _what_failed(found: Evaluation) -> str:
    """In a word of RFC 6591 section 3.3."""
    if found.dmarc.result == FAIL:
        return "dmarc"
    return (
        "spf"
        if all(each.result == PASS for each in found.dkim) and "dkim" not in _lacking(found)
        else "signature"
    )


def _feedback(failure: DmarcFailure, incidents: int, key: bytes) -> Feedback:
    found = failure.found
    results = tuple(
        f"{each.method}={each.result}"
        + "".join(f" {kind}.{name}={value}" for kind, name, value in each.properties if (kind, name) in _TOLD)
        for each in found.results.results
    )
    return Feedback(
        AUTH_FAILURE,
        AGENT,
        failure.ip,
        (found.dmarc.domain,),
        redact(failure.reverse_path.encode(), key).decode(),
        (),
        failure.now,
        incidents,
        _what_failed(found),
        _RESULTS[failure.disposition],
        (f"{found.results.authserv_id}; {'; '.join(results)}",),
        *_signature(found),
        _unaligned(found),
        _spf_domain(found),
    )


def _spf_domain(found: Evaluation) -> str:
    """The aligned domain that SPF failed for."""
    spf = found.spf
    return (
        spf.domain
        if spf is not None and spf.result != PASS and aligns(spf.domain, "spf", found.dmarc)
        else ""
    )


def _unaligned(found: Evaluation) -> tuple[str, ...]:
    if found.dmarc.result != FAIL:
        return _lacking(found)
    return ("dkim", "spf") if found.dkim else ("spf",)


def _signature(found: Evaluation) -> tuple[str, str, str]:
    """Domain, identity and selector of the aligned signature that failed (RFC 9991 section 4)."""
    for each in found.dkim:
        if each.domain and each.result != PASS and aligns(each.domain, "dkim", found.dmarc):
            identity = each.identity or each.domain
            return each.domain, f"@{identity.rpartition('@')[2]}", each.selector
    return "", "", ""
