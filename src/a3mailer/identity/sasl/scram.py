"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): the password never crosses the wire.

An account without a verifier gets a mock exchange that runs to its end and fails there.

    client-first-message = gs2-header client-first-message-bare
    gs2-header      = gs2-cbind-flag "," [ "a=" saslname ] ","
    gs2-cbind-flag  = ("p=" cb-name) / "n" / "y"
    client-first-message-bare = [reserved-mext ","] "n=" saslname "," "r=" c-nonce ["," extensions]
    server-first-message = "r=" c-nonce s-nonce "," "s=" base64 "," "i=" posit-number
    client-final-message = "c=" base64 "," "r=" nonce ["," extensions] "," "p=" base64
    server-final-message = "v=" base64
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import ClassVar, Final

from a3mailer.identity.credentials import Verifier
from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.exchange import BadExchange, Context, text
from a3mailer.identity.saslprep import Unprepared, saslprep
from a3mailer.mail.errors import AuthenticationFailed
from a3mailer.store.rows import Account

MAX_NONCE: Final = 512
"""Characters of a client's nonce."""
SERVER_NONCE: Final = 18
"""Random octets of ours; 24 characters in Base64."""


class ScramSha256:
    """Without channel binding."""

    __slots__ = ("_account", "_authzid", "_bare", "_binding", "_context", "_first", "_login", "_nonce",
                 "_principal", "_state", "_verifier")  # fmt: skip
    name: ClassVar[str] = "SCRAM-SHA-256"
    shows_password: ClassVar[bool] = False
    plus: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self._context = context
        self._state = "first"
        self._bare = self._first = self._nonce = self._login = self._authzid = ""
        self._binding = b""
        self._verifier: Verifier | None = None
        self._account: Account | None = None
        self._principal: Principal | None = None

    async def step(self, response: bytes | None) -> bytes | Principal:
        """client-first, client-final, then an empty response to the server's proof."""
        if response is None:
            if self._state != "first":
                raise BadExchange("no response")
            self._state = "asked"
            return b""
        if self._state in ("first", "asked"):
            return await self._client_first(text(response))
        if self._state == "final":
            return await self._client_final(text(response))
        if response or self._principal is None:
            raise BadExchange("nothing more was asked")
        return self._principal

    async def _client_first(self, message: str) -> bytes:
        flag, _, rest = message.partition(",")
        authzid, comma, bare = rest.partition(",")
        if not comma or not (authzid == "" or authzid.startswith("a=")):
            raise BadExchange("SCRAM: bad gs2-header")
        self._bind(flag, f"{flag},{authzid},".encode())
        fields = bare.split(",")
        if len(fields) < 2 or not fields[0].startswith("n=") or not fields[1].startswith("r="):
            raise BadExchange("SCRAM: n= and r= wanted")  # m= (mandatory extensions) falls here too
        self._login, client_nonce = saslname(fields[0][2:]), fields[1][2:]
        if (
            not client_nonce.isascii()
            or not client_nonce.isprintable()
            or not 0 < len(client_nonce) <= MAX_NONCE
        ):
            raise BadExchange("SCRAM: bad nonce")
        self._authzid = saslname(authzid[2:]) if authzid else ""
        self._verifier, self._account = await self._context.authenticator.scram_verifier(
            self._login, self._context.ip
        )
        self._nonce = client_nonce + base64.b64encode(secrets.token_bytes(SERVER_NONCE)).decode()
        salt = base64.b64encode(self._verifier.salt).decode()
        self._bare, self._state = bare, "final"
        self._first = f"r={self._nonce},s={salt},i={self._verifier.iterations}"
        return self._first.encode()

    def _bind(self, flag: str, header: bytes) -> None:
        """RFC 5802 section 6: the flag must fit the mechanism, and what the server offered."""
        name = flag.removeprefix("p=")
        if flag.startswith("p="):
            if not self.plus or name not in self._context.bindings:
                raise AuthenticationFailed("this channel binding is not offered")
            self._binding = header + self._context.bindings[name]
        elif flag == "n" or (flag == "y" and not self._context.bindings):
            if self.plus:
                raise BadExchange("SCRAM-...-PLUS wants a channel binding")
            self._binding = header
        elif flag == "y":
            raise AuthenticationFailed("channel binding was offered and taken off the list on the way")
        else:
            raise BadExchange("SCRAM: bad gs2-cbind-flag")

    async def _client_final(self, message: str) -> bytes:
        without_proof, comma, proof_field = message.rpartition(",")
        fields = without_proof.split(",")
        if not comma or not proof_field.startswith("p=") or len(fields) < 2:
            raise BadExchange("SCRAM: c=, r= and p= wanted")
        if not fields[0].startswith("c=") or not fields[1].startswith("r=") or self._verifier is None:
            raise BadExchange("SCRAM: c=, r= and p= wanted")
        binding, proof = decode(fields[0][2:]), decode(proof_field[2:])
        right = hmac.compare_digest(binding, self._binding)
        right &= hmac.compare_digest(fields[1][2:].encode(), self._nonce.encode())
        signed = f"{self._bare},{self._first},{without_proof}".encode()
        right &= fits(self._verifier, signed, proof)
        account = self._account if right else None
        authenticator = self._context.authenticator
        principal = await authenticator.scram_finished(self._login, account, self._context.ip)
        self._principal = await authenticator.acting(principal, self._authzid)
        self._state = "done"
        return b"v=" + base64.b64encode(hmac.digest(self._verifier.server_key, signed, "sha256"))


class ScramSha256Plus(ScramSha256):
    """With channel binding: who stands between two TLS connections cannot pass the proof on."""

    __slots__ = ()
    name: ClassVar[str] = "SCRAM-SHA-256-PLUS"
    plus: ClassVar[bool] = True


def fits(verifier: Verifier, signed: bytes, proof: bytes) -> bool:
    """RFC 5802 section 3: ClientProof XOR ClientSignature is the ClientKey whose hash is kept."""
    if len(proof) != 32:
        return False
    signature = hmac.digest(verifier.stored_key, signed, "sha256")
    key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(key).digest(), verifier.stored_key)


def saslname(escaped: str) -> str:
    """A name with ``=2C`` and ``=3D`` undone (RFC 5802 section 5.1), prepared. Errors: BadExchange."""
    pieces = escaped.split("=")
    for piece in pieces[1:]:
        if not piece.startswith(("2C", "3D")):
            raise BadExchange("SCRAM: bad saslname")
    name = pieces[0] + "".join({"2C": ",", "3D": "="}[p[:2]] + p[2:] for p in pieces[1:])
    try:
        prepared = saslprep(name)
    except Unprepared as error:
        raise BadExchange("SCRAM: bad saslname") from error
    if not prepared:
        raise BadExchange("SCRAM: empty name")
    return prepared


def decode(encoded: str) -> bytes:
    """Base64, strictly. Errors: BadExchange."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadExchange("SCRAM: bad Base64") from error
