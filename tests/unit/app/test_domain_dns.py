"""domain dns: from keys on the disk to records on the terminal."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from a3mailer.app import material, published
from a3mailer.app.cli import exits
from a3mailer.app.main import main


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    before = os.umask(0o022)
    place = tmp_path_factory.mktemp("dns") / "instance"
    assert main(["init", str(place), "--domain", "example.test", "--domain", "second.test"]) == 0
    yield place
    os.umask(before)


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = exits.OK) -> str:
    found = main(list(words))
    out, err = capsys.readouterr()
    assert found == code, (found, out, err)
    return out if code in (exits.OK, exits.NO) else err


def test_published_keys_are_the_ones_on_the_disk(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("domain", "dns", "Example.test", "--dir", str(place), "--json", "--address", "192.0.2.1")
    rows = json.loads(run(capsys, *words))
    data = {r["name"]: r["data"].replace('" "', "").strip('"') for r in rows if r["subject"] == "dkim"}
    folder = place / material.DKIM_FOLDER / "example.test"
    rsa = load_pem_private_key((folder / "a3-rsa.pem").read_bytes(), None).public_key()
    shown = data["a3-rsa._domainkey.example.test"].removeprefix("v=DKIM1; k=rsa; p=")
    assert load_der_public_key(base64.b64decode(shown)) == rsa
    ed25519 = load_pem_private_key((folder / "a3-ed25519.pem").read_bytes(), None).public_key()
    shown = data["a3-ed25519._domainkey.example.test"].removeprefix("v=DKIM1; k=ed25519; p=")
    assert base64.b64decode(shown) == ed25519.public_bytes(Encoding.Raw, PublicFormat.Raw)
    tlsa = [r["data"] for r in rows if r["kind"] == "TLSA"]
    der = ssl.PEM_cert_to_DER_cert((place / "tls/cert.pem").read_text())
    key = x509.load_der_x509_certificate(der).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert tlsa[0] == f"3 1 1 {digest.hexdigest()}" and len(tlsa) == 2 and tlsa[0] != tlsa[1]
    assert [r["data"] for r in rows if r["kind"] == "A"] == ["192.0.2.1"]


def test_records_to_paste_say_what_they_are_for(
    place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run(capsys, "domain", "dns", "example.test", "--dir", str(place))
    assert "\nexample.test. 3600 IN MX 10 mail.example.test.\n" in printed
    assert "Also an A (and AAAA) record of mail.example.test" in printed
    assert printed.index("Needed:") < printed.index("_dmarc.example.test.") < printed.index("Helpful:")
    other = run(capsys, "domain", "dns", "second.test", "--dir", str(place))
    assert "mail.example.test is of another zone" in other and "TLSA 3" not in other


def test_a_zone_file_needs_an_address(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("domain", "dns", "example.test", "--bind", "--dir", str(place))
    assert "--address" in run(capsys, *words, code=exits.USAGE)
    zone = run(capsys, *words, "--address", "192.0.2.1", "--name-server", "ns.other.test", "--ca", "ca.test")
    assert "@ IN NS ns.other.test." in zone and 'CAA 0 issue "ca.test"' in zone


def test_what_cannot_be_is_said(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("domain", "dns", "example.test", "--dir", str(place))
    assert "no domain" in run(capsys, "domain", "dns", "no.test", *words[3:], code=exits.ABSENT)
    assert "nowhere" in run(capsys, *words, "--address", "nowhere", code=exits.USAGE)
    key = place / material.DKIM_FOLDER / "second.test" / "broken.pem"
    key.write_text("no key")
    said = run(capsys, "domain", "dns", "second.test", *words[3:], code=exits.USAGE)
    key.unlink()
    assert "cannot be read" in said


def test_only_addresses_the_world_can_reach_are_published() -> None:
    assert published.bound_addresses(("0.0.0.0", "::", "127.0.0.1", "::1", "192.0.2.7")) == ("192.0.2.7",)
