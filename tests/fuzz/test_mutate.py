"""The fuzzer itself: repeatable, finds a planted fault, names the case."""

import itertools

import pytest

from tests.fuzz import mutate


def test_a_case_is_a_function_of_seed_and_number() -> None:
    one = mutate.Mutations([b"abc def", b"x"], [b"()"], 7)
    other = mutate.Mutations([b"abc def", b"x"], [b"()"], 7)
    assert list(itertools.islice(one, 300)) == [other.case(number) for number in range(300)]
    assert list(itertools.islice(one, 2)) == [b"abc def", b"x"]
    assert len({one.case(number) for number in range(300)}) > 150
    assert one.case(200) != mutate.Mutations([b"abc def", b"x"], [b"()"], 8).case(200)


def test_it_finds_a_planted_fault_and_names_it(capsys: pytest.CaptureFixture[str], seed: int) -> None:
    def target(octets: bytes) -> None:
        if octets.count(b"(") > 2 and b"z" not in octets:
            raise RecursionError

    with pytest.raises(RecursionError):
        mutate.run(target, [b"a (b)", b"zz"], count=20_000, seed=seed, tokens=[b"(", b"z"])
    printed = capsys.readouterr().out
    assert f"of seed {seed}" in printed
    assert "case " in printed


def test_the_errors_a_parser_may_raise_pass(seed: int) -> None:
    def target(octets: bytes) -> None:
        raise ValueError(octets)

    mutate.run(target, [b"a"], count=50, seed=seed, allowed=(ValueError,))


def test_an_empty_seed_is_a_seed(seed: int) -> None:
    mutate.run(len, [b""], count=2_000, seed=seed)
