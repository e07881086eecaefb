"""The operator's own service: what it is asked, what its answers do, and what its silence does."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from a3mailer.config.tree import Dns, Settings
from a3mailer.config.tree import PolicyHook as HookSettings
from a3mailer.mail.errors import MailError, Refused
from a3mailer.runtime.http import HttpClient
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.check import CheckCompliance
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.memory_connection import Stage as MemoryStage
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.policy.judge import Judges
from a3mailer.transfer.policy.policy_hook import REST_SECONDS, STAGES, Answer, AskAboutMail, PolicyHook
from a3mailer.transfer.policy.stages import Stage, Stages
from a3mailer.transfer.receive import Receive
from tests.transcripts.smtp_world import SmtpWorld
from tests.unit.transfer.world import MAIL, SETTINGS, World
from tests.web import Web, reply

KEY = b"k" * 32
ASKED = b"EHLO mx.b.test\r\nMAIL FROM:<carol@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"


def says(action: str, text: str = "") -> bytes:
    return reply(json.dumps({"action": action, "text": text}).encode(), media="application/json")


class Service(Web):
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self, action: str = "accept", text: str = "") -> None:
        super().__init__(None, says(action, text))
        self.clock = FakeClock()

    async def __aenter__(self) -> Service:
        await super().__aenter__()
        context = ssl.create_default_context()
        self.http = HttpClient(FakeResolver(), self.clock, context, inside=True, rest_most=REST_SECONDS)
        self.hook = PolicyHook(self.http, self.clock, lambda: KEY)
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self.http.close()
        await super().__aexit__(*exc)

    def settings(self, *stages: str, **more: Any) -> HookSettings:
        return HookSettings(url=f"http://127.0.0.1:{self.port}/policy", stages=stages, **more)

    @property
    def questions(self) -> list[Any]:
        return [json.loads(body) for body in self.bodies]

    async def session(self, tmp_path: Path, *stages: str, **more: Any) -> bytes:
        """What a client hears of a server that asks at these stages."""
        chosen = Settings(dns=Dns(servers=("127.0.0.1:53",)), policy_hook=self.settings(*stages, **more))
        tables = SharedTable(64, 1.0), SharedTable(64, 1.0)
        world = SmtpWorld(tmp_path)
        world.door.policy._stages = Stages(self.hook.checks(), FakeResolver(), self.clock, *tables, chosen)
        async with MemoryStage(world.serve, world.connect) as stage:
            session = stage.open(1)
            out = await session.greeting()
            out += await session.feed(ASKED)
            if out.endswith(b"354 end with <CRLF>.<CRLF>\r\n"):
                out += await session.feed(MAIL + b".\r\n")
        self.notes = [note for arrival in world.kept.arrivals for note in arrival.notes]
        return out

    async def mail(self, *stages: str, **more: Any) -> tuple[tuple[MailError | None, ...], World]:
        """What becomes of a whole mail."""
        world = World(structs.replace(SETTINGS, policy_hook=self.settings(*stages, **more)))
        judges = Judges({"policy hook": AskAboutMail(self.hook, world.settings)})
        world.receive = Receive(world.store, world.directory, world.settings, world.clock, judges)
        return await world.send(MAIL, "alice@a.test"), world


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data"])
@pytest.mark.parametrize(("action", "code"), [("reject", b"5"), ("defer", b"4")])
async def test_a_stage_refuses(tmp_path: Path, stage: str, action: str, code: bytes) -> None:
    async with Service(action, "go\r\naway; please") as service:
        out = await service.session(tmp_path, stage)
        assert b"%b.7.1 go??away? please\r\n" % code in out
        (question, *_) = service.questions
        assert question["stage"] == stage and question["client"]["ip"] == "192.0.2.1"
        assert question.get("recipient") == ("alice@example.test" if stage == "rcpt" else None)
        assert question["sender"] == ("carol@b.test" if stage in ("mail", "rcpt", "data") else "")


async def test_a_stage_notes_what_does_not_refuse(tmp_path: Path) -> None:
    async with Service("tag", "greets like a robot") as service:
        assert b"250 2.0.0" in await service.session(tmp_path, "ehlo", "rcpt")
        assert service.notes == ["hook_ehlo=greets like a robot", "hook_rcpt=greets like a robot"]
        service.answer = says("quarantine", "whatever")
        await service.session(tmp_path, "mail")
        assert service.notes == ["hook_mail=quarantine"]
        service.answer = says("accept", "fine")
        await service.session(tmp_path, "mail")
        assert service.notes == [] and len(service.questions) == 4


async def test_questions_are_signed(tmp_path: Path) -> None:
    async with Service() as service:
        await service.session(tmp_path, "rcpt")
        head = dict(
            line.split(": ", 1) for line in service.asked[0].decode().lower().split("\r\n") if ": " in line
        )
        number, at = head["webhook-id"], head["webhook-timestamp"]
        mark = hmac.digest(KEY, f"{number}.{at}.".encode() + service.bodies[0], "sha256")
        assert head["webhook-signature"] == "v1," + base64.b64encode(mark).decode().lower()


async def test_a_whole_mail_is_asked_about_with_its_header() -> None:
    async with Service() as service:
        outcomes, world = await service.mail("message")
        assert outcomes == (None,) and len(world.store.inbox(world.alice.id)) == 1
        (question,) = service.questions
        assert question["stage"] == "message" and question["recipients"] == ["alice@a.test"]
        assert question["header"] in MAIL.decode() and question["size"] == len(MAIL)


@pytest.mark.parametrize(("action", "status"), [("reject", "5.7.1"), ("defer", "4.7.1")])
async def test_a_whole_mail_is_refused(action: str, status: str) -> None:
    async with Service(action, "not today") as service:
        (outcome,), world = await service.mail("message")
        assert isinstance(outcome, Refused) and (outcome.status, str(outcome)) == (status, "not today")
        assert world.store.transactions == []


async def test_a_whole_mail_is_tagged_or_kept_apart() -> None:
    async with Service("tag", "bulk; mail") as service:
        _, world = await service.mail("message")
        assert b"X-A3-Checks: hook_message=bulk? mail\r\n" in world.store.inbox(world.alice.id)[0]
        service.answer = says("quarantine")
        _, world = await service.mail("message")
        (transaction,) = world.store.transactions
        assert [operation.mailbox for operation in transaction.operations] != [1]  # type: ignore[union-attr]


Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until whoever asked has had enough


async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(says("accept")[:60])


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"no", status="500 No"), reply(b"", status="204 No"), reply(b"not JSON"),
        reply(b"{}"),
        reply(b"[]"),
        reply(b'{"action": "explode"}'), reply(b'{"action": 1}'), reply(b'{"action": "tag", "text": 1}'),
        reply(b'{"action": "tag", "text": "' + b"x" * 501 + b'"}'), reply(b"\xff"), reply(b" " * 10_000),
        reply(b'{"action": "accept"}', "Location: http://127.0.0.1/", status="302 Found"), silence, cut,
    ],
)  # fmt: skip
@pytest.mark.parametrize("failure", ["tempfail", "accept"])
async def test_what_is_no_answer_is_what_the_operator_says(
    tmp_path: Path, answer: bytes | Behave, failure: str
) -> None:
    async with Service() as service:
        if isinstance(answer, bytes):
            service.answer = answer
        else:
            service.behave = answer
        out = await service.session(tmp_path, "rcpt", failure=failure, seconds=0.2)
        (outcome,), _ = await service.mail("message", failure=failure, seconds=0.2)
    if failure == "accept":
        assert service.notes == ["hook_rcpt=no answer"] and outcome is None
    else:
        assert b"451 4.7.1 the policy service does not answer\r\n" in out
        assert isinstance(outcome, Refused) and outcome.transient


async def test_a_service_that_is_away_is_left_alone_for_a_moment(tmp_path: Path) -> None:
    """Its absence costs a few mails their time, not all of them; and it is not missed when it is back."""
    async with Service() as service:
        service.answer = reply(b"no", status="500 No")
        settings = structs.replace(SETTINGS, policy_hook=service.settings("rcpt", failure="accept"))
        refused = structs.replace(
            settings, policy_hook=structs.replace(settings.policy_hook, url="http://127.0.0.1:1/")
        )
        for _ in range(5):
            await service.hook.ask(refused, {"stage": "rcpt"}, 1.0)
        assert service.http._hosts["127.0.0.1:1"].failures == 3
        service.clock.advance(REST_SECONDS + 1)
        await service.hook.ask(refused, {"stage": "rcpt"}, 1.0)
        assert service.http._hosts["127.0.0.1:1"].failures == 4


async def test_other_doors_are_not_asked(tmp_path: Path) -> None:
    async with Service("reject") as service:
        assert b"354 " in await service.session(tmp_path, "rcpt", doors=("submission",))
        (outcome,), _ = await service.mail("message", doors=("lmtp",))
        assert outcome is None and service.asked == []


async def test_without_a_url_nothing_is_asked() -> None:
    async with Service() as service:
        hook = AskAboutMail(service.hook, SETTINGS)
        assert not any(check.wanted(SETTINGS) for check in service.hook.checks())
        assert not hook.wants(None)  # type: ignore[arg-type]


class Agreeing:
    """Stands where the service does."""

    async def ask(self, settings: Settings, question: dict[str, object], seconds: float) -> Any:
        json.dumps(question, default=str).encode("utf-8", "replace")
        text = str(question.get("recipient", ""))
        return Answer("defer" if len(text) % 2 else "tag", text[:500])


class TestAtRcpt(CheckCompliance):
    check = STAGES[Stage.RCPT](Agreeing())  # type: ignore[arg-type]
    settings = Settings(policy_hook=HookSettings(url="http://127.0.0.1:1/"))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as made:
        yield made


async def test_whatever_a_client_says_is_a_question(service: Service) -> None:
    """Row 28, on our side: names that are no text do not break the document."""
    answer = await service.hook.ask(
        structs.replace(SETTINGS, policy_hook=service.settings("rcpt")),
        {"stage": "rcpt", "x": "\ud800\0\r\n"},
        1.0,
    )
    assert answer.action in ("accept", "defer")
