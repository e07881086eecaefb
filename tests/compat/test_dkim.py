"""What we sign, dkimpy verifies, and the other way round: mails of every shape."""

import random
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
