"""What JMAP says of signatures (RFC 9219), of mails that openssl signed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from a3mailer.access import signatures
from a3mailer.access.labour import Labour
from a3mailer.access.signatures import FRESH_SECONDS
from a3mailer.edge.http.jmap.capabilities import SMIME
from a3mailer.mail.ids import INBOX, EmailId, Uid
from a3mailer.mail.objectids import EMAIL_LETTER, number_of, object_id
from a3mailer.store import operations as op
from tests.certificates import DAY, NOW
from tests.unit.edge.http.jmap.test_lent_accounts import two
from tests.unit.edge.http.jmap.test_letter import Alice, alice  # noqa: F401
from tests.unit.msgauth.mails_signed import OTHER, ROOT, signed, signer

STATUS = ("smimeStatus", "smimeStatusAtDelivery", "smimeErrors", "smimeVerifiedAt")
PLAIN = b"From: alice@a.test\r\nSubject: plain\r\n\r\nHello\r\n"


@pytest.fixture
def office(alice: Alice, tmp_path: Path) -> Office:  # noqa: F811
    return Office(alice, tmp_path)


class Office:
    """Alice's account, with authorities she believes, at the time the certificates are of."""

    def __init__(self, alice: Alice, folder: Path) -> None:  # noqa: F811
        self.alice = alice
        self.world = alice.world
        self._file = folder / "authorities.pem"
        self.world.clock.jump(NOW.timestamp() - self.world.clock.now() + 60)
        self.believe(ROOT.pem)

    def believe(self, pem: bytes) -> None:
        self._file.write_bytes(pem)
        settings = self.world.settings
        wanted = replace(settings.msgauth, smime_authorities=str(self._file))
        self.world.settings = replace(settings, msgauth=wanted)

    async def deliver(self, octets: bytes) -> str:
        await self.world.deliver(octets)
        columns = await self.world.store.account_columns(self.alice.account)
        return object_id(EMAIL_LETTER, max(columns.emails))

    async def status(self, id: str) -> tuple[Any, ...]:
        found = await self.alice.one("Email/get", id, *STATUS)
        return tuple(found[name] for name in STATUS[:3])

    async def found(self, **condition: bool) -> set[str]:
        return set((await self.alice.ask("Email/query", filter=condition))["ids"])


async def test_a_good_signature(office: Office) -> None:
    id = await office.deliver(signed())
    found = await office.alice.one("Email/get", id, *STATUS)
    assert found == {
        "id": id, "smimeStatus": "signed/verified", "smimeStatusAtDelivery": "signed/verified",
        "smimeErrors": None, "smimeVerifiedAt": found["smimeVerifiedAt"],
    }  # fmt: skip
    assert found["smimeVerifiedAt"].startswith(f"{NOW:%Y-%m-%d}T")


async def test_no_signature_and_others(office: Office) -> None:
    plain = await office.alice.one("Email/get", await office.deliver(PLAIN), *STATUS)
    assert [plain[name] for name in STATUS] == [None] * 4
    other = signed().replace(b"application/pkcs7-signature", b"application/pgp-signature")
    found = await office.alice.one("Email/get", await office.deliver(other), *STATUS)
    assert [found[name] for name in STATUS] == ["unknown", "unknown", None, None]
    assert "smimeStatus" not in await office.alice.one("Email/get", found["id"])


async def test_a_bad_signature_says_why(office: Office) -> None:
    id = await office.deliver(signed().replace(b"Hello Bob", b"Hello Bab"))
    assert await office.status(id) == (
        "signed/failed", "signed/failed", ["The message was changed after it was signed"],
    )  # fmt: skip
    only = await office.alice.one("Email/get", id, "smimeVerifiedAt")
    assert only["smimeVerifiedAt"], "that it was looked at is remembered"


async def test_octets_are_read_once_a_day(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    look = signatures._look
    monkeypatch.setattr(signatures, "_look", lambda *given: looks.append(1) or look(*given))
    id = await office.deliver(signed())
    await office.status(await office.deliver(PLAIN))
    assert looks == []
    for _ in range(3):
        await office.status(id)
    assert len(looks) == 1
    office.world.clock.advance(FRESH_SECONDS + 1)
    first = await office.alice.one("Email/get", id, *STATUS)
    assert len(looks) == 2
    assert await office.alice.one("Email/get", id, *STATUS) == first


async def test_what_was_good_at_delivery_stays_so(office: Office) -> None:
    id = await office.deliver(signed(by=[signer(days=2)]))
    assert await office.status(id) == ("signed/verified", "signed/verified", None)
    state = await office.alice.state("Email")
    office.world.clock.advance((3 * DAY).total_seconds())
    (status, then, errors) = await office.status(id)
    assert (status, then) == ("signed/failed", "signed/verified")
    assert len(errors) == 1 and "ended on" in errors[0]
    changes = await office.alice.ask("Email/changes", sinceState=state)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [id], [])
    state = await office.alice.state("Email")
    office.world.clock.advance(FRESH_SECONDS + 1)
    assert await office.status(id) == (status, then, errors)
    assert await office.alice.state("Email") == state, "nobody was told otherwise"


async def test_who_is_believed_changes(office: Office) -> None:
    id = await office.deliver(signed())
    office.believe(OTHER.pem)
    failed = await office.status(id)
    assert failed[:2] == ("signed/failed", "signed/failed")
    office.believe(OTHER.pem + ROOT.pem)
    assert await office.status(id) == ("signed/verified", "signed/verified", None)
    office.believe(OTHER.pem)
    assert (await office.status(id))[:2] == ("signed/failed", "signed/verified"), "removal does not count"
    office.believe(b"no certificate at all")
    assert (await office.status(id))[2] == ["No authority is believed here"]


async def test_other_reasons_are_news(office: Office) -> None:
    id = await office.deliver(signed(by=[signer("eve@a.test", days=2)]))
    (_, _, first) = await office.status(id)
    state = await office.alice.state("Email")
    office.world.clock.advance((3 * DAY).total_seconds())
    (status, then, errors) = await office.status(id)
    assert (status, then) == ("signed/failed", "signed/failed") and len(errors) > len(first)
    assert (await office.alice.ask("Email/changes", sinceState=state))["updated"] == [id]


async def test_the_first_look_changes_no_email(office: Office) -> None:
    id = await office.deliver(signed())
    state = await office.alice.state("Email")
    await office.status(id)
    assert await office.alice.state("Email") == state


async def test_queries(office: Office) -> None:
    good = await office.deliver(signed())
    bad = await office.deliver(signed(author="mallory@a.test"))
    opaque = await office.deliver(signed("-nodetach"))
    plain = await office.deliver(PLAIN)
    brief = await office.deliver(signed(by=[signer(days=2)]))
    every = set((await office.alice.ask("Email/query"))["ids"])
    assert await office.found(hasSmime=True) == {good, bad, opaque, brief}
    assert await office.found(hasSmime=False) == every - {good, bad, opaque, brief}
    assert await office.found(hasVerifiedSmime=True) == {good, opaque, brief}
    assert plain in await office.found(hasVerifiedSmime=False)
    office.world.clock.advance((3 * DAY).total_seconds())
    assert await office.found(hasVerifiedSmime=True) == {good, opaque}
    assert await office.found(hasVerifiedSmimeAtDelivery=True) == {good, opaque, brief}
    assert await office.found(hasVerifiedSmimeAtDelivery=True, hasVerifiedSmime=False) == {brief}
    both = {"operator": "NOT", "conditions": [{"hasSmime": False}, {"text": "nothing that is there"}]}
    assert set((await office.alice.ask("Email/query", filter=both))["ids"]) == {good, bad, opaque, brief}
    found = await office.alice.ask("Email/query", filter={"hasSmime": True})
    assert found["canCalculateChanges"] is False


async def test_a_query_reads_octets_once_and_only_where_it_must(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    look = signatures._look
    monkeypatch.setattr(signatures, "_look", lambda *given: looks.append(1) or look(*given))
    await office.deliver(signed())
    opaque = await office.deliver(signed("-nodetach"))
    await office.found(hasSmime=True)
    assert len(looks) == 1, "the structure says it of the other one"
    await office.status(opaque)
    await office.found(hasSmime=True, hasVerifiedSmime=True)
    await office.found(hasSmime=True, hasVerifiedSmimeAtDelivery=True)
    assert len(looks) == 2


async def test_only_who_uses_the_capability_is_told(office: Office) -> None:
    id = await office.deliver(signed())
    account = f"A{office.alice.account}"
    using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
    calls = [
        ["Email/get", {"accountId": account, "ids": [id], "properties": ["smimeStatus"]}, "0"],
        ["Email/query", {"accountId": account, "filter": {"hasSmime": True}}, "1"],
    ]
    for further, expected in (
        ([], ["invalidArguments", "unsupportedFilter"]),
        ([SMIME], [None, None]),
    ):
        request = json.dumps({"using": using + further, "methodCalls": calls})
        answer = await office.alice._session.feed(request.encode() + b"\r\n")
        told = [json.loads(line) for line in answer.decode().splitlines()]
        assert [each[1].get("type") for each in told] == expected


async def test_it_cannot_be_set_nor_parsed(office: Office) -> None:
    id = await office.deliver(signed())
    found = await office.alice.ask("Email/set", update={id: {"smimeStatus": "signed/failed"}})
    assert found["notUpdated"][id]["type"] == "invalidProperties"
    blob = (await office.alice.one("Email/get", id, "blobId"))["blobId"]
    asked = await office.alice.ask("Email/parse", blobIds=[blob], properties=["smimeStatus"])
    assert asked == {"error": "invalidArguments"}


async def test_an_email_that_goes_while_it_is_looked_at(office: Office) -> None:
    id = await office.deliver(signed())
    number = EmailId(number_of(EMAIL_LETTER, id) or 0)
    (row,) = await office.world.store.fragments(office.alice.account, [number])
    columns = await office.world.store.columns(office.alice.account, INBOX)
    await office.alice.imap(op.Expunge(office.alice.account, INBOX, (Uid(columns[1].uids[-1]),)))
    looking = await office.world.jmap.services.signatures.asked(Labour(office.world.clock))
    found = await looking.of(office.alice.account, row, int(NOW.timestamp()))
    assert found.status == "signed/verified"


async def test_signatures_of_what_is_lent(tmp_path: Path) -> None:
    """What was found out when a reader asked is remembered with the owner's email, and counts for both."""
    world = await two()
    world.clock.jump(NOW.timestamp() - world.clock.now() + 60)
    file = tmp_path / "authorities.pem"
    file.write_bytes(ROOT.pem)
    believed = replace(world.settings.msgauth, smime_authorities=str(file))
    world.settings = replace(world.settings, msgauth=believed)
    shown, hidden = await world.put("Work", octets=signed()), await world.put("Private", octets=signed())
    asked = await world.ask("Email/get", ids=[shown, hidden], properties=list(STATUS))
    (told,) = asked["list"]
    assert (told["id"], told["smimeStatus"], asked["notFound"]) == (shown, "signed/verified", [hidden])
    found = await world.ask("Email/query", filter={"hasVerifiedSmimeAtDelivery": True})
    assert found["ids"] == [shown]
    numbers = [EmailId(number_of(EMAIL_LETTER, id) or 0) for id in (shown, hidden)]
    rows = await world.store.fragments(world.accounts["alice"], numbers)
    assert [bool(row.smime) for row in rows] == [True, False]
    file.write_bytes(OTHER.pem)
    state = asked["state"]
    hers = await world.ask("Email/get", who="alice", ids=[shown], properties=list(STATUS))
    assert hers["list"][0]["smimeStatus"] == "signed/failed"
    assert (await world.ask("Email/changes", sinceState=state))["updated"] == [shown]
    assert (await world.ask("Email/get", ids=[shown], properties=list(STATUS)))["list"] == hers["list"]
