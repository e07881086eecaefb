"""Backup, restore, verify: one file that holds everything a server needs to stand elsewhere.

A backup is made while the server runs, as of one commit, and streamed. It is sealed to the recovery key of
``init`` (the public half lies in the data directory); so the host that makes backups cannot open them. Where
there is no recovery key it is not sealed, and then holds no key: neither ``keys/`` nor ``tls/``.

data   = member*, each: length (4), JSON {name, size, mode}, octets; a member without name is the end
member = ``files/...``: a file of the data directory; ``store/...``: a member of the store's snapshot
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

import msgspec

from a3mailer.keys.recovery import PUBLIC_SIZE
from a3mailer.ops.sealed import BadBackup, SealedReader, SealedWriter, is_sealed, is_whole
from a3mailer.store.upkeep import Copied, Finding, Member, Progress, Receiver, Unfit, Upkeep

RECOVERY_PUBLIC: Final = "keys/recovery.pub"
KEYS: Final = ("keys", "tls")
"""Folders a backup that is not sealed leaves out."""
PASSING: Final = ("run", "spool", "lock")
"""What belongs to running processes."""
MAX_FILE: Final = 64 << 20
"""A larger file of the data directory is not one of ours."""
MAX_HEADER: Final = 64 * 1024
_LENGTH: Final = struct.Struct("<I")
_FILES, _STORE = "files", "store"
UpkeepOf = Callable[[Path], Upkeep]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    size: int
    mode: int = 0o600


@dataclass(frozen=True, slots=True)
class Made:
    """What ``backup`` made."""

    copied: Copied
    files: int
    sealed: bool
    size: int
    """Octets of the backup; 0 for one that went to a pipe."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What ``restore`` or ``verify`` found: ``findings`` is empty when everything is whole."""

    members: int
    """Of the store: the database and the files of contents."""
    findings: tuple[Finding, ...]
    opened: bool = True
    """False when only the checksum of a sealed backup was proved, for want of the recovery key."""


# --- making ----------------------------------------------------------------------------------------


def backup(upkeep: Upkeep, directory: Path, target: Path, progress: Progress) -> Made:
    """Make ``target``, which is there when all went well and not at all when not.

    Errors: FileExistsError, OSError, StoreUnusable."""
    if target.exists():
        raise FileExistsError(target)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with _create(beside) as stream:
            made = write_backup(upkeep, directory, stream, progress)
            stream.flush()
            os.fsync(stream.fileno())
            size = stream.tell()
        beside.rename(target)
        _sync_folder(target.parent)
    finally:
        beside.unlink(missing_ok=True)
    return Made(made.copied, made.files, made.sealed, size)


def _create(path: Path) -> BinaryIO:
    """A new file that only its owner reads."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_backup(upkeep: Upkeep, directory: Path, stream: BinaryIO, progress: Progress) -> Made:
    """Stream a backup. Errors: OSError, StoreUnusable."""
    recovery = recovery_key(directory)
    writer = SealedWriter(stream, recovery)
    files = 0
    left_out = {*PASSING, *upkeep.own, *(() if recovery else KEYS)}
    for path in _files(directory, left_out):
        octets = path.read_bytes()
        name = f"{_FILES}/{path.relative_to(directory).as_posix()}"
        _member(writer, _Header(name, len(octets), path.stat().st_mode & 0o777), [octets])
        files += 1
    with upkeep.snapshot() as snapshot:
        for member in snapshot.members(progress):
            _member(writer, _Header(f"{_STORE}/{member.name}", member.size), member.octets)
        copied = snapshot.result()
    _member(writer, _Header("", 0), [])
    writer.finish()
    return Made(copied, files, recovery is not None, 0)


def recovery_key(directory: Path) -> bytes | None:
    """The public recovery key of a data directory. Errors: BadBackup for one that is none."""
    try:
        octets = (directory / RECOVERY_PUBLIC).read_bytes()
    except FileNotFoundError:
        return None
    if len(octets) != PUBLIC_SIZE:
        raise BadBackup(f"{RECOVERY_PUBLIC} is no recovery key: nothing was sealed to it")
    return octets


def _files(directory: Path, left_out: set[str]) -> Iterator[Path]:
    for path in sorted(directory.rglob("*")):
        if path.relative_to(directory).parts[0] in left_out:
            continue
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_FILE:
            yield path


def _member(writer: SealedWriter, header: _Header, octets: Iterable[bytes]) -> None:
    packed = msgspec.json.encode(header)
    writer.write(_LENGTH.pack(len(packed)) + packed)
    written = 0
    for chunk in octets:
        writer.write(chunk)
        written += len(chunk)
    if written != header.size:
        raise BadBackup(f"{header.name} changed while it was copied")


# --- reading ---------------------------------------------------------------------------------------


class _Members:
    """The members of a backup, each to be read before the next."""

    def __init__(self, reader: SealedReader) -> None:
        self._chunks = reader.chunks()
        self._buffer = bytearray()

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise BadBackup("the backup ends in the middle")
        self._buffer += chunk

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        octets = bytes(self._buffer[:size])
        del self._buffer[:size]
        return octets

    def _stream(self, size: int) -> Iterator[bytes]:
        while size:
            while not self._buffer:
                self._more()
            octets = self._take(min(size, len(self._buffer)))
            size -= len(octets)
            yield octets

    def __iter__(self) -> Iterator[tuple[_Header, Iterator[bytes]]]:
        while True:
            (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
            if length > MAX_HEADER:
                raise BadBackup("the backup is not what it should be")
            try:
                header = msgspec.json.decode(self._take(length), type=_Header)
            except msgspec.MsgspecError as error:
                raise BadBackup(f"the backup is not what it should be: {error}") from None
            octets = self._stream(header.size)
            if not header.name:
                break
            yield header, octets
            for _ in octets:
                pass  # what was not wanted
        if self._buffer or next(self._chunks, None) is not None:
            raise BadBackup("the backup goes on behind its end")


def restore(
    upkeep_of: UpkeepOf, source: Path, directory: Path, secret: bytes | None, progress: Progress
) -> Restored:
    """Make a data directory of a backup. It is there when all went well, and not at all when not.

    Errors: BadBackup, Unfit, FileExistsError, OSError."""
    with source.open("rb") as stream, _building(directory) as place:
        members = _Members(SealedReader(stream, secret))
        upkeep = upkeep_of(place)
        files = _Files(place, (*PASSING, *upkeep.own))
        with upkeep.restoring() as receiver:
            contents = _deal(members, receiver, files, _Gauge(stream, source, progress))
            findings = receiver.finish()
        if not any((place / folder).is_dir() for folder in KEYS):
            findings += (Finding("key-file-missing", "keys", "a backup that is not sealed holds no keys"),)
        return Restored(contents, findings)


def verify(upkeep_of: UpkeepOf, source: Path, secret: bytes | None, progress: Progress) -> Restored:
    """Prove a backup file, or with the first step of ``doctor`` a data directory, without changing anything.

    A sealed backup without its recovery key is proved by its checksum alone. Errors: BadBackup, OSError."""
    if source.is_dir():
        findings = tuple(upkeep_of(source).inspect(False, progress))
        return Restored(0, findings)
    with source.open("rb") as stream:
        if not is_whole(stream):
            raise BadBackup("the backup was changed or cut: its checksum does not match")
    with source.open("rb") as stream:
        if secret is None and is_sealed(stream):
            return Restored(0, (), opened=False)
        stream.seek(0)
        members = _Members(SealedReader(stream, secret))
        with upkeep_of(source).proving() as receiver:
            contents = _deal(members, receiver, None, _Gauge(stream, source, progress))
            try:
                return Restored(contents, receiver.finish())
            except Unfit as error:
                raise BadBackup(str(error)) from None


class _Gauge:
    """Tells how much of a file was read."""

    def __init__(self, stream: BinaryIO, source: Path, progress: Progress) -> None:
        self._stream = stream
        self._size = source.stat().st_size
        self._progress = progress

    def show(self) -> None:
        self._progress("backup", self._stream.tell(), self._size)


class _Files:
    """Puts the files of a data directory back."""

    def __init__(self, place: Path, reserved: tuple[str, ...]) -> None:
        self._place = place
        self._reserved = reserved

    def write(self, name: str, header: _Header, octets: Iterator[bytes]) -> None:
        """Errors: BadBackup for a name no data directory has."""
        parts = PurePosixPath(name).parts
        if (
            not parts
            or name.startswith("/")
            or ".." in parts
            or parts[0] in self._reserved
            or header.size > MAX_FILE
        ):
            raise BadBackup(f"the backup holds {header.name}, which no data directory has")
        path = self._place.joinpath(*parts)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _create(path) as file:
            file.writelines(octets)
            os.fchmod(file.fileno(), header.mode & 0o777)
            file.flush()
            os.fsync(file.fileno())


def _deal(members: _Members, receiver: Receiver, files: _Files | None, gauge: _Gauge) -> int:
    """Hand each member to who knows it; the number of members of the store."""
    count = 0
    for header, octets in members:
        kind, _, name = header.name.partition("/")
        if kind == _STORE:
            receiver.take(Member(name, header.size, octets))
            count += 1
        elif kind == _FILES and files is not None:
            files.write(name, header, octets)
        gauge.show()
    return count


@contextmanager
def _building(place: Path) -> Iterator[Path]:
    """A new directory beside its place, moved there by one rename when all went well."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FileExistsError(f"{place} exists and is not an empty directory")
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.restore-{secrets.token_hex(4)}")
    beside.mkdir(mode=0o700)
    try:
        (beside / "run").mkdir(mode=0o700)
        yield beside
        beside.rename(place)  # also over an empty directory
        _sync_folder(place.parent)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
