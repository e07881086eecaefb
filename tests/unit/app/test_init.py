"""``init`` and verbs without a server, on a real store: everything is made, or nothing is left."""

from __future__ import annotations

import json
import os
import pathlib
import ssl
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from a3mailer.app import material
from a3mailer.app.cli import exits
from a3mailer.app.lock import acquire
from a3mailer.app.main import main
from a3mailer.config.load import load
from a3mailer.keys.recovery import open_sealed, read_recovery, seal

SOURCE = pathlib.Path(__file__).parents[3] / "src"
RIG = (
    "--hostname", "mail.example.test", "--domain", "example.test",
    "--account", "alice@example.test:secret:a", "--port-base", "20000", "--dns", "127.0.0.1:5353",
    "--relay", "[::1]:2525", "--allow-plaintext-auth", "--workers", "2",
    "--listen", "127.0.0.1", "--listen", "::1",
    "--set", "profile=plain", "--set", "limits.profile=off",
)  # fmt: skip


@pytest.fixture(autouse=True)
def mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = exits.OK) -> str:
    found = main(list(words))
    out, err = capsys.readouterr()
    assert found == code, (found, out, err)
    return out if code in (exits.OK, exits.NO) else err


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    found = json.loads(run(capsys, *words, "--json"))
    assert isinstance(found, list)
    return found


def test_the_rig_contract(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "deep" / "instance"
    made = json.loads(run(capsys, "init", str(place), *RIG, "--json"))
    assert made["admin"] == "admin@example.test" and len(made["admin_password"]) >= 20
    settings = load(place, {}, {}).settings
    assert settings.server.listen == ("127.0.0.1", "::1") and settings.server.port_base == 20000
    assert settings.queue.relay == "[::1]:2525" and settings.dns.servers == ("127.0.0.1:5353",)
    assert settings.auth.plaintext and settings.server.workers == 2
    assert (settings.server.profile, settings.limits.profile) == ("plain", "off")
    accounts = {r["address"]: r["role"] for r in rows(capsys, "account", "list", "--dir", str(place))}
    assert accounts == {"admin@example.test": "superadmin", "alice@example.test": "user"}
    public = (place / material.RECOVERY_PUBLIC).read_bytes()
    assert open_sealed(read_recovery(made["recovery_key"]), seal(public, b"a key")) == b"a key"
    assert [p.name for p in place.parent.iterdir()] == ["instance"]


def test_what_init_makes_is_its_owners_alone(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "instance"
    printed = run(capsys, "init", str(place), "--domain", "b\u00fccher.example", "--admin-password", "chosen")
    assert "chosen" not in printed and "recovery key" in printed
    open_to_others = [
        str(p) for p in (place, *place.rglob("*")) if p.stat().st_mode & 0o077 and p.suffix != ".pem"
    ]
    assert open_to_others == []
    assert [p.name for p in place.rglob("*.pem") if p.stat().st_mode & 0o077] == ["cert.pem"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "tls/cert.pem", place / "tls/key.pem")
    certificate = x509.load_pem_x509_certificate((place / "tls/cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    below = [f"{name}.xn--bcher-kva.example" for name in material.SERVED_NAMES]
    assert names.get_values_for_type(x509.DNSName) == [*below, "localhost"]
    folder = place / "keys/dkim/xn--bcher-kva.example"
    keys = [load_pem_private_key(p.read_bytes(), None) for p in sorted(folder.iterdir())]
    assert isinstance(keys[0], ed25519.Ed25519PrivateKey) and isinstance(keys[1], rsa.RSAPrivateKey)
    assert keys[1].key_size == 2048
    for path in (p for p in place.rglob("*") if p.is_file()):
        assert b"chosen" not in path.read_bytes(), path


def test_an_empty_directory_is_filled_and_a_full_one_left_alone(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "instance"
    place.mkdir()
    run(capsys, "init", str(place), "--domain", "example.test")
    before = sorted(str(p) for p in place.rglob("*"))
    run(capsys, "init", str(place), "--domain", "example.test", code=exits.EXISTS)
    assert sorted(str(p) for p in place.rglob("*")) == before
    file = tmp_path / "file"
    file.touch()
    run(capsys, "init", str(file), "--domain", "example.test", code=exits.EXISTS)


@pytest.mark.parametrize("existing", [True, False])
def test_a_failed_init_leaves_nothing(
    existing: bool,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = tmp_path / "instance"
    if existing:
        place.mkdir()

    def broken(directory: pathlib.Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(material, "make_recovery_key", broken)
    said = run(capsys, "init", str(place), "--domain", "example.test", code=exits.UNUSABLE)
    assert "No space left" in said
    assert list(tmp_path.iterdir()) == ([place] if existing else [])
    assert not existing or list(place.iterdir()) == []
    monkeypatch.undo()
    run(
        capsys,
        "init",
        str(place),
        "--domain",
        "example.test",
        "--account",
        "x@example.test:a\0b",
        code=exits.USAGE,
    )
    assert list(tmp_path.iterdir()) == ([place] if existing else [])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), exits.USAGE),
        (("--domain", "a b"), exits.USAGE),
        (("--domain", "x.test", "--account", "nopassword@x.test"), exits.USAGE),
        (("--domain", "x.test", "--account", "nopassword@x.test:"), exits.USAGE),
        (("--domain", "x.test", "--account", "a@y.test:p"), exits.USAGE),
        (("--domain", "x.test", "--account", "a@x.test:p", "--account", "A@x.test:q"), exits.USAGE),
        (("--domain", "x.test", "--port-base", "many"), exits.CONFIG),
        (("--domain", "x.test", "--listen", "localhost"), exits.CONFIG),
        (("--domain", "x.test", "--hostname", "-"), exits.CONFIG),
        (("--domain", "x.test", "--set", "nothing"), exits.USAGE),
        (("--domain", "x.test", "--set", "no.such=1"), exits.CONFIG),
        (("--domain", "x.test", "--listen", "0.0.0.0", "--set", "limits.profile=off"), exits.CONFIG),
    ],
)
def test_wrong_options_are_found_before_anything_is_made(
    words: tuple[str, ...], code: int, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "init", str(tmp_path / "instance"), *words, code=code)
    assert said.startswith("a3mailer: ") and list(tmp_path.iterdir()) == []


def test_the_administrator_may_be_given_as_an_account(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "instance"
    words = ("--domain", "example.test", "--domain", "second.test", "--account", "admin@example.test:mine")
    made = json.loads(run(capsys, "init", str(place), *words, "--json"))
    assert made["admin_password"] == "mine"
    assert [r["domain"] for r in rows(capsys, "domain", "list", "--dir", str(place))] == [
        "example.test",
        "second.test",
    ]
    assert len(rows(capsys, "account", "list", "--dir", str(place))) == 1


def test_verbs_work_without_a_server_and_keep_what_they_did(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "instance"
    run(capsys, "init", str(place), "--domain", "example.test", "--account", "bob@example.test:x")
    at = ("--dir", str(place))
    run(capsys, "account", "rename", "bob@example.test", "rob@example.test", *at)
    run(capsys, "account", "disable", "rob@example.test", *at)
    run(capsys, "alias", "add", "all@example.test", "rob@example.test", "x@elsewhere.test", *at)
    run(capsys, "config", "set", "smtp.hops", "9", *at)
    run(capsys, "config", "set", "workers", "4", *at)
    assert run(capsys, "config", "get", "smtp.hops", *at) == "9\n"
    assert run(capsys, "config", "get", "workers", *at) == "4\n"
    assert {r["address"]: r["enabled"] for r in rows(capsys, "account", "list", *at)}[
        "rob@example.test"
    ] is False
    assert [r["address"] for r in rows(capsys, "alias", "list", *at)] == [
        "all@example.test",
        "bob@example.test",
    ]
    actions = [r["action"] for r in rows(capsys, "audit", "query", *at)]
    assert actions[-5:] == [
        "account.rename",
        "account.disable",
        "alias.add",
        "config.change",
        "config.change",
    ]
    assert rows(capsys, "queue", "list", *at) == []
    run(capsys, "config", "diff", *at, code=exits.NOT_RUNNING)
    run(capsys, "account", "rm", "rob@example.test", *at)
    run(capsys, "account", "disable", "rob@example.test", *at, code=exits.ABSENT)
    os.close(acquire(place))  # nothing holds the lock between verbs


def test_a_broken_settings_file_is_named_and_a_foreign_key_too(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "instance"
    run(capsys, "init", str(place), "--domain", "example.test")
    settings = (place / "a3mailer.toml").read_text()
    (place / "a3mailer.toml").write_text("[smtp]\nsize = 'x'\n")
    assert "smtp.size" in run(capsys, "account", "list", "--dir", str(place), code=exits.CONFIG)
    (place / "a3mailer.toml").write_text(settings)
    (place / "keys/kek").chmod(0o644)
    command = [sys.executable, "-m", "a3mailer.app.main", "account", "list", "--dir", str(place)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SOURCE)}
    )
    assert done.returncode == exits.UNUSABLE and "0400" in done.stderr and done.stderr.count("\n") == 1
