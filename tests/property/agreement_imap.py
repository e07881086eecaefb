"""What a mail program does over IMAP, and what becomes true by it (RFC 9051, RFC 7162, RFC 6851)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from a3mailer.mail.ids import AccountId, MailboxId, Uid
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from tests.property.agreement import BITS, CONTENTS, Box, Client, Doing, Letter, Stage, joined
from tests.property.agreement_acts import MAILS, Act
from tests.property.imap_mirror import Mirror, Response, attributes, numbers


async def deliver(stage: Stage, _client: Client, name: str, contents: tuple[int, ...]) -> None:
    """As the MTA does."""
    if (box := stage.boxes.get(name)) is not None:
        mailbox = await stage.store.mailbox_named(stage.account, name)
        appends = tuple(op.Append(stage.account, mailbox.id, at) for at in range(len(contents)))
        await stage.store.commit(Transaction(appends, tuple(CONTENTS[number] for number in contents)))
        for number in contents:
            box.add(number, (), stage.origin())


async def append(
    stage: Stage, client: Client, name: str, contents: tuple[int, ...], flags: frozenset[bytes]
) -> None:
    parts = [
        b"(%b) {%d+}\r\n%b" % (b" ".join(sorted(flags)), len(MAILS[number]), MAILS[number])
        for number in contents
    ]
    box = stage.box(client, name)
    command = b"APPEND %b %b" % (stage.word(client, name), b" ".join(parts))
    code, _ = await client.command(command, ok=b"OK" if box else b"NO")
    if box is None:
        assert code == b"TRYCREATE"
        return
    own = flags if client.name == "alice" or box is stage.mine else flags - {b"\\Seen"}
    seen = own != flags
    uids = [box.add(number, own, stage.origin(), seen=seen) for number in contents]
    kind, validity, told = code.split(b" ")
    assert (kind, int(validity), numbers(told)) == (b"APPENDUID", box.uid_validity, uids)


async def select(stage: Stage, client: Client, name: str, how: str) -> None:
    await enter(stage, client, name, how.encode())


async def enter(stage: Stage, client: Client, name: str, how: bytes, had: Mirror | None = None) -> None:
    """``had``: what was known, which is asked to be made right (RFC 7162 section 3.2.5)."""
    mirror = client.mirror = Mirror()
    parameters, known = b"", b""
    if had is not None:
        mirror.cached = {one.uid: replace(one, recent=False) for one in had.messages if one.uid is not None}
        known = b" %b" % joined(mirror.cached) if len(mirror.cached) % 2 else b""
        parameters = b" (QRESYNC (%d %d%b))" % (had.uid_validity, had.highest, known)
    mirror.qresync = client.kind == "qresync"
    box = client.box = stage.box(client, name)
    command = b"%b %b%b" % (how, stage.word(client, name), parameters)
    if box is None:
        await client.command(command, ok=b"NO")
        return
    client.read_only = how == b"EXAMINE"
    code, _ = await client.command(command)
    assert code == (b"READ-ONLY" if client.read_only else b"READ-WRITE")
    assert (mirror.uid_validity, mirror.uid_next) == (box.uid_validity, box.uid_next)
    assert mirror.highest == max(box.modseq, 1)
    if had is not None:
        mirror.merge(described=not known)
    await client.learn()
    stage.check(client)


async def leave(stage: Stage, client: Client, how: bytes) -> None:
    """CLOSE expunges what the client knows of."""
    if (box := client.box) is not None:
        before = doomed_of(client, None) if how == b"CLOSE" and not client.read_only else []
        client.box = None
        await client.command(how)
        box.remove(uid for uid in before if b"\\Deleted" in box.letters[uid].flags)


def doomed_of(client: Client, among: set[int] | None) -> list[int]:
    """What EXPUNGE removes: the \\Deleted among the messages the client knows."""
    assert client.box is not None
    letters = client.box.letters
    return [
        uid
        for uid in map(client.uid, range(1, len(client.mirror.messages) + 1))
        if uid in letters and b"\\Deleted" in letters[uid].flags and (among is None or uid in among)
    ]


async def expunge(stage: Stage, client: Client, chosen: frozenset[int] | None) -> None:
    places = [] if chosen is None else client.places(chosen)
    if (box := client.box) is None or (chosen is not None and not places):
        return
    uids = {client.uid(place) for place in places}
    command = b"EXPUNGE" if chosen is None else b"UID EXPUNGE %b" % joined(sorted(uids))
    before = doomed_of(client, None if chosen is None else uids)
    await client.command(command, ok=b"NO" if client.read_only else b"OK")
    if not client.read_only:
        doomed = [uid for uid in before if uid in box.letters and b"\\Deleted" in box.letters[uid].flags]
        box.remove(doomed)
        assert not set(doomed) & set(client.mirror.uids()), "who expunges is told at once"


def changed(had: frozenset[bytes], mode: str, flags: frozenset[bytes]) -> frozenset[bytes]:
    """What STORE does to the flags of one message."""
    return had | flags if mode == "+" else had - flags if mode == "-" else flags


async def store(
    stage: Stage,
    client: Client,
    chosen: frozenset[int],
    mode: str,
    flags: frozenset[bytes],
    silent: bool,
    by_uid: bool,
    since: int,
) -> None:
    """``since``: not for messages changed after the mailbox's modseq less this; -1: for all."""
    if (box := client.box) is None or not (places := client.places(chosen)):
        return
    uids = {client.uid(place): place for place in places}
    modifier, limit = b"", sys.maxsize
    if since >= 0:
        limit = max(box.modseq - since, 0)
        modifier = b" (UNCHANGEDSINCE %d)" % limit
    command = b"%bSTORE %b%b %bFLAGS%b (%b)" % (
        b"UID " if by_uid else b"",
        joined(uids if by_uid else places),
        modifier,
        mode.encode().replace(b"=", b""),
        b".SILENT" if silent else b"",
        b" ".join(sorted(flags)),
    )
    code, _ = await client.command(command, expunges=by_uid, ok=b"NO" if client.read_only else b"OK")
    if client.read_only:
        return
    there = {uid: client.shown(box.letters[uid]) for uid in uids if uid in box.letters}
    refused = {uid for uid, one in there.items() if one.modseq > limit or (since >= 0 and one.modseq == 0)}
    if refused:
        assert code.startswith(b"MODIFIED "), code
        told = set(numbers(code.removeprefix(b"MODIFIED ")))
        expected = refused if by_uid else {uids[uid] for uid in refused}
        assert told & {uid if by_uid else uids[uid] for uid in there} == expected
    for uid in there.keys() - refused:
        flag(box, uid, changed(there[uid].flags, mode, flags), client)
    if silent:
        for one in client.mirror.messages:
            if one.uid in uids and one.uid not in refused and one.flags is not None:
                one.flags = changed(one.flags, mode, flags)


def flag(box: Box, uid: int, flags: frozenset[bytes], client: Client | None = None) -> None:
    """A message has other flags than before, and so a modseq that is to be learnt; or the same.

    By a reader \\Seen is changed for itself."""
    one = box.letters[uid]
    if client is not None and client.shown(one, box) is not one:
        if one.seen != (b"\\Seen" in flags):
            one = replace(one, seen=not one.seen, theirs=0)
        flags = flags - {b"\\Seen"} | one.flags & {b"\\Seen"}
    if one.flags != flags:
        one = replace(one, flags=flags, modseq=0, theirs=0)
    box.letters[uid] = one


async def copy(
    stage: Stage, client: Client, chosen: frozenset[int], name: str, by_uid: bool, *, move: bool = False
) -> None:
    if (box := client.box) is None or not (places := client.places(chosen)):
        return
    target = stage.box(client, name)
    crosses = target is not None and target.account != box.account
    if crosses and not move:  # what others expunge meanwhile is copied or not
        await look(stage, client)
        places = client.places(chosen)
    if not places:
        return
    uids = [client.uid(place) for place in places]
    word = b"MOVE" if move else b"COPY"
    command = b"%b%b %b %b" % (
        b"UID " if by_uid else b"", word, joined(uids if by_uid else places), stage.word(client, name)
    )  # fmt: skip
    refused = target is None or (move and client.read_only)
    if crosses and not refused and not set(uids) <= box.letters.keys():
        code, _ = await client.command(command, ok=b"NO")
        assert code == b"EXPUNGEISSUED"
        return
    code, said = await client.command(command, ok=b"NO" if refused else b"OK")
    if target is None or refused:
        return
    there = [uid for uid in uids if uid in box.letters]
    codes = [code, *(one.code for one in said)]
    pairs = [one.removeprefix(b"COPYUID ").split(b" ") for one in codes if one.startswith(b"COPYUID ")]
    assert len(pairs) == bool(there)
    if there:
        validity, old, new = pairs[0]
        letters = [box.letters[uid] for uid in there]
        if move:
            box.remove(there)
        if target.account == box.account:
            copies = [
                target.add(one.content, one.flags, one.origin, one.twin, seen=one.seen) for one in letters
            ]
        else:
            copies = [crossed(stage, client, box, one, target) for one in letters]
        assert (int(validity), numbers(old), numbers(new)) == (target.uid_validity, there, copies)
    if move:
        assert not set(there) & set(client.mirror.uids()), "who moves is told at once"


def crossed(stage: Stage, client: Client, box: Box, one: Letter, target: Box) -> int:
    """A message becomes another one, of another account; its uid. Only the reader can do that."""
    flags = client.shown(one, box).flags
    own = flags if target is stage.mine else flags - {b"\\Seen"}
    return target.add(one.content, own, stage.origin(), seen=own != flags)


async def move(stage: Stage, client: Client, chosen: frozenset[int], name: str, by_uid: bool) -> None:
    await copy(stage, client, chosen, name, by_uid, move=True)


async def body(stage: Stage, client: Client, chosen: frozenset[int], peek: bool, by_uid: bool) -> None:
    """Also of messages that are gone, as long as the client was not told."""
    if (box := client.box) is None or not (places := client.places(chosen)):
        return
    uids = [client.uid(place) for place in places]
    command = b"%bFETCH %b (UID BODY%b[])" % (
        b"UID " if by_uid else b"", joined(uids if by_uid else places), b".PEEK" if peek else b""
    )  # fmt: skip
    _, said = await client.command(command, expunges=by_uid)
    found = {int(told[b"UID"]): told[b"BODY[]"] for told in fetched(said) if b"BODY[]" in told}
    assert list(found) == uids
    for uid in uids:
        if uid in box.letters:
            assert found[uid] == MAILS[box.letters[uid].content]
            if not (peek or client.read_only):
                flag(box, uid, client.shown(box.letters[uid]).flags | {b"\\Seen"}, client)


def fetched(said: Iterable[Response]) -> list[dict[bytes, object]]:
    """The items of each FETCH."""
    return [attributes(one.words[2]) for one in said if len(one.words) > 2 and one.words[1] == b"FETCH"]


KEYS: Final[tuple[tuple[bytes, Callable[[Letter], bool]], ...]] = (
    (b"ALL", lambda one: True),
    (b"UNSEEN", lambda one: b"\\Seen" not in one.flags),
    (b"DELETED", lambda one: b"\\Deleted" in one.flags),
    (b"KEYWORD work", lambda one: b"work" in one.flags),
    (b"UNKEYWORD $Junk FLAGGED", lambda one: b"$Junk" not in one.flags and b"\\Flagged" in one.flags),
    (b"OR ANSWERED NOT DRAFT", lambda one: b"\\Answered" in one.flags or b"\\Draft" not in one.flags),
    (b"LARGER 500", lambda one: len(MAILS[one.content]) > 500),
    (b"SUBJECT holi", lambda one: one.content in (2, 4)),
    (b"BODY work", lambda one: one.content == 3),
    (b"NOT TEXT lunch", lambda one: one.content not in (0, 1)),
)


async def search(stage: Stage, client: Client, number: int, by_uid: bool) -> None:
    """Among what the client knows, by the flags as they are."""
    if (box := client.box) is None:
        return
    key, matches = KEYS[number]
    _, said = await client.command(b"%bSEARCH %b" % (b"UID " if by_uid else b"", key), expunges=by_uid)
    told = [one.words for one in said if one.words and one.words[0] in (b"SEARCH", b"ESEARCH")]
    assert len(told) == 1
    words = told[0]
    if words[0] == b"SEARCH":
        found = [int(word) for word in words[1:] if isinstance(word, bytes)]
    else:
        found = numbers(words[words.index(b"ALL") + 1]) if b"ALL" in words else []
    before = client.before
    uids = found if by_uid else [before[place - 1] for place in found]
    there = [uid for uid in before if uid in box.letters]
    expected = [uid for uid in there if matches(client.shown(box.letters[uid]))]
    assert [uid for uid in uids if uid in box.letters] == expected


async def since(stage: Stage, client: Client, ago: int, vanished: bool) -> None:
    """UID FETCH of what changed since a modseq: no more and no less.

    What went and the client was not told of is news, behind what it is told to have gone EARLIER."""
    if (box := client.box) is None:
        return
    modseq = max(box.modseq - ago, 1)
    vanished &= client.kind == "qresync"
    _, said = await client.command(
        b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d%b)" % (modseq, b" VANISHED" if vanished else b"")
    )
    known = set(client.before)
    letters = {uid: client.shown(one) for uid, one in box.letters.items()}
    changed = {uid for uid, one in letters.items() if one.modseq > modseq and uid in known}
    assert changed <= {int(told[b"UID"]) for told in fetched(said) if b"UID" in told}  # type: ignore[call-overload]
    earlier = [one.words for one in said if one.words[:2] == [b"VANISHED", [b"EARLIER"]]]
    gone = {uid for words in earlier for uid in numbers(words[2])}
    if vanished:
        news = [one.words for one in said if one.words[:1] == [b"VANISHED"] and one.words not in earlier]
        new = {uid for words in news for uid in numbers(words[1])}
        assert not gone & new
        assert new <= known
        assert gone | new >= {uid for uid, when in box.gone.items() if when > modseq}
        assert not (gone | new) & box.letters.keys()


async def status(stage: Stage, client: Client, name: str) -> None:
    items = b"MESSAGES UNSEEN DELETED SIZE UIDNEXT UIDVALIDITY HIGHESTMODSEQ"
    box = stage.box(client, name)
    word = stage.word(client, name)
    _, said = await client.command(b"STATUS %b (%b)" % (word, items), ok=b"OK" if box else b"NO")
    if box is None:
        return
    (told,) = [attributes(one.words[2]) for one in said if one.words and one.words[0] == b"STATUS"]
    letters = [client.shown(one, box) for one in box.letters.values()]
    assert {key: int(value) for key, value in told.items()} == {
        b"MESSAGES": len(letters),
        b"UNSEEN": sum(b"\\Seen" not in one.flags for one in letters),
        b"DELETED": sum(b"\\Deleted" in one.flags for one in letters),
        b"SIZE": sum(len(MAILS[one.content]) for one in letters),
        b"UIDNEXT": box.uid_next,
        b"UIDVALIDITY": box.uid_validity,
        b"HIGHESTMODSEQ": max(box.modseq, 1),
    }


async def look(stage: Stage, client: Client) -> None:
    """After NOOP a client knows everything."""
    await client.command(b"NOOP")
    await client.learn()
    stage.check(client)


async def idle(stage: Stage, client: Client) -> None:
    """It is told everything as it happens, until its next act."""
    said = client.take(await client.session.feed(b"i IDLE\r\n"))
    assert b"+" in [one.tag for one in said]
    client.idle = True
    stage.check(client)


async def away(stage: Stage, client: Client) -> None:
    """The connection is lost. At its next act the program comes back."""
    new = await stage.replace(client)
    if client.box is not None:
        new.left = client.box, client.mirror


async def back(stage: Stage, client: Client) -> None:
    """It asks for what it missed (RFC 7162 section 3.2.5), or begins anew."""
    assert client.left is not None
    (box, had), client.left = client.left, None
    for name in [name for name, one in (*stage.boxes.items(), ("mine", stage.mine)) if one is box]:
        follows = client.kind == "qresync" and None not in had.uids() and had.highest
        await enter(stage, client, name, b"SELECT", had if follows else None)


async def race(
    stage: Stage, client: Client, what: str, chosen: frozenset[int], flags: frozenset[bytes], act: Act
) -> None:
    """Another worker is faster: something happens after the command was read, before it is done."""
    if client.box is None:
        await select(stage, client, "INBOX", "SELECT")
    box = client.box
    assert box is not None
    uids = [Uid(uid) for uid in map(client.uid, client.places(chosen)) if uid in box.letters]
    bits = sum(BITS.get(name, 0) for name in flags)
    words = tuple(name.decode() for name in flags if name not in BITS)

    async def happens() -> None:
        if what == "append":
            await deliver(stage, client, "INBOX", (0,))
        elif uids and what == "expunge":
            await stage.store.commit(
                Transaction((op.Expunge(AccountId(box.account), MailboxId(box.id), tuple(uids)),))
            )
            box.remove(uids)
        elif uids:
            account = AccountId(box.account)
            change = op.StoreFlags(account, MailboxId(box.id), tuple(uids), "+", bits, words)
            await stage.store.commit(Transaction((change,)))
            for uid in uids:
                flag(box, uid, box.letters[uid].flags | flags)

    name, *values = act
    crosses = name in ("copy", "move") and stage.box(client, values[1]) not in (None, *stage.boxes.values())
    if client.name == "alice" or not (crosses or box is stage.mine):
        stage.between.once = happens
    await ACTS[name](stage, client, *values)
    await stage.between.happen()


async def mailbox(stage: Stage, client: Client, what: str) -> None:
    """Temp comes, goes, and is called otherwise."""
    if client.name != "alice":
        return
    there = "Temp" in stage.boxes
    other = "Other" in stage.boxes
    if what == "CREATE":
        await client.command(b"CREATE Temp", ok=b"NO" if there else b"OK")
        if not there:
            await stage.made("Temp")
    elif what == "DELETE":
        doomed = stage.boxes.pop("Temp", None)
        if doomed is not None and client.box is doomed:
            client.box = None
        await client.command(b"DELETE Temp", ok=b"OK" if there else b"NO")
        if doomed is not None:
            doomed.deleted = True
    elif there or other:
        old, new = ("Temp", "Other") if there else ("Other", "Temp")
        await client.command(
            b"RENAME %b %b" % (old.encode(), new.encode()), ok=b"NO" if there and other else b"OK"
        )
        if not (there and other):
            stage.boxes[new] = stage.boxes.pop(old)


ACTS: Final[Mapping[str, Doing]] = {
    each.__name__: each
    for each in (
        deliver, append, select, leave, expunge, store, copy, move, body, search, since, status, look, idle,
        away, back, race, mailbox,
    )
}  # fmt: skip
