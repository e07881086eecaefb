"""Asking the operator's own service about mail, by HTTP: at the stages of a session, and about whole mails.

Every question is one JSON document, posted to ``policy_hook.url`` and signed (``runtime/webhook.py``; the
secret is made at the first use, in ``keys/policy-hook``); every answer is one, too:

    {"action": "accept" | "tag" | "quarantine" | "defer" | "reject", "text": "..."}

``tag`` is noted in X-A3-Checks, ``quarantine`` puts the mail into Junk where it would have gone to an INBOX.
No answer in time, or one that is none, is what ``policy_hook.failure`` says: tempfail or accept.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta, structs

from a3mailer.config.tree import Settings
from a3mailer.mail.envelope import Client, Envelope
from a3mailer.mail.errors import Refused
from a3mailer.mail.message.headers import header_end
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.http import HttpClient, HttpFailure
from a3mailer.runtime.webhook import signed
from a3mailer.telemetry.events import Secret, emit
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.policy.judge import Judged
from a3mailer.transfer.policy.stages import Check, Doors, Facts, Finding, Stage, field_of, plain
from a3mailer.transfer.route import leaves

MESSAGE: Final = "message"
"""The stage of whole mails, beside those of ``Stage``."""
HEADER_OCTETS: Final = 64 * 1024
"""Of a mail's header that the service is shown."""
ANSWER_OCTETS: Final = 4096
SHARE: Final = 0.9
"""Of ``policy.seconds`` that one question at a stage may take: what is over it would be passed over."""
REST_SECONDS: Final = 5.0
"""How long a service that fails is left alone."""
MEDIA: Final = "application/json"
_ALL: Final = frozenset(("SMTP", "submission", "LMTP"))
_APART: Final = "quarantine"


class Answer(msgspec.Struct, frozen=True):
    """What the service says."""

    action: Literal["accept", "tag", "quarantine", "defer", "reject"]
    text: Annotated[str, Meta(max_length=500)] = ""


ACCEPT: Final = Answer("accept")
_answer: Final = msgspec.json.Decoder(Answer).decode


@dataclass
class PolicyHook:
    """Asks. ``key`` gives the secret, made where there is none yet."""

    http: HttpClient
    clock: Clock
    key: Callable[[], bytes]

    @cached_property
    def _secret(self) -> Secret:
        return Secret(base64.b64encode(self.key()).decode())

    async def ask(self, settings: Settings, question: dict[str, object], seconds: float) -> Answer:
        """The answer, or what the operator wants in its place. Never raises."""
        hook = settings.policy_hook
        body = json.dumps(question, ensure_ascii=False).encode("utf-8", "replace")
        fields = signed(self._secret, f"ask_{secrets.token_hex(12)}", int(self.clock.now()), body)
        try:
            got = await self.http.post(
                hook.url, body, MEDIA, most=ANSWER_OCTETS, seconds=min(hook.seconds, seconds), fields=fields
            )
            if got.status == 200:
                return _answer(got.body)
            reason = f"it answered {got.status}"
        except (HttpFailure, msgspec.MsgspecError, UnicodeDecodeError) as error:
            reason = str(error)
        emit("policy_hook.failed", level="warning", stage=question["stage"], error=reason)
        if hook.failure == "accept":
            return Answer("tag", "no answer")
        return Answer("defer", "the policy service does not answer")

    def checks(self) -> tuple[Check, ...]:
        """One a stage."""
        return tuple(kind(self) for kind in STAGES.values())


def _about(stage: str, client: Client, envelope: Envelope) -> dict[str, object]:
    """What every question tells."""
    return {
        "stage": stage,
        "client": {
            "ip": client.ip,
            "port": client.port,
            "helo": client.helo,
            "tls": client.tls,
            "protocol": client.protocol,
            "login": client.login,
        },
        "sender": str(envelope.reverse_path),
        "size": envelope.size,
    }


class _Asking:
    """The check of one stage."""

    name: ClassVar[str]
    stage: ClassVar[Stage]
    protocols: ClassVar[frozenset[str]] = _ALL
    judges: ClassVar[bool] = False

    def __init__(self, hook: PolicyHook) -> None:
        self._hook = hook

    def wanted(self, settings: Settings) -> bool:
        hook = settings.policy_hook
        return bool(hook.url) and self.stage.value in hook.stages

    async def look(self, facts: Facts, doors: Doors) -> Finding | None:
        settings = doors.settings
        if facts.client.protocol.lower() not in settings.policy_hook.doors:
            return None
        question = _about(self.stage.value, facts.client, facts.envelope)
        if facts.recipient is not None:
            question["recipient"] = str(facts.recipient.address)
        answer = await self._hook.ask(settings, question, settings.policy.seconds * SHARE)
        text = plain(answer.text)
        if answer.action == "accept":
            return None
        if answer.action in ("defer", "reject"):
            status = "4.7.1" if answer.action == "defer" else "5.7.1"
            return Finding(text or "not wanted here", status, binding=True)
        return Finding(_APART if answer.action == _APART else text or "tagged")


def _at(stage: Stage) -> type[_Asking]:
    return type(f"At{stage.value.title()}", (_Asking,), {"name": f"hook_{stage.value}", "stage": stage})


STAGES: Final = {stage: _at(stage) for stage in Stage}
"""The check of each stage."""


class AskAboutMail:
    """The judge that asks about whole mails, and carries out what a stage has said of one (``judge.py``)."""

    __slots__ = ("_hook", "_settings")

    def __init__(self, hook: PolicyHook, settings: Settings) -> None:
        self._hook = hook
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings

    def wants(self, arrival: Arrival) -> bool:
        """Somebody is to be asked, or has said something."""
        hook = self._settings.policy_hook
        if not hook.url or self._settings.server.profile == "plain":
            return False
        return arrival.client.protocol.lower() in hook.doors and (
            MESSAGE in hook.stages or any(_is_apart(note) for note in arrival.notes)
        )

    async def judge(self, mail: Judged, seconds: float) -> Judged:
        """Errors: Refused."""
        answer = ACCEPT
        if MESSAGE in self._settings.policy_hook.stages:
            answer = await self._hook.ask(self._settings, _mail(mail), seconds)
        text = plain(answer.text)
        if answer.action == "reject":
            raise Refused(text or "not wanted here")
        if answer.action == "defer":
            raise Refused(text or "try again later", "4.7.1")
        if answer.action == "tag":
            mail = mail.with_top(field_of((f"hook_message={text or 'tagged'}",)))
        if answer.action == _APART or any(_is_apart(note) for note in mail.arrival.notes):
            if leaves(mail.arrival.routes):
                raise Refused(text or "this mail is to be kept apart")
            mail = structs.replace(mail, junk=True)
        return mail


def _is_apart(note: str) -> bool:
    name, _, text = note.partition("=")
    return name.startswith("hook_") and text == _APART


def _mail(mail: Judged) -> dict[str, object]:
    arrival = mail.arrival
    octets = arrival.octets
    end = min(header_end(octets, 0, len(octets)), HEADER_OCTETS)
    return {
        **_about(MESSAGE, arrival.client, arrival.envelope),
        "id": arrival.trace,
        "size": len(octets),
        "recipients": [str(recipient.address) for recipient in arrival.envelope.recipients],
        "header": bytes(octets[:end]).decode("utf-8", "replace"),
        "added": mail.top.decode("utf-8", "replace"),
        "author": mail.author,
        "junk": mail.junk,
    }
