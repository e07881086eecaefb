"""What every POP3 session of a worker shares."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from a3mailer.access.maildrop import Leases
from a3mailer.access.watch import Views
from a3mailer.config.tree import Settings
from a3mailer.identity.authenticator import Authenticator
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.shared import SharedTable
from a3mailer.store.ports import Store


@dataclass(slots=True)
class Services:
    """Built once a worker. ``settings`` is the snapshot in force: a session keeps that of its begin."""

    store: Store
    views: Views
    authenticator: Authenticator
    settings: Settings
    clock: Clock
    leases: Leases
    logins: SharedTable
    """When each account has logged in (monotonic), over all workers: for ``pop3.login_delay``."""
    tls: ssl.SSLContext | None = None
    """For STLS; None where the server has no certificate."""
