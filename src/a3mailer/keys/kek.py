"""Key-encryption keys: the file they live in, and the ring that wraps owners' keys with them.

The file is JSON of mode 0400 that nothing but this process's user can read. It holds the current key
and, during a rotation, the older ones until every wrapped key was wrapped again.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from a3mailer.keys.wrap import KEY_SIZE, new_key, owner_binding, unwrap, wrap

FILE_MODE: Final = 0o400


class BadKeyFile(Exception):
    """The key file is missing, readable by others, or not what it should be; the text says which."""


class _Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    key: bytes


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    current: str
    keys: tuple[_Key, ...]


class KeyRing:
    """The key-encryption keys of one instance. Nothing of it shows in ``repr``."""

    __slots__ = ("_ciphers", "_keys", "current")

    def __init__(self, current: str, keys: dict[str, bytes]) -> None:
        if current not in keys or any(len(key) != KEY_SIZE for key in keys.values()):
            raise BadKeyFile("the key file's current key is not in it, or a key has a wrong length")
        self.current = current
        self._keys = dict(keys)
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}

    @classmethod
    def generate(cls) -> KeyRing:
        """One fresh key."""
        name = _new_id()
        return cls(name, {name: new_key()})

    def rotated(self) -> KeyRing:
        """A ring with a fresh current key that still opens what the older keys wrapped."""
        name = _new_id()
        return KeyRing(name, {**self._keys, name: new_key()})

    def only_current(self) -> KeyRing:
        """What is left when a rotation is complete."""
        return KeyRing(self.current, {self.current: self._keys[self.current]})

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def wrap(self, purpose: bytes, owner: int, key: bytes) -> bytes:
        """An owner's key under the current key-encryption key (whose id the caller keeps beside it)."""
        return wrap(self._ciphers[self.current], key, owner_binding(purpose, owner, self.current))

    def unwrap(self, purpose: bytes, owner: int, key_id: str, wrapped: bytes) -> bytes:
        """An owner's key. Errors: BadKeyFile (no such key-encryption key), KeyMismatch."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise BadKeyFile(f"no key-encryption key {key_id}")
        return unwrap(cipher, wrapped, owner_binding(purpose, owner, key_id))

    def encode(self) -> bytes:
        """The file's octets: secret."""
        keys = tuple(_Key(name, key) for name, key in self._keys.items())
        return msgspec.json.encode(_File(1, self.current, keys)) + b"\n"

    @classmethod
    def decode(cls, octets: bytes) -> KeyRing:
        """Errors: BadKeyFile."""
        try:
            file = msgspec.json.decode(octets, type=_File)
        except msgspec.MsgspecError as error:
            raise BadKeyFile(f"the key file cannot be read: {error}") from None
        if file.version != 1:
            raise BadKeyFile(f"the key file has the unknown version {file.version}")
        return cls(file.current, {key.id: key.key for key in file.keys})

    def save(self, path: Path) -> None:
        """Write the file anew, durably: a crash leaves the old or the new one."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            os.write(fd, self.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """Errors: BadKeyFile, also when group or others may read or write it."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise BadKeyFile(f"{path}: {error.strerror}") from None
        try:
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            if mode & 0o077:
                raise BadKeyFile(f"{path} has mode {mode:04o}: others could read it; it must be 0400")
            return cls.decode(os.read(fd, 1 << 20))
        finally:
            os.close(fd)


def _new_id() -> str:
    return "k" + secrets.token_hex(6)
