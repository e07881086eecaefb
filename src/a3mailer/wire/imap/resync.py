"""Parameters of SELECT and EXAMINE (RFC 7162 section 7): CONDSTORE, QRESYNC."""

from __future__ import annotations

from dataclasses import dataclass

from a3mailer.wire.imap import limits
from a3mailer.wire.imap.parser import Parser
from a3mailer.wire.imap.sequence import SequenceSet, parse_sequence_set


@dataclass(frozen=True, slots=True)
class Resync:
    """What a client remembers of a mailbox: changes since then are asked for."""

    uid_validity: int
    modseq: int
    known_uids: SequenceSet | None = None
    numbered: bool = False
    """Sequence numbers were named beside them."""


@dataclass(frozen=True, slots=True)
class SelectOptions:
    condstore: bool = False
    resync: Resync | None = None


# select-params = SP "(" select-param *(SP select-param) ")"
# select-param =/ "CONDSTORE" / "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids]
#                 [SP seq-match-data] ")"
def parse_select_options(p: Parser) -> SelectOptions:
    """The parameters after the mailbox, if any. Errors: BadSyntax."""
    if p.done():
        return SelectOptions()
    p.space()
    p.expect(b"(")
    condstore = False
    resync = None
    while True:
        word = p.keyword()
        if word == b"CONDSTORE":
            condstore = True
        elif word == b"QRESYNC" and resync is None:
            p.space()
            resync = _resync(p)
        else:
            raise p.fail("unknown SELECT parameter")
        if p.take(b")"):
            return SelectOptions(condstore, resync)
        p.space()


def _resync(p: Parser) -> Resync:
    p.expect(b"(")
    uid_validity = p.nz_number()
    p.space()
    modseq = p.nz_number(limits.NUMBER64)
    known = None
    if p.octets[p.at : p.at + 2] not in (b")", b" (") and p.take(b" "):
        known = parse_sequence_set(p, star=False)
    numbered = p.take(b" ")
    if numbered:  # seq-match-data helps servers without tombstones; ours has them
        p.expect(b"(")
        parse_sequence_set(p, star=False)
        p.space()
        parse_sequence_set(p, star=False)
        p.expect(b")")
    p.expect(b")")
    return Resync(uid_validity, modseq, known, numbered)
