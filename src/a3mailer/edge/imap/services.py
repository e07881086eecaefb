"""What every IMAP session of a worker shares."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from a3mailer.access.events import Events
from a3mailer.access.rights import Rights
from a3mailer.access.sharing import Sharing
from a3mailer.access.watch import Views
from a3mailer.config.tree import Settings
from a3mailer.edge.imap.contents import Contents
from a3mailer.identity.authenticator import Authenticator
from a3mailer.identity.principal import Principal
from a3mailer.runtime.clock import Clock
from a3mailer.runtime.spool import Spool
from a3mailer.store.ports import Store

PRINCIPALS: Final = 10_000
"""Principals kept to be shared."""


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
    rights: Rights = field(kw_only=True)
    jmap: str = ""
    """Where the same mail is by JMAP: the URL of its session; empty where it is not."""
    events: Events | None = None
    """Who lets scripts hear of what is done; None: nobody."""
    imapsieve: str = ""
    """Where the scripts are kept (RFC 6785 section 2.1): a sieveurl-server; empty where nowhere."""
    principals: dict[Principal, Principal] = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)

    @property
    def sharing(self) -> Sharing:
        """Where rights on mailboxes are changed."""
        return Sharing(self.store, self.rights, self.clock)

    def shared(self, principal: Principal) -> Principal:
        """An equal principal that other sessions already hold: thousands of them wait at the same time."""
        if len(self.principals) >= PRINCIPALS:
            self.principals.clear()
        return self.principals.setdefault(principal, principal)
