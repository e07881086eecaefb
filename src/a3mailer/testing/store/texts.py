"""The rules of the index of texts: what it says of the emails it holds is exact, and it may hold none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from a3mailer.mail.ids import AccountId
from a3mailer.mail.message import index
from a3mailer.mail.message.searched import needle, searched
from a3mailer.store import operations as op
from a3mailer.store.texts import Sought, Where
from a3mailer.testing.store.case import StoreCase, World, mail

Indexed = Callable[[AccountId], Awaitable[None]]
WORDS = ("apple", "pear", "grün", "meeting at ten", "会议纪要", "x", "straße", "end\r\nof line")
NEEDLES = (
    "app",
    "E",
    "PEAR",
    "GRÜN",
    "at ten",
    "会议",
    "议",
    "纪要",
    "x",
    "STRASSE",
    "of line",
    "end of",
    "nothing",
    " ",
)


async def turn() -> None:
    """Nobody else is there."""


async def agrees(world: World, mails: dict[int, bytes], account: AccountId) -> int:
    """Ask for every needle everywhere: the index finds what plain looking finds. How far it reaches."""
    texts = {email: searched(octets, index(octets)) for email, octets in mails.items()}
    sought = [Sought(where, needle(word)) for word in NEEDLES for where in (Where.TEXT, Where.BODY)]
    sought += [Sought(Where.HEADER, needle(word), "subject") for word in ("", *NEEDLES)]
    matches = await world.store.texts_with(account, sought, set(mails), turn)
    for one, found in zip(sought, matches.found, strict=True):
        assert found == {
            email for email, text in texts.items() if email <= matches.upto and one.is_in(text)
        }, one
    return matches.upto


class TextRules(StoreCase):
    """What is asked of an index."""

    @pytest.fixture
    def indexed(self) -> Indexed:
        """Bring the index of an account up to date. A backend without one leaves this as it is."""

        async def nothing(account: AccountId) -> None:
            """There is no index."""

        return nothing

    async def test_what_the_index_says_is_exact(self, world: World, indexed: Indexed) -> None:
        mails: dict[int, bytes] = {}
        for number, body in enumerate((*WORDS, *WORDS)):
            octets = mail(f"{WORDS[number % 3]} {number}", body)
            mails[(await world.append(world.alice, octets)).email] = octets
            if number % 5 == 0:
                await indexed(world.alice)
                await agrees(world, mails, world.alice)
        await indexed(world.alice)
        await agrees(world, mails, world.alice)

    async def test_only_the_emails_asked_for_are_found(self, world: World, indexed: Indexed) -> None:
        emails = [(await world.append(world.alice, mail("s", "apple"))).email for _ in range(6)]
        await indexed(world.alice)
        found, upto, _left = await world.store.texts_with(
            world.alice, [Sought(Where.TEXT, "apple")], set(emails[2:4]), turn
        )
        assert found[0] == {email for email in emails[2:4] if email <= upto}

    async def test_accounts_know_nothing_of_each_other(self, world: World, indexed: Indexed) -> None:
        await world.append(world.alice, mail("s", "apple"))
        theirs = (await world.append(world.bob, mail("s", "pear"))).email
        await indexed(world.alice)
        await indexed(world.bob)
        found, *_ = await world.store.texts_with(world.bob, [Sought(Where.TEXT, "apple")], {theirs}, turn)
        assert found == (set(),)

    async def test_what_is_erased_is_not_found(self, world: World, indexed: Indexed) -> None:
        kept = await world.append(world.alice, mail("s", "apple one"))
        erased = await world.append(world.alice, mail("s", "apple two"))
        await indexed(world.alice)
        await world.erase(world.alice, erased.email)
        for _ in range(2):
            found, *_ = await world.store.texts_with(
                world.alice, [Sought(Where.TEXT, "apple two")], {kept.email, erased.email}, turn
            )
            assert found == (set(),)
            await indexed(world.alice)

    async def test_an_account_that_is_gone_has_none(self, world: World, indexed: Indexed) -> None:
        email = (await world.append(world.alice, mail("s", "apple"))).email
        await indexed(world.alice)
        await world.do(op.RemoveAccount(world.alice, world.now))
        for _ in range(2):
            found, upto, _left = await world.store.texts_with(
                world.alice, [Sought(Where.TEXT, "apple")], {email}, turn
            )
            assert (found, upto) == ((set(),), 0)
            await indexed(world.alice)
