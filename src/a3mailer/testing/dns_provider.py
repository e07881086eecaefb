"""``DnsProviderCompliance``: every rule of the door of ``ops/dns_provider.py``.

class TestMine(DnsProviderCompliance):
    @pytest.fixture
    async def provider(self) -> DnsProvider: ...

    @pytest.fixture
    def zone(self) -> str:
        return "example.test"   # kept by the provider, without any record under "door."
"""

from __future__ import annotations

import pytest

from a3mailer.ops.dns_provider import DnsProvider, ProviderFailure, ZoneRecord, canonical

LONG = '"' + "a" * 255 + '" "' + "b" * 140 + '"'
SAMPLES = (
    ("A", "192.0.2.1"),
    ("AAAA", "2001:db8::1"),
    ("MX", "10 mail.example.test."),
    ("TXT", '"v=spf1 mx -all"'),
    ("TXT", LONG),
    ("TXT", '"say \\"a\\\\b\\"; \\007"'),
    ("CNAME", "mail.example.test."),
    ("SRV", "0 1 993 mail.example.test."),
    ("SRV", "0 0 0 ."),
    ("CAA", '0 issue "letsencrypt.org"'),
    ("TLSA", "3 1 1 " + "ab" * 32),
)


class DnsProviderCompliance:
    """All rules. Give it the ``provider`` and ``zone`` fixtures."""

    async def test_a_zone_is_found_from_any_name_in_it(self, provider: DnsProvider, zone: str) -> None:
        assert await provider.zone_of(zone) == zone
        assert await provider.zone_of(f"_25._tcp.no.such.{zone}") == zone

    async def test_a_zone_it_does_not_keep(self, provider: DnsProvider) -> None:
        with pytest.raises(ProviderFailure):
            await provider.zone_of("elsewhere.invalid")

    @pytest.mark.parametrize(("kind", "data"), SAMPLES)
    async def test_what_is_put_in_is_read_and_taken_out(
        self, provider: DnsProvider, zone: str, kind: str, data: str
    ) -> None:
        name = f"sample.door.{zone}"
        record = ZoneRecord(name, kind, data)
        await provider.change(zone, (), (record,))
        assert await provider.read(zone, name, kind) == (canonical(kind, data),)
        await provider.change(zone, (record,), ())
        assert await provider.read(zone, name, kind) == ()

    async def test_a_record_is_taken_out_and_its_neighbours_stay(
        self, provider: DnsProvider, zone: str
    ) -> None:
        name = f"set.door.{zone}"
        one, two, three = (ZoneRecord(name, "TXT", f'"{n}"') for n in ("one", "two", "three"))
        await provider.change(zone, (), (one, two))
        await provider.change(zone, (one,), (three,))
        assert set(await provider.read(zone, name, "TXT")) == {'"two"', '"three"'}
        await provider.change(zone, (two, three), ())

    async def test_twice_is_as_once(self, provider: DnsProvider, zone: str) -> None:
        record = ZoneRecord(f"twice.door.{zone}", "A", "192.0.2.1")
        for _ in range(2):
            await provider.change(zone, (), (record,))
            assert await provider.read(zone, record.name, "A") == ("192.0.2.1",)
        for _ in range(2):
            await provider.change(zone, (record,), ())
            assert await provider.read(zone, record.name, "A") == ()

    async def test_all_or_nothing(self, provider: DnsProvider, zone: str) -> None:
        good = ZoneRecord(f"whole.door.{zone}", "A", "192.0.2.1")
        for bad in (
            ZoneRecord("outside.invalid", "A", "192.0.2.1"),
            ZoneRecord(f"whole.door.{zone}", "A", "nonsense"),
        ):
            with pytest.raises(ProviderFailure):
                await provider.change(zone, (), (good, bad))
            assert await provider.read(zone, good.name, "A") == ()
