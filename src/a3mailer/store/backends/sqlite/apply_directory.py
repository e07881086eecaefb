"""Executing the operations on the directory: tenants, domains, accounts, aliases, credentials, audit."""

from __future__ import annotations

from typing import Final

from a3mailer.keys.wrap import new_key
from a3mailer.mail.changes import ANNOTATIONS, SCRIPTS
from a3mailer.mail.errors import AddressReserved, AlreadyExists, BadName, Conflict, NoSuchDomain, NoSuchThing
from a3mailer.mail.ids import AccountId
from a3mailer.mail.rights import of_account, of_group
from a3mailer.store.backends.sqlite.apply_documents import forget_scripts
from a3mailer.store.backends.sqlite.apply_mailbox import make_initial_mailboxes
from a3mailer.store.backends.sqlite.apply_queue import remove_queue_of
from a3mailer.store.backends.sqlite.apply_seen import forget_reader
from a3mailer.store.backends.sqlite.apply_sharing import forget_identifier
from a3mailer.store.backends.sqlite.apply_vault import erase_mail
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Ledger
from a3mailer.store.operations import (
    AccountCreated,
    Audit,
    BumpEpoch,
    ChangeAccount,
    CreateAccount,
    Done,
    PutAlias,
    PutCredential,
    PutDomain,
    PutSetting,
    PutTenant,
    PutToken,
    RemoveAccount,
    RemoveAlias,
    RemoveCredential,
    RemoveDomain,
    RemoveToken,
    RenameAccount,
    RenewCredential,
    ResetAccount,
)

ACCOUNT: Final = "account"
LIST: Final = "list"
RESERVED: Final = "reserved"
DIRECTORY_HINT: Final = (0, 0)
"""(account, mailbox) of the hint that the directory changed."""


def _changed(ledger: Ledger) -> Done:
    ledger.hints.append((*DIRECTORY_HINT, ledger.commits))
    return Done()


def put_tenant(ledger: Ledger, op: PutTenant, work: Work) -> Done:
    """A new tenant gets a key of its own; a known one is renamed."""
    ledger.execute(
        "INSERT INTO tenants (tenant, name, key_id, wrapped) VALUES (?,?,?,?)"
        " ON CONFLICT DO UPDATE SET name = excluded.name",
        (op.tenant, op.name, ledger.ring.current, ledger.ring.wrap(b"tenant", op.tenant, new_key())),
    )
    return _changed(ledger)


def put_domain(ledger: Ledger, op: PutDomain, work: Work) -> Done:
    """Errors: BadName, AlreadyExists for another tenant's domain."""
    if not op.name or op.name != op.name.lower() or "@" in op.name:
        raise BadName(f"{op.name!r} is no domain in lower case")
    row = ledger.execute("SELECT tenant FROM domains WHERE name=?", (op.name,)).fetchone()
    if row is not None and row[0] != op.tenant:
        raise AlreadyExists(op.name)
    ledger.execute(
        "INSERT INTO domains (name, tenant, catch_all, settings) VALUES (?,?,?,?)"
        " ON CONFLICT DO UPDATE SET catch_all = excluded.catch_all, settings = excluded.settings",
        (op.name, op.tenant, op.catch_all, op.settings),
    )
    return _changed(ledger)


def remove_domain(ledger: Ledger, op: RemoveDomain, work: Work) -> Done:
    """Reserved addresses do not keep a domain."""
    used = ledger.execute(
        "SELECT address FROM addresses WHERE kind <> 'reserved' AND address LIKE ? ESCAPE '\\' LIMIT 1",
        ("%@" + op.name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_"),),
    ).fetchone()
    if used is not None:
        raise Conflict(f"{op.name} still has addresses")
    if ledger.execute("DELETE FROM domains WHERE name=? RETURNING 1", (op.name,)).fetchone() is None:
        raise NoSuchThing(op.name)
    return _changed(ledger)


def _domain_of(ledger: Ledger, address: str, tenant: int) -> None:
    """Errors: BadName, NoSuchDomain."""
    local_part, _, domain = address.rpartition("@")
    if not local_part or not domain or address != address.lower():
        raise BadName(f"{address!r} is no address in lower case")
    row = ledger.execute("SELECT tenant FROM domains WHERE name=?", (domain,)).fetchone()
    if row is None or row[0] != tenant:
        raise NoSuchDomain(domain)


def _free_address(ledger: Ledger, address: str, replaceable: tuple[str, ...] = ()) -> None:
    """Errors: AlreadyExists, AddressReserved."""
    row = ledger.execute("SELECT kind, reserved_until FROM addresses WHERE address=?", (address,)).fetchone()
    if row is None or row[0] in replaceable:
        return
    if row[0] != RESERVED:
        raise AlreadyExists(address)
    if row[1] > ledger.now:
        raise AddressReserved(address)
    ledger.execute("DELETE FROM addresses WHERE address=?", (address,))


def _put_address(
    ledger: Ledger,
    address: str,
    tenant: int,
    kind: str,
    account: int,
    targets: tuple[str, ...],
    until: int = 0,
) -> None:
    ledger.execute(
        "INSERT OR REPLACE INTO addresses (address, tenant, kind, account, targets, reserved_until)"
        " VALUES (?,?,?,?,?,?)",
        (address, tenant, kind, account, "\n".join(targets), until),
    )


def create_account(ledger: Ledger, op: CreateAccount, work: Work) -> AccountCreated:
    """Row, key, address and mailboxes."""
    _domain_of(ledger, op.address, op.tenant)
    _free_address(ledger, op.address)
    (number,) = ledger.execute(
        "INSERT INTO accounts (tenant, quota, created, address, kind, display_name, role)"
        " VALUES (?,?,?,?,?,?,?) RETURNING account",
        (op.tenant, op.quota, op.now or ledger.now, op.address, op.kind, op.display_name, op.role),
    ).fetchone()
    ledger.execute(
        "INSERT INTO account_keys (account, key_id, wrapped) VALUES (?,?,?)",
        (number, ledger.ring.current, ledger.ring.wrap(b"account", number, new_key())),
    )
    ledger.connection.executemany(
        "INSERT INTO credentials (account, kind, name, secret, scopes, expires, created)"
        " VALUES (?,?,'',?,'',0,?)",
        [(number, kind, secret, op.now or ledger.now) for kind, secret in op.credentials],
    )
    _put_address(ledger, op.address, op.tenant, LIST if op.kind == LIST else ACCOUNT, number, ())
    make_initial_mailboxes(ledger, ledger.touch_account(number))
    _changed(ledger)
    return AccountCreated(AccountId(number))


def change_account(ledger: Ledger, op: ChangeAccount, work: Work) -> Done:
    """``enabled`` and ``role`` end the sessions there are."""
    state = ledger.touch_account(op.account)
    if op.quota is not None:
        state.quota = op.quota
    ledger.execute(
        "UPDATE accounts SET enabled = coalesce(?1, enabled), role = coalesce(?2, role),"
        " epoch = epoch + (coalesce(?1, enabled) <> enabled OR coalesce(?2, role) <> role),"
        " display_name = coalesce(?3, display_name), settings = coalesce(?4, settings) WHERE account = ?5",
        (op.enabled, op.role, op.display_name, op.settings, op.account),
    )
    return _changed(ledger)


def rename_account(ledger: Ledger, op: RenameAccount, work: Work) -> Done:
    """Mail is kept, the old address becomes an alias. An alias of its own may become the main address."""
    account = ledger.account(op.account)
    _domain_of(ledger, op.address, account.tenant)
    own = ledger.execute(
        "SELECT 1 FROM addresses WHERE address=? AND account=? AND kind='alias'", (op.address, op.account)
    ).fetchone()
    if own is None:
        _free_address(ledger, op.address)
    (old, kind) = ledger.execute(
        "SELECT address, kind FROM addresses WHERE address = (SELECT address FROM accounts WHERE account=?)",
        (op.account,),
    ).fetchone()
    ledger.execute("UPDATE accounts SET address=? WHERE account=?", (op.address, op.account))
    ledger.execute(
        "UPDATE addresses SET targets=? WHERE account=? AND kind='alias'", (op.address, op.account)
    )
    _put_address(ledger, old, account.tenant, "alias", op.account, (op.address,))
    _put_address(ledger, op.address, account.tenant, kind, op.account, ())
    return _changed(ledger)


def reset_account(ledger: Ledger, op: ResetAccount, work: Work) -> Done:
    """INBOX keeps its id and gets a new UIDVALIDITY; other ids are new."""
    erase_mail(ledger, op.account)
    state = ledger.touch_account(op.account)
    state.used_octets = state.used_messages = 0
    forget_scripts(ledger, op.account)
    make_initial_mailboxes(ledger, state)
    ledger.hints += [(op.account, mailbox, state.modseq) for mailbox in range(state.next_mailbox)]
    ledger.hints += [(op.account, what, ledger.commits) for what in (SCRIPTS, ANNOTATIONS)]
    return Done(state.modseq)


def remove_account(ledger: Ledger, op: RemoveAccount, work: Work) -> Done:
    """The key goes first: what a forgotten copy of the disk still holds cannot be opened."""
    tenant = ledger.account(op.account).tenant
    ledger.execute("DELETE FROM account_keys WHERE account=?", (op.account,))
    remove_queue_of(ledger, op.account)
    erase_mail(ledger, op.account)
    addresses = ledger.execute("SELECT address FROM addresses WHERE account=?", (op.account,)).fetchall()
    for (address,) in addresses:
        _put_address(ledger, address, tenant, RESERVED, 0, (), op.reserved_until)
    for sql in (
        "DELETE FROM credentials WHERE account=?",
        "DELETE FROM tokens WHERE account=?",
        "DELETE FROM documents WHERE account=?",
        "DELETE FROM accounts WHERE account=?",
    ):
        ledger.execute(sql, (op.account,))
    forget_identifier(ledger, of_account(op.account))
    forget_reader(ledger, op.account)
    ledger.forget(op.account)
    ledger.hints.append((op.account, 0, 0))
    return _changed(ledger)


def put_alias(ledger: Ledger, op: PutAlias, work: Work) -> Done:
    """Errors: BadName, NoSuchDomain, AlreadyExists, AddressReserved."""
    _domain_of(ledger, op.address, op.tenant)
    if not op.targets or any("\n" in target for target in op.targets):
        raise BadName("an alias leads to at least one address")
    reclaimed = (RESERVED,) if op.reclaim else ()
    _free_address(ledger, op.address, replaceable=("alias", "group", *reclaimed))
    account = 0
    if op.kind == "alias" and len(op.targets) == 1:
        row = ledger.execute("SELECT account FROM accounts WHERE address=?", op.targets).fetchone()
        account = row[0] if row else 0
    _put_address(ledger, op.address, op.tenant, op.kind, account, op.targets)
    return _changed(ledger)


def remove_alias(ledger: Ledger, op: RemoveAlias, work: Work) -> Done:
    """Errors: NoSuchThing, also for the address of an account."""
    row = ledger.execute("SELECT tenant, kind FROM addresses WHERE address=?", (op.address,)).fetchone()
    if row is None or row[1] not in ("alias", "group"):
        raise NoSuchThing(op.address)
    if op.reserved_until > ledger.now:
        _put_address(ledger, op.address, row[0], RESERVED, 0, (), op.reserved_until)
    else:
        ledger.execute("DELETE FROM addresses WHERE address=?", (op.address,))
    forget_identifier(ledger, of_group(op.address))
    return _changed(ledger)


def _bump(ledger: Ledger, account: int) -> Done:
    ledger.account(account)
    ledger.execute("UPDATE accounts SET epoch = epoch + 1 WHERE account=?", (account,))
    return _changed(ledger)


def put_credential(ledger: Ledger, op: PutCredential, work: Work) -> Done:
    """Sessions that used what was there before end."""
    ledger.execute(
        "INSERT OR REPLACE INTO credentials (account, kind, name, secret, scopes, expires, created)"
        " VALUES (?,?,?,?,?,?,?)",
        (op.account, op.kind, op.name, op.secret, op.scopes, op.expires, op.now or ledger.now),
    )
    return _bump(ledger, op.account)


def renew_credential(ledger: Ledger, op: RenewCredential, work: Work) -> Done:
    """Nothing happens when another has changed it meanwhile. Errors: NoSuchAccount."""
    ledger.account(op.account)
    ledger.execute(
        "UPDATE credentials SET secret = ? WHERE account = ? AND kind = ? AND name = ? AND secret = ?",
        (op.secret, op.account, op.kind, op.name, op.was),
    )
    return _changed(ledger)


def remove_credential(ledger: Ledger, op: RemoveCredential, work: Work) -> Done:
    """Errors: NoSuchThing."""
    gone = ledger.execute(
        "DELETE FROM credentials WHERE account=? AND kind=? AND name=? RETURNING 1",
        (op.account, op.kind, op.name),
    ).fetchone()
    if gone is None:
        raise NoSuchThing(op.name)
    return _bump(ledger, op.account)


def put_token(ledger: Ledger, op: PutToken, work: Work) -> Done:
    """The token carries the epoch it was made in: signing out everywhere ends it."""
    ledger.account(op.account)
    ledger.execute(
        "INSERT OR REPLACE INTO tokens (account, digest, name, scopes, expires, created, epoch)"
        " SELECT account, ?, ?, ?, ?, ?, epoch FROM accounts WHERE account=?",
        (op.digest, op.name, op.scopes, op.expires, op.now or ledger.now, op.account),
    )
    return _changed(ledger)


def remove_token(ledger: Ledger, op: RemoveToken, work: Work) -> Done:
    """Errors: NoSuchThing."""
    gone = ledger.execute(
        "DELETE FROM tokens WHERE account=? AND digest=? RETURNING 1", (op.account, op.digest)
    ).fetchone()
    if gone is None:
        raise NoSuchThing("token")
    return _changed(ledger)


def bump_epoch(ledger: Ledger, op: BumpEpoch, work: Work) -> Done:
    """Errors: NoSuchAccount."""
    return _bump(ledger, op.account)


def audit(ledger: Ledger, op: Audit, work: Work) -> Done:
    """A row in waiting, like a delivery."""
    ledger.add(
        "audit",
        (op.tenant, op.now or ledger.now, op.subject, op.action, op.target, op.outcome, op.trace, op.detail),
    )
    return Done()


def put_setting(ledger: Ledger, op: PutSetting, work: Work) -> Done:
    """An empty value removes it."""
    if op.value:
        ledger.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?,?)", (op.name, op.value))
    else:
        ledger.execute("DELETE FROM settings WHERE name=?", (op.name,))
    return _changed(ledger)
