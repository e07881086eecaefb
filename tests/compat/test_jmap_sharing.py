"""Shared mailboxes by JMAP, over a whole server with workers: one gives by IMAP, the other has it by JMAP."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import imapclient
import pytest

from tests.compat.senders import anyone
from tests.rig import Rig

CORE, MAIL = "urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"
SMIME = "urn:ietf:params:jmap:smimeverify"
BLOB = "urn:ietf:params:jmap:blob"
PRINCIPALS = "urn:ietf:params:jmap:principals"
SHARE = "urn:ietf:params:jmap:mail:share"
OWNER = "urn:ietf:params:jmap:principals:owner"
LETTER = b"Subject: %b\r\nFrom: <alice@example.test>\r\n\r\nFor all.\r\n"
SECONDS = 30.0
NOTHING = '""'  # the client writes rights as they come: an empty string is quoted here


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    accounts = [(f"{name}@example.test", f"secret-{name}") for name in ("alice", "bob")]
    with Rig(tmp_path_factory.mktemp("lent"), accounts=accounts, workers=2) as made:
        yield made


def as_(rig: Rig, name: str) -> aiohttp.ClientSession:
    """Somebody by JMAP."""
    word = base64.b64encode(f"{name}@example.test:secret-{name}".encode()).decode()
    base = f"https://127.0.0.1:{rig.port('https')}"
    return aiohttp.ClientSession(
        base, headers={"Authorization": f"Basic {word}"}, connector=aiohttp.TCPConnector(ssl=False)
    )


@pytest.fixture
async def bob(rig: Rig) -> AsyncIterator[aiohttp.ClientSession]:
    async with as_(rig, "bob") as session:
        yield session


@pytest.fixture
def alice(rig: Rig) -> Iterator[imapclient.IMAPClient]:
    made = imapclient.IMAPClient("127.0.0.1", rig.port("imaps"), ssl_context=anyone())
    made.login(*rig.credentials(0))
    yield made
    made.logout()


async def lent(bob: aiohttp.ClientSession, *, there: bool = True) -> dict[str, Any]:
    """The account of alice, once every worker has heard of it (or that it is gone)."""
    agreed, told = 0, {}
    async with asyncio.timeout(SECONDS):
        while agreed < 10:
            async with bob.get("/.well-known/jmap") as answer:
                session = await answer.json()
            found = {key: each for key, each in session["accounts"].items() if not each["isPersonal"]}
            agreed = agreed + 1 if bool(found) is there else 0
            told = {"api": session["apiUrl"], "events": session["eventSourceUrl"], "accounts": found}
            await asyncio.sleep(0.02)
    return told


async def call(bob: aiohttp.ClientSession, method: str, **arguments: object) -> dict[str, Any]:
    body = {"using": [CORE, MAIL, PRINCIPALS, SHARE], "methodCalls": [[method, arguments, "0"]]}
    async with bob.post("/jmap/api", json=body) as answer:
        assert answer.status == 200, await answer.text()
        ((_, told, _),) = (await answer.json())["methodResponses"]
    return dict(told)


async def own(bob: aiohttp.ClientSession) -> str:
    """His account."""
    async with bob.get("/.well-known/jmap") as answer:
        return str((await answer.json())["primaryAccounts"][PRINCIPALS])


async def told_of(bob: aiohttp.ClientSession, name: str) -> dict[str, Any]:
    """The notification of a mailbox, once there is one."""
    account = await own(bob)
    async with asyncio.timeout(SECONDS):
        while True:
            for each in (await call(bob, "ShareNotification/get", accountId=account))["list"]:
                if each["name"] == name:
                    return dict(each)
            await asyncio.sleep(0.02)


async def subscribe(bob: aiohttp.ClientSession, name: str) -> dict[str, Any]:
    """To what he is told of, as its owner's Principal shows it."""
    told = await told_of(bob, name)
    account, mailbox = told["objectAccountId"], told["objectId"]
    async with asyncio.timeout(SECONDS):
        while True:  # every worker hears of it in its own time
            change = {mailbox: {"isSubscribed": True}}
            done = await call(bob, "Mailbox/set", accountId=account, update=change)
            if done.get("updated") == {mailbox: None}:
                return told
            await asyncio.sleep(0.02)


async def test_what_is_shared_by_imap_is_there_by_jmap(
    bob: aiohttp.ClientSession, alice: imapclient.IMAPClient
) -> None:
    alice.create_folder("Shown")
    alice.append("Shown", LETTER % b"shown")
    alice.create_folder("Private")
    alice.append("Private", LETTER % b"hidden")
    assert not (await lent(bob, there=False))["accounts"]
    alice.setacl("Shown", "bob", "lrs")
    notice = await subscribe(bob, "Shown")
    assert notice["changedBy"]["email"] == "alice@example.test" and notice["oldRights"] is None
    assert {name for name, may in notice["newRights"].items() if may} == {"mayReadItems", "maySetSeen"}
    found = await call(bob, "Principal/query", accountId=await own(bob), filter={"email": "alice@"})
    assert found["ids"] == [notice["changedBy"]["principalId"]]
    (principal,) = (await call(bob, "Principal/get", accountId=await own(bob), ids=found["ids"]))["list"]
    assert set(principal["accounts"] or ()) <= {notice["objectAccountId"]}
    ((account, told),) = (await lent(bob))["accounts"].items()
    assert told["name"] == "alice@example.test"
    assert set(told["accountCapabilities"]) == {BLOB, CORE, MAIL, SMIME, OWNER}
    assert account == notice["objectAccountId"]

    (id,) = (await call(bob, "Email/query", accountId=account))["ids"]
    properties = ["subject", "keywords", "blobId"]
    (email,) = (await call(bob, "Email/get", accountId=account, ids=[id], properties=properties))["list"]
    assert (email["subject"], email["keywords"]) == ("shown", {})
    async with bob.get(f"/jmap/download/{account}/{email['blobId']}?name=a&type=a%2Fb") as answer:
        assert await answer.read() == LETTER % b"shown"
    done = await call(bob, "Email/set", accountId=account, update={id: {"keywords/$seen": True}})
    assert done["updated"] == {id: None}
    alice.select_folder("Shown", readonly=True)
    assert alice.get_flags([1]) == {1: (b"\\Recent",)}, "it is bob's own mark"
    done = await call(bob, "Email/set", accountId=account, destroy=[id])
    assert done["notDestroyed"][id]["type"] == "forbidden"

    alice.setacl("Shown", "bob", NOTHING)
    assert not (await lent(bob, there=False))["accounts"]
    assert (await call(bob, "Email/query", accountId=account))["type"] == "accountNotFound"
    told = await told_of(bob, "Shown")
    assert (told["newRights"], told["id"] == notice["id"]) == (None, False)


async def test_mail_to_what_is_lent_is_an_event(
    bob: aiohttp.ClientSession, alice: imapclient.IMAPClient
) -> None:
    alice.create_folder("News")
    alice.setacl("News", "bob", "lr")
    await subscribe(bob, "News")
    told = await lent(bob)
    (account,) = told["accounts"]
    url = told["events"].replace("{types}", "Email").replace("{closeafter}", "state").replace("{ping}", "0")
    async with asyncio.timeout(SECONDS), bob.get(url) as answer:
        await asyncio.to_thread(alice.append, "News", LETTER % b"news")
        assert account.encode() in await answer.read()
    alice.setacl("News", "bob", NOTHING)
    await lent(bob, there=False)


async def test_what_is_shared_by_jmap_is_there_by_imap(
    rig: Rig, bob: aiohttp.ClientSession, alice: imapclient.IMAPClient
) -> None:
    alice.create_folder("Given")
    who = {"email": "bob@example.test"}
    async with as_(rig, "alice") as hers:
        account = await own(hers)
        (mailbox,) = (await call(hers, "Mailbox/query", accountId=account, filter={"name": "Given"}))["ids"]
        (principal,) = (await call(hers, "Principal/query", accountId=account, filter=who))["ids"]
        rights = {"mayReadItems": True, "maySetSeen": True, "mayAddItems": True}
        change = {mailbox: {"shareWith": {principal: rights}}}
        done = await call(hers, "Mailbox/set", accountId=account, update=change)
        ((_, shown),) = done["updated"][mailbox]["shareWith"].items()
        assert {name for name, may in shown.items() if may} == rights.keys()
        notice = await told_of(bob, "Given")
        assert {name for name, may in notice["newRights"].items() if may} == rights.keys()
        with imapclient.IMAPClient("127.0.0.1", rig.port("imaps"), ssl_context=anyone()) as his:
            his.login(*rig.credentials(1))
            name = "Other Users/alice/Given"
            async with asyncio.timeout(SECONDS):
                while not his.list_folders("", name):
                    await asyncio.sleep(0.02)
            his.append(name, LETTER % b"from bob")
            his.select_folder(name)
            his.add_flags([1], rb"\Seen")
            assert his.get_flags([1]) == {1: (rb"\Seen", rb"\Recent")}
            with pytest.raises(imapclient.exceptions.IMAPClientError):
                his.expunge([1])
        alice.setacl("Given", "bob", "lr")
        async with asyncio.timeout(SECONDS):
            while shown["mayAddItems"]:
                (box,) = (await call(hers, "Mailbox/get", accountId=account, ids=[mailbox]))["list"]
                shown = box["shareWith"][principal]
        assert {name for name, may in shown.items() if may} == {"mayReadItems"}
    alice.setacl("Given", "bob", NOTHING)
    await lent(bob, there=False)
