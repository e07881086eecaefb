"""How many microseconds of CPU does the whole authentication of a mail from outside take, its DNS cached?"""

import asyncio
import base64
import sys
import time
from typing import Final

import uvloop
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth import fields
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.evaluate import Evaluator, Incoming
from a3mailer.msgauth.sign import load_key, sign
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.resolver import Server, StubResolver
from a3mailer.testing.nameserver import NameServer
from bench.message import written
from bench.report import Options, Report, Row, below, main

GOAL: Final = 250.0
DOMAIN: Final = "example.com"
NOW: Final = 1_795_000_000
RECORDS: Final = (
    f'{DOMAIN}. 3600 IN TXT "v=spf1 include:_one.{DOMAIN} include:_two.{DOMAIN} -all"',
    f'_one.{DOMAIN}. 3600 IN TXT "v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 -all"',
    f'_two.{DOMAIN}. 3600 IN TXT "v=spf1 ip4:192.0.2.0/24 -all"',
    f'_dmarc.{DOMAIN}. 3600 IN TXT "v=DMARC1; p=reject"',
    f"7.2.0.192.in-addr.arpa. 3600 IN PTR mx.{DOMAIN}.",
    f"mx.{DOMAIN}. 3600 IN A 192.0.2.7",
    f'default._bimi.{DOMAIN}. 3600 IN TXT "v=BIMI1; l=https://{DOMAIN}/logo.svg; a=https://{DOMAIN}/vmc.pem"',
)
METHODS: Final = ("iprev", "spf", "dkim", "dmarc")


def key_pair() -> tuple[bytes, str]:
    """(a private RSA key as PEM, its record)."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = "v=DKIM1; k=rsa; p=" + base64.b64encode(der).decode()
    strings = " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))
    return pem, f"bench._domainkey.{DOMAIN}. 3600 IN TXT {strings}"


def signed(mail: bytes, pem: bytes) -> bytes:
    header = fields.read(mail)
    return sign(header, Bodies(mail, header.body), (load_key(DOMAIN, "bench", pem),), NOW) + mail


async def cost(
    mails: list[bytes], repeats: int, records: tuple[str, ...], *, indicators: bool = False
) -> tuple[float, int]:
    """(microseconds a mail, the best of several passes; questions the name server was asked)."""
    async with NameServer() as server:
        server.put(*records)
        resolver = StubResolver((Server("127.0.0.1", server.port),), 5.0, SystemClock())
        evaluate = Evaluator(resolver, "mail.example.org", indicators=indicators)
        best = float("inf")
        for _ in range(repeats + 1):
            before = time.process_time()
            for mail in mails:
                found = await evaluate(
                    Incoming("192.0.2.7", f"mx.{DOMAIN}", f"alice@{DOMAIN}", mail), NOW, 20.0
                )
                assert tuple(r.method for r in found.results.results) == METHODS
                assert all(r.result == PASS for r in found.results.results)
                assert not indicators or (found.bimi is not None and found.bimi.result == PASS)
            best = min(best, time.process_time() - before)
        return best / len(mails) * 1e6, len(server.asked)


def measure(chosen: Options, report: Report) -> None:
    """SPF through two includes, one RSA 2048 signature, iprev and DMARC: everything passes."""
    many, repeats = (20, 1) if chosen.smoke else (300, 9)
    pem, record = key_pair()
    asked = 0
    for size in (4_096, 65_536):
        mails = [signed(written(size, chosen.seed + n, html=False), pem) for n in range(many)]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took, asked = runner.run(cost(mails, repeats, (*RECORDS, record)))
            and_bimi, _ = runner.run(cost(mails, repeats, (*RECORDS, record), indicators=True))
        name = f"SPF, DKIM, iprev and DMARC, {size} octets"
        report.add(below(name, "us", took, GOAL) if size == 4_096 else Row(name, "us", took))
        report.add(Row(f"... and BIMI, {size} octets", "us", and_bimi))
    report.count(mails=many, questions=asked)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
