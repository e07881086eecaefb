"""The answers to challenges in progress, as files of the data directory, so that every worker can give them.

| file | holds | given by |
|---|---|---|
| ``run/acme/http/TOKEN`` | the key authorization (RFC 8555 section 8.3) | the http listener |
| ``run/acme/alpn/NAME.pem`` | key and certificate with acmeIdentifier (RFC 8737) | the https listener |

They are there for seconds. Names of files are tokens and host names that were checked.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from a3mailer.config.fields import BadValue
from a3mailer.config.syntax import domain_name
from a3mailer.ops.acme.jose import is_token

FOLDER: Final = Path("run") / "acme"
HTTP_PATH: Final = "/.well-known/acme-challenge/"
ALPN_PROTOCOL: Final = "acme-tls/1"
MAX_ANSWER: Final = 16 * 1024


class Answers:
    """Of one data directory. Cheap to make, and to ask while there are none."""

    __slots__ = ("_alpn", "_http")

    def __init__(self, directory: Path) -> None:
        self._http = directory / FOLDER / "http"
        self._alpn = directory / FOLDER / "alpn"

    def put_http(self, token: str, authorization: str) -> None:
        """Errors: OSError, ValueError for a token that is none."""
        if not is_token(token):
            raise ValueError("the challenge's token is none")
        _put(self._http / token, authorization.encode("ascii"))

    def http(self, token: str) -> bytes | None:
        """The key authorization to answer with."""
        return _read(self._http / token) if is_token(token) else None

    def drop_http(self, token: str) -> None:
        """It was looked at."""
        if is_token(token):
            (self._http / token).unlink(missing_ok=True)

    def put_alpn(self, name: str, pem: bytes) -> None:
        """Errors: OSError, BadValue for a name that is none."""
        domain_name(name)
        _put(self._alpn / f"{name}.pem", pem)

    def alpn(self, name: str) -> Path | None:
        """The file of key and certificate to show for a name."""
        try:
            domain_name(name)
        except BadValue:
            return None
        path = self._alpn / f"{name.lower()}.pem"
        return path if path.is_file() else None

    def drop_alpn(self, name: str) -> None:
        """It was looked at."""
        (self._alpn / f"{name}.pem").unlink(missing_ok=True)

    def awaited(self) -> bool:
        """Is there any TLS-ALPN challenge now? One question to the kernel while there is none."""
        try:
            return any(self._alpn.iterdir())
        except FileNotFoundError:
            return False

    def clear(self) -> None:
        """Take away what a process that died left behind."""
        for folder in (self._http, self._alpn):
            if folder.is_dir():
                for path in folder.iterdir():
                    path.unlink(missing_ok=True)


def _put(path: Path, octets: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(octets)
    draft.replace(path)


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_ANSWER)
    except OSError:
        return None
