"""mboxmetadata and servermetadata (RFC 5490) at a delivery: what the account itself could read by IMAP."""

from __future__ import annotations

import pytest

from a3mailer.access.metadata import change
from a3mailer.identity.principal import Principal
from a3mailer.mail.ids import AccountId, MailboxId
from a3mailer.mail.rights import of_account
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from a3mailer.store.rows import Account, Mailbox
from tests.unit.transfer.filtering.town import Town
from tests.unit.transfer.world import MAIL

NEED = 'require ["mboxmetadata", "servermetadata", "fileinto", "mailbox"];'


@pytest.fixture
def town() -> Town:
    return Town()


def subject(row: Account, role: str = "user") -> Principal:
    return Principal(row.id, row.tenant, row.address, role, row.address)


async def annotate(town: Town, who: Principal, row: Mailbox | None, entry: str, value: bytes) -> None:
    await town.store.commit(Transaction(await change(town.store, who, row, {entry: value})))


async def filed(town: Town, test: str) -> bool:
    """Is a test true for alice's next mail?"""
    await town.script(f'{NEED} if {test} {{ fileinto :create "Hit"; }}')
    before = (await town.counts()).get("Hit", 0)
    assert await town.took(MAIL) == (None,)
    return (await town.counts()).get("Hit", 0) == before + 1


async def grant(town: Town, owner: AccountId, mailbox: MailboxId, letters: str) -> None:
    change_ = op.ChangeGrant(owner, mailbox, of_account(town.alice.id), "=", letters)
    await town.store.commit(Transaction((change_,)))
    town.rights.forget()


async def test_of_ones_own_mailbox_and_of_the_server(town: Town) -> None:
    alice = subject(town.alice)
    inbox = await town.store.mailbox_named(town.alice.id, "INBOX")
    await annotate(town, alice, inbox, "/private/vendor/v/away", b"on")
    await annotate(town, alice, None, "/private/vendor/v/uri", b"none")
    assert await filed(town, 'metadata "inbox" "/PRIVATE/vendor/v/away" "on"')
    assert not await filed(town, 'metadata "Trash" "/private/vendor/v/away" "on"')
    assert not await filed(town, 'metadataexists "Nowhere" "/private/vendor/v/away"')
    assert not await filed(town, 'metadataexists "INBOX" "no entry/*"')
    assert await filed(town, 'servermetadata "/private/vendor/v/uri" "none"')
    assert await filed(town, 'servermetadata :matches "/shared/admin" "mailto:postmaster@a.test"')
    assert not await filed(town, 'servermetadataexists "/shared/vendor/v/none"')
    assert not await filed(town, 'metadataexists "a//b" "/private/vendor/v/away"')


async def test_private_ones_are_the_readers_and_those_of_others_need_their_rights(town: Town) -> None:
    """Attack row 38: a script learns nothing that its owner could not."""
    team = await town.make("Team", town.bob.id)
    row = await town.store.mailbox(town.bob.id, team)
    await annotate(town, subject(town.bob), row, "/shared/comment", b"ours")
    await annotate(town, subject(town.bob), row, "/private/comment", b"bob's")
    there = 'metadata "Other Users/bob/Team" "/shared/comment" "ours"'
    assert not await filed(town, there)
    await grant(town, town.bob.id, team, "l")
    assert not await filed(town, there), "l alone is not enough (RFC 5464 section 3.3)"
    await grant(town, town.bob.id, team, "lr")
    assert await filed(town, there)
    assert not await filed(town, 'metadataexists "Other Users/bob/Team" "/private/comment"')
    await annotate(town, subject(town.bob), None, "/private/comment", b"bob's")
    assert not await filed(town, 'servermetadataexists "/private/comment"')
