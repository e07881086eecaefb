"""Filters that follow a session: refusals at their stage, one connection for all mails, and what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from a3mailer.config.tree import Milter
from a3mailer.mail.errors import MailError
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.memory_connection import Stage as MemoryStage
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.policy import milter_session as module
from a3mailer.transfer.policy.judge import Judged
from a3mailer.transfer.policy.milter import Milters
from a3mailer.transfer.policy.stages import Stages
from a3mailer.wire.milter.codes import Step
from a3mailer.wire.milter.packets import packet
from tests.transcripts.smtp_world import Kept, SmtpWorld
from tests.unit.transfer.policy.test_milter import GO_ON, Filter

HELLO = b"EHLO mx.b.test\r\n"
MAIL = b"MAIL FROM:<a@b.test>\r\n"
ALICE, BOB = b"RCPT TO:<alice@example.test>\r\n", b"RCPT TO:<bob@example.test>\r\n"
CONTENT = b"DATA\r\nSubject: x\r\n\r\ny\r\n.\r\n"
REFUSED = packet(b"y", b"550 5.7.9 not to him\0")


class Script(Filter):
    """A filter that answers by ``says(code, data)``."""

    def __init__(
        self, says: Callable[[bytes, bytes], bytes] = lambda code, data: GO_ON, steps: int = 0
    ) -> None:
        super().__init__(steps=steps)
        self._says = says
        self.gone = False

    def write(self, octets: bytes | memoryview) -> None:
        if self.gone:
            raise ConnectionError("gone")
        before = len(self.heard)
        self.at = b""
        silent, self.silent = self.silent, True
        super().write(octets)
        self.silent = silent
        for code, data in self.heard[before:]:
            if code == b"O":
                self._out.put_nowait(packet(b"O", b"\0\0\0\6\0\0\1\xff" + self.steps.to_bytes(4, "big")))
            elif code not in b"DQA" and not silent and (answer := self._says(code, data)):
                self._out.put_nowait(answer)

    @property
    def codes(self) -> bytes:
        """What it has heard, without macros."""
        return b"".join(code for code, _ in self.heard if code != b"D")


class Judging(Kept):
    """Lets the filters see whole mails, as ``Receive`` does."""

    milters: Milters

    async def __call__(self, arrival: Arrival) -> tuple[MailError | None, ...]:
        judged = await self.milters.judge(Judged(arrival), 5.0)
        return (None,) * 2 if judged.discarded else await super().__call__(judged.arrival)


class Session:
    """One client whose mails these filters see; a filter given twice takes a second connection."""

    def __init__(self, folder: Path, *filters: Filter | Exception, **milter: object) -> None:
        self.world = SmtpWorld(folder)
        self.kept = Judging()
        self.dialed: list[str] = []
        self._filters = list(filters)
        named = Milter(servers=("only",), **milter)  # type: ignore[arg-type]
        settings = structs.replace(self.world.settings, milter=named)
        self.kept.milters = Milters(self._dial, self.world.door.policy.lead, settings)  # type: ignore[arg-type]
        tables = SharedTable(64, 1.0), SharedTable(64, 1.0)
        stages = Stages((), FakeResolver(), FakeClock(), *tables, settings)
        stages.filters = self.kept.milters.follow
        self.world.door.policy._stages = stages
        self.world.door.receive = self.kept  # type: ignore[assignment]

    async def _dial(self, where: str, seconds: float) -> Filter:
        self.dialed.append(where)
        found = self._filters.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def say(self, *octets: bytes) -> list[bytes]:
        async with MemoryStage(self.world.serve, self.world.connect) as stage:
            session = stage.open(1)
            return [await session.greeting(), *[await session.feed(each) for each in octets]]


async def test_one_connection_hears_all_mails_of_a_session_as_they_come(tmp_path: Path) -> None:
    heard = Script()
    session = Session(tmp_path, heard)
    said = await session.say(HELLO, MAIL + ALICE + CONTENT, MAIL + ALICE, b"RSET\r\n" + MAIL + BOB + CONTENT)
    assert said[2].endswith(b"accepted as 0123456789abcdef\r\n") and b"accepted" in said[4]
    assert heard.codes == b"OCHMRTLNBEMRAMRTLNBEQ" and heard.closed
    assert session.dialed == ["only"] and len(session.kept.arrivals) == 2


async def test_one_recipient_is_refused_and_the_others_get_the_mail(tmp_path: Path) -> None:
    heard = Script(lambda code, data: REFUSED if data.startswith(b"<bob@") else GO_ON)
    session = Session(tmp_path, heard)
    said = await session.say(HELLO, MAIL, ALICE, BOB, CONTENT)
    assert said[3:5] == [b"250 2.1.5 recipient OK\r\n", b"550 5.7.9 not to him\r\n"]
    (arrival,) = session.kept.arrivals
    assert [str(r.address) for r in arrival.envelope.recipients] == ["alice@example.test"]


@pytest.mark.parametrize(("at", "place"), [(b"C", 0), (b"H", 1), (b"M", 2), (b"R", 3), (b"T", 4), (b"E", 4)])
async def test_a_refusal_is_told_where_it_belongs(tmp_path: Path, at: bytes, place: int) -> None:
    for answer, code in ((packet(b"r"), b"55"), (packet(b"t"), b"451 4.7.1")):
        session = Session(tmp_path, Script(lambda c, d, a=answer: a if c == at else GO_ON))  # type: ignore[misc]
        said = await session.say(HELLO, MAIL, ALICE, CONTENT)
        code = b"421 4.7.1" if code == b"451 4.7.1" and at == b"C" else code
        told = [part for part in said[place].split(b"\r\n") if not part.startswith(b"354")]
        assert told[0].startswith(code), said
        assert not session.kept.arrivals


async def test_what_a_filter_has_accepted_or_discarded_it_hears_no_more_of(tmp_path: Path) -> None:
    accepting = Script(lambda code, data: packet(b"a") if code == b"M" else GO_ON)
    session = Session(tmp_path, accepting)
    await session.say(HELLO, MAIL + ALICE + CONTENT, MAIL + ALICE + CONTENT)
    assert accepting.codes == b"OCHMAMQ" and len(session.kept.arrivals) == 2
    client = Script(lambda code, data: packet(b"a") if code == b"H" else GO_ON)
    session = Session(tmp_path, client)
    await session.say(HELLO, MAIL + ALICE + CONTENT, MAIL + ALICE + CONTENT)
    assert client.codes == b"OCHQ" and len(session.kept.arrivals) == 2
    discarding = Script(lambda code, data: packet(b"d") if code == b"R" else GO_ON)
    session = Session(tmp_path, discarding)
    await session.say(HELLO, MAIL + ALICE + BOB + CONTENT)
    assert discarding.codes == b"OCHMRQ" and not session.kept.arrivals


async def test_what_a_filter_does_not_want_or_answer_is_not_waited_for(tmp_path: Path) -> None:
    steps = Step.NO_CONNECT | Step.NO_HELO | Step.SILENT_MAIL | Step.NO_BODY

    def says(code: bytes, data: bytes) -> bytes:
        return b"" if code == b"M" else GO_ON

    heard = Script(says, steps=int(steps))
    session = Session(tmp_path, heard)
    await session.say(HELLO, MAIL + ALICE + CONTENT)
    assert heard.codes == b"OMRTLNEQ" and len(session.kept.arrivals) == 1


async def test_a_session_that_fails_is_begun_anew_for_the_whole_mail(tmp_path: Path) -> None:
    first, second = Script(), Script()
    session = Session(tmp_path, first, second)

    class Lost(Judging):
        async def __call__(self, arrival: Arrival) -> tuple[MailError | None, ...]:
            first.gone = True
            return await super().__call__(arrival)

    lost = Lost()
    lost.milters = session.kept.milters
    session.world.door.receive = lost  # type: ignore[assignment]
    said = await session.say(HELLO, MAIL + ALICE + CONTENT)
    assert b"accepted as" in said[2] and first.codes == b"OCHMR" and first.closed
    assert second.codes == b"OCHMRTLNBEQ" and second.closed


@pytest.mark.parametrize(("failure", "answer"), [("tempfail", b"451 "), ("accept", b"250 ")])
async def test_a_filter_that_is_not_there_is_what_the_operator_says(
    tmp_path: Path, failure: str, answer: bytes
) -> None:
    gone = ConnectionError("refused")
    session = Session(tmp_path, gone, gone, failure=failure)
    said = await session.say(HELLO, MAIL, ALICE, CONTENT)
    assert said[0].startswith(b"220 ") and said[3].startswith(b"250 ")
    assert said[4].split(b"\r\n")[1].startswith(answer)


async def test_a_filter_that_breaks_the_protocol_at_a_stage_is_left(tmp_path: Path) -> None:
    broken, second = Script(lambda code, data: packet(b"h", b"x")), Script()
    session = Session(tmp_path, broken, second)
    assert b"accepted as" in (await session.say(HELLO, MAIL + ALICE + CONTENT))[2]
    assert broken.closed and second.codes == b"OCHMRTLNBEQ"


async def test_row_70_a_client_that_says_nothing_keeps_no_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session ends; the next mail has one of its own, told from the beginning, that can refuse."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.02)
    first = Script()
    second = Script(lambda code, data: REFUSED if data.startswith(b"<bob@") else GO_ON)
    session = Session(tmp_path, first, second)
    async with MemoryStage(session.world.serve, session.world.connect) as stage:
        client = stage.open(1)
        await client.greeting()
        await client.feed(HELLO + MAIL + ALICE + CONTENT)
        while not first.closed:
            await asyncio.sleep(0.005)
        monkeypatch.setattr(module, "IDLE_SECONDS", 60.0)
        said = await client.feed(MAIL + BOB + ALICE + CONTENT)
        assert b"550 5.7.9 not to him\r\n250 2.1.5" in said and b"accepted as" in said
    assert first.codes == b"OCHMRTLNBEQ" and second.codes == b"OCHMRRTLNBEQ"
    assert second.closed and len(session.kept.arrivals) == 2


async def test_row_70_a_mail_that_a_filter_heard_half_of_is_told_anew_when_its_session_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.02)
    first, second = Script(), Script()
    session = Session(tmp_path, first, second)
    async with MemoryStage(session.world.serve, session.world.connect) as stage:
        client = stage.open(1)
        await client.greeting()
        await client.feed(HELLO + MAIL + ALICE)
        while not first.closed:
            await asyncio.sleep(0.005)
        assert b"accepted as" in await client.feed(CONTENT)
    assert first.codes == b"OCHMRQ" and second.codes == b"OCHMRTLNBEQ"


async def test_whole_mails_only_where_the_operator_wants_it(tmp_path: Path) -> None:
    heard = Script()
    session = Session(tmp_path, heard, early=False)
    await session.say(HELLO, MAIL, ALICE)
    assert not heard.heard and not session.dialed
