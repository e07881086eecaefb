"""SASL mechanisms, driven by a client of the RFCs."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from a3mailer.config.tree import Auth, Server, Settings
from a3mailer.identity.credentials import Verifier, make_verifier
from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl import scram
from a3mailer.identity.sasl.channel import bindings, server_end_point
from a3mailer.identity.sasl.exchange import BadExchange, Context, Exchange, NoSuchMechanism, NotConfidential
from a3mailer.identity.sasl.offer import MECHANISMS, begin, offered
from a3mailer.mail.errors import AuthenticationFailed, MailError
from a3mailer.telemetry.events import Secret
from tests.unit.identity.scram_client import ScramClient
from tests.unit.identity.world import World

SCRAM = Settings(server=Server(domain="a.test"), auth=Auth(scram=True))
BINDING = {"tls-server-end-point": b"certificate hash"}
ALICE = make_verifier(Secret("p=nc,il"), 4096)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World(SCRAM)
    world.rows.put_account("alice@a.test", secret=ALICE.encode(), kind="scram-sha-256")
    yield world
    world.door.close()


def context(
    world: World, confidential: bool = True, bound: bool = False, certified: tuple[str, ...] = ()
) -> Context:
    return Context(world.door, "192.0.2.1", confidential, BINDING if bound else {}, certified)


async def run(exchange: Exchange, *responses: bytes | None) -> bytes | Principal:
    answer: bytes | Principal = b""
    for response in responses:
        answer = await exchange.step(response)
    return answer


# --- offers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confidential", "bound", "names"),
    [
        (True, True, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2"),
        (True, False, "SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2"),
        (False, False, "SCRAM-SHA-256"),
    ],
)
async def test_what_is_offered_fits_the_connection(
    world: World, confidential: bool, bound: bool, names: str
) -> None:
    assert await offered(context(world, confidential, bound)) == tuple(names.split())


async def test_scram_is_not_offered_where_nobody_can_use_it() -> None:
    world = World()
    assert await offered(context(world, bound=True)) == ("PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2")
    assert await offered(context(world, confidential=False)) == ()
    world.door.close()


async def test_begin_refuses_what_is_not_offered(world: World) -> None:
    for name in ("PLAIN", "login"):
        with pytest.raises(NotConfidential):
            await begin(name, context(world, confidential=False))
    for name in ("CRAM-MD5", "", "SCRAM-SHA-256-PLUS", "EXTERNAL", "ANONYMOUS"):
        with pytest.raises(NoSuchMechanism):
            await begin(name, context(world))
    assert {m.name for m in MECHANISMS} == {
        "EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2",
    }  # fmt: skip


# --- PLAIN and LOGIN ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message", [b"\0bob@a.test\0right", b"bob@a.test\0bob\0right", b"BOB@a.test\0bob@a.test\0right"]
)
async def test_plain(world: World, message: bytes) -> None:
    for before in ([], [None]):
        found = await run(await begin("plain", context(world)), *before, message)
        assert isinstance(found, Principal) and found.address == "bob@a.test"


@pytest.mark.parametrize(
    "message", [b"\0bob\0wrong", b"alice@a.test\0bob\0right", b"\0nobody\0right", b"\0alice\0p=nc,il"]
)
async def test_plain_refused(world: World, message: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        await run(await begin("PLAIN", context(world)), message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0",
        b"bob right",
        b"\0bob\0",
        b"\0\0right",
        b"\0bob\0ri\0ght",
        b"\0\xff\0right",
        b"\0bob\0" + b"x" * 20_000,
    ],
)
async def test_plain_malformed(world: World, message: bytes) -> None:
    with pytest.raises(BadExchange):
        await run(await begin("PLAIN", context(world)), message)


async def test_login_in_both_orders(world: World) -> None:
    exchange = await begin("LOGIN", context(world))
    assert await exchange.step(None) == b"Username:"
    assert await exchange.step(b"bob@a.test") == b"Password:"
    assert isinstance(await exchange.step(b"right"), Principal)
    exchange = await begin("LOGIN", context(world))
    assert await exchange.step(b"bob@a.test") == b"Password:"  # QUIRK: Outlook's initial response
    with pytest.raises(AuthenticationFailed):
        await exchange.step(b"wrong")


@pytest.mark.parametrize(
    "responses", [(None, None), (b"",), (None, b""), (b"bob", b""), (b"b\0b",), (b"\xff",), (b"bob", None)]
)
async def test_login_malformed(world: World, responses: tuple[bytes | None, ...]) -> None:
    with pytest.raises(BadExchange):
        await run(await begin("LOGIN", context(world)), *responses)


# --- SCRAM ----------------------------------------------------------------------------------------------


async def converse(
    exchange: Exchange, client: ScramClient, first: tuple[bytes | None, ...] = ()
) -> Principal:
    challenge = await run(exchange, *first, client.first())
    assert isinstance(challenge, bytes)
    outcome = await exchange.step(client.final(challenge))
    assert outcome == b"v=" + base64.b64encode(client.server)  # the server knows the verifier too
    principal = await exchange.step(b"")
    assert isinstance(principal, Principal)
    return principal


@pytest.mark.parametrize("header", ["n,,", "y,,", "n,a=alice@a.test,"])
async def test_scram(world: World, header: str) -> None:
    for first in ((), (None,)):
        found = await converse(
            await begin("SCRAM-SHA-256", context(world, False)), ScramClient("p=nc,il", header), first
        )
        assert found.address == "alice@a.test"


async def test_scram_plus_binds_to_the_certificate(world: World) -> None:
    header = "p=tls-server-end-point,,"
    client = ScramClient("p=nc,il", header, bound=b"certificate hash")
    assert (
        await converse(await begin("SCRAM-SHA-256-PLUS", context(world, bound=True)), client)
    ).address == "alice@a.test"
    between = ScramClient("p=nc,il", header, bound=b"another certificate")
    exchange = await begin("SCRAM-SHA-256-PLUS", context(world, bound=True))
    challenge = await exchange.step(between.first())
    assert isinstance(challenge, bytes)
    with pytest.raises(AuthenticationFailed):
        await exchange.step(between.final(challenge))


@pytest.mark.parametrize(
    ("name", "bound", "header", "error"),
    [
        ("SCRAM-SHA-256", True, "y,,", AuthenticationFailed),  # -PLUS was offered and hidden on the way
        ("SCRAM-SHA-256", True, "p=tls-server-end-point,,", AuthenticationFailed),
        ("SCRAM-SHA-256-PLUS", True, "p=tls-unique,,", AuthenticationFailed),
        ("SCRAM-SHA-256-PLUS", True, "n,,", BadExchange),
        ("SCRAM-SHA-256", False, "x,,", BadExchange),
        ("SCRAM-SHA-256", False, "n,b=x,", BadExchange),
        ("SCRAM-SHA-256", False, "", BadExchange),
        ("SCRAM-SHA-256", False, "n,,m=x,", BadExchange),
    ],
)
async def test_scram_first_messages_that_are_refused(
    world: World, name: str, bound: bool, header: str, error: type[Exception]
) -> None:
    exchange = await begin(name, context(world, bound=bound))
    with pytest.raises(error):
        await exchange.step(ScramClient("p=nc,il", header).first())


async def test_scram_runs_to_the_end_for_everybody_and_fails_there(world: World) -> None:
    salts = []
    for login in ("nobody@a.test", "bob@a.test", "nobody@a.test"):
        client = ScramClient("right", login=login)
        exchange = await begin("SCRAM-SHA-256", context(world))
        challenge = await exchange.step(client.first())
        assert isinstance(challenge, bytes)
        salts.append(challenge.split(b",")[1])
        assert challenge.endswith(b",i=600000")
        with pytest.raises(AuthenticationFailed):
            await exchange.step(client.final(challenge.replace(b"i=600000", b"i=1")))
    assert salts[0] == salts[2] != salts[1]  # the same name always shows the same salt
    assert len(base64.b64decode(salts[0][2:])) == len(ALICE.salt)


async def test_scram_of_an_account_disabled_meanwhile_is_refused(world: World) -> None:
    client = ScramClient("p=nc,il")
    exchange = await begin("SCRAM-SHA-256", context(world))
    challenge = await exchange.step(client.first())
    assert isinstance(challenge, bytes)
    alice = await world.rows.address("alice@a.test")
    assert alice is not None
    world.rows.change(alice.account, enabled=False)
    with pytest.raises(AuthenticationFailed):
        await exchange.step(client.final(challenge))


@pytest.mark.parametrize(
    "bad",
    [
        lambda m: m[:-4] + b"AAAA",
        lambda m: m.replace(b"c=biws", b"c=eSws"),
        lambda m: m.replace(b",r=", b",r=x", 1),
    ],
)
async def test_a_touched_scram_final_fails(world: World, bad) -> None:  # type: ignore[no-untyped-def]
    client = ScramClient("p=nc,il")
    exchange = await begin("SCRAM-SHA-256", context(world))
    challenge = await exchange.step(client.first())
    assert isinstance(challenge, bytes)
    with pytest.raises(AuthenticationFailed):
        await exchange.step(bad(client.final(challenge)))


@pytest.mark.parametrize(
    "final", [b"", b"c=biws", b"c=biws,r=x,p=!!", b"r=x,c=biws,p=YQ==", b"c=biws,r=x,q=YQ==", b"\xff"]
)
async def test_a_malformed_scram_final_is_told_so(world: World, final: bytes) -> None:
    exchange = await begin("SCRAM-SHA-256", context(world))
    await exchange.step(ScramClient("x").first())
    with pytest.raises(BadExchange):
        await exchange.step(final)


async def test_the_exchange_of_rfc_7677(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    world.rows.put_account(
        "user@a.test", secret=make_verifier(Secret("pencil"), 4096, salt).encode(), kind="scram-sha-256"
    )
    nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

    class Encoder:
        b64decode = staticmethod(base64.b64decode)

        @staticmethod
        def b64encode(octets: bytes) -> bytes:
            return nonce.encode() if len(octets) == scram.SERVER_NONCE else base64.b64encode(octets)

    monkeypatch.setattr(scram, "base64", Encoder)
    exchange = await begin("SCRAM-SHA-256", context(world))
    assert await exchange.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert (
        await exchange.step(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        )
        == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )
    found = await exchange.step(b"")
    assert isinstance(found, Principal) and found.address == "user@a.test"


def test_saslnames_are_unescaped_strictly() -> None:
    assert scram.saslname("a=2Cb=3Dc") == "a,b=c"
    for bad in ("a=2", "a=2c", "a=41", "", "="):
        with pytest.raises(BadExchange):
            scram.saslname(bad)
    assert isinstance(ALICE, Verifier)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from([m.name for m in MECHANISMS if not m.shows_password]),
    messages=st.lists(st.binary(max_size=80), max_size=3),
)
async def test_scram_raises_nothing_but_mail_errors(world: World, name: str, messages: list[bytes]) -> None:
    exchange = await begin(name, context(world, bound=True, certified=("bob@a.test",)))
    try:
        await run(exchange, *messages)
    except MailError:
        return


# --- channel bindings -----------------------------------------------------------------------------------

EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def certificate(key: Any, digest: hashes.HashAlgorithm | None, pss: bool = False) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.a.test")])
    now = datetime.datetime(2026, 1, 1)
    how = padding.PSS(padding.MGF1(digest), 32) if pss and digest is not None else None
    built = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9))
        .sign(key, digest, rsa_padding=how)
    )  # fmt: skip
    return built.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    "digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512(), hashes.SHA224()], ids=lambda d: d.name
)
@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "pss"])
def test_the_end_point_is_hashed_with_the_signatures_hash(kind: str, digest: hashes.HashAlgorithm) -> None:
    key = EC if kind == "ecdsa" else RSA
    der = certificate(key, digest, kind == "pss")
    read = x509.load_der_x509_certificate(der).signature_hash_algorithm
    assert read is not None and read.name == digest.name  # what another reader of certificates says
    assert server_end_point(der) == hashlib.new(digest.name, der).digest()


def test_where_a_signature_has_no_hash_there_is_no_end_point() -> None:
    assert server_end_point(certificate(ed25519.Ed25519PrivateKey.generate(), None)) is None


@settings(deadline=None)
@given(cut=st.integers(0, 2000), at=st.integers(0, 2000), octet=st.integers(0, 255))
def test_any_octets_are_read_without_an_error(cut: int, at: int, octet: int) -> None:
    broken = bytearray(CERTIFICATE)
    broken[at % len(broken)] = octet
    assert server_end_point(bytes(broken)) is None or server_end_point(bytes(broken))
    assert server_end_point(CERTIFICATE[: cut % len(CERTIFICATE)]) is None


CERTIFICATE = certificate(EC, hashes.SHA256())


def test_only_bindings_that_hold_are_offered() -> None:
    assert bindings(None, None) == {}
    assert bindings(b"x", None) == {"tls-server-end-point": b"x"}
    assert bindings(None, b"y") == {"tls-exporter": b"y"}
    assert bindings(b"x", b"y") == {"tls-server-end-point": b"x", "tls-exporter": b"y"}
