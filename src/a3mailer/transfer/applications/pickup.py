"""Mail from programs of this machine, as sendmail hands it over: completed, and submitted like any other.

Whoever may do this runs the server, but a mail still has a sender of ours: the account that owns the
envelope sender, else the postmaster's. Names without a domain are of ours (``root`` of cron is the
postmaster, where nobody has that name); an author without one is replaced by the sender.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory
from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.compose import BadPiece, Mailbox, mailbox_field
from a3mailer.mail.envelope import Body, Client, Envelope, Recipient
from a3mailer.mail.errors import BadName, MailError, NoSuchAccount, TooLarge, TooMany
from a3mailer.mail.message import addresses, headers
from a3mailer.runtime.clock import Clock
from a3mailer.store.ports import Store
from a3mailer.store.rows import Account
from a3mailer.telemetry.events import new_trace
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.fields import with_fields, without
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.route import Local
from a3mailer.wire.smtp.paths import BadPath, encode_mailbox, needs_utf8, parse_mailbox

POSTMASTER: Final = "postmaster"
ROOT: Final = "root"
NOBODY: Final = "<>"
"""The null reverse-path."""
HERE: Final = (b"", b"localhost", b"localhost.localdomain")
"""Domains of authors that are none."""
DESTINATIONS: Final = frozenset((b"to", b"cc", b"bcc"))
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
_UNIX_FROM: Final = re.compile(rb">?From [^\r\n]*\r\n")


@dataclass(frozen=True, slots=True)
class Handed:
    """What a program hands over."""

    octets: bytes
    sender: str = ""
    """Of the envelope; empty: nobody said."""
    name: str = ""
    """Of the author, where the mail has none."""
    recipients: tuple[str, ...] = ()
    from_header: bool = False
    """Also those of To, Cc and Bcc."""
    notify: frozenset[str] = frozenset()
    return_content: str = ""
    envelope_id: str = ""


class Pickup:
    """Works on a store alone, so a server need not run: what is queued leaves when it does."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._directory = Directory(store, settings)
        self._policy = Policy(store, self._directory, settings)
        self._receive = Receive(store, self._directory, settings, clock)

    async def __call__(self, handed: Handed) -> str:
        """The trace id of a mail that is ours now.

        Errors: BadName (no recipient, no address), NoSuchAccount, NotAllowed, TooLarge, TooMany, TryLater."""
        octets = as_mail(handed.octets)
        if len(octets) > self._settings.smtp.size:
            raise TooLarge(f"more than {self._settings.smtp.size} octets")
        end = headers.header_end(octets, 0, len(octets))
        header, body = octets[:end], octets[end:]
        account, sender = await self._sender("" if handed.sender == NOBODY else handed.sender)
        names = [*handed.recipients, *(_destinations(header) if handed.from_header else ())]
        found = dict.fromkeys([await self._recipient(name) for name in names])
        recipients = [Recipient(address, handed.notify) for address in found]
        if not recipients:
            raise BadName("no recipient")
        if len(recipients) > self._settings.smtp.recipients:
            raise TooMany(f"more than {self._settings.smtp.recipients} recipients")
        header = await self._authored(header, sender, handed.name)
        whole = header + body
        envelope = Envelope(
            NULL_PATH if handed.sender == NOBODY else ReversePath(sender),
            tuple(recipients),
            Body.SEVEN_BIT if whole.isascii() else Body.EIGHT_BIT,
            any(needs_utf8(each.address) for each in recipients),
            len(whole),
            handed.return_content,
            handed.envelope_id,
        )
        return await self._submit(account, envelope, whole)

    async def _submit(self, account: Account, envelope: Envelope, octets: bytes) -> str:
        trace = new_trace()
        client = Client("", 0, account=account.id, login=account.address, protocol="submission")
        await self._policy.sender(client, envelope)
        routes = []
        for recipient in envelope.recipients:
            try:
                routes.append(await self._policy.recipient(client, envelope, recipient))
            except NoSuchAccount as error:
                raise NoSuchAccount(f"no such mailbox: {recipient.address}") from error
        outcomes = await self._receive(Arrival(client, envelope, tuple(routes), octets, trace))
        refused = next((error for error in outcomes if error is not None), None)
        if refused is not None and None not in outcomes:
            raise refused
        return trace

    async def _sender(self, text: str) -> tuple[Account, Address]:
        """The account that sends, and under which address."""
        if text:
            given = _parsed(text, self._settings.server.domain)
            entry = await self._store.address(str(given).lower())
            account = await self._store.account(entry.account) if entry and entry.account else None
            if account is not None:
                return account, given
            if "@" in text:
                raise NoSuchAccount(f"the sender {text} is nobody here")
        for route in await self._policy.lead(Address(POSTMASTER, self._settings.server.domain)):
            account = await self._store.account(route.account) if isinstance(route, Local) else None
            if account is not None:
                return account, _parsed(account.address, "")
        raise NoSuchAccount("there is no postmaster here to send it")

    async def _recipient(self, text: str) -> Address:
        address = _parsed(text, self._settings.server.domain)
        if text == ROOT:
            try:
                await self._policy.lead(address)
            except MailError:
                return Address(POSTMASTER, address.domain)
        return address

    async def _authored(self, header: bytes, sender: Address, name: str) -> bytes:
        """The header with one author of ours, where it had none or one without a domain."""
        authors = [each for value in _values(header, frozenset((b"from",))) for each in value]
        if any(author.domain.lower() not in HERE for author in authors):
            return header
        if authors and not name:
            name = authors[0].name or authors[0].local_part.decode("utf-8", "replace")
        try:
            made = mailbox_field("From", Mailbox(name, encode_mailbox(sender).decode("utf-8", "replace")))
        except BadPiece as error:
            raise BadName(str(error)) from error
        return with_fields(without(header, frozenset((b"from",))), made.encode())


def as_mail(octets: bytes) -> bytes:
    """With CRLF line ends, without a mailbox file's first line, and with a header, if an empty one."""
    octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    if octets and not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    if found := _UNIX_FROM.match(octets):
        octets = octets[found.end() :]
    return octets if _FIELD.match(octets) or octets.startswith(b"\r\n") else b"\r\n" + octets


def _values(header: bytes, names: frozenset[bytes]) -> list[tuple[addresses.Address, ...]]:
    return [
        addresses.parse_mailboxes(headers.unfold(header[value:end]))
        for name, value, end in headers.fields(header, 0, len(header))
        if name in names
    ]


def _destinations(header: bytes) -> list[str]:
    found = []
    for value in _values(header, DESTINATIONS):
        for each in value:
            local_part = each.local_part.decode("utf-8", "replace")
            domain = each.domain.decode("utf-8", "replace")
            if not domain:
                found.append(local_part)
            else:
                quoted = Address(local_part, domain)
                found.append(encode_mailbox(quoted).decode("utf-8", "replace"))
    return found


def _parsed(text: str, domain: str) -> Address:
    """Errors: BadName."""
    text = text.strip(" ").removeprefix("<").removesuffix(">")
    if "@" not in text and domain:
        text = f"{text}@{domain}"
    try:
        return parse_mailbox(text.encode("utf-8", "replace"))
    except BadPath as error:
        raise BadName(f"{text[:80]!r} is no mail address") from error
