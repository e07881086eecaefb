"""A deterministic mutational fuzzer for parsers, pure Python: every case is a function of (seed, number).

``run`` feeds a target with mutations of seed inputs and lets only the named errors pass.  A failing case
prints its seed, number and octets; ``case`` makes the same octets again.  10^4 cases run in CI, 10^6 with the
marker ``long`` (``CASES``); ``docs/develop/fuzz.tsv`` records the last long run of each target.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

CI, LONG = 10_000, 1_000_000
CASES = pytest.mark.parametrize(
    "count",
    [
        pytest.param(CI, id="ci"),
        pytest.param(LONG, id="long", marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
    ],
)
LONGEST = 65_536
NUMBERS = (b"0", b"-1", b"1", b"255", b"256", b"65536", b"2147483648", b"4294967295", b"18446744073709551616")
OCTETS = b"\0\t\n\r !\"#%&'()*+,-./09:;<=>?@AZ[\\]_`az{|}~\x7f\x80\xc0\xed\xff"


def _flip(octets: bytearray, rng: random.Random, _: "Mutations") -> None:
    for _again in range(rng.randrange(1, 9)):
        octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)


def _set(octets: bytearray, rng: random.Random, _: "Mutations") -> None:
    for _again in range(rng.randrange(1, 9)):
        octets[rng.randrange(len(octets))] = rng.choice(OCTETS)


def _insert(octets: bytearray, rng: random.Random, given: "Mutations") -> None:
    at = rng.randrange(len(octets) + 1)
    octets[at:at] = rng.choice(given.tokens) if rng.random() < 0.8 else rng.randbytes(rng.randrange(1, 9))


def _repeat(octets: bytearray, rng: random.Random, given: "Mutations") -> None:
    at = rng.randrange(len(octets) + 1)
    octets[at:at] = rng.choice(given.tokens) * rng.choice((2, 3, 10, 100, 1000))


def _delete(octets: bytearray, rng: random.Random, _: "Mutations") -> None:
    at = rng.randrange(len(octets))
    del octets[at : at + rng.choice((1, 1, 2, 5, 20, 100, len(octets) // 2))]


def _copy(octets: bytearray, rng: random.Random, _: "Mutations") -> None:
    start, at = rng.randrange(len(octets)), rng.randrange(len(octets))
    octets[at:at] = octets[start : start + rng.randrange(1, 200)]


def _overwrite(octets: bytearray, rng: random.Random, given: "Mutations") -> None:
    token = rng.choice(given.tokens)
    at = rng.randrange(len(octets))
    octets[at : at + len(token)] = token


def _splice(octets: bytearray, rng: random.Random, given: "Mutations") -> None:
    other = rng.choice(given.seeds)
    octets[rng.randrange(len(octets)) :] = other[rng.randrange(len(other) + 1) :]


def _lines(octets: bytearray, rng: random.Random, _: "Mutations") -> None:
    lines = octets.split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    octets[:] = b"\n".join(lines)


def _number(octets: bytearray, rng: random.Random, _: "Mutations") -> None:
    digits = [at for at, octet in enumerate(octets) if 48 <= octet <= 57]
    if digits:
        at = rng.choice(digits)
        octets[at : at + 1] = rng.choice(NUMBERS)


MUTATIONS = (_flip, _set, _insert, _insert, _repeat, _delete, _copy, _overwrite, _splice, _lines, _number)


class Mutations:
    """The seeds and tokens of one target."""

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes], seed: int) -> None:
        self.seeds = tuple(seeds)
        self.tokens = tuple(tokens) or tuple(OCTETS[at : at + 1] for at in range(len(OCTETS)))
        self.seed = seed

    def case(self, number: int) -> bytes:
        """Return the octets of one case; case 0 and on begin with the seeds themselves."""
        if number < len(self.seeds):
            return self.seeds[number]
        rng = random.Random(self.seed * 1_000_003 + number)
        octets = bytearray(rng.choice(self.seeds))
        for _ in range(rng.choice((1, 1, 2, 3, 5, 10))):
            if not octets:
                octets += rng.choice(self.tokens)
            rng.choice(MUTATIONS)(octets, rng, self)
        return bytes(octets[:LONGEST])

    def __iter__(self) -> Iterator[bytes]:
        number = 0
        while True:
            yield self.case(number)
            number += 1


def run(
    target: Callable[[bytes], object],
    seeds: Sequence[bytes],
    *,
    count: int,
    seed: int,
    tokens: Sequence[bytes] = (),
    allowed: tuple[type[Exception], ...] = (),
) -> None:
    """Call the target with `count` cases.  Whatever it raises beside `allowed` fails the test."""
    mutations = Mutations(seeds, tokens, seed)
    slowest, slowest_number = 0.0, 0
    for number in range(count):
        octets = mutations.case(number)
        passed = False
        before = time.process_time()
        try:
            target(octets)
            passed = True
        except allowed:
            passed = True
        finally:
            if not passed:
                print(f"case {number} of seed {seed} ({len(octets)} octets): {octets!r}")
        if (took := time.process_time() - before) > slowest:
            slowest, slowest_number = took, number
    print(
        f"{count} cases of seed {seed}; the dearest, number {slowest_number}, took {slowest * 1e3:.1f} ms CPU"
    )
