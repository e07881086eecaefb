"""The stub resolver against a name server on loopback: caches, failures, and answers that lie (row 15)."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from msgspec import structs

from a3mailer.runtime import resolver as module
from a3mailer.runtime.resolver import (
    Answer,
    Mx,
    ResolverFailure,
    Server,
    StubResolver,
    Tlsa,
    parse_server,
    system_servers,
)
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.nameserver import NEGATIVE_TTL, NameServer

CLOCK = FakeClock()


def stub(*servers: NameServer, timeout: float = 5.0, clock: FakeClock = CLOCK) -> StubResolver:
    return StubResolver([Server("127.0.0.1", s.port) for s in servers], timeout, clock)


async def test_every_kind_of_record_is_a_plain_value() -> None:
    async with NameServer() as server:
        server.put(
            "a.test. 300 IN MX 10 mx.a.test.",
            "a.test. 300 IN MX 20 MX2.a.test.",
            "null.test. 300 IN MX 0 .",
            "mx.a.test. 300 IN A 192.0.2.1",
            "mx.a.test. 300 IN AAAA 2001:db8::1",
            'a.test. 300 IN TXT "v=spf1 " "-all"',
            "1.2.0.192.in-addr.arpa. 300 IN PTR mx.a.test.",
            "_25._tcp.mx.a.test. 300 IN TLSA 3 1 1 " + "ab" * 32,
        )
        resolver = stub(server)
        assert sorted((await resolver.lookup("a.test", "MX")).exchanges, key=lambda m: m.preference) == [
            Mx(10, "mx.a.test"),
            Mx(20, "MX2.a.test"),
        ]
        assert (await resolver.lookup("null.test", "MX")).exchanges == (Mx(0, "."),)
        assert (await resolver.lookup("mx.a.test", "A")).strings == ("192.0.2.1",)
        assert (await resolver.lookup("mx.a.test", "AAAA")).strings == ("2001:db8::1",)
        assert (await resolver.lookup("a.test", "TXT")).texts == (b"v=spf1 -all",)
        assert (await resolver.lookup("1.2.0.192.in-addr.arpa", "PTR")).strings == ("mx.a.test",)
        (tlsa,) = (await resolver.lookup("_25._tcp.mx.a.test", "TLSA")).associations
        assert tlsa == Tlsa(3, 1, 1, b"\xab" * 32)


async def test_no_such_name_and_no_such_type_differ() -> None:
    async with NameServer() as server:
        server.put("a.test. 300 IN A 192.0.2.1")
        resolver = stub(server)
        assert not (await resolver.lookup("b.test", "A")).exists
        nothing = await resolver.lookup("a.test", "MX")
        assert nothing.exists
        assert nothing.records == ()


async def test_answers_are_kept_for_their_time_and_not_longer() -> None:
    clock = FakeClock()
    async with NameServer() as server:
        server.put("a.test. 300 IN A 192.0.2.1", "zero.test. 0 IN A 192.0.2.2")
        resolver = stub(server, clock=clock)
        for name in ("a.test", "A.TEST", "a.test.", "zero.test", "zero.test"):
            await resolver.lookup(name, "A")
        assert [name for name, _, _ in server.asked] == ["a.test", "zero.test", "zero.test"]
        clock.advance(299)
        assert (await resolver.lookup("a.test", "A")).ttl == pytest.approx(1.0)
        clock.advance(1)
        await resolver.lookup("a.test", "A")
        assert len(server.asked) == 4


async def test_what_is_kept_is_the_whole_answer() -> None:
    async with NameServer() as server:
        server.put("a.test. 300 IN CNAME b.test.", "b.test. 300 IN A 192.0.2.1")
        resolver = stub(server)
        for name, kind in (("a.test", "A"), ("b.test", "A"), ("b.test", "MX"), ("no.test", "A")):
            first, again = [await resolver.lookup(name, kind) for _ in range(2)]
            assert structs.replace(again, ttl=first.ttl) == first
            assert again.ttl <= first.ttl
        assert (await resolver.lookup("a.test", "A")).canonical == "b.test"
        assert len(server.asked) == 4


async def test_negative_answers_are_kept_as_long_as_the_zone_says() -> None:
    clock = FakeClock()
    async with NameServer() as server:
        resolver = stub(server, clock=clock)
        for _ in range(3):
            assert not (await resolver.lookup("nothing.test", "A")).exists
        assert len(server.asked) == 1
        clock.advance(NEGATIVE_TTL)
        await resolver.lookup("nothing.test", "A")
        assert len(server.asked) == 2


async def test_the_cache_is_bounded_under_a_flood_of_names_that_do_not_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 10)
    async with NameServer() as server:
        server.put("good.test. 300 IN A 192.0.2.1")
        resolver = stub(server)
        for number in range(50):
            await resolver.lookup(f"n{number}.test", "A")
            await resolver.lookup("good.test", "A")
        assert len(resolver._cache) == 10
        assert len([name for name, _, _ in server.asked if name == "good.test"]) == 1


async def test_equal_questions_at_the_same_time_are_asked_once() -> None:
    async with NameServer() as server:
        server.put("a.test. 300 IN A 192.0.2.1")
        resolver = stub(server)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(resolver.lookup("a.test", "A")) for _ in range(20)]
        assert {t.result().strings for t in tasks} == {("192.0.2.1",)}
        assert len(server.asked) == 1


async def test_who_waited_asks_himself_when_the_first_gave_up() -> None:
    async with NameServer() as server:
        server.put("a.test. 300 IN A 192.0.2.1")
        server.twist = lambda query, response: ()
        resolver = stub(server)
        first = asyncio.timeout(None)
        async with asyncio.TaskGroup() as group:

            async def gives_up() -> None:
                with pytest.raises(TimeoutError):
                    async with first:
                        await resolver.lookup("a.test", "A")

            group.create_task(gives_up())
            while not server.asked:
                await asyncio.sleep(0.001)
            second = group.create_task(resolver.lookup("a.test", "A"))
            await asyncio.sleep(0)
            server.twist = None
            first.reschedule(0)
        assert second.result().strings == ("192.0.2.1",)


async def test_a_truncated_answer_is_asked_for_over_tcp() -> None:
    async with NameServer() as server:
        server.truncate = True
        server.put(*(f'big.test. 300 IN TXT "{n:04d}{"x" * 200}"' for n in range(250)))
        answer = await stub(server).lookup("big.test", "TXT")
        assert len(answer.texts) == 250
        assert [transport for _, _, transport in server.asked] == ["udp", "tcp"]


async def test_too_many_records_are_a_failure() -> None:
    async with NameServer() as server:
        server.truncate = True
        server.put(*(f"big.test. 300 IN A 10.0.{n // 250}.{n % 250}" for n in range(module.MAX_RECORDS + 1)))
        with pytest.raises(ResolverFailure):
            await stub(server).lookup("big.test", "A")


async def test_aliases_are_followed_in_one_answer_and_over_several() -> None:
    async with NameServer() as server:
        server.put("www.test. 300 IN CNAME a.test.", "a.test. 60 IN A 192.0.2.1")
        answer = await stub(server).lookup("www.test", "A")
        assert answer.strings == ("192.0.2.1",)
        assert answer.ttl == 60

        def only_alias(query: dns.message.Message, response: dns.message.Message) -> Iterator[bytes]:
            del response.answer[1:]
            yield response.to_wire()

        server.twist = only_alias
        assert (await stub(server).lookup("www.test", "A")).strings == ("192.0.2.1",)
        server.put("lost.test. 300 IN CNAME nowhere.test.")
        server.twist = None
        assert not (await stub(server).lookup("lost.test", "A")).exists


async def test_row_15_aliases_in_a_circle_or_without_end_are_a_failure() -> None:
    async with NameServer() as server:
        server.put("x.test. 300 IN CNAME y.test.", "y.test. 300 IN CNAME x.test.")
        server.put(*(f"n{n}.test. 300 IN CNAME n{n + 1}.test." for n in range(30)))
        for name in ("x.test", "n0.test"):
            with pytest.raises(ResolverFailure):
                await stub(server).lookup(name, "A")


def flawed(change: Callable[[dns.message.Message, dns.message.Message], object]) -> object:
    """A twist that sends a forged answer first and the honest one after it."""

    def twist(query: dns.message.Message, response: dns.message.Message) -> Iterator[bytes]:
        forged = dns.message.make_response(query)
        forged.answer = [dns.rrset.from_text(query.question[0].name, 9999, "IN", "A", "203.0.113.66")]
        kept = change(forged, query)
        yield kept if isinstance(kept, bytes) else forged.to_wire()
        yield response.to_wire()

    return twist


def other_question(forged: dns.message.Message, query: dns.message.Message) -> None:
    forged.question = [dns.rrset.from_text("evil.test.", 0, "IN", "A")]


@pytest.mark.parametrize(
    "change",
    [
        lambda forged, query: setattr(forged, "id", query.id ^ 1),
        other_question,
        lambda forged, query: query.to_wire(),  # the question sent back: no response
        lambda forged, query: b"",
        lambda forged, query: b"\0" * 12,
        lambda forged, query: forged.to_wire()[:-3],
    ],
    ids=["id", "question", "echo", "empty", "zeros", "cut"],
)
async def test_row_15_a_forged_datagram_is_not_an_answer(change: Callable[..., object]) -> None:
    async with NameServer() as server:
        server.put("a.test. 300 IN A 192.0.2.1")
        server.twist = flawed(change)  # type: ignore[assignment]
        assert (await stub(server).lookup("a.test", "A")).strings == ("192.0.2.1",)


async def test_row_15_a_datagram_from_elsewhere_does_not_arrive() -> None:
    async with NameServer() as server, NameServer() as elsewhere:
        server.put("a.test. 300 IN A 192.0.2.1")

        def twist(query: dns.message.Message, response: dns.message.Message) -> Iterator[bytes]:
            forged = dns.message.make_response(query)
            forged.answer = [dns.rrset.from_text("a.test.", 9999, "IN", "A", "203.0.113.66")]
            assert elsewhere._transport is not None
            elsewhere._transport.sendto(forged.to_wire(), ("127.0.0.1", server.ports[-1]))
            yield response.to_wire()

        server.twist = twist
        assert (await stub(server).lookup("a.test", "A")).strings == ("192.0.2.1",)


async def test_row_15_records_of_other_names_are_not_taken() -> None:
    async with NameServer() as server:
        server.put("a.test. 300 IN A 192.0.2.1", "bank.test. 300 IN A 192.0.2.2")

        def twist(query: dns.message.Message, response: dns.message.Message) -> Iterator[bytes]:
            poison = dns.rrset.from_text("bank.test.", 9999, "IN", "A", "203.0.113.66")
            response.answer.append(poison)
            response.additional.append(poison)
            response.authority.append(dns.rrset.from_text("bank.test.", 9999, "IN", "NS", "ns.evil.test."))
            yield response.to_wire()

        server.twist = twist
        resolver = stub(server)
        assert (await resolver.lookup("a.test", "A")).strings == ("192.0.2.1",)
        server.twist = None
        assert (await resolver.lookup("bank.test", "A")).strings == ("192.0.2.2",)


async def test_row_15_ids_and_ports_are_not_to_be_guessed() -> None:
    async with NameServer() as server:
        server.put(*(f"n{n}.test. 0 IN A 192.0.2.1" for n in range(60)))
        resolver = stub(server)
        for n in range(60):
            await resolver.lookup(f"n{n}.test", "A")
        assert len(set(server.ids)) > 50
        assert len(set(server.ports)) > 30
        assert max(server.ids) - min(server.ids) > 10_000


async def test_a_server_that_fails_or_is_silent_is_passed_over() -> None:
    async with NameServer() as bad, NameServer() as good:
        good.put("a.test. 300 IN A 192.0.2.1", "b.test. 300 IN A 192.0.2.2")
        bad.twist = lambda query, response: ()
        resolver = stub(bad, good, timeout=0.4)
        assert (await resolver.lookup("a.test", "A")).strings == ("192.0.2.1",)
        assert (await resolver.lookup("b.test", "A")).strings == ("192.0.2.2",)
        assert len(bad.asked) == 1  # the second question went to the good one first


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR])
async def test_an_answer_that_says_nothing_is_a_failure_and_remembered(rcode: dns.rcode.Rcode) -> None:
    clock = FakeClock()
    async with NameServer() as server:

        def twist(query: dns.message.Message, response: dns.message.Message) -> Iterator[bytes]:
            response.set_rcode(rcode)
            yield response.to_wire()

        server.twist = twist
        resolver = stub(server, clock=clock)
        for _ in range(3):
            with pytest.raises(ResolverFailure):
                await resolver.lookup("a.test", "A")
        assert len(server.asked) == module.TRIES
        clock.advance(module.FAILURE_TTL)
        server.twist = None
        assert not (await resolver.lookup("a.test", "A")).exists


async def test_other_servers_are_asked_from_the_next_question_on() -> None:
    async with NameServer() as first, NameServer() as second:
        first.put("a.test. 300 IN A 192.0.2.1")
        second.put("a.test. 300 IN A 192.0.2.2")
        resolver = stub(first)
        assert (await resolver.lookup("a.test", "A")).strings == ("192.0.2.1",)
        resolver.reconfigure([Server("127.0.0.1", first.port)], 3.0)
        assert (await resolver.lookup("a.test", "A")).strings == ("192.0.2.1",)
        assert len(first.asked) == 1  # the same servers: what they said is kept
        resolver.reconfigure([Server("127.0.0.1", second.port)], 3.0)
        assert (await resolver.lookup("a.test", "A")).strings == ("192.0.2.2",)


async def test_what_a_former_server_says_late_is_told_to_who_asked_and_not_kept() -> None:
    async with NameServer() as first, NameServer() as second:
        first.put("a.test. 300 IN A 192.0.2.1")
        second.put("a.test. 300 IN A 192.0.2.2")
        resolver = stub(first)
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(resolver.lookup("a.test", "A"))
            await asyncio.sleep(0)  # it has begun
            resolver.reconfigure([Server("127.0.0.1", second.port)], 3.0)
        assert asking.result().strings == ("192.0.2.1",)
        assert (await resolver.lookup("a.test", "A")).strings == ("192.0.2.2",)


async def test_nobody_listening_is_a_failure_within_the_deadline() -> None:
    async with NameServer() as server:
        port = server.port
    resolver = StubResolver([Server("127.0.0.1", port)], 0.3, FakeClock())
    with pytest.raises(ResolverFailure):
        await resolver.lookup("a.test", "A")


async def test_the_ad_bit_of_a_resolver_here_is_believed() -> None:
    async with NameServer() as server:
        server.put("a.test. 300 IN A 192.0.2.1")

        def twist(query: dns.message.Message, response: dns.message.Message) -> Iterator[bytes]:
            assert query.flags & dns.flags.AD
            response.flags |= dns.flags.AD
            yield response.to_wire()

        assert not (await stub(server).lookup("a.test", "A")).authentic
        server.twist = twist
        assert (await stub(server).lookup("a.test", "A")).authentic
    assert not Server("192.0.2.53").local


@pytest.mark.parametrize("name", ["a..test", "." * 3, "x" * 64 + ".test", "é.test", ".".join(["a" * 60] * 6)])
async def test_what_is_no_name_does_not_exist_and_is_not_asked(name: str) -> None:
    async with NameServer() as server:
        assert not (await stub(server).lookup(name, "A")).exists
        assert not server.asked


def test_servers_are_written_with_and_without_port() -> None:
    assert parse_server("127.0.0.1:5353") == Server("127.0.0.1", 5353)
    assert parse_server("127.0.0.1") == Server("127.0.0.1", 53)
    assert parse_server("[::1]:5353") == Server("::1", 5353)
    assert parse_server("::1") == Server("::1", 53)
    for bad in ("", "localhost", "1.2.3.4:x", "[::1"):
        with pytest.raises(ValueError, match=r".+"):
            parse_server(bad) if bad != "[::1" else parse_server("[::x]")


def test_the_systems_resolvers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# x\nsearch a.test\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver bad\n")
    assert system_servers(path) == (Server("192.0.2.53"), Server("fe80::1%eth0"))
    assert system_servers(tmp_path / "absent") == (Server("127.0.0.1"),)


def test_an_answer_sorts_its_records_by_kind() -> None:
    answer = Answer("a.test", "ANY", ("192.0.2.1", b"text", Mx(1, "x"), Tlsa(3, 1, 1, b"")))
    assert answer.strings == ("192.0.2.1",)
    assert answer.texts == (b"text",)
    assert structs.replace(answer, records=()).exchanges == ()
