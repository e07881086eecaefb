"""Validation by libunbound of what a real name server says: signed, unsigned, forged, expired (row 15)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from a3mailer.config.tree import Dns
from a3mailer.runtime import dnssec, unbound
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.resolver import ResolverFailure, Server, StubResolver
from a3mailer.runtime.unbound import Unavailable, Unbound, library
from tests.named import FORGED, SignedServer, signed_server

TLSA = "3 1 1 " + "ab" * 32
ALIASES = (
    "www IN CNAME host.good.test.\nout IN CNAME host.plain.test.\nlie IN CNAME host.forged.test.\n"
    f"@ IN MX 10 host\n_25._tcp.host IN TLSA {TLSA}\n"
)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedServer]:
    try:
        library()
    except Unavailable as error:
        pytest.skip(f"absent: {error}")
    folder = tmp_path_factory.mktemp("named")
    with signed_server(folder, {"good.test": ALIASES, "nsec3.test": "@ IN MX 10 host\n"}) as server:
        yield server


def resolver(named: SignedServer, *unsigned: str, anchor: str = "", probe: bool = False) -> StubResolver:
    anchors = anchor or str(named.anchor)
    validator = Unbound([f"127.0.0.1@{named.port}"], "" if probe else anchors, unsigned, probe=probe)
    return StubResolver([Server("127.0.0.1", named.port)], 5.0, SystemClock(), validator)


async def test_what_is_signed_is_authentic_with_its_denials_and_aliases(named: SignedServer) -> None:
    stub = resolver(named)
    try:
        address = await stub.lookup("host.good.test", "A")
        assert (address.strings, address.authentic) == (("127.0.0.1",), True)
        assert (await stub.lookup("good.test", "MX")).authentic
        (record,) = (await stub.lookup("_25._tcp.host.good.test", "TLSA")).associations
        assert record.data == b"\xab" * 32
        alias = await stub.lookup("WWW.good.test", "A")
        assert (alias.strings, alias.authentic, alias.canonical) == (("127.0.0.1",), True, "host.good.test")
        for zone in ("good.test", "nsec3.test"):
            nothing = await stub.lookup(f"host.{zone}", "AAAA")
            assert (nothing.records, nothing.exists, nothing.authentic) == ((), True, True)
            nobody = await stub.lookup(f"_25._tcp.nobody.{zone}", "TLSA")
            assert (nobody.records, nobody.exists, nobody.authentic) == ((), False, True)
            assert 0 < nobody.ttl <= 60
    finally:
        stub.close()


async def test_what_is_not_signed_is_an_answer_but_not_authentic(named: SignedServer) -> None:
    stub = resolver(named)
    try:
        for name in ("host.plain.test", "out.good.test"):
            answer = await stub.lookup(name, "A")
            assert (answer.strings, answer.authentic) == (("127.0.0.1",), False)
        assert (await stub.lookup("out.good.test", "CNAME")).authentic
        assert not (await stub.lookup("nobody.plain.test", "A")).authentic
    finally:
        stub.close()


@pytest.mark.parametrize("zone", ["forged.test", "stale.test", "stripped.test"])
async def test_row_15_what_contradicts_its_signatures_is_no_answer(named: SignedServer, zone: str) -> None:
    stub = resolver(named)
    try:
        with pytest.raises(ResolverFailure, match="validation"):
            await stub.lookup(f"host.{zone}", "A")
    finally:
        stub.close()


async def test_row_15_an_alias_into_a_forged_zone_is_no_answer(named: SignedServer) -> None:
    stub = resolver(named)
    try:
        with pytest.raises(ResolverFailure, match="validation"):
            await stub.lookup("lie.good.test", "A")
    finally:
        stub.close()


async def test_a_zone_can_be_taken_without_signatures(named: SignedServer) -> None:
    stub = resolver(named, "forged.test")
    try:
        answer = await stub.lookup("host.forged.test", "A")
        assert (answer.strings, answer.authentic) == ((FORGED,), False)
    finally:
        stub.close()


async def test_servers_without_signatures_of_the_root_are_asked_without_validation(
    named: SignedServer,
) -> None:
    stub = resolver(named, probe=True)
    try:
        answer = await stub.lookup("host.good.test", "A")
        assert (answer.strings, answer.authentic) == (("127.0.0.1",), False)
    finally:
        stub.close()


async def test_an_anchor_file_that_is_none_is_said(tmp_path: Path, named: SignedServer) -> None:
    with pytest.raises(Unavailable, match="missing"):
        resolver(named, anchor=str(tmp_path / "missing"))
    broken = tmp_path / "broken"
    broken.write_text("this is no record\n")
    with pytest.raises(Unavailable, match="broken"):
        resolver(named, anchor=str(broken))


async def test_closing_ends_open_questions(named: SignedServer) -> None:
    validator = Unbound(["127.0.0.1@9"], str(named.anchor))
    stub = StubResolver([Server("127.0.0.1", 9)], 0.2, SystemClock(), validator)
    with pytest.raises(ResolverFailure):
        await stub.lookup("host.good.test", "A")
    stub.close()
    stub.close()


async def test_the_settings_say_who_validates(named: SignedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    here = (f"127.0.0.1:{named.port}",)
    demanded = Dns(servers=here, dnssec="libunbound", trust_anchor=str(named.anchor))
    stub = dnssec.resolver_of(demanded, SystemClock())
    try:
        assert await dnssec.who_validates(stub) == "libunbound"
        assert (await stub.lookup("host.good.test", "A")).authentic
        validator = stub.validator
        dnssec.reconfigure(stub, msgspec.structs.replace(demanded, timeout=4.0))
        assert stub.validator is validator
        dnssec.reconfigure(stub, msgspec.structs.replace(demanded, unsigned=("good.test",)))
        assert not (await stub.lookup("host.good.test", "A")).authentic
        dnssec.reconfigure(stub, Dns(servers=here))
        assert await dnssec.who_validates(stub) == "a resolver on this machine (if it validates)"
        dnssec.reconfigure(stub, Dns(servers=here, dnssec="off"))
        assert await dnssec.who_validates(stub) == "nobody: dns.dnssec is off"
        monkeypatch.setattr(unbound, "LIBRARIES", ("libnowhere.so",))
        with pytest.raises(Unavailable):
            dnssec.resolver_of(demanded, SystemClock())
        dnssec.reconfigure(stub, demanded)
        assert not stub.believes  # nothing changed
        dnssec.reconfigure(stub, Dns(servers=("192.0.2.1:53",)))
        assert "libunbound is not installed" in await dnssec.who_validates(stub)
    finally:
        stub.close()
