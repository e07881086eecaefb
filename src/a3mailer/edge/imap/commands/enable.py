"""ENABLE (RFC 5161, RFC 9051 section 6.3.1): CONDSTORE, QRESYNC, IMAP4rev2, UIDONLY, METADATA, ..."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import condstore, state
from a3mailer.edge.imap.capability import ENABLEABLE
from a3mailer.edge.imap.notifying import ANNOTATIONS, Notifying
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Enable:
    name: ClassVar = b"ENABLE"
    action: ClassVar = "session.use"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    wanted: tuple[bytes, ...]

    # enable = "ENABLE" 1*(SP capability)
    @classmethod
    def parse(cls, p: Parser) -> Enable:
        wanted: list[bytes] = []
        while not p.done() or not wanted:
            p.space()
            wanted.append(p.keyword())
            if len(wanted) > limits.ENABLE_WORDS:
                raise p.fail("too many capabilities")
        return cls(tuple(wanted))

    async def run(self, session: Session) -> AsyncIterator[Response]:
        # chosen before any is on: their order says nothing (RFC 7162 section 3.2.3)
        newly = [
            word
            for word in dict.fromkeys(self.wanted)
            if offered(session, word) and not enabled(session, word)
        ]
        for word in newly:
            if word == b"METADATA":
                await tell_annotations(session)
            switch_on(session, word)
        names = (b"IMAP4rev2" if word == b"IMAP4REV2" else word for word in newly)
        yield b"* ENABLED%b\r\n" % b"".join(b" " + name for name in names)


async def tell_annotations(session: Session) -> None:
    """Unsolicited METADATA (RFC 5464 section 4.4.2); who has used NOTIFY is told what that says.

    Errors: TooMany."""
    if session.notifier is None:
        await Notifying(session, (ANNOTATIONS,), None).begin()


def offered(session: Session, word: bytes) -> bool:
    """Whether there is something of this name to enable."""
    return word in ENABLEABLE and (word != b"UTF8=ACCEPT" or session.services.settings.imap.utf8_accept)


def enabled(session: Session, word: bytes) -> bool:
    """Whether an extension is on already."""
    on = {
        b"CONDSTORE": session.condstore,
        b"QRESYNC": session.qresync,
        b"UIDONLY": session.uid_only,
        b"UTF8=ACCEPT": session.utf8_mail,
        b"IMAP4REV2": session.rev2,
        b"METADATA": session.annotations,
    }
    return on[word]


def switch_on(session: Session, word: bytes) -> None:
    """QRESYNC brings CONDSTORE with it (RFC 7162 section 3.2.3)."""
    if word == b"IMAP4REV2":
        session.rev2 = True
    elif word == b"METADATA":
        session.annotations = True
    elif word == b"UIDONLY":
        session.uid_only = True
    elif word == b"UTF8=ACCEPT":
        session.utf8_mail = True
    else:
        condstore.enable(session)
        session.qresync |= word == b"QRESYNC"
