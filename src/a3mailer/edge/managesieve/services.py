"""What every ManageSieve session of a worker shares."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from a3mailer.access.scripts import Scripts
from a3mailer.access.watch import Views
from a3mailer.config.tree import Settings
from a3mailer.identity.authenticator import Authenticator
from a3mailer.runtime.clock import Clock


@dataclass(slots=True)
class Services:
    """Built once a worker. ``settings`` is the snapshot in force: a session keeps that of its begin."""

    scripts: Scripts
    authenticator: Authenticator
    settings: Settings
    clock: Clock
    views: Views
    """Its ``directory`` grows when accounts or credentials changed: do sessions still stand?"""
    tls: ssl.SSLContext | None = None
    """For STARTTLS; None where the server has no certificate."""
