"""A mail at its delivery, as scripts see it, and the questions about an account that only the store answers.

A script runs in one go and cannot wait. What it asks that is not known yet ends the run with the question;
when it is answered the script is run again, which costs little and changes nothing, since actions are values.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, NamedTuple, Protocol

import msgspec

from a3mailer import __version__
from a3mailer.config.tree import Settings
from a3mailer.mail.address import ReversePath
from a3mailer.mail.envelope import Body, Client, Recipient
from a3mailer.mail.ids import AccountId
from a3mailer.mail.mailbox import with_inbox
from a3mailer.mail.message.parts import Part
from a3mailer.store.rows import Mailbox
from a3mailer.transfer.route import Local
from a3mailer.wire.sieve.actions import Vacation
from a3mailer.wire.sieve.addresses import SEPARATOR
from a3mailer.wire.sieve.compile import Program
from a3mailer.wire.sieve.errors import ScriptError
from a3mailer.wire.sieve.extensions.imapsieve import items
from a3mailer.wire.sieve.machine import OWNER
from a3mailer.wire.sieve.view import MailView

MAILBOX_LETTER: Final = "F"
"""What a MAILBOXID begins with (RFC 8474); ``edge/imap`` shows the same."""


class Delivery(msgspec.Struct, frozen=True):
    """One mail for one account."""

    route: Local
    recipient: Recipient
    """As it was named, detail and all."""
    octets: bytes
    """As they will lie in the mailbox."""
    parts: Sequence[Part] | None
    """None: who needs them looks for them."""
    reverse_path: ReversePath
    hops: int
    trace: str
    now: int
    client: Client = Client("", 0)
    body: Body = Body.EIGHT_BIT
    smtputf8: bool = False
    return_content: str = ""
    envelope_id: str = ""
    priority: int = 0
    deliver_by: int = 0
    by_mode: str = ""
    tls: str = ""
    junk: bool = False
    """Somebody has judged that it goes to Junk."""
    key: bytes = b""
    """Names a delivery out of the queue for ever (``deliver.appends``)."""


class Active(Protocol):
    """What runs for an account; ``program`` is None for a broken one."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def program(self) -> Program | None: ...
    @property
    def error(self) -> Exception | None: ...


class Away(Protocol):
    """Who answers because nobody reads now (RFC 8621 section 8)."""

    @property
    def action(self) -> Vacation: ...
    def is_at(self, now: int) -> bool:
        """Is it sent at this second?"""
        ...


class Running(Protocol):
    """What happens to each mail of an account: its script, then the answer."""

    @property
    def script(self) -> Active | None: ...
    @property
    def away(self) -> Away | None: ...


class ScriptsOf(Protocol):
    """The scripts of accounts (``access/scripts.py``; ``app`` brings them)."""

    def is_idle(self, account: AccountId) -> bool:
        """Is it known that an account has no active script, and nobody who is away?"""
        ...

    async def running(self, account: AccountId) -> Running | None: ...
    async def included(self, account: AccountId, name: str) -> Program | None:
        """Errors: MailError where the script is none."""
        ...


SEPARATOR_OF_LEVELS: Final = "/"


class Filing(Protocol):
    """Mailboxes by their names (``access/filing.py``; ``app`` brings it)."""

    async def find(self, account: AccountId, name: str) -> Mailbox | None:
        """The mailbox of another that a name means to an account, where it may put mail into it."""
        ...

    def new_name(self, name: str) -> str:
        """The stored form of the name of a new mailbox. Errors: BadName."""
        ...

    async def annotation(self, account: AccountId, mailbox: str | None, entry: str) -> bytes | None:
        """An entry of a mailbox, or of the server, that an account may read (RFC 5464)."""
        ...


class OwnOnly:
    """There are no mailboxes but one's own."""

    async def find(self, account: AccountId, name: str) -> Mailbox | None:
        """None."""
        return None

    def new_name(self, name: str) -> str:
        """As it is."""
        return name

    async def annotation(self, account: AccountId, mailbox: str | None, entry: str) -> bytes | None:
        """None."""
        return None


OWN_ONLY: Final = OwnOnly()


class Question(NamedTuple):
    """What is to be found out: ``mailboxes``, ``seen`` (a digest), ``script``, ``list``, ``foreign``,
    ``annotation``."""

    kind: str
    name: str = ""
    of: str | None = None
    """The mailbox of an annotation; None: the server."""


class Lacking(Exception):
    """A run cannot go on without an answer."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.kind)
        self.question = question


class NoScript(NamedTuple):
    """In place of a program: why a script that is there cannot be included."""

    error: ScriptError


class Answers:
    """What is known of one account so far."""

    __slots__ = ("known", "shared")

    def __init__(self, shared: Mapping[str, Program]) -> None:
        """``shared``: the programs that a site has for ``include :global``."""
        self.shared = shared
        self.known: dict[Question, object] = {}

    def _of(self, question: Question) -> object:
        try:
            return self.known[question]
        except KeyError:
            raise Lacking(question) from None

    def has_mailbox(self, by: str, value: str, of: str = "") -> bool:
        """``door.Mail.has_mailbox``."""
        boxes = self._of(Question("mailboxes"))
        assert isinstance(boxes, tuple)
        if of:
            found = named(boxes, of)
            boxes = () if found is None else (found,)
        if mailbox_by(boxes, by, value) is not None:
            return True
        foreign = by == "name" and not of and SEPARATOR_OF_LEVELS in value
        return foreign and self._of(Question("foreign", value)) is not None

    def remembers(self, handle: bytes, value: bytes) -> bool:
        """``door.Mail.remembers``."""
        return bool(self._of(Question("seen", memory_name(handle, value))))

    def members(self, name: str) -> Mapping[bytes, bytes] | None:
        """``door.Mail.members``."""
        found = self._of(Question("list", name))
        assert found is None or isinstance(found, dict)
        return found

    def annotation(self, mailbox: str | None, entry: str) -> bytes | None:
        """``door.Mail.annotation``."""
        found = self._of(Question("annotation", entry, mailbox))
        assert found is None or isinstance(found, bytes)
        return found

    def script(self, location: str, name: str) -> object | None:
        """``door.Mail.script``. Errors: ScriptError."""
        if location == "global":
            return self.shared.get(name)
        found = self._of(Question("script", name))
        if isinstance(found, NoScript):
            raise found.error
        return found


def memory_name(*pieces: bytes) -> str:
    """The name of a document that stands for some octets: nobody reads them out of it."""
    made = hashlib.sha256()
    for piece in pieces:
        made.update(b"%d:%b" % (len(piece), piece))
    return made.hexdigest()[:40]


def named(boxes: Sequence[Mailbox], name: str) -> Mailbox | None:
    """The mailbox of a name in any form of Unicode, INBOX in any case (RFC 9051 section 5.1)."""
    kept = with_inbox(unicodedata.normalize("NFC", name))
    return next((box for box in boxes if box.name == kept), None)


def mailbox_by(boxes: Sequence[Mailbox], by: str, value: str, name: str = "") -> Mailbox | None:
    """By its "name", "special-use" (RFC 8579, in any case) or "id" (RFC 9042).

    Of several of one use that of the ``name`` is meant, else the first."""
    if by == "name":
        return named(boxes, value)
    if by == "special-use":
        found = [box for box in boxes if value and box.special_use.lower() == value.lower()]
        return named(found, name) or (found[0] if found else None)
    return next((box for box in boxes if f"{MAILBOX_LETTER}{box.id}" == value), None)


class DeliveryView(MailView):
    """One delivery for scripts; with ``header`` as an earlier script has left it."""

    def __init__(self, mail: Delivery, octets: bytes, settings: Settings, answers: Answers) -> None:
        super().__init__(
            octets,
            now=_moment(mail.now),
            parts=mail.parts if octets is mail.octets else None,
            mailboxes=answers.has_mailbox,
            memory=answers.remembers,
            scripts=answers.script,
            lists=answers.members,
            annotations=answers.annotation,
        )
        self._mail = mail
        self._settings = settings

    def envelope(self, part: str) -> tuple[bytes, ...]:
        """A part of the envelope (RFC 5228 section 5.4)."""
        return self._parts_of_envelope.get(part, ())

    @cached_property
    def _parts_of_envelope(self) -> Mapping[str, tuple[bytes, ...]]:
        mail = self._mail
        paths = {"from": str(mail.reverse_path), "to": str(mail.recipient.address)}
        said = {
            "auth": mail.client.login,
            "orcpt": mail.recipient.original,
            "ret": mail.return_content,
            "envid": mail.envelope_id,
        }
        if mail.deliver_by:
            said["bytimeabsolute"] = str(mail.deliver_by)
            said["bytimerelative"] = str(mail.deliver_by - mail.now)
            said["bymode"] = "return" if mail.by_mode.startswith("R") else "notify"
        found: dict[str, tuple[str, ...]] = {
            part: (value,) for part, value in (*paths.items(), *said.items()) if value or part in paths
        }
        if mail.deliver_by:
            found["bytrace"] = ("trace" if mail.by_mode.endswith("T") else "",)
        found["notify"] = tuple(sorted(mail.recipient.notify))
        return {
            part: tuple(value.encode("utf-8", "replace") for value in values)
            for part, values in found.items()
        }

    def environment(self, item: str) -> bytes | None:
        """An item of the environment (RFC 5183)."""
        found = self._place.get(item)
        return None if found is None else found.encode("utf-8", "replace")

    @cached_property
    def _place(self) -> Mapping[str, str]:
        client, settings = self._mail.client, self._settings
        return {
            "name": "A3Mailer",
            "version": __version__,
            "location": "MDA",
            "phase": "during",
            "host": settings.server.hostname,
            "domain": settings.server.domain,
            "remote-ip": client.ip,
            "remote-host": "",  # nobody has looked
            "vnd.a3.helo": client.helo,
            "vnd.a3.login": client.login,
            "vnd.a3.tls": client.tls,
            "vnd.a3.door": client.protocol.lower(),
            OWNER: self._mail.route.address,
            SEPARATOR: settings.smtp.subaddress_separator,
            **items(None),
        }


def _moment(now: int) -> tuple[int, int]:
    """The time, and how far east of UTC the clocks of this machine are then."""
    east = datetime.fromtimestamp(now).astimezone().utcoffset() or timedelta()
    return now, int(east.total_seconds()) // 60
