"""JMAP of a whole server over TLS, with aiohttp as the client: requests, blobs, event source and WebSocket.

aiohttp's WebSocket is not ours: what it takes for frames and what it sends as such is the other side's word.
"""

from __future__ import annotations

import asyncio
import base64
import json
import smtplib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests.rig import Rig

CORE, MAIL = "urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"
SECONDS = 30.0


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("jmap"), workers=2) as made:
        yield made


def login(who: str, password: str) -> dict[str, str]:
    credentials = base64.b64encode(f"{who}@example.test:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


@pytest.fixture
async def web(rig: Rig) -> AsyncIterator[aiohttp.ClientSession]:
    base = f"https://127.0.0.1:{rig.port('https')}"
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(
        base, headers=login("alice", "secret-a"), connector=connector
    ) as session:
        yield session


def mail_to_alice(rig: Rig, subject: str) -> None:
    with smtplib.SMTP("127.0.0.1", rig.port("smtp"), timeout=SECONDS) as smtp:
        letter = f"Subject: {subject}\r\nFrom: <x@else.test>\r\n\r\nhello\r\n"
        smtp.sendmail("x@else.test", ["alice@example.test"], letter)


async def session_of(web: aiohttp.ClientSession) -> dict[str, Any]:
    async with web.get("/.well-known/jmap") as answer:
        assert answer.status == 200 and "no-store" in answer.headers["Cache-Control"]
        return dict(await answer.json())


async def call(web: aiohttp.ClientSession, session: dict[str, Any], *calls: object) -> list[Any]:
    async with web.post(session["apiUrl"], json={"using": [CORE, MAIL], "methodCalls": calls}) as answer:
        assert answer.status == 200, await answer.text()
        told = await answer.json()
    assert told["sessionState"] == session["state"]
    return list(told["methodResponses"])


async def test_mail_is_found_and_its_octets_are_downloaded(rig: Rig, web: aiohttp.ClientSession) -> None:
    mail_to_alice(rig, "found by JMAP")
    session = await session_of(web)
    account = session["primaryAccounts"][MAIL]
    query = {"accountId": account, "filter": {"subject": "found by JMAP"}, "calculateTotal": True}
    reference = {"resultOf": "0", "name": "Email/query", "path": "/ids"}
    (_, found, _), (_, got, _) = await call(
        web,
        session,
        ["Email/query", query, "0"],
        ["Email/get", {"accountId": account, "#ids": reference, "properties": ["subject", "blobId"]}, "1"],
    )
    assert found["total"] == 1
    (email,) = got["list"]
    assert email["subject"] == "found by JMAP"
    url = session["downloadUrl"].replace("{accountId}", account).replace("{blobId}", email["blobId"])
    url = url.replace("{name}", "mail.eml").replace("{type}", "text%2Fplain")
    async with web.get(url) as answer:
        assert (await answer.read()).endswith(b"\r\n\r\nhello\r\n")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="mail.eml"'
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    async with web.get(url, headers=login("bob", "secret-b")) as answer:
        assert answer.status == 404


async def test_an_upload_comes_back_in_ranges_from_any_worker(web: aiohttp.ClientSession) -> None:
    session, octets = await session_of(web), bytes(range(256)) * 4000
    url = session["uploadUrl"].replace("{accountId}", session["primaryAccounts"][MAIL])
    async with web.post(url, data=octets, headers={"Content-Type": "image/png"}) as answer:
        assert answer.status == 201
        made = await answer.json()
    assert made["size"] == len(octets) and made["type"] == "image/png"
    for start, stop in ((0, 10), (65_530, 65_600), (len(octets) - 3, len(octets))):
        path = f"/jmap/download/{made['accountId']}/{made['blobId']}?name=a&type=image%2Fpng"
        async with web.get(path, headers={"Range": f"bytes={start}-{stop - 1}"}) as answer:
            assert answer.status == 206 and await answer.read() == octets[start:stop]


async def test_the_event_source_tells_of_mail_and_ends_where_asked(
    rig: Rig, web: aiohttp.ClientSession
) -> None:
    session = await session_of(web)
    url = session["eventSourceUrl"].replace("{types}", "Email").replace("{closeafter}", "state")
    async with asyncio.timeout(SECONDS), web.get(url.replace("{ping}", "0")) as answer:
        assert answer.content_type == "text/event-stream"
        await asyncio.to_thread(mail_to_alice, rig, "told by an event")
        told = (await answer.read()).decode()
    data = json.loads(told.partition("data: ")[2])
    assert told.startswith("event: state\nid: ") and data["@type"] == "StateChange"
    assert list(data["changed"]) == [session["primaryAccounts"][MAIL]]


async def test_the_websocket_answers_and_pushes(rig: Rig, web: aiohttp.ClientSession) -> None:
    session = await session_of(web)
    offered = session["capabilities"]["urn:ietf:params:jmap:websocket"]
    assert offered["supportsPush"] is True and offered["url"].startswith("wss://")
    async with asyncio.timeout(SECONDS), web.ws_connect(offered["url"], protocols=("jmap",)) as socket:
        assert socket.protocol == "jmap"
        large = "x" * 100_000
        calls = [["Core/echo", {"large": large}, "0"]]
        await socket.send_json({"@type": "Request", "id": "R1", "using": [CORE], "methodCalls": calls})
        told = await socket.receive_json()
        assert told["requestId"] == "R1" and told["methodResponses"] == calls
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": ["Email"]})
        await socket.send_json({"@type": "Request", "id": "R2", "using": [CORE], "methodCalls": []})
        assert (await socket.receive_json())["requestId"] == "R2"
        await asyncio.to_thread(mail_to_alice, rig, "told by a WebSocket")
        told = await socket.receive_json()
        assert told["@type"] == "StateChange" and told["pushState"]
        await socket.ping(b"there?")
        await socket.close()
        assert socket.close_code == 1000


async def test_strangers_are_refused(rig: Rig, web: aiohttp.ClientSession) -> None:
    async with web.get("/jmap/", headers=login("alice", "wrong")) as answer:
        assert answer.status == 401 and "Basic" in answer.headers["WWW-Authenticate"]
    token = rig.verb("token", "add", "alice@example.test", "--name", "j", "--scope", "smtp.submit")["token"]
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(f"https://127.0.0.1:{rig.port('https')}", connector=connector) as bare:
        async with bare.get("/jmap/", headers={"Authorization": f"Bearer {token}"}) as answer:
            (account,) = (await answer.json())["accounts"].values()
        assert MAIL not in account["accountCapabilities"], "its scopes do not let it read mail"
        async with bare.get("/jmap/") as answer:
            assert answer.status == 401
