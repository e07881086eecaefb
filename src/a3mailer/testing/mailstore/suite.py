"""The suite: all its parts as one class."""

from __future__ import annotations

from a3mailer.testing.mailstore.directory import DirectoryCompliance
from a3mailer.testing.mailstore.mailboxes import MailboxCompliance
from a3mailer.testing.mailstore.messages import MessageCompliance
from a3mailer.testing.mailstore.queue import QueueCompliance


class MailStoreCompliance(MailboxCompliance, MessageCompliance, QueueCompliance, DirectoryCompliance):
    """The tests; one fresh store each."""
