"""How a post of ours is known to be ours: Standard Webhooks 1.0, HMAC-SHA-256 of ``id.timestamp.body``."""

from __future__ import annotations

import base64
import hmac

from a3mailer.telemetry.events import Secret


def signed(secret: Secret, number: str, now: int, body: bytes) -> dict[str, str]:
    """The header fields that go with a body; ``secret`` is base64. Errors: ValueError (it is not)."""
    mark = hmac.digest(base64.b64decode(secret.reveal()), f"{number}.{now}.".encode() + body, "sha256")
    return {
        "webhook-id": number,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(mark).decode()}",
    }
