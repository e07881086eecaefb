"""The one table: which function executes which operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from a3mailer.store import operations as op
from a3mailer.store.backends.sqlite import (
    apply_directory,
    apply_documents,
    apply_email,
    apply_mail,
    apply_mailbox,
    apply_queue,
    apply_reports,
    apply_seen,
    apply_sharing,
    apply_store,
    apply_uploads,
    apply_vault,
)
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Ledger
from a3mailer.store.operations import AnyResult, Operation

Apply = Callable[[Ledger, Any, Work], AnyResult]

TABLE: Final[dict[type[Operation], Apply]] = {
    op.CreateMailbox: apply_mailbox.create_mailbox,
    op.RenameMailbox: apply_mailbox.rename_mailbox,
    op.DeleteMailbox: apply_mailbox.delete_mailbox,
    op.SetMailbox: apply_mailbox.set_mailbox,
    op.Notice: apply_mailbox.notice,
    op.ChangeGrant: apply_sharing.change_grant,
    op.SeeNewest: apply_seen.see_newest,
    op.Append: apply_mail.append,
    op.AppendInto: apply_mailbox.append_into,
    op.Copy: apply_mail.copy,
    op.StoreFlags: apply_mail.store_flags,
    op.Expunge: apply_mail.expunge,
    op.Undelete: apply_mail.undelete,
    op.ChangeEmail: apply_email.change_email,
    op.DestroyEmails: apply_email.destroy_emails,
    op.RememberSignature: apply_email.remember_signature,
    op.PurgeVault: apply_vault.purge_vault,
    op.ExpireMailboxes: apply_vault.expire_mailboxes,
    op.EraseEmails: apply_vault.erase_emails,
    op.Sweep: apply_vault.sweep,
    op.DropTombstones: apply_vault.drop_tombstones,
    op.Enqueue: apply_queue.enqueue,
    op.ClaimQueue: apply_queue.claim_queue,
    op.SettleQueue: apply_queue.settle_queue,
    op.ChangeQueue: apply_queue.change_queue,
    op.PutTenant: apply_directory.put_tenant,
    op.PutDomain: apply_directory.put_domain,
    op.RemoveDomain: apply_directory.remove_domain,
    op.CreateAccount: apply_directory.create_account,
    op.ChangeAccount: apply_directory.change_account,
    op.RenameAccount: apply_directory.rename_account,
    op.ResetAccount: apply_directory.reset_account,
    op.RemoveAccount: apply_directory.remove_account,
    op.PutAlias: apply_directory.put_alias,
    op.RemoveAlias: apply_directory.remove_alias,
    op.PutCredential: apply_directory.put_credential,
    op.RenewCredential: apply_directory.renew_credential,
    op.RemoveCredential: apply_directory.remove_credential,
    op.PutToken: apply_directory.put_token,
    op.RemoveToken: apply_directory.remove_token,
    op.PutDocument: apply_documents.put_document,
    op.RemoveDocument: apply_documents.remove_document,
    op.BumpEpoch: apply_directory.bump_epoch,
    op.Audit: apply_directory.audit,
    op.Doubt: apply_store.doubt,
    op.PutSetting: apply_directory.put_setting,
    op.PutDictionary: apply_store.put_dictionary,
    op.RewrapKeys: apply_store.rewrap_keys,
    op.Relocate: apply_store.relocate,
    op.PutUpload: apply_uploads.put_upload,
    op.AddTallies: apply_reports.add_tallies,
    op.DropTallies: apply_reports.drop_tallies,
    op.PutReport: apply_reports.put_report,
    op.DropReports: apply_reports.drop_reports,
}

LIGHT: Final = frozenset({op.Append, op.Enqueue, op.Audit})
"""They change counters in memory and rows in waiting only: undone without a savepoint."""
HEAVY: Final = frozenset({op.DeleteMailbox, op.RemoveAccount, op.ResetAccount})
"""They remove rows that the ledger remembers: it writes everything down before them."""
GROWING: Final = frozenset(
    {
        op.Append,
        op.AppendInto,
        op.Enqueue,
        op.CreateAccount,
        op.CreateMailbox,
        op.AddTallies,
        op.PutReport,
        op.ChangeGrant,
        op.PutUpload,
    }
)
"""Refused when the disk is nearly full; what reads, marks and deletes goes on."""
DIRECTORY: Final = frozenset(
    {
        op.PutTenant,
        op.PutDomain,
        op.RemoveDomain,
        op.CreateAccount,
        op.ChangeAccount,
        op.RenameAccount,
        op.ResetAccount,
        op.RemoveAccount,
        op.PutAlias,
        op.RemoveAlias,
        op.PutCredential,
        op.RenewCredential,
        op.RemoveCredential,
        op.PutToken,
        op.RemoveToken,
        op.BumpEpoch,
        op.PutSetting,
        op.PutDictionary,
        op.RewrapKeys,
        op.Sweep,
    }
)
"""After them what a worker remembers of the directory is not to be believed."""
