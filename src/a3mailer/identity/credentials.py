"""Passwords: how they are kept (argon2id), checked in a bounded pool, and remembered for a while.

Parameters are those OWASP gives (19 MiB, two passes, one lane).  A login with an unknown name costs the
same hash as one with a known name, and no more hashes run at once than the pool has threads: what waits
beyond MAX_WAITING is told to come back.  SCRAM verifiers (RFC 5802) are weaker after a theft and made only
where a domain asks for them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError
from blake3 import blake3

from a3mailer.identity.saslprep import Unprepared, saslprep
from a3mailer.mail.errors import BadName, TryLater
from a3mailer.runtime.shared import SharedTable
from a3mailer.telemetry.events import Secret

MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2
LANES: Final = 1
MAX_MEMORY_KIB: Final = 256 * 1024
"""An imported hash that asks for more memory than this is refused, ..."""
MAX_PASSES: Final = 16
MAX_LANES: Final = 8
"""... or more passes or lanes: it would be a flood made of one login."""
MAX_WAITING: Final = 256
"""Password checks that may wait for a thread of the pool."""
MAX_CACHED: Final = 32_768
"""Verified credentials remembered, by all workers together."""
CACHED_HALF_LIFE: Final = 300.0
"""Seconds; where the cache is full, what was verified long ago goes first."""
SCRAM_ITERATIONS: Final = 600_000
SCRAM_SALT: Final = 16
PASSWORD: Final = "password"  # noqa: S105 (the name of a kind)
SCRAM: Final = "scram-sha-256"

_HASHER: Final = argon2.PasswordHasher(PASSES, MEMORY_KIB, LANES, hash_len=32, salt_len=16)
_PARAMETERS: Final = re.compile(
    r"\$argon2id?\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})\$[A-Za-z0-9+/]{8,128}\$[A-Za-z0-9+/]{16,128}\Z"
)
_DUMMY: Final = (
    f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$" + "c2FsdHNhbHRzYWx0c2E" + "AAA$" + "A" * 43
)
"""What a login with an unknown name is checked against: the same work, and never right."""

Answer = TypeVar("Answer")


def hash_password(password: Secret) -> str:
    """A new argon2id hash in PHC form; about 25 ms of CPU. Errors: Unprepared, BadName (empty)."""
    prepared = saslprep(password.reveal())
    if not prepared:
        raise BadName("an empty password")
    return _HASHER.hash(prepared)


def accept_hash(text: str) -> str:
    """The PHC form of an already hashed password given at import. Errors: BadName.

    ``{ARGON2ID}$argon2id$...`` (Dovecot's word for it) and bare ``$argon2id$...`` are known today."""
    phc = text.removeprefix("{ARGON2ID}").removeprefix("{ARGON2}")
    found = _PARAMETERS.match(phc)
    if found is None:
        raise BadName("a password hash of a form that is not known ($argon2id$... is)")
    memory, passes, lanes = map(int, found.groups())
    if memory > MAX_MEMORY_KIB or passes > MAX_PASSES or lanes > MAX_LANES:
        raise BadName(f"a password hash dearer than m={MAX_MEMORY_KIB},t={MAX_PASSES},p={MAX_LANES}")
    return phc


def is_of_our_cost(stored: str) -> bool:
    """Was a PHC hash made with our parameters? Of another one a wrong password takes another time."""
    try:
        return not _HASHER.check_needs_rehash(stored)
    except InvalidHashError:
        return False


def is_hashed(text: str) -> bool:
    """Does a line of an import give a hash rather than a password?"""
    return text.startswith(("{ARGON2", "$argon2"))


def verify_password(stored: str | None, password: Secret) -> bool:
    """Check against a PHC hash; None (an unknown name) costs the same and is never right."""
    raw = password.reveal()
    try:
        forms = dict.fromkeys((saslprep(raw), raw))
    except Unprepared:
        forms = {"": None}
    verified = False
    for form in forms:  # the raw form too: a hash made elsewhere may be of the octets as typed
        try:
            verified = verified or _HASHER.verify(stored or _DUMMY, form)
        except (VerificationError, InvalidHashError):
            continue
    return verified and stored is not None and bool(raw)


@dataclass(frozen=True, slots=True)
class Verifier:
    """What is kept for SCRAM-SHA-256 (RFC 5802 section 3, RFC 5803)."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def encode(self) -> str:
        """``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`` (RFC 5803 section 3)."""
        salt, stored, server = (
            base64.b64encode(x).decode() for x in (self.salt, self.stored_key, self.server_key)
        )
        return f"SCRAM-SHA-256${self.iterations}:{salt}${stored}:{server}"

    @classmethod
    def decode(cls, text: str) -> Verifier:
        """The reverse of ``encode``. Errors: BadName."""
        try:
            _, work, keys = text.split("$")
            iterations, salt = work.split(":")
            stored, server = keys.split(":")
            return cls(int(iterations), *(base64.b64decode(x, validate=True) for x in (salt, stored, server)))
        except (ValueError, binascii.Error) as error:
            raise BadName("not a SCRAM verifier (RFC 5803)") from error


def make_verifier(password: Secret, iterations: int = SCRAM_ITERATIONS, salt: bytes = b"") -> Verifier:
    """RFC 5802 section 3: about 0.25 s of CPU at 600,000 iterations. Errors: Unprepared."""
    salt = salt or os.urandom(SCRAM_SALT)
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password.reveal()).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return Verifier(
        iterations, salt, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")
    )


class HashPool:
    """Threads for slow hashes, few, with a bounded queue (argon2 and PBKDF2 let go of the interpreter)."""

    __slots__ = ("_executor", "_waiting")

    def __init__(self, threads: int = 0) -> None:
        self._executor = ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1), "a3-hash")
        self._waiting = 0

    async def run(self, work: Callable[[], Answer], *, bounded: bool = True) -> Answer:
        """Run ``work`` in a thread. Errors: TryLater when too many wait (unless not ``bounded``)."""
        if bounded and self._waiting >= MAX_WAITING:
            raise TryLater("too many logins at once")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads end; what still waits is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class VerifiedCache:
    """Credentials that were right a moment ago, by a keyed hash of name, password and epoch.

    Made before the workers are forked: what one of them verified, none hashes again. The key dies with the
    instance; a new credential epoch (password change, disable) makes every older entry unreachable; entries
    end after ``seconds`` in any case. Of the hash 64 bits are kept: who does not know the key would have to
    try that many passwords."""

    __slots__ = ("_key", "_table", "seconds")

    def __init__(self, seconds: float, most: int = MAX_CACHED) -> None:
        self.seconds = seconds
        self._key = os.urandom(32)
        self._table = SharedTable(most, CACHED_HALF_LIFE)

    def digest(self, login: str, password: Secret, epoch: int) -> str:
        """The name under which a credential is remembered."""
        secret = password.reveal().encode("utf-8", "surrogatepass")
        name = login.encode()
        text = b"%d %d %b%b" % (epoch, len(name), name, secret)
        return blake3(text, key=self._key).hexdigest()

    def knows(self, digest: str, now: float) -> bool:
        """Was it verified less than ``seconds`` before ``now`` (monotonic)?"""
        found = self._table.get(digest)
        return found is not None and found[0] > now

    def remember(self, digest: str, now: float) -> None:
        """It was right at ``now``."""
        if self.seconds > 0:
            with self._table.locked():
                self._table.put(digest, now + self.seconds, now)
