"""Fuzz targets of the message index: MIME and headers, address lists, encoded words, parameters, dates."""

from a3mailer.mail.message import (
    addresses,
    dates,
    envelope,
    headers,
    html,
    limits,
    parameters,
    searched,
    subject,
    text,
    words,
)
from tests.fragments import check_index
from tests.fuzz import mutate
from tests.unit.mail.mails import CALENDAR, DEEP, DIGEST, HTML, NESTED, PLAIN, SIGNED

MAILS = (NESTED, PLAIN, HTML, DIGEST, SIGNED, CALENDAR, DEEP)
MIME_TOKENS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\r\n ",
    b"--b1",
    b"--b1\r\n",
    b"\r\n--b1--\r\n",
    b"--b2",
    b"\r\n--level4\r\n",
    b"\r\n--level5--\r\n",
    b"\r\n--",
    b"--",
    b"Content-Type: multipart/mixed; boundary=b1\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Type: multipart/digest; boundary=b2\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"charset=utf-7",
    b"charset=iso-2022-jp\r\n",
    b"name*0*=utf-8''%e2%82",
    b"name*1=x;",
    b"=?utf-8?B?w6k=?=",
    b"=?x?q?=",
    b"To: ",
    b"From: a@b\r\n",
    b"Subject: ",
    b"<a@b>",
    b"group:;",
    b'"',
    b"\\",
    b"(",
    b")",
    b"{10}",
    b"<",
    b">",
    b"\0",
    b"\xff",
    b"\xc0\xaf",
)


def full(octets: bytes) -> None:
    found = check_index(octets)
    for part in found.parts[:20]:
        if part.media.startswith(b"text/"):
            text.decoded_text(octets, part).encode()
    found.header_fields(octets, frozenset((b"subject",)), negate=True)


def what_is_searched(octets: bytes) -> None:
    found = check_index(octets)
    seen = searched.searched(octets, found)
    block = octets[: found.header_end]
    lines = block.replace(b"\r\n", b"\n").replace(b"\n ", b" ").replace(b"\n\t", b" ").rstrip(b"\n")
    assert seen.header == "".join(searched._lines(lines.split(b"\n")))  # the quick way is the same
    for text_seen in seen:
        text_seen.encode()
        assert "  " not in text_seen
    for name in (b"subject", b"x:", b"content-type"):
        searched.values(seen.header, name.decode())


@mutate.CASES
def test_any_octets_have_a_text_that_is_searched(count: int, seed: int) -> None:
    mutate.run(what_is_searched, MAILS, count=count, seed=seed, tokens=MIME_TOKENS)


def shown_html(octets: bytes) -> None:
    shown = html.html_text(octets.decode("utf-8", "replace"))
    shown.encode()
    assert "NEEDLE" in html.html_text(f"<p>NEEDLE<b>{shown.replace('<', '')}")


@mutate.CASES
def test_any_octets_are_html(count: int, seed: int) -> None:
    seeds = (
        b"<html><head><style>a{}</style></head>caf&eacute; <b>b</b>old<br>x &lt;y</body>",
        b'<!-- a --><script>if (a<b) {}</script>text<a href="x>y">link</a>&#x41;&amp;amp;',
    )
    tokens = (b"<!--", b"-->", b"<script", b"</script", b"<style>", b"<", b">", b"&#", b";", b"</b>", b"<td ")
    mutate.run(shown_html, seeds, count=count, seed=seed, tokens=tokens)


@mutate.CASES
def test_any_octets_have_an_index(count: int, seed: int) -> None:
    mutate.run(full, MAILS, count=count, seed=seed, tokens=MIME_TOKENS)


ADDRESSES = (
    b'"Foo, \\"Bar\\"" <foo@example.com>, a@b (comment (nested \\) )), grp: x@y, <@r,@s:z@w>;',
    b"=?utf-8?q?=C3=A9?= <e@f>, g:;",
    b"undisclosed-recipients:;",
    b'"a b"@[IPv6:::1], a . b @ c . d, <<x@y>>, Foo <a@b, Bar <c@d>',
)


def address_list(octets: bytes) -> None:
    entries = addresses.parse(octets)
    assert entries == addresses.parse_general(octets, limits.ADDRESSES)
    value = headers.unfold(octets)
    general, _ = envelope.general_list(value, limits.ADDRESSES)
    quick = envelope.address_list(value, envelope.AddressRoom())
    assert quick == (b"(%b)" % b"".join(general) if general else b"NIL")
    assert sum(1 for _ in addresses.mailboxes(entries)) <= 1000
    for address in addresses.mailboxes(entries):
        address.name.encode()
        address.addr_spec.encode()


@mutate.CASES
def test_any_octets_are_an_address_list(count: int, seed: int) -> None:
    tokens = [bytes((c,)) for c in b'"()<>,;:@[]\\. \t\r\n'] + [b"a@b", b"=?utf-8?q?=41?="]
    mutate.run(address_list, ADDRESSES, count=count, seed=seed, tokens=tokens)


def header_value(octets: bytes) -> None:
    value = headers.unfold(octets)
    decoded = words.decode_words(value)
    decoded.encode()
    base, _ = subject.base_subject(decoded)
    assert len(base) <= len(decoded)
    media, pairs = parameters.parse(value)
    assert media == media.lower()
    parameters.text_of(pairs, b"name").encode()
    date = dates.parse(value)
    assert date is None or dates.parse(dates.format_date(date).encode()) == date


@mutate.CASES
def test_any_octets_are_a_header_value(count: int, seed: int) -> None:
    seeds = (
        b"=?utf-8?q?Re:_h=C3=A9llo?= =?utf-8?b?d8O2cmxk?= [fwd: Re[2]: [list] x (fwd)]",
        b"=?iso-2022-jp?B?GyRCJUYlOSVIGyhC?= =?utf-7?q?+AGEAYgBj-?=",
        b"multipart/mixed; boundary=\"a b\"; charset*=utf-8'en'%c3%a9; name*0=a; name*1*=%20b",
        b"Sat, 21 Nov 2026 10:00:00 +0100 (CET)",
        b"21-Nov-26 10:00 EST",
    )
    tokens = (
        b"=?",
        b"?=",
        b"?q?",
        b"?B?",
        b"*",
        b"*0*=",
        b";",
        b"=",
        b'"',
        b"%",
        b"'",
        b"Re:",
        b"[fwd:",
        b"]",
        b":",
    )
    mutate.run(header_value, seeds, count=count, seed=seed, tokens=tokens)
