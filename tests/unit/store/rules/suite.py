"""The suite: all its parts as one class."""

from __future__ import annotations

from tests.unit.store.rules.directory import DirectoryCompliance
from tests.unit.store.rules.mailboxes import MailboxCompliance
from tests.unit.store.rules.messages import MessageCompliance
from tests.unit.store.rules.queue import QueueCompliance


class MailStoreCompliance(MailboxCompliance, MessageCompliance, QueueCompliance, DirectoryCompliance):
    """The tests; one fresh store each."""
