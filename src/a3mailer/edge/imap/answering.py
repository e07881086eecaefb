"""Commands begun: octets understood, permission asked, and answered where nothing has to be waited for.

What clients send most (NOOP, FETCH of one message that was read ahead) is answered in the call that brings
its octets; everything else goes on in the session's task (``door.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.edge.imap import state
from a3mailer.edge.imap.command import Command
from a3mailer.edge.imap.commands import COMMANDS
from a3mailer.edge.imap.replies import reply
from a3mailer.edge.imap.response import DONE, Answer, Completed, Failed
from a3mailer.edge.imap.session import Ended, Session
from a3mailer.identity.roles import action
from a3mailer.mail.errors import MailError
from a3mailer.telemetry import metrics
from a3mailer.telemetry.events import emit
from a3mailer.wire.imap import engine, limits
from a3mailer.wire.imap.errors import BadSyntax, RemoteProtocolError, UidRequired, UnknownCharset
from a3mailer.wire.imap.parser import TAG_CHARS, Parser

BAD_COMMANDS: Final = 20
"""Refused commands before the session of a stranger ends."""
BAD_COMMANDS_OF_USERS: Final = 1000
FAIR_COMMANDS: Final = 16
"""Commands answered before others get their turn."""
NOT_PERMITTED: Final = Failed(b"NOPERM", b"not permitted")
TABLE: Final[dict[bytes, type[Command]]] = {each.name: each for each in COMMANDS}
RULES: Final = {each.name: action(each.action) for each in COMMANDS}
"""Every command's rule exists, or this module cannot be imported."""
NUMBERING: Final = frozenset(
    each for each in COMMANDS if each.states == state.SELECTED and each.action.startswith("message.")
)
"""Those that name messages of the selected mailbox."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A command that has to wait for something."""

    tag: bytes
    command: Command
    answer: Answer | None
    """None: not even begun, there is something to catch up with first."""


class Prompt:
    """Answers a session's commands as their octets come; what has to wait is ``left`` to its task."""

    __slots__ = ("_session", "gone", "left")

    def __init__(self, session: Session) -> None:
        self._session = session
        self.gone = False
        self.left: engine.Event | Begun | None = None

    def take(self, octets: bytes) -> bool:
        """Answer what came; False when the task is to go on."""
        session = self._session
        framing = session.engine
        if not octets:
            self.gone = True
            return False
        try:
            session.feed(octets)
        except Ended as error:
            goodbye(session, str(error).encode("ascii"))
            return False
        for _ in range(FAIR_COMMANDS):
            event = framing.next_event()
            if event is None:
                return not session.inflates and session.rest()
            self.left = begin(session, event.octets) if isinstance(event, engine.Command) else event
            session.end_reply()
            if self.left is not None or session.full or session.state == state.LOGOUT:
                return False
        return False


def begin(session: Session, octets: bytes) -> Begun | None:
    """Parse and begin a command; None when it is answered."""
    understood = understand(session, octets)
    if understood is None:
        return None
    tag, command = understood
    if session.behind or unread(session, command) or updates(session):
        return Begun(tag, command, None)
    session.tag = tag
    try:
        answer = started(session, command)
    except RemoteProtocolError as error:
        refuse(session, tag, str(error).encode("ascii", "replace"), fatal=False)
        return None
    except MailError as error:
        finish(session, tag, command, reply(error))
        return None
    if answer is not DONE and not isinstance(answer, (Completed, Failed)):
        return Begun(tag, command, answer)
    selected = session.selected
    if selected is not None and selected.view.has_news():
        session.say_news(selected.view, expunges=command.expunges, uid=by_uid(command))
    finish(session, tag, command, answer)
    return None


def started(session: Session, command: Command) -> Answer:
    """Ask for permission, and begin. Errors: MailError, RemoteProtocolError."""
    if numbers(session, command):
        raise UidRequired
    return command.run(session) if session.permits(command.action) else NOT_PERMITTED


def numbers(session: Session, command: Command) -> bool:
    """Whether a command names messages by numbers of a client that wants none (RFC 9586 section 3)."""
    return session.uid_only and getattr(command, "uid", True) is False


def by_uid(command: Command) -> bool:
    """Whether a command begins with UID."""
    return bool(getattr(command, "uid", False) or getattr(command, "uids", None))


def unread(session: Session, command: Command) -> bool:
    """Whether the columns of the selected mailbox are to be loaded before this command."""
    selected = session.selected
    return selected is not None and not selected.view.mailbox.loaded and type(command) in NUMBERING


def updates(session: Session) -> bool:
    """Whether results of searches are to be looked after behind every command (RFC 5267)."""
    return session.selected is not None and session.selected.updates is not None


def understand(session: Session, octets: bytes) -> tuple[bytes, Command] | None:
    """Tag and command; None when it was none and that was answered."""
    space = octets.find(b" ")
    tag = octets[:space]
    after = octets.find(b" ", space + 1)
    kind = TABLE.get((octets[space + 1 :] if after < 0 else octets[space + 1 : after]).upper())
    p = Parser(octets, utf8=session.utf8, at=len(octets) if after < 0 else after)
    try:
        if kind is None or space <= 0 or tag.translate(None, TAG_CHARS) or space > limits.TAG_LENGTH:
            p.at, tag = 0, b"*"
            tag = p.tag()
            kind = named(p)
        if not kind.states & session.state:
            raise BadSyntax(f"{kind.name.decode()} is not valid in {state.NAMES[session.state]} state")
        return tag, kind.parse(p)
    except UnknownCharset as error:
        if error.saves and session.selected is not None:
            session.selected.saved = frozenset()
        session.write(b"%b NO [BADCHARSET (US-ASCII UTF-8)] %b\r\n" % (tag, str(error).encode()))
    except RemoteProtocolError as error:
        refuse(session, tag, str(error).encode("ascii", "replace"), fatal=False)
    return None


def named(p: Parser) -> type[Command]:
    """The command whose name follows the tag. Errors: BadSyntax."""
    p.space()
    kind = TABLE.get(p.keyword())
    if kind is None:
        raise BadSyntax("unknown command")
    return kind


def finish(session: Session, tag: bytes, command: Command, ended: Completed | Failed) -> None:
    """The tagged OK or NO."""
    stranger = session.state == state.NOT_AUTHENTICATED
    if ended is DONE and not stranger:
        session.bad = 0
        metrics.count("a3_imap_commands_total", "ok")
        session.write(b"%b OK %b completed\r\n" % (tag, command.name))
        return
    code = b"[%b] " % ended.code if ended.code else b""
    if isinstance(ended, Completed):
        if not stranger:
            session.bad = 0
        metrics.count("a3_imap_commands_total", "ok")
        session.write(b"%b OK %b%b\r\n" % (tag, code, ended.text or command.name + b" completed"))
    else:
        metrics.count("a3_imap_commands_total", "no")
        session.write(b"%b NO %b%b\r\n" % (tag, code, ended.text))
        session.bad += stranger
        if session.bad > BAD_COMMANDS and stranger:
            goodbye(session, b"too many failures")


def refuse(session: Session, tag: bytes, text: bytes, *, fatal: bool) -> None:
    """BAD, or BYE and the end."""
    metrics.count("a3_imap_commands_total", "bad")
    session.bad += 1
    known = session.state != state.NOT_AUTHENTICATED
    if fatal or session.bad > (BAD_COMMANDS_OF_USERS if known else BAD_COMMANDS):
        session.write(b"* BYE %b\r\n" % (text if fatal else b"too many bad commands"))
        session.state = state.LOGOUT
        emit("imap.session.refused", level="warning", trace=session.trace, reason=text.decode("ascii"))
    else:
        session.write(b"%b BAD %b\r\n" % (tag, text))


def goodbye(session: Session, text: bytes) -> None:
    """End the session from our side."""
    session.write(b"* BYE %b\r\n" % text)
    session.state = state.LOGOUT
