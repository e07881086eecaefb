"""Which certificate a worker's listeners show to whom, swapped while they serve (RFC 6066 section 3: SNI).

Listeners hold one context for good, whose tickets so outlive a swap; at each handshake it hands over to the
context of the certificate that covers the name the client asked for. Without a name, or with a stranger's, it
is the one of ``server.hostname``, or that of ``tls.certificate``.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from pathlib import Path
from time import monotonic
from typing import Final

from a3mailer.config.tree import Settings
from a3mailer.edge.tls import ServerContext, ask_clients, bare_context, server_context
from a3mailer.ops.certificates import FILE, CertificateStore, Kept, Stamp, is_current
from a3mailer.runtime.clock import Clock
from a3mailer.telemetry.events import emit

CONTEXTS: Final = 256
"""Certificates whose contexts are kept; the one used longest ago goes first."""


class ServerCertificates:
    """Of one worker. ``context`` is what listeners and STARTTLS use."""

    def __init__(self, directory: Path, settings: Settings, clock: Clock) -> None:
        """Errors: OSError when there is no certificate at all."""
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._store = CertificateStore(directory, settings)
        self._stamp: Stamp = ()
        self._again = 0.0
        self._index: dict[str, Kept] = {}
        self._taken: dict[Path, float] = {}
        self._contexts: OrderedDict[Path, tuple[Stamp, ServerContext]] = OrderedDict()
        self._default = self._look()
        self._taken.clear()  # they are the first
        self._default.since = None
        self.context: Final = bare_context()
        self.context.sni_callback = self._choose
        self.mail_context: Final = bare_context()
        """For listeners where people log in: with ``tls.client_authorities`` they may show a certificate."""
        self.mail_context.sni_callback = self._choose
        self._ask()

    def reload(self, settings: Settings) -> None:
        """New settings, and the files of ``tls.certificate`` anew. Errors: OSError; nothing changes then."""
        former = self._settings
        self._store.reconfigure(settings)
        self._settings = settings
        if former.tls.client_authorities != settings.tls.client_authorities:
            self._contexts.clear()
        try:
            self._default = self._look()
        except OSError:
            self._store.reconfigure(former)
            self._settings = former
            raise
        self._ask()

    def _ask(self) -> None:
        ask_clients(self.mail_context, asks=bool(self._settings.tls.client_authorities))

    @property
    def _authorities(self) -> Path | None:
        file = self._settings.tls.client_authorities
        return self._directory / file if file else None

    def sweep(self) -> None:
        """Once a second: take what was renewed, and let go of what has ended."""
        if self._store.stamp() == self._stamp and self._clock.now() < self._again:
            return
        try:
            self._default = self._look()
        except OSError as error:
            emit("cert.swap.failed", level="error", error=str(error))

    def shown(self, name: str) -> Kept | None:
        """The certificate a client that asks for ``name`` is shown; None where it cannot be told."""
        now = self._clock.now()
        host = self._settings.server.hostname.lower()
        given = (each for each in self._store.kept if each.source == FILE)
        return self._store.pick(name, now) or self._store.pick(host, now) or next(given, None)

    def _look(self) -> ServerContext:
        """Read what there is; the context for who names nobody. Errors: OSError."""
        now, stamp = self._clock.now(), self._store.stamp()
        former, index = self._index, self._store.look(now)
        self._stamp, self._index = stamp, index
        kept = self._store.kept
        times = [at for each in kept for at in (each.chain.begins, each.chain.ends) if at > now]
        self._again = min(times, default=now + 86_400.0)
        for fault in self._store.faults:
            emit("cert.unusable", level="error", error=fault)
        changed = {one.certificate: one for name, one in index.items() if former.get(name) is not one}
        for path, each in changed.items():
            self._taken[path] = monotonic()
            emit("cert.shown", certificate=each.name, source=each.source, ends=each.chain.ends)
        host = self._store.pick(self._settings.server.hostname.lower(), now)
        if host is not None:
            try:
                return self._context(host)
            except OSError as error:  # a key that does not fit
                emit("cert.unusable", level="error", error=f"{host.certificate}: {error}")
        tls = self._settings.tls
        certificate, key = self._directory / tls.certificate, self._directory / tls.key
        return server_context(certificate, key, self._authorities)

    def _context(self, kept: Kept) -> ServerContext:
        """Made when it is first asked for. Errors: OSError."""
        known = self._contexts.get(kept.certificate)
        if known is not None and known[0] == kept.stamp:
            self._contexts.move_to_end(kept.certificate)
            return known[1]
        made = server_context(kept.certificate, kept.key, self._authorities)
        if not is_current(kept):
            raise FileNotFoundError(f"{kept.certificate} was replaced meanwhile")
        made.since = self._taken.get(kept.certificate)
        self._contexts[kept.certificate] = kept.stamp, made
        if len(self._contexts) > CONTEXTS:
            self._contexts.popitem(last=False)
        return made

    def _choose(self, sock: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        """Within a handshake: nothing may be raised."""
        sock.context = self._for(name.lower().rstrip(".")) if name else self._default

    def _for(self, name: str) -> ServerContext:
        kept = self._store.pick(name, self._clock.now())
        if kept is None:
            return self._default
        try:
            return self._context(kept)
        except OSError as error:  # gone or replaced since the last look
            emit("cert.unusable", level="error", error=f"{kept.certificate}: {error}")
            return self._default
