"""The session object (RFC 8620 section 2): what there is, for whom, and where. URLs name the host asked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

from a3mailer.config.tree import Settings
from a3mailer.edge.http.jmap.accounts import Account, Accounts
from a3mailer.edge.http.jmap.capabilities import CORE, OWNER, SOCKETS, of_server
from a3mailer.edge.http.jmap.services import Services
from a3mailer.identity.principal import Principal

API: Final = "/jmap/api"
UPLOAD: Final = "/jmap/upload/{accountId}"
DOWNLOAD: Final = "/jmap/download/{accountId}/{blobId}"
DOWNLOAD_QUERY: Final = "?name={name}&type={type}"
EVENTS: Final = "/jmap/events"
WEBSOCKET: Final = "/jmap/ws"
EVENTS_QUERY: Final = "?types={types}&closeafter={closeafter}&ping={ping}"
REMEMBERED: Final = 1024
"""Logins whose states are kept in a worker."""

UNLISTED: Final = (CORE, OWNER)
"""What accounts have and no primary account is of."""


def session(services: Services, principal: Principal, accounts: Accounts, origin: str) -> dict[str, object]:
    """The object; ``origin`` is scheme and authority as the client wrote them."""
    told = _content(services, principal, accounts)
    socket = {**of_server(services)[SOCKETS], "url": f"ws{origin.removeprefix('http')}{WEBSOCKET}"}
    return {
        **told,
        "capabilities": {**of_server(services), SOCKETS: socket},
        "apiUrl": origin + API,
        "downloadUrl": origin + DOWNLOAD + DOWNLOAD_QUERY,
        "uploadUrl": origin + UPLOAD,
        "eventSourceUrl": origin + EVENTS + EVENTS_QUERY,
        "state": _digest(told),
    }


@dataclass(frozen=True, slots=True)
class _Kept:
    """A state with what it was made of."""

    settings: Settings
    accounts: Accounts
    state: str


class States:
    """``sessionState``: the state of the object above. Its URLs have no part: clients choose the host.

    It is told with every answer and seldom another one: the last of each login is kept as long as all it was
    made of is what it was."""

    __slots__ = ("_kept", "_services")

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: dict[str, _Kept] = {}

    def of(self, principal: Principal, accounts: Accounts) -> str:
        """Of somebody, now."""
        settings = self._services.settings()
        kept = self._kept.pop(principal.login, None)
        if kept is None or kept.settings is not settings or kept.accounts != accounts:
            state = _digest(_content(self._services, principal, accounts))
            kept = _Kept(settings, accounts, state)
        self._kept[principal.login] = kept
        if len(self._kept) > REMEMBERED:
            del self._kept[next(iter(self._kept))]
        return kept.state


def _content(services: Services, principal: Principal, accounts: Accounts) -> dict[str, object]:
    primary = {urn: each.key for each in accounts.values() if each.personal for urn in each.capabilities}
    for urn in UNLISTED:
        primary.pop(urn, None)
    return {
        "capabilities": of_server(services),
        "accounts": {key: described(each) for key, each in accounts.items() if each.shown},
        "primaryAccounts": primary,
        "username": principal.login,
    }


def described(account: Account) -> dict[str, object]:
    """The Account object (section 2)."""
    return {
        "name": account.name,
        "isPersonal": account.personal,
        "isReadOnly": account.read_only,
        "accountCapabilities": account.capabilities,
    }


def _digest(content: dict[str, object]) -> str:
    return hashlib.blake2b(msgspec.json.encode(content, order="sorted"), digest_size=8).hexdigest()
