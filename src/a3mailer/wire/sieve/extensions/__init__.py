"""What scripts can say: one file and one line an extension. A test compares the table with the documents."""

from __future__ import annotations

from typing import Final

from a3mailer.wire.sieve.dialect import Dialect
from a3mailer.wire.sieve.extensions import (
    body,
    copy,
    core,
    date,
    duplicate,
    editheader,
    encoded,
    enotify,
    envelope,
    environment,
    fileinto,
    ihave,
    imap4flags,
    include,
    index,
    mailbox,
    policy,
    regex,
    reject,
    relational,
    subaddress,
    vacation,
    variables,
)
from a3mailer.wire.sieve.vocabulary import Extension

EXTENSIONS: Final[tuple[Extension, ...]] = (
    core.EXTENSION,
    fileinto.EXTENSION,
    envelope.EXTENSION,
    relational.RELATIONAL,
    relational.NUMERIC,
    encoded.EXTENSION,
    variables.EXTENSION,
    environment.EXTENSION,
    ihave.EXTENSION,
    subaddress.EXTENSION,
    copy.EXTENSION,
    reject.REJECT,
    reject.EREJECT,
    editheader.EXTENSION,
    date.EXTENSION,
    index.EXTENSION,
    body.EXTENSION,
    imap4flags.EXTENSION,
    mailbox.MAILBOX,
    mailbox.SPECIAL_USE,
    mailbox.MAILBOX_ID,
    include.EXTENSION,
    duplicate.EXTENSION,
    vacation.VACATION,
    vacation.VACATION_SECONDS,
    enotify.EXTENSION,
    regex.EXTENSION,
    policy.EXTENSION,
)

ALL: Final = Dialect(EXTENSIONS)  # the whole language
USERS: Final = ALL.without("vnd.a3.policy")  # what a user's script may say
# what a script at the stages of SMTP may say: nothing about where a mail goes
OPERATORS: Final = ALL.without(
    "fileinto",
    "copy",
    "imap4flags",
    "mailbox",
    "special-use",
    "mailboxid",
    "include",
    "duplicate",
    "vacation",
    "vacation-seconds",
    "enotify",
    words=("discard", "redirect", "keep"),
)
