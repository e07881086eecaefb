"""States of the types of mail (RFC 8620 section 5.1): one counter an account, shared with IMAP's modseqs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from a3mailer.access.account_changes import State, Told, read_state, write_state
from a3mailer.edge.http.jmap.accounts import Account
from a3mailer.edge.http.jmap.records import Changes
from a3mailer.edge.http.jmap.services import Services
from a3mailer.mail.errors import NoSuchAccount, NoSuchThing
from a3mailer.mail.objectids import object_id
from a3mailer.wire.jmap.errors import MethodError


async def state_of(services: Services, account: Account) -> str:
    """The state of an account's mail. Errors: NoSuchAccount."""
    row = await services.store.account(account.id)
    if row is None:
        raise NoSuchAccount(str(account.id))
    return written(account, State(row.modseq))


def written(account: Account, state: State) -> str:
    """A state for a client; of another's account only as long as the same of it is visible."""
    return account.prefix + write_state(state)


def since_of(account: Account, text: str) -> State:
    """A state that the client gave. Errors: MethodError (``cannotCalculateChanges``)."""
    state = read_state(text.removeprefix(account.prefix)) if text.startswith(account.prefix) else None
    if state is None:
        raise MethodError("cannotCalculateChanges", "that was no state")
    return state


async def told_since(account: Account, text: str, read: Callable[[State], Awaitable[Told]]) -> Told:
    """What ``read`` says of a state. Errors: MethodError (``cannotCalculateChanges``)."""
    try:
        return await read(since_of(account, text))
    except NoSuchThing as error:
        raise MethodError("cannotCalculateChanges", "that state is forgotten") from error


def as_changes(
    account: Account, told: Told, letter: str, further: Mapping[str, object] | None = None
) -> Changes:
    """For /changes."""
    created, updated, destroyed = (
        [object_id(letter, number) for number in told.of(kind)]
        for kind in ("created", "updated", "destroyed")
    )
    return Changes(created, updated, destroyed, written(account, told.state), told.more, further or {})
