"""SETMETADATA (RFC 5464 section 4.3): all entries or none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.access.metadata import EVENT_SCRIPT, MAX_VALUE, SPECIAL_USE, change, special_use_is_free
from a3mailer.edge.imap import state
from a3mailer.edge.imap.annotations import annotated, named
from a3mailer.edge.imap.filters import check_filters
from a3mailer.edge.imap.response import DONE, Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import BadName, NotPermitted, TooLarge, TooMany
from a3mailer.mail.ids import SYSTEM_ACCOUNT
from a3mailer.store.rows import Mailbox
from a3mailer.wire.imap.metadata import parse_entry_values
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class SetMetadata:
    name: ClassVar = b"SETMETADATA"
    action: ClassVar = "mailbox.change"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    values: dict[str, bytes | None]

    # setmetadata = "SETMETADATA" SP mailbox SP entry-values
    @classmethod
    def parse(cls, p: Parser) -> SetMetadata:
        p.space()
        mailbox = p.mailbox()
        p.space()
        by_spelling = dict(parse_entry_values(p))
        p.end()
        return cls(mailbox, {name: by_spelling[spelled] for name, spelled in named(by_spelling).items()})

    async def run(self, session: Session) -> AsyncIterator[Response]:
        row = await annotated(session, self.mailbox)
        if row is not None and (refused := await self._refused(session, row)) is not None:
            yield refused
            return
        if row is None:
            check_filters(self.values)
        try:
            operations = await change(session.services.store, session.principal, row, self.values)
        except TooLarge:
            yield Failed(b"METADATA MAXSIZE %d" % MAX_VALUE, b"the value is too large")
        except TooMany:
            yield Failed(b"METADATA TOOMANY", b"too many entries")
        except NotPermitted:
            yield Failed(
                b"NOPERM", b"only who runs the server may" if row is None else b"that is its owner's"
            )
        except BadName as error:
            yield Failed(b"USEATTR", str(error).encode("ascii"))
        else:
            if operations:
                await session.commit(*operations)
            if EVENT_SCRIPT in self.values and session.services.events is not None:
                session.services.events.forget(SYSTEM_ACCOUNT if row is None else row.account)
            yield DONE

    async def _refused(self, session: Session, row: Mailbox) -> Failed | None:
        """What a mailbox may not be given, by its right or by another's use."""
        if EVENT_SCRIPT in self.values and not await self._may_choose(session, row):
            return Failed(b"NOPERM", b"only who administers the mailbox may")
        use = (self.values.get(SPECIAL_USE) or b"").decode("latin-1")
        if await special_use_is_free(session.services.store, row, use):
            return None
        return Failed(b"USEATTR", b"another mailbox has that use")

    async def _may_choose(self, session: Session, row: Mailbox) -> bool:
        """Which script of its owner runs for a mailbox: by the right ``a``, as a script may redirect mail."""
        if row.account == session.account:
            return True
        return "a" in await session.services.rights.allowed(session.principal, row.account, row.id)
