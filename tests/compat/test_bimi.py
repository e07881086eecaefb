"""A server, a name server and a web server: the picture of an author who is proved, and of nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import pathlib
import smtplib
import ssl
import urllib.error
import urllib.request
from typing import Any

from a3mailer.mail.authresults import MethodResult, parse
from a3mailer.testing.nameserver import NameServer
from tests.compat.test_relay import inbox, until, with_subject
from tests.rig import Rig
from tests.unit.msgauth.test_bimi_mark import FILE, ROOT
from tests.unit.msgauth.test_bimi_svg import GOOD
from tests.web import Authority, Web, reply

SAYS = "the indicator of a.test, certified by Mark root for A Test Inc."
FORGED = "BIMI-Location: v=BIMI1; l=https://evil.test/x.svg\r\nBIMI-Indicator: PHN2Zz4=\r\n"


async def test_the_picture_of_a_proved_author_and_of_nobody_else(tmp_path: pathlib.Path) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "marks.pem").write_bytes(ROOT.pem)
    async with NameServer() as names, Web(authority.server("a.test"), reply(FILE)) as web:
        location = f"l=https://a.test:{web.port}/logo.svg; a=https://a.test:{web.port}/vmc.pem"
        names.put(
            "a.test. 300 IN A 127.0.0.1",
            'a.test. 300 IN TXT "v=spf1 ip4:127.0.0.1 -all"',
            '_dmarc.a.test. 300 IN TXT "v=DMARC1; p=reject"',
            f'default._bimi.a.test. 300 IN TXT "v=BIMI1; {location}"',
        )
        settings = (
            f"dns.servers=127.0.0.1:{names.port}",
            "dns.dnssec=off",
            "limits.profile=off",
            "policy.sender_domain=off",
            "web.inside=on",
            f"web.authorities={authority.file}",
            "msgauth.bimi=on",
            f"msgauth.bimi_authorities={tmp_path / 'marks.pem'}",
        )
        with Rig(tmp_path, workers=2, settings=settings) as rig:
            await asyncio.to_thread(_looked_at, rig, web)
        assert [head.split(b" ")[1] for head in web.asked] == [b"/vmc.pem"]


def _looked_at(rig: Rig, web: Web) -> None:
    """One mail is proved and the picture fetched behind it; another is forged; the third shows it."""
    first = _told(_sent(rig, "first", "news@a.test"))
    assert (first.result, first.reason) == ("pass", "its indicator is not looked at yet")
    until(lambda: _asked(rig)[0] == 200, rig)
    status, found = _asked(rig)
    assert status == 200 and (found["state"], found["says"], found["title"]) == ("verified", SAYS, "A Test")
    head, _, svg = found["image"].partition(",")
    assert head == "data:image/svg+xml;base64" and base64.b64decode(svg) == GOOD
    assert rig.verb("message", "indicator", "a.test")["says"] == SAYS
    forged = _sent(rig, "forged", "eve@b.test")
    assert (_told(forged).result, _told(forged).properties) == ("skipped", ())
    third = _sent(rig, "third", "news@a.test")
    assert (_told(third).result, _told(third).value("policy", "authority")) == ("pass", "pass")
    assert third.count(b"BIMI-Location: v=BIMI1;\r\n\tl=https://a.test:") == 1
    for mail in (forged, third):
        assert b"evil.test" not in mail and b"BIMI-Indicator" not in mail
    assert b"BIMI-Location" not in forged
    trace = third.partition(b" id ")[2].split()[0].decode()
    until(lambda: SAYS in _story(rig, trace), rig)


def _sent(rig: Rig, subject: str, sender: str) -> bytes:
    """The mail as it lies in the mailbox; all of them say that news@a.test wrote them."""
    mail = f"From: News <news@a.test>\r\nSubject: {subject}\r\n{FORGED}\r\nhello\r\n"
    with smtplib.SMTP("127.0.0.1", rig.port("smtp"), local_hostname="mx.a.test") as client:
        client.sendmail(sender, ["alice@example.test"], mail)
    (octets,) = with_subject(inbox(rig, "alice@example.test", "secret-a"), subject)
    return octets


def _told(mail: bytes) -> MethodResult:
    value = mail.partition(b"\r\nAuthentication-Results:")[2]
    end = next(
        at for at in range(len(value)) if value[at : at + 2] == b"\r\n" and value[at + 2] not in b" \t"
    )
    found = parse(value[:end])
    assert found is not None
    (one,) = found.of("bimi")
    return one


def _story(rig: Rig, trace: str) -> str:
    return rig.run("message", "trace", trace, "--dir", str(rig.directory), check=False).stdout.decode()


def _asked(rig: Rig) -> tuple[int, dict[str, Any]]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(f"https://127.0.0.1:{rig.port('https')}/api/v1/bimi/a.test")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"alice@example.test:secret-a").decode())
    try:
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, {}
