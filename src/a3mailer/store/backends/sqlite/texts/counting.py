"""How far the index of texts has got: of one account, or of a data directory, beside a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from a3mailer.store.backends.sqlite.apply_mail import NUMBER_BITS
from a3mailer.store.backends.sqlite.connection import Execute
from a3mailer.store.backends.sqlite.texts.shelf import FOLDER, Shelf, folder_of, read_shelf
from a3mailer.store.texts import TextCounts

_LEFT: Final = "SELECT count(*) FROM fragments WHERE id > ? AND id <= ?"
_ACCOUNTS: Final = "SELECT account FROM accounts"
_NUMBER: Final = (1 << NUMBER_BITS) - 1


def counted(root: Path, execute: Execute, account: int) -> TextCounts:
    """See ``ports.TextReader.text_counts``; the cost is that of the mails that are left."""
    shelf = read_shelf(folder_of(root, account)) or Shelf()
    base = account << NUMBER_BITS
    (left,) = execute(_LEFT, (base | shelf.upto, base | _NUMBER)).fetchone()
    indexed = sum(one.emails for one in shelf.volumes)
    return TextCounts(indexed + left, indexed, sum(one.octets for one in shelf.volumes))


def counted_all(root: Path, execute: Execute) -> TextCounts | None:
    """The sum of all accounts; None where there is no index."""
    if not (root / FOLDER).is_dir():
        return None
    all_ = [counted(root, execute, account) for (account,) in execute(_ACCOUNTS).fetchall()]
    return TextCounts(*(sum(each) for each in zip(*all_, strict=True))) if all_ else TextCounts(0, 0, 0)
