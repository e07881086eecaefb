"""check smime: a signature explained step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from a3mailer.app.main import main
from tests.certificates import NOW
from tests.unit.msgauth.mails_signed import ALICE, ROOT, signed, signer
from tests.unit.msgauth.test_smime import revoking


class Desk:
    """Files and the verb."""

    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._capsys = capsys
        self.file("root.pem", ROOT.pem)

    def file(self, name: str, octets: bytes) -> str:
        (self.place / name).write_bytes(octets)
        return str(self.place / name)

    def check(self, mail: bytes, *words: str) -> dict[str, Any]:
        asked = ["check", "smime", self.file("mail.eml", mail), "--json", *words]
        assert main([*asked, "--authorities", str(self.place / "root.pem")]) == 0
        found: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return found

    def said(self, *words: str, code: int = 0) -> str:
        assert main(["check", "smime", *words]) == code
        return "".join(self._capsys.readouterr())


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def steps(found: dict[str, Any]) -> list[tuple[str, bool | None]]:
    return [(each["step"], each["good"]) for each in found["steps"]]


def test_a_good_signature(desk: Desk) -> None:
    found = desk.check(signed())
    assert (found["result"], found["errors"], found["authors"]) == ("signed/verified", [], ["alice@a.test"])
    assert steps(found) == [
        ("structure", True), ("signature", True), ("certificate", None), ("authority", True),
        ("revocation", None), ("author", True),
    ]  # fmt: skip
    told = {each["step"]: each["told"] for each in found["steps"]}
    assert told["authority"] == "CN=Alice < CN=Mail authority < CN=Mail root"
    assert "alice@a.test" in told["certificate"] and "none is fetched" in told["revocation"]


def test_what_is_wrong_is_said_where_it_is(desk: Desk) -> None:
    changed = desk.check(signed().replace(b"Hello Bob", b"Hello Bab"))
    assert (changed["result"], ("signature", False) in steps(changed)) == ("signed/failed", True)
    assert ("authority", True) in steps(changed)
    for mail, step in (
        (signed(author="eve@a.test"), "author"),
        (signed(by=[signer(days=-1)]), "certificate"),
        (b"From: eve@a.test\r\n" + signed(), "author"),
    ):
        found = desk.check(mail)
        assert next(name for name, good in steps(found) if good is False) == step
        assert found["errors"]
    assert desk.check(signed(by=[signer(days=-1)]), "--at", "2001-02-03")["at"] == "2001-02-03T00:00:00Z"


def test_lists_of_revoked_certificates(desk: Desk) -> None:
    serial = ALICE.certificate.serial_number
    for number, result in (serial + 1, "signed/verified"), (serial, "signed/failed"):
        file = desk.file("revoked.pem", revoking(number).public_bytes(serialization.Encoding.PEM))
        found = desk.check(signed(), "--revoked", file)
        assert (found["result"], ("revocation", True) in steps(found)) == (result, number != serial)
    before = f"{NOW.replace(year=NOW.year - 1):%Y-%m-%dT%H:%M:%SZ}"
    assert "begins on" in desk.check(signed(), "--at", before)["errors"][0]


def test_what_is_not_signed(desk: Desk) -> None:
    plain = desk.check(b"From: alice@a.test\r\n\r\nHello\r\n")
    assert (plain["result"], steps(plain)) == ("none", [("structure", None), ("signature", None)])
    other = desk.check(signed().replace(b"application/pkcs7-signature", b"application/pgp-signature"))
    assert (other["result"], other["steps"][0]["told"]) == ("unknown", "it is signed by another protocol")


def test_for_people_and_what_cannot_be_asked(desk: Desk) -> None:
    mail, root = desk.file("mail.eml", signed()), desk.file("root.pem", ROOT.pem)
    lines = desk.said(mail, "--authorities", root).splitlines()
    assert lines[0] == "signed/verified" and lines[1].split()[:2] == ["structure", "good"]
    assert "no certificate" in desk.said(mail, "--authorities", mail, code=2)
    assert "no list" in desk.said(mail, "--authorities", root, "--revoked", mail, code=2)
    assert "isoformat" in desk.said(mail, "--at", "yesterday", code=2)
    assert desk.said(mail).startswith("signed/failed"), "the system does not know this authority"
