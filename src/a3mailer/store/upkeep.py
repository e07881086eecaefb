"""The doors of upkeep beside ``ports.Store``: finding damage, mending, copying a store as of one commit.

They block, so they are for commands and threads, never for a loop. Reading a store that is being served is
allowed throughout; mending and restoring are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from a3mailer.mail.ids import AccountId
from a3mailer.store.ports import MailReader
from a3mailer.store.texts import TextCounts

Progress = Callable[[str, int, int], None]
"""(what is being done, done, of how much; 0 where unknown)."""


def silent(_what: str, _done: int, _total: int) -> None:
    """A ``Progress`` that tells nobody."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One class of damage. Names are a promise to scripts."""

    name: str
    repairable: bool
    means: str


KINDS: Final = (
    Kind("key-file-missing", False, "the file of key-encryption keys is gone: restore it from a backup"),
    Kind("key-file-damaged", False, "the file of key-encryption keys cannot be understood"),
    Kind("key-file-mode", True, "others than its owner may read the file of key-encryption keys"),
    Kind("database-missing", False, "the database file is gone: restore from a backup"),
    Kind("database-damaged", False, "pages of the database are damaged: restore from a backup"),
    Kind("migration-altered", False, "a migration was applied in another form than this version has"),
    Kind("migration-newer", False, "the database was written by a newer version"),
    Kind("table-missing", False, "the database lacks a table"),
    Kind("index-missing", True, "the database lacks an index"),
    Kind("index-damaged", True, "an index of the database does not fit its table"),
    Kind(
        "key-damaged", False, "the key of an account or tenant cannot be opened: its contents cannot be read"
    ),
    Kind("content-key-damaged", False, "the key of one content cannot be opened: that mail cannot be read"),
    Kind("segment-missing", False, "a file of contents is gone"),
    Kind("segment-truncated", False, "a file of contents is shorter than what it holds"),
    Kind("segment-zeroed", False, "a file of contents holds nothing but zeros where mail was"),
    Kind("segment-header", True, "the first block of a file of contents is damaged; its mail is not"),
    Kind("record-damaged", False, "one content does not match its checksum"),
    Kind("content-damaged", False, "one content matches its checksum and cannot be opened"),
    Kind("content-missing", False, "a mail, vault or queue row refers to a content that is not there"),
    Kind(
        "dictionary-missing", False, "a compression dictionary is gone: what was made with it cannot be read"
    ),
    Kind("fragments-missing", True, "a message lacks its precomputed fragments"),
    Kind("fragments-differ", True, "precomputed fragments are not those of the content"),
    Kind("reference-unused", True, "a content is kept that nothing refers to"),
    Kind("reference-count", True, "the number of references an account has to a content is wrong"),
    Kind("email-copies", True, "the number of rows that hold an email is wrong"),
    Kind("mailbox-counters", True, "the stored counters of a mailbox are wrong"),
    Kind("account-usage", True, "the stored usage of an account is wrong"),
    Kind("segment-usage", True, "the stored usage of a file of contents is wrong"),
    Kind("uid-order", True, "a uid is not below UIDNEXT, or is both live and expunged"),
    Kind("uid-validity", True, "UIDVALIDITY of a mailbox is above the last one given, or given twice"),
    Kind("modseq-order", True, "a modseq is above that of its mailbox or account"),
    Kind("row-orphaned", False, "a row belongs to an account or mailbox that is not there"),
    Kind("mailbox-lost", False, "an account has no INBOX"),
    Kind("queue-broken", False, "a queue entry without recipients, or recipients without an entry"),
    Kind("address-broken", False, "an address and the account it leads to do not agree"),
    Kind("left-over", True, "a temporary file of a process that is gone"),
    Kind("certificate-unusable", False, "a certificate cannot be read, or its key does not fit"),
    Kind("certificate-ends", False, "the certificate that is shown has ended, or ends within days"),
    Kind("email-place", True, "a message is not found by the number of its email"),
    Kind("seen-marks", True, "what a reader of a shared mailbox has seen is counted wrong, or of no message"),
    Kind("unique-id", True, "two messages of INBOX have one unique-id of POP3"),
)
"""Every class there is, the gravest first."""
KIND: Final = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``kind`` is a name of ``KINDS``, ``where`` says which file, row or mail."""

    kind: str
    where: str
    text: str = ""

    @property
    def repairable(self) -> bool:
        """Whether ``Upkeep.repair`` can put it right without losing anything."""
        return KIND[self.kind].repairable


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a copy: ``octets`` has to be read before the next member is asked for."""

    name: str
    """A relative path of plain segments; never absolute, never upwards."""
    size: int
    octets: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds. ``damaged`` are the contents that could not be copied whole."""

    commit: int
    contents: int
    octets: int
    damaged: tuple[Finding, ...]


class Snapshot(Protocol):
    """A store as of one commit, while it goes on."""

    def members(self, progress: Progress) -> Iterator[Member]:
        """Everything a ``Receiver`` needs, in the order it needs it."""
        ...

    def result(self) -> Copied:
        """What was copied; complete when ``members`` is exhausted."""
        ...


class Unfit(Exception):
    """A copy that cannot be restored, or a directory that cannot take one; the text says why."""


class Receiver(Protocol):
    """The other end of a ``Snapshot``: makes a store of its members, or only proves them."""

    def take(self, member: Member) -> None:
        """Errors: Unfit."""
        ...

    def finish(self) -> tuple[Finding, ...]:
        """Everything was taken. What of it is damaged or missing. Errors: Unfit."""
        ...


class Compactor(Protocol):
    """What an open store with contents in files does for itself now and then, on its loop."""

    async def compact(self, seconds: float, /) -> int:
        """Give back room of contents that are gone, for about so long; octets freed. Errors: TryLater."""
        ...


class Trainer(Protocol):
    """What an open store that compresses contents does for itself now and then, on its loop."""

    async def train_dictionaries(self) -> int:
        """Compression dictionaries where there is enough mail; how many were made. Errors: TryLater."""
        ...


class TextKeeper(Protocol):
    """The work on the index of texts (``ports.TextReader``), off the path of deliveries; one an instance."""

    async def behind(self) -> list[AccountId]:
        """Accounts whose index is not up to date, or that are gone and have one."""
        ...

    async def index(self, account: AccountId) -> int:
        """Take some mails into the index; how many were looked at, 0 when none is left.

        Errors: TryLater; StoreFull, where another account would fare no better."""
        ...

    async def sweep(self, account: AccountId) -> int:
        """Drop from the index mails that are gone; how many. Errors: TryLater."""
        ...

    def unswept(self, before: int) -> list[AccountId]:
        """Accounts whose index was last swept before then, seconds since the epoch."""
        ...

    def changed(self) -> int:
        """Another number when an index was taken away, so that ``behind`` has to be asked again."""
        ...


class Upkeep(Protocol):
    """What can be done to the store of a data directory by whoever may read its files."""

    @property
    def own(self) -> tuple[str, ...]:
        """Names in the data directory that are the store's: a snapshot holds what is in them."""
        ...

    def inspect(self, deep: bool, progress: Progress) -> Iterator[Finding]:
        """Everything that is wrong; ``deep`` opens every content and makes its index again.

        One damage does not hide the others: each check goes on behind what it cannot read."""
        ...

    def texts(self) -> TextCounts | None:
        """How far the index of texts is; None where there is none, or the database cannot be read."""
        ...

    def repair(self, progress: Progress) -> Iterator[Finding]:
        """Put right what can be without losing anything, and name it. Errors: StoreUnusable while served."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Errors: StoreUnusable."""
        ...

    def reading(self) -> AbstractContextManager[MailReader]:
        """Everybody's mail; what cannot be read for damage is DamagedContent. Errors: StoreUnusable."""
        ...

    def restoring(self) -> AbstractContextManager[Receiver]:
        """Makes the store anew in an empty directory; nothing is left of one that does not finish.

        Every mailbox gets a new UIDVALIDITY, ids and modseqs go on far above what may have been given
        since the copy was made, and the queue is held, because it may have been worked off since."""
        ...

    def proving(self) -> AbstractContextManager[Receiver]:
        """Proves a copy without making a store of it."""
        ...
