"""Signing: what is named, how the field is folded, and that nothing signed can change unnoticed."""

import random

import pytest

from a3mailer.mail.authresults import FAIL, PASS
from a3mailer.msgauth import canonical, fields
from a3mailer.msgauth.dkim import parse
from a3mailer.msgauth.sign import LINE, MAX_NAMES, OVERSIGNED, Form, load_key, names_to_sign
from tests.unit.msgauth.signed import MAIL, NOW, VECTORS, key, mails, pem, signed, verified, zone

FORMS = [Form(header_relaxed=a, body_relaxed=b) for a in (False, True) for b in (False, True)]
MUTATIONS = 400


def test_what_a_reader_believes_is_named_once_more_than_it_occurs() -> None:
    (own,) = fields.read(signed(MAIL, key("ed"))).all(b"dkim-signature")
    read = parse(own)
    for name in OVERSIGNED:
        assert read.names.count(name) == len(fields.read(MAIL).all(name)) + 1
    assert read.names.count(b"from") == 2 and b"received" not in read.names
    assert (read.header_relaxed, read.body_relaxed, read.length, read.signed) == (True, True, None, NOW)
    assert (read.expires, read.identity) == (None, b"@example.org")


def test_a_field_of_a_list_is_named_where_it_is() -> None:
    names = names_to_sign(fields.read(b"List-Id: <x>\r\n" + MAIL))
    assert names.count(b"list-id") == 1 and names.count(b"list-post") == 0


@pytest.mark.parametrize("selector", ["rsa", "ed"])
def test_the_field_is_folded(selector: str) -> None:
    made = signed(MAIL, key(selector), form=Form(lifetime=86400))
    (own,) = fields.read(made).all(b"dkim-signature")
    lines = own.raw.split(b"\r\n")
    assert lines.pop() == b"" and max(map(len, lines)) <= LINE
    assert all(line.startswith(b"\t") for line in lines[1:])
    assert parse(own).expires == NOW + 86400


def test_what_cannot_be_signed_safely_is_not() -> None:
    for name in ("test_nofrom.message",):
        mail = (VECTORS / name).read_bytes()
        assert signed(mail, key("ed")) == mail
    for mail in (
        b"From: a@example.org\r\n" + MAIL,
        b"To: x\r\n" * MAX_NAMES + MAIL,
        b" x\r\n" + MAIL,
        b"",
        b"\r\n",
    ):
        assert signed(mail, key("ed")) == mail


def test_a_file_that_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError):
        load_key("example.org", "x", b"junk")
    assert load_key("example.org", "x", pem("ed")).algorithm == "ed25519-sha256"


@pytest.mark.parametrize("form", FORMS)
def test_every_shape_of_mail_verifies(form: Form) -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    keys = (key("rsa"), key("ed"))
    resolver = zone(*keys)
    for mail in mails(40, seed):
        assert [r.result for r in verified(signed(mail, *keys, form=form), resolver)] == [PASS, PASS]


@pytest.mark.parametrize("form", FORMS)
def test_no_signed_octet_can_change(form: Form) -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    draw = random.Random(seed)
    signing = key("ed")
    resolver, changed = zone(signing), 0
    made = [signed(mail, signing, form=form) for mail in mails(10, seed)]
    while changed < MUTATIONS:
        mail = draw.choice(made)
        at = draw.randrange(len(mail))
        octet = bytes([draw.randrange(256)])
        other = mail[:at] + draw.choice((octet, b"", mail[at : at + 1] + octet, b"\r\n")) + mail[at + 1 :]
        same = (meaning(mail, form) == meaning(other, form)) and meaning(other, form) is not None
        result = [r.result for r in verified(other, resolver)]
        if same:
            assert result == [PASS], (at, other)
        else:
            assert result != [PASS], (at, other)
            changed += 1


def meaning(mail: bytes, form: Form) -> object:
    """What the signature vouches for, put together in another way; None where it is no longer there."""
    header = fields.read(mail)
    own = header.all(b"dkim-signature")
    if len(own) != 1:
        return None
    body = b"".join(canonical.body(mail, header.body, relaxed=form.body_relaxed))
    head, _, value = own[0].raw.rpartition(b"b=")
    dense = value.translate(None, b" \t\r\n")
    kept = [f for f in header.fields if f.name in (*OVERSIGNED, b"sender", b"auto-submitted")]
    kept.append(fields.Field(b"dkim-signature", head + b"b=\r\n"))
    raw = [canonical.relaxed_fields((f.raw,)) if form.header_relaxed else f.raw for f in kept]
    return sorted(zip((f.name for f in kept), raw, strict=True)), dense, body


def test_a_mutation_is_told_from_the_original() -> None:
    signing = key("ed")
    mail = signed(MAIL, signing)
    assert verified(mail.replace(b"Hello", b"Hallo"), zone(signing))[0].result == FAIL
    assert meaning(mail, Form()) != meaning(mail.replace(b"Hello", b"Hallo"), Form())
    assert meaning(mail, Form()) == meaning(mail.replace(b"Hello  Bob", b"Hello \t Bob"), Form())
