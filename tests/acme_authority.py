"""An ACME server in memory, for what pebble cannot be told to do: renewal advice, outages, refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from a3mailer.ops.acme.documents import PROBLEM
from a3mailer.ops.acme.jose import from_base64url
from a3mailer.runtime.http import HttpAnswer, HttpFailure
from a3mailer.testing.clock import FakeClock
from tests.certificates import authority

BASE = "https://acme.test"


class Authority:
    """Every name is authorized already. ``refuse`` and ``silent`` say what it does instead of issuing."""

    def __init__(self, clock: FakeClock, days: float = 90) -> None:
        self._clock = clock
        self._root = authority("acme root")
        self._names: list[str] = []
        self._issued = b""
        self.days = days
        self.refuse = ""
        """A kind of problem for new orders."""
        self.irreplaceable = ""
        """... for those that replace another certificate."""
        self.refuse_names: set[str] = set()
        self.retry_after = ""
        self.silent = False
        self.window: tuple[float, float] | None = None
        """What it suggests; None: it knows nothing of RFC 9773."""
        self.orders: list[dict[str, Any]] = []
        self.advised: list[str] = []
        self.contacts: list[Sequence[str]] = []

    async def get(self, url: str, **_: object) -> HttpAnswer:
        path = url.removeprefix(BASE)
        if self.silent:
            raise HttpFailure("connect", "acme.test: nobody is there")
        if path in ("/dir", "/directory"):
            urls = {"newNonce": "/nonce", "newAccount": "/account", "newOrder": "/order"}
            if self.window:
                urls["renewalInfo"] = "/renewal"
            meta = {"meta": {"termsOfService": f"{BASE}/terms"}}
            return self._say(200, {**{name: BASE + where for name, where in urls.items()}, **meta})
        if path.startswith("/renewal/"):
            assert self.window is not None
            self.advised.append(path)
            start, end = (datetime.fromtimestamp(at, UTC).isoformat() for at in self.window)
            return self._say(200, {"suggestedWindow": {"start": start, "end": end}})
        return self._say(204, None)

    async def post(self, url: str, body: bytes, media: str, **_: object) -> HttpAnswer:
        if self.silent:
            raise HttpFailure("connect", "acme.test: nobody is there")
        sent = json.loads(body)["payload"]
        payload = json.loads(from_base64url(sent)) if sent else None
        match url.removeprefix(BASE):
            case "/account":
                return self._account(payload)
            case "/order":
                return self._order(payload)
            case "/order/1":
                return self._say(200, self._state("valid" if self._issued else "ready"))
            case "/finalize":
                self._issued = self._sign(from_base64url(payload["csr"]))
                return self._say(200, self._state("valid"))
            case "/certificate":
                return HttpAnswer(200, "application/pem-certificate-chain", self._issued)
            case other:
                raise AssertionError(other)

    def _say(self, status: int, document: object, *fields: tuple[str, str]) -> HttpAnswer:
        return HttpAnswer(status, "", json.dumps(document).encode(), (("replay-nonce", "n"), *fields))

    def _account(self, payload: Any) -> HttpAnswer:
        if payload.get("onlyReturnExisting") and not self.contacts:
            return self._say(400, {"type": f"{PROBLEM}accountDoesNotExist"})
        if "contact" in payload:
            self.contacts.append(payload["contact"])
        return self._say(
            200, {"status": "valid", "contact": self.contacts[-1]}, ("location", f"{BASE}/account/1")
        )

    def _order(self, payload: Any) -> HttpAnswer:
        self._names = [each["value"] for each in payload["identifiers"]]
        self._issued = b""
        refused = self.refuse or (self.irreplaceable if "replaces" in payload else "")
        refused = refused or ("rejectedIdentifier" if self.refuse_names & set(self._names) else "")
        if refused:
            fields = [("retry-after", self.retry_after)] if self.retry_after else []
            return self._say(403, {"type": f"{PROBLEM}{refused}", "detail": "no"}, *fields)
        self.orders.append(payload)
        return self._say(201, self._state("ready"), ("location", f"{BASE}/order/1"))

    def _state(self, status: str) -> dict[str, object]:
        found: dict[str, object] = {"status": status, "finalize": f"{BASE}/finalize", "authorizations": []}
        return {**found, "certificate": f"{BASE}/certificate"} if status == "valid" else found

    def _sign(self, der: bytes) -> bytes:
        request = x509.load_der_x509_csr(der)
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._root.key.public_key())
        made = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self._root.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=self.days))
            .add_extension(
                request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value, critical=False
            )
            .add_extension(issuer, critical=False)
            .sign(self._root.key, hashes.SHA256())
        )
        return made.public_bytes(Encoding.PEM) + self._root.pem
