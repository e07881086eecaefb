"""MESSAGELIMIT (RFC 9738): a command works on so many messages, the newest of those it names.

The code it ends with then says which was the lowest; the client goes on below it. Where the tagged answer
has a code of its own, this one comes before it in an untagged NO (section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from a3mailer.access.view import View
from a3mailer.edge.imap.response import DONE, Completed, Failed
from a3mailer.edge.imap.searching import resolved
from a3mailer.edge.imap.session import Session
from a3mailer.mail.criteria import Nothing, Numbers, Operator, Program
from a3mailer.wire.imap.limits import NUMBER32
from a3mailer.wire.imap.search import InSet, SearchRequest
from a3mailer.wire.imap.sequence import SequenceSet, Span, merged


# resp-text-code =/ "MESSAGELIMIT" SP message-limit [SP uniqueid]
def code(most: int, lowest: int = 0) -> bytes:
    """The response code; ``lowest`` is the lowest uid that was worked on."""
    return b"MESSAGELIMIT %d %d" % (most, lowest) if lowest else b"MESSAGELIMIT %d" % most


def most(session: Session) -> int:
    """Messages of one command."""
    return session.services.settings.imap.message_limit


def newest(session: Session, view: View, spans: list[Span]) -> tuple[list[Span], bytes]:
    """Of ascending spans of places the last so many, and the code; b"" where that is all of them."""
    left = most(session)
    if view.count <= left or sum(high - low for low, high in spans) <= left:
        return spans, b""
    kept: list[Span] = []
    for low, high in reversed(spans):
        low = max(low, high - left)
        kept.append((low, high))
        left -= high - low
        if not left:
            break
    kept.reverse()
    return kept, code(most(session), view.uids[kept[0][0]])


def latest(session: Session, uids: Sequence[int]) -> tuple[Sequence[int], bytes]:
    """The same of ascending uids."""
    count = most(session)
    return (uids, b"") if len(uids) <= count else (uids[-count:], code(count, uids[-count]))


def ended(session: Session, said: bytes, end: Completed = DONE) -> Completed:
    """How a command ends that did not work on all of its messages; as ``end`` says when it did."""
    if not said:
        return end
    if not end.code:
        return Completed(said, b"that was all that one command does")
    session.write(b"* NO [%b] that was all that one command does\r\n" % said)
    return end


def failed(session: Session, said: bytes, end: Failed) -> Failed:
    """The same where the end is NO with a code of its own."""
    if said:
        session.write(b"* NO [%b] that was all that one command does\r\n" % said)
    return end


def refused(said: bytes) -> Failed:
    """Of commands that do all or nothing."""
    return Failed(said, b"those are too many messages for one command")


def narrowed(session: Session, request: SearchRequest) -> tuple[SearchRequest, bytes]:
    """A search of the newest of the messages that it has to look at, and the code (section 3.1)."""
    view = session.view
    if view.count <= most(session):
        return request, b""
    spans, said = newest(session, view, examined(resolved(session, view, request), view.count))
    if not said:
        return request, b""
    only = (InSet(SequenceSet(((view.uids[spans[0][0]], NUMBER32),)), uid=True), Operator.AND)
    literal = (*request.literal, *only) if request.literal else ()
    return replace(request, program=(*request.program, *only), literal=literal), said


def examined(program: Program, count: int) -> list[Span]:
    """The places of ``count`` that a program has to look at: what its sequence sets leave of them."""
    every: list[Span] = [(0, count)]
    stack: list[list[Span]] = []
    for one in program:
        if one is Operator.NOT:
            stack[-1] = every
        elif isinstance(one, Operator):
            second, first = stack.pop(), stack.pop()
            stack.append(both(first, second) if one is Operator.AND else merged([*first, *second]))
        elif isinstance(one, Nothing):
            stack.append([])
        else:
            stack.append(list(one.spans) if isinstance(one, Numbers) else every)
    return stack[0] if stack else every


def both(first: list[Span], second: list[Span]) -> list[Span]:
    """What is in both of two lists of ascending spans."""
    found: list[Span] = []
    a = b = 0
    while a < len(first) and b < len(second):
        low, high = max(first[a][0], second[b][0]), min(first[a][1], second[b][1])
        if low < high:
            found.append((low, high))
        if first[a][1] < second[b][1]:
            a += 1
        else:
            b += 1
    return found
