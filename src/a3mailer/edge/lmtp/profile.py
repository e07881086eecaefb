"""LMTP (RFC 2033): LHLO, and after the content one reply for each recipient that RCPT accepted."""

from __future__ import annotations

from typing import Final

from a3mailer.edge.smtp.profiles import Profile

LMTP: Final = Profile("lmtp", "LMTP", starttls=False, auth=False, lmtp=True, limited=False)
