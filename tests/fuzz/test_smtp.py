"""Fuzz targets of SMTP: the server's and the client's engine, command lines, contents out, PROXY headers."""

from __future__ import annotations

import random
import zlib

from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.proxy import SIGNATURE, parse_proxy
from a3mailer.wire.smtp import client as cl
from a3mailer.wire.smtp import commands, paths
from a3mailer.wire.smtp import events as ev
from a3mailer.wire.smtp.content import DataEncoder
from a3mailer.wire.smtp.engine import Engine, Offer, State
from a3mailer.wire.smtp.replies import Rejected, Reply
from tests.fuzz import mutate

OK, GO = Reply(250, "2.0.0", "ok"), Reply(354, "", "go on")
CHALLENGE, WELCOME = Reply(334, "", "eA=="), Reply(235, "2.7.0", "welcome")

# --- the server's engine ------------------------------------------------------------------------------

SESSIONS = (
    b"EHLO a.example\r\nMAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME\r\n"
    b"RCPT TO:<c@d.example> NOTIFY=NEVER\r\nDATA\r\nSubject: x\r\n\r\n..y\r\n.\r\nQUIT\r\n",
    b"EHLO a\r\nMAIL FROM:<> BODY=BINARYMIME RET=HDRS ENVID=q+2B\r\nRCPT TO:<c@d> ORCPT=rfc822;c+40d\r\n"
    b"BDAT 4\r\n.\r\n.BDAT 0\r\nBDAT 2 LAST\r\n\r\nNOOP\r\n",
    b"EHLO a\r\nAUTH PLAIN AGEAYg==\r\nAUTH LOGIN\r\neA==\r\n*\r\n"
    b"MAIL FROM:<j\xc3\xbc@b> SMTPUTF8\r\nRSET\r\n",
    b'HELO a\r\nMAIL FROM:<"a b"@[192.0.2.1]>\r\nRCPT TO:<@x,@y:c@[IPv6:::1]>\r\n'
    b"RCPT TO:<Postmaster>\r\nDATA\r\n.\r\n",
    b"EHLO a\r\nMAIL FROM:<a@b> MT-PRIORITY=-4 BY=+120;RT HOLDFOR=60 REQUIRETLS\r\nRSET\r\n"
    b"MAIL FROM:<a@b> HOLDUNTIL=2030-02-28T01:02:03.5+01:00\r\n",
    b"STARTTLS\r\nEHLO x\r\nVRFY x\r\nHELP\r\nEXPN x\r\nNOOP x\r\nDATA\r\nRSET\r\n",
)
TOKENS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\r.\r",
        b".",
        b"..",
        b" ",
        b":",
        b"<",
        b">",
        b"@",
        b'"',
    ),
    *(
        b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<c@d>\r\n",
        b"DATA\r\n",
        b"BDAT ",
        b" LAST",
        b"EHLO a\r\n",
        b"QUIT\r\n",
    ),
    *(
        b"AUTH PLAIN",
        b"=",
        b"*\r\n",
        b"SMTPUTF8",
        b"SIZE=",
        b"BODY=",
        b"+2B",
        b"\xc3\xa4",
        b"\xff",
        b"\\",
        b"[",
        b"]",
    ),
)
OFFER = Offer("mx", 2000, 100, 100, starttls=True, mechanisms=("PLAIN", "LOGIN"))


def play(chunks: list[bytes]) -> tuple[bytes, list[bytes], State]:
    """(all replies, the contents taken, the state): what must not depend on the chunks."""
    engine, out, contents, content, challenged = Engine(OFFER), [], [], b"", False
    for chunk in chunks:
        engine.receive(chunk)
        while (event := engine.next_event()) is not None:
            reply = OK
            match event:
                case ev.Content(octets, last, oversize):
                    content += octets
                    if not last:
                        continue
                    contents.append(b"" if oversize else content)
                    content = b""
                case ev.Chunk(octets):
                    content += octets
                case ev.Refused(refusal):
                    assert refusal.code >= 400
                    reply = refusal
                case ev.Data():
                    reply = GO
                case ev.Auth() | ev.AuthResponse():
                    challenged = not challenged
                    reply = CHALLENGE if challenged else WELCOME
                case ev.MailFrom() | ev.Hello() | ev.Reset():
                    content = b""
            out.append(engine.reply(reply))
    return b"".join(out), contents, engine.state


def server(octets: bytes) -> None:
    octets = octets.replace(b"STARTTLS", b"STARTTLZ")  # what follows it depends on the segment, rightly
    whole = play([octets])
    rng = random.Random(zlib.crc32(octets))
    cuts = sorted(rng.randrange(len(octets) + 1) for _ in range(8))
    pieces = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    assert play(pieces) == whole
    said, contents, _ = whole
    assert said.endswith(b"\r\n") or not said
    assert sum(map(len, contents)) <= len(octets)


@mutate.CASES
def test_any_octets_are_a_session(count: int, seed: int) -> None:
    mutate.run(server, SESSIONS, count=count, seed=seed, tokens=TOKENS)


# --- command lines --------------------------------------------------------------------------------------

LINES = (
    b"MAIL FROM:<a.b+c@d-e.example> SIZE=1 BODY=7BIT AUTH=<> RET=FULL ENVID=x",
    b'RCPT TO:<"q \\" \\\\ @ > z"@[IPv6:2001:db8::1]> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b',
    "RCPT TO:<@a.example,@[IPv6:::1]:grüße@bücher.example>".encode(),
    b"AUTH SCRAM-SHA-256 biwsbj1hLHI9Yg==",
    b"EHLO [IPv6:::1]",
    b"BDAT 12345 LAST",
)


def line(octets: bytes) -> None:
    for table in (commands.COMMANDS, commands.LMTP_COMMANDS):
        try:
            event = commands.parse_command(octets[: 1 << 13], table)
        except Rejected as error:
            assert error.reply.octets.count(b"\r\n") == 1
            continue
        if isinstance(event, ev.RcptTo) and event.recipient.address.domain:
            address = event.recipient.address
            assert paths.parse_mailbox(paths.encode_mailbox(address)) == address


@mutate.CASES
def test_any_octets_are_a_command_line(count: int, seed: int) -> None:
    mutate.run(line, LINES, count=count, seed=seed, tokens=TOKENS)


# --- the client's engine --------------------------------------------------------------------------------

OFFERS = b"250-x\r\n250-PIPELINING\r\n250-SIZE 9999\r\n250-8BITMIME\r\n250-DSN\r\n250-LIMITS RCPTMAX=9\r\n"
EHLO = b"220 x\r\n" + OFFERS
SERVERS = (
    EHLO + b"250 SMTPUTF8\r\n250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n250 2.0.0 done\r\n221 bye\r\n",
    EHLO
    + b"250 STARTTLS\r\n220 go\r\n"
    + OFFERS
    + b"250 CHUNKING\r\n550 no\r\n503 no\r\n503 no\r\n250 ok\r\n",
    b"220-a\r\n220 b\r\n500 what\r\n250 x\r\n250 ok\r\n250 ok\r\n452 4.5.3 later\r\n354 go\r\n421 bye\r\n",
    b"220 x LMTP\r\n"
    + OFFERS
    + b"250 CHUNKING\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 a\r\n550 b\r\n",
)
REPLIES = (
    *(
        b"250 ok\r\n",
        b"250-",
        b"354 go\r\n",
        b"421 4.3.2 bye\r\n",
        b"550 5.1.1 no\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
    ),
    *(
        b"250-PIPELINING\r\n",
        b"250-CHUNKING\r\n250-BINARYMIME\r\n",
        b"250 STARTTLS\r\n",
        b"220 ",
        b"552 x\r\n",
        b"9",
    ),
)
ENVELOPE = Envelope(
    ReversePath(Address("a", "b.example")),
    (Recipient(Address("c", "d.example")), Recipient(Address("e", "d.example"))),
)


def client(octets: bytes) -> None:
    for lmtp, binary in ((False, False), (True, False), (False, True)):
        converse(cl.ClientEngine("mx", lmtp=lmtp), octets, cl.Outgoing(ENVELOPE, 10, False, False, binary))


def converse(engine: cl.ClientEngine, octets: bytes, mail: cl.Outgoing) -> None:
    """Send mails until the server ends it or runs out of words: each mail has one answer a recipient."""
    sent = finished = ended = 0
    engine.receive(octets)
    while True:
        try:
            event = engine.next_event()
        except RemoteProtocolError:
            assert engine.ended
            continue
        engine.octets_to_send()
        match event:
            case cl.StartHandshake():
                engine.secured()
            case cl.Ready() if sent < 50:
                sent += 1
                engine.send(mail)
            case cl.Ready():
                engine.quit()
            case cl.SendContent():
                engine.content_sent()
            case cl.Finished(outcomes):
                finished += 1
                assert len(outcomes) == 2
            case cl.Ended():
                ended += 1
            case None if engine.ended:
                break
            case None:
                engine.lost("no more octets")
    assert (finished, ended) == (sent, 1)


@mutate.CASES
def test_any_octets_are_a_server(count: int, seed: int) -> None:
    mutate.run(client, SERVERS, count=count, seed=seed, tokens=REPLIES)


# --- contents out, PROXY headers --------------------------------------------------------------------------

CONTENTS = (b"a: b\r\n\r\n.c\r\n", b"a\n.\n.\r\nb\r.\r", b"x" * 3000, b"\r\n.\r\n", b"\0\xff.\n")


def content(octets: bytes) -> None:
    rng = random.Random(zlib.crc32(octets))
    encoder, sent, at = DataEncoder(), b"", 0
    while at < len(octets):
        step = rng.choice((1, 2, 100, 5000))
        sent += encoder.feed(octets[at : at + step])
        at += step
    sent += encoder.finish()
    lines = sent.split(b"\r\n")
    assert max(map(len, lines)) <= 999
    assert lines[-2:] == [b".", b""] and b"." not in lines[:-2]
    assert b"\r" not in b"".join(lines) and b"\n" not in b"".join(lines)


@mutate.CASES
def test_any_octets_are_one_mail_to_the_next_server(count: int, seed: int) -> None:
    mutate.run(content, CONTENTS, count=count, seed=seed, tokens=TOKENS)


PROXIES = (
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 25\r\n",
    b"PROXY TCP6 ::1 ::2 1 2\r\n",
    SIGNATURE + b"\x21\x11\x00\x0c" + bytes(12),
    SIGNATURE + b"\x21\x21\x00\x24" + bytes(36),
)


def proxy(octets: bytes) -> None:
    header = parse_proxy(octets)
    assert header is None or 0 < header.length <= len(octets)


@mutate.CASES
def test_any_octets_are_a_proxy_header(count: int, seed: int) -> None:
    mutate.run(proxy, PROXIES, count=count, seed=seed, allowed=(RemoteProtocolError,))
