"""The file of a backup: whole, sealed, and nothing of it can be changed unseen."""

import io
import random

import pytest

from a3mailer.keys.recovery import make_recovery, read_recovery
from a3mailer.ops.sealed import CHUNK, BadBackup, SealedReader, SealedWriter, is_sealed, is_whole

PRINTED, PUBLIC = make_recovery()
SECRET = read_recovery(PRINTED)
DICE = random.Random(5)
EASY, HARD = b"easy to compress " * 50_000, DICE.randbytes(3 * CHUNK)


def written(octets: bytes, public: bytes | None = PUBLIC, piece: int = 100_000) -> bytes:
    stream = io.BytesIO()
    writer = SealedWriter(stream, public)
    for at in range(0, len(octets), piece):
        writer.write(octets[at : at + piece])
    writer.finish()
    return stream.getvalue()


def read(file: bytes, secret: bytes | None = SECRET) -> bytes:
    return b"".join(SealedReader(io.BytesIO(file), secret).chunks())


@pytest.mark.parametrize("public", [PUBLIC, None])
@pytest.mark.parametrize("octets", [b"", b"x", EASY, HARD, HARD[:CHUNK], HARD[: CHUNK + 1], EASY + HARD])
def test_what_was_written_is_read(octets: bytes, public: bytes | None) -> None:
    file = written(octets, public)
    assert read(file, SECRET if public else None) == octets
    assert is_whole(io.BytesIO(file))
    assert is_sealed(io.BytesIO(file)) is (public is not None)


def test_how_it_was_written_plays_no_part() -> None:
    assert read(written(HARD, piece=7919)) == read(written(HARD, piece=1 << 22)) == HARD


def test_what_compresses_is_compressed_and_what_is_sealed_is_not_seen() -> None:
    assert len(written(EASY)) < len(EASY) // 50
    assert len(written(HARD)) < len(HARD) + 1000
    assert b"easy to compress" not in written(EASY[:100])


def test_every_changed_octet_is_seen() -> None:
    octets = HARD[:2000]
    for public, secret in ((PUBLIC, SECRET), (None, None)):
        file = written(octets, public)
        for at in range(len(file)):
            changed = bytearray(file)
            changed[at] ^= 1 << at % 8
            with pytest.raises(BadBackup):
                assert read(bytes(changed), secret) == octets
                raise AssertionError(f"octet {at} was changed unseen")
            try:
                assert not is_whole(io.BytesIO(changed)), f"octet {at}"
            except BadBackup:
                assert at < 8


@pytest.mark.parametrize("public", [PUBLIC, None])
def test_a_cut_is_seen(public: bytes | None) -> None:
    file = written(HARD, public)
    secret = SECRET if public else None
    ends = [0, 1, 7, 11, 12, 50, len(file) // 2, len(file) - 33, len(file) - 32, len(file) - 1]
    for end in ends:
        with pytest.raises(BadBackup):
            read(file[:end], secret)
    with pytest.raises(BadBackup):
        read(file + b"x", secret)
    assert not is_whole(io.BytesIO(file[: len(file) // 2]))
    assert not is_whole(io.BytesIO(file + b"x"))


def test_chunks_cannot_change_places() -> None:
    file = written(HARD)
    sealed = CHUNK + 1 + 16 + 4
    first = len(file) - 32 - (len(HARD) // CHUNK) * sealed
    swapped = bytearray(file)
    a, b = slice(first, first + sealed), slice(first + sealed, first + 2 * sealed)
    swapped[a], swapped[b] = file[b], file[a]
    with pytest.raises(BadBackup, match="chunk 0 was changed"):
        read(bytes(swapped))


def test_it_opens_with_its_own_key_only() -> None:
    file = written(b"secret")
    with pytest.raises(BadBackup, match="recovery key is needed"):
        read(file, None)
    other, _ = make_recovery()
    with pytest.raises(BadBackup, match="does not open"):
        read(file, read_recovery(other))


@pytest.mark.parametrize("octets", [b"", b"x", b"PK\x03\x04" * 20, b"A3BACK\r\n\x09" + bytes(100)])
def test_what_is_no_backup(octets: bytes) -> None:
    with pytest.raises(BadBackup):
        read(octets)
