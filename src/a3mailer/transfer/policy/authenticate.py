"""The judge that asks who a mail is from (RFC 8601; RFC 9989), before it is stored.

For mail of strangers at the MX door: fields that carry our own authserv-id are taken away, for nobody but us
writes them (section 5, attack row 19), and so are BIMI fields that say what is shown beside a mail; then SPF,
DKIM, DMARC, iprev and, where it is wanted, BIMI are looked at and written down on top. What a failed DMARC
does beyond that is the operator's choice. A DNS that does not answer is no reason to refuse a mail: it is
taken and the header says ``temperror``.
"""

from __future__ import annotations

import asyncio
import mmap
from typing import Final

from msgspec import structs

from a3mailer.config.tree import Settings
from a3mailer.mail.authresults import FAIL, AuthResults, encode, strip_own
from a3mailer.mail.errors import Refused
from a3mailer.mail.message.headers import header_end
from a3mailer.msgauth import bimi
from a3mailer.msgauth.dmarc import DmarcResult
from a3mailer.msgauth.dmarc_record import NONE as NOTHING
from a3mailer.msgauth.dmarc_record import QUARANTINE, REJECT
from a3mailer.msgauth.evaluate import Evaluation, Evaluator, Incoming
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.resolver import Resolver
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.arrival import Arrival, is_exempt
from a3mailer.transfer.indicators import Indicators, told, words
from a3mailer.transfer.policy.dmarc_outcomes import DmarcOutcomes
from a3mailer.transfer.policy.failures import DmarcFailure, Failed, may_ask
from a3mailer.transfer.policy.judge import Judged
from a3mailer.transfer.policy.replays import Replay, Replays
from a3mailer.wire.smtp.paths import encode_mailbox

TAG: Final = "tag"
JUNK: Final = "junk"
REFUSE: Final = "refuse"
ENFORCE: Final = "enforce"
DONE: Final = {NOTHING: "delivered", QUARANTINE: "junk", REJECT: "refused"}
"""What an event calls it."""
LARGE: Final = 256 * 1024
"""Octets of a header above which it is searched outside the event loop."""
REPLAYED: Final = "5.7.1"
MULTIPLE_FAILED: Final = "5.7.26"
"""RFC 7372 section 3.4."""


class Authenticate:
    """See ``transfer/policy/judge.py``."""

    __slots__ = (
        "_clock",
        "_evaluate",
        "_failed",
        "_indicators",
        "_outcomes",
        "_replays",
        "_resolver",
        "_settings",
        "_wanted",
    )

    def __init__(
        self,
        resolver: Resolver,
        settings: Settings,
        clock: Clock,
        outcomes: DmarcOutcomes | None = None,
        failed: Failed | None = None,
        indicators: Indicators | None = None,
        replays: Replays | None = None,
    ) -> None:
        """Without ``outcomes`` nothing is counted for the reports of others, without ``indicators`` no
        picture is fetched, without ``replays`` no signature is counted; ``failed`` hears of failures."""
        self._replays = replays
        self._failed = failed
        self._indicators = indicators
        self._resolver = resolver
        self._clock = clock
        self._outcomes = outcomes
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings
        self._wanted = settings.msgauth.enabled and settings.server.profile != "plain"
        if self._outcomes is not None:
            self._outcomes.reconfigure(settings)
        if self._indicators is not None:
            self._indicators.reconfigure(settings)
        self._evaluate = Evaluator(
            self._resolver,
            settings.server.hostname,
            settings.msgauth.arc_trusted,
            indicators=settings.msgauth.bimi,
        )

    def wants(self, arrival: Arrival) -> bool:
        """Mail that a stranger brings to the MX door."""
        return self._wanted and arrival.client.protocol == "SMTP" and not arrival.client.account

    async def judge(self, mail: Judged, seconds: float) -> Judged:
        """Errors: Refused where ``msgauth.dmarc`` is enforce and the author's domain asks for it, or where
        ``msgauth.replay`` is refuse and a signature has come too often."""
        kept = await _without_own(mail.arrival.octets, self._settings.server.hostname)
        if kept is not None:
            mail = mail.with_octets(kept)
        client = mail.arrival.client
        if not client.ip or is_exempt(client, self._settings):
            return mail
        sender = mail.arrival.envelope.reverse_path.address
        incoming = Incoming(
            client.ip,
            client.helo,
            "" if sender is None else encode_mailbox(sender).decode(),
            mail.arrival.octets,
        )
        limit = min(seconds, self._settings.msgauth.seconds)
        found = await self._evaluate(incoming, self._clock.now(), limit)
        replays = self._replayed(found, mail.arrival)
        fields = await self._fields(found, replays, mail.arrival.trace)
        mail = structs.replace(mail.with_top(fields), author=found.author)
        count("a3_dmarc_total", found.dmarc.result)
        mail = self._held_back(mail, replays)
        disposition = self._disposition(found.dmarc)
        if self._outcomes is not None:
            self._outcomes.add(client.ip, "" if sender is None else sender.domain.lower(), found, disposition)
        if self._failed is not None and may_ask(found.dmarc):
            path, octets, now = incoming.mail_from, incoming.octets, int(self._clock.now())
            self._failed(DmarcFailure(client.ip, path, octets, found, disposition, now))
        if found.dmarc.result != FAIL:
            return mail
        return self._decided(mail, found.dmarc, disposition)

    def _replayed(self, found: Evaluation, arrival: Arrival) -> tuple[Replay, ...]:
        """Signatures of a mail that have come too often."""
        if self._replays is None:
            return ()
        people = len(arrival.envelope.recipients)
        return self._replays.seen(found.dkim, arrival.client.ip, people, self._settings.msgauth)

    def _held_back(self, mail: Judged, replays: tuple[Replay, ...]) -> Judged:
        """What becomes of a mail with such a signature. Errors: Refused."""
        if not replays:
            return mail
        settings, worst = self._settings.msgauth, max(replays, key=lambda each: each.networks)
        act = settings.replay if worst.is_spread(settings) else TAG
        count("a3_dkim_replays_total", act)
        emit(
            "mail.dkim.replayed",
            level="warning",
            trace=mail.arrival.trace,
            client=mail.arrival.client.ip,
            domain=worst.signature.domain,
            seen=str(worst),
            done=act,
        )
        if act == REFUSE:
            raise Refused("this signed mail has come to too many recipients", REPLAYED)
        return structs.replace(mail, junk=True) if act == JUNK else mail

    async def _fields(self, found: Evaluation, replays: tuple[Replay, ...], trace: str) -> bytes:
        """What is written on top of a mail."""
        asked = found.bimi
        if replays:
            found = structs.replace(found, results=_with_replays(found.results, replays))
        if asked is None:
            return encode(found.results)
        known = None if self._indicators is None else await self._indicators.about(asked)
        result, location = told(asked, known)
        if asked.assertion is not None:
            says = words(known) if known is not None else result.reason
            emit("mail.bimi.found", trace=trace, domain=asked.domain, result=result.result, says=says)
        results = (*found.results.results, result)
        return encode(AuthResults(found.results.authserv_id, results)) + location

    def _disposition(self, dmarc: DmarcResult) -> str:
        """What is done with it: none, quarantine or reject."""
        choice = self._settings.msgauth.dmarc
        if dmarc.result != FAIL or choice not in (JUNK, ENFORCE):
            return NOTHING
        if choice == JUNK and dmarc.policy == REJECT:
            return QUARANTINE
        return dmarc.policy

    def _decided(self, mail: Judged, dmarc: DmarcResult, disposition: str) -> Judged:
        """What becomes of a mail that failed."""
        emit(
            "mail.dmarc.failed",
            trace=mail.arrival.trace,
            client=mail.arrival.client.ip,
            domain=dmarc.domain,
            policy=dmarc.policy,
            reason=dmarc.reason,
            disposition=DONE[disposition],
        )
        if disposition == REJECT:
            whom = dmarc.domain or dmarc.reason
            raise Refused(
                f"not authentic, and its author's domain asks to refuse it ({whom})", MULTIPLE_FAILED
            )
        return structs.replace(mail, junk=True) if disposition == QUARANTINE else mail


def _with_replays(results: AuthResults, replays: tuple[Replay, ...]) -> AuthResults:
    """The results with what was counted beside the signatures it is about."""
    said = {replay.signature.method_result(): str(replay.recipients) for replay in replays}
    with_counts = tuple(
        structs.replace(each, properties=(*each.properties, ("policy", "replay", said[each])))
        if each in said
        else each
        for each in results.results
    )
    return structs.replace(results, results=with_counts)


def _strip(header: bytes, hostname: str) -> bytes:
    return bimi.strip(strip_own(header, hostname))


async def _without_own(octets: bytes | mmap.mmap, hostname: str) -> bytes | None:
    """The mail without the fields that only we write; None where it has none of them."""
    end = header_end(octets, 0, len(octets))
    header = octets[:end]
    if end < LARGE:
        kept = _strip(header, hostname)
    else:
        kept = await asyncio.to_thread(_strip, header, hostname)
    return None if kept is header else kept + octets[end:]
