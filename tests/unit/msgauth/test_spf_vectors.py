"""Every case of the openspf.org suite, through our resolver and a real name server (RFC 7208)."""

import pytest

from a3mailer.msgauth.spf import Explain, check_mail_from
from a3mailer.runtime.clock import SystemClock
from a3mailer.runtime.resolver import Server, StubResolver
from a3mailer.testing.nameserver import NameServer
from tests.unit.msgauth.spf_vectors import (
    KEPT,
    OLD_SUITE,
    SHARED,
    SUITE,
    Case,
    contradictions,
    current,
    load,
    serve,
)

CASES = current()
OLD = load(SHARED / OLD_SUITE) if (SHARED / OLD_SUITE).exists() else []
AGAINST = contradictions(OLD, CASES)


async def verdict(case: Case) -> tuple[str, str]:
    async with NameServer() as server:
        serve(server, case.zone)
        seconds = 0.2 if "TIMEOUT" in str(case.zone) else 5.0  # a busy machine answers late
        resolver = StubResolver([Server("127.0.0.1", server.port)], seconds, SystemClock())
        found = await check_mail_from(case.ip, case.helo, case.mail_from, resolver, Explain())
    assert found.sentence().endswith(".")
    assert found.result in ("temperror", "permerror", "none") or not found.reason
    return found.result, found.explanation


@pytest.mark.parametrize(
    "case",
    [
        *(pytest.param(c, id=c.name) for c in CASES),
        *(pytest.param(c, id=f"old-{c.name}") for c in OLD if c.name not in AGAINST),
    ],
)
async def test_every_case_of_the_suite(case: Case) -> None:
    """Those of the suite of RFC 4408 too, where RFC 7208 says the same."""
    result, explanation = await verdict(case)
    assert result in case.results
    if case.explanation is not None:
        assert explanation == ("" if case.explanation == "DEFAULT" else case.explanation)


def test_all_cases_are_here() -> None:
    assert len(CASES) == 203
    assert [c.name for c in load(KEPT / SUITE)] == [c.name for c in CASES]
    assert not OLD or (len(OLD) == 191 and len(AGAINST) < 20)
