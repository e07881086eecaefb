"""What a session knows of who watches mailboxes for it (``notifying.py``, RFC 5465)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from a3mailer.store.operations import Operation, Result


class Notifier(Protocol):
    """Set up by NOTIFY or ENABLE METADATA; a session without one pays nothing."""

    @property
    def restless(self) -> bool:
        """Whether there is something to tell, as far as that is known without reading."""
        ...

    @property
    def topics(self) -> tuple[tuple[int, int], ...]:
        """What wakes a parked session, besides the selected mailbox; the same until ``rest`` is called."""
        ...

    @property
    def follows_rights(self) -> bool:
        """Whether it has to look again when rights change."""
        ...

    def rest(self) -> None:
        """The session is about to be parked."""
        ...

    def listen(self, nudge: Callable[[], None] | None) -> None:
        """Who is to be called when there may be news."""
        ...

    async def tell(self, *, expunges: bool) -> None:
        """Write what happened. Errors: Ended."""
        ...

    async def wait(self) -> None:
        """Between commands: wait for octets, and tell what happens. Errors: ConnectionLost, Ended."""
        ...

    async def absorb(self, operations: Iterable[Operation], results: Iterable[Result]) -> None:
        """The session itself did this."""
        ...

    def close(self) -> None:
        """No more."""
        ...
