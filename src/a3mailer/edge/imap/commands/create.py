"""CREATE (RFC 9051 section 6.3.4) with USE (RFC 6154 section 3); missing parents are made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final

from a3mailer.access.subscriptions import subscribed, unsubscribe
from a3mailer.access.tree import SPECIAL_USES
from a3mailer.edge.imap import state
from a3mailer.edge.imap.mailboxes import mailbox_id, old_name
from a3mailer.edge.imap.response import Completed, Failed, Response
from a3mailer.edge.imap.session import Session
from a3mailer.mail.mailbox import SEPARATOR
from a3mailer.store.operations import CreateMailbox, MailboxCreated
from a3mailer.wire.imap.parser import Parser

_USES: Final = {use.upper().encode(): use for use in SPECIAL_USES if use not in ("\\All", "\\Flagged")}


@dataclass(frozen=True, slots=True)
class Create:
    name: ClassVar = b"CREATE"
    action: ClassVar = "mailbox.change"
    states: ClassVar = state.LOGGED_IN
    expunges: ClassVar = True
    mailbox: str
    uses: tuple[bytes, ...] = ()
    given: str = ""

    # create = "CREATE" SP mailbox [SP "(" create-param *(SP create-param) ")"]
    # create-param =/ "USE" SP "(" [use-attr *(SP use-attr)] ")"
    @classmethod
    def parse(cls, p: Parser) -> Create:
        p.space()
        mailbox = p.mailbox()
        given = p.given
        uses: tuple[bytes, ...] = ()
        if not p.done():
            p.space()
            p.expect(b"(")
            if p.keyword() != b"USE":
                raise p.fail("unknown CREATE parameter")
            p.space()
            uses = p.parenthesised(lambda: _use(p), most=len(SPECIAL_USES), empty=True)
            p.expect(b")")
        p.end()
        return cls(mailbox, uses, given)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        if len(self.uses) > 1 or any(use not in _USES for use in self.uses):
            yield Failed(b"USEATTR", b"a mailbox has one use, of those this server knows")
            return
        # a trailing delimiter says that children will follow: nothing to do for that (section 6.3.4)
        services = session.services
        owner, name = await services.rights.place(session.principal, self.mailbox.removesuffix(SEPARATOR))
        use = _USES[self.uses[0]] if self.uses else ""
        if use and any(one.special_use == use for one in await services.store.mailboxes(owner)):
            yield Failed(b"USEATTR", b"another mailbox has that use")
            return
        known = owner == session.account and await subscribed(services.store, owner, name)
        acts = (unsubscribe(owner, name),) if known else ()
        result, *_ = await session.commit(CreateMailbox(owner, name, use, known), *acts)
        assert isinstance(result, MailboxCreated)
        yield old_name(session, self.mailbox.removesuffix(SEPARATOR), self.given.removesuffix(SEPARATOR))
        yield Completed(b"MAILBOXID (%b)" % mailbox_id(session, owner, result.mailbox))


def _use(p: Parser) -> bytes:
    p.expect(b"\\")
    return b"\\" + p.keyword()
