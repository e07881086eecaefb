"""What one mail comes to, gathered for one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from a3mailer.mail.message import index
from a3mailer.store.operations import Operation
from a3mailer.store.ports import Content


@dataclass(slots=True)
class Work:
    """What is to be committed together."""

    first: int = 0
    """Number of its first content in the transaction."""
    operations: list[Operation] = field(default_factory=list)
    contents: list[Content] = field(default_factory=list)

    def keep(self, octets: bytes) -> int:
        """A content; its number."""
        self.contents.append(Content(octets, index(octets)))
        return self.first + len(self.contents) - 1
