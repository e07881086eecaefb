"""How an authority is shown that a name is ours: one file a kind of challenge, and the table of them."""

from __future__ import annotations

from typing import Final

from a3mailer.ops.acme.challenges import dns, http, tls_alpn
from a3mailer.ops.acme.challenges.responder import Responder

KINDS: Final[tuple[type[Responder], ...]] = (tls_alpn.TlsAlpn, http.Http, dns.Dns)
