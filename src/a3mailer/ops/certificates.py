"""The certificates of a data directory: which there are, and which one is shown for a name.

| source | where | comes from |
|---|---|---|
| ``imported`` | ``tls/imported/NAME.pem`` | ``cert import`` |
| ``acme`` | ``tls/acme/NAME.pem`` | ``ops/acme`` |
| ``file`` | ``tls.certificate`` and ``tls.key`` | ``init`` (self-signed), or the operator |

One of the first two kinds is one file with key and chain, mode 0600, replaced by a rename: key and
certificate never disagree. The former one stays beside it (``.old``).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from a3mailer.config.syntax import domain_name
from a3mailer.config.tree import Settings
from a3mailer.ops.pkix import Chain, ServerKey, key_pem, read_chain, read_key

IMPORTED: Final = "imported"
ACME: Final = "acme"
FILE: Final = "file"
FOLDERS: Final = {IMPORTED: Path("tls") / IMPORTED, ACME: Path("tls") / ACME}
NEXT_KEY: Final = Path("tls") / "next-key.pem"
"""The key of the certificate after this one, so that its TLSA record is published in time (RFC 7671
section 8.1): whoever renews the certificate takes it, and makes another."""
MAX_FILE: Final = 256 * 1024
MAX_CERTIFICATES: Final = 10_000

Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """One certificate that could be read."""

    name: str
    """Of its file; for the source ``file`` that of the setting."""
    source: str
    certificate: Path
    key: Path
    chain: Chain
    stamp: Stamp
    """Changes with the file."""

    @property
    def self_signed(self) -> bool:
        """It proves nothing to strangers."""
        return self.chain.leaf.issuer == self.chain.leaf.subject

    def rank(self, now: float) -> tuple[bool, int, int]:
        """The greatest one is shown: good now, chosen by hand before fetched, and the longest."""
        by_hand = self.source in (IMPORTED, FILE)
        good = self.chain.begins <= now < self.chain.ends
        return good, 0 if self.self_signed else 1 + by_hand, self.chain.ends


class CertificateStore:
    """Of one data directory. Blocks for some file reads, fewer once it has looked."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._known: dict[Path, Kept] = {}
        self._index: dict[str, Kept] = {}
        self.faults: tuple[str, ...] = ()
        """Files that cannot be used, from the last look."""

    def reconfigure(self, settings: Settings) -> None:
        """New settings; the next ``look`` obeys them."""
        self._settings = settings

    def stamp(self) -> Stamp:
        """Changes when a certificate came, went or was replaced: two questions to the kernel."""
        return tuple(_mtime(self._directory / folder) for folder in FOLDERS.values())

    def look(self, now: float) -> dict[str, Kept]:
        """Read what changed; the certificate that is shown now, by the names of certificates.

        What cannot be read is in ``faults``."""
        faults: list[str] = []
        tls = self._settings.tls
        pair = self._directory / tls.certificate, self._directory / tls.key
        found = [self._read(source, path.stem, path, path, faults) for source, path in self._paths()]
        found.append(self._read(FILE, "tls.certificate", *pair, faults))
        self._known = {kept.certificate: kept for kept in found if kept is not None}
        self.faults = tuple(faults)
        index: dict[str, Kept] = {}
        for kept in self._known.values():
            for name in kept.chain.names:
                if name not in index or index[name].rank(now) < kept.rank(now):
                    index[name] = kept
        self._index = index
        return index

    @property
    def kept(self) -> tuple[Kept, ...]:
        """All certificates there are, as of the last look."""
        return tuple(self._known.values())

    def _paths(self) -> Iterator[tuple[str, Path]]:
        for source, folder in FOLDERS.items():
            found = sorted((self._directory / folder).glob("*.pem"))
            yield from ((source, path) for path in found[:MAX_CERTIFICATES])

    def _read(self, source: str, name: str, path: Path, key: Path, faults: list[str]) -> Kept | None:
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                stamp = _stamp(status)
                known = self._known.get(path)
                if known is not None and known.stamp == stamp:
                    return known
                return Kept(name, source, path, key, read_chain(file.read(MAX_FILE)), stamp)
        except (OSError, ValueError) as error:
            faults.append(f"{path}: {error}")
            return None

    def pick(self, name: str, now: float) -> Kept | None:
        """The certificate that is shown for a host name; None: none covers it. As of the last look."""
        exact = self._index.get(name)
        wild = self._index.get(f"*.{name.partition('.')[2]}")
        if exact is None or wild is None:
            return exact or wild
        return max(wild, exact, key=lambda kept: kept.rank(now))

    def put(self, source: str, name: str, chain: Chain, key: ServerKey) -> Path:
        """Keep a certificate under a name, in place of the one before. Errors: OSError, BadValue."""
        path = self.path(source, name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            former = path.with_name(f"{path.name}.old")
            former.unlink(missing_ok=True)
            former.hardlink_to(path)
        write_whole(path, key_pem(key) + chain.pem())
        return path

    def remove(self, source: str, name: str) -> bool:
        """Take one away, keeping it as the former one; False: there is none. Errors: OSError, BadValue."""
        path = self.path(source, name)
        if not path.exists():
            return False
        path.replace(path.with_name(f"{path.name}.old"))
        _sync(path.parent)
        return True

    def path(self, source: str, name: str) -> Path:
        """Where a certificate of this name is kept. Errors: BadValue for what is no host name."""
        domain_name(name.removeprefix("*."))
        return self._directory / FOLDERS[source] / f"{name.lower().replace('*', '_')}.pem"


def key_of(kept: Kept) -> ServerKey:
    """Its private key. Errors: OSError, ValueError."""
    return read_key(kept.key.read_bytes())


def is_current(kept: Kept) -> bool:
    """Is its file still the one that was read?"""
    try:
        return _stamp(kept.certificate.stat()) == kept.stamp
    except OSError:
        return False


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_mtime_ns, status.st_size


def write_whole(path: Path, octets: bytes) -> None:
    """A file for its owner alone, there as a whole or as it was before. Errors: OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync(path.parent)


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
