"""The mails of a run, each with a line of its own on top by which it is found again.

Below that line nothing may change on the way; above it are the trace headers of the servers it passed.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from bench import mails

FIELD: Final = re.compile(rb"[ \t]|[!-9;-~]+[ \t]*:")
MARK: Final = re.compile(rb"^X-Compat: (\d+)\r?\n", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Post:
    """One mail as it goes over the wire (CRLF, not dot-stuffed), and where it came from."""

    number: int
    source: str
    octets: bytes

    @property
    def dotted(self) -> bytes:
        """The octets of DATA, dot-stuffed, with the final dot."""
        return mails.dot_stuffed(self.octets) + b".\r\n"


def draw(count: int, seed: int) -> list[Post]:
    """``count`` real mails where there is a corpus, else generated ones."""
    found = mails.corpus(count, seed)
    return marked(found + mails.generated(count - len(found), seed))


def marked(found: Iterable[tuple[str, bytes]]) -> list[Post]:
    """The mails with CRLF line ends and a line of their own on top."""
    return [
        Post(number, source, b"X-Compat: %d\r\n" % number + mails.crlf(content))
        for number, (source, content) in enumerate(found)
    ]


def postfix_keeps(post: Post) -> bool:
    """QUIRK: Postfix ends the header with an empty line at the first line that is no header field."""
    header = post.octets.partition(b"\r\n\r\n")[0]
    return all(FIELD.match(line) for line in header.split(b"\r\n"))


def dovecot_keeps(post: Post) -> bool:
    """QUIRK: Dovecot stores NUL and shows 0x80 over IMAP."""
    return b"\0" not in post.octets


FIELD_LINE = re.compile(rb"[ \t]|[!-9;-~]+[ \t]*:")
"""How a line of a header begins (RFC 5322 section 2.2)."""


def has_a_line_that_is_no_field(mail: bytes) -> bool:
    """In its header."""
    header = unix(mail).partition(b"\n\n")[0]
    return not all(map(FIELD_LINE.match, header.split(b"\n")))


def as_sent(mail: bytes) -> bytes:
    """No allowance: the octets."""
    return mail


def unix(mail: bytes) -> bytes:
    """Line ends of a Unix file, which is what a Maildir holds."""
    return mail.replace(b"\r\n", b"\n")


def without_trace(mail: bytes) -> bytes:
    """A mail as it was before the server put its own fields on top."""
    return re.sub(
        rb"\A(?:(?:Return-Path|Received|Authentication-Results):[^\r]*\r\n(?:[\t ][^\r]*\r\n)*)+", b"", mail
    )


def without(*names: bytes) -> Callable[[bytes], bytes]:
    """Unix line ends, without the header fields that a client is known to add or to drop."""
    starts = tuple(name.lower() + b":" for name in names)

    def allowance(mail: bytes) -> bytes:
        header, gap, body = unix(mail).partition(b"\n\n")
        kept: list[bytes] = []
        dropping = False
        for line in header.split(b"\n"):
            dropping = line.lower().startswith(starts) or (dropping and line[:1] in (b" ", b"\t"))
            if not dropping:
                kept.append(line)
        return b"\n".join(kept) + gap + body

    return allowance


def differences(
    sent: Iterable[Post],
    found: Sequence[bytes],
    allowance: Callable[[bytes], bytes] = as_sent,
    *,
    ends_header_early: bool = False,
) -> list[str]:
    """What is missing, there twice, strange or changed; empty when all came through.

    ``ends_header_early``: the client is known to write an empty line before a line of the header that is no
    field; mails that have one are compared without any line ends."""
    left = {post.number: post for post in sent}
    seen: set[int] = set()
    wrong: list[str] = []
    for mail in found:
        match = MARK.search(mail)
        number = int(match[1]) if match else -1
        if number in seen:
            wrong.append(f"mail {number} is there twice")
        elif match is None or number not in left:
            wrong.append(f"a mail nobody sent: {mail[:200]!r}")
        else:
            seen.add(number)
            post = left.pop(number)
            wanted, got = allowance(post.octets), allowance(mail[match.start() :])
            if ends_header_early and has_a_line_that_is_no_field(post.octets):
                wanted, got = wanted.translate(None, b"\r\n"), got.translate(None, b"\r\n")
            if got not in (wanted, wanted.replace(b"\0", b"\x80")):  # IMAP has no NUL in a literal
                wrong.append(f"mail {number} ({post.source}) changed {_where(wanted, got)}")
    return wrong + [f"mail {number} ({post.source}) is missing" for number, post in left.items()]


def _where(wanted: bytes, got: bytes) -> str:
    pairs = enumerate(zip(wanted, got, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(wanted), len(got)))
    cut = slice(max(0, at - 20), at + 40)
    return f"at octet {at} of {len(wanted)}: {wanted[cut]!r} became {got[cut]!r}"
