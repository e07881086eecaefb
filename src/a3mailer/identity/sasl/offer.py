"""The table of mechanisms, which of them a connection is offered, and the begin of an exchange."""

from __future__ import annotations

from typing import Final

from a3mailer.identity.sasl.exchange import Context, Exchange, NoSuchMechanism, NotConfidential
from a3mailer.identity.sasl.login import Login
from a3mailer.identity.sasl.plain import Plain
from a3mailer.identity.sasl.scram import ScramSha256, ScramSha256Plus

MECHANISMS: Final[tuple[type[Exchange], ...]] = (ScramSha256Plus, ScramSha256, Plain, Login)
"""Strongest first: clients commonly take the first they know."""

_BY_NAME: Final = {each.name: each for each in MECHANISMS}


async def offered(context: Context) -> tuple[str, ...]:
    """Names for this connection: those showing the password only where it is confidential, SCRAM only
    where somebody has a verifier, -PLUS only with a channel binding. Empty: no login here."""
    names = []
    scram = await context.authenticator.scram_offered()
    for each in MECHANISMS:
        usable = context.confidential if each.shows_password else scram
        if usable and (each is not ScramSha256Plus or context.bindings):
            names.append(each.name)
    return tuple(names)


async def begin(name: str, context: Context) -> Exchange:
    """Start an exchange; call ``step`` next. Errors: NoSuchMechanism, NotConfidential."""
    mechanism = _BY_NAME.get(name.upper())
    if mechanism is None:
        raise NoSuchMechanism(name)
    if mechanism.shows_password and not context.confidential:
        raise NotConfidential(name)
    if name.upper() not in await offered(context):
        raise NoSuchMechanism(name)
    return mechanism(context)
