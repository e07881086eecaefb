"""What SEARCH, SORT and THREAD share: the program, and the ESEARCH response (RFC 4731, 5267, 9394)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from a3mailer.access.labour import Labour
from a3mailer.access.search import Search
from a3mailer.access.view import View
from a3mailer.edge.imap import condstore
from a3mailer.edge.imap.session import Session
from a3mailer.mail.criteria import Arrived, Leaf, Nothing, Numbers, Operator, Program
from a3mailer.mail.errors import MailError
from a3mailer.wire.imap.encode import string
from a3mailer.wire.imap.errors import UidRequired
from a3mailer.wire.imap.search import Identified, InSet, IsRecent, Key, Partial, SearchRequest, Within
from a3mailer.wire.imap.sequence import print_set

FIRST_SECOND: Final = -(2**62)
LAST_SECOND: Final = 2**62
EXACT: Final = 100
LOOSE: Final = 50
"""Scores of messages that hold a text, and of those that hold its words."""


async def searched(session: Session, request: SearchRequest, labour: Labour) -> list[int]:
    """Places of the matching messages, ascending. Errors: TooCostly and others, BadSyntax."""
    try:
        return await places_in(session, session.view, request, labour)
    except MailError:
        unsave(session, request)
        raise


def unsave(session: Session, request: SearchRequest) -> None:
    """The search failed: what it was to save is empty (RFC 5182 section 2.1)."""
    if request.options is not None and b"SAVE" in request.options:
        session.chosen.saved = frozenset()


async def places_in(session: Session, view: View, request: SearchRequest, labour: Labour) -> list[int]:
    """Places in any view. Errors: TooCostly and others, BadSyntax."""
    if request.modseq:
        condstore.enable(session)
    program = resolved(session, view, request)
    return await Search(session.services.store, view, program, labour).places()


async def relevancies(
    session: Session, view: View, request: SearchRequest, places: Sequence[int], labour: Labour
) -> list[int]:
    """A score each, 1 to 100 (RFC 6203 section 4): what FUZZY keys say by the letter fits best."""
    program = resolved(session, view, replace(request, program=request.literal))
    try:
        exact = set(await Search(session.services.store, view, program, labour).places())
    except MailError:
        unsave(session, request)
        raise
    return [EXACT if at in exact else LOOSE for at in places]


def resolved(session: Session, view: View, request: SearchRequest) -> Program:
    """The program with its sequence sets as places of the view, and ages as dates. Errors: BadSyntax."""
    return tuple([_resolved(session, view, one) for one in request.program])


def _resolved(session: Session, view: View, key: Key) -> Leaf | Operator:
    if isinstance(key, InSet):
        if session.uid_only and not (key.uid or key.numbers.saved):
            raise UidRequired
        if key.uid and not key.numbers.saved:
            return Numbers(tuple(key.numbers.uid_spans(view.uids, view.count)))
        return Numbers(tuple(session.chosen.named(key.numbers, uid=key.uid)))
    if isinstance(key, IsRecent):
        return Numbers(view.recent)
    if isinstance(key, Identified):
        owner = 0 if view.mailbox.account == session.account else view.mailbox.account
        return key.leaf if key.owner == owner else Nothing()
    if isinstance(key, Within):
        then = int(session.services.clock.now()) - key.seconds
        return Arrived(FIRST_SECOND, then + 1) if key.older else Arrived(then, LAST_SECOND)
    return key


def save(session: Session, request: SearchRequest, options: frozenset[bytes], places: Sequence[int]) -> None:
    """Remember the result as ``$``: with MIN, MAX or PARTIAL but neither ALL nor COUNT, only those (RFC 5182
    section 2.4, RFC 9394 section 3.2)."""
    uids = session.view.uids
    session.chosen.saved = frozenset(uids[at] for at in _told(places, options, request.partial))


def numbers_of(view: View, places: Sequence[int], *, uid: bool) -> list[int]:
    """Of each place the UID, or the message sequence number."""
    if not uid:
        return [at + 1 for at in places]
    uids = view.uids
    return [uids[at] for at in places]


# esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
def extended(
    session: Session,
    request: SearchRequest,
    places: Sequence[int],
    *,
    uid: bool,
    options: frozenset[bytes] | None = None,
    view: View | None = None,
    place: bytes = b"",
    scores: Sequence[int] = (),
) -> bytes:
    """The ESEARCH response for places in the order of the result; the least is the first of them.

    ``place``: the correlators of another mailbox than the selected one, whose ``view`` it is."""
    view = view or session.view
    wanted = options or request.options or frozenset()
    numbers = numbers_of(view, places, uid=uid)
    words = [b"* ESEARCH (TAG %b%b)" % (string(session.tag), place)]
    if uid:
        words.append(b"UID")
    if b"COUNT" in wanted:
        words.append(b"COUNT %d" % len(numbers))
    if numbers:
        if b"MIN" in wanted:
            words.append(b"MIN %d" % numbers[0])
        if b"MAX" in wanted:
            words.append(b"MAX %d" % numbers[-1])
        if b"ALL" in wanted:
            words.append(b"ALL %b" % print_set(numbers))
    low, high = (0, len(numbers)) if request.partial is None else request.partial.span(len(numbers))
    if scores:  # of the results that are told
        words.append(b"RELEVANCY (%b)" % b" ".join([b"%d" % score for score in scores[low:high]]))
    if request.partial is not None:
        words.append(b"PARTIAL (%b %b)" % (request.partial.text, print_set(numbers[low:high]) or b"NIL"))
    if request.modseq and (told := _told(places, wanted, request.partial)):
        words.append(b"MODSEQ %d" % highest(view, told))
    return b" ".join(words) + b"\r\n"


def _told(places: Sequence[int], options: frozenset[bytes], partial: Partial | None) -> Sequence[int]:
    """Which of the results are told of, one by one (RFC 4731 section 3.2)."""
    if options & {b"ALL", b"COUNT"} or not (partial or options & {b"MIN", b"MAX"}):
        return places
    told: list[int] = []
    if partial is not None:
        low, high = partial.span(len(places))
        told += places[low:high]
    if places and b"MIN" in options:
        told.append(places[0])
    if places and b"MAX" in options:
        told.append(places[-1])
    return told


def highest(view: View, places: Sequence[int]) -> int:
    """The highest mod-sequence of some messages."""
    return max(view.flags(at)[2] for at in places)
