"""Contents kept for a while: found by account, mailbox and uid, bounded, gone after some sweeps."""

from a3mailer.edge.imap.contents import KEPT_OCTETS, KEPT_SWEEPS, Contents, Key
from a3mailer.mail.ids import AccountId, MailboxId

ALICE, BOB = AccountId(1), AccountId(2)


def key(number: int, account: AccountId = ALICE) -> Key:
    return account, MailboxId(7), number


def test_a_content_is_found_by_its_account_only() -> None:
    contents = Contents()
    contents.keep(key(1), b"text")
    assert contents.find(key(1)) == b"text"
    assert contents.find(key(1, BOB)) is None
    assert contents.find(key(2)) is None


def test_contents_are_forgotten_after_two_generations() -> None:
    contents = Contents()
    contents.keep(key(1), b"text")
    for _ in range(2 * KEPT_SWEEPS - 1):
        contents.sweep()
        assert contents.find(key(1)) == b"text"
    contents.sweep()
    assert contents.find(key(1)) is None


def test_no_more_than_two_generations_of_octets_are_kept() -> None:
    contents = Contents()
    size = KEPT_OCTETS // 16
    for number in range(100):
        contents.keep(key(number), bytes(size))
        kept = [n for n in range(number + 1) if contents.find(key(n)) is not None]
        assert kept == list(range(kept[0], number + 1))
        assert 0 < len(kept) * size <= 2 * KEPT_OCTETS
