"""The table of mechanisms, which of them a connection is offered, and the begin of an exchange."""

from __future__ import annotations

from typing import Final

from a3mailer.identity.sasl.exchange import Context, Exchange, NoSuchMechanism, NotConfidential
from a3mailer.identity.sasl.external import External
from a3mailer.identity.sasl.login import Login
from a3mailer.identity.sasl.oauthbearer import OAuthBearer
from a3mailer.identity.sasl.plain import Plain
from a3mailer.identity.sasl.scram import ScramSha256, ScramSha256Plus
from a3mailer.identity.sasl.xoauth2 import XOAuth2

MECHANISMS: Final[tuple[type[Exchange], ...]] = (
    External, ScramSha256Plus, ScramSha256, Plain, Login, OAuthBearer, XOAuth2,
)  # fmt: skip
"""Strongest first: clients commonly take the first they know. Those for tokens last: who has none does not
know that he has to pass them over."""

_BY_NAME: Final = {each.name: each for each in MECHANISMS}


async def offered(context: Context) -> tuple[str, ...]:
    """Names for this connection: those showing the password only where it is confidential, SCRAM only
    where somebody has a verifier, -PLUS only with a channel binding, EXTERNAL only where a certificate says
    who it is. Empty: no login here."""
    scram = await context.authenticator.scram_offered()
    usable: dict[type[Exchange], bool] = {
        External: bool(context.certified),
        ScramSha256Plus: scram and bool(context.bindings),
        ScramSha256: scram,
    }
    return tuple(each.name for each in MECHANISMS if usable.get(each, context.confidential))


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
