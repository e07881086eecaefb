"""The scripts of all mailboxes that one mail is on its way into, and what the sender hears of refusals."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import structs

from a3mailer.mail.errors import Refused
from a3mailer.store.operations import Append, Enqueue, Operation
from a3mailer.store.ports import Content
from a3mailer.transfer.filtering.effects import Made
from a3mailer.transfer.filtering.filtering import Filtering
from a3mailer.transfer.filtering.mail import Delivery
from a3mailer.transfer.route import Local
from a3mailer.transfer.work import Work
from a3mailer.wire.sieve.actions import Reject

LINE: Final = 400
"""Characters of a line of a reply."""
LINES: Final = 50
"""Lines of a reply."""
Locals = Mapping[Local, Sequence[int]]
"""Mailboxes with the numbers of the recipients they serve."""


class Gathered(msgspec.Struct):
    """What becomes of a mail."""

    left: dict[Local, list[int]]
    """Where it is kept as if there were no script."""
    work: Work
    rejected: dict[Local, Made]

    def refused(self, locals_: Locals, served: Collection[int], *, at_once: bool) -> dict[int, Refused]:
        """The recipients whose refusal is said, or reported, by who has the mail; of others the sender is
        told by a mail of the script's (RFC 5429 section 2.2).

        ``served``: recipients that others serve, too; ``at_once``: each refused recipient can be told in the
        protocol, without a mail."""
        found: dict[int, Refused] = {}
        for route, made in self.rejected.items():
            assert made.rejected is not None
            free = [number for number in locals_[route] if number not in served]
            if free and (made.rejected.extended or (at_once and is_sayable(made.rejected))):
                found |= {number: refusal(made.rejected) for number in free}
            else:
                made.refuse(made.rejected)
        return found


def is_sayable(action: Reject) -> bool:
    """Can its exact text be said in the protocol (RFC 5429 section 2.2)?"""
    return action.text.isascii() and len(_lines(action)) <= LINES


def refusal(action: Reject) -> Refused:
    """What a sender is told in the protocol, long lines as several ones (RFC 5429 section 2.5)."""
    return Refused("\n".join(_lines(action)) or "the recipient does not want this mail")


def _lines(action: Reject) -> list[str]:
    """Those of the reason, without empty ones around."""
    found: list[str] = []
    for line in action.text.replace("\r\n", "\n").strip().split("\n"):
        found += textwrap.wrap(line, LINE) if len(line) > LINE else [line.rstrip()]
    return found


async def gathered(
    filtering: Filtering,
    locals_: Locals,
    delivery: Callable[[Local, Sequence[int]], Delivery],
    work: Work | None = None,
) -> Gathered:
    """Run the scripts of all. ``delivery`` makes the mail for one mailbox; it is content 0 as it came."""
    found = Gathered({}, work or Work(first=1), {})
    for route, numbers in locals_.items():
        if not filtering.concerns((route,)):
            found.left[route] = list(numbers)
            continue
        made = await filtering(delivery(route, numbers), found.work)
        if made.plain:
            found.left[route] = list(numbers)
        if made.rejected is not None:
            found.rejected[route] = made
    return found


def packed(
    operations: Sequence[Operation], contents: Sequence[Content]
) -> tuple[tuple[Operation, ...], tuple[Content, ...]]:
    """Without the contents that nobody refers to: what is discarded is not stored."""
    used = sorted({each.content for each in operations if isinstance(each, Append | Enqueue)})
    if len(used) == len(contents):
        return tuple(operations), tuple(contents)
    place = {number: at for at, number in enumerate(used)}
    moved = [
        structs.replace(each, content=place[each.content]) if isinstance(each, Append | Enqueue) else each
        for each in operations
    ]
    return tuple(moved), tuple(contents[number] for number in used)
