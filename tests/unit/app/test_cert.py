"""cert list, show, import, rm, renew, request: on a data directory without a server."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator

import pytest
from cryptography import x509

from a3mailer.app.cli.exits import ABSENT, OK, USAGE
from a3mailer.app.main import main
from a3mailer.ops.acme.memory import Memory
from a3mailer.ops.acme.schedule import Trial
from a3mailer.ops.pkix import read_key
from tests.certificates import Certified, authority, certified

HOST, DOMAIN = "mail.example.test", "example.test"
ROOT = authority("verb root")


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    before = os.umask(0o022)
    place = tmp_path / "instance"
    assert main(["init", str(place), "--domain", DOMAIN]) == OK
    yield place
    os.umask(before)


def said(place: pathlib.Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = OK) -> object:
    capsys.readouterr()
    assert main(["cert", *words, "--json", "--dir", str(place)]) == code
    return json.loads(capsys.readouterr().out) if code == OK else None


def rows(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    found = said(place, capsys, "list")
    assert isinstance(found, list)
    return {row["certificate"]: row for row in found}


def written(tmp_path: pathlib.Path, *pieces: bytes) -> str:
    path = tmp_path / "given.pem"
    path.write_bytes(b"".join(pieces))
    return str(path)


def test_a_certificate_of_ones_own(
    place: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rows(place, capsys)["tls.certificate"]["self_signed"] is True
    made = certified(HOST, ROOT)
    said(place, capsys, "import", written(tmp_path, made.pem, ROOT.pem, made.key_pem))
    found = rows(place, capsys)
    assert (found[HOST]["source"], found[HOST]["shown"]) == ("imported", [HOST])
    assert HOST not in found["tls.certificate"]["shown"]  # type: ignore[operator]
    assert found[HOST]["key"] == made.key_digest.hex()
    shown = said(place, capsys, "show", HOST)
    assert isinstance(shown, dict) and shown["pem"].encode() == made.pem + ROOT.pem
    assert (place / "tls" / "imported" / f"{HOST}.pem").stat().st_mode & 0o777 == 0o600
    renewed = certified(HOST, ROOT, days=60, key=made.key)
    said(place, capsys, "import", written(tmp_path, renewed.pem))  # the key is here
    assert rows(place, capsys)[HOST]["ends"] == int(renewed.certificate.not_valid_after_utc.timestamp())
    said(place, capsys, "rm", HOST)
    said(place, capsys, "rm", HOST, code=ABSENT)
    assert HOST not in rows(place, capsys)
    said(place, capsys, "show", "elsewhere.test", code=ABSENT)


@pytest.mark.parametrize(
    "what", ["no key", "another key", "expired", "nothing", "absent", "no name", "not in order"]
)
def test_what_cannot_be_used_is_refused(
    what: str, place: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, other = certified(HOST, ROOT), certified(HOST, ROOT)
    expired = certified(HOST, ROOT, days=-1)
    given = {
        "no key": (good.pem,),
        "another key": (good.pem, other.key_pem),
        "expired": (expired.pem, expired.key_pem),
        "nothing": (b"nothing",),
        "no name": (ROOT.pem, ROOT.key_pem),
        "not in order": (good.pem, other.pem, ROOT.pem, good.key_pem),
    }
    path = written(tmp_path, *given[what]) if what in given else str(tmp_path / "absent.pem")
    said(place, capsys, "import", path, code=ABSENT if what == "absent" else USAGE)
    assert list(rows(place, capsys)) == ["tls.certificate"]


def test_a_request_and_what_comes_back(
    place: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["shop.example.test", "*.shop.example.test"]
    made = said(place, capsys, "request", *names)
    assert isinstance(made, dict)
    request = x509.load_pem_x509_csr(made["pem"].encode())
    found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == names and request.is_signature_valid
    kept = place / "tls" / "requested" / f"{names[0]}.pem"
    assert kept.stat().st_mode & 0o777 == 0o600
    key = read_key(kept.read_bytes())
    answer = Certified(key, certified(names[0], ROOT, key=key).certificate)  # type: ignore[arg-type]
    said(place, capsys, "import", written(tmp_path, answer.pem, ROOT.pem))
    assert rows(place, capsys)[names[0]]["source"] == "imported" and not kept.exists()
    own = said(place, capsys, "request")
    assert isinstance(own, dict) and own["names"] == [HOST]
    digest = rows(place, capsys)["tls.certificate"]["key"]
    public = x509.load_pem_x509_csr(own["pem"].encode()).public_key()
    mine = x509.load_pem_x509_certificate((place / "tls" / "cert.pem").read_bytes()).public_key()
    assert public == mine and digest, "the host keeps its key, and its TLSA record with it"
    said(place, capsys, "request", "no name at all", code=USAGE)


def test_renewals_are_asked_for(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(place, capsys, "renew", code=USAGE)  # no authority is set
    (place / "conf.d" / "acme.toml").write_text('acme.directory = "https://acme.test/dir"\n')
    memory = Memory(place)
    assert said(place, capsys, "renew", "mta-sts.example.test") == {
        "asked": ["mta-sts.example.test"], "fetched": [], "failed": [],
    }  # fmt: skip
    assert memory.is_busy() and memory.asked() == ("mta-sts.example.test",) and not memory.is_busy()
    said(place, capsys, "renew", "elsewhere.test", code=ABSENT)
    said(place, capsys, "renew")
    assert memory.asked() == ()
    memory.keep({HOST: Trial(at=5.0, failures=1, not_before=9.0, error="no way")})
    row = rows(place, capsys)[HOST]
    assert (row["source"], row["error"], row["tried"], row["renewal"]) == ("acme", "no way", 5.0, 9)


def test_for_people(place: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = certified(HOST, ROOT)
    path = written(tmp_path, made.pem, ROOT.pem, made.key_pem)
    for words in (("import", path), ("list",), ("show", HOST), ("request", "x.test"), ("rm", HOST)):
        assert main(["cert", *words, "--dir", str(place)]) == OK
    text = capsys.readouterr().out
    for part in (
        f"{HOST} is shown for",
        "CERTIFICATE  ",
        "TLSA 3 1 1 ",
        "CERTIFICATE REQUEST",
        f"{HOST} removed",
    ):
        assert part in text
    assert "PRIVATE" not in text
