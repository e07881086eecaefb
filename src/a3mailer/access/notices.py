"""What an account is told of its rights on mailboxes of others (RFC 9670 section 3), until it dismisses it.

There is one notice a mailbox: a later change takes the place of an earlier one and says what both did
together; where that is nothing, it says what the last one did. Notices are documents of who is told, and what
was dismissed leaves an empty one for a while, so that changes since a state are known. Nobody's mischief
fills more than ``MOST_OF_ONE`` of them, so that it hides no other's (section 6.3).
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import structs

from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import PutDocument
from a3mailer.store.ports import DocumentReader
from a3mailer.store.rows import NOTICE

MOST: Final = 256
"""Notices of an account: beyond them the oldest of whoever caused the most goes."""
MOST_OF_ONE: Final = 64
"""Notices about the mailboxes of one account."""
AGE: Final = 90 * 86_400
"""Seconds until a notice goes by itself."""
GONE: Final = 512
"""Of so many that went it is known at most."""
GONE_AGE: Final = 31 * 86_400
"""Seconds that it is known of."""
FLOOR: Final = "!"
"""The document that says up to when nobody knows any more what went."""


class Notice(msgspec.Struct, frozen=True):
    """One."""

    made: int
    """Seconds since the epoch."""
    account: int
    """Whose mailbox."""
    mailbox: int
    name: str
    """The last level of the mailbox's name."""
    old: str
    """The rights there were (RFC 4314); none where it could not be seen."""
    new: str
    by: int
    """The account that changed them; 0 where none did."""
    by_name: str
    by_address: str = ""


_decoder: Final = msgspec.json.Decoder(Notice)


@dataclass(frozen=True, slots=True)
class Notices:
    """All of an account."""

    live: Mapping[str, Notice]
    touched: Mapping[str, int]
    """When each came or went, those that went, too."""
    floor: int
    """What went in this second or before it may have been forgotten."""


async def notices(reader: DocumentReader, account: AccountId, now: int) -> Notices:
    """As of now."""
    live: dict[str, Notice] = {}
    touched: dict[str, int] = {}
    floor = 0
    for row in await reader.documents(account, NOTICE, limit=2 * (MOST + GONE)):
        if row.name == FLOOR:
            floor = int(row.value)
            continue
        touched[row.name] = row.created
        if row.value:
            notice = _decoder.decode(row.value)
            if notice.made + AGE > now:
                live[row.name] = notice
            else:
                touched[row.name] = notice.made + AGE
    return Notices(live, touched, floor)


def dismissed(account: AccountId, ids: Iterable[str], now: int) -> list[PutDocument]:
    """These go."""
    return [PutDocument(account, NOTICE, id, "", expires=now + GONE_AGE) for id in ids]


async def told(
    reader: DocumentReader, account: AccountId, news: Sequence[Notice], now: int
) -> list[PutDocument]:
    """Tell an account."""
    known = await notices(reader, account, now)
    live = dict(known.live)
    made: list[PutDocument] = []
    gone: list[str] = []
    for notice in news:
        for id, earlier in list(live.items()):
            if (earlier.account, earlier.mailbox) == (notice.account, notice.mailbox):
                del live[id]
                gone.append(id)
                if earlier.old != notice.new:
                    notice = structs.replace(notice, old=earlier.old)
        id = f"N{secrets.token_hex(8)}"
        live[id] = notice
        text = msgspec.json.encode(notice).decode()
        made.append(PutDocument(account, NOTICE, id, text, expires=notice.made + AGE + GONE_AGE))
        gone += _crowded_out(live)
    return [*made, *dismissed(account, gone, now), *_forgotten(account, known, gone, now)]


def _crowded_out(live: dict[str, Notice]) -> list[str]:
    """Those there is no room for, taken out of ``live``."""
    gone: list[str] = []
    while True:
        counts = Counter(notice.account for notice in live.values())
        most = max(counts.values())
        if most <= MOST_OF_ONE and len(live) <= MOST:
            return gone
        oldest = min(
            (notice.made, at, id)
            for at, (id, notice) in enumerate(live.items())
            if counts[notice.account] == most
        )[2]
        del live[oldest]
        gone.append(oldest)


def _forgotten(account: AccountId, known: Notices, gone: Sequence[str], now: int) -> list[PutDocument]:
    """What of those that went is known no more."""
    before = sorted((at, id) for id, at in known.touched.items() if id not in known.live)
    surplus = before[: max(0, len(before) + len(gone) - GONE)]
    if not surplus:
        return []
    swept = [PutDocument(account, NOTICE, id, "", expires=1) for _, id in surplus]
    return [*swept, PutDocument(account, NOTICE, FLOOR, str(surplus[-1][0]), expires=now + GONE_AGE)]
