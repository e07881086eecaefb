"""The Sieve scripts of an account as files: ``NAME.sieve``, its lists as ``NAME.list``, and ``active``, which
says which script runs. Names are written as those of mailboxes are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from a3mailer.access.scripts import roll_of
from a3mailer.mail.errors import DamagedContent
from a3mailer.mail.ids import AccountId
from a3mailer.ops.mailfiles import file_name, write
from a3mailer.store.ports import DocumentReader
from a3mailer.store.rows import SCRIPT, SCRIPT_LIST

ACTIVE: Final = "active"


async def write_scripts(
    reader: DocumentReader, account: AccountId, folder: Path
) -> tuple[list[str], list[DamagedContent]]:
    """The files that were written into a folder, which is made where there are any; what cannot be read.

    Errors: OSError; DamagedContent where nothing can be."""
    roll = await roll_of(reader, account)
    files: dict[str, bytes] = {}
    missed: list[DamagedContent] = []
    for script in roll.scripts:
        found = await reader.document(account, SCRIPT, script.id)
        if found is None:
            missed.append(DamagedContent(f'the script "{script.name}" cannot be read'))
            continue
        name = f"{file_name(script.name)}.sieve"
        files[name] = found.value.encode()
        if script.id == roll.active:
            files[ACTIVE] = f"{name}\n".encode()
    for one in await reader.documents(account, SCRIPT_LIST):
        files[f"{file_name(one.name)}.list"] = f"{one.value}\n".encode()
    _write(folder, files)
    return sorted(files), missed


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    if files:
        folder.mkdir(mode=0o700, parents=True)
    for name, octets in files.items():
        write(folder / name, octets)
