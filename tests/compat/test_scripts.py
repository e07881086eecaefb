"""Scripts of the operator on a server: a reload takes them; a broken one leaves the old one in force."""

from __future__ import annotations

import pathlib
import smtplib

from a3mailer.app.cli.exits import CONFIG
from tests.compat.test_relay import inbox, until, with_subject
from tests.rig import Rig
from tests.transcripts.smtp_world import example

MAIL = b"From: carol@origin.test\r\nSubject: onward\r\n\r\nHello\r\n"


def codes(rig: Rig, *people: str) -> list[int]:
    with smtplib.SMTP("127.0.0.1", rig.port("smtp"), "mx.origin.test") as smtp:
        smtp.ehlo()
        smtp.mail("carol@origin.test")
        return [smtp.rcpt(address)[0] for address in people]


def test_a_script_is_taken_by_a_reload_and_a_broken_one_is_not(tmp_path: pathlib.Path) -> None:
    settings = ("limits.profile=off", "msgauth.enabled=off")
    with Rig(tmp_path, settings=settings, workers=1) as rig:
        script = rig.directory / "policy.sieve"
        script.write_text(example().replace("board", "alice"))
        rig.run("sieve", "compile", "--policy", str(script))
        assert codes(rig, "alice@example.test") == [250]
        rig.verb("config", "set", "policy.scripts", "rcpt=policy.sieve,data=policy.sieve")
        rig.verb("reload")
        until(lambda: codes(rig, "alice@example.test", "bob@example.test") == [550, 250], rig)
        with smtplib.SMTP("127.0.0.1", rig.port("smtp"), "mx.origin.test") as smtp:
            smtp.sendmail("carol@origin.test", ["bob@example.test"], MAIL)
        bobs = ("bob@example.test", "secret-b")
        until(lambda: with_subject(inbox(rig, *bobs), "[outside] onward"), rig)
        script.write_text('require "vnd.a3.policy";\nrefuse 5;\n')
        for verb in ("reload", "config test"):
            done = rig.run(*verb.split(), "--dir", str(rig.directory), check=False)
            assert done.returncode == CONFIG and b"policy.sieve:2:8: " in done.stderr + done.stdout, done
        assert codes(rig, "alice@example.test", "bob@example.test") == [550, 250]
