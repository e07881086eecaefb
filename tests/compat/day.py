"""A small world of mail in signed zones, every server at port 25 of an address of its own.

``one`` and ``two`` are ours, with certificates that pebble has issued; ``post`` is Postfix with Dovecot
behind it and opendkim before it, ``exim`` is Exim, ``open`` OpenSMTPD; ``carol@origin.test`` is a stranger
whose domain says ``p=reject``. They find and judge one another by the DNS alone, ours by what ``domain dns``
prints. rspamd looks at what ``two`` takes in.
"""

from __future__ import annotations

import imaplib
import pathlib
import re
import smtplib
import socket
import ssl
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from a3mailer.mail.authresults import parse
from a3mailer.msgauth.fields import read
from a3mailer.runtime.unbound import Unavailable, library
from a3mailer.testing.faults.wall_clock import WallClock
from bench import ports
from bench.peers import opensmtpd
from bench.peers.exim import PACKAGES, Exim
from bench.peers.rig import PeerRig
from tests.certificates import Certified, certified
from tests.compat.test_forwarding import Origin, carols_record, text
from tests.compat.test_milters import free_port, opendkim, rspamd, signing_key
from tests.compat.test_relay import inbox, until
from tests.named import SignedServer, signed_server, validating
from tests.pebble import Pebble
from tests.peers import peer, server_prefix
from tests.rig import Rig

PASSWORD = "secret-a"
ONE, TWO, STS, BAD_STS = "one.good.test", "two.good.test", "two.plain.test", "bad.plain.test"
POST, EXIM, LIAR, OPEN = "post.good.test", "exim.good.test", "liar.good.test", "open.good.test"
KINDS = ("MX", "TXT", "CNAME", "TLSA")
DMARC = '"v=DMARC1; p=reject; rua=mailto:{0}; ruf=mailto:{0}"'
TLS_RPT = '"v=TLSRPTv1; rua=mailto:{0}"'
DAY = 86_400
LATEST_SECONDS = 300
"""Before midnight (UTC) no day begins: its reports would be those of two."""
SETTINGS = ("limits.profile=off", "queue.retry=1", "dns.dnssec=libunbound", "web.mta_sts=enforce",
            "web.inside=on", "web.authorities=authorities.pem", "acme.agree=on",
            "acme.challenges=tls-alpn-01", "reports.dmarc_send=on", "reports.tls_send=on",
            "reports.failure_send=on")  # fmt: skip


class Ours(Rig):
    """One of ours at the standard ports of an address."""

    def __init__(
        self,
        folder: pathlib.Path,
        address: str,
        *domains: str,
        accounts: tuple[str, ...],
        more: tuple[str, ...] = (),
    ) -> None:
        folder.mkdir()
        self.address = address
        names = [word for name in domains[1:] for word in ("--domain", name)]
        super().__init__(
            folder, hostname=f"mx.{domains[0]}", domain=domains[0], workers=1, plaintext=True,
            accounts=[(account, PASSWORD) for account in accounts],
            settings=(*SETTINGS, f"queue.rules=source={address}", *more),
            extra=("--port-base", "0", "--listen", address, *names),
        )  # fmt: skip
        self.domains = domains
        self.sent: list[tuple[str, str]] = []
        """What its users have submitted: from whom to whom."""
        self.init()

    def records(self) -> dict[tuple[str, str], list[str]]:
        """What it wants to be published, with a stricter word on forgeries; by name and kind."""
        found: dict[tuple[str, str], list[str]] = {(self.hostname, "A"): [self.address]}
        for domain in self.domains:
            for row in self.verb("domain", "dns", domain):
                if row["kind"] in KINDS:
                    found.setdefault((row["name"], row["kind"]), []).append(row["data"])
            found[f"_dmarc.{domain}", "TXT"] = [DMARC.format(f"dmarc-reports@{domain}")]
        return {key: list(dict.fromkeys(data)) for key, data in found.items()}

    def join(self, dns: SignedServer, pebble: Pebble, clock: WallClock) -> None:
        """Whom it asks about names and the time, and who certifies its own."""
        self.env |= {name: value for name, value in clock.env.items() if name != "FAKETIME_NO_CACHE"} | {
            "FAKETIME_CACHE_DURATION": "1",
            "A3_DNS__SERVERS": f"127.0.0.1:{dns.port}", "A3_DNS__TRUST_ANCHOR": str(dns.anchor),
            "A3_ACME__DIRECTORY": pebble.url,
        }  # fmt: skip
        authorities = pebble.authority.file.read_bytes() + pebble.root()
        (self.directory / "authorities.pem").write_bytes(authorities)

    def certified(self) -> bool:
        """Has it the certificates it needs: its host's, and one for the policies of each domain?"""
        names = (self.hostname, *(f"mta-sts.{domain}" for domain in self.domains))
        return all((self.directory / "tls" / "acme" / f"{name}.pem").exists() for name in names)

    def inbox(self, account: str) -> list[bytes]:
        """All mails of an account."""
        with imaplib.IMAP4(self.address) as imap:
            imap.login(account, PASSWORD)
            if imap.select("INBOX", readonly=True)[1] == [b"0"]:
                return []
            return [p[1] for p in imap.fetch("1:*", "(BODY.PEEK[])")[1] if isinstance(p, tuple)]

    def submit(self, sender: str, to: str, subject: str, body: str = "Hello", more: str = "") -> None:
        """As its user's program does; ``more``: further fields."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP(self.address, 587) as smtp:
            smtp.starttls(context=context)
            smtp.login(sender, PASSWORD)
            smtp.sendmail(sender, [to], more.encode() + letter(sender, to, subject, body))
        self.sent.append((sender, to))

    def secured(self) -> dict[str, int]:
        """Sessions with others, by what demanded their TLS and how it went: ``tlsa ok``."""
        with urllib.request.urlopen(f"http://{self.address}:9090/metrics", timeout=10) as answer:
            page = answer.read().decode()
        return {
            m[1]: int(float(m[2]))
            for m in re.finditer(r'a3_relay_tls_total\{[^"]*"([^"]*)".*?\} (\S+)', page)
        }

    def waiting(self, to: str) -> list[dict[str, Any]]:
        """Recipients of this address that have been tried."""
        people = [r for entry in self.verb("queue", "list") for r in entry["recipients"]]
        return [r for r in people if r["address"] == to and r["attempts"]]


@dataclass(frozen=True)
class World:
    """Everyone."""

    one: Ours
    two: Ours
    postfix: PeerRig
    exim: Exim
    open: opensmtpd.OpenSmtpd
    origin: Origin
    zone: dict[str, bytes]
    """The TXT records of all."""
    clock: WallClock
    """Of ours alone."""
    posted: list[tuple[str, str]]
    """What users of the others have sent, as ``Ours.sent``."""

    @property
    def stranger(self) -> str:
        return str(self.origin.server_address[0])

    def at_post(self, user: str) -> list[bytes]:
        return inbox(self.postfix, f"{user}@{POST}", PASSWORD)  # type: ignore[arg-type]

    def log(self) -> str:
        return self.postfix.postfix.log.read_text("utf-8", "replace")

    def at_exim(self, user: str) -> list[bytes]:
        return [mail.replace(b"\n", b"\r\n") for mail in self.exim.mails(user)]

    def at_open(self, user: str) -> list[bytes]:
        return [mail.replace(b"\n", b"\r\n") for mail in self.open.mails(user)]

    def post(self, sender: str, to: str, subject: str) -> None:
        """By the server of the sender: Postfix, Exim or OpenSMTPD."""
        where = {
            POST: ("127.0.0.1", self.postfix.port("smtp")), EXIM: (self.exim.address, 25),
            OPEN: (self.open.address, 25),
        }  # fmt: skip
        with smtplib.SMTP(*where[sender.partition("@")[2]]) as smtp:
            smtp.sendmail(sender, [to], letter(sender, to, subject))
        self.posted.append((sender, to))


def letter(sender: str, to: str, subject: str, body: str = "Hello") -> bytes:
    head = f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n"
    stamp = f"Date: Mon, 23 Nov 2026 00:00:00 +0000\r\nMessage-ID: <{subject.replace(' ', '.')}@day.test>\r\n"
    return f"{head}{stamp}\r\n{body}\r\n".encode()


def verdicts(mail: bytes, server: str) -> dict[str, str]:
    """What the server that stored it has found, by method."""
    found = parse(read(mail).all(b"authentication-results")[0].value)
    assert found is not None and found.authserv_id == server
    return {each.method: each.result for each in found.results}


@contextmanager
def addresses() -> Iterator[list[str]]:
    """Some of 127.26.0.0/16 that nobody else here has; skips as ``forbidden`` where port 25 is."""
    held = ports.reserve()
    found = [f"127.26.{n >> 8}.{n & 255}" for n in range(held.base, held.base + 10)]
    try:
        socket.create_server((found[0], 25)).close()
    except PermissionError as error:
        held.release()
        pytest.skip(f"forbidden: port 25 ({error})")
    try:
        yield found
    finally:
        held.release()


@contextmanager
def postfix(folder: pathlib.Path, address: str, resolver: str, shown: Certified) -> Iterator[PeerRig]:
    chain = folder / "postfix.pem"
    chain.write_bytes(shown.key_pem + shown.pem)
    milter = free_port()
    rig = peer(
        log=True,
        settings={
            "myhostname": f"mx.{POST}",
            "virtual_mailbox_domains": f"{POST},{LIAR},{BAD_STS}",
            "virtual_mailbox_maps": f"inline:{{bob@{POST}=x,bob@{LIAR}=x,bob@{BAD_STS}=x}}",
            "smtp_bind_address": address,
            "default_transport": "smtp",
            "smtp_dns_support_level": "dnssec",
            "smtp_tls_security_level": "dane",
            "smtp_tls_loglevel": "1",
            "smtpd_tls_loglevel": "1",
            "smtpd_tls_security_level": "may",
            "smtpd_tls_chain_files": str(chain),
            "smtpd_tls_received_header": "yes",
            "smtpd_milters": f"inet:127.0.0.1:{milter}",
        },
    )
    rig.postfix.resolver = resolver
    master = rig.postfix.config / "master.cf"
    master.write_text(f"{master.read_text()}{address}:25 inet n - n - - smtpd\n")
    with opendkim(folder, "sv", f"inet:{milter}@127.0.0.1", POST), rig:
        yield rig


@contextmanager
def exim(folder: pathlib.Path, address: str, resolver: str, shown: Certified) -> Iterator[Exim]:
    server_prefix(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="a3mailer-peer-") as name:
        place = pathlib.Path(name)
        place.chmod(0o755)
        server = Exim(
            place, address=address, hostname=f"mx.{EXIM}", domains=(EXIM,), users=("bob",), resolver=resolver,
            chain=shown.key_pem + shown.pem, key=(folder / "key.pem").read_bytes(),
        )  # fmt: skip
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def open_smtpd(address: str, resolver: str, shown: Certified) -> Iterator[opensmtpd.OpenSmtpd]:
    server_prefix(opensmtpd.PACKAGES)
    with tempfile.TemporaryDirectory(prefix="a3mailer-peer-") as name:
        place = pathlib.Path(name)
        place.chmod(0o755)
        server = opensmtpd.OpenSmtpd(
            place, address=address, hostname=f"mx.{OPEN}", domain=OPEN, users=("bob",), resolver=resolver,
            certificate=shown.pem, key=shown.key_pem,
        )  # fmt: skip
        server.start()
        try:
            yield server
        finally:
            server.stop()


def listening(address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, 25), 1):
        return True
    return False


def master_file(records: dict[tuple[str, str], list[str]], zone: str) -> str:
    """Those of a zone, as lines of its file."""
    mine = {key: data for key, data in records.items() if f".{key[0]}".endswith(f".{zone}")}
    return "".join(f"{name}. IN {kind} {each}\n" for (name, kind), data in mine.items() for each in data)


def of_a_peer(domain: str, address: str, shown: Certified, key: str) -> dict[tuple[str, str], list[str]]:
    return {
        (domain, "MX"): [f"10 mx.{domain}."],
        (domain, "TXT"): ['"v=spf1 mx -all"'],
        (f"_dmarc.{domain}", "TXT"): [DMARC.format(f"bob@{domain}")],
        (f"_smtp._tls.{domain}", "TXT"): [TLS_RPT.format(f"bob@{domain}")],
        (f"s1._domainkey.{domain}", "TXT"): [key],
        (f"mx.{domain}", "A"): [address],
        (f"_25._tcp.mx.{domain}", "TLSA"): [f"3 1 1 {shown.key_digest.hex()}"],
    }


def of_the_others(post: str, origin: str, opened: str) -> dict[tuple[str, str], list[str]]:
    return {
        (OPEN, "MX"): [f"10 mx.{OPEN}."],
        (OPEN, "TXT"): ['"v=spf1 mx -all"'],
        (f"_dmarc.{OPEN}", "TXT"): [DMARC.format(f"bob@{OPEN}")],
        (f"_smtp._tls.{OPEN}", "TXT"): [TLS_RPT.format(f"bob@{OPEN}")],
        (f"mx.{OPEN}", "A"): [opened],
        (LIAR, "MX"): [f"10 mx.{LIAR}."],
        (f"mx.{LIAR}", "A"): [post],
        (f"_25._tcp.mx.{LIAR}", "TLSA"): [f"3 1 1 {'ab' * 32}"],
        (f"_smtp._tls.{LIAR}", "TXT"): [TLS_RPT.format(f"bob@{POST}")],
        (BAD_STS, "MX"): [f"10 mx.{POST}."],
        (f"_smtp._tls.{BAD_STS}", "TXT"): [TLS_RPT.format(f"tls-reports@{TWO}")],
        ("origin.test", "MX"): ["10 mx.origin.test."],
        ("origin.test", "TXT"): [f'"v=spf1 ip4:{origin} -all"'],
        ("_dmarc.origin.test", "TXT"): ['"v=DMARC1; p=reject"'],
        ("s1._domainkey.origin.test", "TXT"): [text(carols_record())],
        ("mx.origin.test", "A"): [origin],
    }


@contextmanager
def world(folder: pathlib.Path) -> Iterator[World]:
    """Started; skips where a part of it cannot be had."""
    try:
        library()
    except Unavailable as error:
        pytest.skip(f"absent: {error}")
    if (left := DAY - time.time() % DAY) < LATEST_SECONDS:
        time.sleep(left)
    clock = WallClock(folder)
    with ExitStack() as stack:
        first, second, post, strange, fifth, sixth, *_ = stack.enter_context(addresses())
        one = Ours(folder / "one", first, ONE, accounts=(f"alice@{ONE}",))
        milter = free_port()
        two = Ours(
            folder / "two", second, TWO, STS, BAD_STS, accounts=(f"bob@{TWO}", f"bob@{STS}"),
            more=(f"milter.servers=127.0.0.1:{milter}",),
        )  # fmt: skip
        for each in (one, two):
            stack.callback(each.close)
        shown = {name: certified(f"mx.{name}") for name in (POST, EXIM, OPEN)}
        keys = {name: folder / name for name in (POST, EXIM)}
        for name, place in keys.items():
            place.mkdir()
            signing_key(place, name)
        record = {n: text((p / "public").read_bytes().split(b" ", 1)[1].strip()) for n, p in keys.items()}
        records = one.records() | two.records() | of_the_others(post, strange, sixth)
        for name, address in ((POST, post), (EXIM, fifth)):
            records |= of_a_peer(name, address, shown[name], record[name])
        texts = {name: b"".join(re.findall(rb'"([^"]*)"', data[0].encode()))
                 for (name, kind), data in records.items() if kind == "TXT"}  # fmt: skip
        known = (f"{name} {data.decode()}\n" for name, data in texts.items() if "._domainkey." in name)
        (keys[POST] / "public").write_text("".join(known))
        zones = {zone: master_file(records, zone) for zone in ("good.test", "plain.test")}
        zones["test"] = master_file(records, "origin.test")
        names = folder / "named"
        names.mkdir()
        dns = stack.enter_context(signed_server(names, zones))
        resolver = stack.enter_context(validating(names, dns))
        pebble = stack.enter_context(Pebble(folder / "pebble", dns.port, 80, 443))
        for each in (one, two):
            each.join(dns, pebble, clock)
        origin = stack.enter_context(Origin(25, strange))
        thread = threading.Thread(target=origin.serve_forever)
        thread.start()
        try:
            (folder / "rspamd").mkdir()
            stack.enter_context(rspamd(folder / "rspamd", milter))
            rig = stack.enter_context(postfix(keys[POST], post, resolver, shown[POST]))
            other = stack.enter_context(exim(keys[EXIM], fifth, resolver, shown[EXIM]))
            third = stack.enter_context(open_smtpd(sixth, resolver, shown[OPEN]))
            stack.enter_context(one)
            stack.enter_context(two)
            until(lambda: listening(sixth), two)
            until(lambda: "listening for SMTP" in other.log(), two)
            until(lambda: two.certified() and one.certified(), two)
            yield World(one, two, rig, other, third, origin, texts, clock, [])
        finally:
            origin.shutdown()
            thread.join(10)
