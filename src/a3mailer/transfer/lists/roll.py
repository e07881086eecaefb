"""A mailing list as it is kept: an account of the kind ``list``, with documents (``PutDocument``).

    list     settings       what holds for it        member   ADDRESS      who is on it
    asked    WORD/ADDRESS   who was asked lately, so that nobody is asked without end

Its INBOX holds mails that wait for a moderator, its Archive those that all members got.
"""

from __future__ import annotations

from typing import Final

import msgspec

from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import PutDocument
from a3mailer.store.ports import DocumentReader

MAX_MEMBERS: Final = 5000
PAGE: Final = 1000
POSTING: Final = ("members", "moderated", "open")
"""Who may write to all: members, whom a moderator lets, everybody."""
JOINING: Final = ("open", "closed")
"""Who may join: everybody who confirms it, or whom an administrator puts there."""
BOUNCE_DAYS: Final = 14
"""Days that failures are remembered."""
BOUNCES: Final = 3
"""Days among them with failures for good, after which a member gets no more mail."""
DAY: Final = 86_400
SETTINGS: Final = "settings"


class MailingList(msgspec.Struct, frozen=True):
    """What holds for a list."""

    owners: tuple[str, ...]
    """Who moderates it, and reads LIST-owner@."""
    posting: str = "members"
    joining: str = "open"
    archive: bool = True
    tag: str = ""
    """Put before subjects; empty: mails are left as they are, so that DKIM signatures stay good."""


class Member(msgspec.Struct, frozen=True):
    """Somebody on a list."""

    since: int
    failed: tuple[int, ...] = ()
    """Days (since 1970) of failures for good."""
    suspended: bool = False
    """Gets no mail, as that failed; may still write."""


_list: Final = msgspec.json.Decoder(MailingList).decode
_member: Final = msgspec.json.Decoder(Member).decode


async def settings_of(reader: DocumentReader, account: AccountId) -> MailingList | None:
    """What holds for a list; None: it is none."""
    row = await reader.document(account, "list", SETTINGS)
    return None if row is None else _list(row.value)


def put_settings(account: AccountId, settings: MailingList) -> PutDocument:
    """Keep them."""
    return PutDocument(account, "list", SETTINGS, msgspec.json.encode(settings).decode())


async def member_of(reader: DocumentReader, account: AccountId, address: str) -> Member | None:
    """Who has this address (as ``key`` makes it) on the list."""
    row = await reader.document(account, "member", address)
    return None if row is None else _member(row.value)


async def members_of(reader: DocumentReader, account: AccountId) -> dict[str, Member]:
    """Everybody, by address."""
    found: dict[str, Member] = {}
    after = ""
    while rows := await reader.documents(account, "member", limit=PAGE, after=after):
        found |= {row.name: _member(row.value) for row in rows}
        after = rows[-1].name
    return found


def put_member(account: AccountId, address: str, member: Member) -> PutDocument:
    """Keep one."""
    return PutDocument(account, "member", address, msgspec.json.encode(member).decode())


def key(address: str) -> str:
    """An address as members are found by: in lower case."""
    return address.lower()


def after_failure(member: Member, now: int) -> Member:
    """The member once a mail to it has failed for good; of one day only one counts."""
    today = now // DAY
    failed = tuple(sorted({day for day in member.failed if day > today - BOUNCE_DAYS} | {today}))
    return msgspec.structs.replace(
        member, failed=failed, suspended=member.suspended or len(failed) >= BOUNCES
    )
