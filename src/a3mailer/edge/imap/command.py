"""What every command is: one frozen value with a name, a rule, states, a parser and an act."""

from __future__ import annotations

from typing import ClassVar, Protocol

from a3mailer.edge.imap.response import Answer
from a3mailer.edge.imap.session import Session
from a3mailer.wire.imap.parser import Parser


class Command(Protocol):
    """One command as it was parsed. ``run`` yields untagged responses, and how it ended if not plainly OK."""

    name: ClassVar[bytes]
    action: ClassVar[str]
    """The rule of ``identity.roles`` it is under."""
    states: ClassVar[int]
    """The bits of ``state`` it is valid in."""

    @classmethod
    def parse(cls, p: Parser) -> Command:
        """Read the arguments, to the end of the command. Errors: BadSyntax."""
        ...

    @property
    def expunges(self) -> bool:
        """Whether EXPUNGE may be told when it completes (RFC 9051 section 7.5.1)."""
        ...

    def run(self, session: Session) -> Answer:
        """Do it. Errors: MailError (NO), RemoteProtocolError (BAD)."""
        ...
