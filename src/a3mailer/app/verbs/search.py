"""How far the index of texts is, and making it anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

from a3mailer.app.verbs.office import Office, Request
from a3mailer.identity.roles import require
from a3mailer.mail.ids import AccountId

ACCOUNTS_A_PAGE = 1000


class Whose(Request, frozen=True, kw_only=True):
    address: str = ""
    """Empty: everybody."""


async def _accounts(office: Office, action: str, request: Whose) -> AsyncIterator[AccountId]:
    """Errors: NoSuchAccount."""
    if request.address:
        yield (await office.account(action, request.address)).id
        return
    require(office.subject, action)
    after = 0
    while page := await office.store.accounts(ACCOUNTS_A_PAGE, after):
        for account in page:
            yield account.id
        after = page[-1].id


async def status(office: Office, request: Whose) -> dict[str, object]:
    """Mails there are, those in the index, and its size. Errors: NoSuchAccount."""
    emails = indexed = octets = behind = accounts = 0
    async for account in _accounts(office, "search.status", request):
        counts = await office.store.text_counts(account)
        accounts += 1
        emails += counts.emails
        indexed += counts.indexed
        octets += counts.octets
        behind += counts.emails > counts.indexed
    return {
        "accounts": accounts,
        "behind": behind,
        "mails": emails,
        "indexed": indexed,
        "octets": octets,
    }


async def rebuild(office: Office, request: Whose) -> dict[str, object]:
    """Erase the index; the server makes it again, and until then mails are read. Errors: NoSuchAccount."""
    accounts = 0
    async for account in _accounts(office, "search.rebuild", request):
        office.store.forget_texts(account)
        accounts += 1
    await office.change("search.rebuild", request.address or "*")
    return {"accounts": accounts}
