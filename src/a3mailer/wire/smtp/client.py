"""The sending side of SMTP and LMTP without I/O (RFC 5321 section 3.3, RFC 2033, RFC 2920).

The owner moves octets and acts on events::

    engine = ClientEngine("our.name", tls=TlsUse.MAY)
    while True:
        event = engine.next_event()                     # Raises RemoteProtocolError
        connection.write(engine.octets_to_send())
        match event:
            case None: octets = await connection.read(); engine.receive(octets)    # b"": engine.lost(why)
            case StartHandshake(): await connection.start_tls_client(...); engine.secured()
            case Ready(): engine.send(Outgoing(...)) or engine.quit()
            case SendContent(binary): write the content by ``content.DataEncoder``, or raw if binary;
                                      engine.content_sent()
            case Finished(outcomes): one Outcome a recipient; then comes Ready, or Ended
            case Ended(reply): write octets_to_send() (QUIT, where the server is still there) and close;
                               nothing was lost that Finished did not tell

Whatever ends a session while a mail is under way (421, a broken reply, a lost connection, even after the
last dot) leaves every recipient that has no answer of its own TRANSIENT: it is tried again, never failed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from a3mailer.mail.address import Address
from a3mailer.mail.envelope import Body, Envelope, Recipient
from a3mailer.wire.errors import LocalProtocolError, RemoteProtocolError
from a3mailer.wire.smtp.paths import encode_mailbox, needs_utf8
from a3mailer.wire.smtp.remote import Features, RemoteReply, ReplyReader, features_of, ours
from a3mailer.wire.smtp.xtext import encode_original, encode_xtext

NOTIFY: Final = ("NEVER", "SUCCESS", "FAILURE", "DELAY")
"""Its words, in the order in which they are said (RFC 3461 section 4.1)."""
RECIPIENTS: Final = 100
"""Recipients of one transaction where the server tells no RCPTMAX (RFC 5321 section 4.5.3.1.8)."""


class TlsUse(Enum):
    """Whether STARTTLS is used: never, when offered, or else no mail (RFC 3207, RFC 7435)."""

    NEVER = "never"
    MAY = "may"
    MUST = "must"


@dataclass(frozen=True, slots=True)
class Login:
    """For a smart host."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One mail to hand over, to the envelope's recipients."""

    envelope: Envelope
    size: int
    """Octets of the content."""
    eight_bit: bool = True
    """The content has octets above 127."""
    utf8_header: bool = False
    """Its header has (RFC 6532)."""
    binary: bool = False
    """It cannot go as lines of text (NUL)."""
    by_seconds: int = 0
    """How long from now it may take, where the envelope has a ``by_mode`` (RFC 2852)."""
    asking: bool = False
    """No content follows: RSET comes after RCPT, and RELAYED means that a recipient would be taken."""


class Status(Enum):
    """What became of one recipient."""

    RELAYED = "relayed"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Outcome:
    """For one recipient, in the envelope's order."""

    status: Status
    reply: RemoteReply


@dataclass(frozen=True, slots=True)
class StartHandshake:
    """Do the TLS handshake, then call ``secured``."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The server waits for a mail: call ``send`` or ``quit``."""

    features: Features


@dataclass(frozen=True, slots=True)
class SendContent:
    """Send the content now, then call ``content_sent``. ``binary``: raw, announced by BDAT already."""

    binary: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """One Outcome a recipient of the mail."""

    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """Close the connection, QUIT being said (RFC 5321 section 4.1.1.10). ``reply`` says why."""

    reply: RemoteReply


ClientEvent = StartHandshake | Ready | SendContent | Finished | Ended


class _State(Enum):
    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    HANDSHAKE = "handshake"
    AUTH = "auth"
    READY = "ready"
    ENVELOPE = "envelope"
    CONTENT = "content"
    FINAL = "final"
    RESET = "reset"
    QUIT = "quit"
    ENDED = "ended"


class ClientEngine:
    """One session, any number of mails. See the module for how to drive it."""

    __slots__ = ("_accepted", "_awaited", "_events", "_login", "_mail", "_name", "_out", "_outcomes",
                 "_reader", "_state", "_tls", "_utf8", "features", "lmtp", "said_quit", "secure",
                 "tls_refused")  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        tls: TlsUse = TlsUse.MAY,
        lmtp: bool = False,
        login: Login | None = None,
        secure: bool = False,
    ) -> None:
        """``name`` is ours, for EHLO; ``secure``: the connection began with TLS."""
        self.lmtp = lmtp
        self.secure = secure
        self.tls_refused = False
        """The session ended because the server offers no TLS, or none now."""
        self.said_quit = False
        """... and QUIT was the last word: the server owes an answer."""
        self.features = Features()
        self._name = name.encode("ascii")
        self._tls = tls
        self._login = login
        self._reader = ReplyReader()
        self._state = _State.GREETING
        self._out = b""
        self._events: list[ClientEvent] = []
        self._mail: Outgoing | None = None
        self._utf8 = False
        """It needs SMTPUTF8."""
        self._outcomes: list[Outcome | None] = []
        self._awaited: list[int] = []
        """What the next replies answer: MAIL, the number of a recipient, or DATA."""
        self._accepted: list[int] = []
        """Recipients that RCPT accepted; of LMTP's final replies, those still to come."""

    # --- the owner's side --------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Nothing more will happen."""
        return self._state is _State.ENDED

    @property
    def recipients_max(self) -> int:
        """Recipients one transaction may have (RFC 9422 RCPTMAX)."""
        return self.features.limit("RCPTMAX") or RECIPIENTS

    @property
    def mails_max(self) -> int:
        """Mails one session may have (RFC 9422 MAILMAX); 0 for no limit told."""
        return self.features.limit("MAILMAX")

    def octets_to_send(self) -> bytes:
        """What is to be written now."""
        out, self._out = self._out, b""
        return out

    def receive(self, octets: bytes) -> None:
        """Take what the socket gave."""
        self._reader.receive(octets)

    def next_event(self) -> ClientEvent | None:
        """The next event, or None when more octets are needed. Raises RemoteProtocolError, once: the
        session has ended then, and the events that say so follow."""
        while not self._events and self._state not in (_State.ENDED, _State.HANDSHAKE, _State.CONTENT):
            try:
                reply = self._reader.next_reply()
                if reply is None:
                    return None
                self._take(reply)
            except RemoteProtocolError as error:
                self.lost(str(error))
                raise
        return self._events.pop(0) if self._events else None

    def secured(self) -> None:
        """The handshake is done: all that was said before it is forgotten (RFC 3207 section 4.2)."""
        if self._state is not _State.HANDSHAKE:
            raise LocalProtocolError("no handshake was asked for")
        self.secure = True
        self._hello()

    def send(self, mail: Outgoing) -> None:
        """Begin a mail, after Ready. At least one and at most ``recipients_max`` recipients."""
        if self._state is not _State.READY or not mail.envelope.recipients:
            raise LocalProtocolError("not ready, or nobody to send to")
        self._mail = mail
        self._utf8 = self._wants_utf8(mail)
        self._outcomes = [_unsaid(recipient.address) for recipient in mail.envelope.recipients]
        self._accepted = []
        self._awaited = []
        problem = self._cannot_carry(mail)
        if problem is not None or None not in self._outcomes:
            self._settle(Status.PERMANENT, problem or UNSAID)
            self._finish()
            return
        self._state = _State.ENVELOPE
        self._say_envelope(mail)

    def content_sent(self) -> None:
        """All of the content, with its end, was written."""
        if self._state is not _State.CONTENT:
            raise LocalProtocolError("no content was asked for")
        self._state = _State.FINAL

    def quit(self) -> None:
        """End the session politely, after Ready. The owner need not wait for the answer."""
        if self._state is _State.READY:
            self._not_ready()
            self._out += b"QUIT\r\n"
            self._state = _State.QUIT

    def refuse(self) -> None:
        """End the session after the handshake: what TLS has proven is not enough (RFC 3207 section 4.1)."""
        if self._state is not _State.HANDSHAKE:
            raise LocalProtocolError("no handshake was asked for")
        self._leave(ours("4.7.5", "not as secure as policy asks for"))

    def lost(self, why: str) -> None:
        """The connection is gone, or too slow: what has no answer yet is to be tried again."""
        self._end(ours("4.4.2", why))

    # --- replies -----------------------------------------------------------------------------------

    def _take(self, reply: RemoteReply) -> None:
        if reply.code == 421 and self._state is not _State.QUIT:
            self._end(reply)
            return
        _TAKERS[self._state](self, reply)

    def _leave(self, reply: RemoteReply) -> None:
        """End a session whose server is still there."""
        if self._state is not _State.ENDED:
            self._end(reply)
            self._out, self.said_quit = b"QUIT\r\n", True

    def _end(self, reply: RemoteReply) -> None:
        if self._state is _State.ENDED:
            return
        self._state = _State.ENDED
        self._out = b""
        self._not_ready()
        if self._mail is not None:
            self._settle(Status.TRANSIENT, reply)
            self._report()
        self._events.append(Ended(reply))

    def _greeting(self, reply: RemoteReply) -> None:
        if reply.kind == 2:
            self._hello()
        else:
            self._leave(reply)

    def _hello(self) -> None:
        self._out += (b"LHLO " if self.lmtp else b"EHLO ") + self._name + b"\r\n"
        self._state = _State.EHLO

    def _ehlo(self, reply: RemoteReply) -> None:
        if reply.kind == 2:
            self.features = features_of(reply)
            self._begin()
        elif reply.kind == 5 and not self.lmtp and not self.secure:
            self._out += b"HELO " + self._name + b"\r\n"
            self._state = _State.HELO
        else:
            self._leave(reply)

    def _helo(self, reply: RemoteReply) -> None:
        self.features = Features()
        if reply.kind == 2:
            self._begin()
        else:
            self._leave(reply)

    def _begin(self) -> None:
        """After a hello: TLS, then the login, then mail."""
        if not self.secure and self._tls is not TlsUse.NEVER:
            if "STARTTLS" in self.features:
                self._out += b"STARTTLS\r\n"
                self._state = _State.STARTTLS
                return
            if self._tls is TlsUse.MUST:
                self.tls_refused = True
                self._leave(ours("4.7.4", "the server offers no STARTTLS and policy asks for TLS"))
                return
        self._log_in()

    def _starttls(self, reply: RemoteReply) -> None:
        if reply.code == 220:
            if not self._reader.is_empty:
                raise RemoteProtocolError("octets after the reply to STARTTLS and before the handshake")
            self.features = Features()
            self._state = _State.HANDSHAKE
            self._events.append(StartHandshake())
        elif self._tls is TlsUse.MUST:
            self.tls_refused = True
            self._leave(ours("4.7.4", f"policy asks for TLS and STARTTLS was refused: {reply}"))
        else:
            self._log_in()

    def _log_in(self) -> None:
        if self._login is None:
            self._ready()
            return
        if not self.secure or "PLAIN" not in self.features.mechanisms:
            self._leave(ours("4.7.0", "the server offers no AUTH PLAIN under TLS"))
            return
        secret = f"\0{self._login.name}\0{self._login.password}".encode()
        self._out += b"AUTH PLAIN " + base64.b64encode(secret) + b"\r\n"
        self._state = _State.AUTH

    def _auth(self, reply: RemoteReply) -> None:
        if reply.code == 235:
            self._ready()
        else:  # whatever they say: it is our login that is wrong, and not the mail
            self._leave(ours("4.7.8", f"our login was refused: {reply}"))

    def _ready(self) -> None:
        self._state = _State.READY
        self._events.append(Ready(self.features))

    def _not_ready(self) -> None:
        """A Ready that was not taken yet no longer holds."""
        self._events = [event for event in self._events if not isinstance(event, Ready)]

    def _unasked(self, reply: RemoteReply) -> None:
        raise RemoteProtocolError(f"a reply to nothing: {reply}")

    def _quit(self, reply: RemoteReply) -> None:
        self._end(reply)

    # --- a mail ------------------------------------------------------------------------------------

    def _cannot_carry(self, mail: Outgoing) -> RemoteReply | None:
        features, path = self.features, mail.envelope.reverse_path.address
        if path is not None and _unsaid(path) is not None:
            return UNSAID
        if features.size and mail.size > features.size:
            return ours("5.3.4", f"the server takes no mail above {features.size} octets")
        if self._utf8 and "SMTPUTF8" not in features:
            return ours("5.6.7", "the server does not take internationalised mail (SMTPUTF8)")
        if mail.binary and not ("CHUNKING" in features and "BINARYMIME" in features):
            return ours("5.6.1", "the server does not take binary content (BINARYMIME)")
        if mail.eight_bit and "8BITMIME" not in features:
            return ours("5.6.3", "the server does not take 8-bit content (8BITMIME)")
        if mail.envelope.by_mode.startswith("R") and not self._keeps_time(mail.by_seconds):
            return ours("5.3.3", "the server promises no delivery in the time its sender set (DELIVERBY)")
        return None

    def _keeps_time(self, seconds: int) -> bool:
        """Would the server see to it that a mail is there so soon, or comes back? Its min-by-time says."""
        return seconds > 0 and "DELIVERBY" in self.features and seconds >= self.features.number("DELIVERBY")

    def _wants_utf8(self, mail: Outgoing) -> bool:
        path = mail.envelope.reverse_path.address
        addresses = [r.address for r in mail.envelope.recipients] + ([path] if path else [])
        return mail.utf8_header or any(needs_utf8(address) for address in addresses)

    def _say_envelope(self, mail: Outgoing) -> None:
        self._awaited = [_MAIL, *(n for n, outcome in enumerate(self._outcomes) if outcome is None)]
        if not mail.binary and not mail.asking:
            self._awaited.append(_DATA)
        if "PIPELINING" in self.features:
            self._out += b"".join(self._command(each) for each in self._awaited)
        else:
            self._out += self._command(_MAIL)

    def _command(self, what: int) -> bytes:
        mail = self._mail
        if mail is None:
            raise LocalProtocolError("no mail is under way")
        if what == _MAIL:
            return self._mail_command(mail)
        if what == _DATA:
            return b"DATA\r\n"
        return self._rcpt_command(mail.envelope.recipients[what], utf8=self._wants_utf8(mail))

    def _mail_command(self, mail: Outgoing) -> bytes:
        envelope, features = mail.envelope, self.features
        words = [b"MAIL FROM:<" + _path(envelope.reverse_path.address) + b">"]
        if "SIZE" in features and not mail.asking:
            words.append(b"SIZE=%d" % mail.size)
        if mail.binary:
            words.append(b"BODY=" + Body.BINARY.value.encode())
        elif mail.eight_bit:
            words.append(b"BODY=" + Body.EIGHT_BIT.value.encode())
        if self._utf8:
            words.append(b"SMTPUTF8")
        if "DSN" in features:
            if envelope.return_content:
                words.append(b"RET=" + envelope.return_content.encode())
            if envelope.envelope_id:
                words.append(b"ENVID=" + encode_xtext(envelope.envelope_id))
        return b" ".join((*words, *self._handed_on(mail))) + b"\r\n"

    def _handed_on(self, mail: Outgoing) -> Iterator[bytes]:
        """What the server takes over of the sender's wishes."""
        envelope, features = mail.envelope, self.features
        if envelope.tls == "required" and self.secure and "REQUIRETLS" in features:
            yield b"REQUIRETLS"
        if "MT-PRIORITY" in features:
            yield b"MT-PRIORITY=%d" % envelope.priority
        if envelope.by_mode and "DELIVERBY" in features:
            yield b"BY=%d;%b" % (mail.by_seconds, envelope.by_mode.encode())

    def _rcpt_command(self, recipient: Recipient, *, utf8: bool) -> bytes:
        words = [b"RCPT TO:<" + _path(recipient.address) + b">"]
        if "DSN" in self.features:
            if recipient.notify:
                words.append(b"NOTIFY=" + ",".join(w for w in NOTIFY if w in recipient.notify).encode())
            if recipient.original:
                words.append(b"ORCPT=" + encode_original(recipient.original, utf8=utf8))
        return b" ".join(words) + b"\r\n"

    def _envelope(self, reply: RemoteReply) -> None:
        what = self._awaited.pop(0)
        if what == _MAIL:
            if reply.kind != 2:  # of recipients a refused sender says nothing
                asking = self._mail is not None and self._mail.asking
                self._settle(Status.TRANSIENT if asking else _status(reply), reply)
        elif what == _DATA:
            self._answer_to_data(reply)
            return
        elif self._outcomes[what] is None:
            if reply.kind == 2 and (self._mail is None or not self._mail.asking):
                self._accepted.append(what)
            else:
                self._outcomes[what] = Outcome(_rcpt_status(reply), reply)
        self._go_on()

    def _go_on(self) -> None:
        """After an answer to MAIL or RCPT."""
        if not self._awaited:
            self._send_chunk()
        elif "PIPELINING" not in self.features:
            nobody = self._awaited == [_DATA] and not self._accepted
            if nobody or None not in self._outcomes:
                self._start_over()
            else:
                self._out += self._command(self._awaited[0])

    def _send_chunk(self) -> None:
        """BDAT's octets follow it at once, so it is said only when somebody is there to get them."""
        if not self._accepted or self._mail is None:
            self._start_over()
            return
        self._out += b"BDAT %d LAST\r\n" % self._mail.size
        self._state = _State.CONTENT
        self._events.append(SendContent(binary=True))

    def _start_over(self) -> None:
        self._awaited = []
        self._out += b"RSET\r\n"
        self._state = _State.RESET

    def _reset(self, reply: RemoteReply) -> None:
        if reply.kind == 2:
            self._finish()
        else:
            self._leave(reply)

    def _answer_to_data(self, reply: RemoteReply) -> None:
        if reply.kind == 3:
            if not self._reader.is_empty:  # or it would be taken for the answer to the content
                raise RemoteProtocolError("octets after the reply to DATA and before the content")
            if self._accepted:
                self._state = _State.CONTENT
                self._events.append(SendContent(binary=False))
            else:  # RFC 2920 section 3.1: the server took DATA with no recipient: an empty mail ends it
                self._out += b".\r\n"
                self._state = _State.FINAL
        elif reply.kind == 2:
            raise RemoteProtocolError(f"2yz to DATA: {reply}")
        else:
            self._settle(_status(reply), reply)
            self._start_over()

    def _final(self, reply: RemoteReply) -> None:
        if not self.lmtp or not self._accepted:
            self._settle(_status(reply), reply)
            self._finish()
            return
        self._outcomes[self._accepted.pop(0)] = Outcome(_status(reply), reply)
        if not self._accepted:
            self._finish()

    def _settle(self, status: Status, reply: RemoteReply) -> None:
        """Who has no answer yet has this one."""
        self._outcomes = [o if o is not None else Outcome(status, reply) for o in self._outcomes]

    def _finish(self) -> None:
        self._report()
        self._ready()

    def _report(self) -> None:
        self._events.append(Finished(tuple(o for o in self._outcomes if o is not None)))
        self._mail = None
        self._outcomes = []


_MAIL: Final = -1
_DATA: Final = -2

_TAKERS: Final = {
    _State.GREETING: ClientEngine._greeting,
    _State.EHLO: ClientEngine._ehlo,
    _State.HELO: ClientEngine._helo,
    _State.STARTTLS: ClientEngine._starttls,
    _State.AUTH: ClientEngine._auth,
    _State.READY: ClientEngine._unasked,
    _State.ENVELOPE: ClientEngine._envelope,
    _State.FINAL: ClientEngine._final,
    _State.RESET: ClientEngine._reset,
    _State.QUIT: ClientEngine._quit,
}


UNSAID: Final = ours("5.1.3", "an address that no command can say")
"""It would end its line, or say more than one command."""


def _unsaid(address: Address) -> Outcome | None:
    domain = address.domain
    speakable = address.local_part.isprintable() and domain.isascii() and domain.isprintable()
    if speakable and " " not in domain and ">" not in domain:
        return None
    return Outcome(Status.PERMANENT, UNSAID)


def _path(address: Address | None) -> bytes:
    return b"" if address is None else encode_mailbox(address)


def _status(reply: RemoteReply) -> Status:
    if reply.kind == 2:
        return Status.RELAYED
    return Status.PERMANENT if reply.kind == 5 else Status.TRANSIENT


def _rcpt_status(reply: RemoteReply) -> Status:
    # RFC 5321 section 4.5.3.1.10: 552 for too many recipients is to be taken as 452
    return Status.TRANSIENT if reply.code == 552 else _status(reply)
