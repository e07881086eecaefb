"""NOTIFY (RFC 5465): of which mailboxes what is told, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.edge.imap import state
from a3mailer.edge.imap.notifying import Notifying
from a3mailer.edge.imap.response import DONE, Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import TooMany
from a3mailer.wire.imap.notify import SUPPORTED, NotifyRequest, parse_notify
from a3mailer.wire.imap.parser import Parser

BAD_EVENT: Final = Failed(b"BADEVENT (%b)" % b" ".join(SUPPORTED.values()), b"not all of that can be told")
OVERFLOW: Final = Failed(b"NOTIFICATIONOVERFLOW", b"those are too many mailboxes")


@dataclass(frozen=True, slots=True)
class Notify:
    name: ClassVar = b"NOTIFY"
    action: ClassVar = "mailbox.list"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    request: NotifyRequest

    @classmethod
    def parse(cls, p: Parser) -> Notify:
        return cls(parse_notify(p))

    async def run(self, session: Session) -> AsyncIterator[Response]:
        request = self.request
        if request.unsupported:
            yield BAD_EVENT
            return
        notifying = Notifying.asked(session, request)
        if request.groups:
            await session.tell_news(expunges=True)
            if session.selected is not None and session.view.has_news():  # what was not told until now
                session.say_news(session.view, expunges=True)
        try:
            await notifying.begin()
        except TooMany:
            yield OVERFLOW
            return
        for octets in notifying.opening(status=request.status):
            yield octets
        yield DONE
