"""The client's side of SCRAM-SHA-256, written apart from the server's."""

from __future__ import annotations

import base64
import hashlib
import hmac


class ScramClient:
    """The client's side of RFC 5802, written apart from the server's."""

    def __init__(
        self, password: str, header: str = "n,,", login: str = "alice@a.test", bound: bytes = b""
    ) -> None:
        self.password, self.header, self.bound = password, header, bound
        self.bare = f"n={login.replace('=', '=3D').replace(',', '=2C')},r=fyko+d2lbbFgONRv9qkxdawL"

    def first(self) -> bytes:
        return (self.header + self.bare).encode()

    def final(self, server_first: bytes) -> bytes:
        fields = dict(f.split("=", 1) for f in server_first.decode().split(","))
        salted = hashlib.pbkdf2_hmac(
            "sha256", self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
        )
        key = hmac.digest(salted, b"Client Key", "sha256")
        without = f"c={base64.b64encode(self.header.encode() + self.bound).decode()},r={fields['r']}"
        signed = f"{self.bare},{server_first.decode()},{without}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        self.server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
        return f"{without},p={proof}".encode()
