"""Mails to send: unique and incompressible ones of any size from a seed, or real ones of a corpus."""

import pathlib
import random
import tarfile
from collections.abc import Iterator
from typing import Final

import zstandard

LINE: Final = 78  # 76 octets and CRLF
POOL_LINES: Final = 1 << 17
# every octet but NUL, CR, LF and "." (so that no line needs dot-stuffing): 252 values, 7.98 bits an octet
_ALPHABET: Final = bytes(b for b in range(256) if b not in b"\0\r\n.")
_TABLE: Final = bytes(_ALPHABET[b % len(_ALPHABET)] for b in range(256))
CORPORA: Final = pathlib.Path(__file__).parents[2] / "shared" / "corpora"


class Maker:
    """Makes mails whose contents never repeat and do not compress: lines of a random pool, a new header."""

    def __init__(self, seed: int, sender: str = "bench@load.test") -> None:
        draw = random.Random(seed)
        raw = draw.randbytes(76 * POOL_LINES).translate(_TABLE)
        self._pool = memoryview(b"".join(raw[i : i + 76] + b"\r\n" for i in range(0, len(raw), 76)))
        self._draw = draw
        self._sender = sender.encode()
        self._seed = seed
        self._count = 0

    def mail(self, recipient: bytes, size: int) -> bytes:
        """One mail of about ``size`` octets, CRLF lines, dot-stuffed (it has no dots at line starts)."""
        self._count += 1
        header = (
            b"From: <%b>\r\nTo: <%b>\r\nSubject: load %d of seed %d\r\nMessage-ID: <%d.%d@load.test>\r\n"
            b"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: text/plain; charset=x-unknown\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            % (self._sender, recipient, self._count, self._seed, self._count, self._seed)
        )
        lines = max(1, (size - len(header)) // LINE)
        pieces: list[bytes | memoryview] = [header]
        while lines > 0:
            take = min(lines, POOL_LINES // 2)
            at = self._draw.randrange(POOL_LINES - take) * LINE
            pieces.append(self._pool[at : at + take * LINE])
            lines -= take
        return b"".join(pieces)


def corpus(limit: int, seed: int) -> list[tuple[str, bytes]]:
    """Up to ``limit`` real mails as (name, octets as stored), drawn with the seed; [] when there is none."""
    archive = CORPORA / "dev-ai-mail.tar.zst"
    if not archive.exists():
        return []
    found = list(_members(archive))
    if limit > len(found):
        found += _members(CORPORA / "train-ai-mail.tar.zst")
    return random.Random(seed).sample(found, min(limit, len(found)))


def _members(archive: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    with (
        archive.open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed) as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        for member in tar:
            if member.isfile() and (content := tar.extractfile(member)):
                yield member.name, content.read()


def generated(count: int, seed: int, sender: str = "sender@example.org") -> list[tuple[str, bytes]]:
    """Stand-ins for a corpus where there is none: nested MIME, odd headers, 8-bit, long lines, dots."""
    draw = random.Random(seed)
    return [(f"generated/{n}", _odd_mail(draw, n, seed, sender.encode())) for n in range(count)]


def _odd_mail(draw: random.Random, number: int, seed: int, sender: bytes) -> bytes:
    head = [
        b"From: =?utf-8?q?S=C3=A9nder?= <%b>" % sender,
        b"To: alice@example.test",
        b"Subject: generated %d\r\n folded %s" % (number, b"x" * draw.randrange(200)),
        b"Message-ID: <%d.%d@generated.test>" % (number, seed),
        b"Date: Sun, 22 Nov 2026 12:00:00 +0000",
    ]
    if draw.random() < 0.3:
        head.append(b"X-Raw: " + bytes(draw.choices(range(128, 256), k=40)))
    body = [_odd_line(draw) for _ in range(draw.randrange(1, 120))]
    if draw.random() < 0.5:
        edge = b"=_%d" % draw.getrandbits(64)
        head += [b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="%b"' % edge]
        parts = [b"--" + edge, b"Content-Type: text/plain", b"", *body, b"--" + edge]
        body = [*parts, b"Content-Type: application/octet-stream", b"", *body, b"--" + edge + b"--"]
    return b"\r\n".join([*head, b"", *body, b""])


def _odd_line(draw: random.Random) -> bytes:
    kind = draw.randrange(8)
    if kind == 0:
        return b"." * draw.randrange(1, 4)
    if kind == 1:
        return b"." + draw.randbytes(20).hex().encode()
    if kind == 2:
        return bytes(draw.choices(_ALPHABET, k=draw.randrange(300)))
    if kind == 3:
        return b"y" * draw.randrange(900, 998)
    return draw.randbytes(draw.randrange(36)).hex().encode()


def dot_stuffed(mail: bytes) -> bytes:
    """The mail as it goes over the wire in DATA, without the final dot; line ends are CRLF already."""
    stuffed = mail.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def crlf(mail: bytes) -> bytes:
    """Line ends made CRLF, as a sending MTA does with a file; a bare CR becomes one too; ends in CRLF."""
    text = mail.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return text if text.endswith(b"\r\n") else text + b"\r\n"
