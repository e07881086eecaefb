"""Row 6: no form of an address makes the server relay for strangers, nor for users into what is inside."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from a3mailer.mail.address import Address
from a3mailer.testing.memory_connection import Stage
from a3mailer.transfer.forwarding.forward import Forwarding
from a3mailer.transfer.policy.policy import Policy
from a3mailer.transfer.route import Local, Remote
from tests.relay_forms import HANDED_ON, RELAYED, STRANGERS, USERS
from tests.transcripts.smtp_world import SmtpWorld

PLAIN = base64.b64encode(b"\0alice@example.test\0secret-a")
AWAY = Address("away", "partner.test")
A_SESSION = 40
"""Forms a session, so that many are tried one after another, too."""
SENDERS = (b"", b"mallory@evil.test", b"bob@example.test", b"postmaster@[192.0.2.25]")


def world_of(folder: Path, **options: str) -> SmtpWorld:
    world = SmtpWorld(folder, {"smtp.bad_commands": "1000", **options})
    world.rows.put_domain("all.test", catch_all="bob@example.test")
    world.rows.put_domain("relayed.test", settings='{"relay_to": "10.0.0.7:2525"}')
    world.rows.put_alias("away@example.test", str(AWAY))
    directory = world.door.policy._directory
    forwarding = Forwarding(directory, world.settings, world.clock, (b"k" * 32,))
    world.door.policy = Policy(world.rows, directory, world.settings, forwarding)
    return world


async def tried(world: SmtpWorld, forms: tuple[bytes, ...], sender: bytes, *before: bytes) -> list[bytes]:
    """The reply to each form, all in one transaction; then what was taken is sent."""
    told: list[bytes] = []
    utf8 = b" SMTPUTF8" if not before or before[0].startswith(b"EHLO") else b""
    async with Stage(world.serve, world.connect) as stage:
        session = stage.open(1)
        await session.greeting()
        for line in before or (b"EHLO mallory.test",):
            await session.feed(line + b"\r\n")
        said = await session.feed(b"MAIL FROM:<" + sender + b">" + utf8 + b"\r\n")
        assert said.startswith(b"250 "), said
        for form in forms:
            reply = await session.feed(b"RCPT TO:<" + form + b">\r\n")
            assert reply.count(b"\r\n") == 1, (form, reply)
            told.append(reply)
        await session.feed(b"DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n" * any(r.startswith(b"2") for r in told))
    return told


def test_the_table_is_as_long_as_it_was_promised() -> None:
    assert len(set(STRANGERS)) == len(STRANGERS) >= 150
    assert len(set(USERS)) == len(USERS) >= 70
    assert len(set(RELAYED)) == len(RELAYED) >= 50


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("profile", ["mx", "lmtp"])
async def test_no_form_of_a_stranger_leads_out(tmp_path: Path, profile: str, sender: bytes) -> None:
    world = world_of(tmp_path, profile=profile)
    before = (b"LHLO mallory.test",) if profile == "lmtp" else ()
    for at in range(0, len(STRANGERS), A_SESSION):
        forms = STRANGERS[at : at + A_SESSION]
        for form, reply in zip(forms, await tried(world, forms, sender, *before), strict=True):
            ours = form.endswith(b"@all.test")
            assert reply.startswith(b"25" if ours else (b"550 ", b"501 ", b"553 ")), (form, reply)
    for arrival in world.kept.arrivals:
        assert all(isinstance(route, Local) and route.account == 2 for r in arrival.routes for route in r)


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("profile", ["mx", "lmtp"])
async def test_nothing_leads_beyond_a_domain_that_is_handed_on(
    tmp_path: Path, profile: str, sender: bytes
) -> None:
    world = world_of(tmp_path, profile=profile)
    before = (b"LHLO mallory.test",) if profile == "lmtp" else ()
    for at in range(0, len(RELAYED), A_SESSION):
        forms = RELAYED[at : at + A_SESSION]
        for form, reply in zip(forms, await tried(world, forms, sender, *before), strict=True):
            assert reply.startswith((b"550 ", b"501 ", b"553 ")), (form, reply)
    assert not world.kept.arrivals
    forms = tuple(form for form in HANDED_ON if form.isascii() or not before)
    assert all(r.startswith(b"250 ") for r in await tried(world, forms, sender, *before))
    (arrival,) = world.kept.arrivals
    for recipient, routes in zip(arrival.envelope.recipients, arrival.routes, strict=True):
        (route,) = routes
        assert isinstance(route, Remote) and route.relayed and route.address.domain == "relayed.test"
        assert route.address.local_part == recipient.address.local_part


async def test_a_login_on_the_mail_exchanger_does_not_exist(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    forms = (b"eve@example.org",)
    for verb in (b"AUTH PLAIN " + PLAIN, b"XCLIENT LOGIN=alice@example.test", b"XFORWARD NAME=localhost"):
        assert (await tried(world, forms, b"", b"EHLO x", verb))[0].startswith(b"550 5.7.1 relaying denied")


async def test_a_detail_does_not_change_where_an_alias_leads(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    away = (b"away", b"away+eve=example.org", b'"away+eve@example.org"')
    forms = tuple(each + b"@example.test" for each in away)
    assert all(r.startswith(b"250 ") for r in await tried(world, forms, b"mallory@evil.test"))
    (arrival,) = world.kept.arrivals
    (tenant,) = {route.tenant for routes in arrival.routes for route in routes if isinstance(route, Remote)}
    assert arrival.routes == ((Remote(AWAY, tenant),),) * 3


async def test_no_user_reaches_what_is_inside(tmp_path: Path) -> None:
    world = world_of(tmp_path, profile="submissions")
    for at in range(0, len(USERS), A_SESSION):
        forms = USERS[at : at + A_SESSION]
        login = (b"EHLO x", b"AUTH PLAIN " + PLAIN)
        for form, reply in zip(forms, await tried(world, forms, b"alice@example.test", *login), strict=True):
            assert reply.startswith((b"550 ", b"501 ")), (form, reply)
    assert not world.kept.arrivals


async def test_users_reach_the_world(tmp_path: Path) -> None:
    world = world_of(tmp_path, profile="submissions")
    forms = (b"eve@example.org", b"eve@[9.9.9.9]", b"eve@[IPv6:2606:4700::1111]", b"eve@1.2.example",
             b"x@10.co", b"@example.net:eve@example.org", "eve@b\u00fccher.example".encode(),
             b"eve@0x.example")  # fmt: skip
    login = (b"EHLO x", b"AUTH PLAIN " + PLAIN)
    assert all(r.startswith(b"250 ") for r in await tried(world, forms, b"alice@example.test", *login))
    assert all(isinstance(route, Remote) for routes in world.kept.arrivals[0].routes for route in routes)


async def test_nobody_submits_without_a_login_or_as_another(tmp_path: Path) -> None:
    world = world_of(tmp_path, profile="submissions")
    for before in ((b"EHLO x",), (b"EHLO x", b"AUTH PLAIN " + base64.b64encode(b"\0alice@example.test\0no"))):
        for sender in (b"", b"alice@example.test", b"bob@example.test"):
            async with Stage(world.serve, world.connect) as stage:
                session = stage.open(1)
                await session.greeting()
                for line in (*before, b"MAIL FROM:<" + sender + b">"):
                    said = await session.feed(line + b"\r\n")
                assert said.startswith(b"530 "), said
                assert (await session.feed(b"RCPT TO:<eve@example.org>\r\n")).startswith(b"503 ")
    assert not world.kept.arrivals
