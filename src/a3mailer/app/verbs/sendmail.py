"""Mail handed over by programs of this machine."""

from __future__ import annotations

from a3mailer.app.verbs.office import Office, Request
from a3mailer.identity.roles import require
from a3mailer.mail.errors import BadName
from a3mailer.transfer.applications.pickup import Handed, Pickup

NOTIFY = frozenset(("NEVER", "SUCCESS", "FAILURE", "DELAY"))


class Submit(Request, frozen=True, kw_only=True):
    octets: bytes
    sender: str = ""
    name: str = ""
    recipients: tuple[str, ...] = ()
    from_header: bool = False
    notify: tuple[str, ...] = ()
    return_content: str = ""
    envelope_id: str = ""


async def submit(office: Office, request: Submit) -> dict[str, object]:
    """Take a mail; its trace id. Errors: those of ``transfer.pickup``."""
    require(office.subject, "server.submit")
    notify = frozenset(word.upper() for word in request.notify)
    if not notify <= NOTIFY or request.return_content not in ("", "FULL", "HDRS"):
        raise BadName("a notification is asked for by never, or success, failure and delay; full or hdrs")
    handed = Handed(
        request.octets,
        request.sender,
        request.name,
        request.recipients,
        request.from_header,
        notify,
        request.return_content,
        request.envelope_id,
    )
    trace = await Pickup(office.store, office.settings, office.clock)(handed)
    return {"trace": trace}
