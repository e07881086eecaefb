"""Random acts of several mail programs on one account, drawn small so that they meet.

An act is its name, the number of the client that does it, and numbers that the stage maps onto what is there
at that time: so every part of a history is a history that can happen, and a failing one is made shorter by
leaving acts out. (Hypothesis draws too much of the same for acts that fail only in company.)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from a3mailer.testing.store.case import mail

SYSTEM: Final = (b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Draft")
FLAGS: Final = (*SYSTEM, b"\\Deleted", b"work", b"$Junk")
"""\\Deleted twice: it is what brings messages to their end."""
MAILS: Final = (
    mail("lunch", message_id="1@b.test"),
    mail("Re: lunch", message_id="2@b.test", references="1@b.test"),
    mail("holidays", message_id="3@b.test"),
    mail("long", "All work and no play.\r\n" * 60),
    mail("Re: holidays", message_id="4@b.test", references="3@b.test"),
)
THREADS: Final = ((0, 1), (2, 4))
"""Mails of one thread each."""
BOXES: Final = ("INBOX", "INBOX", "Work", "Temp")
CLIENTS: Final = 4
LENGTH: Final = 60
KINDS: Final = ("plain", "condstore", "qresync", "rev2", "bob plain", "bob qresync", "bob rev2")
"""What a client enables after its login, and whose it is when it is not Alice's."""
SEARCHES: Final = 10

Act = tuple[Any, ...]
History = tuple[tuple[str, ...], list[Act]]
"""What each client enables, and what happens."""
Draw = Callable[[random.Random], tuple[Any, ...]]


def some(rng: random.Random) -> frozenset[int]:
    """Messages by their place, modulo how many there are."""
    return frozenset(rng.choices(range(6), k=rng.choice((1, 1, 2, 4))))


def flags(rng: random.Random, least: int = 0) -> frozenset[bytes]:
    return frozenset(rng.choices(FLAGS, k=rng.randint(least, 2)))


def contents(rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.choices(range(len(MAILS)), k=rng.choice((1, 1, 3))))


def chance(rng: random.Random) -> bool:
    return rng.random() < 0.5


def _store(rng: random.Random) -> tuple[Any, ...]:
    since = rng.choice((-1, -1, -1, 0, 2))
    return some(rng), rng.choice("++-="), flags(rng, 1), chance(rng), chance(rng), since


def _race(rng: random.Random) -> tuple[Any, ...]:
    name = rng.choice(("store", "store", "store", "expunge", "copy", "move", "body", "append"))
    what = rng.choice(("flag", "flag", "expunge", "append"))
    return what, some(rng), flags(rng, 1), (name, *WEIGHTS[name][1](rng))


WEIGHTS: Final[Mapping[str, tuple[int, Draw]]] = {
    "store": (9, _store),
    "append": (3, lambda rng: (rng.choice(BOXES), contents(rng), flags(rng))),
    "deliver": (2, lambda rng: (rng.choice(BOXES), contents(rng))),
    "expunge": (3, lambda rng: (rng.choice((None, some(rng))),)),
    "copy": (2, lambda rng: (some(rng), rng.choice(BOXES), chance(rng))),
    "move": (2, lambda rng: (some(rng), rng.choice(BOXES), chance(rng))),
    "select": (2, lambda rng: (rng.choice(BOXES), rng.choice(("SELECT", "SELECT", "SELECT", "EXAMINE")))),
    "leave": (1, lambda rng: (rng.choice((b"CLOSE", b"UNSELECT")),)),
    "body": (2, lambda rng: (some(rng), chance(rng), chance(rng))),
    "search": (2, lambda rng: (rng.randrange(SEARCHES), chance(rng))),
    "since": (1, lambda rng: (rng.randrange(10), chance(rng))),
    "status": (1, lambda rng: (rng.choice(BOXES),)),
    "look": (2, lambda rng: ()),
    "idle": (3, lambda rng: ()),
    "away": (3, lambda rng: ()),
    "race": (4, _race),
    "pop": (1, lambda rng: (some(rng), chance(rng))),
    "jmap": (
        4,
        lambda rng: (
            rng.choice(("look", "look", "set", "set", "clear", "destroy")),
            rng.randrange(10),
            rng.choice((b"\\Seen", b"\\Flagged", b"work", b"$Junk")),
        ),
    ),
    "jmap boxes": (3, lambda rng: (rng.randrange(4), rng.choice(BOXES))),
    "jmap move": (
        3,
        lambda rng: (
            rng.choice(("to", "to", "into", "into", "out of")),
            rng.randrange(10),
            (rng.choice(BOXES), rng.choice(BOXES)),
        ),
    ),
    "mailbox": (1, lambda rng: (rng.choice(("CREATE", "CREATE", "DELETE", "RENAME")),)),
}


def history(rng: random.Random) -> History:
    """One of ``LENGTH`` acts."""
    names = rng.choices(list(WEIGHTS), [weight for weight, _ in WEIGHTS.values()], k=LENGTH)
    acts = [(name, rng.randrange(CLIENTS), *WEIGHTS[name][1](rng)) for name in names]
    return tuple(rng.choices(KINDS, k=CLIENTS)), acts


def shorter(found: History, fails: Callable[[History], bool]) -> History:
    """The same failure with acts left out: by halves, quarters ..., down to single ones."""
    kinds, acts = found
    size = len(acts) // 2
    while size:
        at = len(acts)
        while at > 0:
            at = max(0, at - size)
            if fails((kinds, fewer := acts[:at] + acts[at + size :])):
                acts = fewer
        size //= 2
    for number in range(len(kinds)):
        plain = (*kinds[:number], KINDS[0], *kinds[number + 1 :])
        if fails((plain, acts)):
            kinds = plain
    return kinds, acts
