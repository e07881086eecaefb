"""The certificates of a data directory: which is shown for a name, and how one takes another's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from a3mailer.config.fields import BadValue
from a3mailer.config.tree import Settings
from a3mailer.ops.certificates import ACME, IMPORTED, CertificateStore, is_current, key_of
from a3mailer.ops.pkix import ServerKey, read_chain, spki
from tests.certificates import DAY, NOW, Certified, authority, certified

ROOT = authority()
HOST = "mail.example.test"
TIME = NOW.timestamp()


def put(store: CertificateStore, source: str, made: Certified, name: str = HOST) -> Path:
    key: ServerKey = made.key
    return store.put(source, name, read_chain(made.pem + ROOT.pem), key)


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    own = certified(HOST)
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "cert.pem").write_bytes(own.pem)
    (tmp_path / "tls" / "key.pem").write_bytes(own.key_pem)
    return CertificateStore(tmp_path, Settings())


def shown(store: CertificateStore, name: str = HOST, now: float = TIME) -> str:
    store.look(now)
    found = store.pick(name, now)
    return found.source if found else ""


def test_better_ones_are_shown(store: CertificateStore) -> None:
    assert shown(store) == "file"
    put(store, ACME, certified(HOST, ROOT))
    assert shown(store) == "acme"
    put(store, IMPORTED, certified(HOST, ROOT, days=10))
    assert shown(store) == "imported"
    assert shown(store, now=TIME + 11 * 86_400) == "acme"
    assert store.remove(IMPORTED, HOST) and not store.remove(IMPORTED, HOST)
    assert shown(store) == "acme"
    assert shown(store, now=TIME + 31 * 86_400) == "acme", "nothing is good: the one of an authority"


def test_an_operators_own_file_is_by_hand(tmp_path: Path, store: CertificateStore) -> None:
    put(store, ACME, certified(HOST, ROOT))
    real = certified(HOST, ROOT, days=5)
    (tmp_path / "tls" / "cert.pem").write_bytes(real.pem)
    (tmp_path / "tls" / "key.pem").write_bytes(real.key_pem)
    assert shown(store) == "file"


def test_names_and_wildcards(store: CertificateStore) -> None:
    put(store, ACME, certified("*.example.test", ROOT), "*.example.test")
    put(store, ACME, certified("a.other.test", ROOT), "a.other.test")
    assert shown(store, "mta-sts.example.test") == "acme"
    for name in ("a.b.example.test", "example.test", "other.test"):
        assert shown(store, name) == ""
    assert shown(store, "a.other.test") == "acme"
    assert shown(store, HOST) == "acme", "an authority's wildcard before our own signature"
    put(store, IMPORTED, certified(HOST, ROOT, days=2))
    assert shown(store, HOST) == "imported"


def test_one_takes_anothers_place_whole(store: CertificateStore) -> None:
    first, second = certified(HOST, ROOT), certified(HOST, ROOT)
    path = put(store, ACME, first)
    store.look(TIME)
    kept, stamp = store.pick(HOST, TIME), store.stamp()
    assert kept is not None and is_current(kept) and spki(key_of(kept)) == first.spki
    put(store, ACME, second)
    assert not is_current(kept) and store.stamp() != stamp
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    former = path.with_name(f"{path.name}.old")
    assert first.pem in former.read_bytes() and former.stat().st_mode & 0o777 == 0o600
    assert second.pem in path.read_bytes() and ROOT.pem in path.read_bytes()
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, former.name]


def test_what_is_no_certificate_is_told_and_hides_nothing(store: CertificateStore) -> None:
    path = put(store, ACME, certified(HOST, ROOT))
    (path.parent / "broken.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n")
    (path.parent / "empty.pem").touch()
    assert shown(store) == "acme"
    told = [Path(fault.partition(": ")[0]).name for fault in store.faults]
    assert told == ["broken.pem", "empty.pem"]


def test_an_unchanged_file_is_not_read_again(store: CertificateStore) -> None:
    put(store, ACME, certified(HOST, ROOT))
    assert store.look(TIME)[HOST] is store.look(TIME + DAY.total_seconds())[HOST]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "*.*.test", "a..b", "x" * 300])
def test_names_of_files_are_host_names(store: CertificateStore, name: str) -> None:
    with pytest.raises(BadValue):
        put(store, ACME, certified(HOST, ROOT), name)
