"""Dynamic updates against Debian's bind9: the door's rules, and a domain's records put into a zone."""

import asyncio
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from a3mailer.app.main import main
from a3mailer.keys import selectors
from a3mailer.keys.selectors import Selector
from a3mailer.ops.dns_provider import DnsProvider, ProviderFailure, ZoneRecord
from a3mailer.ops.dns_providers.rfc2136 import Rfc2136, read_key
from a3mailer.testing.dns_provider import DnsProviderCompliance
from tests.bind import Named, program

FOREIGN = """
@ IN MX 5 mx.old.invalid.
@ IN TXT "site-verification=1"
@ IN TXT "v=spf1 include:old.invalid -all"
_dmarc IN TXT "v=DMARC1; p=reject; rua=mailto:me@example.test"
mail IN A 192.0.2.77
"""


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    with Named(tmp_path_factory.mktemp("named"), "example.test", FOREIGN) as server:
        yield server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    before = os.umask(0o022)
    place = tmp_path_factory.mktemp("update") / "instance"
    assert main(["init", str(place), "--domain", "example.test"]) == 0
    yield place
    os.umask(before)


def rfc2136(named: Named, key: pathlib.Path | None = None) -> Rfc2136:
    return Rfc2136("127.0.0.1", named.port, read_key(key or named.key_file))


class TestRfc2136(DnsProviderCompliance):
    @pytest.fixture
    def provider(self, named: Named) -> DnsProvider:
        return rfc2136(named)

    @pytest.fixture
    def zone(self) -> str:
        return "example.test"


async def test_another_key_changes_nothing(named: Named, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other.key"
    record = ZoneRecord("x.example.test", "A", "192.0.2.1")
    for name in ("update", "stranger"):  # the right name with the wrong secret, and an unknown name
        made = subprocess.run([program("tsig-keygen"), name], capture_output=True, check=True)
        other.write_bytes(made.stdout)
        with pytest.raises(ProviderFailure):
            await rfc2136(named, other).change("example.test", (), (record,))
    assert await rfc2136(named).read("example.test", "x.example.test", "A") == ()


async def test_nobody_listens(named: Named) -> None:
    with pytest.raises(ProviderFailure, match="port 1"):
        await Rfc2136("127.0.0.1", 1, read_key(named.key_file)).zone_of("example.test")


@pytest.mark.parametrize(
    "text",
    ["", "no key", 'key "x" { algorithm hmac-sha256; };', 'key "x" { secret "YQ=="; };',
     'key "x" { algorithm hmac-md5; secret "YQ=="; };', 'key "x" { algorithm hmac-sha256; secret "%"; };'],
)  # fmt: skip
def test_a_file_without_a_usable_key(text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(ProviderFailure):
        read_key(tmp_path / "key")
    with pytest.raises(ProviderFailure):
        read_key(tmp_path / "none")


def command(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    found = main(list(words))
    out, err = capsys.readouterr()
    assert found == code, (out, err)
    return out if code in (0, 1) else err


def test_a_domain_is_put_into_its_zone_and_checked(
    named: Named, place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("example.test", "--dir", str(place), "--address", "192.0.2.1")
    send = ("--update", "--server", f"127.0.0.1:{named.port}", "--tsig", str(named.key_file))
    made = json.loads(command(capsys, "domain", "dns", *words, *send, "--json"))
    removed = {(r["name"], r["kind"], r["data"]) for r in made["remove"]}
    assert removed == {
        ("example.test", "MX", "5 mx.old.invalid."),
        ("example.test", "TXT", '"v=spf1 include:old.invalid -all"'),
        ("mail.example.test", "A", "192.0.2.77"),
    }
    assert made["zone"] == "example.test" and not [r for r in made["add"] if r["name"].startswith("_dmarc")]
    ask = ("--dns", f"127.0.0.1:{named.port}", "--blocklist", "list.example.test")
    found = json.loads(command(capsys, "domain", "check", *words, *ask, "--json", code=1))
    assert {r["state"] for r in found["records"]} == {"published"}
    again = command(capsys, "domain", "dns", *words, *send)
    assert again.splitlines()[0] == "example.test:" and "+" not in again and "CAA records already" in again
    said = command(capsys, "domain", "dns", *words, "--update", code=2)
    assert "--server" in said


def test_the_record_of_a_deleted_key_is_taken_out(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, name = tmp_path / "instance", "old._domainkey.example.test"
    (tmp_path / "named").mkdir()
    before = os.umask(0o022)
    command(capsys, "init", str(place), "--domain", "example.test")
    os.umask(before)
    folder = place / selectors.FOLDER / "example.test"
    selectors.write(folder, (Selector("old", "rsa", selectors.REMOVED, 1),))
    here = ("example.test", "--dir", str(place))
    texts = "".join(f"{name}. IN TXT {text}\n" for text in ('"v=DKIM1; p=AAAA"', '"a note"'))
    with Named(tmp_path / "named", "example.test", texts) as named:
        send = ("--update", "--server", f"127.0.0.1:{named.port}", "--tsig", str(named.key_file))
        made = json.loads(command(capsys, "domain", "dns", *here, "--address", "192.0.2.1", *send, "--json"))
        gone = [(r["name"], r["data"]) for r in made["remove"] if r["name"] == name]
        assert gone == [(name, '"v=DKIM1; p=AAAA"')]
        assert asyncio.run(rfc2136(named).read("example.test", name, "TXT")) == ('"a note"',)
        said = command(capsys, "dkim", "publish", *here, "--dns", f"127.0.0.1:{named.port}")
        assert "old: gone" in said and "old" not in command(capsys, "dkim", "list", *here)


async def test_what_others_put_there_stays(named: Named) -> None:
    texts = await rfc2136(named).read("example.test", "example.test", "TXT")
    assert '"site-verification=1"' in texts
    dmarc = await rfc2136(named).read("example.test", "_dmarc.example.test", "TXT")
    assert dmarc == ('"v=DMARC1; p=reject; rua=mailto:me@example.test"',)
