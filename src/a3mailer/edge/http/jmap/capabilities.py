"""The table of capabilities (RFC 8620 section 2): what the session object announces, and for whom.

Only what works completely has a line. ``server`` and ``account`` make the objects that describe a capability
in ``capabilities`` and in ``accountCapabilities``; one that no account can have leaves ``account`` out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from a3mailer import __version__
from a3mailer.access.loans import Loan
from a3mailer.access.scripts import NAME
from a3mailer.edge.http.jmap import limits
from a3mailer.edge.http.jmap.services import Services
from a3mailer.identity.principal import Object, Principal
from a3mailer.identity.roles import action, allow
from a3mailer.mail.ids import AccountId
from a3mailer.mail.mailbox import MAX_DEPTH
from a3mailer.mail.objectids import ACCOUNT_LETTER, PRINCIPAL_LETTER, object_id
from a3mailer.mail.rights import ROOT
from a3mailer.wire.webpush.vapid import public_key

CORE: Final = "urn:ietf:params:jmap:core"
QUOTA: Final = "urn:ietf:params:jmap:quota"
BLOB: Final = "urn:ietf:params:jmap:blob"
MAX_SIZE_BLOB_SET: Final = 7_000_000
"""Octets of a blob that Blob/upload makes: what fits into a request, as base64."""
MAX_DATA_SOURCES: Final = 64
LOOKED_UP: Final = ("Mailbox", "Thread", "Email")
"""Data types in whose records Blob/lookup finds blobs."""
SOCKETS: Final = "urn:ietf:params:jmap:websocket"
MAIL: Final = "urn:ietf:params:jmap:mail"
SUBMISSION: Final = "urn:ietf:params:jmap:submission"
MDN: Final = "urn:ietf:params:jmap:mdn"
VACATION: Final = "urn:ietf:params:jmap:vacationresponse"
SMIME: Final = "urn:ietf:params:jmap:smimeverify"
PRINCIPALS: Final = "urn:ietf:params:jmap:principals"
SHARE: Final = "urn:ietf:params:jmap:mail:share"
OWNER: Final = "urn:ietf:params:jmap:principals:owner"
"""Of accounts alone (RFC 9670 section 1.5.2)."""
SIEVE: Final = "urn:ietf:params:jmap:sieve"

Description = Callable[[Services], Mapping[str, object]]


def nothing(_services: Services) -> Mapping[str, object]:
    """An empty object."""
    return {}


@dataclass(frozen=True, slots=True)
class Capability:
    """One line."""

    urn: str
    needs: str
    """The rule of ``identity.roles`` without which its methods cannot be used."""
    server: Description = nothing
    account: Description | None = nothing

    def __post_init__(self) -> None:
        action(self.needs)


def _core(services: Services) -> Mapping[str, object]:
    return {
        "maxSizeUpload": services.settings().jmap.upload_size,
        "maxConcurrentUpload": limits.MAX_CONCURRENT_UPLOAD,
        "maxSizeRequest": limits.MAX_SIZE_REQUEST,
        "maxConcurrentRequests": limits.MAX_CONCURRENT_REQUESTS,
        "maxCallsInRequest": limits.MAX_CALLS,
        "maxObjectsInGet": limits.MAX_OBJECTS_IN_GET,
        "maxObjectsInSet": limits.MAX_OBJECTS_IN_SET,
        "collationAlgorithms": limits.COLLATIONS,
    }


def _mail(_services: Services) -> Mapping[str, object]:
    return {
        "maxMailboxesPerEmail": limits.MAX_MAILBOXES_PER_EMAIL,
        "maxMailboxDepth": MAX_DEPTH,
        "maxSizeMailboxName": limits.MAX_SIZE_MAILBOX_NAME,
        "maxSizeAttachmentsPerEmail": limits.MAX_SIZE_ATTACHMENTS,
        "emailQuerySortOptions": limits.EMAIL_SORTS,
        "mayCreateTopLevelMailbox": True,
    }


def _blob(_services: Services) -> Mapping[str, object]:
    return {
        "maxSizeBlobSet": MAX_SIZE_BLOB_SET,
        "maxDataSources": MAX_DATA_SOURCES,
        "supportedTypeNames": LOOKED_UP,
        "supportedDigestAlgorithms": ["sha", "sha-256", "sha-512"],
    }


def _submission(services: Services) -> Mapping[str, object]:
    most = services.submitting.longest_hold
    extensions: dict[str, list[str]] = {"DSN": [], "MT-PRIORITY": [], "DELIVERBY": []}
    return {
        "maxDelayedSend": most,
        "submissionExtensions": extensions | ({"FUTURERELEASE": [str(most)]} if most else {}),
    }


def _sieve(services: Services) -> Mapping[str, object]:
    scripts = services.scripts
    return {
        "maxSizeScriptName": NAME,
        "maxSizeScript": scripts.largest,
        "maxNumberScripts": scripts.most,
        "maxNumberRedirects": scripts.redirects,
        "sieveExtensions": list(scripts.capabilities),
        "notificationMethods": ["mailto"] if "enotify" in scripts.capabilities else None,
        "externalLists": ["tag", "urn"] if "extlists" in scripts.capabilities else None,
    }


CAPABILITIES: Final[tuple[Capability, ...]] = (
    Capability(CORE, "session.login", _core),  # RFC 8620
    Capability(
        "urn:ietf:params:jmap:webpush-vapid",  # RFC 9749
        "session.login",
        lambda services: {"applicationServerKey": public_key(services.vapid)},
        None,
    ),
    Capability(SOCKETS, "session.login", lambda _: {"supportsPush": True}, None),  # RFC 8887
    Capability(MAIL, "mailbox.list", account=_mail),  # RFC 8621
    Capability(SUBMISSION, "smtp.submit", account=_submission),
    Capability(VACATION, "sieve.list"),
    Capability(MDN, "smtp.submit"),  # RFC 9007
    Capability(SMIME, "message.read"),  # RFC 9219
    Capability(QUOTA, "quota.read"),  # RFC 9425
    Capability(BLOB, "message.read", account=_blob),  # RFC 9404
    Capability(
        SIEVE, "sieve.list", lambda _: {"implementation": f"A3Mailer {__version__}"}, _sieve
    ),  # RFC 9661
    Capability(PRINCIPALS, "principal.list"),  # RFC 9670
    Capability(SHARE, "mailbox.share"),  # draft-ietf-jmap-mail-sharing
)


LENT: Final = frozenset((CORE, MAIL, SMIME, BLOB, SHARE))
"""What there is for accounts of others: mail, who signed it, octets, who uses it (RFC 8620 section 1.6.2)."""


def of_loan(services: Services, principal: Principal, loan: Loan) -> dict[str, Mapping[str, object]]:
    """``accountCapabilities`` of another's account; without mail it is none."""
    found = {
        each.urn: each.account(services)
        for each in CAPABILITIES
        if each.urn in LENT and each.account is not None and allow(principal, each.needs, loan.target)
    }
    if MAIL in found:
        found[MAIL] = {**found[MAIL], "mayCreateTopLevelMailbox": loan.has(ROOT, "k")}
        own = Object(principal.tenant, principal.account, principal.domain, principal.role)
        if allow(principal, "principal.list", own):
            found[OWNER] = _owner(principal, loan.account)
    return found


def of_server(services: Services) -> dict[str, Mapping[str, object]]:
    """``capabilities`` of the session object."""
    return {each.urn: each.server(services) for each in CAPABILITIES}


def of_account(services: Services, principal: Principal) -> dict[str, Mapping[str, object]]:
    """``accountCapabilities`` of the asker's own account: what its role and scopes allow."""
    own = Object(principal.tenant, principal.account, principal.domain, principal.role)
    found = {
        each.urn: each.account(services)
        for each in CAPABILITIES
        if each.account is not None and allow(principal, each.needs, own)
    }
    if PRINCIPALS in found:
        found[PRINCIPALS] = {"currentUserPrincipalId": object_id(PRINCIPAL_LETTER, principal.account)}
        found[OWNER] = _owner(principal, principal.account)
    return found


def _owner(principal: Principal, account: AccountId) -> Mapping[str, object]:
    """Whose an account is (RFC 9670 section 1.5.2): everybody's Principals are in the own account."""
    return {
        "accountIdForPrincipal": object_id(ACCOUNT_LETTER, principal.account),
        "principalId": object_id(PRINCIPAL_LETTER, account),
    }
