"""What mail programs are told, in each maker's form: only what is there, the whole address as the name."""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import plistlib
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from a3mailer.config.tree import Server, Settings, Tls
from a3mailer.ops.autoconfig import apple, autodiscover, mozilla, pacc
from a3mailer.ops.autoconfig.services import SERVICES, Offer, offer
from a3mailer.ops.certificates import CertificateStore
from a3mailer.runtime.markup import BadMarkup
from tests.certificates import authority, certified

PORTS = {"submissions": 465, "submission": 587, "imap": 143, "imaps": 993, "https": 443, "smtp": 25}
OURS = offer("a.test", "mail.a.test", PORTS)
ADDRESS = "al&ice@a.test"
OUTLOOK = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"


def request(address: str = "alice@a.test", schema: str = autodiscover.OUTLOOK) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/'
        'autodiscover/outlook/requestschema/2006"><Request>'
        f"<EMailAddress>{address}</EMailAddress>"
        f"<AcceptableResponseSchema>{schema}</AcceptableResponseSchema></Request></Autodiscover>"
    ).encode()


def servers(document: bytes) -> list[tuple[str, ...]]:
    root = ElementTree.fromstring(document)
    provider = root.find("emailProvider")
    assert provider is not None and root.attrib == {"version": "1.1"}
    return [
        (each.tag, each.attrib["type"], *(element.text or "" for element in each))
        for each in provider
        if each.tag.endswith("Server")
    ]


def test_mozilla_is_told_the_preferred_servers_first() -> None:
    rest = "password-cleartext", "%EMAILADDRESS%"
    assert servers(mozilla.encode(OURS)) == [
        ("incomingServer", "imap", "mail.a.test", "993", "SSL", *rest),
        ("incomingServer", "imap", "mail.a.test", "143", "STARTTLS", *rest),
        ("outgoingServer", "smtp", "mail.a.test", "465", "SSL", *rest),
        ("outgoingServer", "smtp", "mail.a.test", "587", "STARTTLS", *rest),
    ]


def test_only_what_is_there_is_told() -> None:
    few = offer("a.test", "mail.a.test", {"submission": 20587, "imaps": 20993, "pop3s": 20995})
    assert [each[1:4] for each in servers(mozilla.encode(few))] == [
        ("imap", "mail.a.test", "20993"),
        ("pop3", "mail.a.test", "20995"),
        ("smtp", "mail.a.test", "20587"),
    ]
    assert not offer("a.test", "mail.a.test", {"imaps": 993}), "mail cannot be sent"
    assert not offer("a.test", "mail.a.test", {"submissions": 465, "https": 443}), "mail cannot be read"
    assert len({service.srv for service in SERVICES}) == len(SERVICES)


def test_the_document_is_xml_for_xmllint() -> None:
    program = shutil.which("xmllint")
    if program is None:
        pytest.skip("absent: xmllint (libxml2-utils)")
    for document in (
        mozilla.encode(OURS),
        autodiscover.encode(OURS, ADDRESS),
        autodiscover.encode_error(500, "<no>"),
        apple.profile(OURS, ADDRESS),
    ):
        subprocess.run([program, "--nonet", "--noout", "-"], input=document, check=True, capture_output=True)


def test_outlook_is_told_one_server_of_each_protocol() -> None:
    root = ElementTree.fromstring(autodiscover.encode(OURS, ADDRESS))
    account = root.find(f"{OUTLOOK}Response/{OUTLOOK}Account")
    assert account is not None and account.findtext(f"{OUTLOOK}AccountType") == "email"
    found = [
        {e.tag.removeprefix(OUTLOOK): e.text for e in each} for each in account.iter(f"{OUTLOOK}Protocol")
    ]
    assert [(each["Type"], each["Port"], each["Encryption"]) for each in found] == [
        ("IMAP", "993", "SSL"),
        ("SMTP", "465", "SSL"),
    ]
    assert {each["LoginName"] for each in found} == {ADDRESS}
    assert {each["SSL"] for each in found} == {"on"} == {each["AuthRequired"] for each in found}


def test_a_request_is_read() -> None:
    found = autodiscover.parse(request("b@a.test"))
    assert (found.address, found.schema) == ("b@a.test", autodiscover.OUTLOOK)
    plain = autodiscover.parse(
        b"<x:autodiscover xmlns:x='y'><q><EMAILADDRESS> c@a.test\n</EMAILADDRESS></q></x:autodiscover>"
    )
    assert (plain.address, plain.schema) == ("c@a.test", "")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}",
        b"<Autodiscover/>",
        b"<a><EMailAddress>b@a.test</EMailAddress></a>",
        b"<!DOCTYPE Autodiscover [<!ENTITY x 'b@a.test'>]>"
        b"<Autodiscover><EMailAddress>&x;</EMailAddress></Autodiscover>",
        request("b" * autodiscover.MAX_REQUEST),
    ],
)
def test_no_request(octets: bytes) -> None:
    with pytest.raises(BadMarkup):
        autodiscover.parse(octets)


def test_the_second_version_leads_to_the_first() -> None:
    assert json.loads(autodiscover.encode_place(OURS)) == {
        "Protocol": "AutodiscoverV1",
        "Url": "https://mail.a.test/autodiscover/autodiscover.xml",
    }
    elsewhere = offer("a.test", "mail.a.test", {**PORTS, "https": 20443})
    assert json.loads(autodiscover.encode_place(elsewhere))["Url"].startswith("https://mail.a.test:20443/")


def test_pacc_knows_no_ports() -> None:
    document = pacc.encode(OURS)
    assert json.loads(document) == {
        "authentication": {"password": True},
        "info": {"provider": {"name": "a.test", "shortName": "a.test"}},
        "protocols": {"imap": {"host": "mail.a.test"}, "smtp": {"host": "mail.a.test"}},
    }
    assert pacc.encode(offer("a.test", "mail.a.test", dict(reversed(PORTS.items())))) == document
    for moved in ("imaps", "submissions", "https"):
        assert pacc.encode(offer("a.test", "mail.a.test", {**PORTS, moved: 20000})) == b""


def test_the_dns_vouches_for_the_document() -> None:
    text = pacc.record(document := pacc.encode(OURS))
    digest = hashlib.sha256(document).digest()
    assert text == f"v=UAAC1; a=sha256; d={base64.b64encode(digest).decode()}"
    assert pacc.digest_of(text) == digest == pacc.digest_of(text.replace("; ", " ;  "))
    for wrong in (
        "",
        "v=UAAC1",
        text.replace("UAAC1", "UAAC2"),
        text.replace("sha256", "md5"),
        text[:-4],
        "d=\u00e9",
    ):
        assert pacc.digest_of(wrong) == b""


@pytest.mark.parametrize("address", ["alice@a.test", ADDRESS, '<x>"]]>@a.test'])
def test_a_profile_names_the_account(address: str) -> None:
    found = plistlib.loads(apple.profile(OURS, address))
    (account,) = found["PayloadContent"]
    assert account["EmailAddress"] == account["IncomingMailServerUsername"] == address
    assert (account["IncomingMailServerHostName"], account["IncomingMailServerPortNumber"]) == (
        "mail.a.test",
        993,
    )
    assert (account["OutgoingMailServerPortNumber"], account["OutgoingMailServerUseSSL"]) == (465, True)
    assert account["EmailAccountType"] == "EmailTypeIMAP" and "IncomingPassword" not in account
    assert found == plistlib.loads(apple.profile(OURS, address)), "the same every time"
    other = plistlib.loads(apple.profile(OURS, f"x{address}"))
    assert other["PayloadUUID"] != found["PayloadUUID"]
    assert other["PayloadIdentifier"] == "test.a.mail"


def kept(tmp_path: pathlib.Path) -> tuple[CertificateStore, pathlib.Path]:
    root = authority()
    between = authority("Between", root)
    server = certified("mail.a.test", between)
    (tmp_path / "cert.pem").write_bytes(server.pem + between.pem + root.pem)
    (tmp_path / "key.pem").write_bytes(server.key_pem)
    (tmp_path / "root.pem").write_bytes(root.pem)
    store = CertificateStore(
        tmp_path,
        Settings(server=Server(hostname="mail.a.test"), tls=Tls(certificate="cert.pem", key="key.pem")),
    )
    return store, tmp_path / "root.pem"


def test_a_signed_profile_verifies_with_openssl(tmp_path: pathlib.Path) -> None:
    store, root = kept(tmp_path)
    store.look(0.0)
    found = store.pick("mail.a.test", 0.0)
    assert found is not None
    octets = apple.profile(OURS, ADDRESS)
    (tmp_path / "signed").write_bytes(apple.signed(octets, found))
    verify = ["openssl", "smime", "-verify", "-inform", "DER", "-in", tmp_path / "signed", "-purpose", "any"]
    done = subprocess.run([*verify, "-CAfile", root], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == octets
    (tmp_path / "signed").write_bytes(apple.signed(octets, found).replace(b"EmailTypeIMAP", b"EmailTypeEvil"))
    assert subprocess.run([*verify, "-CAfile", root], capture_output=True).returncode != 0


def test_an_offer_is_a_value() -> None:
    assert offer("a.test", "mail.a.test", PORTS) == OURS
    assert isinstance(OURS, Offer) and OURS.web == 443
