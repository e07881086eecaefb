"""The selected mailbox of a session, and the untagged responses that tell what happened in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from a3mailer.access.recents import added, holds
from a3mailer.access.rights import mask_of
from a3mailer.access.view import Glance, News, View
from a3mailer.mail.errors import MailError
from a3mailer.mail.flags import RECENT, SYSTEM_FLAGS
from a3mailer.mail.ids import AccountId, MailboxId, Uid
from a3mailer.mail.rights import ALL_RIGHTS
from a3mailer.store.operations import Notice, Noticed
from a3mailer.store.ports import Store, Transaction
from a3mailer.store.rows import Mailbox, Message
from a3mailer.telemetry.events import emit
from a3mailer.wire.imap.encode import flag_list
from a3mailer.wire.imap.sequence import SequenceSet, Span, print_set

MAX_SPLIT = 1000
"""Lines of news between two looks at the socket."""


OWN: Final = -1
ABOVE_ALL: Final = 1 << 32
"""Above every uid."""
WRITING: Final = frozenset("iewt")
"""Rights without which a mailbox is read-only: to change what others see (RFC 4314 section 5.2)."""
NAMED: Final = tuple(
    (name, SYSTEM_FLAGS[name]) for name in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
)
NOTHING_AHEAD: Final[Mapping[int, Message]] = {}


class Updates(Protocol):
    """Searches whose results the client wants to be told of as they change (``updating``, RFC 5267)."""

    def removed(self) -> None:
        """Before the news of the mailbox: write what of these results was expunged."""
        ...

    async def changed(self) -> None:
        """After them: write what came and went otherwise. Errors: none of the store's."""
        ...


class Selected:
    """A view with what SELECT said about it."""

    __slots__ = (
        "_recent",
        "ahead",
        "generation",
        "last",
        "name",
        "noticed",
        "read_only",
        "rights",
        "saved",
        "streak",
        "updates",
        "view",
        "words",
    )  # fmt: skip

    def __init__(
        self, view: View, name: str, *, read_only: bool, rights: str = ALL_RIGHTS, generation: int = OWN
    ) -> None:
        self.view = view
        self.name = name
        self.read_only = read_only
        """It was examined."""
        self.rights = rights
        """What the user may do with it (RFC 4314)."""
        self.generation = generation
        """Of ``access.rights``, when these were looked at; OWN of a mailbox of the user's own."""
        self.ahead = NOTHING_AHEAD
        """Rows read ahead, by uid, for a client that fetches one message after the other."""
        self.last = -1
        """The place of the last message fetched alone."""
        self.streak = 0
        """How many were fetched alone, each the one after the other."""
        self.saved: frozenset[int] = frozenset()
        """Uids of the last SEARCH RETURN (SAVE) (RFC 5182)."""
        self.noticed = ABOVE_ALL
        """Which messages below this uid are recent is known; ABOVE_ALL: nobody asks."""
        self._recent = 0
        """How many are, as of then; exact where the columns are not there."""
        self.updates: Updates | None = None
        """None until a search asks for UPDATE."""
        self.words = 0
        """How many of the mailbox's keywords FLAGS has named."""

    def shrink(self) -> None:
        """Forget what was read ahead; for a session at rest."""
        self.ahead = NOTHING_AHEAD

    @property
    def account(self) -> AccountId:
        """Whose it is."""
        return self.view.mailbox.account

    @property
    def key(self) -> tuple[AccountId, MailboxId]:
        """Owner and number."""
        return self.view.mailbox.account, self.view.mailbox.id

    @property
    def reader(self) -> AccountId:
        """Who sees it so, where it is another's; SYSTEM_ACCOUNT where it is the user's own."""
        return self.view.mailbox.reader

    @property
    def keeps(self) -> bytes:
        """The flags that the user may change, for PERMANENTFLAGS."""
        if self.read_only:
            return b""
        mask, words = mask_of(self.rights)
        kept = [name.encode("ascii") for name, bit in NAMED if mask & bit]
        if words:
            kept += [*(word.encode("ascii") for word in self.view.mailbox.keywords), b"\\*"]
        return b" ".join(kept)

    @property
    def mailbox(self) -> MailboxId:
        return self.view.mailbox.id

    @property
    def writes(self) -> bool:
        """Whether it is READ-WRITE."""
        return not self.read_only and not WRITING.isdisjoint(self.rights)

    @property
    def recent(self) -> int:
        """How many of the messages that the client was told of are recent."""
        view = self.view
        return sum(high - low for low, high in view.recent) if view.mailbox.loaded else self._recent

    @property
    def behind(self) -> bool:
        """Whether something happened that is not known yet, or whether new messages are recent is not."""
        mailbox = self.view.mailbox
        return mailbox.stale or mailbox.uid_next > self.noticed

    async def notice(self, store: Store) -> None:
        """New messages are recent for the session that is told of them first (RFC 3501 section 2.3.2).

        Who may not write says so, too, without a trace; and so does who cannot."""
        mailbox = self.view.mailbox
        first, until = max(self.noticed, mailbox.noticed), mailbox.uid_next
        self.noticed = max(self.noticed, until)
        if first >= until:
            return
        try:
            if self.writes:
                notice = Notice(mailbox.account, mailbox.id, Uid(until))
                (found,) = await store.commit(Transaction((notice,)))
                assert isinstance(found, Noticed)
            else:
                row = await store.mailbox(mailbox.account, mailbox.id)
                found = Noticed(row.noticed, Uid(until))
                mailbox.noticed = max(mailbox.noticed, row.noticed)
        except MailError as error:  # nobody knows whether others were told (same section)
            emit("imap.recent.unknown", level="debug", account=mailbox.account, error=str(error))
            found = Noticed(Uid(first), Uid(until))
        self.take(found, first)
        self._recent = await mailbox.count(self.view.recents)

    def noticing(self, target: Mailbox) -> tuple[Notice, ...]:
        """What goes with messages that the session itself puts into a mailbox: it is told of them first."""
        if self.noticed == ABOVE_ALL or not self.writes or self.key != (target.account, target.id):
            return ()
        return (Notice(target.account, target.id),)

    def take(self, found: Noticed, above: int = 0) -> None:
        """The answer: these are recent, as far as they were not known of."""
        first = max(found.first, above or self.noticed)
        self.noticed = max(self.noticed, found.until)
        if self.writes:
            self.view.mailbox.noticed = max(self.view.mailbox.noticed, found.until)
        self.view.recents = added(self.view.recents, first, found.until)
        self._recent += max(found.until - first, 0)

    def spans(self, numbers: SequenceSet, *, uid: bool) -> list[Span]:
        """Places in the map that a sequence set means. Errors: BadSyntax."""
        view = self.view
        if numbers.saved:
            places = sorted(at for at in map(view.place, self.saved) if at >= 0)
            return runs(places)
        if uid:
            return numbers.uid_spans(view.uids, view.count)
        return numbers.spans(view.count)

    def named(self, numbers: SequenceSet, *, uid: bool) -> list[Span]:
        """The same in a search, where numbers that no message has mean nothing (RFC 7377 section 2)."""
        if uid or numbers.saved:
            return self.spans(numbers, uid=uid)
        count = self.view.count
        return [(low - 1, min(high, count)) for low, high in numbers.bounds(count) if 0 < low <= count]


def flags_lines(selected: Selected) -> bytes:
    """``* FLAGS`` and PERMANENTFLAGS, which the client knows from now on."""
    selected.words = len(selected.view.mailbox.keywords)
    names = [name.encode("ascii") for name, _bit in NAMED]
    words = b" ".join((*names, *(word.encode("ascii") for word in selected.view.mailbox.keywords)))
    return b"* FLAGS (%b)\r\n* OK [PERMANENTFLAGS (%b)] flags that are kept\r\n" % (words, selected.keeps)


def runs(places: Iterable[int]) -> list[Span]:
    """Ascending places as spans."""
    spans: list[Span] = []
    for at in places:
        if spans and spans[-1][1] == at:
            spans[-1] = (spans[-1][0], at + 1)
        else:
            spans.append((at, at + 1))
    return spans


def news_lines(
    view: View,
    news: News,
    *,
    qresync: bool,
    condstore: bool,
    recent: int,
    uid_only: bool,
    uid: bool = False,
) -> bytes:
    """EXPUNGE or VANISHED, then EXISTS, then FETCH of changed flags (RFC 9051 section 7.4, RFC 7162).

    ``recent``: how many are; -1 in revision 2."""
    out: list[bytes] = []
    if news.vanished:
        if qresync or uid_only:
            out.append(b"* VANISHED %b\r\n" % print_set(news.vanished))
        else:  # each number is that after the expunges said before it
            out += (b"* %d EXPUNGE\r\n" % (at + 1) for at in reversed(news.places))
    if news.exists >= 0:
        out.append(b"* %d EXISTS\r\n" % news.exists)
        if recent >= 0:
            out.append(b"* %d RECENT\r\n" % recent)
    uid = uid or qresync or condstore
    out += (flags_line(view, at, uid=uid, modseq=condstore, only=uid_only) for at in news.changed)
    return b"".join(out)


def named(view: View, place: int, *, uid: bool, only: bool) -> bytes:
    """``n FETCH (`` with UID where asked for; or, where uids are all a client knows, ``uid UIDFETCH (``."""
    return _named(place, view.uids[place], uid=uid, only=only)


def _named(place: int, number: int, *, uid: bool, only: bool) -> bytes:
    if only:  # RFC 9586 section 3.3
        return b"%d UIDFETCH (" % number
    return b"%d FETCH (UID %d " % (place + 1, number) if uid else b"%d FETCH (" % (place + 1)


def glanced_lines(view: View, glance: Glance, wanted: Iterable[int], *, only: bool) -> list[bytes]:
    """``* n FETCH (UID n FLAGS (...) MODSEQ (n))`` of those of the changed messages that are ``wanted``."""
    changed = glance.changed
    lines: list[bytes] = []
    for at in wanted:
        uid = changed.uids[at]
        name = _named(glance.places[at], uid, uid=True, only=only)
        recent = RECENT if holds(view.recents, uid) else 0
        flags = flag_list(changed.flags[at] | recent, changed.keywords.get(uid, ""))
        lines.append(b"* %bFLAGS (%b) MODSEQ (%d))\r\n" % (name, flags, changed.modseqs[at]))
    return lines


def flags_line(view: View, place: int, *, uid: bool, modseq: bool, only: bool) -> bytes:
    """``* n FETCH (FLAGS (...))``, with UID and MODSEQ where asked for."""
    bits, words, changed = view.shown(place)
    return b"* %bFLAGS (%b)%b)\r\n" % (
        named(view, place, uid=uid, only=only),
        flag_list(bits, words),
        b" MODSEQ (%d)" % changed if modseq else b"",
    )
