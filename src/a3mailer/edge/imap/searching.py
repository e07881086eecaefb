"""What SEARCH, SORT and THREAD share: running the program, and the ESEARCH response (RFC 4731, RFC 5267)."""

from __future__ import annotations

from collections.abc import Sequence

from a3mailer.access.labour import Labour
from a3mailer.access.search import Search
from a3mailer.edge.imap.session import Session
from a3mailer.mail.criteria import Numbers, Program
from a3mailer.mail.errors import MailError
from a3mailer.wire.imap.encode import string
from a3mailer.wire.imap.search import InSet, SearchRequest
from a3mailer.wire.imap.sequence import print_set


async def searched(session: Session, request: SearchRequest, labour: Labour) -> list[int]:
    """Places of the matching messages, ascending. Errors: TooCostly and others, BadSyntax."""
    session.condstore |= request.modseq
    try:
        return await Search(session.services.store, session.view, resolved(session, request), labour).places()
    except MailError:
        if request.options is not None and b"SAVE" in request.options:
            session.chosen.saved = frozenset()  # RFC 5182 section 2.1
        raise


def resolved(session: Session, request: SearchRequest) -> Program:
    """The program with its sequence sets as places of the view. Errors: BadSyntax."""
    chosen = session.chosen
    return tuple(
        Numbers(tuple(chosen.spans(one.numbers, uid=one.uid))) if isinstance(one, InSet) else one
        for one in request.program
    )


def save(session: Session, options: frozenset[bytes], places: Sequence[int]) -> None:
    """Remember the result as ``$``. RFC 5182 section 2.4: with MIN or MAX but neither ALL nor COUNT, only
    those are saved."""
    if not options & {b"ALL", b"COUNT"} and options & {b"MIN", b"MAX"}:
        places = _ends(places, options)
    uids = session.view.uids
    session.chosen.saved = frozenset(uids[at] for at in places)


# esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
def extended(
    session: Session,
    request: SearchRequest,
    places: Sequence[int],
    *,
    uid: bool,
    options: frozenset[bytes] | None = None,
) -> bytes:
    """The ESEARCH response for places in the order of the result; the least is the first of them."""
    wanted = options or request.options or frozenset()
    uids = session.view.uids
    numbers = [uids[at] for at in places] if uid else [at + 1 for at in places]
    words = [b"* ESEARCH (TAG %b)" % string(session.tag)]
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
        if request.modseq:
            words.append(b"MODSEQ %d" % highest(session, _told(places, wanted)))
    return b" ".join(words) + b"\r\n"


def _told(places: Sequence[int], options: frozenset[bytes]) -> Sequence[int]:
    """RFC 4731 section 3.2: whose mod-sequences the highest is of."""
    if options & {b"ALL", b"COUNT"}:
        return places
    return _ends(places, options)


def _ends(places: Sequence[int], options: frozenset[bytes]) -> Sequence[int]:
    ends: list[int] = []
    if places and b"MIN" in options:
        ends.append(places[0])
    if places and b"MAX" in options:
        ends.append(places[-1])
    return ends or places


def highest(session: Session, places: Sequence[int]) -> int:
    """The highest mod-sequence of some messages."""
    return max(session.view.flags(at)[2] for at in places)
