"""Annotations of mailboxes and of the server (RFC 5464), private ones and those that are shared.

Kept as sealed documents: those that all see with the mailbox's owner, private ones with whom they belong to.
An entry is a path in lower case, ``/private/...`` or ``/shared/...``; a value is octets.

    values = await read(reader, subject, row, ("/private/comment",), depth=0)     row None: the server
    store.commit(Transaction(await change(reader, subject, row, {entry: value})))

``/private/specialuse`` of one's own mailbox is its special use (RFC 6154 section 4), ``/shared/admin`` of the
server whom to write to; the latter, and what all see of the server, only who runs it may change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from a3mailer.access.tree import SPECIAL_USES
from a3mailer.identity.principal import Principal
from a3mailer.identity.roles import allow
from a3mailer.mail.errors import BadName, NotPermitted, TooLarge, TooMany
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId, MailboxId, TenantId
from a3mailer.store.operations import Operation, PutDocument, RemoveDocument, SetMailbox
from a3mailer.store.ports import DocumentReader, MailReader
from a3mailer.store.rows import METADATA, Document, Mailbox

PRIVATE: Final = "/private/"
SHARED: Final = "/shared/"
SPECIAL_USE: Final = "/private/specialuse"
ADMIN: Final = "/shared/admin"
EVENT_SCRIPT: Final = "/shared/imapsieve/script"
"""Which script of the mailbox's owner runs for what is done there (RFC 6785 section 2.3.1)."""
MAX_VALUE: Final = 64 * 1024
"""Octets of one value."""
MAX_ENTRIES: Final = 200
"""Entries of one mailbox, or of the server, that one account keeps."""
MAX_NAME: Final = 512
"""Octets of an entry's name."""
INFINITY: Final = 1 << 30
"""A depth that reaches everything below."""
READING: Final = frozenset("rswip")
"""Of these rights one is needed, besides l, to see annotations of a mailbox (RFC 5464 section 3.3)."""
_SERVER: Final = MailboxId(0)


def entry_name(text: str, *, top: bool = False) -> str:
    """An entry as it is kept; with ``top`` also ``/private`` and ``/shared``, to ask for those below.

    Errors: BadName."""
    name = text.lower()
    if not name.isascii() or not name.isprintable() or len(name) > MAX_NAME or set(name) & {"*", "%"}:
        raise BadName("an entry is printable ASCII without * and %")
    if not (name + "/" if top else name).startswith((PRIVATE, SHARED)):
        raise BadName("an entry begins with /private/ or /shared/")
    if "//" in name or name.endswith("/"):
        raise BadName("an entry has no empty component")
    return name


def is_open(letters: Collection[str]) -> bool:
    """Whether who has these rights on a mailbox may see its annotations."""
    return "l" in letters and not READING.isdisjoint(letters)


def _place(subject: Principal, row: Mailbox | None, entry: str) -> tuple[AccountId, str]:
    """Whose document an entry is, and what stands before the entry in its name."""
    private = f"{entry}/".startswith(PRIVATE)
    if row is None:
        return (subject.account, f"{_SERVER}") if private else (SYSTEM_ACCOUNT, f"{subject.tenant}")
    if private and row.account != subject.account:
        return subject.account, f"{row.account}:{row.id}"
    return row.account, f"{row.id}"


def _computed(subject: Principal, row: Mailbox | None) -> dict[str, bytes]:
    """What is not kept as a document."""
    if row is None:
        return {ADMIN: f"mailto:postmaster@{subject.domain}".encode()}
    if row.account == subject.account and row.special_use:
        return {SPECIAL_USE: row.special_use.encode()}
    return {}


async def read(
    reader: DocumentReader, subject: Principal, row: Mailbox | None, entries: Iterable[str], depth: int = 0
) -> dict[str, bytes]:
    """The values there are of entries (as ``entry_name`` has them), and of those below down to ``depth``."""
    found: dict[str, bytes] = {}
    computed = _computed(subject, row)
    for entry in entries:
        account, prefix = _place(subject, row, entry)
        if depth == 0:
            one = await reader.document(account, METADATA, prefix + entry)
            documents: tuple[Document, ...] = () if one is None else (one,)
        else:
            documents = await reader.documents(account, METADATA, prefix + entry)
        known = {one.name.removeprefix(prefix): one.value.encode("latin-1") for one in documents}
        for name, value in sorted((known | computed).items()):
            below = name.removeprefix(entry)
            if name.startswith(entry) and (not below or (below[0] == "/" and below.count("/") <= depth)):
                found[name] = value
    return found


async def change(
    reader: DocumentReader, subject: Principal, row: Mailbox | None, wanted: Mapping[str, bytes | None]
) -> tuple[Operation, ...]:
    """What sets entries to values; None removes one. All together or none.

    Errors: TooLarge, TooMany, NotPermitted, BadName."""
    operations: list[Operation] = []
    growing: dict[tuple[AccountId, str], int] = {}
    for entry, value in wanted.items():
        if value is not None and len(value) > MAX_VALUE:
            raise TooLarge(f"more than {MAX_VALUE} octets")
        if row is None and entry.startswith(SHARED) and not _runs_server(subject, entry):
            raise NotPermitted(entry)
        if row is not None and entry == SPECIAL_USE:
            operations.append(_special_use(subject, row, value))
            continue
        account, prefix = _place(subject, row, entry)
        known = await reader.document(account, METADATA, prefix + entry)
        if value is not None:
            operations.append(PutDocument(account, METADATA, prefix + entry, value.decode("latin-1")))
        elif known is not None:
            operations.append(RemoveDocument(account, METADATA, prefix + entry))
        growth = (value is not None) - (known is not None)
        growing[account, prefix] = growing.get((account, prefix), 0) + growth
    for (account, prefix), growth in growing.items():
        if growth > 0:
            there = await reader.documents(account, METADATA, prefix + "/", limit=MAX_ENTRIES)
            if len(there) + growth > MAX_ENTRIES:
                raise TooMany(f"more than {MAX_ENTRIES} entries")
    return tuple(operations)


def _runs_server(subject: Principal, entry: str) -> bool:
    return entry != ADMIN and allow(subject, "config.change")


def _special_use(subject: Principal, row: Mailbox, value: bytes | None) -> Operation:
    if row.account != subject.account:
        raise NotPermitted(SPECIAL_USE)
    text = (value or b"").decode("latin-1").strip()
    uses = {use.lower(): use for use in SPECIAL_USES if use not in ("\\All", "\\Flagged")}
    if text and text.lower() not in uses:
        raise BadName("a mailbox has one use, of those this server knows")
    return SetMailbox(row.account, row.id, special_use=uses.get(text.lower(), ""))


async def event_script(
    reader: DocumentReader, tenant: TenantId, account: AccountId, mailbox: MailboxId
) -> tuple[bytes, bool]:
    """The value of ``EVENT_SCRIPT``, empty without one, and whether it is the server's, not the mailbox's."""
    own = await reader.document(account, METADATA, f"{mailbox}{EVENT_SCRIPT}")
    found = own or await reader.document(SYSTEM_ACCOUNT, METADATA, f"{tenant}{EVENT_SCRIPT}")
    return (b"", False) if found is None else (found.value.encode("latin-1"), own is None)


async def copies(
    reader: DocumentReader, account: AccountId, source: MailboxId, target: MailboxId
) -> tuple[Operation, ...]:
    """What gives a mailbox the entries of another: those of a renamed INBOX (RFC 5464 section 4.1)."""
    return tuple(
        PutDocument(account, METADATA, f"{target}{one.name.removeprefix(str(source))}", one.value)
        for one in await reader.documents(account, METADATA, f"{source}/", limit=2 * MAX_ENTRIES)
    )


async def special_use_is_free(reader: MailReader, row: Mailbox, use: str) -> bool:
    """Whether no other mailbox of the account has a special use."""
    rows = await reader.mailboxes(row.account)
    return not use or not any(one.special_use.lower() == use.lower() and one.id != row.id for one in rows)
