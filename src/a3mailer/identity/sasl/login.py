"""LOGIN (draft-murchison-sasl-login): name, then password; some clients know nothing else."""

from __future__ import annotations

from typing import ClassVar

from a3mailer.identity.principal import Principal
from a3mailer.identity.sasl.exchange import BadExchange, Context, text
from a3mailer.telemetry.events import Secret


class Login:
    """The challenges are the two prompts clients compare with. An initial response is the name.

    QUIRK: Outlook sends the name as initial response, which the draft does not foresee
    (tests/unit/identity/test_sasl.py)."""

    __slots__ = ("_asked", "_context", "_login")
    name: ClassVar[str] = "LOGIN"
    shows_password: ClassVar[bool] = True

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked = False
        self._login = ""

    async def step(self, response: bytes | None) -> bytes | Principal:
        """The name, then the password."""
        if response is None:
            if self._asked or self._login:
                raise BadExchange("no response")
            self._asked = True
            return b"Username:"
        if "\0" in (answer := text(response)) or not answer:
            raise BadExchange("LOGIN wants a name, then a password")
        if not self._login:
            self._login = answer
            return b"Password:"
        return await self._context.authenticator.password(self._login, Secret(answer), self._context.ip)
