"""STORE and UID STORE (RFC 9051 section 6.4.6) with UNCHANGEDSINCE (RFC 7162 section 3.1.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from msgspec.structs import replace

from a3mailer.access.keywords import spelled
from a3mailer.access.rights import mask_of
from a3mailer.access.view import View
from a3mailer.edge.imap import condstore, events, state
from a3mailer.edge.imap.commands.expunge import NO_RIGHT, READ_ONLY
from a3mailer.edge.imap.limiting import ended, newest
from a3mailer.edge.imap.response import DONE, Completed, Failed
from a3mailer.edge.imap.selected import Selected, flags_line, named
from a3mailer.edge.imap.session import Session
from a3mailer.mail.flags import keywords_text
from a3mailer.mail.ids import Uid
from a3mailer.store.operations import Flagged, StoreFlags
from a3mailer.wire.imap.flags import FlagList, parse_flags
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import SequenceSet, Span, parse_sequence_set, print_set

_MODES: Final = {
    b"FLAGS": ("=", False),
    b"FLAGS.SILENT": ("=", True),
    b"+FLAGS": ("+", False),
    b"+FLAGS.SILENT": ("+", True),
    b"-FLAGS": ("-", False),
    b"-FLAGS.SILENT": ("-", True),
}
REMEMBERED: Final = 64
"""Spellings whose meaning is kept."""
REMEMBERED_OCTETS: Final = 128
"""Longer ones are read anew."""
ANSWERS_AT_ONCE: Final = 1000
"""FETCH lines between two looks at the socket."""


@dataclass(frozen=True, slots=True)
class Store:
    name: ClassVar = b"STORE"
    action: ClassVar = "message.flag"
    states: ClassVar = state.SELECTED
    messages: SequenceSet
    mode: str
    silent: bool
    flags: FlagList
    unchanged_since: int
    uid: bool

    # store = "STORE" SP sequence-set [SP store-modifiers] SP store-att-flags
    # store-modifier =/ "UNCHANGEDSINCE" SP mod-sequence-valzer
    # store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
    @classmethod
    def parse(cls, p: Parser, *, uid: bool = False) -> Store:
        p.space()
        messages = parse_sequence_set(p)
        p.space()
        rest = p.octets[p.at :]
        change = remembered(rest) if len(rest) <= REMEMBERED_OCTETS else read(rest)
        return cls(messages, *change, uid)

    @property
    def expunges(self) -> bool:
        return self.uid

    async def run(self, session: Session) -> Completed | Failed:
        selected = session.chosen
        if selected.read_only:
            return READ_ONLY
        if selected.reader and not self._allowed(selected):
            return NO_RIGHT
        if self.unchanged_since >= 0:
            condstore.enable(session)
        spans = session.chosen.spans(self.messages, uid=self.uid)
        spans, limit = newest(session, session.view, spans)
        if not spans:
            return DONE
        uids = session.view.uids
        wanted = tuple(Uid(uids[at]) for low, high in spans for at in range(low, high))
        had = await events.before(session, wanted)
        flagged = await self._commit(session, wanted)
        session.name_keywords()
        for octets in self._told(session, spans, flagged):
            session.write(octets)
            if session.full:
                await session.flush()
        await events.flagged(session, had, flagged.changed)
        if flagged.refused:
            modified = b"MODIFIED %b" % self._refused(session.view, flagged)
            return ended(session, limit, Completed(modified, b"some had changed"))
        return ended(session, limit)

    def _allowed(self, selected: Selected) -> bool:
        """RFC 4314 section 4: one flag that may be changed is enough."""
        mask, words = mask_of(selected.rights)
        if self.mode == "=":
            return bool(mask)
        return bool(self.flags.bits & mask or (self.flags.keywords and words))

    async def _commit(self, session: Session, wanted: tuple[Uid, ...]) -> Flagged:
        view = session.view
        bits, keywords = self.flags.bits, spelled(self.flags.keywords, view.mailbox.keywords)
        selected = session.chosen
        change = StoreFlags(
            selected.account, selected.mailbox, wanted, self.mode, bits, keywords, self.unchanged_since
        )
        if selected.reader:
            mask, words = mask_of(selected.rights)
            change = replace(change, reader=selected.reader, mask=mask, words=words)
        mailbox, made = view.mailbox, changer(self.mode, bits, keywords)
        foreseen = mailbox.foresee(wanted, made) if self.silent else {}
        (result,) = await session.commit(change)
        assert isinstance(result, Flagged)
        if result.changed:
            if selected.reader or not mailbox.flagged(result.changed, result.modseq, made):
                mailbox.hint(result.modseq)
                await mailbox.refresh()
                silent = result.changed if self.silent else ()
                if mailbox.foresee(silent, kept).items() - foreseen.items():
                    return result  # somebody was faster, and .SILENT has not told what became of it
            view.own(result.modseq)
        return result

    def _told(self, session: Session, spans: list[Span], flagged: Flagged) -> list[bytes]:
        """FETCH responses: for all that were asked for, or with .SILENT only their new MODSEQ."""
        view = session.view
        if self.silent and not session.condstore:
            return []
        refused = frozenset(flagged.refused)
        changed = frozenset(flagged.changed)
        uids = view.uids
        places = [at for low, high in spans for at in range(low, high) if uids[at] not in refused]
        if self.silent:
            return [
                modseq_line(view, at, uid=self.uid or session.qresync, only=session.uid_only)
                for at in places
                if uids[at] in changed
            ]
        uid = self.uid or session.qresync
        return [
            b"".join(
                flags_line(view, at, uid=uid, modseq=session.condstore, only=session.uid_only)
                for at in places[first : first + ANSWERS_AT_ONCE]
            )
            for first in range(0, len(places), ANSWERS_AT_ONCE)
        ]

    def _refused(self, view: View, flagged: Flagged) -> bytes:
        if self.uid:
            return print_set(flagged.refused)
        return print_set(view.place(uid) + 1 for uid in flagged.refused)


def read(rest: bytes) -> tuple[str, bool, FlagList, int]:
    """What follows the sequence set: mode, .SILENT, flags, UNCHANGEDSINCE. Errors: BadSyntax."""
    p = Parser(rest)
    unchanged_since = -1
    if p.take(b"("):
        if p.keyword() != b"UNCHANGEDSINCE":
            raise p.fail("unknown STORE modifier")
        p.space()
        unchanged_since = p.number64()
        p.expect(b")")
        p.space()
    mode, silent = p.word_of(_MODES, "STORE item")
    p.space()
    flags = parse_flags(p)
    p.end()
    return mode, silent, flags, unchanged_since


remembered = lru_cache(REMEMBERED)(read)
"""Clients set the same flags again and again."""


def modseq_line(view: View, place: int, *, uid: bool, only: bool) -> bytes:
    """``* n FETCH (MODSEQ (m))``: what .SILENT still says under CONDSTORE."""
    return b"* %bMODSEQ (%d))\r\n" % (named(view, place, uid=uid, only=only), view.flags(place)[2])


def kept(bits: int, words: str) -> tuple[int, str]:
    """Flags as they are."""
    return bits, words


def changer(mode: str, bits: int, keywords: tuple[str, ...]) -> Callable[[int, str], tuple[int, str]]:
    """What the store does to the flags of one message, for the columns in memory."""
    words = set(keywords)

    def change(had: int, text: str) -> tuple[int, str]:
        if mode == "=":
            return bits, keywords_text(keywords)
        if mode == "+":
            return had | bits, keywords_text((*text.split(), *words)) if words else text
        return had & ~bits, keywords_text(tuple(set(text.split()) - words)) if words else text

    return change
