"""Mails written out: one of each kind that the tests of the message index share."""

NESTED = b"""\
From: "Foo, Bar" <foo@example.com>
To: undisclosed-recipients:;, a@b.example, Car <c@d.example> (x)
Subject: =?utf-8?q?Re:_h=C3=A9llo?= =?utf-8?b?d8O2cmxk?=
Date: Sat, 21 Nov 2026 10:00:00 +0100
Message-ID: <x@y.example>
In-Reply-To: <c@d.example>
References: <a@b.example>
 <c@d.example>
Content-Type: multipart/mixed; boundary="b1"

This is the preamble.
--b1
Content-Type: text/plain; charset=utf-8

hello w\xc3\xb6rld
second line
--b1
Content-Type: message/rfc822

Subject: inner "q" \\ x
From: x@y.example
Content-Type: multipart/alternative; boundary=b2

--b2

one
--b2
Content-Type: text/html

<b>one</b>
--b2--

--b1
Content-Type: message/rfc822

Subject: plain inner

text of it
--b1--
The epilogue.
""".replace(b"\n", b"\r\n")

PLAIN = b"""\
Received: from a.example by b.example; Sat, 21 Nov 2026 10:00:01 +0100
From: Alice <alice@example.com>
To: Bob <bob@example.org>
Subject: Plain
Date: Sat, 21 Nov 2026 10:00:00 +0100
Message-ID: <1@example.com>

Just a few words.
""".replace(b"\n", b"\r\n")

HTML = b"""\
From: =?utf-8?B?w4lsb8Opc2U=?= <e@example.com>
To: Bob <bob@example.org>
Subject: =?iso-8859-1?Q?caf=E9?=
MIME-Version: 1.0
Content-Type: multipart/related; boundary=rel; type="text/html"

--rel
Content-Type: text/html; charset="iso-8859-1"
Content-Transfer-Encoding: quoted-printable

<html><head><title>T</title><style>p {color: red}</style></head><body><!-- no -->
<p>Un&nbsp;caf=E9 &amp; <b>d</b>eux &#8364;</p><img src=3D"cid:a@b"></body></html>
--rel
Content-Type: image/png; name="=?utf-8?q?logo.png?="
Content-Transfer-Encoding: base64
Content-ID: <a@b>
Content-Disposition: inline; filename="logo.png"

iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9
awAAAABJRU5ErkJggg==
--rel--
""".replace(b"\n", b"\r\n")

DIGEST = b"""\
From: list@example.com
Subject: a digest
Content-Type: multipart/digest; boundary="----next"

------next

From: one@example.com
Subject: first

first text
------next

From: two@example.com
Subject: second
Content-Type: text/plain; charset=iso-2022-jp

\x1b$B%F%9%H\x1b(B
------next--
""".replace(b"\n", b"\r\n")

SIGNED = b"""\
From: a@example.com
Sender: b@example.com
Reply-To: c@example.com, d@example.com
Cc: Group: e@example.com, "F" <f@example.com>;
Subject: signed
Content-Language: en, fr
Content-Type: multipart/signed; boundary=sig; protocol="application/pgp-signature"; micalg=pgp-sha256

--sig
Content-Type: multipart/mixed; boundary=mix

--mix
Content-Transfer-Encoding: base64

SGVsbG8gd29ybGQ
--mix
Content-Type: application/pdf
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename*0*=utf-8''na%C3%AFve;
 filename*1="-report.pdf"; size=3
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Location: http://example.com/r.pdf
Content-Description: the report

JVBE
--mix--
--sig
Content-Type: application/pgp-signature

-----BEGIN PGP SIGNATURE-----
--sig--
""".replace(b"\n", b"\r\n")

CALENDAR = b"""\
From: a@example.com
Subject: [list] Re: Fwd: when (fwd)
Content-Type: text/calendar; method=REQUEST; charset=utf-8
Content-Transfer-Encoding: 8bit

BEGIN:VCALENDAR
END:VCALENDAR
""".replace(b"\n", b"\r\n")


def nested_multiparts(levels: int) -> bytes:
    """A mail whose multiparts are nested, each with a text before and after the inner one, all closed."""
    inner = b"Content-Type: text/html\r\n\r\n<p>innermost</p>"
    for level in range(levels, 0, -1):
        boundary = b"level%d" % level
        inner = b"".join(
            (
                b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n" % boundary,
                b"--%b\r\n\r\nbefore %d\r\n-- \r\nsigned\r\n" % (boundary, level),
                b"--%b\r\n%b\r\n" % (boundary, inner),
                b"--%b\r\n\r\nafter %d\r\n--%b--\r\n" % (boundary, level, boundary),
            )
        )
    return b"Subject: deep\r\n" + inner


DEEP = nested_multiparts(6)
