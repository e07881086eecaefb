"""Contents kept for a while: found by account and blob, bounded, gone after some sweeps."""

from a3mailer.edge.imap.contents import KEPT_OCTETS, KEPT_SWEEPS, Contents
from a3mailer.mail.ids import AccountId, BlobId

ALICE, BOB = AccountId(1), AccountId(2)


def blob(number: int) -> BlobId:
    return BlobId(number.to_bytes(16, "big"))


def test_a_content_is_found_by_its_account_only() -> None:
    contents = Contents()
    contents.keep(ALICE, blob(1), b"text")
    assert contents.find(ALICE, blob(1)) == b"text"
    assert contents.find(BOB, blob(1)) is None
    assert contents.find(ALICE, blob(2)) is None


def test_contents_are_forgotten_after_two_generations() -> None:
    contents = Contents()
    contents.keep(ALICE, blob(1), b"text")
    for _ in range(2 * KEPT_SWEEPS - 1):
        contents.sweep()
        assert contents.find(ALICE, blob(1)) == b"text"
    contents.sweep()
    assert contents.find(ALICE, blob(1)) is None


def test_no_more_than_two_generations_of_octets_are_kept() -> None:
    contents = Contents()
    size = KEPT_OCTETS // 16
    for number in range(100):
        contents.keep(ALICE, blob(number), bytes(size))
        kept = [n for n in range(number + 1) if contents.find(ALICE, blob(n)) is not None]
        assert kept == list(range(kept[0], number + 1))
        assert 0 < len(kept) * size <= 2 * KEPT_OCTETS
