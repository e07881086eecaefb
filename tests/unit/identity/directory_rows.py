"""A directory in memory for tests of identity: rows by hand, no store."""

from __future__ import annotations

import dataclasses

from a3mailer.mail.ids import DEFAULT_TENANT, AccountId, TenantId
from a3mailer.store.operations import PutToken
from a3mailer.store.rows import Account, AddressEntry, Credential, Domain, Token


class Rows:
    """``store.ports.DirectoryReader`` over dictionaries; ``reads`` counts questions about addresses."""

    def __init__(self) -> None:
        self._domains: dict[str, Domain] = {}
        self._addresses: dict[str, AddressEntry] = {}
        self._accounts: dict[AccountId, Account] = {}
        self._credentials: dict[AccountId, tuple[Credential, ...]] = {}
        self._tokens: dict[bytes, Token] = {}
        self.reads = 0

    def put_domain(self, name: str, catch_all: str = "", settings: str = "{}", tenant: int = 1) -> None:
        self._domains[name] = Domain(TenantId(tenant), name, catch_all, settings)

    def put_account(
        self, address: str, role: str = "user", secret: str = "", kind: str = "password"
    ) -> Account:
        id = AccountId(len(self._accounts) + 1)
        account = Account(id, DEFAULT_TENANT, address, "person", "", role, True, 1, 0, 0, 0, 0, 0, "{}")  # type: ignore[arg-type]
        self._accounts[id] = account
        self._addresses[address] = AddressEntry(address, DEFAULT_TENANT, "account", id, (), 0)
        if secret:
            self._credentials[id] = (Credential(id, "", kind, secret, "", 0, 0),)
        return account

    def put_alias(self, address: str, *targets: str, kind: str = "alias") -> None:
        self._addresses[address] = AddressEntry(address, DEFAULT_TENANT, kind, AccountId(0), targets, 0)

    def put_list(self, address: str) -> None:
        id = AccountId(len(self._accounts) + 1)
        self._accounts[id] = Account(
            id, DEFAULT_TENANT, address, "list", "", "user", True, 1, 0, 0, 0, 0, 0, "{}"
        )  # type: ignore[arg-type]
        self._addresses[address] = AddressEntry(address, DEFAULT_TENANT, "list", id, (), 0)

    def put_token(self, operation: PutToken) -> None:
        epoch = self._accounts[operation.account].epoch
        self._tokens[operation.digest] = Token(
            operation.account, operation.digest, operation.name, operation.scopes, operation.expires,
            operation.now, epoch,
        )  # fmt: skip

    def remove_token(self, digest: bytes) -> None:
        del self._tokens[digest]

    def change(self, id: AccountId, **fields: object) -> None:
        old = self._accounts[id]
        self._accounts[id] = dataclasses.replace(old, epoch=old.epoch + 1, **fields)  # type: ignore[arg-type]

    def set_secret(self, id: AccountId, secret: str) -> None:
        self._credentials[id] = (Credential(id, "", "password", secret, "", 0, 0),)
        self.change(id)

    # --- DirectoryReader ---------------------------------------------------------------------------
    async def domain(self, name: str) -> Domain | None:
        return self._domains.get(name)

    async def domains(self) -> tuple[Domain, ...]:
        return tuple(self._domains.values())

    async def address(self, address: str) -> AddressEntry | None:
        self.reads += 1
        return self._addresses.get(address)

    async def account(self, account: AccountId) -> Account | None:
        return self._accounts.get(account)

    async def is_limited(self, account: AccountId) -> bool:
        return account in self._accounts and self._accounts[account].quota > 0

    async def accounts(self, limit: int = 1000, after: int = 0) -> tuple[Account, ...]:
        return tuple(a for a in self._accounts.values() if a.id > after)[:limit]

    async def addresses_of(self, account: AccountId) -> tuple[str, ...]:
        main = self._accounts[account].address
        return (
            main,
            *(a.address for a in self._addresses.values() if a.targets == (main,) and a.kind == "alias"),
        )

    async def aliases(self) -> tuple[AddressEntry, ...]:
        return tuple(a for a in self._addresses.values() if a.kind in ("alias", "group"))

    async def credentials(self, account: AccountId) -> tuple[Credential, ...]:
        return self._credentials.get(account, ())

    async def token(self, digest: bytes) -> Token | None:
        return self._tokens.get(digest)

    async def tokens(self) -> tuple[Token, ...]:
        return tuple(self._tokens.values())

    async def settings(self) -> dict[str, str]:
        return {}
