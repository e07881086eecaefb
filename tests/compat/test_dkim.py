"""What we sign, dkimpy verifies, and the other way round: mails of every shape."""

import importlib.util
import pathlib
import random
import sys
from types import ModuleType

import pytest

from a3mailer.mail.authresults import PASS
from a3mailer.msgauth.sign import Form
from bench.mails import crlf
from tests.unit.msgauth.signed import DOMAIN, key, mails, pem, record, signed, verified, zone

DEBIAN = pathlib.Path("/usr/lib/python3/dist-packages/dkim")
FORMS = [Form(header_relaxed=a, body_relaxed=b) for a in (False, True) for b in (False, True)]
WORDS = {False: "simple", True: "relaxed"}
COUNT = pytest.mark.parametrize(
    "count", [pytest.param(76, id="ci"), pytest.param(1250, id="long", marks=pytest.mark.long)]
)
"""Mails a form, of which there are four."""


def dkimpy() -> ModuleType:
    """Debian's python3-dkim, with nothing else of where it lies."""
    if "dkim" not in sys.modules:
        if not DEBIAN.exists():
            pytest.skip("absent: python3-dkim")
        spec = importlib.util.spec_from_file_location(
            "dkim", DEBIAN / "__init__.py", submodule_search_locations=[str(DEBIAN)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules["dkim"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["dkim"])
    return sys.modules["dkim"]


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
    dkim, signing = dkimpy(), key("rsa1024")
    text = record(signing)
    for mail in seeded(count):
        made = signed(mail, signing, form=form)
        assert dkim.verify(made, dnsfunc=lambda name, timeout=5: text), made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
@COUNT
def test_we_verify_what_dkimpy_signs(form: Form, count: int) -> None:
    dkim, signing = dkimpy(), key("rsa1024")
    resolver = zone(signing)
    methods = (WORDS[form.header_relaxed].encode(), WORDS[form.body_relaxed].encode())
    for mail in seeded(count):
        made = dkim.sign(mail, b"rsa1024", DOMAIN.encode(), pem("rsa1024"), canonicalize=methods)
        results = verified(made + mail, resolver, now=2_000_000_000)
        assert [r.result for r in results] == [PASS], (results, made + mail)
