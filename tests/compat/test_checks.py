"""The checks of a whole server with a name server: notes, refusals, and counts of all workers."""

from __future__ import annotations

import asyncio
import pathlib
import smtplib
import time

from a3mailer.testing.nameserver import NameServer
from tests.rig import Rig

MAIL = b"From: <carol@b.test>\r\nSubject: hello\r\n\r\nbody\r\n"


def answer(rig: Rig, sender: str, helo: str = "mx.b.test") -> str:
    """The reply to the whole transaction, or to the command that was refused."""
    with smtplib.SMTP("127.0.0.1", rig.port("smtp"), local_hostname=helo) as client:
        try:
            client.sendmail(sender, ["alice@example.test"], MAIL)
        except smtplib.SMTPResponseException as error:
            return f"{error.smtp_code} {error.smtp_error.decode()}"  # type: ignore[union-attr]
        except smtplib.SMTPRecipientsRefused as error:
            (code, text) = error.recipients["alice@example.test"]
            return f"{code} {text.decode()}"
    return "250"


async def test_strangers_are_looked_up_counted_and_greylisted(tmp_path: pathlib.Path) -> None:
    async with NameServer() as names:
        names.put(
            "b.test. 300 IN MX 10 mx.b.test.",
            "null.test. 300 IN MX 0 .",
            "c.test. 300 IN MX 10 mx.c.test.",
            "d.test. 300 IN MX 10 mx.d.test.",
            "1.0.0.127.bl.test. 300 IN A 127.0.0.2",
        )
        settings = [f"dns.servers=127.0.0.1:{names.port}", "dns.dnssec=off", "policy.refuse=sender_domain"]
        await asyncio.to_thread(_noted, tmp_path, settings)


def _noted(tmp_path: pathlib.Path, settings: list[str]) -> None:
    rates = (
        "policy.sender_rate=3",
        "policy.domain_rate=5",
        "policy.recipient_rate=6",
        "policy.network_rate=11",
    )
    with Rig(tmp_path, workers=2, settings=(*settings, *rates)) as rig:
        assert answer(rig, "carol@b.test", "localhost") == "250"
        assert answer(rig, "carol@null.test").startswith("550 5.7.27 null.test takes no mail")
        assert answer(rig, "carol@nowhere.test").startswith("550 5.1.8 ")
        said = [answer(rig, "dave@b.test")[:10] for _ in range(6)]
        assert said == ["250"] * 3 + ["451 4.7.28"] * 3
        assert answer(rig, "erin@b.test") == "250"  # the fifth of its domain, and to alice
        assert answer(rig, "frank@b.test") == "451 4.7.28 too many mails from this domain"
        assert answer(rig, "g1@c.test") == "250"
        assert answer(rig, "g2@c.test") == "451 4.7.28 too many mails to this recipient"
        assert (
            answer(rig, "h1@d.test")
            == answer(rig, "h2@d.test")
            == "451 4.7.28 too many mails to this recipient"
        )
        assert answer(rig, "h3@d.test") == "451 4.7.28 too many mails from this network"
        rig.verb("export", str(tmp_path / "out"), "alice@example.test")
        mails = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
        noted = [mail for mail in mails if b"X-A3-Checks: helo=not a fully qualified name" in mail]
        assert len(noted) == 1


def test_greylisting_survives_a_restart(tmp_path: pathlib.Path) -> None:
    settings = ("dns.servers=127.0.0.1:9", "dns.dnssec=off", "policy.sender_domain=off",
                "policy.greylist=on", "policy.greylist_seconds=1")  # fmt: skip
    with Rig(tmp_path, workers=2, settings=settings) as rig:
        assert answer(rig, "carol@b.test").startswith("451 4.7.1 greylisted")
        rig.kill()
        rig.start()
        for _ in range(20):
            if (said := answer(rig, "carol@b.test")) == "250":
                break
            time.sleep(0.2)
        assert said == "250"
        assert answer(rig, "other@c.test") == "250"
