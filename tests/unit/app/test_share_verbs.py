"""Shared accounts and who may use them, by verbs over a store in memory."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator

import pytest

from a3mailer.access.notices import notices
from a3mailer.access.rights import Rights
from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory
from a3mailer.identity.principal import Principal
from a3mailer.mail.errors import BadName, MailError, NoSuchAccount, NoSuchMailbox
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.store.operations import CreateMailbox
from a3mailer.store.ports import Transaction
from tests.unit.app.test_verbs import Desk, add

TEAM = "team@example.test"


@pytest.fixture
async def desk(tmp_path: pathlib.Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, Settings())
    await desk.do("domain add", name="example.test")
    await add(desk, "alice@example.test")
    await desk.do("account add", address="Team@example.test", shared=True, quota=1000)
    yield desk
    desk.pool.close()


async def names(desk: Desk) -> list[str]:
    """What alice may list."""
    entry = await desk.store.address("alice@example.test")
    assert entry is not None
    rights = Rights(desk.store, Directory(desk.store, Settings()))
    alice = Principal(entry.account, DEFAULT_TENANT, entry.address, "user", entry.address)
    return [row.name for row in await rights.shared(alice)]


async def test_a_shared_account_is_there_and_nobody_is_it(desk: Desk) -> None:
    rows = await desk.do("account list")
    assert isinstance(rows, list)
    assert [(row["address"], row["kind"]) for row in rows if row["address"] == TEAM] == [(TEAM, "group")]
    entry = await desk.store.address(TEAM)
    assert entry is not None and entry.kind == "account"
    assert await desk.store.credentials(entry.account) == ()
    for more in ({"password": "x" * 20}, {"role": "superadmin"}):
        with pytest.raises(BadName):
            await desk.do("account add", address="two@example.test", shared=True, **more)


async def test_rights_reach_what_is_there_and_what_comes(desk: Desk) -> None:
    assert await names(desk) == []
    made = await desk.do("share set", address=TEAM, who="alice", rights="write")
    assert made == {"address": TEAM, "who": "alice@example.test", "rights": "lrswite"}
    entry = await desk.store.address(TEAM)
    assert entry is not None
    await desk.store.commit(Transaction((CreateMailbox(entry.account, "Plans/2027"),)))
    assert {"Shared/team/INBOX", "Shared/team/Plans", "Shared/team/Plans/2027"} <= set(await names(desk))
    await desk.do("share set", address=TEAM, who="anyone", rights="read", mailbox="Sent")
    rows = await desk.do("share list", address=TEAM)
    assert isinstance(rows, list)
    assert {"mailbox": "", "who": "alice@example.test", "rights": "lrswite"} in rows
    assert {"mailbox": "Sent", "who": "anyone", "rights": "lrs"} in rows
    await desk.do("share set", address=TEAM, who="alice", rights="")
    assert await names(desk) == ["Shared/team/Sent"]
    rows = await desk.do("share list", address=TEAM)
    assert rows == [{"mailbox": "Sent", "who": "anyone", "rights": "lrs"}]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"address": "alice@example.test", "who": "anyone", "rights": "read"}, BadName),
        ({"address": "nobody@example.test", "who": "anyone", "rights": "read"}, NoSuchAccount),
        ({"address": TEAM, "who": "nobody", "rights": "read"}, NoSuchAccount),
        ({"address": TEAM, "who": "anyone", "rights": "lrQ"}, BadName),
        ({"address": TEAM, "who": "anyone", "rights": "read", "mailbox": "Nowhere"}, NoSuchMailbox),
    ],
)
async def test_errors(desk: Desk, request_: dict[str, str], error: type[MailError]) -> None:
    with pytest.raises(error):
        await desk.do("share set", **request_)


async def test_who_is_concerned_is_told(desk: Desk) -> None:
    await desk.do("share set", address=TEAM, who="alice", rights="write", mailbox="Sent")
    entry = await desk.store.address("alice@example.test")
    assert entry is not None
    (notice,) = (await notices(desk.store, entry.account, 0)).live.values()
    assert (notice.name, notice.old, notice.new, notice.by_name) == ("Sent", "", "lrswite", "operator")
