"""Pictures of authors: had behind a mail's back, looked at, kept, and told of in words (BIMI; ADR 0034).

No mail waits for a picture. ``about`` gives what is known of an assertion; what is not, ``run`` fetches by
the one guarded client, a few at a time and an hour, to no more than MOST rows of the store; those that
end soonest go first. What a mark certificate vouches for is ``verified`` and shown as it stands in there; a
picture that only its domain speaks for is ``asserted``, and fetched only where ``msgauth.bimi_unverified``
says so. What cannot be shown is remembered likewise: nobody is asked for it with every mail.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from msgspec.structs import replace

from a3mailer.config.tree import Settings
from a3mailer.mail.authresults import FAIL, NONE, PASS, TEMPERROR, MethodResult
from a3mailer.mail.errors import MailError
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.msgauth.bimi import Assertion, BimiResult
from a3mailer.msgauth.bimi_mark import MAX_FILE, BadMark, check
from a3mailer.msgauth.bimi_svg import MAX_PICTURE, BadPicture, parse
from a3mailer.msgauth.packed import Unreadable, unpack
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.http import HttpFailure
from a3mailer.runtime.rest import until
from a3mailer.store.operations import Operation, PutDocument, RemoveDocument
from a3mailer.store.ports import DocumentReader, Store, Transaction
from a3mailer.telemetry.events import emit
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.relay.sts import Web

KIND: Final = "indicator"
"""Of documents: what is known, as JSON, by DOMAIN/SELECTOR."""
PICTURE: Final = "indicator picture"
"""... and the SVG itself in base64, by the same name."""
VERIFIED: Final = "verified"
ASSERTED: Final = "asserted"
REFUSED: Final = "refused"
MISSED: Final = "missed"
UNVOUCHED: Final = "unvouched"
"""Nothing is fetched: nobody that is believed vouches for it."""
SHOWN: Final = (VERIFIED, ASSERTED)
HOUR: Final = 3600
DAY: Final = 86_400
AGAIN_SECONDS: Final = DAY
"""Until one that is good, or is none, is looked at again ..."""
KEPT_SECONDS: Final = 7 * DAY
"""... and until a good one that cannot be had any more is forgotten."""
RETRY_SECONDS: Final = HOUR
"""After a fetch that failed."""
FETCH_SECONDS: Final = 15.0
AT_ONCE: Final = 4
"""Fetches of one worker at once."""
MOST: Final = 2000
"""Rows of the store."""
MOST_WAITING: Final = 200
MOST_AN_HOUR: Final = 300
"""Fetches of one worker ..."""
MOST_OF_ONE: Final = 10
"""... and for one organization."""
IN_MEMORY: Final = 2000
MEDIA: Final = "image/svg+xml"
MAX_LINE: Final = 998


class Indicator(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of the picture of a domain. Times are seconds since the epoch."""

    domain: str
    selector: str
    location: str
    authority: str
    state: str
    reason: str = ""
    """Why it is not shown."""
    title: str = ""
    digest: str = ""
    """SHA-256 of the picture."""
    organization: str = ""
    certifier: str = ""
    under: str = ""
    """Digest of whom we believed then."""
    again: int = 0
    """To be looked at again from then on."""
    until: int = 0
    """Not to be believed any more from then on."""


_decode: Final = msgspec.json.Decoder(Indicator).decode


def name_of(domain: str, selector: str) -> str:
    """Of the documents."""
    return f"{domain}/{selector}"


def words(known: Indicator) -> str:
    """What is shown, for people."""
    if known.state == VERIFIED:
        whose = f" for {known.organization}" if known.organization else ""
        return f"the indicator of {known.domain}, certified by {known.certifier or 'an authority'}{whose}"
    if known.state == ASSERTED:
        return f"the indicator of {known.domain}, for which nobody but {known.domain} vouches"
    return f"no indicator of {known.domain} is shown: {known.reason}"


def told(found: BimiResult, known: Indicator | None) -> tuple[MethodResult, bytes]:
    """What Authentication-Results says of it, and the BIMI-Location field; empty where none is written."""
    if found.assertion is None:
        return found.method_result(), b""
    if known is None:
        found = replace(found, result=PASS, reason="its indicator is not looked at yet")
    elif known.state in SHOWN:
        authority = PASS if known.state == VERIFIED else NONE
        return found.method_result(authority), location_field(known)
    elif known.state == UNVOUCHED:
        found = replace(found, result=PASS, reason=known.reason)
    else:
        failed = FAIL if known.state == REFUSED else TEMPERROR
        found = replace(found, result=failed, reason=known.reason)
    refused = known is not None and known.state == REFUSED and bool(known.authority)
    return found.method_result(FAIL if refused else NONE), b""


# bimi-location-header = "v=BIMI1" ";" [ "l=" bimi-uri ] [ ";" "a=" bimi-uri ]
def location_field(known: Indicator) -> bytes:
    """The field that tells a program where the picture is (section 5.2); empty where it cannot be written."""
    tags = (("l", known.location), ("a", known.authority))
    lines = ["BIMI-Location: v=BIMI1", *(f"\t{name}={value}" for name, value in tags if value)]
    if any(len(line) >= MAX_LINE for line in lines):
        return b""
    return (";\r\n".join(lines) + "\r\n").encode()


class Indicators:
    """One object a worker. ``about`` is asked by the judge of mails, ``run`` is a work beside them."""

    __slots__ = (
        "_authorities",
        "_clock",
        "_directory",
        "_hour",
        "_keeping",
        "_known",
        "_more",
        "_store",
        "_under",
        "_unverified",
        "_waiting",
        "_web",
    )

    def __init__(self, store: Store, web: Web, clock: Clock, directory: Path, settings: Settings) -> None:
        self._store = store
        self._web = web
        self._clock = clock
        self._directory = directory
        self._known: OrderedDict[str, Indicator] = OrderedDict()
        self._waiting: dict[str, BimiResult] = {}
        self._more = asyncio.Event()
        self._keeping = asyncio.Lock()
        self._hour: tuple[int, dict[str, int]] = (0, {})
        """Which hour it is, and the fetches in it by organization."""
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot. What was believed under others is looked at again."""
        wanted = settings.msgauth
        pem = b""
        self._authorities: tuple[x509.Certificate, ...] = ()
        self._unverified = wanted.bimi_unverified
        if wanted.bimi and wanted.bimi_authorities:
            try:
                pem = (self._directory / wanted.bimi_authorities).read_bytes()
                self._authorities = tuple(x509.load_pem_x509_certificates(pem))
            except (OSError, ValueError) as error:
                emit(
                    "bimi.authorities.unusable", level="error", file=wanted.bimi_authorities, error=str(error)
                )
        self._under = hashlib.sha256(pem + bytes([self._unverified])).hexdigest()[:16]

    # --- asked by the judge --------------------------------------------------------------------------

    async def about(self, found: BimiResult) -> Indicator | None:
        """What is known of an assertion; None: nothing yet, which is seen to. Never an error."""
        assertion = found.assertion
        if assertion is None:
            return None
        if lack := self._lack(assertion):
            made = Indicator(found.domain, found.selector, assertion.location, assertion.authority, UNVOUCHED)
            return replace(made, reason=lack)
        name, now = name_of(found.domain, found.selector), self._clock.now()
        kept = self._known.get(name)
        if kept is None or not self._holds(kept, assertion, now):
            kept = await self._load(name)
        if kept is None or not self._holds(kept, assertion, now):
            self._want(name, found, now)
            return None
        if now >= kept.again:
            self._want(name, found, now)
        return kept

    def _lack(self, assertion: Assertion) -> str:
        """Why nothing is to be fetched; empty: something is."""
        if (assertion.authority and self._authorities) or (assertion.location and self._unverified):
            return ""
        return "nobody vouches for its indicator" if not assertion.authority else "no authority is believed"

    def _holds(self, kept: Indicator, assertion: Assertion, now: float) -> bool:
        """A clock that jumped back far does not make it new again."""
        same = (kept.location, kept.authority, kept.under)
        if same != (assertion.location, assertion.authority, self._under):
            return False
        return now < kept.until <= now + KEPT_SECONDS + DAY

    async def _load(self, name: str) -> Indicator | None:
        """From the store; what cannot be read is not there."""
        try:
            row = await self._store.document(SYSTEM_ACCOUNT, KIND, name)
            kept = _decode(row.value) if row is not None else None
        except (MailError, msgspec.MsgspecError):
            return None
        if kept is not None:
            self._remember(name, kept)
        return kept

    def _remember(self, name: str, kept: Indicator) -> None:
        self._known[name] = kept
        self._known.move_to_end(name)
        if len(self._known) > IN_MEMORY:
            self._known.popitem(last=False)

    def _want(self, name: str, found: BimiResult, now: float) -> None:
        """Have it fetched, where there was not enough of that in this hour."""
        if name in self._waiting or len(self._waiting) >= MOST_WAITING:
            return
        hour, fetched = self._hour
        if hour != now // HOUR:
            hour, fetched = self._hour = (int(now // HOUR), {})
        whose = found.organizational or found.domain
        if sum(fetched.values()) >= MOST_AN_HOUR or fetched.get(whose, 0) >= MOST_OF_ONE:
            return
        fetched[whose] = fetched.get(whose, 0) + 1
        self._waiting[name] = found
        self._more.set()

    # --- beside the mails ----------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set; what waits then is fetched for a later mail."""
        await until(stop, self._run())

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            await self.round()

    async def round(self) -> None:
        """Fetch what waits."""
        self._more.clear()
        while self._waiting:
            some = list(self._waiting.items())[:AT_ONCE]
            try:
                async with asyncio.TaskGroup() as tasks:
                    for name, found in some:
                        tasks.create_task(self._see_to(name, found))
            finally:
                for name, _ in some:
                    del self._waiting[name]

    async def _see_to(self, name: str, found: BimiResult) -> None:
        assert found.assertion is not None
        now = int(self._clock.now())
        kept = await self._load(name)
        if kept is not None and not self._holds(kept, found.assertion, now):
            kept = None
        if kept is not None and now < kept.again:
            return  # another worker has looked
        made, octets = await self._looked(found, now)
        if made.state == MISSED and kept is not None and kept.state in SHOWN:
            made, octets = replace(kept, again=min(now + RETRY_SECONDS, kept.until)), None
        count("a3_bimi_indicators_total", made.state)
        emit("bimi.looked", domain=found.domain, selector=found.selector, state=made.state, says=words(made))
        try:
            await self._keep(name, made, octets)
        except MailError as error:
            emit("bimi.not_kept", level="warning", domain=found.domain, error=repr(error))

    async def _looked(self, found: BimiResult, now: int) -> tuple[Indicator, bytes | None]:
        """What is found where the assertion says, and the picture."""
        assertion = found.assertion
        assert assertion is not None
        made = Indicator(
            found.domain,
            found.selector,
            assertion.location,
            assertion.authority,
            REFUSED,
            under=self._under,
            again=now + AGAIN_SECONDS,
            until=now + AGAIN_SECONDS,
        )
        try:
            if assertion.authority and self._authorities:
                return await self._certified(made, now)
            octets = await self._get(assertion.location, MAX_PICTURE, MEDIA)
            picture = await asyncio.to_thread(lambda: parse(unpack(octets)))
            return _good(made, ASSERTED, picture.title, picture.octets, now + KEPT_SECONDS), picture.octets
        except (BadMark, BadPicture, Unreadable) as error:
            return replace(made, reason=str(error)), None
        except HttpFailure as error:
            if error.kind in ("refused", "size"):
                return replace(made, reason=str(error)), None
            later = now + RETRY_SECONDS
            return replace(made, state=MISSED, reason=str(error), again=later, until=later), None

    async def _certified(self, made: Indicator, now: int) -> tuple[Indicator, bytes]:
        """The picture in the certificate of the mark. Errors: HttpFailure, BadMark."""
        octets = await self._get(made.authority, MAX_FILE)
        at = datetime.fromtimestamp(now, UTC)
        mark = await asyncio.to_thread(check, octets, made.domain, made.selector, self._authorities, at)
        until = min(now + KEPT_SECONDS, int(mark.ends.timestamp()))
        picture = mark.picture
        good = _good(made, VERIFIED, picture.title, picture.octets, until)
        return replace(good, organization=mark.organization, certifier=mark.authority), picture.octets

    async def _get(self, url: str, most: int, media: str = "") -> bytes:
        """Errors: HttpFailure."""
        answer = await self._web.get(url, most=most, seconds=FETCH_SECONDS)
        if answer.status != 200:
            kind = "refused" if 300 <= answer.status < 500 else "status"
            raise HttpFailure(kind, f"{url} answers {answer.status}")
        if media and answer.media != media:
            raise HttpFailure("refused", f"it is of the type {answer.media or 'unknown'}, not {media}")
        return answer.body

    async def _keep(self, name: str, made: Indicator, octets: bytes | None) -> None:
        """Put it into the store, and into memory. Errors: MailError."""
        async with self._keeping:
            rows = await self._store.documents(SYSTEM_ACCOUNT, KIND, limit=MOST + AT_ONCE)
            rest = sorted((row for row in rows if row.name != name), key=lambda row: row.expires)
            operations: list[Operation] = []
            for row in rest[: max(0, len(rest) - MOST + 1)]:
                operations += await self._gone(row.name)
            if made.state not in SHOWN:
                operations += await self._gone(name)
            value = msgspec.json.encode(made).decode()
            operations.append(PutDocument(SYSTEM_ACCOUNT, KIND, name, value, expires=made.until))
            if octets is not None:
                text = base64.b64encode(octets).decode()
                operations.append(PutDocument(SYSTEM_ACCOUNT, PICTURE, name, text, expires=made.until))
            await self._store.commit(Transaction(tuple(operations)))
            self._remember(name, made)

    async def _gone(self, name: str) -> list[Operation]:
        """Forget what is kept under a name."""
        found = [kind for kind in (KIND, PICTURE) if await self._store.document(SYSTEM_ACCOUNT, kind, name)]
        return [RemoveDocument(SYSTEM_ACCOUNT, kind, name) for kind in found]


def _good(made: Indicator, state: str, title: str, octets: bytes, until: int) -> Indicator:
    return replace(
        made,
        state=state,
        title=title,
        digest=hashlib.sha256(octets).hexdigest(),
        again=min(made.again, until),
        until=until,
    )


async def shown(
    store: DocumentReader, domain: str, selector: str, now: float
) -> tuple[Indicator | None, bytes]:
    """What is known of a domain's picture, and the picture where it may be shown."""
    name = name_of(domain, selector)
    row = await store.document(SYSTEM_ACCOUNT, KIND, name)
    known = _decode(row.value) if row is not None else None
    if known is None or known.state not in SHOWN or now >= known.until:
        return known, b""
    picture = await store.document(SYSTEM_ACCOUNT, PICTURE, name)
    octets = base64.b64decode(picture.value) if picture is not None else b""
    return known, octets if hashlib.sha256(octets).hexdigest() == known.digest else b""
