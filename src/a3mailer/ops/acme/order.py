"""One certificate from order to chain (RFC 8555 section 7.4): every name authorized, then the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from a3mailer.ops import pkix
from a3mailer.ops.acme.challenges import KINDS
from a3mailer.ops.acme.challenges.responder import ChallengeFailure, Means, Responder
from a3mailer.ops.acme.client import AcmeClient
from a3mailer.ops.acme.documents import AcmeFailure, Authorization, Challenge, Order
from a3mailer.ops.acme.jose import AccountKey

IRREPLACEABLE: Final = ("alreadyReplaced", "malformed", "unauthorized")
"""What an authority says of a certificate it does not let us replace."""
Given = tuple[Responder, str, str, str]
"""A responder, and the name, token and key authorization it was given."""


def responders(kinds: Sequence[str], means: Means) -> tuple[Responder, ...]:
    """In the order they are preferred in; kinds that are unknown, or lack their means, are left out."""
    known = {each.kind: each for each in KINDS}
    found = (known[kind].of(means) for kind in kinds if kind in known)
    return tuple(each for each in found if each is not None)


async def issue(
    client: AcmeClient,
    account: AccountKey,
    key: pkix.ServerKey,
    names: Sequence[str],
    responders: Sequence[Responder],
    now: float,
    replaces: str = "",
) -> pkix.Chain:
    """The chain for ``names``, checked. The client has an account. Errors: AcmeFailure."""
    url, order = await _order(client, names, replaces)
    given: list[Given] = []
    asked: list[tuple[str, Challenge]] = []
    try:
        for each in order.authorizations:
            found = await client.authorization(each)
            if found.status == "valid":
                continue
            responder, challenge = choose(found, responders)
            proof = account.authorization(challenge.token)
            given.append((responder, found.identifier.value, challenge.token, proof))
            await _present(*given[-1])
            asked.append((each, challenge))
        for responder in {id(one[0]): one[0] for one in given}.values():
            await responder.settled()
        for _, challenge in asked:
            await client.respond(challenge)
        for each, _ in asked:
            await client.authorized(each)
    finally:
        for responder, name, token, proof in given:
            await responder.withdraw(name, token, proof)
    pem = await client.certificate(url, order, pkix.request(key, names).public_bytes(Encoding.DER))
    try:
        chain = pkix.read_chain(pem)
        pkix.check(chain, key, names, now)
    except ValueError as error:
        raise AcmeFailure("nonsense", f"the certificate cannot be used: {error}") from error
    return chain


async def _order(client: AcmeClient, names: Sequence[str], replaces: str) -> tuple[str, Order]:
    """One that cannot be in the place of another is a new one: that was replaced already (RFC 9773 section
    5), or is of another authority or account."""
    try:
        return await client.order(names, replaces)
    except AcmeFailure as failure:
        if not replaces or failure.kind not in IRREPLACEABLE:
            raise
        return await client.order(names)


async def _present(responder: Responder, name: str, token: str, proof: str) -> None:
    try:
        await responder.present(name, token, proof)
    except ChallengeFailure as error:
        raise AcmeFailure("challenge", str(error)) from error


def choose(found: Authorization, responders: Sequence[Responder]) -> tuple[Responder, Challenge]:
    """The first responder whose challenge is offered. Errors: AcmeFailure."""
    for responder in responders:
        for challenge in found.challenges:
            if challenge.type == responder.kind and challenge.token:
                return responder, challenge
    offered = ", ".join(each.type for each in found.challenges) or "nothing"
    ours = ", ".join(each.kind for each in responders) or "nothing"
    name = found.identifier.value
    raise AcmeFailure("challenge", f"{name}: the authority offers {offered}, we have {ours}")
