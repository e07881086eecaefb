"""Making the index: mails that are in no volume yet, volumes that are many, mails that are gone.

New mails become a volume each time they are looked at; when there are MERGED volumes of about one size, they
become one, so a mail is written again a few times in its life and there are few volumes to ask. A mail that
is gone takes its volume with it: what is left of it is written anew.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from a3mailer.mail.errors import DamagedContent, NoSuchAccount, NoSuchMessage, StoreFull, TryLater
from a3mailer.mail.ids import AccountId
from a3mailer.mail.message import MessageIndex, limits
from a3mailer.mail.message.enveloped import all_in
from a3mailer.mail.message.searched import Searched, searched
from a3mailer.runtime.clock import Clock
from a3mailer.store.backends.sqlite.apply_mail import NUMBER_BITS
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.read_blobs import Blobs
from a3mailer.store.backends.sqlite.texts.shelf import (
    FOLDER,
    MANIFEST,
    Listed,
    Shelf,
    accounts_in,
    folder_of,
    put_shelf,
    read_shelf,
    sweep_trash,
    take_away,
    volume_in,
)
from a3mailer.store.backends.sqlite.texts.volume import Entry, Volume, write

BATCH: Final = 500
"""Mails that become a volume together, at most."""
BATCH_OCTETS: Final = 32 * 1024 * 1024
"""Octets of mail read for a batch, about."""
MERGED: Final = 8
"""Volumes of one size that become one."""
FULL: Final = 2048
"""Mails of a volume that is not merged any more."""
FULL_OCTETS: Final = 32 * 1024 * 1024
"""Nor is one of so many octets."""
_ACCOUNTS: Final = "SELECT account, next_email FROM accounts WHERE account > ? ORDER BY account LIMIT 1000"
_DUE: Final = (
    "SELECT id, size, blob, parts, subject, envelope FROM fragments"
    " WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
)
_LIVING: Final = "SELECT id FROM fragments WHERE id BETWEEN ? AND ?"
_THERE: Final = "SELECT 1 FROM fragments WHERE id=?"
_NUMBER: Final = (1 << NUMBER_BITS) - 1


def nothing(octets: bytes, index: MessageIndex) -> Mapping[int, str]:
    """Parts that are no text have none."""
    return {}


def room_enough() -> bool:
    """Nobody looks at the disk."""
    return True


Extract = Callable[[bytes, MessageIndex], Mapping[int, str]]
"""The texts of parts that are none, by their place in the index."""


class Indexing:
    """One process's work on the index. One at a time an instance: who works holds a lock."""

    def __init__(
        self,
        root: Path,
        execute: Execute,
        blobs: Blobs,
        keys: Keys,
        clock: Clock,
        extract: Extract,
        has_room: Callable[[], bool] = room_enough,
    ) -> None:
        self._root = root
        self._has_room = has_room
        self._execute = execute
        self._blobs = blobs
        self._keys = keys
        self._clock = clock
        self._extract = extract

    async def behind(self) -> list[AccountId]:
        """Accounts with mails that are in no volume, and those with a folder that are gone."""
        found: list[AccountId] = []
        living: set[int] = set()
        after = -1
        while rows := self._execute(_ACCOUNTS, (after,)).fetchall():
            for account, following in rows:
                living.add(account)
                shelf = read_shelf(folder_of(self._root, account)) if following > 1 else None
                if following > 1 and (shelf is None or shelf.upto < following - 1):
                    found.append(AccountId(account))
            after = rows[-1][0]
            await asyncio.sleep(0)
        found += [AccountId(account) for account in accounts_in(self._root) if account not in living]
        sweep_trash(self._root)
        return found

    async def index(self, account: AccountId, most: int = FULL) -> int:
        """Take up to ``most`` mails into the index; how many were looked at, 0 when none is left.

        They are a whole volume or, where fewer wait, at most BATCH. Errors: TryLater, StoreFull: what cannot
        be written leaves nothing behind, and the mails wait."""
        row = self._execute("SELECT next_email FROM accounts WHERE account=?", (account,)).fetchone()
        if row is None:
            take_away(self._root, account)
            return 0
        folder = folder_of(self._root, account)
        last = row[0] - 1
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # before anything is read: see take_away
            shelf = read_shelf(folder) or Shelf(swept=int(self._clock.now()))
            if shelf.upto >= last:
                return 0
            if not self._has_room():
                raise StoreFull("the reserve of the disk is left to mail")
            return await self._index(account, folder, shelf, last, most)
        except OSError as error:
            raise trouble(error) from error

    async def _index(self, account: int, folder: Path, shelf: Shelf, last: int, most: int) -> int:
        base = account << NUMBER_BITS
        waiting = self._execute(_DUE, (base | shelf.upto, base | last, most)).fetchall()
        due = _bounded(waiting if len(waiting) >= FULL else waiting[:BATCH])
        upto = due[-1][0] & _NUMBER if due and (due[-1][0] & _NUMBER) < last else last
        try:
            entries = await self._entries(account, due)
            taken = {entry.email for entry in entries}
            left = [email for row in due if (email := row[0] & _NUMBER) not in taken]
            shelf = self._add(folder, account, shelf, entries, left, upto)
            self._merge(folder, account, shelf)
        except (FileNotFoundError, NoSuchAccount):  # it was taken away meanwhile
            return len(due)
        except DamagedContent:
            take_away(self._root, account)
        return max(1, len(due))

    async def _entries(self, account: int, due: Sequence[tuple[Any, ...]]) -> list[Entry]:
        small = [row[2] for row in due if row[1] <= limits.SEARCHED]
        contents = dict(zip(small, await self._blobs.many(account, small), strict=True))
        entries: list[Entry] = []
        for number, size, blob, parts, subject, envelope in due:
            octets = contents.get(blob)
            if size > limits.SEARCHED:
                octets = await self._beginning(account, blob)
            if octets is not None:
                text = self._searched(octets, MessageIndex.unpack_or_make(parts, octets))
                vouched = all_in(text.header, subject, envelope)
                entries.append(Entry(number & _NUMBER, text, vouched))
            await asyncio.sleep(0)
        return entries

    def _searched(self, octets: bytes, index: MessageIndex) -> Searched:
        return searched(octets, index, self._extract(octets, index))

    async def _beginning(self, account: int, blob: bytes) -> bytes | None:
        try:
            return await self._blobs.octets(account, blob, 0, limits.SEARCHED)
        except (DamagedContent, NoSuchMessage):
            return None

    def _write(self, folder: Path, account: int, entries: Sequence[Entry]) -> tuple[Listed, ...]:
        """A volume of these mails; none of none."""
        if not entries:
            return ()
        number = secrets.randbits(48)
        size = write(volume_in(folder, number), account, self._keys.cipher(account), entries)
        return (Listed(number, len(entries), size, entries[0].email, entries[-1].email),)

    def _add(
        self,
        folder: Path,
        account: int,
        shelf: Shelf,
        entries: Sequence[Entry],
        left: Sequence[int],
        upto: int,
    ) -> Shelf:
        added = self._write(folder, account, entries)
        volumes = (*shelf.volumes, *added)
        shelf = Shelf(upto=upto, swept=shelf.swept, volumes=volumes, left=(*shelf.left, *left))
        _put(folder, shelf, added)
        return shelf

    def _merge(self, folder: Path, account: int, shelf: Shelf) -> None:
        while chosen := _many_of_a_size(shelf.volumes):
            entries = [entry for one in chosen for entry in self._volume(folder, account, one).entries()]
            shelf = self._replace(folder, account, shelf, chosen, entries)

    def _volume(self, folder: Path, account: int, one: Listed) -> Volume:
        return Volume(volume_in(folder, one.number), account, self._keys.cipher(account))

    def _replace(
        self, folder: Path, account: int, shelf: Shelf, old: Sequence[Listed], entries: Sequence[Entry]
    ) -> Shelf:
        new = self._write(folder, account, entries)
        first = shelf.volumes.index(old[0])
        others = tuple(one for one in shelf.volumes if one not in old)
        volumes = (*others[:first], *new, *others[first:])
        shelf = Shelf(upto=shelf.upto, swept=shelf.swept, volumes=volumes, left=shelf.left)
        _put(folder, shelf, new)
        for one in old:
            volume_in(folder, one.number).unlink(missing_ok=True)
        return shelf

    async def sweep(self, account: AccountId) -> int:
        """Drop from the index mails that are gone; how many. Files that no shelf names go too.

        Errors: TryLater, StoreFull."""
        folder = folder_of(self._root, account)
        shelf = read_shelf(folder)
        if shelf is None:
            return 0
        dropped = 0
        try:
            for one in shelf.volumes:
                volume, living = self._volume(folder, account, one), self._living(account, one)
                if living.issuperset(volume.emails):
                    continue
                entries = [entry for entry in volume.entries() if entry.email in living]
                shelf = self._replace(folder, account, shelf, (one,), entries)
                dropped += one.emails - len(entries)
                await asyncio.sleep(0)
            left = self._still(account, shelf.left)
            now = int(self._clock.now())
            put_shelf(folder, Shelf(upto=shelf.upto, swept=now, volumes=shelf.volumes, left=left))
            named = {volume_in(folder, one.number).name for one in shelf.volumes}
            for path in folder.iterdir():
                if path.name not in named and path.name != MANIFEST:
                    path.unlink(missing_ok=True)
        except (FileNotFoundError, NoSuchAccount):
            return dropped
        except OSError as error:
            raise trouble(error) from error
        except DamagedContent:
            take_away(self._root, account)
        return dropped

    def _still(self, account: int, emails: Sequence[int]) -> tuple[int, ...]:
        """Those of some emails that are there."""
        base = account << NUMBER_BITS
        return tuple(email for email in emails if self._execute(_THERE, (base | email,)).fetchone())

    def _living(self, account: int, one: Listed) -> set[int]:
        base = account << NUMBER_BITS
        rows = self._execute(_LIVING, (base | one.first, base | one.last)).fetchall()
        return {row[0] & _NUMBER for row in rows}

    def changed(self) -> int:
        """See ``TextKeeper.changed``: taking away touches the folder of all."""
        try:
            return (self._root / FOLDER).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def unswept(self, before: int) -> list[AccountId]:
        """See ``TextKeeper.unswept``."""
        shelves = [
            (account, read_shelf(folder_of(self._root, account))) for account in accounts_in(self._root)
        ]
        return [AccountId(account) for account, shelf in shelves if shelf and shelf.swept < before]


def _put(folder: Path, shelf: Shelf, new: Sequence[Listed]) -> None:
    """Where there is no room for the shelf, the volumes that only it would name go."""
    try:
        put_shelf(folder, shelf)
    except OSError:
        for one in new:
            volume_in(folder, one.number).unlink(missing_ok=True)
        raise


def trouble(error: OSError) -> TryLater:
    """What the operating system says, in the words of mail."""
    return (StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else TryLater)(str(error))


def _bounded(due: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The first of them, as far as BATCH_OCTETS reach."""
    octets = 0
    for number, row in enumerate(due, 1):
        octets += min(row[1], limits.SEARCHED)
        if octets >= BATCH_OCTETS:
            return due[:number]
    return due


def _many_of_a_size(volumes: Sequence[Listed]) -> tuple[Listed, ...]:
    """MERGED or more of the newest volumes none of which is larger than of one size, if there are so many."""
    for size in range(_size(FULL) + 1):
        first = len(volumes)
        while first and _size(volumes[first - 1].emails) <= size and not _is_full(volumes[first - 1]):
            first -= 1
        if len(volumes) - first >= MERGED:
            return _until_full(volumes[first:])
    return ()


def _until_full(volumes: Sequence[Listed]) -> tuple[Listed, ...]:
    emails = octets = 0
    for number, one in enumerate(volumes, 1):
        emails += one.emails
        octets += one.octets
        if number > 1 and (emails >= FULL or octets >= FULL_OCTETS):
            return tuple(volumes[:number])
    return tuple(volumes)


def _is_full(one: Listed) -> bool:
    return one.emails >= FULL or one.octets >= FULL_OCTETS


def _size(emails: int) -> int:
    """0: fewer than 8 mails, 1: fewer than 64, and so on."""
    return (emails.bit_length() - 1) // 3
