"""NOTIFY (RFC 5465 section 8): which events of which mailboxes a client wants to hear of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.fetch import FetchItems, fetch_attributes
from a3mailer.wire.imap.parser import Parser

SELECTED: Final = frozenset((b"SELECTED", b"SELECTED-DELAYED"))
_NAMELESS: Final = frozenset((b"INBOXES", b"PERSONAL", b"SUBSCRIBED"))
_NAMING: Final = frozenset((b"SUBTREE", b"MAILBOXES"))
NEW: Final = b"MESSAGENEW"
EXPUNGE: Final = b"MESSAGEEXPUNGE"
FLAGS: Final = b"FLAGCHANGE"
ANNOTATION: Final = b"ANNOTATIONCHANGE"
NAME: Final = b"MAILBOXNAME"
SUBSCRIPTION: Final = b"SUBSCRIPTIONCHANGE"
METADATA: Final = b"MAILBOXMETADATACHANGE"
SERVER: Final = b"SERVERMETADATACHANGE"
MESSAGE_EVENTS: Final = frozenset((NEW, EXPUNGE, FLAGS, ANNOTATION))
SUPPORTED: Final = {
    NEW: b"MessageNew",
    EXPUNGE: b"MessageExpunge",
    FLAGS: b"FlagChange",
    NAME: b"MailboxName",
    SUBSCRIPTION: b"SubscriptionChange",
    METADATA: b"MailboxMetadataChange",
    SERVER: b"ServerMetadataChange",
}
"""Events there are here, as BADEVENT lists them: not AnnotationChange, that needs RFC 5257."""


@dataclass(frozen=True, slots=True)
class EventGroup:
    """One ``event-group``: ``which`` is the filter in upper case."""

    which: bytes
    names: tuple[str, ...] = ()
    events: frozenset[bytes] = frozenset()
    items: FetchItems | None = None
    """What is to be told of each new message of the selected mailbox."""


@dataclass(frozen=True, slots=True)
class NotifyRequest:
    """``NOTIFY SET``; no groups: ``NOTIFY NONE``."""

    status: bool = False
    groups: tuple[EventGroup, ...] = ()

    @property
    def unsupported(self) -> bool:
        """Whether there is an event that is not told here."""
        return any(group.events - SUPPORTED.keys() for group in self.groups)


# notify = "NOTIFY" SP (notify-set / notify-none)
# notify-set = "SET" [status-indicator] SP event-groups      notify-none = "NONE"
# status-indicator = SP "STATUS"      event-groups = event-group *(SP event-group)
def parse_notify(p: Parser) -> NotifyRequest:
    """What follows NOTIFY, to the end of the command. Errors: BadSyntax."""
    p.space()
    word = p.keyword()
    if word == b"NONE":
        p.end()
        return NotifyRequest()
    if word != b"SET":
        raise p.fail("SET or NONE expected")
    p.space()
    status = p.peek() != b"("
    if status:
        if p.keyword() != b"STATUS":
            raise p.fail("STATUS expected")
        p.space()
    groups = [_event_group(p)]
    while not p.done():
        p.space()
        if len(groups) >= limits.SOURCES:
            raise p.fail("too many event groups")
        groups.append(_event_group(p))
    if sum(group.which in SELECTED for group in groups) > 1:
        raise p.fail("only one of SELECTED and SELECTED-DELAYED is possible, once")
    return NotifyRequest(status, tuple(groups))


# event-group = "(" filter-mailboxes SP events ")"
# filter-mailboxes-selected = "selected" / "selected-delayed"
# filter-mailboxes-other = "inboxes" / "personal" / "subscribed" / ( "subtree" SP one-or-more-mailbox ) /
#                          ( "mailboxes" SP one-or-more-mailbox )
# one-or-more-mailbox = mailbox / many-mailboxes      many-mailboxes  = "(" mailbox *(SP mailbox) ")"
def _event_group(p: Parser) -> EventGroup:
    p.expect(b"(")
    which = p.keyword()
    names: tuple[str, ...] = ()
    if which in _NAMING:
        p.space()
        many = p.peek() == b"("
        names = p.parenthesised(p.mailbox, most=limits.SOURCES) if many else (p.mailbox(),)
    elif which not in SELECTED | _NAMELESS:
        raise p.fail("unknown filter of mailboxes")
    p.space()
    events, items = _events(p, selected=which in SELECTED)
    p.expect(b")")
    return EventGroup(which, names, events, items)


# events = ( "(" event *(SP event) ")" ) / "NONE"
# event = message-event / mailbox-event / user-event / event-ext
# message-event = ( "MessageNew" [SP "(" fetch-att *(SP fetch-att) ")" ] ) / "MessageExpunge" / "FlagChange"
#                 / "AnnotationChange"
def _events(p: Parser, *, selected: bool) -> tuple[frozenset[bytes], FetchItems | None]:
    if p.peek() != b"(":
        if p.keyword() != b"NONE":
            raise p.fail("events or NONE expected")
        return frozenset(), None
    found: list[FetchItems] = []

    def event() -> bytes:
        word = p.keyword()
        if word == NEW and p.octets[p.at : p.at + 2] == b" (":
            if not selected:
                raise p.fail("only of the selected mailbox messages are fetched")
            p.space()
            found.append(fetch_attributes(p))
        return word

    events = frozenset(p.parenthesised(event, most=limits.NOTIFY_EVENTS))
    if selected and events & (SUPPORTED.keys() - MESSAGE_EVENTS):
        raise p.fail("of the selected mailbox only events of messages are told")
    if (NEW in events) is not (EXPUNGE in events):
        raise p.fail("MessageNew and MessageExpunge go together")
    if events & {FLAGS, ANNOTATION} and NEW not in events:
        raise p.fail("FlagChange and AnnotationChange need MessageNew and MessageExpunge")
    return events, found[-1] if found else None
