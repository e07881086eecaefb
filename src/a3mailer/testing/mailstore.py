"""``MailStoreCompliance``: every rule of the doors of ``store/ports.py``; a backend that passes is a store.

    class TestMine(MailStoreCompliance):
        @pytest.fixture
        async def store(self, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
            store = await open_mine(tmp_path, clock)
            yield store
            await store.close()

The store has to be empty, and to take its time from ``clock``. A transaction that fails is always held
against a picture of everything the readers say (``testing.store.picture``): nothing may have changed.
"""

from __future__ import annotations

from a3mailer.testing.store.accounts import AccountMailRules, EmailRules
from a3mailer.testing.store.contents import ContentRules
from a3mailer.testing.store.directory import DirectoryRules
from a3mailer.testing.store.documents import DocumentRules
from a3mailer.testing.store.mailboxes import MailboxRules
from a3mailer.testing.store.messages import MessageRules
from a3mailer.testing.store.parts import PartRules
from a3mailer.testing.store.queue import QueueRules
from a3mailer.testing.store.reports import ReportRules
from a3mailer.testing.store.seen import SeenRules
from a3mailer.testing.store.sharing import SharingRules
from a3mailer.testing.store.signatures import SignatureRules
from a3mailer.testing.store.texts import TextRules
from a3mailer.testing.store.transactions import TransactionRules
from a3mailer.testing.store.twins import TwinRules
from a3mailer.testing.store.uploads import UploadRules
from a3mailer.testing.store.vault import VaultRules


class MailStoreCompliance(
    MailboxRules,
    MessageRules,
    VaultRules,
    ContentRules,
    PartRules,
    QueueRules,
    DirectoryRules,
    ReportRules,
    DocumentRules,
    SharingRules,
    UploadRules,
    TwinRules,
    AccountMailRules,
    EmailRules,
    SignatureRules,
    TextRules,
    SeenRules,
    TransactionRules,
):
    """All rules. Give it the ``store`` fixture."""
