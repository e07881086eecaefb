"""Asking the index: which of an account's emails have a text (``ports.TextReader``)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Final, TypeVar

from a3mailer.mail.errors import DamagedContent, NoSuchAccount
from a3mailer.mail.ids import AccountId
from a3mailer.store.backends.sqlite.apply_mail import NUMBER_BITS
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.texts.counting import counted
from a3mailer.store.backends.sqlite.texts.shelf import (
    MANIFEST,
    Listed,
    Shelf,
    folder_of,
    read_shelf,
    take_away,
    volume_in,
)
from a3mailer.store.backends.sqlite.texts.volume import ANSWERS, Volume, buckets_sought
from a3mailer.store.texts import Likely, Matches, Sought, TextCounts, Where
from a3mailer.telemetry.events import emit

REMEMBERED: Final = 512
"""Volumes that stay open: some tens of thousands of octets each, and a descriptor."""
LIKELY: Final = 8192
"""Emails that are named as those that may have a text, at most."""
_ABOVE: Final = "SELECT id FROM fragments WHERE id > ? AND id <= ? LIMIT ?"
TRIES: Final = 4
"""How often a search begins anew because a volume it wanted was replaced by another."""
_NUMBER: Final = (1 << NUMBER_BITS) - 1
T = TypeVar("T")


class ReadTexts:
    """One process's way into the index of all accounts. One thread."""

    def __init__(self, root: Path, keys: Keys, execute: Execute) -> None:
        self._texts_execute = execute
        self._texts_root = root
        self._text_keys = keys
        self._volumes: OrderedDict[int, Volume] = OrderedDict()
        self._shelves: OrderedDict[int, tuple[tuple[int, int, int], Shelf]] = OrderedDict()

    async def texts_with(
        self,
        account: AccountId,
        sought: Sequence[Sought],
        emails: Collection[int],
        turn: Callable[[], Awaitable[None]],
    ) -> Matches:
        """See ``ports.TextReader``."""
        found = await self._tried(account, lambda: self._with(account, sought, emails, turn))
        return found or Matches(tuple(set() for _ in sought), 0)

    async def texts_likely(
        self, account: AccountId, sought: Sequence[Sought], turn: Callable[[], Awaitable[None]]
    ) -> Likely:
        """See ``ports.TextReader``."""
        nobody_knows: Likely = (None,) * len(sought)
        telling = [one for one in sought if buckets_sought(one)]
        if not telling or len(sought) > ANSWERS:
            return nobody_knows
        found = await self._tried(account, lambda: self._likely(account, telling, turn))
        by_text = dict(zip(telling, found, strict=True)) if found else {}
        return tuple(by_text.get(one) for one in sought)

    async def _tried(self, account: AccountId, ask: Callable[[], Awaitable[T]]) -> T | None:
        """The answer of an index that others work on; None where there is none."""
        for _ in range(TRIES):
            try:
                return await ask()
            except FileNotFoundError:
                continue
            except (NoSuchAccount, OSError):  # no descriptors are left, for one
                break
            except DamagedContent as error:
                emit("search.index.damaged", level="warning", account=account, error=str(error))
                take_away(self._texts_root, account)  # it is made again, and until then everything is read
                break
        return None

    async def _with(
        self,
        account: AccountId,
        sought: Sequence[Sought],
        emails: Collection[int],
        turn: Callable[[], Awaitable[None]],
    ) -> Matches:
        folder = folder_of(self._texts_root, account)
        found: tuple[set[int], ...] = tuple(set() for _ in sought)
        shelf = self._shelf(folder, account)
        if shelf is None or not emails:
            return Matches(found, shelf.upto if shelf else 0)
        left = frozenset(shelf.left)
        wanted = emails if isinstance(emails, set | frozenset) else frozenset(emails)
        lowest, highest = min(wanted), max(wanted)
        for listed in shelf.volumes:
            if listed.last < lowest or listed.first > highest:
                continue
            volume = self._volume(folder, account, listed)
            pages: dict[int, bytes] = {}
            masks: list[int] = []
            union = 0
            for one, having in zip(sought, found, strict=True):
                may, sure = volume.candidates(one, pages)
                if sure:
                    having |= wanted.intersection(volume.named(sure))
                masks.append(may & ~sure)
                union |= masks[-1]
                await turn()
            pages.clear()
            for _ in volume.look(sought, masks, volume.among(union, wanted), found):
                await turn()
            await turn()
        return Matches(found, shelf.upto, left)

    async def _likely(
        self, account: AccountId, sought: Sequence[Sought], turn: Callable[[], Awaitable[None]]
    ) -> Likely | None:
        folder = folder_of(self._texts_root, account)
        shelf = self._shelf(folder, account)
        if shelf is None:
            return None
        base = account << NUMBER_BITS
        rows = self._texts_execute(_ABOVE, (base | shelf.upto, base | _NUMBER, LIKELY)).fetchall()
        if len(rows) + len(shelf.left) >= LIKELY:
            return None
        others = {row[0] & _NUMBER for row in rows}.union(shelf.left)
        found: list[set[int] | None] = [set(others) for _ in sought]
        for listed in shelf.volumes:
            volume = self._volume(folder, account, listed)
            pages: dict[int, bytes] = {}
            for at, one in enumerate(sought):
                having = found[at]
                if having is not None:
                    may, _ = volume.candidates(one, pages)
                    having.update(volume.named(may) if may else ())
                    if one.where is Where.ENVELOPE:
                        having.update(volume.odd)
                    if len(having) > LIKELY:
                        found[at] = None
                    await turn()
            if not any(having is not None for having in found):
                break
        return tuple(found)

    def _shelf(self, folder: Path, account: int) -> Shelf | None:
        """What is on a shelf; read again when the file that says so is another."""
        try:
            now = (folder / MANIFEST).stat()
        except OSError:
            self._shelves.pop(account, None)
            return None
        mark = now.st_ino, now.st_mtime_ns, now.st_size
        known = self._shelves.get(account)
        if known is not None and known[0] == mark:
            return known[1]
        shelf = read_shelf(folder)
        if shelf is not None:
            self._shelves[account] = mark, shelf
            if len(self._shelves) > REMEMBERED:
                self._shelves.popitem(last=False)
        return shelf

    def _volume(self, folder: Path, account: int, listed: Listed) -> Volume:
        """Errors: FileNotFoundError, DamagedContent, NoSuchAccount."""
        volume = self._volumes.get(listed.number)
        if volume is None:
            cipher = self._text_keys.cipher(account)
            volume = self._volumes[listed.number] = Volume(volume_in(folder, listed.number), account, cipher)
            if len(self._volumes) > REMEMBERED:
                self._volumes.popitem(last=False)
        else:
            self._volumes.move_to_end(listed.number)
        return volume

    async def text_counts(self, account: AccountId) -> TextCounts:
        """See ``ports.TextReader``."""
        return counted(self._texts_root, self._texts_execute, account)

    def forget_texts(self, account: AccountId) -> None:
        """Erase the index of an account; it is made again from what mail there is."""
        take_away(self._texts_root, account)
        self._volumes.clear()
