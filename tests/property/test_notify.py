"""Whoever follows NOTIFY knows what is there: random acts of another session, and what is told of them."""

import asyncio
import pathlib
import random
import re

import pytest

from a3mailer.testing.memory_connection import MemorySession, Stage
from tests.transcripts.imap_world import ImapWorld

ROUNDS = 40
ACTS = 25
NAMES = ("a", "a/b", "a/b/c", "d", "Sent")
_LIST = re.compile(r'\* LIST \(([^)]*)\) "/" (\S+?)(?: \("OLDNAME" \((\S+)\)\))?\r\n')
_STATUS = re.compile(r"\* STATUS (\S+) \(([^)]*)\)\r\n")


class Follower:
    """What a client makes of what it is told."""

    def __init__(self) -> None:
        self.names: dict[str, bool] = {}
        """Name to: subscribed."""
        self.counts: dict[str, dict[str, int]] = {}

    def hear(self, said: str) -> None:
        rest = _STATUS.sub("", _LIST.sub("", said))
        assert not rest, rest
        for line in said.splitlines(keepends=True):
            if match := _LIST.fullmatch(line):
                self._listed(match[1].split(), match[2], match[3])
            elif match := _STATUS.fullmatch(line):
                words = match[2].split()
                pairs = {word: int(value) for word, value in zip(words[::2], words[1::2], strict=True)}
                self.counts.setdefault(match[1], {}).update(pairs)

    def _listed(self, attributes: list[str], name: str, old: str | None) -> None:
        if old is not None:
            for each in [one for one in self.names if f"{one}/".startswith(f"{old}/")]:
                new = name + each.removeprefix(old)
                self.names[new] = self.names.pop(each)
                if each in self.counts:
                    self.counts[new] = self.counts.pop(each)
        if "\\NonExistent" in attributes:
            self.names.pop(name, None)
            self.counts.pop(name, None)
        else:
            self.names[name] = "\\Subscribed" in attributes


async def truth(session: MemorySession) -> tuple[dict[str, bool], dict[str, dict[str, int]]]:
    """The same, asked for."""
    said = (await session.feed(b'z LIST "" * RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT))\r\n')).decode()
    told = Follower()
    told.hear(said.removesuffix("z OK LIST completed\r\n"))
    return told.names, told.counts


def act(rng: random.Random) -> bytes:
    """Something that somebody does."""
    name, other = rng.choice(NAMES), rng.choice(NAMES)
    acts = (
        f"CREATE {name}",
        f"DELETE {name}",
        f"RENAME {name} {other}",
        f"SUBSCRIBE {name}",
        f"UNSUBSCRIBE {name}",
        f"APPEND {name} {{3+}}\r\na\r\n",
        f"APPEND {name} {{3+}}\r\na\r\n",
        f"SELECT {name}\r\nx STORE 1:* +FLAGS.SILENT (\\Deleted)\r\nx CLOSE",
        f"SELECT INBOX\r\nx MOVE 1 {name}\r\nx UNSELECT",
        f"SELECT {name}\r\nx COPY 1:* INBOX\r\nx UNSELECT",
    )
    return f"x {rng.choice(acts)}\r\n".encode()


@pytest.mark.parametrize("idles", [False, True], ids=["between commands", "in IDLE"])
async def test_a_follower_knows_what_is_there(tmp_path: pathlib.Path, seed: int, *, idles: bool) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    world = ImapWorld(tmp_path, {"messages": "short short short"})
    await world.fill()
    async with Stage(world.serve, world.connect) as stage:
        sessions = [stage.open(number) for number in range(3)]
        for session in sessions:
            await session.greeting()
            await session.feed(b"a LOGIN alice@example.test secret-a\r\n")
        actor, follower, witness = sessions
        client = Follower()
        events = b"(MessageNew MessageExpunge MailboxName SubscriptionChange)"
        said = await follower.feed(b"b NOTIFY SET STATUS (personal " + events + b")\r\n")
        client.hear(said.decode().removesuffix("b OK NOTIFY completed\r\n"))
        client.names = (await truth(witness))[0]
        if idles:
            await follower.feed(b"c IDLE\r\n")
        for _ in range(ROUNDS):
            for _ in range(rng.randrange(1, ACTS)):
                await actor.feed(act(rng))
            await asyncio.sleep(0)
            client.hear((await follower.feed(b"")).decode())
            names, counts = await truth(witness)
            assert client.names == names
            known = {
                name: {word: each[word] for word in ("MESSAGES", "UIDNEXT")}
                for name, each in client.counts.items()
            }
            assert known == counts
    world.close()
