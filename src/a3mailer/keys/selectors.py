"""The DKIM keys of one domain (RFC 6376 section 3.1), each under its selector and in a state (ADR 0022).

| state | the record in the DNS | the key |
|---|---|---|
| prepared | is to be published | made, signs nothing |
| published | was seen | waits until every name server has it |
| signing | has to stay | signs |
| retired | has to stay: mail it signed is still on its way | signs no more |
| removed | may go | is deleted |

A folder ``keys/dkim/DOMAIN`` has one file ``SELECTOR.pem`` a key, and ``states.json`` for those that are not
simply signing. It is replaced as a whole, which changes the folder's time: whoever signs notices by that.
"""

from __future__ import annotations

import base64
import fcntl
import os
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = Path("keys") / "dkim"
"""In the data directory; below it a folder a domain."""
SUFFIX: Final = ".pem"
STATES: Final = "states.json"
MAX_SELECTORS: Final = 16
"""Of one domain; a mail with more signatures than that is looked at by nobody."""
SETTLE_SECONDS: Final = 3600
"""Between the first sight of a record and the first signature: secondary name servers follow meanwhile."""
RETIRED_SECONDS: Final = 14 * 86400
"""How long a record outlives its last signature: queues give up sooner, archives have looked by then."""

PREPARED: Final = "prepared"
PUBLISHED: Final = "published"
SIGNING: Final = "signing"
RETIRED: Final = "retired"
REMOVED: Final = "removed"
ORDER: Final = (PREPARED, PUBLISHED, SIGNING, RETIRED, REMOVED)


class BadStates(ValueError):
    """``states.json`` is not one."""


@dataclass(frozen=True, slots=True)
class Selector:
    """One key. ``kind`` is ``rsa`` or ``ed25519``; ``since``: seconds since the epoch, 0 = not known."""

    name: str
    kind: str
    state: str
    since: int = 0


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    state: str
    since: int


_rows: Final = msgspec.json.Decoder(dict[str, _Row]).decode


def states(folder: Path) -> dict[str, Selector]:
    """Those of ``states.json``, by name; a key that is not in it signs. Errors: OSError, BadStates."""
    try:
        octets = (folder / STATES).read_bytes()
    except FileNotFoundError:
        return {}
    try:
        rows = _rows(octets)
    except msgspec.MsgspecError as error:
        raise BadStates(f"{folder / STATES}: {error}") from error
    if unknown := [row.state for row in rows.values() if row.state not in ORDER]:
        raise BadStates(f"{folder / STATES}: no such state: {unknown[0]}")
    return {name: Selector(name, row.kind, row.state, row.since) for name, row in rows.items()}


def signing(folder: Path) -> tuple[Path, ...]:
    """The files of the keys that sign. Errors: OSError, BadStates."""
    known = states(folder)
    found = sorted(folder.glob(f"*{SUFFIX}"), reverse=True)
    return tuple(path for path in found if path.stem not in known or known[path.stem].state == SIGNING)


def read(folder: Path) -> tuple[Selector, ...]:
    """All keys of a domain; none where it has no folder. Errors: OSError, ValueError (a key, BadStates)."""
    known = states(folder)
    found = [
        known.get(path.stem) or Selector(path.stem, kind_of(path.read_bytes()), SIGNING)
        for path in sorted(folder.glob(f"*{SUFFIX}"))[:MAX_SELECTORS]
    ]
    return (*found, *(each for each in known.values() if each.state == REMOVED))


def write(folder: Path, selectors: Iterable[Selector]) -> None:
    """Keep the states, whole or not at all; then delete the keys that are removed. Errors: OSError."""
    kept = tuple(selectors)
    rows = {s.name: _Row(s.kind, s.state, s.since) for s in kept}
    draft = folder / f".{STATES}.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(rows))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / STATES)
    for each in kept:
        if each.state == REMOVED:
            (folder / f"{each.name}{SUFFIX}").unlink(missing_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Generator[None, None, None]:
    """Nobody else changes this domain's keys meanwhile; waits. Errors: OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_turning(folder: Path) -> bool:
    """Is there a key that does not simply sign, so that there is work? Errors: OSError, BadStates."""
    return any(each.state != SIGNING for each in states(folder).values())


def advance(
    selectors: Iterable[Selector], seen: Mapping[str, bool], now: int, settle: int = SETTLE_SECONDS
) -> tuple[Selector, ...]:
    """The states after a look at the DNS. ``seen``: whether the record of a selector is there, as far as that
    is known; nothing happens to a key of which it is not."""
    pairs = [(s, _moved(s, seen.get(s.name), now, settle)) for s in selectors]
    begun = {new.kind for old, new in pairs if new and new.state == SIGNING != old.state}
    return tuple(
        replace(new, state=RETIRED, since=now) if old.state == SIGNING and old.kind in begun else new
        for old, new in pairs
        if new is not None
    )


def _moved(selector: Selector, seen: bool | None, now: int, settle: int) -> Selector | None:
    waited = now - selector.since
    match selector.state:
        case "prepared" if seen:
            return _moved(replace(selector, state=PUBLISHED, since=now), seen, now, settle)
        case "published" if seen is False:
            return replace(selector, state=PREPARED, since=now)
        case "published" if seen and waited >= settle:
            return replace(selector, state=SIGNING, since=now)
        case "retired" if waited >= RETIRED_SECONDS:
            return replace(selector, state=REMOVED, since=now)
        case "removed" if seen is False:
            return None
    return selector


def next_name(kind: str, taken: Iterable[str], now: int) -> str:
    """A selector for a new key: its kind and the day."""
    day = time.strftime("%Y%m%d", time.gmtime(now))
    used = set(taken)
    first = f"a3-{kind}-{day}"
    names = (first, *(f"{first}-{number}" for number in range(2, MAX_SELECTORS + 2)))
    return next(name for name in names if name not in used)


def kind_of(pem: bytes) -> str:
    """``rsa`` or ``ed25519``. Errors: ValueError."""
    return _public(pem)[0]


# key-record = "v=DKIM1; k=" ("rsa" / "ed25519") "; p=" base64
def key_text(pem: bytes) -> str:
    """The key record of a private key (RFC 6376 section 3.6.1, RFC 8463 section 4). Errors: ValueError."""
    kind, public = _public(pem)
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"


def _public(pem: bytes) -> tuple[str, bytes]:
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa  # only where a key is read
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    match load_pem_private_key(pem, None):
        case ed25519.Ed25519PrivateKey() as key:
            return "ed25519", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        case rsa.RSAPrivateKey() as key:
            form = PublicFormat.SubjectPublicKeyInfo
            return "rsa", key.public_key().public_bytes(Encoding.DER, form)
    raise ValueError("a DKIM key is RSA or Ed25519")
