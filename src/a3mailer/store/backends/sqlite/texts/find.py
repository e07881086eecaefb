"""Asking the index: which of an account's emails have a text (``ports.TextReader``)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from a3mailer.mail.errors import DamagedContent, NoSuchAccount
from a3mailer.mail.ids import AccountId
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.keyring import Keys
from a3mailer.store.backends.sqlite.texts.counting import counted
from a3mailer.store.backends.sqlite.texts.shelf import (
    Listed,
    folder_of,
    read_shelf,
    take_away,
    volume_in,
)
from a3mailer.store.backends.sqlite.texts.volume import Volume
from a3mailer.store.texts import Matches, Sought, TextCounts
from a3mailer.telemetry.events import emit

REMEMBERED: Final = 64
"""Volumes that stay open."""
TRIES: Final = 4
"""How often a search begins anew because a volume it wanted was replaced by another."""


class ReadTexts:
    """One process's way into the index of all accounts. One thread."""

    def __init__(self, root: Path, keys: Keys, execute: Execute) -> None:
        self._texts_execute = execute
        self._texts_root = root
        self._text_keys = keys
        self._volumes: OrderedDict[int, Volume] = OrderedDict()

    async def texts_with(
        self,
        account: AccountId,
        sought: Sequence[Sought],
        emails: Collection[int],
        turn: Callable[[], Awaitable[None]],
    ) -> Matches:
        """See ``ports.TextReader``."""
        for _ in range(TRIES):
            try:
                return await self._with(account, sought, emails, turn)
            except FileNotFoundError:
                continue
            except NoSuchAccount:
                break
            except DamagedContent as error:
                emit("search.index.damaged", level="warning", account=account, error=str(error))
                take_away(self._texts_root, account)  # it is made again, and until then everything is read
                break
        return Matches(tuple(set() for _ in sought), 0)

    async def _with(
        self,
        account: AccountId,
        sought: Sequence[Sought],
        emails: Collection[int],
        turn: Callable[[], Awaitable[None]],
    ) -> Matches:
        folder = folder_of(self._texts_root, account)
        found: tuple[set[int], ...] = tuple(set() for _ in sought)
        shelf = read_shelf(folder)
        if shelf is None or not emails:
            return Matches(found, shelf.upto if shelf else 0)
        wanted = emails if isinstance(emails, set | frozenset) else frozenset(emails)
        lowest, highest = min(wanted), max(wanted)
        for listed in shelf.volumes:
            if listed.last < lowest or listed.first > highest:
                continue
            volume = self._volume(folder, account, listed)
            pages: dict[int, bytes] = {}
            masks: list[int] = []
            union = 0
            for one in sought:
                masks.append(volume.candidates(one, pages))
                union |= masks[-1]
                await turn()
            pages.clear()
            for _ in volume.look(sought, masks, volume.among(union, wanted), found):
                await turn()
            await turn()
        return Matches(found, shelf.upto)

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
