"""A shelf: the volumes of one account in a folder of its own, and how far they reach.

The file ``shelf`` names the volumes and the last email that is in them or is gone; it is replaced as a whole,
so whoever reads sees one state or the next. Nothing here is synced: what a crash damages is made again.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = "texts"
"""In the data directory."""
MANIFEST: Final = "shelf"
DRAFT: Final = ".new"
"""What is being written ends so."""
TRASH: Final = "gone"
FANOUT: Final = 256
"""Folders in which the accounts' folders lie."""


class Listed(msgspec.Struct, frozen=True, array_like=True):
    """A volume on a shelf."""

    number: int
    """Drawn: no other volume ever has it."""
    emails: int
    octets: int
    first: int
    last: int


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """What is there. ``upto``: emails above are in no volume."""

    upto: int = 0
    swept: int = 0
    """When it was last looked for mails that are gone, seconds since the epoch."""
    volumes: tuple[Listed, ...] = ()
    left: tuple[int, ...] = ()
    """Emails up to ``upto`` that are in no volume although they are there: nobody could read them."""


def folder_of(root: Path, account: int) -> Path:
    """Where the volumes of an account are; ``root`` is the data directory."""
    return root / FOLDER / f"{account % FANOUT:02x}" / str(account)


def volume_in(folder: Path, number: int) -> Path:
    """The file of a volume."""
    return folder / f"{number}.volume"


def read_shelf(folder: Path) -> Shelf | None:
    """None where there is none, or one that cannot be understood."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Shelf)
    except (OSError, msgspec.DecodeError):
        return None


def put_shelf(folder: Path, shelf: Shelf) -> None:
    """Errors: OSError; FileNotFoundError when the folder was taken away meanwhile."""
    put_file(folder / MANIFEST, msgspec.json.encode(shelf))


def put_file(path: Path, octets: bytes) -> None:
    """A file that is there whole or not at all, and of which nothing is left where there is no room for it.

    Errors: OSError."""
    draft = path.with_suffix(DRAFT)
    try:
        draft.write_bytes(octets)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def take_away(root: Path, account: int) -> bool:
    """Erase everything of an account at once; whether there was anything.

    The folder goes first: what somebody is about to put into it finds none."""
    folder = folder_of(root, account)
    trash = root / FOLDER / f"{TRASH}-{secrets.token_hex(8)}"
    try:
        folder.replace(trash)
    except FileNotFoundError:
        return False
    shutil.rmtree(trash, ignore_errors=True)
    return True


def sweep_trash(root: Path) -> None:
    """What a process that ended has left of folders taken away."""
    for trash in (root / FOLDER).glob(f"{TRASH}-*"):
        shutil.rmtree(trash, ignore_errors=True)


def accounts_in(root: Path) -> list[int]:
    """Accounts that have a folder."""
    found = []
    for group in (root / FOLDER).glob("??"):
        found += [int(folder.name) for folder in group.iterdir() if folder.name.isdigit()]
    return sorted(found)
