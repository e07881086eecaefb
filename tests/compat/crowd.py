"""Several mail programs in one mailbox at once, over sockets, each of which believes only what it is told.

A ``Member`` sends what comes to its mind, several commands at once where RFC 9051 section 5.5 allows it, and
holds the server to what it said before: numbers and uids, flags and modseqs, contents, uids given out. What
it did with ``.SILENT`` it takes as done unless it is told otherwise. ``agree`` compares what all believe.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from tests.property.imap_mirror import Mirror, Response, Seen, Value, attributes, numbers, responses
from tests.rig import Rig

KINDS: Final = ("plain", "condstore", "qresync", "rev2", "rev2 qresync")
NUMBERED: Final = frozenset((b"FETCH", b"STORE", b"SEARCH", b"SORT", b"THREAD"))
"""While these are answered no message goes, unless they name uids (RFC 9051 section 7.5.1)."""
FLAGS: Final = (b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Draft", b"\\Deleted", b"$Forwarded", b"Work")
LASTING: Final = (b"RFC822.SIZE", b"INTERNALDATE", b"BODY[]", b"ENVELOPE", b"BODYSTRUCTURE", b"EMAILID")
ITEMS: Final = (
    b"FLAGS",
    b"(UID BODY[])",
    b"BODY.PEEK[]",
    b"ALL",
    b"BODYSTRUCTURE",
    b"(EMAILID RFC822.SIZE INTERNALDATE)",
)
KEYS: Final = (
    b"ALL",
    b"UNSEEN",
    b"KEYWORD Work",
    b"OR FLAGGED ANSWERED",
    b"SUBJECT s1",
    b"UID 1:*",
    b"LARGER 300",
)
RECENT: Final = frozenset((b"\\Recent",))
KEPT_LINES: Final = 400
WAIT_SECONDS: Final = 60
IDLE_SECONDS: Final = 0.1


@dataclass(slots=True)
class Ground:
    """What is true for all members."""

    mailbox: bytes
    other: bytes
    facts: dict[tuple[bytes, int, bytes], Value] = field(default_factory=dict)
    """By mailbox, uid and item: what never changes."""
    given: set[tuple[bytes, int]] = field(default_factory=set)
    """Mailboxes and uids that APPENDUID and COPYUID named."""
    mails: int = 0

    def mail(self) -> bytes:
        self.mails += 1
        number = self.mails
        return b"From: a%d@example.test\r\nSubject: s%d\r\nMessage-ID: <%d@x>\r\n\r\n%b" % (
            number % 7,
            number % 11,
            number,
            b"line\r\n" * (number % 5 * 20),
        )

    def lasts(self, mailbox: bytes, uid: int, item: bytes, value: Value) -> None:
        had = self.facts.setdefault((mailbox, uid, item), value)
        assert had == value, f"{item!r} of {uid} in {mailbox!r} was {had!r} and is {value!r}"

    def gives(self, mailbox: bytes, uid: int) -> None:
        assert (mailbox, uid) not in self.given, f"uid {uid} of {mailbox!r} is given out twice"
        self.given.add((mailbox, uid))


@dataclass(slots=True)
class Command:
    """One that is on its way."""

    tag: bytes
    name: bytes
    words: bytes
    uid: bool
    named: bytes = b""
    """The messages it is about, as it names them."""
    mode: bytes = b""
    flags: frozenset[bytes] = frozenset()
    silent: bool = False
    knew: int = -1
    """How many messages the member knew of when its answer began."""
    last: int = 0
    """The last uid of them."""
    certain: bool = True
    """Whether it knew their uids."""
    told: list[Response] = field(default_factory=list)

    @property
    def expunges(self) -> bool:
        return self.uid or self.name not in NUMBERED


class Member:
    """One mail program."""

    def __init__(self, ground: Ground, rig: Rig, number: int, draw: random.Random) -> None:
        self.ground = ground
        self.rig = rig
        self.draw = draw
        self.kind = draw.choice(KINDS)
        self.name = f"{number} ({self.kind})"
        self.qresync = "qresync" in self.kind
        self.mirror = Mirror(qresync=self.qresync)
        self.modseqs: dict[int, int] = {}
        """By uid, the modseq of which the flags are known."""
        self.keywords: set[bytes] = set()
        self.highest = 0
        self.count = 0
        self.log: deque[bytes] = deque(maxlen=KEPT_LINES)

    # --- the line ----------------------------------------------------------------------------------

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.rig.port("imap"))
        await self.line()
        address, password = self.rig.credentials(0)
        await self.plain(b"LOGIN %b %b" % (address.encode(), password.encode()))
        enables = {"rev2": b"IMAP4rev2", "qresync": b"QRESYNC", "condstore": b"CONDSTORE"}
        for word in self.kind.split():
            if word in enables:
                await self.plain(b"ENABLE " + enables[word])

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def line(self) -> bytes:
        """One response with its literals."""
        async with asyncio.timeout(WAIT_SECONDS):
            octets = await self.reader.readuntil(b"\r\n")
            while size := re.search(rb"\{(\d+)\}\r\n\Z", octets):
                octets += await self.reader.readexactly(int(size[1])) + await self.reader.readuntil(b"\r\n")
        self.log.append(b"S: " + octets)
        return octets

    def send(self, octets: bytes) -> None:
        self.log.append(b"C: " + octets)
        self.writer.write(octets)

    def command(self, words: bytes, *, uid: bool = False, named: bytes = b"") -> Command:
        self.count += 1
        name = words.partition(b" ")[0]
        return Command(b"a%d" % self.count, name, (b"UID " if uid else b"") + words, uid, named)

    async def plain(self, words: bytes) -> None:
        command = self.command(words)
        self.send(b"%b %b\r\n" % (command.tag, words))
        await self.settle([command])

    async def settle(self, commands: list[Command]) -> None:
        """Take the answers of commands, which come in their order."""
        waiting = deque(commands)
        while waiting:
            command = waiting[0]
            if command.knew < 0:
                command.knew = len(self.mirror.messages)
                command.last = max((uid or 0 for uid in self.mirror.uids()), default=0)
                command.certain = None not in self.mirror.uids()
            octets = await self.line()
            (response,) = responses(octets)
            if response.tag == b"*":
                command.told.append(response)
                self.take(response, command)
            elif response.tag != b"+":
                waiting.popleft()
                assert response.tag == command.tag
                assert response.status in (b"OK", b"NO"), f"{command.words!r}: {octets!r}"
                self.ended(command, response)

    # --- what is told ------------------------------------------------------------------------------

    def take(self, response: Response, command: Command | None) -> None:
        """An untagged response; without a command it came while the member idled."""
        words = response.words
        told = attributes(words[2]) if len(words) > 1 and words[1] == b"FETCH" else {}
        if told:
            self.look(int(words[0]), told, command)
        elif words and words[0] == b"FLAGS":
            self.keywords = set(words[1])
        elif response.code.startswith(b"HIGHESTMODSEQ"):
            self.rise(int(response.code.split()[1]))
        self.mirror.apply(response, expunges=command is None or command.expunges)
        if told and (uid := self.mirror.messages[int(words[0]) - 1].uid) is not None:
            for item in LASTING:
                if told.get(item) is not None:
                    self.ground.lasts(self.ground.mailbox, uid, item, told[item])
        known = [uid for uid in self.mirror.uids() if uid is not None]
        assert known == sorted(set(known)), f"uids do not ascend: {known}"

    def rise(self, highest: int) -> None:
        assert highest >= self.highest, "HIGHESTMODSEQ falls"
        self.highest = highest

    def look(self, number: int, told: dict[bytes, Value], command: Command | None) -> None:
        """Before FETCH is applied: does it go with what was told before?"""
        assert 1 <= number <= len(self.mirror.messages), f"FETCH of {number}"
        one = self.mirror.messages[number - 1]
        assert b"UID" in told or command is None or not command.uid, "a UID command tells no UID"
        if b"FLAGS" not in told:
            return
        flags = frozenset(told[b"FLAGS"])
        unnamed = {flag for flag in flags - self.keywords if not flag.startswith(b"\\")}
        assert not unnamed, f"FLAGS has not named {unnamed}"
        asked = command is not None and command.name == b"FETCH"
        if self.qresync and not asked:
            assert {b"UID", b"MODSEQ"} <= told.keys(), "QRESYNC wants UID and MODSEQ"
        if b"MODSEQ" in told and one.uid is not None:
            modseq, had = int(told[b"MODSEQ"][0]), self.modseqs.get(one.uid, 0)
            assert modseq >= one.modseq, f"MODSEQ of {one.uid} falls from {one.modseq} to {modseq}"
            if modseq == had and one.flags is not None:
                assert flags - RECENT == one.flags - RECENT, f"flags of {one.uid} at {modseq} differ"
            self.modseqs[one.uid] = modseq

    def ended(self, command: Command, response: Response) -> None:
        """The tagged line."""
        if response.code.startswith(b"HIGHESTMODSEQ"):
            self.rise(int(response.code.split()[1]))
        if command.expunges:
            self.mirror.settled()
        if response.status == b"OK" and command.name in ENDS:
            ENDS[command.name](self, command, response)

    def codes(self, command: Command, response: Response, name: bytes) -> list[list[bytes]]:
        """The values of a code, in the tagged line or before it."""
        codes = [one.code.split() for one in (*command.told, response)]
        return [code[1:] for code in codes if code and code[0] == name]

    def appended(self, command: Command, response: Response) -> None:
        mailbox = command.words.split()[1]
        ((_validity, uid),) = self.codes(command, response, b"APPENDUID")
        self.ground.gives(mailbox, int(uid))

    def copied(self, command: Command, response: Response) -> None:
        ground, target = self.ground, command.words.split()[-1]
        for _validity, old, new in self.codes(command, response, b"COPYUID"):
            pairs = list(zip(numbers(old), numbers(new), strict=True))
            for source, uid in pairs:
                ground.gives(target, uid)
                for item in LASTING:
                    if (ground.mailbox, source, item) in ground.facts:
                        ground.lasts(target, uid, item, ground.facts[ground.mailbox, source, item])
            left = set(self.mirror.uids()) & {source for source, _uid in pairs}
            assert command.name == b"COPY" or not left, f"moved, and still there: {left}"

    def stored(self, command: Command, response: Response) -> None:
        """Each message was told of; or, where that was not wanted, it has the flags it was to have."""
        refused = {uid for code in self.codes(command, response, b"MODIFIED") for uid in numbers(code[0])}
        if command.uid and b"*" in command.named and not command.certain:
            for one in self.mirror.messages:  # it does not know what it did
                one.flags = None
            return
        tells = {
            int(one.words[0])
            for one in command.told
            if len(one.words) > 1 and one.words[1] == b"FETCH" and b"FLAGS" in attributes(one.words[2])
        }
        for key, one in self.chosen(command):
            if key in refused:
                continue
            if not command.silent:
                assert command.uid or key in tells, f"{command.words!r} does not tell of {key}"
            elif one.flags is not None and self.mirror.messages.index(one) + 1 not in tells:
                self.modseqs.pop(one.uid or 0, None)
                one.flags = changed(one.flags, command.mode, command.flags)

    def chosen(self, command: Command) -> list[tuple[int, Seen]]:
        """The messages a command named, by the numbers or uids it used."""
        messages = self.mirror.messages[: command.knew]
        keyed = {(one.uid or 0) if command.uid else at: one for at, one in enumerate(messages, 1)}
        last = command.last if command.uid else command.knew
        wanted = set(numbers(command.named.replace(b"*", b"%d" % last)))
        return [(key, one) for key, one in keyed.items() if key in wanted]

    # --- what it does ------------------------------------------------------------------------------

    async def act(self) -> None:
        await self.draw.choices((self.batch, self.idle, self.select, self.resync), (88, 6, 2, 4))[0]()
        await self.learn()

    async def batch(self) -> None:
        """Commands at once: those that name numbers go before those after which numbers may be others."""
        commands: list[Command] = []
        for _ in range(self.draw.choice((1, 1, 2, 3, 5))):
            numbered = all(not one.expunges for one in commands) and None not in self.mirror.uids()
            commands.append(self.anything(numbered and self.draw.random() < 0.5))
        self.send(b"".join(b"%b %b\r\n" % (one.tag, one.words) for one in commands))
        await self.settle(commands)

    def anything(self, numbered: bool) -> Command:
        if not self.mirror.messages:
            return self.append()
        makers = (self.fetch, self.store, self.find, self.copy, self.expunge, self.append, self.status)
        maker = self.draw.choices(makers, (6, 8, 4, 4, 3, 4, 3))[0]
        return maker(numbered)

    def some(self, numbered: bool) -> bytes:
        """Messages."""
        draw, known = self.draw, [uid for uid in self.mirror.uids() if uid is not None]
        last = len(self.mirror.messages) if numbered else max(known, default=1)
        pick = draw.random()
        if pick < 0.25 or not known:
            return draw.choice((b"1:*", b"*", b"*:%d" % draw.randint(1, last)))
        if not numbered and pick < 0.35:
            return b"%d:%d" % (last + 1, last + 100)
        among = range(1, last + 1) if numbered else known
        return b",".join(b"%d" % one for one in draw.sample(among, min(len(among), draw.randint(1, 4))))

    def fetch(self, numbered: bool) -> Command:
        words = b"FETCH %b %b" % (self.some(numbered), self.draw.choice(ITEMS))
        if self.qresync and self.draw.random() < 0.3:
            vanished = b"" if numbered else b" VANISHED"
            since = max(self.highest - self.draw.randint(0, 9), 1)
            words = b"FETCH 1:* FLAGS (CHANGEDSINCE %d%b)" % (since, vanished)
        return self.command(words, uid=not numbered)

    def store(self, numbered: bool) -> Command:
        draw, named = self.draw, self.some(numbered)
        mode, silent = draw.choice((b"+", b"-", b"")), draw.random() < 0.5
        flags = frozenset(draw.sample(FLAGS, draw.randint(1, 3)))
        modifier = b""
        if "plain" not in self.kind and draw.random() < 0.2:
            modifier = b" (UNCHANGEDSINCE %d)" % max(self.highest - draw.randint(0, 5), 1)
        words = b"%b%b %bFLAGS%b (%b)" % (
            named,
            modifier,
            mode,
            b".SILENT" if silent else b"",
            b" ".join(sorted(flags)),
        )
        command = self.command(b"STORE " + words, uid=not numbered, named=named)
        command.mode, command.flags, command.silent = mode, flags, silent
        return command

    def find(self, numbered: bool) -> Command:
        key = self.draw.choice(KEYS)
        words = self.draw.choice(
            (
                b"SEARCH ",
                b"SEARCH RETURN (MIN MAX COUNT) ",
                b"SEARCH RETURN (SAVE) ",
                b"SORT (REVERSE SUBJECT) UTF-8 ",
                b"THREAD REFERENCES UTF-8 ",
            )
        )
        return self.command(words + key, uid=not numbered)

    def copy(self, numbered: bool) -> Command:
        ground = self.ground
        name = self.draw.choice((b"COPY", b"MOVE"))
        target = self.draw.choice((ground.mailbox, ground.other))
        return self.command(b"%b %b %b" % (name, self.some(numbered), target), uid=not numbered)

    def expunge(self, numbered: bool) -> Command:
        if numbered:
            return self.command(b"EXPUNGE")
        return self.command(b"EXPUNGE " + self.some(numbered), uid=True)

    def append(self, numbered: bool = False) -> Command:
        mail = self.ground.mail()
        mailbox = self.draw.choice((self.ground.mailbox, self.ground.mailbox, self.ground.other))
        flags = b" ".join(self.draw.sample(FLAGS[:4], self.draw.randint(0, 2)))
        return self.command(b"APPEND %b (%b) {%d+}\r\n%b" % (mailbox, flags, len(mail), mail))

    def status(self, numbered: bool) -> Command:
        words = b"STATUS %b (MESSAGES UIDNEXT UNSEEN)" % self.ground.mailbox
        return self.command(self.draw.choice((b"NOOP", b"CHECK", words)))

    async def idle(self) -> None:
        command = self.command(b"IDLE")
        self.send(b"%b IDLE\r\n" % command.tag)
        await asyncio.sleep(IDLE_SECONDS * self.draw.random())
        self.send(b"DONE\r\n")
        await self.settle([command])

    async def select(self, had: Mirror | None = None) -> None:
        """``had``: what was known when the connection was lost (RFC 7162 section 3.2.5)."""
        mirror = self.mirror = Mirror(qresync=self.qresync)
        self.highest = 0
        parameters = b""
        if had is not None:
            mirror.cached = {one.uid: one for one in had.messages if one.uid is not None}
            parameters = b" (QRESYNC (%d %d))" % (had.uid_validity, had.highest)
        await self.plain(b"SELECT %b%b" % (self.ground.mailbox, parameters))
        if had is not None:
            mirror.merge(described=False)  # SELECT may end with news: EXISTS of what FETCH did not tell
        await self.learn()

    async def resync(self) -> None:
        """The connection is lost."""
        if self.qresync:
            had, self.mirror = self.mirror, Mirror()
            await self.close()
            await self.open()
            await self.select(had)

    async def learn(self) -> None:
        """Ask for uids and flags that are not known."""
        while unknown := [
            at for at, one in enumerate(self.mirror.messages, 1) if None in (one.uid, one.flags)
        ]:
            await self.plain(b"FETCH %d:* (UID FLAGS%b)" % (unknown[0], b" MODSEQ" * self.qresync))

    def believes(self) -> list[tuple[int | None, frozenset[bytes]]]:
        return [(one.uid, (one.flags or frozenset()) - RECENT) for one in self.mirror.messages]


Ender = Callable[[Member, Command, Response], None]
ENDS: Final[dict[bytes, Ender]] = {
    b"APPEND": Member.appended,
    b"COPY": Member.copied,
    b"MOVE": Member.copied,
    b"STORE": Member.stored,
}


def changed(had: frozenset[bytes], mode: bytes, flags: frozenset[bytes]) -> frozenset[bytes]:
    """What STORE does to the flags of a message."""
    return had | flags if mode == b"+" else had - flags if mode == b"-" else flags


async def agree(members: Iterable[Member]) -> None:
    """Nothing happens any more: all believe what one who asks for everything is told."""
    truth: list[tuple[int | None, frozenset[bytes]]] | None = None
    for member in members:
        await member.plain(b"NOOP")
        await member.learn()
        believed = member.believes()
        for one in member.mirror.messages:
            one.flags = None
        await member.learn()
        told = member.believes()
        assert believed == told, f"{member.name} believed otherwise: {set(believed) ^ set(told)}"
        truth = told if truth is None else truth
        assert told == truth, f"{member.name} is told otherwise: {set(told) ^ set(truth)}"
