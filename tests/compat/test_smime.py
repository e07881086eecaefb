"""Mails that the real openssl signed, under an authority of its own, over a whole server."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.rig import Rig

USING = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail", "urn:ietf:params:jmap:smimeverify"]
STATUS = ["smimeStatus", "smimeStatusAtDelivery", "smimeErrors", "smimeVerifiedAt"]
GOOD, BAD = "signed/verified", "signed/failed"
TEXT = b"Content-Type: text/plain\r\n\r\nThe meeting is at ten.\r\n"
SETTINGS = """[ca]
default_ca = here
[here]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
[signer]
subjectAltName = email:alice@a.test
extendedKeyUsage = emailProtection
keyUsage = critical, digitalSignature
"""
FOOTED = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n%b\r\n--x\r\n\r\nA footer\r\n--x--\r\n"
BEGINS, ENDS = "20240101000000Z", "20990101000000Z"


class Authority:
    """One of openssl's own, and whom it certifies as alice@a.test."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        for name, text in ("settings", SETTINGS), ("index", ""), ("serial", "01"):
            (place / name).write_text(text)
        new = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj"
        self.openssl(*new.split(), "/CN=Our authority")

    def openssl(self, *words: str, stdin: bytes = b"") -> bytes:
        done = subprocess.run(
            ["openssl", *words], cwd=self.place, input=stdin, capture_output=True, check=True, timeout=30
        )
        return done.stdout

    @property
    def pem(self) -> bytes:
        return (self.place / "ca.pem").read_bytes()

    def certify(self, name: str, kind: str = "rsa:2048", ends: str = ENDS) -> None:
        key, request, made = f"{name}.key", f"{name}.csr", f"{name}.pem"
        options = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else []
        new = ["req", "-newkey", kind, *options, "-nodes", "-keyout", key, "-out", request]
        self.openssl(*new, "-subj", f"/CN={name}")
        issue = ["ca", "-batch", "-config", "settings", "-cert", "ca.pem", "-keyfile", "ca.key", "-notext"]
        dates = ["-startdate", BEGINS, "-enddate", ends]
        self.openssl(*issue, "-extensions", "signer", *dates, "-in", request, "-out", made)

    def signed(self, name: str, *options: str) -> bytes:
        words = ["cms", "-sign", "-signer", f"{name}.pem", "-inkey", f"{name}.key", *options]
        return self.openssl(*words, stdin=TEXT)


def mail(octets: bytes, subject: str, author: str = "alice@a.test") -> bytes:
    octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return f"From: <{author}>\r\nTo: <bob@example.test>\r\nSubject: {subject}\r\n".encode() + octets


def mails(ours: Authority, strange: Authority) -> dict[str, bytes]:
    """By subject."""
    ours.certify("alice")
    ours.certify("curve", "ec")
    ours.certify("late", ends="20250101000000Z")
    strange.certify("alice")
    detached = ours.signed("alice")
    whole = ours.signed("alice", "-nodetach", "-stream")
    made = {
        "detached": detached,
        "opaque": whole,
        "curve": ours.signed("curve", "-md", "sha384"),
        "pss": ours.signed("alice", "-keyopt", "rsa_padding_mode:pss"),
        "smime": ours.openssl(
            "smime", "-sign", "-signer", "alice.pem", "-inkey", "alice.key", "-md", "sha256", stdin=TEXT
        ),
        "late": ours.signed("late"),
        "stranger": strange.signed("alice"),
        "altered": detached.replace(b"at ten", b"at two"),
        "footed": FOOTED % detached,
        "sealed": ours.openssl("cms", "-encrypt", "alice.pem", stdin=TEXT),
        "plain": TEXT,
    }
    found = {name: mail(octets, name) for name, octets in made.items()}
    found["author"] = mail(detached, "author", "mallory@a.test")
    return found


EXPECTED = {
    **dict.fromkeys(("detached", "opaque", "curve", "pss", "smime"), (GOOD, "")),
    "late": (BAD, "ended on 2025-01-01"),
    "stranger": (BAD, "No authority"),
    "altered": (BAD, "was changed after it was signed"),
    "footed": (BAD, "Only a part"),
    "author": (BAD, "address in the From field"),
    "sealed": (None, ""),
    "plain": (None, ""),
}
SIGNED = {name for name, (status, _) in EXPECTED.items() if status}
VERIFIED = {name for name, (status, _) in EXPECTED.items() if status == GOOD}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authorities") / "ours")


@pytest.fixture(scope="module")
def rig(ours: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    place = tmp_path_factory.mktemp("signed")
    believed = place / "believed.pem"
    believed.write_bytes(ours.pem)
    settings = ("profile=plain", "limits.profile=off", f"msgauth.smime_authorities={believed}")
    with Rig(place, accounts=[("bob@example.test", "secret")], workers=2, settings=settings) as made:
        with smtplib.SMTP("127.0.0.1", made.port("smtp")) as client:
            for octets in mails(ours, Authority(place / "strange")).values():
                client.sendmail("alice@a.test", ["bob@example.test"], octets)
        yield made


class Bob:
    """A program that asks."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.account = ""

    async def ask(self, method: str, **arguments: object) -> dict[str, Any]:
        if not self.account:
            async with self._session.get("/.well-known/jmap") as answer:
                (self.account,) = (await answer.json())["accounts"]
        calls = [[method, {"accountId": self.account, **arguments}, "0"]]
        async with self._session.post("/jmap/api", json={"using": USING, "methodCalls": calls}) as answer:
            assert answer.status == 200, await answer.text()
            ((name, told, _),) = (await answer.json())["methodResponses"]
        assert name == method, told
        return dict(told)

    async def told(self) -> tuple[str, dict[str, dict[str, Any]]]:
        """The state, and what is said of each mail, by subject."""
        found = await self.ask("Email/get", ids=None, properties=["subject", *STATUS])
        return found["state"], {each["subject"]: each for each in found["list"]}

    async def found(self, **condition: bool) -> set[str]:
        ids = (await self.ask("Email/query", filter=condition))["ids"]
        listed = (await self.ask("Email/get", ids=ids, properties=["subject"]))["list"]
        return {each["subject"] for each in listed}


def bob(rig: Rig) -> aiohttp.ClientSession:
    word = base64.b64encode(b"bob@example.test:secret").decode()
    base = f"https://127.0.0.1:{rig.port('https')}"
    headers = {"Authorization": f"Basic {word}"}
    return aiohttp.ClientSession(base, headers=headers, connector=aiohttp.TCPConnector(ssl=False))


async def test_what_is_said_of_each_mail_now_and_later(rig: Rig, ours: Authority, tmp_path: Path) -> None:
    async with bob(rig) as session:
        program = Bob(session)
        state, told = await program.told()
        assert set(told) == set(EXPECTED)
        for name, (status, word) in EXPECTED.items():
            each = told[name]
            assert (each["smimeStatus"], each["smimeStatusAtDelivery"]) == (status, status), name
            errors = each["smimeErrors"] or []
            assert len(errors) == bool(word) and word in "".join(errors), name
            assert (each["smimeVerifiedAt"] is None) is (status is None), name
        every = set(EXPECTED)
        assert await program.found(hasSmime=True) == SIGNED
        assert await program.found(hasSmime=False) == every - SIGNED
        for condition in "hasVerifiedSmime", "hasVerifiedSmimeAtDelivery":
            assert await program.found(**{condition: True}) == VERIFIED
            assert await program.found(**{condition: False}) == every - VERIFIED
        assert await program.told() == (state, told), "to be looked at changes no email"

        await asyncio.to_thread(_by_hand, rig, ours, tmp_path)

        other = await asyncio.to_thread(Authority, tmp_path / "other")
        (rig.directory.parent / "believed.pem").write_bytes(other.pem)
        _, later = await program.told()
        changed = (await program.ask("Email/changes", sinceState=state))["updated"]
        assert {later[name]["id"] for name in VERIFIED} <= set(changed)
        assert not {later[name]["id"] for name in every - SIGNED} & set(changed)
        for name in VERIFIED:
            assert (later[name]["smimeStatus"], later[name]["smimeStatusAtDelivery"]) == (BAD, GOOD)
        assert await program.found(hasVerifiedSmime=True) == set()
        assert await program.found(hasVerifiedSmimeAtDelivery=True) == VERIFIED


def _by_hand(rig: Rig, ours: Authority, place: Path) -> None:
    """Exported mails, as the verb sees them."""
    rig.verb("export", str(place / "out"), "bob@example.test")
    seen = set()
    for path in (path for path in (place / "out").rglob("*") if path.is_file()):
        octets = path.read_bytes()
        name = next((name for name in EXPECTED if f"\nSubject: {name}".encode() in octets[:2000]), None)
        if name in ("detached", "opaque", "altered", "late"):
            done = rig.run("check", "smime", str(path), "--authorities", str(ours.place / "ca.pem"), "--json")
            status, word = EXPECTED[name]
            assert f'"result": "{status}"'.encode() in done.stdout and word.encode() in done.stdout
            seen.add(name)
    assert len(seen) == 4
