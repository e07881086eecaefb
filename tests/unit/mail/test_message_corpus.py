"""Real mail from a corpus beside the checkout, or mails written out, read as the standard library does."""

import email
import email.message
import email.policy
import email.utils
import pathlib
import tarfile
from collections.abc import Iterator

import zstandard

from a3mailer.mail.message import MessageIndex, encodings
from tests.fragments import check_index
from tests.unit.mail import mails

CORPUS = pathlib.Path(__file__).parents[4] / "shared" / "corpora" / "dev-ai-mail.tar.zst"
MAILS = 600


def real_mails() -> Iterator[bytes]:
    """Every fourth mail of the corpus, or the ones written out."""
    if not CORPUS.exists():
        yield from (mails.NESTED, mails.PLAIN, mails.HTML, mails.DIGEST, mails.SIGNED, mails.CALENDAR)
        return
    with (
        CORPUS.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as plain,
        tarfile.open(fileobj=plain, mode="r|") as archive,
    ):
        for number, member in enumerate(archive):
            content = archive.extractfile(member) if member.isfile() and number % 4 == 0 else None
            if content is not None:
                yield content.read()
            if number == 4 * MAILS:
                return


def walk(mail: email.message.Message) -> list[email.message.Message]:
    found: list[email.message.Message] = []
    pending = [mail]
    while pending:
        part = pending.pop()
        found.append(part)
        if part.is_multipart():
            pending += reversed(part.get_payload())  # type: ignore[arg-type]
    return found


def same_parts(octets: bytes, found: MessageIndex, expected: list[email.message.Message]) -> bool:
    if [part.media.decode("latin-1") for part in found.parts] != [
        part.get_content_type() for part in expected
    ]:
        return False
    return all(
        theirs.is_multipart()
        or encodings.decode(octets[ours.body : ours.end], ours.encoding) == theirs.get_payload(decode=True)
        for ours, theirs in zip(found.parts, expected, strict=True)
    )


def test_real_mail_reads_as_the_standard_library_reads_it() -> None:
    """All but a few: damaged mails are read in more than one way."""
    total = different = dates = 0
    for octets in real_mails():
        found = check_index(octets)
        assert found.truncated == ()
        mail = email.message_from_bytes(octets)
        total += 1
        different += not same_parts(octets, found, walk(mail))
        try:
            date = int(email.utils.parsedate_to_datetime(str(mail["date"])).timestamp())
        except (TypeError, ValueError):
            date = None
        dates += date != found.date
    assert total >= 6
    assert different <= total // 100
    assert dates <= total // 100
