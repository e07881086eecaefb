"""Command lines (RFC 5321 section 4.1.1) into events. One table, one parser a verb. Errors: Rejected."""

from __future__ import annotations

import base64
import binascii
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.wire.smtp import events as ev
from a3mailer.wire.smtp import parameters as par
from a3mailer.wire.smtp import paths
from a3mailer.wire.smtp import replies as say
from a3mailer.wire.smtp.promises import asks_of
from a3mailer.wire.smtp.replies import Rejected

MAX_HELLO: Final = 255
MAX_MECHANISM: Final = 20
"""RFC 4422 section 3.1."""
MAX_CHUNK_DIGITS: Final = 20
_MECHANISM: Final = (string.ascii_letters + string.digits + "-_").encode()
_SEVEN_BIT: Final = bytes(range(128)) + b"?" * 128
_WEB: Final = frozenset({b"GET", b"POST", b"PUT", b"CONNECT", b"OPTIONS", b"HEAD", b"HOST:", b"PRI"})


@dataclass(frozen=True, slots=True)
class ChunkStart:
    """BDAT (RFC 3030 section 2): so many octets follow. Inside the engine only."""

    size: int
    last: bool


def _nothing(argument: bytes) -> None:
    if argument:
        raise Rejected(say.NO_ARGUMENT)


# ehlo = "EHLO" SP ( Domain / address-literal ) CRLF        ; helo = "HELO" SP Domain CRLF
def _hello(argument: bytes, *, extended: bool) -> ev.Hello:
    # QUIRK: names that are no Domain (underscores, bare addresses, the 8-bit name of somebody's laptop) are
    # common and harmless (tests/transcripts/smtp/hello.transcript); octets above 127 become question marks
    name = argument.strip().translate(_SEVEN_BIT)
    if not name or len(name) > MAX_HELLO or b" " in name:
        raise Rejected(say.SYNTAX)
    text = name.decode("ascii")
    if not text.isprintable():
        raise Rejected(say.SYNTAX)
    return ev.Hello(text, extended)


def parse_ehlo(argument: bytes) -> ev.Hello:
    """EHLO and LHLO."""
    return _hello(argument, extended=True)


def parse_helo(argument: bytes) -> ev.Hello:
    """HELO."""
    return _hello(argument, extended=False)


def _path(argument: bytes, keyword: bytes, bad: say.Reply) -> tuple[bytes, bytes]:
    if argument[: len(keyword)].upper() != keyword:
        raise Rejected(say.SYNTAX)
    try:
        # QUIRK: a space after the colon is not in the grammar and is sent by many devices
        return paths.split_path(argument[len(keyword) :].lstrip(b" "))
    except paths.BadPath:
        raise Rejected(bad) from None


# mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
def parse_mail(argument: bytes) -> ev.MailFrom:
    """MAIL."""
    inner, rest = _path(argument, b"FROM:", say.BAD_REVERSE_PATH)
    reverse_path = NULL_PATH if not inner else ReversePath(_mailbox(inner, say.BAD_REVERSE_PATH))
    if not rest:
        if not inner.isascii():
            raise Rejected(say.NEED_SMTPUTF8)
        return ev.MailFrom(Envelope(reverse_path))
    found = par.split_parameters(rest, par.MAIL_PARAMETERS)
    par.check_auth(found)
    smtputf8 = par.smtputf8_of(found)
    if not (smtputf8 or inner.isascii()):
        raise Rejected(say.NEED_SMTPUTF8)
    envelope = Envelope(
        reverse_path,
        (),
        par.body_of(found),
        smtputf8,
        par.size_of(found),
        par.return_content_of(found),
        par.envelope_id_of(found),
        tls=par.tls_of(found),
    )
    return ev.MailFrom(envelope, asks_of(found))


def _mailbox(inner: bytes, bad: say.Reply, *, postmaster: bool = False) -> Address:
    try:
        return paths.parse_mailbox(inner, postmaster=postmaster)
    except paths.BadPath:
        raise Rejected(bad) from None


# rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] CRLF
def parse_rcpt(argument: bytes) -> ev.RcptTo:
    """RCPT. Whether a non-ASCII address is allowed depends on MAIL: the engine's rule."""
    inner, rest = _path(argument, b"TO:", say.BAD_FORWARD_PATH)
    address = _mailbox(inner, say.BAD_FORWARD_PATH, postmaster=True)
    if not rest:
        return ev.RcptTo(Recipient(address))
    found = par.split_parameters(rest, par.RCPT_PARAMETERS)
    return ev.RcptTo(Recipient(address, par.notify_of(found), par.original_of(found)))


def parse_data(argument: bytes) -> ev.Data:
    """DATA."""
    _nothing(argument)
    return ev.Data()


# bdat-cmd ::= "BDAT" SP chunk-size [ SP end-marker ] CRLF    ; chunk-size ::= 1*DIGIT, end-marker ::= "LAST"
def parse_bdat(argument: bytes) -> ChunkStart:
    """BDAT."""
    words = argument.split()
    if not 1 <= len(words) <= 2 or not words[0].isdigit() or len(words[0]) > MAX_CHUNK_DIGITS:
        raise Rejected(say.SYNTAX)
    if len(words) == 2 and words[1].upper() != b"LAST":
        raise Rejected(say.SYNTAX)
    return ChunkStart(int(words[0]), len(words) == 2)


def parse_rset(argument: bytes) -> ev.Reset:
    """RSET."""
    _nothing(argument)
    return ev.Reset()


def parse_noop(argument: bytes) -> ev.Noop:
    """NOOP; its argument is ignored (RFC 5321 section 4.1.1.9)."""
    return ev.Noop()


def parse_vrfy(argument: bytes) -> ev.Verify:
    """VRFY."""
    if not argument:
        raise Rejected(say.SYNTAX)
    return ev.Verify()


def parse_help(argument: bytes) -> ev.Help:
    """HELP, with or without a topic."""
    return ev.Help()


def parse_quit(argument: bytes) -> ev.Quit:
    """QUIT."""
    _nothing(argument)
    return ev.Quit()


def parse_starttls(argument: bytes) -> ev.StartTls:
    """STARTTLS."""
    _nothing(argument)
    return ev.StartTls()


# auth-command = "AUTH" SP sasl-mech [SP initial-response] ; initial-response = base64 / "="
def parse_auth(argument: bytes) -> ev.Auth:
    """AUTH."""
    words = argument.split()
    if not 1 <= len(words) <= 2 or len(words[0]) > MAX_MECHANISM or words[0].translate(None, _MECHANISM):
        raise Rejected(say.SYNTAX)
    mechanism = words[0].decode("ascii").upper()
    if len(words) == 1:
        return ev.Auth(mechanism, None)
    return ev.Auth(mechanism, b"" if words[1] == b"=" else decode_base64(words[1]))


def decode_base64(octets: bytes) -> bytes:
    """Strict (RFC 4648 section 3.3). Errors: Rejected."""
    try:
        return base64.b64decode(octets, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected(say.AUTH_DECODE) from None


def parse_expn(argument: bytes) -> ev.Event:
    """EXPN: lists are not expanded for strangers."""
    raise Rejected(say.NOT_IMPLEMENTED)


COMMANDS: Final[dict[bytes, Callable[[bytes], ev.Event | ChunkStart]]] = {
    b"EHLO": parse_ehlo,
    b"HELO": parse_helo,
    b"MAIL": parse_mail,
    b"RCPT": parse_rcpt,
    b"DATA": parse_data,
    b"BDAT": parse_bdat,
    b"RSET": parse_rset,
    b"NOOP": parse_noop,
    b"VRFY": parse_vrfy,
    b"EXPN": parse_expn,
    b"HELP": parse_help,
    b"QUIT": parse_quit,
    b"STARTTLS": parse_starttls,
    b"AUTH": parse_auth,
}
"""RFC 5321 section 4.5.1 and the extensions we offer. SEND, SOML, SAML, TURN are gone."""
LMTP_COMMANDS: Final = {b"LHLO": parse_ehlo} | {
    verb: parse for verb, parse in COMMANDS.items() if verb not in (b"EHLO", b"HELO")
}
"""RFC 2033 section 4.1: LHLO and neither EHLO nor HELO."""


def parse_command(
    line: bytes, commands: dict[bytes, Callable[[bytes], ev.Event | ChunkStart]]
) -> ev.Event | ChunkStart:
    """One line without its CRLF. Errors: Rejected."""
    verb, _, argument = line.partition(b" ")
    verb = verb.upper()
    parse = commands.get(verb)
    if parse is None:
        verb = verb.rstrip(b" \t")
        parse = commands.get(verb)
        if parse is None:
            raise Rejected(say.OTHER_PROTOCOL if verb in _WEB else say.NOT_RECOGNISED)
    # trailing white space is tolerated (RFC 5321 section 4.1.1)
    return parse(argument.rstrip(b" \t"))
