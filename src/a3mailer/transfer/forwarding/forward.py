"""What a mail gets on its way out again through an alias of ours: a reverse-path that leads through us.

Mail of a stranger that an alias sends on keeps its contents octet by octet, so that DKIM signatures stay
good; its reverse-path becomes an SRS address of ours (``srs.py``, ADR 0019), unless it is null, ours, or
without a domain. The bounces that come to such an address go on to the sender it was made of.
"""

from __future__ import annotations

from a3mailer.config.tree import Settings
from a3mailer.identity.directory import Directory
from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.errors import NoSuchAccount
from a3mailer.runtime.clock import Clock
from a3mailer.telemetry.metrics import count
from a3mailer.transfer.forwarding.srs import BadSrs, Srs


class Forwarding:
    """One object a process."""

    __slots__ = ("_clock", "_directory", "_secrets", "_srs")

    def __init__(
        self, directory: Directory, settings: Settings, clock: Clock, secrets: tuple[bytes, ...]
    ) -> None:
        """``secrets``: the SRS keys, the one to use first; the same in every process and after a restart."""
        self._directory = directory
        self._clock = clock
        self._secrets = secrets
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        domain = (settings.forward.srs_domain or settings.server.domain).lower()
        self._srs = Srs(domain, self._secrets) if domain and settings.forward.srs else None

    async def reverse_path(self, path: ReversePath) -> ReversePath:
        """The reverse-path to forward with."""
        sender = path.address
        if self._srs is None or sender is None or not sender.domain:
            return path
        if await self._directory.hosts(sender.domain):
            return path
        address = self._srs.forward(sender, self._clock.now())
        count("a3_srs_total", "too_long" if address is None else "rewritten")
        return path if address is None else ReversePath(address)

    def leads_back(self, address: Address) -> bool:
        """Is this forward-path an SRS address of ours, right or wrong?"""
        return self._srs is not None and self._srs.holds(address)

    def origin(self, address: Address) -> Address:
        """Who is behind an SRS address of ours. Errors: NoSuchAccount (forged, or older than some weeks)."""
        if self._srs is None:
            raise NoSuchAccount(str(address))
        try:
            found = self._srs.reverse(address, self._clock.now())
        except BadSrs as error:
            count("a3_srs_total", "refused")
            raise NoSuchAccount(f"{address}: {error}") from error
        count("a3_srs_total", "returned")
        return found
