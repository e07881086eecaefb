"""Which messages a search has to look at (RFC 9738 section 3.1)."""

from hypothesis import given
from hypothesis import strategies as st

from a3mailer.edge.imap.limiting import both, examined
from a3mailer.mail.criteria import Everything, Nothing, Numbers, Operator, Program
from a3mailer.wire.imap.sequence import Span, merged

COUNT = 12


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    places = draw(st.sets(st.integers(0, COUNT - 1)))
    return merged([(at, at + 1) for at in places])


def places_of(found: list[Span]) -> set[int]:
    return {at for low, high in found for at in range(low, high)}


@given(spans(), spans())
def test_what_is_in_both(first: list[Span], second: list[Span]) -> None:
    found = both(first, second)
    assert places_of(found) == places_of(first) & places_of(second)
    assert all(low < high for low, high in found)
    assert found == sorted(found)


def numbers(*places: int) -> Numbers:
    return Numbers(tuple(merged([(at, at + 1) for at in places])))


def test_sequence_sets_leave_few_to_look_at() -> None:
    every = {*range(COUNT)}
    cases: list[tuple[Program, set[int]]] = [
        ((Everything(),), every),
        ((Nothing(),), set()),
        ((numbers(1, 2), Everything(), Operator.AND), {1, 2}),
        ((numbers(1, 2), Everything(), Operator.OR), every),
        ((numbers(1, 2), numbers(2, 3), Operator.OR, numbers(3, 4), Operator.AND), {3}),
        ((numbers(1, 2), Operator.NOT, numbers(5), Operator.AND), {5}),
        ((numbers(1, 2), Operator.NOT), every),
    ]
    for program, wanted in cases:
        assert places_of(examined(program, COUNT)) == wanted
