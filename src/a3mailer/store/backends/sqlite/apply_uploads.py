"""Executing the operation on uploads. Each holds its content once, as an email does."""

from __future__ import annotations

from typing import Final

from a3mailer.mail.errors import TooLarge
from a3mailer.mail.ids import BlobId
from a3mailer.store.backends.sqlite.apply_vault import release_uploads
from a3mailer.store.backends.sqlite.handover import Work
from a3mailer.store.backends.sqlite.ledger import Ledger
from a3mailer.store.operations import PutUpload, Uploaded

_OF: Final = "SELECT number, account, blob, size FROM uploads WHERE account=? AND uploader=? ORDER BY number"
_SAME: Final = "SELECT number, account, blob, size FROM uploads WHERE account=? AND uploader=? AND blob=?"


def put_upload(ledger: Ledger, op: PutUpload, work: Work) -> Uploaded:
    """Errors: NoSuchAccount, TooLarge."""
    tenant = ledger.account(op.account).tenant
    piece = work.pieces[op.content]
    if piece.size > op.most:
        raise TooLarge(f"at most {op.most} octets are kept")
    ledger.keep(work.pieces, op.content, tenant, op.account)
    ledger.flush()
    whose = (op.account, op.uploader)
    release_uploads(ledger, ledger.execute(_SAME, (*whose, piece.blob)).fetchall())
    rows = ledger.execute(_OF, whose).fetchall()
    over = sum(row[3] for row in rows) + piece.size - op.most
    gone = []
    for row in rows:
        if over <= 0:
            break
        gone.append(row)
        over -= row[3]
    release_uploads(ledger, gone)
    ledger.execute(
        "INSERT INTO uploads (account, uploader, blob, size, expires) VALUES (?,?,?,?,?)",
        (*whose, piece.blob, piece.size, op.expires),
    )
    return Uploaded(BlobId(piece.blob), piece.size)
