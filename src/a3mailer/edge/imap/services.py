"""What every IMAP session of a worker shares."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from a3mailer.access.watch import Views
from a3mailer.config.tree import Settings
from a3mailer.identity.authenticator import Authenticator
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.spool import Spool
from a3mailer.store.ports import Store


@dataclass(slots=True)
class Services:
    """Built once a worker. ``settings`` is the snapshot in force: a session looks at command boundaries."""

    store: Store
    views: Views
    authenticator: Authenticator
    settings: Settings
    clock: Clock
    spool: Callable[[], Spool]
    tls: ssl.SSLContext | None = None
    """For STARTTLS; None where the server has no certificate."""
    end_point: bytes | None = None
    """The certificate's hash for channel bindings (RFC 5929)."""
