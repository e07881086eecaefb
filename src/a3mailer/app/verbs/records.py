"""The audit record, bearer tokens, and settings kept in the store."""

from __future__ import annotations

import json
from typing import Final

from a3mailer.app.settings import load
from a3mailer.app.verbs.office import Nothing, Office, Request, subject_of
from a3mailer.config.fields import BOOT, BadValue, NoSuchSetting, field, text_of, value_of
from a3mailer.config.load import ConfigError, diff
from a3mailer.config.write import set_in_file
from a3mailer.identity.principal import Object
from a3mailer.identity.roles import ROLES, RULES, allow, require
from a3mailer.identity.tokens import digest, issue
from a3mailer.mail.errors import BadName, NoSuchThing
from a3mailer.store.operations import PutSetting, RemoveToken
from a3mailer.store.rows import AuditRecord
from a3mailer.telemetry.events import Secret

RECORDS_A_PAGE: Final = 1000
MAX_RECORDS: Final = 100_000
"""Records one query returns at most: ask for a later ``after``."""
DAY: Final = 86400
NOTED: Final = ("store.backup", "store.check")
"""Acts that the command line performs on the files of the store and only notes here."""


class Query(Request, frozen=True, kw_only=True):
    after: int = 0
    limit: int = MAX_RECORDS
    subject: str = ""
    action: str = ""
    target: str = ""
    since: int = 0


class Issue(Request, frozen=True, kw_only=True):
    address: str
    name: str
    scopes: tuple[str, ...]
    days: int = 0


class Act(Request, frozen=True, kw_only=True):
    action: str
    target: str
    detail: dict[str, str]


class Holder(Request, frozen=True, kw_only=True):
    address: str = ""
    """Empty: everybody."""


class Revoke(Request, frozen=True, kw_only=True):
    token: str
    """The token itself, or the digest that ``token add`` printed."""


class Set(Request, frozen=True, kw_only=True):
    name: str
    value: str | None
    """None takes the setting away."""


async def query(office: Office, request: Query) -> list[dict[str, object]]:
    """Records in order, those that match all that is given."""
    found: list[dict[str, object]] = []
    after = request.after
    while page := await office.store.audit(after, RECORDS_A_PAGE):
        for record in page:
            if _matches(record, request) and allow(office.subject, "audit.query", Object(record.tenant)):
                found.append(_show(record))
            if len(found) >= min(request.limit, MAX_RECORDS):
                return found
        after = page[-1].number
    return found


def _matches(record: AuditRecord, request: Query) -> bool:
    return (
        record.time >= request.since
        and request.subject in ("", record.subject)
        and request.target in ("", record.target)
        and request.action in ("", record.action, record.action.partition(".")[0])
    )


def _show(record: AuditRecord) -> dict[str, object]:
    return {
        "number": record.number,
        "time": record.time,
        "subject": record.subject,
        "action": record.action,
        "target": record.target,
        "outcome": record.outcome,
        "trace": record.trace,
        "detail": json.loads(record.detail),
    }


async def add_token(office: Office, request: Issue) -> dict[str, object]:
    """A new bearer token; this is the only time it is seen. Errors: NoSuchAccount, BadName."""
    account = await office.account("token.issue", request.address)
    if request.days < 0:
        raise BadName("days are 0 (no end) or more")
    expires = office.now + request.days * DAY if request.days else 0
    token, put = issue(account.id, request.name, request.scopes, now=office.now, expires=expires)
    detail = {"name": request.name, "scopes": put.scopes, "expires": expires}
    await office.change("token.issue", account.address, put, **detail)
    shown = {"token": token.reveal(), "digest": put.digest.hex()}
    return {"address": account.address, **detail, **shown}


async def list_tokens(office: Office, request: Holder) -> list[dict[str, object]]:
    """Tokens without their secrets. Errors: NoSuchAccount, BadName."""
    only = (await office.account("token.list", request.address)).id if request.address else None
    found: list[dict[str, object]] = []
    for token in await office.store.tokens():
        account = await office.store.account(token.account) if only in (None, token.account) else None
        if account is not None and allow(office.subject, "token.list", subject_of(account)):
            over = account.epoch != token.epoch or 0 < token.expires <= office.now
            found.append(
                {
                    "address": account.address,
                    "name": token.name,
                    "scopes": token.scopes.split(),
                    "created": token.created,
                    "expires": token.expires,
                    "good": account.enabled and not over,
                    "digest": token.digest.hex(),
                }
            )
    return found


async def remove_token(office: Office, request: Revoke) -> dict[str, object]:
    """Revoke a token. Errors: NoSuchThing."""
    try:
        key = bytes.fromhex(request.token) if len(request.token) == 64 else digest(Secret(request.token))
    except ValueError as error:
        raise NoSuchThing("no such token") from error
    row = await office.store.token(key)
    account = await office.store.account(row.account) if row is not None else None
    if row is None or account is None:
        raise NoSuchThing("no such token")
    require(office.subject, "token.revoke", Object(account.tenant, account.id, "", account.role))
    await office.change("token.revoke", account.address, RemoveToken(row.account, key), name=row.name)
    return {"address": account.address, "name": row.name}


async def note(office: Office, request: Act) -> dict[str, object]:
    """Put an act that changes no row (a backup, a repair) on the record. Errors: BadName, NoSuchThing."""
    if request.action not in NOTED:
        raise BadName(f"not an act to note: {request.action}")
    require(office.subject, request.action)
    await office.change(request.action, request.target, **request.detail)
    return {"action": request.action, "target": request.target}


async def roles(office: Office, request: Nothing) -> list[dict[str, object]]:
    """Every action, and how far each role reaches with it."""
    require(office.subject, "role.list")
    return [
        {"action": name, **{r: c.name.lower() for r, c in zip(ROLES, cells, strict=True)}}
        for name, cells in RULES.items()
    ]


async def stored(office: Office, request: Nothing) -> dict[str, str]:
    """Settings kept in the store."""
    require(office.subject, "config.read")
    return await office.store.settings()


async def pending(office: Office, request: Nothing) -> dict[str, object]:
    """What the sources say now, seen by this process, against what it works with: changes, or problems."""
    require(office.subject, "config.read")
    try:
        settings = load(office.directory, office.overrides, stored=await office.store.settings()).settings
    except ConfigError as error:
        return {"problems": error.problems, "changes": ()}
    changes = [
        {"name": d.name, "running": d.before, "then": d.after, "change": "restart" if d.restart else "reload"}
        for d in diff(office.settings, settings)
    ]
    return {"problems": (), "changes": changes}


async def set_setting(office: Office, request: Set) -> dict[str, object]:
    """Keep a setting: in the store, or in a file where it is needed before the store is open.

    Errors: BadName (no such setting, or a value that cannot be)."""
    require(office.subject, "config.change")
    try:
        known = field(request.name)
        value = None if request.value is None else known.parse(request.value)
        kept = await office.store.settings()
        in_file = known.name.startswith(BOOT)
        if value is not None:
            with_it = {**kept} if in_file else {**kept, known.name: request.value or ""}
            load(office.directory, {known.name: request.value or ""}, {}, with_it)
    except (NoSuchSetting, BadValue) as error:
        raise BadName(str(error)) from error
    except ConfigError as error:
        raise BadName(str(error).removeprefix(f"--set {request.name}: ")) from error
    text = "" if value is None else text_of(value)
    detail = {"value": text, "before": text_of(value_of(office.settings, known.name))}
    if in_file:
        await office.change("config.change", known.name, **detail)
        where = str(set_in_file(office.directory, known.name, value))
    else:
        where = "the store"
        await office.change("config.change", known.name, PutSetting(known.name, text), **detail)
    return {"name": known.name, "value": text, "kept_in": where, "restart": known.restart}
