"""One whole look at a domain: the state of its records, then the sections, its MTA-STS policy fetched."""

from __future__ import annotations

from collections.abc import Sequence

from a3mailer.msgauth.mta_sts import MAX_POLICY
from a3mailer.ops.domain_check import Examination, FetchFailed, Section, check
from a3mailer.ops.domain_records import Facts
from a3mailer.ops.record_state import RecordState, look
from a3mailer.runtime.http import HttpClient, HttpFailure
from a3mailer.runtime.resolver import Resolver


async def examine(
    facts: Facts,
    resolver: Resolver,
    client: HttpClient,
    validator: str,
    blocklists: Sequence[str],
    now: float,
) -> tuple[tuple[RecordState, ...], tuple[Section, ...]]:
    """Both. ``validator``: as ``who_validates`` says; ``now``: seconds since the epoch."""

    async def fetch(address: str) -> bytes:
        try:
            answer = await client.get(address, most=MAX_POLICY)
        except HttpFailure as error:
            raise FetchFailed(str(error)) from error
        if answer.status != 200:
            raise FetchFailed(f"the answer is {answer.status}")
        return answer.body

    states = await look(facts, resolver)
    return states, await check(Examination(facts, resolver, now, states, blocklists, fetch, validator))
