"""The receiving side of SMTP and LMTP as a state machine (RFC 5321 sections 3.3 and 4.1.4, RFC 2033).

Rule 1: every rule about which command may follow which lives in TRANSITIONS and in ``_in_order``.
Rule 2: this module never touches a socket, a clock or a store.
Rule 3: only CRLF ends a command and only CRLF "." CRLF ends the content (RFC 5321 section 4.1.1.4); a bare
CR or LF is content there, and an error in a command. So nobody's content becomes our next command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from a3mailer.mail.envelope import Body, Envelope
from a3mailer.wire.errors import LocalProtocolError
from a3mailer.wire.smtp import events as ev
from a3mailer.wire.smtp import replies as say
from a3mailer.wire.smtp.commands import COMMANDS, LMTP_COMMANDS, ChunkStart, decode_base64, parse_command
from a3mailer.wire.smtp.promises import NO_PROMISES, Promises
from a3mailer.wire.smtp.replies import Rejected, Reply

MAX_COMMAND: Final = 4096
"""Octets of a command line: 512 (RFC 5321 section 4.5.3.1.4) and room for every extension's parameters."""
MAX_AUTH_LINE: Final = 12288
"""RFC 4954 section 4."""
_END: Final = b"\r\n.\r\n"
_BEGINNINGS: Final = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
"""What may be the beginning of the end, longest first."""


class State(IntEnum):
    """Where a session is. TRANSITIONS says how it got there. (An int, because its hash is cheap.)"""

    CONNECTED = 0
    GREETED = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    CHUNKS = 5
    AUTH = 6
    TLS = 7
    REFUSING = 8
    CLOSED = 9


# (state, event) -> state once the server has accepted the event with 2yz or 3yz.
TRANSITIONS: Final[dict[tuple[State, type], State]] = {
    (State.CONNECTED, ev.Hello): State.GREETED,
    (State.CONNECTED, ev.StartTls): State.TLS,
    (State.CONNECTED, ev.Reset): State.CONNECTED,
    (State.GREETED, ev.Hello): State.GREETED,
    (State.GREETED, ev.StartTls): State.TLS,
    (State.GREETED, ev.Auth): State.AUTH,
    (State.GREETED, ev.Reset): State.GREETED,
    (State.GREETED, ev.MailFrom): State.MAIL,
    (State.AUTH, ev.AuthResponse): State.AUTH,
    (State.MAIL, ev.Hello): State.GREETED,
    (State.MAIL, ev.Reset): State.GREETED,
    (State.MAIL, ev.RcptTo): State.RCPT,
    (State.RCPT, ev.Hello): State.GREETED,
    (State.RCPT, ev.Reset): State.GREETED,
    (State.RCPT, ev.RcptTo): State.RCPT,
    (State.RCPT, ev.Data): State.DATA,
    (State.RCPT, ChunkStart): State.CHUNKS,
    (State.CHUNKS, ChunkStart): State.CHUNKS,
    (State.CHUNKS, ev.Chunk): State.CHUNKS,
    (State.CHUNKS, ev.Hello): State.GREETED,
    (State.CHUNKS, ev.Reset): State.GREETED,
    (State.DATA, ev.Content): State.GREETED,
    (State.CHUNKS, ev.Content): State.GREETED,
}
ANY_TIME: Final = (ev.Noop, ev.Verify, ev.Help, ev.Quit)
"""RFC 5321 section 4.1.4: at any time outside content and AUTH; they move nothing (QUIT closes)."""

_MOVING: Final = frozenset(
    (ev.Noop, ev.Verify, ev.Help, ev.MailFrom, ev.RcptTo, ev.Data, ev.Hello, ev.Reset, ev.StartTls, ev.Chunk)
)
"""Events whose reply moves the state as TRANSITIONS says; AUTH, contents, QUIT and refusals have rules."""
_GUARDED: Final = frozenset((ChunkStart, ev.StartTls, ev.Auth))
_MOVES: Final[tuple[dict[type, State], ...]] = tuple(
    dict.fromkeys((ev.Quit,) if state is State.REFUSING else ANY_TIME, state)
    | {kind: then for (at, kind), then in TRANSITIONS.items() if at is state}
    for state in State
)
"""By state: what may happen in it, and where that leads. TRANSITIONS and ANY_TIME, as they are looked up."""
_DATA: Final = State.DATA
_AUTH: Final = State.AUTH
_DEAF: Final = (State.CLOSED, State.TLS)
_IN_MAIL: Final = (State.MAIL, State.RCPT, State.DATA, State.CHUNKS)
"""Members as names of the module: an Enum looks them up in Python, several times a command."""

REMEMBERED: Final = 1024
"""Command lines whose events are kept a protocol; when full, they are learnt anew."""
REMEMBERED_LENGTH: Final = 256
"""Octets of a line that is kept."""
_REPEATING: Final = frozenset(
    (ev.Hello, ev.MailFrom, ev.RcptTo, ev.Data, ev.Reset, ev.Noop, ev.Quit)
)  # and no AUTH: its line holds a secret
_known: Final[dict[bytes, ev.Event]] = {}
_known_lmtp: Final[dict[bytes, ev.Event]] = {}
"""Envelopes repeat (one sender's mails, one mailbox's senders), and events are values."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What this server offers on this connection, as things stand (plain, TLS, authenticated)."""

    hostname: str
    size: int
    recipients: int
    mails: int
    """0 for no limit."""
    lmtp: bool = False
    starttls: bool = False
    mechanisms: tuple[str, ...] = ()
    """AUTH mechanisms that may be used now."""
    auth_wants_tls: bool = False
    """There is AUTH, but only under TLS."""
    auth_required: bool = False
    """No MAIL before AUTH (RFC 6409 section 4.3)."""
    promises: Promises = NO_PROMISES
    requiretls: bool = False
    """The connection has TLS: mails may demand it for the rest of their way (RFC 8689 section 2)."""
    greeting: Reply = field(init=False, repr=False, compare=False)
    hello: Reply = field(init=False, repr=False, compare=False)
    extended_hello: Reply = field(init=False, repr=False, compare=False)
    """Made once: offers repeat."""

    def __post_init__(self) -> None:
        name = "LMTP" if self.lmtp else "ESMTP"
        object.__setattr__(self, "greeting", Reply(220, "", f"{self.hostname} {name}"))
        object.__setattr__(self, "hello", Reply(250, "", self.hostname))
        object.__setattr__(self, "extended_hello", Reply(250, "", self.hostname, self.extensions()))

    def extensions(self) -> tuple[str, ...]:
        """The lines of an EHLO reply after the first."""
        lines = [
            "PIPELINING",
            f"SIZE {self.size}",
            "8BITMIME",
            "CHUNKING",
            "BINARYMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "DSN",
            f"LIMITS {f'MAILMAX={self.mails} ' if self.mails else ''}RCPTMAX={self.recipients}",
        ]
        lines += self.promises.lines()
        if self.starttls:
            lines.append("STARTTLS")
        if self.requiretls:
            lines.append("REQUIRETLS")
        if self.mechanisms:
            lines.append("AUTH " + " ".join(self.mechanisms))
        return (*lines, "HELP")


class Engine:
    """Feed octets with ``receive``; take events with ``next_event``; answer each with ``reply``."""

    __slots__ = ("_at", "_authenticated", "_binary", "_buffer", "_chunk", "_commands", "_discard", "_fresh",
                 "_held", "_known", "_offer", "_oversize", "_pending", "_skipping", "_smtputf8", "_total",
                 "state")  # fmt: skip

    def __init__(self, offer: Offer) -> None:
        self.state = State.CONNECTED
        self._offer = offer
        self._commands = LMTP_COMMANDS if offer.lmtp else COMMANDS
        self._known = _known_lmtp if offer.lmtp else _known
        self._buffer = b""
        self._at = 0
        self._pending: ev.Event | None = None
        self._skipping = False
        self._authenticated = False
        self._smtputf8 = False
        self._binary = False
        self._chunk: ChunkStart | None = None
        self._discard = 0
        self._fresh = True
        self._held = b""
        self._total = 0
        self._oversize = False

    @property
    def in_content(self) -> bool:
        """Whether the client is sending content now."""
        return self.state is _DATA or self.state is State.CHUNKS

    @property
    def in_mail(self) -> bool:
        """Whether a mail transaction is open."""
        return self.state in _IN_MAIL

    # --- in ----------------------------------------------------------------------------------------

    def receive(self, octets: bytes) -> None:
        """Take what the socket gave. Reading stops while a reply is owed, so this stays one read long."""
        self._buffer = self._buffer[self._at :] + octets if self._at < len(self._buffer) else octets
        self._at = 0

    def next_event(self) -> ev.Event | None:
        """The next event, or None when more octets are needed or a reply is owed."""
        if self._at >= len(self._buffer) or self._pending is not None or self.state in _DEAF:
            return None
        if self._discard:
            self._drop_refused_chunk()
            if self._at >= len(self._buffer):
                return None
        if self._chunk is not None:
            return self._next_of_chunk(self._chunk)
        return self._next_of_data() if self.state is _DATA else self._next_of_commands()

    # --- commands ----------------------------------------------------------------------------------

    def _next_of_commands(self) -> ev.Event | None:
        if self._skipping and not self._skip():
            return None
        end = self._buffer.find(b"\r\n", self._at)
        if end < 0:
            return self._unfinished()
        line = self._buffer[self._at : end]
        self._at = end + 2
        try:
            if self.state is _AUTH:
                event: ev.Event | ChunkStart = self._auth_response(line)
            else:
                event = self._known.get(line) or self._parse(line)
                self._check(event, line)
        except Rejected as error:
            return self._refuse(error.reply)
        if isinstance(event, ChunkStart):
            self._chunk = event
            self.state = State.CHUNKS
            return self._next_of_chunk(event)
        self._pending = event
        return event

    def _parse(self, line: bytes) -> ev.Event | ChunkStart:
        self._check_line(line)
        event = parse_command(line, self._commands)
        if not isinstance(event, ChunkStart) and type(event) in _REPEATING and len(line) <= REMEMBERED_LENGTH:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[line] = event
        return event

    def _check_line(self, line: bytes) -> None:
        if b"\n" in line or b"\r" in line or (len(line) > MAX_COMMAND and len(line) > self._limit(line)):
            raise Rejected(self._bad_line())

    def _unfinished(self) -> ev.Event | None:
        rest = self._buffer[self._at :].removesuffix(b"\r")
        if b"\n" in rest or (len(rest) > MAX_COMMAND and len(rest) > self._limit(rest)):
            self._skipping = True
            return self._refuse(self._bad_line())
        return None

    def _skip(self) -> bool:
        """Drop the rest of a line that was refused already; True when its end has come."""
        end = self._buffer.find(b"\r\n", self._at)
        if end < 0:
            self._buffer = b"\r" if self._buffer.endswith(b"\r") else b""
            self._at = 0
            return False
        self._at = end + 2
        self._skipping = False
        return True

    def _limit(self, line: bytes) -> int:
        auth = self.state is _AUTH or line[:5].upper() == b"AUTH "
        return MAX_AUTH_LINE if auth else MAX_COMMAND

    def _bad_line(self) -> Reply:
        return say.BAD_AUTH_LINE if self.state is _AUTH else say.BAD_LINE

    def _auth_response(self, line: bytes) -> ev.AuthResponse:
        self._check_line(line)
        if line == b"*":
            raise Rejected(say.AUTH_CANCELLED)
        return ev.AuthResponse(decode_base64(line))

    def _offer_event(self, event: ev.Event) -> ev.Event:
        self._pending = event
        return event

    def _refuse(self, reply: Reply) -> ev.Event:
        return self._offer_event(ev.Refused(reply, close=reply.code == 421))

    # --- order -------------------------------------------------------------------------------------

    def _check(self, event: ev.Event | ChunkStart, line: bytes) -> None:
        """Every rule about order that TRANSITIONS cannot say. Errors: Rejected."""
        kind = type(event)
        if kind in _GUARDED:
            self._check_first(event)
        if kind not in _MOVES[self.state]:
            no_recipients = self.state is State.MAIL and kind in (ev.Data, ChunkStart)
            raise Rejected(say.NO_RECIPIENTS if no_recipients else say.BAD_SEQUENCE)
        if kind is ev.MailFrom:
            self._check_mail(event)
        elif kind is ev.RcptTo and not (self._smtputf8 or line.isascii()):
            raise Rejected(say.NEED_SMTPUTF8)
        elif kind is ev.Data and self._binary:
            raise Rejected(say.NEED_BDAT)

    def _check_first(self, event: ev.Event | ChunkStart) -> None:
        """What is answered before the order of commands is looked at."""
        if isinstance(event, ChunkStart):
            self._check_chunk(event)
        elif isinstance(event, ev.StartTls):
            if not self._offer.starttls:
                raise Rejected(say.NOT_IMPLEMENTED)
        elif isinstance(event, ev.Auth):
            self._check_auth(event)

    def _check_chunk(self, chunk: ChunkStart) -> None:
        """A refused chunk is answered at once and its octets are dropped (RFC 3030 section 2)."""
        if (self.state, ChunkStart) not in TRANSITIONS:
            self._discard = chunk.size
        elif self._total + chunk.size > self._offer.size:
            self._discard = chunk.size
            self._end_mail()
            raise Rejected(say.TOO_LARGE)

    def _check_auth(self, event: ev.Auth) -> None:
        offer = self._offer
        if self._authenticated:
            raise Rejected(say.BAD_SEQUENCE)
        if offer.auth_wants_tls:
            raise Rejected(say.AUTH_NEEDS_TLS)
        if not offer.mechanisms:
            early = offer.auth_required and self.state is State.CONNECTED
            raise Rejected(say.BAD_SEQUENCE if early else say.NOT_IMPLEMENTED)
        if event.mechanism not in offer.mechanisms:
            raise Rejected(say.AUTH_MECHANISM)

    def _check_mail(self, event: ev.Event | ChunkStart) -> None:
        offer = self._offer
        if offer.auth_required and not self._authenticated:
            raise Rejected(say.TLS_REQUIRED if offer.auth_wants_tls else say.AUTH_REQUIRED)
        if isinstance(event, ev.MailFrom):
            if event.envelope.size > offer.size:
                raise Rejected(say.TOO_LARGE)
            offer.promises.check(event.asks)
            if event.envelope.tls and not offer.requiretls:
                raise Rejected(say.UNKNOWN_PARAMETER)

    # --- content -----------------------------------------------------------------------------------

    def _next_of_data(self) -> ev.Event | None:
        # RFC 5321 section 4.5.2: the first character of a line is deleted if it is a period and the line
        # is longer. What is held back is less than the end; the content begins at the start of a line.
        data = self._buffer[self._at :] if self._at else self._buffer
        self._buffer, self._at = b"", 0
        if self._fresh:
            data = b"\r\n" + self._held + data
        elif self._held:
            data = self._held + data
        dot = data.find(b"\r\n.")
        end = data.find(_END, dot) if dot >= 0 else -1
        if end >= 0:
            self._buffer, self._at = data, end + len(_END)
            self._held = b""
            return self._content(data, end + 2, dotted=dot < end, last=True)
        self._held = _beginning_of_end(data)
        size = len(data) - len(self._held)
        if self._fresh and not size:  # nothing but what may be the end: the line start is still before it
            self._held = self._held[2:]
            return None
        return self._content(data, size, dotted=dot >= 0, last=False)

    def _content(self, data: bytes, size: int, *, dotted: bool, last: bool) -> ev.Event | None:
        """The event of the first ``size`` octets; the line end put before the first ones is none of them."""
        start = 2 if self._fresh else 0
        self._fresh = False
        data = data[:size].replace(b"\r\n.", b"\r\n")[start:] if dotted else data[start:size]
        self._total += len(data)
        if self._total > self._offer.size:
            return self._too_much(last=last)
        if last:
            return self._offer_event(ev.Content(data, last=True))
        return ev.Content(data) if data else None

    def _too_much(self, *, last: bool) -> ev.Event | None:
        if last:
            return self._offer_event(ev.Content(b"", last=True, oversize=True))
        if self._oversize:
            return None
        self._oversize = True
        return ev.Content(b"", oversize=True)

    def _next_of_chunk(self, chunk: ChunkStart) -> ev.Event | None:
        piece = self._buffer[self._at : self._at + chunk.size]
        self._at += len(piece)
        self._total += len(piece)
        left = chunk.size - len(piece)
        if left:
            self._chunk = ChunkStart(left, chunk.last)
            return ev.Content(piece) if piece else None
        self._chunk = None
        return self._offer_event(ev.Content(piece, last=True) if chunk.last else ev.Chunk(piece))

    def _drop_refused_chunk(self) -> None:
        dropped = min(self._discard, len(self._buffer) - self._at)
        self._discard -= dropped
        self._at += dropped

    # --- out ---------------------------------------------------------------------------------------

    def greeting(self, reply: Reply) -> bytes:
        """220, or 554 after which only QUIT is understood (RFC 5321 section 3.1)."""
        if not reply.positive:
            self.state = State.REFUSING
        return reply.octets

    def reply(self, *replies: Reply) -> bytes:
        """Encode the reply (LMTP content: one a recipient) to the pending event and move the state."""
        event, self._pending = self._pending, None
        if event is None:
            raise LocalProtocolError("no reply is owed")
        reply = replies[0]
        kind = type(event)
        if kind is ev.Content or (reply.code < 400 and kind in _MOVING):
            self.state = _MOVES[self.state][kind]  # a content's end is the mail's, whatever the reply
            if isinstance(event, ev.MailFrom):
                self._begin_mail(event.envelope)
            elif kind is ev.StartTls:
                self._buffer, self._at = (
                    b"",
                    0,
                )  # RFC 3207 section 6: nothing sent before counts
        else:
            self._turn(kind, reply)
        if reply.code == 421:
            self.state = State.CLOSED
        return reply.octets if len(replies) == 1 else b"".join([r.octets for r in replies])

    def _turn(self, kind: type, reply: Reply) -> None:
        """The state after what TRANSITIONS does not say: AUTH, QUIT and refusals."""
        if kind is ev.Quit:
            self.state = State.CLOSED
        elif kind is ev.Auth or kind is ev.AuthResponse:
            self._authenticated = reply.code == 235
            self.state = State.AUTH if reply.code == 334 else State.GREETED
        elif kind is ev.Chunk or self.state is _AUTH:
            self.state = State.GREETED

    def _begin_mail(self, envelope: Envelope) -> None:
        self._smtputf8 = envelope.smtputf8
        self._binary = envelope.body is Body.BINARY
        self._total = 0
        self._fresh = True
        self._held = b""
        self._oversize = False

    def _end_mail(self) -> None:
        self.state = State.GREETED

    def renew(self, offer: Offer) -> None:
        """What is offered from now on."""
        self._offer = offer

    def secured(self, offer: Offer) -> None:
        """The handshake is done: everything known of the client is forgotten (RFC 3207 section 4.2)."""
        if self.state is not State.TLS:
            raise LocalProtocolError("no STARTTLS was accepted")
        self.state = State.CONNECTED
        self._offer = offer
        self._authenticated = False


def _beginning_of_end(data: bytes) -> bytes:
    for beginning in _BEGINNINGS:
        if data.endswith(beginning):
            return beginning
    return b""
