"""What the reports at the end of a day of mail must say: counted from the script, and from what peers saw."""

from __future__ import annotations

import base64
import collections
import gzip
import json
import re
import ssl
import urllib.request
from typing import Any
from xml.etree import ElementTree

from a3mailer.mail.message import index
from tests.compat.day import Ours, World


def domain_of(address: str) -> str:
    return address.rpartition("@")[2]


def authored(day: World, at: Ours) -> collections.Counter[str]:
    """Mails of the script that reach one of ours from outside, by their author's domain."""
    takes = {address for address, _ in at.accounts} | {f"abuse@{domain}" for domain in at.domains}
    elsewhere = [pair for each in (day.one, day.two) if each is not at for pair in each.sent]
    return collections.Counter(domain_of(sender) for sender, to in (*elsewhere, *day.posted) if to in takes)


def sessions_at(server: Ours, client: Ours) -> int:
    """Sessions with a client in which mail came or was refused, by the server's log: a trace is of a session,
    ``-2`` its second mail."""
    lines = map(json.loads, server.log.read_text().splitlines())
    return len({line["trace"].partition("-")[0] for line in lines if line.get("client") == client.address})


def sessions_at_postfix(day: World, client: Ours) -> tuple[int, int]:
    """How many came to mail, and how many turned away once TLS stood."""
    said = re.findall(rf" disconnect from \S+\[{re.escape(client.address)}\] (.*)", day.log())
    with_mail = sum(" mail=" in words for words in said)
    return with_mail, len(said) - with_mail


def sessions_at_exim(day: World, client: Ours) -> int:
    return len(re.findall(rf"SMTP connection from \[{re.escape(client.address)}\] \(", day.exim.log()))


def handshakes_at_open(day: World, client: Ours) -> int:
    """How many began; all of them fail."""
    log = day.open.log()
    sessions = re.findall(rf"(?m)^(\w+) smtp connected address={re.escape(client.address)} ", log)
    return sum(f'{name} smtp disconnected reason="io-error' in log for name in sessions)


def counted(mails: list[bytes]) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Reports that peers' users have got, read without our own code: mails or sessions, and how many failed,
    by kind, reporter and domain."""
    found = {}
    for mail in mails:
        for part in index(mail).parts:
            if part.media == b"application/gzip":
                tree = ElementTree.fromstring(gzip.decompress(base64.b64decode(mail[part.body : part.end])))
                for each in tree.iter():
                    each.tag = each.tag.rpartition("}")[2]
                rows = [(int(row.findtext("count", "")), row) for row in tree.iter("row")]
                failed = sum(
                    n for n, row in rows
                    if "pass" not in {row.findtext(f"policy_evaluated/{m}") for m in ("dkim", "spf")}
                )  # fmt: skip
                who = tree.findtext("report_metadata/org_name", "")
                about = tree.findtext("policy_published/domain", "")
                found["dmarc", who, about] = (sum(n for n, _ in rows), failed)
            elif part.media == b"application/tlsrpt+gzip":
                report = json.loads(gzip.decompress(base64.b64decode(mail[part.body : part.end])))
                for policy in report["policies"]:
                    summary = policy["summary"]
                    good, bad = (summary[f"total-{k}-session-count"] for k in ("successful", "failure"))
                    key = ("tls", report["organization-name"], policy["policy"]["policy-domain"])
                    before = found.get(key, (0, 0))
                    found[key] = (before[0] + good + bad, before[1] + bad)
    return found


class Told:
    """What has been reported to one of ours, by its API."""

    def __init__(self, server: Ours) -> None:
        self._server = server
        account = f"admin@{server.domains[0]}"
        self._token = server.verb("token", "add", account, "--name", "reports", "--scope", "report")["token"]
        self._context = ssl.create_default_context()
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE

    def __call__(self, kind: str) -> list[dict[str, Any]]:
        request = urllib.request.Request(
            f"https://{self._server.address}/api/v1/reports/{kind}",
            headers={"Authorization": f"Bearer {self._token}"},
        )
        with urllib.request.urlopen(request, context=self._context, timeout=20) as answer:
            return list(json.loads(answer.read()))


def complaint(about: bytes) -> str:
    """A reader does not want this mail (RFC 5965)."""
    report = "Feedback-Type: abuse\r\nUser-Agent: A-Reader/1\r\nVersion: 1\r\n"
    parts = (("text/plain", "No more of this."), ("message/feedback-report", report),
             ("message/rfc822", about.decode()))  # fmt: skip
    body = "".join(f"--cut\r\nContent-Type: {media}\r\n\r\n{text}\r\n" for media, text in parts)
    return f"{body}--cut--"
