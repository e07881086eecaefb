"""ID (RFC 2971): who we are; of what the client says, bounded, only name and version are logged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar

from a3mailer.edge.imap import state
from a3mailer.edge.imap.response import Response
from a3mailer.edge.imap.session import Session
from a3mailer.telemetry.events import emit
from a3mailer.wire.imap import limits
from a3mailer.wire.imap.parser import Parser


@dataclass(frozen=True, slots=True)
class Id:
    name: ClassVar = b"ID"
    action: ClassVar = "session.use"
    states: ClassVar = state.ANY
    expunges: ClassVar = True
    fields: tuple[tuple[bytes, bytes], ...]

    # id = "ID" SP id-params-list       id-params-list = "(" *(string SP nstring) ")" / nil
    @classmethod
    def parse(cls, p: Parser) -> Id:
        p.space()
        fields: tuple[tuple[bytes, bytes], ...] = ()
        if p.peek() == b"(":
            fields = p.parenthesised(lambda: _field(p), most=limits.ID_FIELDS, empty=True)
        elif p.nstring() is not None:
            raise p.fail("a list or NIL expected")
        p.end()
        return cls(fields)

    async def run(self, session: Session) -> AsyncIterator[Response]:
        said = {key.lower(): value for key, value in self.fields}
        if said:
            client, version = (
                said.get(name, b"").decode("ascii", "replace") for name in (b"name", b"version")
            )
            emit("imap.client", level="debug", trace=session.trace, client=client, version=version)
        yield b'* ID ("name" "A3Mailer")\r\n'


def _field(p: Parser) -> tuple[bytes, bytes]:
    key = p.string()
    p.space()
    value = p.nstring() or b""
    if len(key) > limits.ID_FIELD or len(value) > limits.ID_VALUE:
        raise p.fail("ID field too long")
    return key, value
