"""Mailboxes that fill up: the owner is warned at 90 %, senders are told to wait, and refused after a week.

What is remembered is one document an account that is nearly full. It goes when less than 80 % is used, so
that the warning can come again. For how long an account has been full is counted in hours that the server was
up and found it so: a clock that leaps refuses nobody's mail (attack row 69).
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.mail.errors import AlreadyExists, FullForLong, MailError, NoSuchThing, OverQuota
from a3mailer.mail.ids import INBOX
from a3mailer.mail.message import index
from a3mailer.mail.message.dates import format_date
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import Append, PutDocument, RemoveDocument
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.store.rows import Account, Document
from a3mailer.telemetry.events import emit

WARN: Final = 0.9
"""Share of the quota at which the owner is told."""
FORGET: Final = 0.8
"""Below it the next time is another time."""
KIND: Final = "quota"
NAME: Final = "state"
HOUR: Final = 3600
PAGE: Final = 100
MIB: Final = 1 << 20


class State(msgspec.Struct, frozen=True):
    """What is remembered of an account that is nearly full."""

    full_hours: int = 0
    """For so many hours on end it was found full."""


@dataclass(frozen=True, slots=True)
class _Words:
    sender: str
    subject: str
    text: str


WORDS: Final = {
    "en": _Words(
        "Mail System",
        "Your mailbox is nearly full",
        "{used} of {quota} MiB of the mailbox {address} are used.\r\n\r\n"
        "When it is full, mail to you waits at its senders' servers, and after {days} days it goes back.\r\n"
        "Please delete what you do not need, and empty the trash.\r\n",
    ),
    "zh": _Words(
        "邮件系统",
        "您的邮箱即将装满",
        "邮箱 {address} 已使用 {used} MiB，共 {quota} MiB。\r\n\r\n"
        "装满之后，给您的来信会在发信方的服务器上等待，{days} 天后将被退回。\r\n"
        "请删除不需要的邮件，并清空废件箱。\r\n",
    ),
}


class Quotas:
    """One object a process; ``run`` is the work of one of them."""

    __slots__ = ("_clock", "_settings", "_store")

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings

    async def check(self, account: Account) -> None:
        """May another mail come for this account? Errors: OverQuota; FullForLong, after a week of it."""
        if not account.quota or account.used_octets < WARN * account.quota:
            return
        found = await self._store.document(account.id, KIND, NAME)
        if found is None:
            await self._warn(account)
        if account.used_octets < account.quota:
            return
        days = self._settings.limits.full_days
        if days and found is not None and _state(found).full_hours >= days * 24:
            raise FullForLong
        raise OverQuota

    async def _warn(self, account: Account) -> None:
        """A mail into the inbox, in the transaction that remembers it: once, whoever else is about to."""
        mail = self._warning(account)
        now = int(self._clock.now())
        known = PutDocument(account.id, KIND, NAME, _value(State()), due=now + HOUR, only_new=True)
        told = Append(account.id, INBOX, 0, internal_date=now, check_quota=False)
        act = Transaction((known, told), (Content(mail, index(mail)),), account.tenant)
        try:
            await self._store.commit(act)
        except AlreadyExists:
            pass  # another worker was quicker
        except MailError as error:
            emit("quota.not_warned", level="warning", account=account.id, error=type(error).__name__)
        else:
            emit("quota.warned", account=account.id, used=account.used_octets, quota=account.quota)

    def _warning(self, account: Account) -> bytes:
        words = WORDS[self._settings.queue.language]
        host, token = self._settings.server.hostname, secrets.token_hex(12)
        text = words.text.format(
            address=account.address,
            used=account.used_octets // MIB,
            quota=account.quota // MIB,
            days=self._settings.limits.full_days or self._settings.queue.expire_seconds // (24 * HOUR),
        )
        head = (
            f"From: {_encoded(words.sender)} <MAILER-DAEMON@{host}>",
            f"To: <{account.address}>",
            f"Subject: {_encoded(words.subject)}",
            f"Date: {format_date(int(self._clock.now()))}",
            f"Message-ID: <{token}@{host}>",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 8bit",
        )
        return "\r\n".join((*head, "", text)).encode()

    async def run(self, stop: asyncio.Event) -> None:
        """Look every hour how those stand that were warned. The work of one worker."""
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(HOUR):
                    await stop.wait()
            if not stop.is_set():
                await self.look()

    async def look(self) -> None:
        """Once."""
        now = int(self._clock.now())
        while found := await self._store.documents_due(KIND, now, PAGE):
            for each in found:
                try:
                    await self._look_at(each, now)
                except MailError as error:
                    emit("quota.not_looked_at", level="warning", error=type(error).__name__)
                    return

    async def _look_at(self, document: Document, now: int) -> None:
        account = await self._store.account(document.account)
        quota, used = (account.quota, account.used_octets) if account is not None else (0, 0)
        if not quota or used < FORGET * quota:
            with suppress(NoSuchThing):
                await self._store.commit(Transaction((RemoveDocument(document.account, KIND, NAME),)))
            return
        hours = _state(document).full_hours + 1 if used >= quota else 0
        value = _value(State(hours))
        put = PutDocument(document.account, KIND, NAME, value, due=now + HOUR)
        await self._store.commit(Transaction((put,)))


def _state(document: Document) -> State:
    return msgspec.json.decode(document.value, type=State)


def _value(state: State) -> str:
    return msgspec.json.encode(state).decode()


def _encoded(text: str) -> str:
    """For a header field; short enough for one encoded word (RFC 2047 section 2)."""
    return text if text.isascii() else f"=?utf-8?B?{b64encode(text.encode()).decode()}?="
