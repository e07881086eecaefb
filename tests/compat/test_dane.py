"""DANE with a real peer on both sides: Postfix, a signed zone of BIND, libunbound (RFC 7672, row 5)."""

from __future__ import annotations

import pathlib
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from a3mailer.runtime.unbound import Unavailable, library
from bench.peers.rig import PeerRig
from tests.certificates import Certified, authority, certified
from tests.compat.test_relay import inbox, until, with_subject
from tests.named import signed_server, validating
from tests.peers import peer
from tests.rig import Rig

HERE, NEXT, MX = "here.good.test", "next.good.test", "mx.here.good.test"
ROOT = authority()
LAST_YEARS = certified("mx.ta.good.test", ROOT, days=-1)
"""What Postfix shows: of the right name for one domain, and expired."""
CASES = {
    "ee": f"3 1 1 {LAST_YEARS.key_digest.hex()}",
    "ta": f"2 1 1 {ROOT.key_digest.hex()}",
    "wrong": f"3 1 1 {'ab' * 32}",
    "unusable": f"1 1 1 {'ab' * 32}",
}
PASSWORD = "secret-a"


@dataclass(frozen=True)
class Pair:
    """Our server and Postfix; each knows the other by the signed zone alone. ``next`` is not started."""

    ours: Rig
    postfix: PeerRig
    next: Rig

    def log(self) -> str:
        return self.postfix.postfix.log.read_text("utf-8", "replace")


def host(name: str, port: int, *tlsa: str) -> str:
    records = "".join(f"_{port}._tcp.mx.{name} IN TLSA {data}\n" for data in tlsa)
    return f"{name} IN MX 10 mx.{name}\nmx.{name} IN A 127.0.0.1\n{records}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    try:
        library()
    except Unavailable as error:
        pytest.skip(f"absent: {error}")
    folder = tmp_path_factory.mktemp("dane")
    rig, another = server(folder / "here", HERE, "alice"), server(folder / "next", NEXT, "bob")
    port = rig.port("smtp")
    postfix = peer(log=True, settings=settings(folder, LAST_YEARS, port))
    there = postfix.port("smtp")
    zone = host("here", port, *tlsa(rig, HERE)) + host("liar", port, "3 1 1 " + "ab" * 32)
    zone += host("next", another.port("smtp"), *tlsa(another, NEXT))
    zone += "".join(host(name, there, data) for name, data in CASES.items())
    zone += "bogus IN MX 10 host.forged.test.\n"
    plain = f"@ IN MX 10 host\n_{there}._tcp.host IN TLSA {CASES['wrong']}\n"
    names = folder / "named"
    names.mkdir()
    with signed_server(names, {"good.test": zone, "plain.test": plain}) as dns:
        for each in (rig, another):
            each.env |= {
                "A3_DNS__SERVERS": f"127.0.0.1:{dns.port}", "A3_DNS__DNSSEC": "libunbound",
                "A3_DNS__TRUST_ANCHOR": str(dns.anchor), "A3_QUEUE__SMTP_PORT": str(there),
            }  # fmt: skip
        with rig, validating(names, dns) as address:
            postfix.postfix.resolver = address
            with postfix:
                yield Pair(rig, postfix, another)


def server(folder: pathlib.Path, domain: str, account: str) -> Rig:
    """Made, not started."""
    folder.mkdir()
    rig = Rig(
        folder, hostname=f"mx.{domain}", domain=domain, workers=1,
        accounts=((f"{account}@{domain}", PASSWORD),),
        settings=("profile=plain", "limits.profile=off", "queue.retry=1"),
    )  # fmt: skip
    rig.init()
    return rig


def tlsa(rig: Rig, domain: str) -> list[str]:
    """What it wants to be published: of the certificate's key and of the next one."""
    name = f"_25._tcp.mx.{domain}"
    data = [r["data"] for r in rig.verb("domain", "dns", domain) if (r["name"], r["kind"]) == (name, "TLSA")]
    assert len(data) == 2
    return data


def settings(folder: pathlib.Path, shown: Certified, port: int) -> dict[str, str]:
    chain = folder / "postfix.pem"
    chain.write_bytes(shown.key_pem + shown.pem + ROOT.pem)
    domains = [f"{name}.good.test" for name in CASES]
    return {
        "virtual_mailbox_domains": ",".join([*domains, "plain.test"]),
        "default_transport": "smtp",
        "transport_maps": f"inline:{{{HERE}=smtp:{HERE}:{port},liar.good.test=smtp:liar.good.test:{port}}}",
        "smtp_dns_support_level": "dnssec",
        "smtp_tls_security_level": "dane",
        "smtp_tls_loglevel": "1",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_chain_files": str(chain),
        "smtpd_tls_received_header": "yes",
    }


def submit(rig: Rig, to: str, *options: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", rig.port("submission")) as smtp:
        smtp.starttls(context=context)
        smtp.login(f"alice@{HERE}", PASSWORD)
        mail = f"From: alice@{HERE}\r\nTo: {to}\r\nSubject: to {to}\r\n\r\nHello\r\n"
        smtp.sendmail(f"alice@{HERE}", [to], mail, options)


@pytest.mark.parametrize("domain", ["ee.good.test", "unusable.good.test", "plain.test"])
def test_postfix_gets_it_over_tls(pair: Pair, domain: str) -> None:
    to = f"bob@{domain}"
    submit(pair.ours, to)
    until(lambda: with_subject(inbox(pair.postfix, to, PASSWORD), f"to {to}"), pair.ours)  # type: ignore[arg-type]
    (mail,) = with_subject(inbox(pair.postfix, to, PASSWORD), f"to {to}")  # type: ignore[arg-type]
    assert b"(using TLSv1." in mail


@pytest.mark.parametrize(
    ("domain", "code", "why"),
    [
        ("ta.good.test", "4.7.5", "not valid for its name now, by the authority of the TLSA records"),
        ("wrong.good.test", "4.7.5", "certificate fits none of the TLSA records of mx.wrong.good.test"),
        ("bogus.good.test", "4.4.3", "host.forged.test"),
    ],
)
def test_row_5_postfix_does_not_get_it_and_the_queue_says_why(
    pair: Pair, domain: str, code: str, why: str
) -> None:
    to = f"bob@{domain}"
    submit(pair.ours, to)

    def tried() -> list[dict[str, Any]]:
        people = [r for entry in pair.ours.verb("queue", "list") for r in entry["recipients"]]
        return [r for r in people if r["address"] == to and r["attempts"]]

    until(tried, pair.ours)
    (recipient, *_) = tried()
    assert (recipient["enhanced"], recipient["state"]) == (code, "waiting")
    assert why in recipient["text"]
    for entry in pair.ours.verb("queue", "list"):
        pair.ours.verb("queue", "fail", str(entry["queue"]))
    assert f"to=<{to}>" not in pair.log()


def test_row_5_what_demands_tls_for_its_whole_way_comes_back_at_once(pair: Pair) -> None:
    """Postfix fits its records, but has no REQUIRETLS (RFC 8689)."""
    to = "carol@ee.good.test"
    submit(pair.ours, to, "REQUIRETLS")
    alice = (f"alice@{HERE}", PASSWORD)
    until(lambda: [m for m in inbox(pair.ours, *alice) if to.encode() in m], pair.ours)
    (notice,) = [m for m in inbox(pair.ours, *alice) if to.encode() in m]
    assert (
        b"Status: 5.7.30" in notice
        and f"\r\nSubject: to {to}\r\n".encode() in notice
        and b"\r\nHello\r\n" not in notice
    )
    assert f"to=<{to}>" not in pair.log()


def test_a_demand_for_tls_is_handed_on_and_comes_back_from_where_it_is_not(pair: Pair) -> None:
    """Here, next, Postfix: the second hop has REQUIRETLS, the third has not."""
    alice = (f"alice@{HERE}", PASSWORD)
    pair.next.verb("alias", "add", f"onward@{NEXT}", "dave@ee.good.test")
    pair.ours.verb("config", "set", "queue.smtp_port", str(pair.next.port("smtp")))
    pair.ours.verb("reload")
    try:
        with pair.next:
            for to in (f"bob@{NEXT}", f"onward@{NEXT}"):
                submit(pair.ours, to, "REQUIRETLS")
            until(lambda: inbox(pair.next, f"bob@{NEXT}", PASSWORD), pair.ours)
            until(lambda: [m for m in inbox(pair.ours, *alice) if b"dave@ee.good.test" in m], pair.next)
    finally:
        pair.ours.verb("config", "set", "queue.smtp_port", "--unset")
        pair.ours.verb("reload")
    (notice,) = [m for m in inbox(pair.ours, *alice) if b"dave@ee.good.test" in m]
    assert b"Status: 5.7.30" in notice and b"\r\nHello\r\n" not in notice
    assert "to=<dave@" not in pair.log()


def test_postfix_verifies_our_certificate_by_the_records_we_publish(pair: Pair) -> None:
    send(pair, f"alice@{HERE}")
    until(lambda: with_subject(inbox(pair.ours, f"alice@{HERE}", PASSWORD), "from postfix"), pair.ours)
    assert f"Verified TLS connection established to {MX}[127.0.0.1]" in pair.log()


def test_row_5_postfix_does_not_deliver_where_another_certificate_is_published(pair: Pair) -> None:
    to = "alice@liar.good.test"
    send(pair, to)
    until(lambda: f"to=<{to}>" in pair.log(), pair.ours)
    (line, *_) = [line for line in pair.log().splitlines() if f"to=<{to}>" in line]
    assert "status=deferred (Server certificate not verified)" in line


def send(pair: Pair, to: str) -> None:
    """By Postfix."""
    with smtplib.SMTP("127.0.0.1", pair.postfix.port("smtp")) as smtp:
        mail = f"From: bob@ee.good.test\r\nTo: {to}\r\nSubject: from postfix\r\n\r\nHello\r\n"
        smtp.sendmail("bob@ee.good.test", [to], mail)
