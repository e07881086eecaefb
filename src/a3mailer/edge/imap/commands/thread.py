"""THREAD and UID THREAD (RFC 5256 section 3): REFERENCES and ORDEREDSUBJECT."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.access.labour import Labour
from a3mailer.access.sort import listed
from a3mailer.access.thread import Threads, by_references, by_subject, walk
from a3mailer.edge.imap import state
from a3mailer.edge.imap.filters import expanded
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.searching import numbers_of, searched
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sort import ThreadRequest, parse_thread

_ALGORITHMS: Final = {b"REFERENCES": by_references, b"ORDEREDSUBJECT": by_subject}
_STEPS: Final = 6
"""Times each message is looked at, about: for what is told of the progress."""


@dataclass(frozen=True, slots=True)
class Thread:
    name: ClassVar = b"THREAD"
    action: ClassVar = "message.read"
    states: ClassVar = state.SELECTED
    request: ThreadRequest
    uid: bool

    @classmethod
    def parse(cls, p: Parser, *, uid: bool = False) -> Thread:
        request = parse_thread(p)
        p.end()
        return cls(request, uid)

    @property
    def expunges(self) -> bool:
        return self.uid

    async def run(self, session: Session) -> AsyncIterator[Response]:
        view = session.view
        request = await expanded(session, self.request.search)
        labour = session.labour(view.count * _STEPS)
        places = await searched(session, request, labour)
        name = self.request.algorithm, self.uid
        whole = len(places) == view.count
        answer = view.recall(name) if whole else None
        if answer is None:
            thread = _ALGORITHMS[self.request.algorithm]
            threads = await thread(session.services.views.sort_keys, listed(view, places), labour)
            answer = await printed(threads, numbers_of(view, places, uid=self.uid), labour)
            if whole:
                view.remember(name, answer)
        yield answer


# thread-data = "THREAD" [SP 1*thread-list]         thread-list = "(" (thread-members / thread-nested) ")"
# thread-members = nz-number *(SP nz-number) [SP thread-nested]       thread-nested = 2*thread-list
async def printed(threads: Threads, numbers: Sequence[int], labour: Labour) -> bytes:
    """The THREAD response. Errors: TooCostly."""
    out: list[str] = []

    def say(one: int) -> None:
        if out[-1] != "(":
            out.append(" ")
        out.append(str(numbers[one]))

    def begin() -> None:
        if out and out[-1].isdigit():
            out.append(" ")
        out.append("(")

    def end() -> None:
        out.append(")")

    pieces: list[str] = []
    for root in threads.roots:
        walk(threads, root, say, begin, end)
        pieces += out
        out.clear()
        await labour.step(0)
    text = "".join(pieces).encode()
    return b"* THREAD %b\r\n" % text if text else b"* THREAD\r\n"
