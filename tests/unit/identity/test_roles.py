"""The matrix: every action, every role, every distance, checked against a second writing of the rule."""

from __future__ import annotations

import itertools

import pytest

from a3mailer.identity import roles
from a3mailer.identity.principal import ANONYMOUS, OPERATOR, SERVER, Object, Principal
from a3mailer.identity.roles import (
    GIVEN_ROLES,
    RIGHTS,
    ROLES,
    RULES,
    Reach,
    UnknownAction,
    action,
    allow,
    require,
)
from a3mailer.mail.errors import NoSuchAccount
from a3mailer.mail.ids import AccountId, TenantId
from a3mailer.mail.rights import ALL_RIGHTS


def principal(role: str, **more: object) -> Principal:
    return Principal(AccountId(7), TenantId(1), "x@a.test", role, "x@a.test", **more)  # type: ignore[arg-type]


DISTANCES = {
    "own": (Object(TenantId(1), AccountId(7), "a.test"), Reach.OWN),
    "same domain": (Object(TenantId(1), AccountId(8), "a.test"), Reach.DOMAIN),
    "same tenant": (Object(TenantId(1), AccountId(9), "b.test"), Reach.TENANT),
    "other tenant": (Object(TenantId(2), AccountId(10), "a.test"), Reach.ALL),
    "other tenant's domain": (Object(TenantId(2), AccountId(0), "c.test"), Reach.ALL),
    "the server": (SERVER, Reach.ALL),
}
RANKED = ("account.", "role.", "token.")


def expected(role: str, name: str, distance: Reach, target: Object) -> bool:
    reach = RULES[name][ROLES.index(role)]
    if reach < distance or reach is Reach.NONE:
        return False
    if not name.startswith(RANKED) or reach is Reach.ALL or target.account == 0:
        return True
    if target.account == 7 and name != "role.give":
        return True
    return ROLES.index(role) < ROLES.index(target.role) if target.role else False


@pytest.mark.parametrize("name", RULES)
def test_every_role_reaches_exactly_as_far_as_its_cell(name: str) -> None:
    seen = set()
    for role, (place, distance), target_role in itertools.product(
        ROLES, DISTANCES.values(), ("", *GIVEN_ROLES)
    ):
        target = Object(place.tenant, place.account, place.domain, target_role if place.account else "")
        answer = allow(principal(role), name, target)
        seen.add(answer)
        assert answer is expected(role, name, distance, target), (role, name, target)
    assert True in seen  # an action nobody may do is no action


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_cell_for_every_role(name: str) -> None:
    assert len(RULES[name]) == len(ROLES)
    assert RULES[name][0] >= Reach.OWN  # whoever runs the server can do everything for himself at least


def test_mail_content_is_its_owners_alone() -> None:
    other = Object(TenantId(1), AccountId(8), "a.test", "user")
    for role, name in itertools.product(ROLES, RULES):
        if name.startswith(("message.", "mailbox.")):
            assert not allow(principal(role), name, other), (role, name)
    assert not allow(OPERATOR, "message.read", other)


def test_what_was_granted_on_a_mailbox_allows_what_it_says_and_no_more() -> None:
    for role, name, right in itertools.product(ROLES, RULES, ALL_RIGHTS):
        lent = Object(TenantId(1), AccountId(8), "a.test", "user", right)
        foreign = Object(TenantId(2), AccountId(8), "a.test", "user", ALL_RIGHTS)
        subject = principal(role)
        may_own = allow(subject, name, DISTANCES["own"][0])
        without = allow(subject, name, Object(TenantId(1), AccountId(8), "a.test", "user"))
        assert allow(subject, name, lent) is (without or (may_own and RIGHTS.get(name) == right)), (
            role,
            name,
        )
        if name.startswith(("message.", "mailbox.")):
            assert not allow(subject, name, foreign), (role, name)
    assert set(RIGHTS.values()) == set(ALL_RIGHTS)
    assert RIGHTS.keys() <= RULES.keys()


def test_a_token_reaches_others_mailboxes_within_its_scopes() -> None:
    lent = Object(TenantId(1), AccountId(8), rights=ALL_RIGHTS)
    assert allow(principal("user", scopes=frozenset({"message.read"})), "message.read", lent)
    assert not allow(principal("user", scopes=frozenset({"message.read"})), "message.flag", lent)


def test_what_needs_no_login_is_little() -> None:
    open_to_all = {name for name in RULES if allow(ANONYMOUS, name)}
    assert open_to_all == {"session.use", "session.login", "smtp.receive", "tool.use"}


def test_nobody_lifts_himself_or_a_peer() -> None:
    me = Object(TenantId(1), AccountId(7), "a.test", "tenant-admin")
    assert not allow(principal("tenant-admin"), "role.give", me)
    assert not allow(
        principal("tenant-admin"), "role.give", Object(TenantId(1), AccountId(8), "a.test", "superadmin")
    )
    assert not allow(
        principal("helpdesk"), "account.password", Object(TenantId(1), AccountId(8), "a.test", "domain-admin")
    )
    assert allow(
        principal("helpdesk"), "account.password", Object(TenantId(1), AccountId(8), "a.test", "user")
    )


def test_an_unknown_role_may_nothing() -> None:
    assert not [name for name in RULES if allow(principal("root"), name)]


@pytest.mark.parametrize("name", RULES)
def test_a_token_reaches_no_further_than_its_scopes(name: str) -> None:
    own = DISTANCES["own"][0]
    family = name.partition(".")[0]
    full = allow(principal("superadmin"), name, own)
    assert allow(principal("superadmin", scopes=frozenset({name})), name, own) is full
    assert allow(principal("superadmin", scopes=frozenset({family})), name, own) is full
    assert allow(principal("superadmin", scopes=frozenset({"nothing"})), name, own) is (family == "session")
    assert not allow(principal("auditor", scopes=frozenset({"message.read"})), "message.read", own)


def test_an_action_without_a_rule_is_an_error_where_it_is_named() -> None:
    with pytest.raises(UnknownAction):
        action("message.burn")
    with pytest.raises(UnknownAction):
        allow(OPERATOR, "message.burn")
    assert action("message.read") == "message.read"


def test_forbidden_answers_like_absent() -> None:
    with pytest.raises(NoSuchAccount) as refused:
        require(principal("user"), "account.show", Object(TenantId(1), AccountId(8)), NoSuchAccount)
    assert str(refused.value) == str(NoSuchAccount())
    require(principal("user"), "account.show", Object(TenantId(1), AccountId(7)), NoSuchAccount)


def test_the_doors_name_only_known_actions() -> None:
    assert roles.GIVEN_ROLES == ("superadmin", "tenant-admin", "domain-admin", "helpdesk", "auditor", "user")
