"""The directory, audit and settings: one function an operation."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from a3mailer.mail.changes import ANNOTATIONS, SCRIPTS
from a3mailer.mail.errors import AddressReserved, AlreadyExists, BadName, Conflict, NoSuchDomain, NoSuchThing
from a3mailer.mail.ids import SYSTEM_ACCOUNT, AccountId, ModSeq, TenantId
from a3mailer.mail.mailbox import INITIAL
from a3mailer.mail.rights import of_account, of_group
from a3mailer.store import operations as op
from a3mailer.store.backends.memory import documents, grants, mail, queue, seen, uploads
from a3mailer.store.backends.memory.state import State
from a3mailer.store.rows import Account, AddressEntry, AuditRecord, Credential, Domain, Token


def _told(state: State) -> op.Done:
    state.changed(SYSTEM_ACCOUNT, 0)
    return op.Done()


def put_tenant(state: State, o: op.PutTenant) -> op.Done:
    """``PutTenant``."""
    state.put(state.tenants, o.tenant, o.name)
    return _told(state)


def put_domain(state: State, o: op.PutDomain) -> op.Done:
    """``PutDomain``."""
    if not o.name or o.name != o.name.lower() or "@" in o.name:
        raise BadName(f"{o.name!r} is no domain in lower case")
    if (old := state.domains.get(o.name)) is not None and old.tenant != o.tenant:
        raise AlreadyExists(o.name)
    state.put(state.domains, o.name, Domain(o.tenant, o.name, o.catch_all, o.settings))
    return _told(state)


def remove_domain(state: State, o: op.RemoveDomain) -> op.Done:
    """``RemoveDomain``."""
    if o.name not in state.domains:
        raise NoSuchThing(o.name)
    if any(a.rpartition("@")[2] == o.name and e.kind != "reserved" for a, e in state.addresses.items()):
        raise Conflict(f"{o.name} still has addresses")
    state.drop(state.domains, o.name)
    return _told(state)


def _check_address(state: State, address: str, tenant: TenantId) -> None:
    """Errors: BadName, NoSuchDomain."""
    local_part, _, domain = address.rpartition("@")
    if not local_part or not domain or address != address.lower():
        raise BadName(f"{address!r} is no address in lower case")
    row = state.domains.get(domain)
    if row is None or row.tenant != tenant:
        raise NoSuchDomain(domain)


def _check_free(state: State, address: str, replaceable: tuple[str, ...] = ()) -> None:
    """Errors: AlreadyExists, AddressReserved."""
    old = state.addresses.get(address)
    if old is None or old.kind in replaceable:
        return
    if old.kind != "reserved":
        raise AlreadyExists(address)
    if old.reserved_until > state.now:
        raise AddressReserved(address)


def create_account(state: State, o: op.CreateAccount) -> op.AccountCreated:
    """``CreateAccount``."""
    _check_address(state, o.address, o.tenant)
    _check_free(state, o.address)
    account = AccountId(state.next(SYSTEM_ACCOUNT, "account"))
    kind = "list" if o.kind == "list" else "account"
    entry = AddressEntry(o.address, o.tenant, kind, account, (), 0)
    state.put(state.addresses, o.address, entry)
    row = Account(
        id=account, tenant=o.tenant, address=o.address, kind=o.kind, display_name=o.display_name, role=o.role,
        enabled=True, epoch=1, quota=o.quota, used_octets=0, used_messages=0, modseq=ModSeq(0),
        created=o.now or state.now, settings="{}",
    )  # fmt: skip
    state.put(state.accounts, account, row)
    for kind, secret in o.credentials:
        state.put(
            state.credentials, (account, kind, ""), Credential(account, "", kind, secret, "", 0, row.created)
        )
    _default_mailboxes(state, account)
    _told(state)
    return op.AccountCreated(account)


def _default_mailboxes(state: State, account: AccountId) -> None:
    for name, use in INITIAL:
        mail.create_mailbox(state, op.CreateMailbox(account, name, use, subscribed=True))


def change_account(state: State, o: op.ChangeAccount) -> op.Done:
    """``ChangeAccount``."""
    row = state.account(o.account)
    changed = replace(
        row,
        display_name=row.display_name if o.display_name is None else o.display_name,
        quota=row.quota if o.quota is None else o.quota,
        enabled=row.enabled if o.enabled is None else o.enabled,
        role=row.role if o.role is None else o.role,
        settings=row.settings if o.settings is None else o.settings,
    )
    bump = (changed.enabled, changed.role) != (row.enabled, row.role)
    state.put(state.accounts, o.account, replace(changed, epoch=row.epoch + bump))
    return _told(state)


def bump_epoch(state: State, o: op.BumpEpoch) -> op.Done:
    """``BumpEpoch``."""
    row = state.account(o.account)
    state.put(state.accounts, o.account, replace(row, epoch=row.epoch + 1))
    return _told(state)


def rename_account(state: State, o: op.RenameAccount) -> op.Done:
    """``RenameAccount``."""
    row = state.account(o.account)
    _check_address(state, o.address, row.tenant)
    own = state.addresses.get(o.address)
    if own is None or own.account != o.account or own.kind != "alias":
        _check_free(state, o.address)
    for address, entry in list(state.addresses.items()):
        if entry.account == o.account and entry.kind == "alias":
            state.put(state.addresses, address, replace(entry, targets=(o.address,)))
    kind = state.addresses[row.address].kind
    old = AddressEntry(row.address, row.tenant, "alias", o.account, (o.address,), 0)
    state.put(state.addresses, row.address, old)
    state.put(state.addresses, o.address, AddressEntry(o.address, row.tenant, kind, o.account, (), 0))
    state.put(state.accounts, o.account, replace(row, address=o.address))
    return _told(state)


def remove_account(state: State, o: op.RemoveAccount) -> op.Done:
    """``RemoveAccount``."""
    row = state.account(o.account)
    for queued in [e for e in state.queue.values() if e.account == o.account]:
        queue.remove(state, queued)
    _empty(state, o.account)
    for address, entry in list(state.addresses.items()):
        if entry.account == o.account:
            reserved = AddressEntry(address, row.tenant, "reserved", AccountId(0), (), o.reserved_until)
            state.put(state.addresses, address, reserved)
    for key in [k for k in state.credentials if k[0] == o.account]:
        state.drop(state.credentials, key)
    for digest in [d for d, t in state.tokens.items() if t.account == o.account]:
        state.drop(state.tokens, digest)
    documents.forget(state, o.account)
    grants.forget_identifier(state, of_account(o.account))
    seen.forget(state, lambda mark: mark[2] == o.account)
    state.drop(state.accounts, o.account)
    return _told(state)


def reset_account(state: State, o: op.ResetAccount) -> op.Done:
    """``ResetAccount``: INBOX keeps its id and gets a new UIDVALIDITY; other ids are new."""
    state.account(o.account)
    following = state.counters[o.account, "mailbox"]
    _empty(state, o.account)
    documents.forget_scripts(state, o.account)
    row = state.account(o.account)
    state.put(state.accounts, o.account, replace(row, used_octets=0, used_messages=0))
    state.put(state.counters, (o.account, "mailbox"), 0)
    for name, use in INITIAL:
        mail.create_mailbox(state, op.CreateMailbox(o.account, name, use, subscribed=True))
        made = state.counters[o.account, "mailbox"]
        state.put(state.counters, (o.account, "mailbox"), max(made, following))
    modseq = state.account(o.account).modseq
    for mailbox in range(following + len(INITIAL)):
        state.changed(o.account, mailbox, modseq)
    for what in (SCRIPTS, ANNOTATIONS):
        state.changed(o.account, what)
    return op.Done(modseq)


def _empty(state: State, account: AccountId) -> None:
    """Mail, mailboxes, vault and contents of an account go at once; blobs others hold stay."""
    grants.forget(state, lambda owner, _mailbox, _name: owner == account)
    documents.forget_annotations(state, account)
    uploads.forget(state, account)
    seen.forget(state, lambda mark: mark[0] == account)
    modseq = state.account(account).modseq
    mine = tuple(email for owner, email in state.fragments if owner == account)
    mail.erase_emails(state, op.EraseEmails(account, mine))
    tables: tuple[dict[Any, Any], ...] = (
        state.mailboxes,
        state.messages,
        state.gone,
        state.threads,
        state.deliveries,
        state.delivered,
        state.forgotten,
        state.mailboxes_gone,
    )
    for table in tables:
        for key in [key for key in table if key[0] == account]:
            state.drop(table, key)
    state.put(state.accounts, account, replace(state.account(account), modseq=modseq))
    state.put(state.forgotten_of, account, modseq)


def put_alias(state: State, o: op.PutAlias) -> op.Done:
    """``PutAlias``."""
    _check_address(state, o.address, o.tenant)
    if not o.targets or any("\n" in target for target in o.targets):
        raise BadName("an alias leads to at least one address")
    reclaimed = ("reserved",) if o.reclaim else ()
    _check_free(state, o.address, replaceable=("alias", "group", *reclaimed))
    target = state.addresses.get(o.targets[0]) if len(o.targets) == 1 and o.kind == "alias" else None
    account = target.account if target is not None and target.kind in ("account", "list") else AccountId(0)
    state.put(state.addresses, o.address, AddressEntry(o.address, o.tenant, o.kind, account, o.targets, 0))
    return _told(state)


def remove_alias(state: State, o: op.RemoveAlias) -> op.Done:
    """``RemoveAlias``."""
    old = state.addresses.get(o.address)
    if old is None or old.kind not in ("alias", "group"):
        raise NoSuchThing(o.address)
    if o.reserved_until > state.now:
        reserved = AddressEntry(o.address, old.tenant, "reserved", AccountId(0), (), o.reserved_until)
        state.put(state.addresses, o.address, reserved)
    else:
        state.drop(state.addresses, o.address)
    grants.forget_identifier(state, of_group(o.address))
    return _told(state)


def put_credential(state: State, o: op.PutCredential) -> op.Done:
    """``PutCredential``."""
    state.account(o.account)
    row = Credential(o.account, o.name, o.kind, o.secret, o.scopes, o.expires, o.now or state.now)
    state.put(state.credentials, (o.account, o.kind, o.name), row)
    return bump_epoch(state, op.BumpEpoch(o.account))


def renew_credential(state: State, o: op.RenewCredential) -> op.Done:
    """``RenewCredential``."""
    state.account(o.account)
    key = (o.account, o.kind, o.name)
    old = state.credentials.get(key)
    if old is not None and old.secret == o.was:
        state.put(state.credentials, key, replace(old, secret=o.secret))
    return _told(state)


def remove_credential(state: State, o: op.RemoveCredential) -> op.Done:
    """``RemoveCredential``."""
    key = (o.account, o.kind, o.name)
    if key not in state.credentials:
        raise NoSuchThing(o.name)
    state.drop(state.credentials, key)
    return bump_epoch(state, op.BumpEpoch(o.account))


def put_token(state: State, o: op.PutToken) -> op.Done:
    """``PutToken``."""
    epoch = state.account(o.account).epoch
    row = Token(o.account, o.digest, o.name, o.scopes, o.expires, o.now or state.now, epoch)
    state.put(state.tokens, o.digest, row)
    return _told(state)


def remove_token(state: State, o: op.RemoveToken) -> op.Done:
    """``RemoveToken``."""
    if o.digest not in state.tokens or state.tokens[o.digest].account != o.account:
        raise NoSuchThing("token")
    state.drop(state.tokens, o.digest)
    return _told(state)


def doubt(state: State, o: op.Doubt) -> op.Done:
    """``Doubt``."""
    state.doubted.update(o.fingerprints)
    state.journal.append(partial(state.doubted.subtract, o.fingerprints))
    return op.Done()


def sweep(state: State, o: op.Sweep) -> op.Purged:
    """``Sweep``: there are no receipts in memory."""
    keys = [key for key, at in state.delivered.items() if at < o.now - op.DELIVERY_DAYS * mail.DAY][: o.limit]
    for key in keys:
        state.drop(state.delivered, key)
        state.drop(state.deliveries, key)
    addresses = [
        address
        for address, entry in state.addresses.items()
        if entry.kind == "reserved" and entry.reserved_until < o.now
    ][: o.limit]
    for address in addresses:
        state.drop(state.addresses, address)
    tokens = [digest for digest, token in state.tokens.items() if 0 < token.expires < o.now][: o.limit]
    for digest in tokens:
        state.drop(state.tokens, digest)
    gone = documents.sweep(state, o) + uploads.sweep(state, o) + queue.forget_finished(state, o)
    return op.Purged(len(keys) + len(addresses) + len(tokens) + gone)


def audit(state: State, o: op.Audit) -> op.Done:
    """``Audit``."""
    number = state.next(SYSTEM_ACCOUNT, "audit")
    row = AuditRecord(
        number,
        TenantId(o.tenant),
        o.now or state.now,
        o.subject,
        o.action,
        o.target,
        o.outcome,
        o.trace,
        o.detail,
    )
    state.put(state.audit, number, row)
    return op.Done()


def put_setting(state: State, o: op.PutSetting) -> op.Done:
    """``PutSetting``."""
    if o.value:
        state.put(state.settings, o.name, o.value)
    elif o.name in state.settings:
        state.drop(state.settings, o.name)
    return _told(state)
