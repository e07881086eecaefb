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

HERE, MX = "here.good.test", "mx.here.good.test"
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
    """Our server and Postfix; each knows the other by the signed zone alone."""

    ours: Rig
    postfix: PeerRig

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
    rig = Rig(
        folder, hostname=MX, domain=HERE, workers=1, accounts=((f"alice@{HERE}", PASSWORD),),
        settings=("profile=plain", "limits.profile=off", "queue.retry=1"),
    )  # fmt: skip
    rig.init()
    published = rig.verb("domain", "dns", HERE)
    ours = [r["data"] for r in published if (r["name"], r["kind"]) == (f"_25._tcp.{MX}", "TLSA")]
    assert len(ours) == 2  # the certificate's key and the next one
    port = rig.port("smtp")
    postfix = peer(log=True, settings=settings(folder, LAST_YEARS, port))
    there = postfix.port("smtp")
    zone = host("here", port, *ours) + host("liar", port, "3 1 1 " + "ab" * 32)
    zone += "".join(host(name, there, data) for name, data in CASES.items())
    zone += "bogus IN MX 10 host.forged.test.\n"
    plain = f"@ IN MX 10 host\n_{there}._tcp.host IN TLSA {CASES['wrong']}\n"
    names = folder / "named"
    names.mkdir()
    with signed_server(names, {"good.test": zone, "plain.test": plain}) as server, rig:
        for setting in (
            f"dns.servers=127.0.0.1:{server.port}", "dns.dnssec=libunbound",
            f"dns.trust_anchor={server.anchor}", f"queue.smtp_port={there}",
        ):  # fmt: skip
            rig.verb("config", "set", *setting.split("=", 1))
        rig.stop()
        rig.start()
        with validating(names, server) as address:
            postfix.postfix.resolver = address
            with postfix:
                yield Pair(rig, postfix)


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
    until(lambda: [m for m in inbox(pair.ours, *alice) if b"Status: 5.7.30" in m], pair.ours)
    (notice,) = [m for m in inbox(pair.ours, *alice) if b"Status: 5.7.30" in m]
    assert f"\r\nSubject: to {to}\r\n".encode() in notice and b"\r\nHello\r\n" not in notice
    assert f"to=<{to}>" not in pair.log()


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
