"""Filters, sorts and results of Email/query (RFC 8621 section 4.4) as ``access.email_search`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from a3mailer.access import email_search as search
from a3mailer.access.account_changes import State
from a3mailer.access.account_mail import EMAIL_BITS, EMAIL_MASK, AccountMail
from a3mailer.access.email_search import Finding, Join, Joined, Leaf, Node, Order
from a3mailer.access.labour import Labour
from a3mailer.access.sortkeys import Criterion
from a3mailer.edge.http.jmap.capabilities import SMIME
from a3mailer.edge.http.jmap.email_records import KEYWORDS
from a3mailer.edge.http.jmap.limits import EMAIL_SORTS
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import Comparator, Operator
from a3mailer.edge.http.jmap.states import written
from a3mailer.mail.objectids import EMAIL_LETTER, MAILBOX_LETTER, number_of, object_id
from a3mailer.wire.jmap.errors import MethodError, invalid_arguments
from a3mailer.wire.jmap.values import Id, UnsignedInt, UTCDate, read_date

CRITERIA: Final = {
    "receivedAt": Criterion.ARRIVAL,
    "size": Criterion.SIZE,
    "from": Criterion.DISPLAY_FROM,
    "to": Criterion.DISPLAY_TO,
    "subject": Criterion.SUBJECT,
    "sentAt": Criterion.DATE,
}
SORTS: Final = frozenset(EMAIL_SORTS)
_JOINS: Final = {"AND": Join.ALL, "OR": Join.ANY, "NOT": Join.NONE}
Words = Annotated[str, Meta(max_length=1000)]
ABSENT: Final[Any] = None
"""Of what is not asked for: a client cannot write it, null is no value of any of these."""


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A FilterCondition (section 4.4.1)."""

    in_mailbox: Id = ABSENT
    in_mailbox_other_than: tuple[Id, ...] = ABSENT
    before: UTCDate = ABSENT
    after: UTCDate = ABSENT
    min_size: UnsignedInt = ABSENT
    max_size: UnsignedInt = ABSENT
    all_in_thread_have_keyword: Words = ABSENT
    some_in_thread_have_keyword: Words = ABSENT
    none_in_thread_have_keyword: Words = ABSENT
    has_keyword: Words = ABSENT
    not_keyword: Words = ABSENT
    has_attachment: bool = ABSENT
    text: Words = ABSENT
    from_: Words = msgspec.field(default=ABSENT, name="from")
    to: Words = ABSENT
    cc: Words = ABSENT
    bcc: Words = ABSENT
    subject: Words = ABSENT
    body: Words = ABSENT
    has_smime: bool = ABSENT
    has_verified_smime: bool = ABSENT
    has_verified_smime_at_delivery: bool = ABSENT
    header: Annotated[tuple[Words, ...], Meta(min_length=1, max_length=2)] = ABSENT


def node_of(filter: Any) -> Node:
    """A filter. Errors: MethodError (``invalidArguments``)."""
    if filter is None:
        return search.EVERYTHING
    if isinstance(filter, Operator):
        return Joined(_JOINS[filter.operator], tuple(node_of(each) for each in filter.conditions))
    return Joined(Join.ALL, tuple(_leaves(filter)))


def _leaves(one: Condition) -> list[Node]:
    found: list[Node] = []
    if one.in_mailbox is not None:
        found.append(search.in_mailbox(_mailbox(one.in_mailbox)))
    if one.in_mailbox_other_than is not None:
        found.append(search.in_other_than(frozenset(map(_mailbox, one.in_mailbox_other_than))))
    if one.before is not None or one.after is not None:
        found.append(search.received(_date(one.after), _date(one.before)))
    if one.min_size is not None or one.max_size is not None:
        found.append(search.sized(one.min_size, one.max_size))
    if one.has_attachment is not None:
        found.append(search.has_attachment(one.has_attachment))
    return found + _keyword_leaves(one) + _signature_leaves(one) + _text_leaves(one)


def _signature_leaves(one: Condition) -> list[Node]:
    """RFC 9219 section 4.2."""
    found: list[Node] = []
    if one.has_smime is not None:
        found.append(search.is_signed(one.has_smime))
    if one.has_verified_smime is not None:
        found.append(search.is_verified(one.has_verified_smime))
    if one.has_verified_smime_at_delivery is not None:
        found.append(search.was_verified(one.has_verified_smime_at_delivery))
    return found


def _text_leaves(one: Condition) -> list[Node]:
    found: list[Node] = []
    for name in ("from_", "to", "cc", "bcc"):
        if (text := getattr(one, name)) is not None:
            found.append(search.addressed(name.rstrip("_"), text))
    if one.header is not None:
        found.append(search.header(one.header[0], "".join(one.header[1:])))
    for text, leaf in ((one.subject, search.about), (one.body, search.said), (one.text, search.anywhere)):
        if text is not None:
            found.append(leaf(text))
    return found


def _keyword_leaves(one: Condition) -> list[Node]:
    found: list[Node] = []
    if one.has_keyword is not None:
        found.append(search.keyword(*_keyword(one.has_keyword)))
    if one.not_keyword is not None:
        found.append(Joined(Join.NONE, (search.keyword(*_keyword(one.not_keyword)),)))
    if one.all_in_thread_have_keyword is not None:
        found.append(search.in_thread(*_keyword(one.all_in_thread_have_keyword), all))
    if one.some_in_thread_have_keyword is not None:
        found.append(search.in_thread(*_keyword(one.some_in_thread_have_keyword), any))
    if one.none_in_thread_have_keyword is not None:
        some = search.in_thread(*_keyword(one.none_in_thread_have_keyword), any)
        found.append(Joined(Join.NONE, (some,)))
    return found


def _keyword(word: str) -> tuple[str, int]:
    lower = word.lower()
    return lower, KEYWORDS.get(lower, 0)


def _mailbox(id: str) -> int:
    return number_of(MAILBOX_LETTER, id) or -1


def _date(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return read_date(text)
    except ValueError as error:
        raise invalid_arguments("that is no date") from error


def orders_of(sort: Sequence[Comparator]) -> list[Order]:
    """A sort. Errors: MethodError (``unsupportedSort``)."""
    found: list[Order] = []
    for one in sort:
        descending = not one.is_ascending
        if one.property in CRITERIA:
            found.append(Order(CRITERIA[one.property], descending=descending))
            continue
        if not one.keyword:
            raise MethodError("unsupportedSort", f"{one.property} needs a keyword")
        word, bit = _keyword(one.keyword)
        tests: dict[str, Leaf] = {
            "hasKeyword": search.keyword(word, bit),
            "allInThreadHaveKeyword": search.in_thread(word, bit, all),
            "someInThreadHaveKeyword": search.in_thread(word, bit, any),
        }
        found.append(Order(test=tests[one.property], descending=descending))
    return found


@dataclass(frozen=True, slots=True)
class Simple:
    """What one mailbox holds, or all mail, by date: nothing is filtered or sorted for it."""

    mail: AccountMail
    mailbox: int
    descending: bool
    collapse: bool
    state: str
    can_calculate_changes: bool = True

    async def total(self) -> int:
        if self.collapse:
            if self.mailbox:
                return self.mail.counted(self.mailbox).threads
            return len(set(self.mail.threads))
        return len(self.mail.order(self.mailbox))

    async def part(self, start: int, stop: int) -> Sequence[str]:
        order = self.mail.order(self.mailbox)
        if self.collapse:
            return [object_id(EMAIL_LETTER, number) for number in islice(self._collapsed(), start, stop)]
        keys = order[start:stop]
        if self.descending:
            size = len(order)
            keys = order[max(0, size - stop) : max(0, size - start)][::-1]
        return [object_id(EMAIL_LETTER, key & EMAIL_MASK) for key in keys]

    def _collapsed(self) -> Any:
        order = self.mail.order(self.mailbox)
        seen: set[int] = set()
        for key in reversed(order) if self.descending else order:
            number = key & EMAIL_MASK
            thread = self.mail.threads[self.mail.place(number)]
            if thread not in seen:
                seen.add(thread)
                yield number

    async def index(self, id: str) -> int:
        number = number_of(EMAIL_LETTER, id)
        at = -1 if number is None else self.mail.place(number)
        if number is None or at < 0 or (self.mailbox and self.mailbox not in self.mail.mailboxes(at)):
            return -1
        if self.collapse:
            return next((place for place, each in enumerate(self._collapsed()) if each == number), -1)
        order = self.mail.order(self.mailbox)
        place = search.place_of_key(order, self.mail.dates[at] << EMAIL_BITS | number)
        return len(order) - 1 - place if self.descending else place


@dataclass(frozen=True, slots=True)
class Found:
    """The emails of a search."""

    finding: Finding
    state: str
    can_calculate_changes: bool = True

    async def total(self) -> int:
        return len(await self.finding.reach())

    async def part(self, start: int, stop: int) -> Sequence[str]:
        return [object_id(EMAIL_LETTER, number) for number in (await self.finding.reach(stop))[start:stop]]

    async def index(self, id: str) -> int:
        number = number_of(EMAIL_LETTER, id)
        return -1 if number is None else await self.finding.place(number)


async def results(call: Call, filter: Any, sort: Sequence[Comparator], *, collapse: bool) -> Simple | Found:
    """The results of a query. Errors: MethodError."""
    node, orders = node_of(filter), orders_of(sort)
    by_signature = any(leaf.stage == search.SIGNATURES for leaf in search.leaves(node))
    if by_signature and SMIME not in call.exchange.using:
        raise MethodError("unsupportedFilter", f"signatures need {SMIME} in using")
    mail = await call.mail.of(call.account.id)
    state = written(call.account, State(mail.modseq))
    mailbox = _only_mailbox(filter)
    by_date = not orders or (len(orders) == 1 and orders[0].criterion is Criterion.ARRIVAL)
    descending = orders[0].descending if orders and by_date else True
    if mailbox is not None and by_date:
        return Simple(mail, mailbox, descending, collapse, state)
    labour = Labour(call.services.clock, search.SECONDS)
    services = call.services
    one = search.Search(
        services.store, services.mail.keys, call.account.id, mail, labour, services.signatures
    )
    keys = search.by_date(mail, _any_mailbox(filter), await one.likely(node), descending=descending)
    finding = Finding(one, mail, keys, node, collapse=collapse)
    if not by_date:
        await finding.order(orders)
    return Found(finding, state, not by_signature)


_NOTHING: Final = Condition()


def _only_mailbox(filter: Any) -> int | None:
    """The mailbox that is the whole filter, 0 without a filter; None where there is more to it."""
    if filter is None or filter == _NOTHING:
        return 0
    if isinstance(filter, Condition) and filter.in_mailbox is not None:
        return _mailbox(filter.in_mailbox) if filter == Condition(in_mailbox=filter.in_mailbox) else None
    return None


def _any_mailbox(filter: Any) -> int:
    """A mailbox that all that matches is in; 0: nobody knows."""
    if isinstance(filter, Operator) and filter.operator == "AND":
        return next((found for each in filter.conditions if (found := _any_mailbox(each))), 0)
    if isinstance(filter, Condition) and filter.in_mailbox is not None:
        return _mailbox(filter.in_mailbox)
    return 0
