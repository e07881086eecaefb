"""Where mail programs ask: they hear of the domain, and nothing about accounts (rows 27, 50)."""

from __future__ import annotations

import json
import plistlib
from pathlib import Path

import pytest

from a3mailer.config.tree import Server, Settings, Tls
from a3mailer.edge.http.autoconfig import ClientSettings
from a3mailer.edge.http.door import HttpDoor
from a3mailer.edge.http.routes import Routes
from a3mailer.ops.autoconfig import autodiscover, mozilla, pacc
from a3mailer.ops.autoconfig.services import offer
from a3mailer.ops.certificates import FILE, CertificateStore, Kept
from a3mailer.testing.memory_connection import Stage
from tests.certificates import certified
from tests.unit.ops.autoconfig.test_documents import PORTS, request

OURS = ("a.test", "b.test")


class World:
    """The door with two domains and a certificate."""

    def __init__(self, place: Path, ports: dict[str, int] = PORTS) -> None:
        made = certified("mail.a.test")
        (place / "cert.pem").write_bytes(made.pem)
        (place / "key.pem").write_bytes(made.key_pem)
        self.place = place
        self.settings = Settings(
            server=Server(hostname="Mail.A.test"), tls=Tls(certificate="cert.pem", key="key.pem")
        )
        self.clients = ClientSettings(lambda: self.settings, self.is_ours, ports, self.shown)

    async def is_ours(self, domain: str) -> bool:
        return (domain or "a.test") in OURS

    def shown(self, _name: str) -> Kept | None:
        store = CertificateStore(self.place, self.settings)
        store.look(0.0)
        return next((each for each in store.kept if each.source == FILE), None)

    async def ask(
        self, target: str, host: str = "autoconfig.a.test", body: bytes | None = None, *, plain: bool = False
    ) -> tuple[int, bytes]:
        """Status and body of an answer."""
        routes = self.clients.plain_routes() if plain else self.clients.routes()
        asked = f"{'GET' if body is None else 'POST'} {target} HTTP/1.1\r\nHost: {host}\r\n".encode()
        if body is not None:
            asked += b"Content-Length: %d\r\nContent-Type: text/xml\r\n" % len(body)
        async with Stage(lambda c: HttpDoor(Routes(routes)).serve(c, "")) as stage:
            session = stage.open(1)
            await session.greeting()
            said = await session.feed(asked + b"\r\n" + (body or b""))
        head, _, found = said.partition(b"\r\n\r\n")
        return int(head.split()[1]), found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("host", "target", "domain"),
    [
        ("autoconfig.a.test", mozilla.PATH, "a.test"),
        ("autoconfig.b.test", f"{mozilla.PATH}?emailaddress=nobody%40b.test", "b.test"),
        ("b.test:20443", mozilla.WELL_KNOWN, "b.test"),
        ("mail.a.test", f"{mozilla.PATH}?emailaddress=x%40b.test", "b.test"),
        ("autoconfig.a.test", f"{mozilla.PATH}?emailaddress=x%40other.test", "a.test"),
        ("autoconfig.a.test", f"{mozilla.PATH}?emailaddress=%00%3C", "a.test"),
    ],
)
async def test_thunderbird_asks(world: World, host: str, target: str, domain: str, plain: bool) -> None:
    assert await world.ask(target, host, plain=plain) == (
        200,
        mozilla.encode(offer(domain, "mail.a.test", PORTS)),
    )


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("autoconfig.other.test", mozilla.PATH),
        ("other.test", f"{mozilla.PATH}?emailaddress=x%40other.test"),
        ("autoconfig.", mozilla.PATH),
        ("mail.a.test", mozilla.PATH),
        ("autoconfig.a.test", "/mail/"),
    ],
)
async def test_of_strangers_nothing_is_known(world: World, host: str, target: str) -> None:
    assert (await world.ask(target, host))[0] == 404


async def test_a_server_that_has_no_such_doors_tells_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, {"https": 443, "smtp": 25})
    assert (await world.ask(mozilla.PATH))[0] == 404
    assert (await world.ask("/email.mobileconfig?email=x%40a.test"))[0] == 404
    assert (await world.ask(pacc.PATH, "ua-auto-config.a.test"))[0] == 404
    assert b"500" in (await world.ask(autodiscover.PATHS[0], body=request()))[1]


@pytest.mark.parametrize("path", autodiscover.PATHS)
async def test_outlook_asks(world: World, path: str) -> None:
    wanted = autodiscover.encode(offer("b.test", "mail.a.test", PORTS), "Nobody@b.test")
    assert await world.ask(path, "autodiscover.a.test", request("Nobody@B.test")) == (200, wanted)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (request("x@other.test"), 200, b"<ErrorCode>500</ErrorCode>"),
        (request("no address"), 200, b"<ErrorCode>500</ErrorCode>"),
        (request("@"), 200, b"<ErrorCode>500</ErrorCode>"),
        (request(schema="http://schemas.microsoft.com/exchange/autodiscover/mobilesync/x"), 200, b"601"),
        (b"", 400, b"no XML"),
        (b"<a/>", 400, b"no Autodiscover request"),
        (b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", 400, b"document type"),
        (b"<a>" * 100, 400, b"too deep"),
        (b" " * 9000, 413, b"8192"),
    ],
)
async def test_what_is_no_question_of_outlook(world: World, body: bytes, status: int, words: bytes) -> None:
    found, said = await world.ask(autodiscover.PATHS[0], "autodiscover.a.test", body)
    assert found == status and words in said and b"mail.a.test" not in said


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/autodiscover/autodiscover.json?Email=x%40a.test&Protocol=Autodiscoverv1", 200),
        ("/autodiscover/autodiscover.json/v1.0/x%40a.test?Protocol=AutodiscoverV1&RedirectCount=1", 200),
        ("/autodiscover/autodiscover.json?Email=x%40a.test&Protocol=ActiveSync", 400),
        ("/autodiscover/autodiscover.json?Email=x%40a.test", 400),
        ("/autodiscover/autodiscover.json?Email=a&Email=b", 400),
    ],
)
async def test_the_second_version(world: World, target: str, status: int) -> None:
    found, body = await world.ask(target, "autodiscover.a.test")
    assert found == status
    if status == 200:
        assert json.loads(body)["Url"] == "https://mail.a.test/autodiscover/autodiscover.xml"


async def test_a_profile_is_signed(world: World) -> None:
    status, body = await world.ask("/email.mobileconfig?email=Alice%2Bx%40b.test", "mail.a.test")
    assert status == 200 and body.startswith(b"\x30\x82")
    begins, ends = body.index(b"<?xml"), body.index(b"</plist>")
    (account,) = plistlib.loads(body[begins:ends] + b"</plist>")["PayloadContent"]
    assert account["EmailAddress"] == "Alice+x@b.test"
    assert (await world.ask("/email.mobileconfig"))[0] == 400
    assert (await world.ask("/email.mobileconfig?email=x%40other.test"))[0] == 404
    assert (await world.ask(f"/email.mobileconfig?email={'x' * 400}%40a.test"))[0] == 400
    (world.place / "key.pem").write_text("no key")
    status, body = await world.ask("/email.mobileconfig?email=x%40b.test", "mail.a.test")
    assert status == 503 and b"cannot sign" in body
    (world.place / "cert.pem").unlink()
    assert (await world.ask("/email.mobileconfig?email=x%40b.test", "mail.a.test"))[0] == 503


async def test_the_document_the_dns_vouches_for(world: World) -> None:
    wanted = pacc.encode(offer("b.test", "mail.a.test", PORTS))
    assert await world.ask(pacc.PATH, "ua-auto-config.b.test") == (200, wanted)
    assert (await world.ask(pacc.PATH, "b.test"))[0] == 404
    assert (await world.ask(pacc.PATH, "ua-auto-config.other.test"))[0] == 404
    assert (await world.ask(pacc.PATH, "ua-auto-config."))[0] == 404


async def test_over_http_there_are_only_names_and_ports(world: World) -> None:
    for target in ("/email.mobileconfig?email=x%40a.test", pacc.PATH, autodiscover.JSON_PATHS[0]):
        assert (await world.ask(target, "ua-auto-config.a.test", plain=True))[0] == 404
