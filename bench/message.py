"""How many microseconds of CPU does the message index take, beside the standard library's parse alone?"""

import base64
import email.message
import email.parser
import email.policy
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from a3mailer.mail.message import MessageIndex, index
from bench.mails import Maker, corpus
from bench.report import Options, Report, Row, below, main

CORPUS_MAILS: Final = 3_000
SEPARATE: Final = 200_000  # octets; a larger mail of the corpus is left out of the mean
GOAL: Final = 45.0
LARGE_GOAL: Final = 1_000.0
WORDS: Final = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "mail",
    "with",
    "for",
    "that",
    "server",
    "on",
    "be",
    "as",
)


def written(size: int, seed: int, *, html: bool) -> bytes:
    """A mail as a mail program writes it: one text, or a text and the same in HTML."""
    draw = random.Random(seed)
    mail = email.message.EmailMessage(policy=email.policy.SMTP)
    for number in range(4):
        mail["Received"] = (
            f"from a{number}.example.com (a{number}.example.com [192.0.2.{number}]) by mx.example.org with "
            f"ESMTPS id {draw.randrange(1 << 60):x}; Sat, 21 Nov 2026 10:00:0{number} +0100"
        )
    mail["From"] = "Alice Example <alice@example.com>"
    mail["To"] = '"Bob, of the Example" <bob@example.org>'
    mail["Cc"] = "carol@example.net, Dave <dave@example.net>"
    mail["Subject"] = "Re: a mail of the usual size"
    mail["Date"] = "Sat, 21 Nov 2026 10:00:00 +0100"
    mail["Message-ID"] = f"<{draw.randrange(1 << 60):x}@example.com>"
    mail["References"] = "<first@example.com> <second@example.org>"
    mail["In-Reply-To"] = "<second@example.org>"
    lines: list[str] = []
    left = size - 1_300
    while left > 0:
        lines.append(" ".join(draw.choices(WORDS, k=14)))
        left -= (len(lines[-1]) + 2) * (2 if html else 1)
    mail.set_content("\n".join(lines) + "\n")
    if html:
        mail.add_alternative("<html><body>\n" + "<br>\n".join(lines) + "</body></html>\n", subtype="html")
    return mail.as_bytes()


def with_attachment(size: int, seed: int) -> bytes:
    """A mail whose octets are nearly all base64."""
    mail = email.message.EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.org", "large"
    mail.set_content("see the attachment\n")
    content = random.Random(seed).randbytes(len(base64.b64decode("AAAA")) * size // 4)
    mail.add_attachment(content, maintype="application", subtype="pdf", filename="large.pdf")
    return mail.as_bytes()


def cost(target: Callable[[bytes], object], mails: Sequence[bytes], repeats: int) -> float:
    """Microseconds of CPU a mail, the best of several passes over all."""
    best = float("inf")
    for _ in range(repeats):
        before = time.process_time()
        for mail in mails:
            target(mail)
        best = min(best, time.process_time() - before)
    return best / len(mails) * 1e6


def parsed(octets: bytes) -> object:
    """What the standard library makes of a mail, header values undecoded."""
    return email.parser.BytesParser(policy=email.policy.compat32).parsebytes(octets)


def measure(chosen: Options, report: Report) -> None:
    """Mails written here, then real ones where a corpus lies beside the checkout."""
    repeats = 3 if chosen.smoke else 9
    again = 20 if chosen.smoke else 300
    plain, html = written(6_700, chosen.seed, html=False), written(6_700, chosen.seed, html=True)
    large = with_attachment(1 << 20, chosen.seed)
    maker = Maker(chosen.seed)
    delivered = [maker.mail(b"user%d@example.test" % (number % 20), 4096) for number in range(again)]
    packed = index(html).pack()
    report.count(plain=len(plain), html=len(html), large=len(large), packed=len(packed))
    for name, mail in (("text of", plain), ("text and HTML of", html)):
        ours = cost(index, [mail] * again, repeats)
        peer = cost(parsed, [mail] * again, repeats) if chosen.peer else None
        report.add(below(f"index, {name} {len(mail)} octets", "us", ours, GOAL))
        report.add(Row("  beside the standard library's parse", "us", ours, peer))
    report.add(Row("index, the 4 KB mails of bench.delivery", "us", cost(index, delivered, repeats)))
    report.add(below("index, 1 MiB of base64", "us", cost(index, [large] * 5, repeats), LARGE_GOAL))
    report.add(Row("unpack", "us", cost(MessageIndex.unpack, [packed] * again, repeats)))
    real = [octets for _, octets in corpus(200 if chosen.smoke else CORPUS_MAILS, chosen.seed)]
    real = [
        octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for octets in real if len(octets) <= SEPARATE
    ]
    if real:
        mean = sum(map(len, real)) // len(real)
        peer = cost(parsed, real, 1) if chosen.peer else None
        report.count(real=len(real), mean=mean)
        report.add(Row(f"index, real mail, mean {mean} octets", "us", cost(index, real, repeats), peer))


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, rounds=1))
