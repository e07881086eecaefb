"""Columns as they were before messages were expunged."""

from array import array

from a3mailer.access.columns import put_back
from a3mailer.mail.flags import DELETED, SEEN
from a3mailer.store.rows import Columns


def test_flags_that_are_put_back_are_an_octet_each() -> None:
    """They were eight: the flags of a large mailbox were those of other messages, or none."""
    now = Columns(array("Q", (1, 3)), bytearray((SEEN, DELETED)), {}, *(array("Q", (7, 8)) for _ in range(3)))
    before = put_back(now, 4, [2], [])
    assert list(before.uids) == [1, 2, 3]
    assert before.flags == bytearray((SEEN, 0, DELETED))
