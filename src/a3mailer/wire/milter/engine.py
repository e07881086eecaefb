"""Mails through one filter, sans I/O: a whole transaction at once, or its parts as they come.

``octets_to_send`` until it is empty, then ``receive`` what comes, until ``result`` is there. ``progressed``
tells that the filter asked for more time. RemoteProtocolError ends the session. An engine that ``stays`` is
told part after part (``tell``), mail after mail, and has a result each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.milter import codes, packets
from a3mailer.wire.milter.codes import Command, Step
from a3mailer.wire.milter.packets import Change, ReplaceBody

MAX_CHANGES: Final = 1000
"""Changes of one mail besides those of its body."""


class Verdict(Enum):
    """What a filter says of a mail in the end."""

    ACCEPT = "accept"
    REJECT = "reject"
    TEMPFAIL = "tempfail"
    DISCARD = "discard"
    CONTINUE = "continue"
    """Of a part: it wants to hear the next one."""


class Part(Enum):
    """What of a transaction is told at once."""

    WHOLE = "whole"
    CONNECT = "connect"
    HELO = "helo"
    MAIL = "mail"
    RCPT = "rcpt"
    """The recipients that ``Mail`` names: one."""
    REST = "rest"
    """DATA, and all of the content."""


@dataclass(frozen=True, slots=True)
class Result:
    """A verdict, the changes that go with an ACCEPT, and the words that go with a refusal."""

    verdict: Verdict
    changes: tuple[Change, ...] = ()
    status: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """The transaction as a filter hears of it; paths with their angle brackets."""

    hostname: str
    """Of the client; its address in brackets where it is not known."""
    ip: str
    port: int
    helo: bytes
    sender: tuple[bytes, ...]
    """The reverse-path and the parameters of MAIL."""
    recipients: tuple[tuple[bytes, ...], ...]
    fields: tuple[tuple[bytes, bytes], ...]
    """(name, value as it stands behind the colon, folded by LF)."""
    body: bytes | memoryview
    macros: dict[Command, dict[str, str]] = field(default_factory=dict)
    max_body: int = 50 << 20
    """Octets of a new body."""


_FINAL: Final = {b"a": Verdict.ACCEPT, b"r": Verdict.REJECT, b"t": Verdict.TEMPFAIL, b"d": Verdict.DISCARD}
_GONE: Final = b"4f"
"""SHUTDOWN and CONN_FAIL: for us, try later."""


class MilterEngine:
    """The mail server's side of one session."""

    __slots__ = ("_changes", "_mail", "_open", "_out", "_part", "_reader", "_replaced", "_stays", "_steps",
                 "_terms", "_waiting", "progressed", "result")  # fmt: skip

    def __init__(self, mail: Mail, *, stays: bool = False) -> None:
        """Begins with the whole mail, or, where it ``stays``, with the connection."""
        self._mail = mail
        self._stays = stays
        self._part = Part.CONNECT if stays else Part.WHOLE
        self._open = False
        """It was told of a mail whose end it has not heard."""
        self._reader = packets.PacketReader()
        self._terms: packets.Terms | None = None
        self._steps: Iterator[tuple[Command, bytes]] = iter(())
        self._waiting = Command.NEGOTIATE
        self._out = packets.offer(codes.VERSION, codes.ACTIONS, codes.STEPS)
        self._changes: list[Change] = []
        self._replaced = 0
        self.result: Result | None = None
        self.progressed = False

    def octets_to_send(self) -> bytes:
        """What is to be sent now; once."""
        out, self._out = self._out, b""
        return out

    def tell(self, mail: Mail, part: Part) -> None:
        """The next part; a HELO or MAIL before the end of the last mail takes that one back."""
        self.result, self._mail, self._part = None, mail, part
        self._changes, self._replaced = [], 0
        if part in (Part.HELO, Part.MAIL):
            if self._open:
                self._out += packets.packet(Command.ABORT)
            self._open = part is Part.MAIL
        if self._terms is not None:
            self._steps = self._plan(self._terms)
            self._advance()

    def quit(self) -> bytes:
        """The last octets of a session that stayed."""
        return packets.packet(Command.QUIT)

    def receive(self, octets: bytes) -> None:
        """What the filter has said. Errors: RemoteProtocolError."""
        self._reader.feed(octets)
        while self.result is None and (packet := self._reader.next()) is not None:
            self._take(*packet)

    def _take(self, code: bytes, data: bytes) -> None:
        if self._terms is None:
            self._negotiated(code, data)
        elif code == b"p":
            self.progressed = True
        elif code in packets.MODIFICATIONS:
            self._change(packets.parse_change(code, data))
        elif code == b"s":
            self._skip()
        elif code == b"c":
            self._continue()
        elif code == b"y":
            self._end(Verdict.REJECT, *packets.parse_reply(data))
        elif code in _FINAL:
            self._end(_FINAL[code])
        elif code in _GONE:
            self._end(Verdict.TEMPFAIL)
        else:
            raise RemoteProtocolError(f"no such answer: {code!r}")

    def _negotiated(self, code: bytes, data: bytes) -> None:
        if code != Command.NEGOTIATE:
            raise RemoteProtocolError("it does not negotiate")
        terms = packets.parse_terms(data)
        if not codes.LEAST_VERSION <= terms.version <= codes.VERSION:
            raise RemoteProtocolError(f"version {terms.version}")
        if terms.actions & ~int(codes.ACTIONS) or terms.steps & ~int(codes.STEPS):
            raise RemoteProtocolError("it wants what was not offered")
        self._terms = terms
        self._steps = self._plan(terms)
        self._advance()

    def _change(self, change: Change) -> None:
        if self._waiting is not Command.END_OF_BODY:
            raise RemoteProtocolError("a change before the end of the mail")
        if isinstance(change, ReplaceBody):
            self._replaced += len(change.octets)
            if self._replaced > self._mail.max_body:
                raise RemoteProtocolError("a body too large")
        elif len(self._changes) >= MAX_CHANGES + self._replaced // codes.CHUNK:
            raise RemoteProtocolError("too many changes")
        self._changes.append(change)

    def _skip(self) -> None:
        """No more of this: the rest of the body or of the header is not sent."""
        if self._waiting not in (Command.BODY, Command.HEADER, Command.RCPT):
            raise RemoteProtocolError("nothing can be skipped here")
        skipped = self._waiting
        for command, octets in self._steps:
            if command is not skipped:
                self._steps = _before(command, octets, self._steps)
                break
        self._advance()

    def _continue(self) -> None:
        if self._waiting is Command.END_OF_BODY:
            self._end(Verdict.ACCEPT)
        else:
            self._advance()

    def _end(self, verdict: Verdict, status: str = "", text: str = "") -> None:
        changes = tuple(self._changes) if verdict is Verdict.ACCEPT else ()
        self.result = Result(verdict, changes, status, text)
        if self._waiting is Command.END_OF_BODY:
            self._open = False
        if not self._stays:
            self._out = packets.packet(Command.QUIT)

    def _advance(self) -> None:
        """Say what comes next, up to what is answered."""
        assert self._terms is not None
        out = []
        for command, octets in self._steps:
            out.append(octets)
            silent = codes.WANTS.get(command, (Step(0), Step(0)))[1]
            if not self._terms.steps & silent:
                self._waiting = command
                break
        else:
            self.result = Result(Verdict.CONTINUE)
        self._out += b"".join(out)

    def _plan(self, terms: packets.Terms) -> Iterator[tuple[Command, bytes]]:
        for command, octets in self._everything(terms):
            unwanted = codes.WANTS.get(command, (Step(0), Step(0)))[0]
            if not terms.steps & unwanted:
                yield command, self._macros(command, terms) + octets

    def _macros(self, command: Command, terms: packets.Terms) -> bytes:
        if command in (Command.HEADER, Command.BODY):
            return b""
        values = self._mail.macros.get(command, {})
        wanted = terms.wanted.get(command)
        if wanted is not None:
            values = {name: value for name, value in values.items() if name in wanted}
        return packets.macros(command, values) if values else b""

    def _everything(self, terms: packets.Terms) -> Iterator[tuple[Command, bytes]]:
        mail, packet, strings, part = self._mail, packets.packet, packets.strings, self._part
        if part in (Part.WHOLE, Part.CONNECT):
            yield Command.CONNECT, packets.connect(mail.hostname, mail.ip, mail.port)
        if part in (Part.WHOLE, Part.HELO):
            yield Command.HELO, packet(Command.HELO, strings(mail.helo))
        if part in (Part.WHOLE, Part.MAIL):
            yield Command.MAIL, packet(Command.MAIL, strings(*mail.sender))
        if part in (Part.WHOLE, Part.RCPT):
            for recipient in mail.recipients:
                yield Command.RCPT, packet(Command.RCPT, strings(*recipient))
        if part in (Part.WHOLE, Part.REST):
            yield from self._content(terms)

    def _content(self, terms: packets.Terms) -> Iterator[tuple[Command, bytes]]:
        mail, packet, strings = self._mail, packets.packet, packets.strings
        if terms.version >= 4:
            yield Command.DATA, packet(Command.DATA)
        bare = not terms.steps & Step.LEADING_SPACE
        for name, value in mail.fields:
            yield (
                Command.HEADER,
                packet(Command.HEADER, strings(name, value.removeprefix(b" ") if bare else value)),
            )
        yield Command.END_OF_HEADER, packet(Command.END_OF_HEADER)
        body = memoryview(mail.body)
        for at in range(0, len(body), codes.CHUNK):
            yield Command.BODY, packet(Command.BODY, bytes(body[at : at + codes.CHUNK]))
        yield Command.END_OF_BODY, packet(Command.END_OF_BODY)

    @property
    def leading_space(self) -> bool:
        """Values of the filter's fields bring the space behind the colon."""
        return self._terms is not None and bool(self._terms.steps & Step.LEADING_SPACE)


def _before(
    command: Command, octets: bytes, rest: Iterator[tuple[Command, bytes]]
) -> Iterator[tuple[Command, bytes]]:
    yield command, octets
    yield from rest
