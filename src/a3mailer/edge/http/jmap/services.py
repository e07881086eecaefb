"""What the methods of JMAP are given: one object a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from a3mailer.access.account_mail import AllMail
from a3mailer.access.blobs import Blobs
from a3mailer.access.loans import Loans
from a3mailer.access.people import People
from a3mailer.access.pushes import Making
from a3mailer.access.scripts import Scripts
from a3mailer.access.sharing import Sharing
from a3mailer.access.signatures import Signatures
from a3mailer.config.tree import Settings
from a3mailer.runtime.clock import Clock
from a3mailer.store.ports import Store
from a3mailer.transfer.applications.submitting import Submitting


@dataclass(frozen=True, slots=True)
class Services:
    """Fields are added as methods need them; every one is a door or a use case, never a method's state."""

    store: Store
    clock: Clock
    settings: Callable[[], Settings]
    blobs: Blobs
    mail: AllMail
    pushes: Making
    vapid: ec.EllipticCurvePrivateKey
    """What pushes are signed with (RFC 9749)."""
    submitting: Submitting
    scripts: Scripts
    loans: Loans
    """What others lend."""
    signatures: Signatures
    people: People
    sharing: Sharing
