"""CONDSTORE enabling commands (RFC 7162 section 3.1): from the first on a client follows mod-sequences."""

from __future__ import annotations

from a3mailer.edge.imap.session import Session


def enable(session: Session) -> None:
    """With a mailbox selected, its HIGHESTMODSEQ is said at once."""
    if not session.condstore:
        session.condstore = True
        if session.selected is not None:
            session.write(b"* OK [HIGHESTMODSEQ %d] highest\r\n" % max(session.selected.view.told, 1))
