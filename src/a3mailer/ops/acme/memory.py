"""What outlives a restart beside the certificates: the account's key, failures and advice, and who asked.

| file | holds |
|---|---|
| ``keys/acme.pem`` | the account's key, made once |
| ``tls/acme.json`` | a ``Trial`` a certificate |
| ``run/acme/asked`` | names that are to be renewed now, one a line; an empty file: all |
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from a3mailer.ops.acme.answers import FOLDER
from a3mailer.ops.acme.jose import AccountKey
from a3mailer.ops.acme.schedule import Trial
from a3mailer.ops.certificates import write_whole
from a3mailer.telemetry.events import emit

ACCOUNT: Final = Path("keys") / "acme.pem"
TRIALS: Final = Path("tls") / "acme.json"
ASKED: Final = FOLDER / "asked"
LOCK: Final = FOLDER / "lock"
_decode: Final = msgspec.json.Decoder(dict[str, Trial]).decode


class Memory:
    """Of one data directory. Errors of all: OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def account(self) -> AccountKey:
        """The account's key, made now where there is none. Errors: ValueError for a file that holds none."""
        path = self._directory / ACCOUNT
        if not path.exists():
            write_whole(path, AccountKey.generate().pem())
        return AccountKey.from_pem(path.read_bytes())

    def trials(self) -> dict[str, Trial]:
        """By name. A file that cannot be read is as none: it costs an attempt."""
        try:
            return _decode((self._directory / TRIALS).read_bytes())
        except FileNotFoundError:
            return {}
        except (msgspec.MsgspecError, ValueError) as error:
            emit("cert.memory.lost", level="warning", error=str(error))
            return {}

    def keep(self, trials: Mapping[str, Trial]) -> None:
        """Write them."""
        write_whole(self._directory / TRIALS, msgspec.json.encode(trials, order="sorted"))

    def ask(self, names: Sequence[str]) -> None:
        """Have certificates renewed at the next look; none named: all."""
        path = self._directory / ASKED
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, "".join(f"{name}\n" for name in names).encode("ascii"))

    def is_asked(self) -> bool:
        """Cheap: one question to the kernel."""
        return (self._directory / ASKED).exists()

    def is_busy(self) -> bool:
        """Does somebody wait to be served, or is it being done?"""
        if self.is_asked():
            return True
        with self.alone() as free:
            return not free

    def asked(self) -> tuple[str, ...] | None:
        """Who was asked for, once; None: nobody asked. Empty: all."""
        path = self._directory / ASKED
        try:
            names = path.read_text("ascii", "replace").split()
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        return tuple(names)

    @contextmanager
    def alone(self) -> Generator[bool, None, None]:
        """False where another process is at it (the former code, right after a restart)."""
        path = self._directory / LOCK
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            held = False
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            yield held
        finally:
            os.close(fd)
