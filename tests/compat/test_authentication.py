"""A whole server with a real name server: what it tells of mail from others, and what it does with it."""

from __future__ import annotations

import json
import smtplib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from a3mailer.mail.authresults import AuthResults, parse
from a3mailer.mail.message.headers import first, header_end
from a3mailer.msgauth.canonical import Bodies
from a3mailer.msgauth.fields import read
from a3mailer.msgauth.sign import sign
from tests.compat.test_relay import Names, inbox
from tests.rig import Rig
from tests.unit.msgauth.signed import key, record

AUTHOR = "careful.test"
RECORDS = (
    f'{AUTHOR}. 60 IN TXT "v=spf1 ip4:192.0.2.0/24 include:_spf.{AUTHOR} -all"',
    f'_spf.{AUTHOR}. 60 IN TXT "v=spf1 ip4:127.0.0.1 -all"',
    f'_dmarc.{AUTHOR}. 60 IN TXT "v=DMARC1; p=reject; adkim=s"',
    'strict.test. 60 IN TXT "v=spf1 -all"',
    '_dmarc.strict.test. 60 IN TXT "v=DMARC1; p=reject"',
    "1.0.0.127.in-addr.arpa. 60 IN PTR mx.careful.test.",
    "mx.careful.test. 60 IN A 127.0.0.1",
)
ALICE = ("alice@example.test", "secret-a")


def key_record() -> str:
    text = record(key("ed", AUTHOR)).decode()
    return f'ed._domainkey.{AUTHOR}. 60 IN TXT "{text}"'


def mail(author: str, subject: str, *, signed: bool = False) -> bytes:
    octets = f"From: <x@{author}>\r\nTo: <{ALICE[0]}>\r\nSubject: {subject}\r\n\r\nHello.\r\n".encode()
    if not signed:
        return octets
    header = read(octets)
    return sign(header, Bodies(octets, header.body), [key("ed", AUTHOR)], int(time.time())) + octets


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    with Names(*RECORDS, key_record()) as server:
        yield server


@pytest.fixture(scope="module")
def rig(names: Names, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """It refuses what authors' domains want refused."""
    with Rig(
        tmp_path_factory.mktemp("enforcing"),
        settings=("limits.profile=off", "msgauth.dmarc=enforce", "dns.dnssec=off"),
        extra=("--dns", f"127.0.0.1:{names.port}"),
        workers=2,
    ) as server:
        yield server


def deliver(rig: Rig, octets: bytes, sender: str) -> None:
    with smtplib.SMTP("127.0.0.1", rig.port("smtp"), local_hostname="mx.careful.test") as smtp:
        smtp.sendmail(sender, [ALICE[0]], octets)


def arrived(rig: Rig, subject: str) -> tuple[bytes, AuthResults]:
    """The mail and the field of ours in it."""
    (found,) = [m for m in inbox(rig, *ALICE) if f"\r\nSubject: {subject}\r\n".encode() in m]
    value = first(found, 0, header_end(found, 0, len(found)), b"authentication-results")
    assert value is not None
    results = parse(value)
    assert results is not None and results.authserv_id == "mail.example.test"
    return found, results


def words(results: AuthResults) -> dict[str, str]:
    return {each.method: each.result for each in results.results}


def test_a_signed_mail_passes_everything_and_keeps_its_octets(rig: Rig) -> None:
    octets = mail(AUTHOR, "signed", signed=True)
    deliver(rig, octets, f"x@{AUTHOR}")
    found, results = arrived(rig, "signed")
    assert found.endswith(octets)
    assert words(results) == {"iprev": "pass", "spf": "pass", "dkim": "pass", "dmarc": "pass"}


def test_spf_is_enough(rig: Rig) -> None:
    deliver(rig, mail(AUTHOR, "unsigned"), f"x@{AUTHOR}")
    assert words(arrived(rig, "unsigned")[1])["dmarc"] == "pass"


def test_results_in_our_name_do_not_get_in(rig: Rig) -> None:
    forged = b"Authentication-Results: mail.example.test;\r\n dmarc=pass header.from=strict.test\r\n"
    foreign = b"Authentication-Results: elsewhere.test; dmarc=pass\r\n"
    octets = mail(AUTHOR, "forged")
    deliver(rig, forged + foreign + octets, f"x@{AUTHOR}")
    found, _ = arrived(rig, "forged")
    assert found.endswith(b"\r\n" + foreign + octets)
    assert found.count(b"mail.example.test;\r\n dmarc=pass header.from=strict.test") == 0


@pytest.mark.parametrize(
    "octets",
    [
        mail("strict.test", "forbidden"),
        mail("strict.test", "forbidden", signed=True),
        b"From: <eve@attack.test>\r\n" + mail(AUTHOR, "two authors"),
    ],
    ids=["no proof", "signed by another", "two authors"],
)
def test_what_its_author_wants_refused_is_refused(rig: Rig, octets: bytes) -> None:
    with pytest.raises(smtplib.SMTPDataError) as refused:
        deliver(rig, octets, f"x@{AUTHOR}")
    assert (refused.value.smtp_code, refused.value.smtp_error[:6]) == (550, b"5.7.26")


def test_no_policy_no_refusal(rig: Rig) -> None:
    deliver(rig, mail("nothing.test", "nobody says"), "x@nothing.test")
    assert words(arrived(rig, "nobody says")[1])["dmarc"] == "none"


def test_check_says_the_same(rig: Rig, names: Names, tmp_path: Path) -> None:
    server, file = f"127.0.0.1:{names.port}", tmp_path / "mail"
    file.write_bytes(mail(AUTHOR, "checked", signed=True))
    client = ("--ip", "127.0.0.1", "--helo", "mx.careful.test", "--mail-from", f"x@{AUTHOR}")

    def check(*arguments: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(rig.run("check", *arguments, "--dns", server, "--json").stdout)
        return found

    assert check("spf", *client)["result"] == "pass"
    assert check("dkim", str(file))["result"] == "pass"
    assert check("arc", str(file))["result"] == "none"
    assert check("dmarc", str(file))["result"] == "pass"
    file.write_bytes(mail("strict.test", "checked"))
    found = check("dmarc", str(file), *client)
    assert (found["result"], found["policy"]) == ("fail", "reject")
    file.write_bytes(mail(AUTHOR, "checked"))
    assert check("dkim", str(file))["result"] == "none"
    assert check("dmarc", str(file), *client)["result"] == "pass"
    text = rig.run("check", "dmarc", str(file), *client, "--dns", server).stdout.decode()
    assert text.startswith(f"pass: The mail is from {AUTHOR}: spf of {AUTHOR} proves it.\n")
