"""Two of our servers: what goes wrong with TLS at one is counted, reported the day after, and arrives."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from a3mailer.mail.authresults import parse
from a3mailer.mail.message import index
from a3mailer.mail.message.headers import first, header_end
from a3mailer.msgauth.packed import unpack
from a3mailer.msgauth.tlsrpt import TlsReport, decode
from a3mailer.testing.faults.wall_clock import WallClock
from tests.compat.test_relay import Names, at_bobs, inbox, submit, until
from tests.rig import Rig
from tests.web import Authority

DAY = 86_400
RECORDS = (
    "there.test. 60 IN MX 10 mx.there.test.",
    "mx.there.test. 60 IN A 127.0.0.1",
    "mta-sts.there.test. 60 IN A 127.0.0.1",
    '_mta-sts.there.test. 60 IN TXT "v=STSv1; id=1;"',
    '_smtp._tls.there.test. 60 IN TXT "v=TLSRPTv1; rua=mailto:bob@there.test"',
)


@dataclass
class World:
    here: Rig
    there: Rig
    clock: WallClock


def signatures(rig: Rig) -> list[str]:
    """The records of the keys a server signs with."""
    rows = rig.verb("domain", "dns", "here.test")
    found = [f"{row['name']}. 60 IN TXT {row['data']}" for row in rows if "._domainkey." in row["name"]]
    assert found
    return found


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """``here`` sends; ``there`` enforces its policy, and has a certificate without the name of its host."""
    folder = tmp_path_factory.mktemp("world")
    clock, authority = WallClock(folder), Authority(folder)
    with Names(*RECORDS) as names:
        dns = ("--dns", f"127.0.0.1:{names.port}")
        there = Rig(
            tmp_path_factory.mktemp("there"), hostname="mx.there.test", domain="there.test", workers=1,
            accounts=(("bob@there.test", "secret-b"),), env=clock.env, extra=dns,
            settings=("limits.profile=off", "dns.dnssec=off", "web.mta_sts=enforce",
                      "reports.addresses=bob@there.test"),
        )  # fmt: skip
        there.init()
        for file, name in zip(authority.issue("mta-sts.there.test"), ("cert.pem", "key.pem"), strict=True):
            (there.directory / "tls" / name).write_bytes(file.read_bytes())
        with there:
            here = Rig(
                tmp_path_factory.mktemp("here"), hostname="mx.here.test", domain="here.test", workers=2,
                accounts=(("alice@here.test", "secret-a"),), env=clock.env, extra=dns,
                settings=(
                    "limits.profile=off", "dns.dnssec=off", "reports.tls_send=on", "web.inside=on",
                    f"web.authorities={authority.file}", f"web.port={there.port('https')}",
                    f"queue.smtp_port={there.port('smtp')}",
                ),
            )  # fmt: skip
            with here:
                names.put(*signatures(here))
                yield World(here, there, clock)


def reports(there: Rig) -> list[bytes]:
    return [mail for mail in inbox(there, "bob@there.test", "secret-b") if b"\r\nTLS-Report-Domain:" in mail]


def read(mail: bytes) -> TlsReport:
    (part,) = [part for part in index(mail).parts if part.media == b"application/tlsrpt+gzip"]
    return decode(unpack(base64.b64decode(mail[part.body : part.end])))


def test_what_fails_at_one_is_told_by_the_other(world: World) -> None:
    begun = int(time.time())
    submit(world.here, "bob@there.test", "one")
    until(lambda: "certificate" in str(world.here.verb("queue", "list")), world.here)
    world.here.stop()
    world.clock.set(f"+{(begun // DAY + 1) * DAY + 6 * 3600 - begun}")
    world.here.start()
    until(lambda: reports(world.there), world.here)
    (mail,) = reports(world.there)
    report = read(mail)
    assert report.organization_name == "here.test"
    assert int(report.date_range.start_datetime.timestamp()) == begun // DAY * DAY
    (result,) = report.policies
    assert (result.policy.policy_type, result.policy.policy_domain) == ("sts", "there.test")
    assert result.policy.mx_host == ("mx.there.test",)
    assert "mode: enforce" in result.policy.policy_string
    assert result.summary.total_failure_session_count == 1
    (failure,) = result.failure_details
    assert failure.result_type == "certificate-host-mismatch"
    assert failure.receiving_mx_hostname == "mx.there.test"
    assert (failure.sending_mta_ip, failure.receiving_ip) == ("127.0.0.1", "127.0.0.1")
    value = first(mail, 0, header_end(mail, 0, len(mail)), b"authentication-results")
    assert value is not None
    results = parse(value)
    assert results is not None
    assert ("dkim", "pass") in {(each.method, each.result) for each in results.results}
    (row,) = world.there.verb("report", "tls", "list")
    assert (row["source"], row["domain"], row["sessions"], row["failed"]) == ("here.test", "there.test", 1, 1)
    shown = world.there.verb("report", "tls", "show", str(row["report"]))
    assert shown["lines"][-1].startswith("  mx.there.test showed a certificate for another name once (")
    (entry,) = world.there.verb("report", "tls", "summary", "--domain", "there.test")
    assert entry["advice"] == [
        "mx.there.test showed a certificate for another name once; says here.test;"
        " its certificate must carry the name mx.there.test"
    ]
    assert at_bobs(world.there, "one") == [], "what is not a report waits for a good certificate"
