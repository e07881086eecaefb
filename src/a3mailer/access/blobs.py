"""Octets by name (RFC 8620 section 6): contents of mails and uploads, parts of them, decoded, and scripts.

A name says by itself where the octets are, so nothing is kept for a part that is named and no name can lead
out of what the account refers to: that is asked of the store each time (attack row 44).

    blob = "B" 32HEXDIG                                     a whole content
         / "P" 32HEXDIG "_" start "_" stop "_" coding       octets of one, decoded
         / "S" 64HEXDIG "_" id                              a Sieve script, as long as it has this SHA-256
    coding = "n" / "q" / "b"                                as they are, quoted-printable, base64
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Final

from a3mailer.access.account_view import AccountView
from a3mailer.mail.errors import NoSuchMessage
from a3mailer.mail.ids import AccountId, BlobId, TenantId
from a3mailer.mail.message import encodings
from a3mailer.mail.message.index import glance
from a3mailer.runtime.clock import Clock
from a3mailer.store.operations import PutUpload, Uploaded
from a3mailer.store.ports import Content, Store, Transaction
from a3mailer.store.rows import SCRIPT

UPLOAD_SECONDS: Final = 86_400
"""How long an upload is kept that nothing refers to; the RFC wants an hour."""
LARGE: Final = 256 * 1024
"""Octets that are decoded outside the event loop."""
HEX: Final = 32
DIGEST: Final = 64
"""Hexadecimal digits of a script's SHA-256."""
MAX_DIGITS: Final = 12
CODINGS: Final = {"n": b"7bit", "q": b"quoted-printable", "b": b"base64"}
_LETTERS: Final = {b"quoted-printable": "q", b"base64": "b"}
_NOTHING: Final = glance(b"")
"""The index of an upload: what it holds is looked at when something refers to it."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a blob's name says."""

    blob: BlobId
    start: int = 0
    stop: int = -1
    """Before which octet it ends; -1: with the content."""
    coding: bytes = b"7bit"

    @property
    def whole(self) -> bool:
        """Is it a content as it is?"""
        return self.stop < 0


def name_of(blob: BlobId) -> str:
    """The name of a whole content."""
    return f"B{blob.hex()}"


def name_of_part(blob: BlobId, start: int, stop: int, encoding: bytes) -> str:
    """The name of the octets of a part, decoded from its Content-Transfer-Encoding (lower case)."""
    return f"P{blob.hex()}_{start}_{stop}_{_LETTERS.get(encoding, 'n')}"


def read_name(text: str) -> Name | None:
    """What a name says; None where it is none of ours."""
    kind, digits, rest = text[:1], text[1 : HEX + 1], text[HEX + 1 :]
    if len(digits) != HEX or digits.strip("0123456789abcdef"):
        return None
    blob = BlobId(bytes.fromhex(digits))
    if kind == "B":
        return None if rest else Name(blob)
    words = rest.split("_")
    if kind != "P" or len(words) != 4 or words[0] or words[3] not in CODINGS:
        return None
    start, stop = _number(words[1]), _number(words[2])
    if start is None or stop is None or start > stop:
        return None
    return Name(blob, start, stop, CODINGS[words[3]])


def name_of_script(digest: str, ident: str) -> str:
    """The name of a script's octets: other octets have another name, so what is named never changes."""
    return f"S{digest}_{ident}"


def read_script_name(text: str) -> tuple[str, str] | None:
    """(digest, id) of a script; None where the name is none of a script."""
    digest, mark, ident = text[1:].partition("_")
    if text[:1] != "S" or not mark or not ident or len(digest) != DIGEST:
        return None
    return None if digest.strip("0123456789abcdef") else (digest, ident)


def _number(digits: str) -> int | None:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > MAX_DIGITS:
        return None
    return int(digits) if digits[0] != "0" or digits == "0" else None


class Blobs:
    """Reads and takes octets for accounts. Errors of reading: NoSuchMessage, DamagedContent, TryLater."""

    __slots__ = ("_clock", "_keeper", "_store", "_view")

    def __init__(
        self, store: Store, clock: Clock, view: AccountView | None = None, keeper: AccountId | None = None
    ) -> None:
        """``view``: what is shown, where that is not everything; ``keeper``: who keeps uploads then."""
        self._store = store
        self._clock = clock
        self._view: AccountView = store if view is None else view
        self._keeper = keeper

    async def size(self, account: AccountId, name: str) -> int:
        """How many octets it has."""
        if (script := read_script_name(name)) is not None:
            return len(await self._script(account, *script))
        found = _named(name)
        if found.whole:
            return await self._view.content_size(account, found.blob)
        return len(await self.octets(account, name))

    async def octets(self, account: AccountId, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Its octets, or some of them. A part that is encoded is read and decoded as a whole."""
        if (script := read_script_name(name)) is not None:
            return (await self._script(account, *script))[start:stop]
        found = _named(name)
        if found.whole:
            return await self._view.octets(account, found.blob, start, stop)
        if found.stop > await self._view.content_size(account, found.blob):
            raise NoSuchMessage(name)
        octets = await self._view.octets(account, found.blob, found.start, found.stop)
        if found.coding in _LETTERS:
            if len(octets) < LARGE:
                octets = encodings.decode(octets, found.coding)
            else:
                octets = await asyncio.to_thread(encodings.decode, octets, found.coding)
        return octets[start:stop]

    async def _script(self, account: AccountId, digest: str, ident: str) -> bytes:
        """Whoever knows its digest has been shown it. Errors: NoSuchMessage."""
        found = await self._view.document(account, SCRIPT, ident)
        octets = b"" if found is None else found.value.encode()
        if found is None or hashlib.sha256(octets).hexdigest() != digest:
            raise NoSuchMessage(f"no script {ident[:60]} with these octets")
        return octets

    async def upload(
        self, account: AccountId, tenant: TenantId, uploader: AccountId, octets: bytes, most: int
    ) -> str:
        """Keep octets for a while; their name. ``most``: octets of all uploads of this uploader there.

        Errors: TooLarge, StoreFull, TryLater."""
        expires = int(self._clock.now()) + UPLOAD_SECONDS
        put = PutUpload(self._keeper or account, uploader, 0, expires, most)
        (made,) = await self._store.commit(Transaction((put,), (Content(octets, _NOTHING),), tenant))
        assert isinstance(made, Uploaded)
        return name_of(made.blob)


def _named(name: str) -> Name:
    found = read_name(name)
    if found is None:
        raise NoSuchMessage(name[:100])
    return found
