"""What we sign, dkimpy and opendkim verify, and the other way round: mails of every shape."""

import os
import pathlib
import random
import re
import shutil
import subprocess
import time
from types import ModuleType

import pytest

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth.sign import Form
from bench.mails import crlf
from bench.peers.dkimpy import dkimpy
from bench.peers.packages import Absent
from tests.unit.msgauth.signed import DOMAIN, key, mails, pem, record, signed, verified, zone

FORMS = [Form(header_relaxed=a, body_relaxed=b) for a in (False, True) for b in (False, True)]
WORDS = {False: "simple", True: "relaxed"}
AT_ONCE = 500
"""Mails opendkim is given in one run: their names are one argument."""
COUNT = pytest.mark.parametrize(
    "count", [pytest.param(76, id="ci"), pytest.param(1250, id="long", marks=pytest.mark.long)]
)
"""Mails a form, of which there are four."""


def peer() -> ModuleType:
    """dkimpy."""
    try:
        return dkimpy()
    except Absent as reason:
        pytest.skip(f"absent: {reason}")


def seeded(count: int) -> list[bytes]:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    # dkimpy refuses a mail with the obsolete white space before a colon (RFC 5322 section 4.5), and leaves
    # white space at the end of a last line without CRLF, which no SMTP can bring
    return [crlf(mail.replace(b"\r\nReply-To :", b"\r\nReply-To:")) for mail in mails(count, seed)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
@COUNT
def test_dkimpy_verifies_what_we_sign(form: Form, count: int) -> None:
    dkim, signing = peer(), key("rsa1024")
    text = record(signing)
    for mail in seeded(count):
        made = signed(mail, signing, form=form)
        assert dkim.verify(made, dnsfunc=lambda name, timeout=5: text), made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
@COUNT
def test_we_verify_what_dkimpy_signs(form: Form, count: int) -> None:
    dkim, signing = peer(), key("rsa1024")
    resolver = zone(signing)
    methods = (WORDS[form.header_relaxed].encode(), WORDS[form.body_relaxed].encode())
    for mail in seeded(count):
        made = dkim.sign(mail, b"rsa1024", DOMAIN.encode(), pem("rsa1024"), canonicalize=methods)
        results = verified(made + mail, resolver, now=2_000_000_000)
        assert [r.result for r in results] == [PASS], (results, made + mail)


# --- opendkim: in its test mode it reads files and says what it would tell the MTA ------------------------


def opendkim(folder: pathlib.Path, settings: str, given: list[bytes]) -> list[str]:
    """What it says of each mail."""
    program = shutil.which("opendkim", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        pytest.skip("absent: opendkim")
    configuration = folder / "opendkim.conf"
    configuration.write_text(f"Syslog no\nRequireSafeKeys no\n{settings}\n")
    paths = []
    for number, mail in enumerate(given):
        paths.append(folder / f"{number}.eml")
        paths[-1].write_bytes(mail)
    said: list[str] = []
    for at in range(0, len(paths), AT_ONCE):
        some = paths[at : at + AT_ONCE]
        command = [program, "-x", str(configuration), "-vv", "-t", ",".join(map(str, some))]
        done = subprocess.run(command, capture_output=True, timeout=280)
        assert done.returncode == 0, done.stderr
        found = done.stdout.decode("utf-8", "replace").split("### INSHEADER: ")[1:]
        assert len(found) == len(some), done.stdout
        said += found
    return said


@pytest.mark.parametrize("form", FORMS[2:])  # a milter is not told what simple needs of a header
@COUNT
def test_opendkim_verifies_what_we_sign(form: Form, count: int, tmp_path: pathlib.Path) -> None:
    keys = (key("rsa1024"), key("ed"))
    records = tmp_path / "records"
    records.write_bytes(
        b"".join(b"%b._domainkey.%b %b\n" % (k.selector.encode(), DOMAIN.encode(), record(k)) for k in keys)
    )
    made = [signed(mail, *keys, form=form, now=int(time.time())) for mail in seeded(count)]
    for said, mail in zip(opendkim(tmp_path, f"Mode v\nTestDNSData {records}", made), made, strict=True):
        assert said.count("dkim=pass") == 2 and "header.a=ed25519-sha256" in said, (said, mail)


@pytest.mark.parametrize("form", FORMS[2:])  # a milter is not told what simple needs of a header
@COUNT
def test_we_verify_what_opendkim_signs(form: Form, count: int, tmp_path: pathlib.Path) -> None:
    (tmp_path / "key.pem").write_bytes(pem("rsa1024"))
    (tmp_path / "key.pem").chmod(0o600)
    methods = f"{WORDS[form.header_relaxed]}/{WORDS[form.body_relaxed]}"
    settings = (
        f"Mode s\nDomain {DOMAIN}\nSelector rsa1024\nKeyFile {tmp_path}/key.pem\nCanonicalization {methods}"
    )
    given = seeded(count)
    resolver = zone(key("rsa1024"))
    for said, mail in zip(opendkim(tmp_path, settings, given), given, strict=True):
        found = re.search(r"hname='DKIM-Signature' hvalue='([^']*)'", said)
        assert found is not None, said
        field = "DKIM-Signature: " + found[1].replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n"
        results = verified(field.encode() + mail, resolver, now=int(time.time()))
        assert [r.result for r in results] == [PASS], (results, field, mail)
