"""The state of one run: what is left of its budgets, what it has read and what it wants done.

The words of the language work on this. Errors: RunFailed, OverBudget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from msgspec import structs

from a3mailer.mail.message import index, parameters
from a3mailer.mail.message.headers import decode_words, header_end
from a3mailer.mail.message.octets import Octets
from a3mailer.mail.message.parts import Part
from a3mailer.wire.sieve.actions import Action, FileInto, Keep, Notify, Redirect, Reject, Step
from a3mailer.wire.sieve.door import Field, Mail
from a3mailer.wire.sieve.errors import OverBudget, RunFailed
from a3mailer.wire.sieve.limits import FIELDS, HEADER, MATCHES, TRACE, VARIABLE, VARIABLES, Limits
from a3mailer.wire.sieve.mime import (
    ENCLOSED,
    WHOLE,
    Enclosure,
    Loop,
    Replacement,
    element,
    enclosed,
    is_within,
    replaced,
    within,
)
from a3mailer.wire.sieve.view import read_fields

MIME = "mime"
MIME_OPTION = "mime option"
"""Groups of tags (RFC 5703)."""
BODY = "body"
"""Among what is kept: what was read of the parts."""
OWNER = "vnd.a3.owner"
"""The item of the environment that says whose script it is."""
GLOBAL = "global."
"""The namespace of the variables of all scripts."""
WORDS = 6
"""Shift: octets of encoded words that are decoded for one step."""
BULK = 8
"""Shift: octets that are looked at in one go, for one step."""
Value = tuple[bytes, ...] | int
"""Of an argument: a string is a list of one."""


class Tagged(NamedTuple):
    """A tag that was given, and what follows it."""

    name: str
    value: Value = ()


Modify = Callable[[Any, Tagged], Any]
"""What a tag makes of what its word works on: an action, the value of a variable, an address."""
T = TypeVar("T")
A = TypeVar("A", bound=Action)


class Call(NamedTuple):
    """The arguments of a word, variables already in their place. ``at``: line and column."""

    at: tuple[int, int]
    positional: tuple[Value, ...] = ()
    tags: Mapping[str, Tagged] = {}
    """By group, which for most tags is their name."""
    written: Call | None = None
    """The same with the strings as they stand in the script, where there are variables in them."""
    matcher: Matcher | None = None
    """The match type and the comparator, of words that match."""

    modifiers: tuple[tuple[Modify, str], ...] = ()
    """Of the tags that were given, each with its group; groups in descending order."""

    def modified(self, value: T) -> T:
        """The action, or the value, as the tags make it."""
        made: T = value
        for modify, group in self.modifiers:
            made = modify(made, self.tags[group])
        return made

    def function(self, group: str) -> Callable[[Any], Any] | None:
        """What the tag of one group does, None without it."""
        for modify, of in self.modifiers:
            if of == group:
                tagged = self.tags[group]
                return lambda value: modify(value, tagged)
        return None

    def indexed(self, items: Sequence[T]) -> Sequence[T]:
        """All, or the one that ``:index`` and ``:last`` name (RFC 5260 section 6)."""
        index = self.tag_number("index")
        if index is None:
            return items
        at = len(items) - index if self.tag("last") else index - 1
        return items[at : at + 1] if at >= 0 else items[:0]

    def matches(self, machine: Machine, values: Sequence[bytes], keys: Sequence[bytes]) -> bool:
        """Does any value match any key?"""
        assert self.matcher is not None
        return self.matcher(machine, self, values, keys)

    def strings(self, place: int) -> tuple[bytes, ...]:
        """A positional string list; empty for an optional one that was not given."""
        value = self.positional[place]
        assert isinstance(value, tuple)
        return value

    def string(self, place: int) -> bytes:
        """A positional string."""
        return self.strings(place)[0]

    def number(self, place: int) -> int:
        """A positional number."""
        value = self.positional[place]
        assert isinstance(value, int)
        return value

    def tag(self, group: str) -> str:
        """The tag of a group, "" for none."""
        found = self.tags.get(group)
        return found.name if found else ""

    def tag_strings(self, group: str) -> tuple[bytes, ...]:
        """The strings behind a tag; empty without it."""
        found = self.tags.get(group)
        return found.value if found and isinstance(found.value, tuple) else ()

    def tag_number(self, group: str) -> int | None:
        """The number behind a tag."""
        found = self.tags.get(group)
        return found.value if found and isinstance(found.value, int) else None


Matcher = Callable[["Machine", Call, Sequence[bytes], Sequence[bytes]], bool]


class Machine:
    """One run. ``enabled``: the capabilities in force; ``offered``: those ``ihave`` may add; ``kept``: what
    extensions remember, by their name."""

    __slots__ = (
        "_base",
        "_base_parts",
        "_changed",
        "_enclosed",
        "_enclosures",
        "_fields",
        "_joined",
        "_memory",
        "_open",
        "_pieces",
        "_seen",
        "_steps",
        "_unseen",
        "_whole",
        "actions",
        "declared",
        "enabled",
        "flags",
        "implicit_keep",
        "kept",
        "limits",
        "loops",
        "mail",
        "matched",
        "members",
        "offered",
        "shared",
        "suspended",
        "trace",
        "variables",
    )  # fmt: skip

    def __init__(
        self,
        mail: Mail,
        limits: Limits,
        enabled: frozenset[str],
        offered: frozenset[str] = frozenset(),
        members: Mapping[tuple[str, str], frozenset[str]] = {},
        trace: bool = False,
    ) -> None:
        self.mail = mail
        self.limits = limits
        self.enabled = set(enabled)
        self.offered = offered
        self.members = members
        self.implicit_keep = True
        self.actions: list[Action] = []
        self.trace: list[Step] | None = [] if trace else None
        self.variables: dict[str, bytes] = {}
        self.shared: dict[str, bytes] = {}
        self.declared: frozenset[str] = frozenset()
        """Names that mean the shared ones in this script."""
        self.matched: tuple[bytes, ...] = ()
        self.kept: dict[str, object] = {}
        self.flags = mail.flags
        """The internal variable of RFC 5232; None while nothing was said of flags."""
        self._fields: Sequence[Field] | None = None
        self._unseen: Sequence[Field] = ()
        self._changed = False
        self._joined: bytes | None = None
        self._seen: dict[bytes, tuple[bytes, ...]] = {}
        self.loops: list[Loop] = []
        """Over parts, the innermost last."""
        self.suspended = False
        """Is there a loop in the script that this one is included by?"""
        self._base: bytes | None = None
        """The mail after what was replaced and enclosed, once no loop is at its parts; None: as it came."""
        self._base_parts: Sequence[Part] = ()
        self._pieces: dict[int, Replacement] = {}
        self._enclosures: list[Enclosure] = []
        self._enclosed = 0
        """How often the mail was enclosed."""
        self._open: bytes | None = None
        """What is redirected of an enclosed mail: as it was before; None: as it came."""
        self._whole: bytes | None = None
        """The mail with all that, where it is made."""
        self._steps = limits.steps
        self._memory = limits.memory

    @property
    def steps(self) -> int:
        """How many have been taken."""
        return self.limits.steps - self._steps

    def charge(self, steps: int) -> None:
        """Take from the budget of steps."""
        self._steps -= steps
        if self._steps < 0:
            raise OverBudget(f"more than {self.limits.steps} steps")

    def hold(self, octets: int) -> None:
        """Take from the budget of memory, and as much of the other as making such a text costs."""
        self._memory -= octets
        if self._memory < 0:
            raise OverBudget(f"more than {self.limits.memory} octets of memory")
        self.charge(octets >> BULK)

    def has_member(self, group: str, name: str) -> bool:
        """Is a name, in lower case, in an open set now?"""
        owners = self.members.get((group, name))
        return owners is not None and not owners.isdisjoint(self.enabled)

    def header(self) -> Sequence[Field]:
        """The header, as far as a script may see it, with the changes the script has made."""
        if self._fields is None:
            fields = self.mail.fields if self._base is None else read_fields(_header_of(self._base))
            count = _bounded(fields)
            self._fields, self._unseen = fields[:count], fields[count:]
            self.charge(count)
        return self._fields

    def change_header(self, fields: Sequence[Field]) -> None:
        """It reads so from now on (RFC 5293)."""
        self.charge(1 + (len(fields) >> 4))
        self._fields = fields
        self._seen.clear()
        self._changed, self._joined, self._whole = True, None, None

    @property
    def changed_header(self) -> bytes | None:
        """All header fields, where a script has changed them, without the empty line behind them."""
        if self._changed and self._joined is None:
            self._joined = b"".join(field.octets for field in (*self.header(), *self._unseen))
            self.hold(len(self._joined))
        return self._joined

    def raw_values(self, name: bytes) -> list[bytes]:
        """The values of all fields of a name, in any case, not decoded."""
        name = name.lower()
        self.charge(1 + (len(self.header()) >> 4))
        return [field.value for field in self.header() if field.name == name]

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """The same as UTF-8, encoded words decoded, no white space around (RFC 5228 section 2.7.2)."""
        name = name.lower()
        found = self._seen.get(name)
        if found is None:
            raw = self.raw_values(name)
            self.charge(sum(len(value) for value in raw if b"=?" in value) >> WORDS)
            found = tuple(map(decoded, raw))
            self.hold(sum(map(len, found)))
            self._seen[name] = found
        return found

    # --- parts (RFC 5703) --------------------------------------------------------------------------

    @property
    def part(self) -> int | None:
        """The number of the part that the innermost loop is at; None outside of loops."""
        return self.loops[-1].part if self.loops else None

    @property
    def size(self) -> int:
        """Of the mail, with the changes that tests see (RFC 5293 section 7)."""
        size = self.mail.size if self._base is None else len(self._base)
        header = self.changed_header
        if header is None:
            return size
        fields = self.mail.fields if self._base is None else read_fields(_header_of(self._base))
        self.charge(len(fields))
        return size + len(header) - sum(len(field.octets) for field in fields)

    @property
    def octets(self) -> Octets:
        """The mail as tests of its content see it."""
        return self.mail.octets if self._base is None else self._base

    @property
    def parts(self) -> Sequence[Part]:
        """Its parts."""
        return self.mail.parts if self._base is None else self._base_parts

    def begin_loop(self) -> None:
        """Over all parts, within another loop over those within the part that one is at."""
        parts = self.parts
        self.charge(len(parts))
        replaced = self.part in self._pieces
        self.loops.append(Loop([] if replaced else within(parts, self.part)))

    def next_part(self) -> bool:
        """Is there a further part? Those within one that was replaced are not there any more."""
        loop = self.loops[-1]
        loop.at += 1
        while loop.at < len(loop.parts) and is_within(self.parts, loop.part, self._pieces):
            self.charge(1)
            loop.at += 1
        return loop.at < len(loop.parts)

    def end_loops(self, count: int) -> None:
        """Leave the innermost ones."""
        del self.loops[-count:]
        self._settle()

    def _settle(self) -> None:
        """What was replaced and enclosed is what tests and loops see, as soon as no loop is at the parts."""
        if self.loops or self.suspended or not (self._pieces or self._enclosures):
            return
        base = self._changed_octets()
        self.charge(len(base) >> BULK)
        self._base, self._base_parts = base, index(base).parts
        self._pieces, self._enclosures = {}, []
        self._fields, self._changed, self._joined = None, False, None
        self._seen.clear()
        self.kept.pop(MIME, None)
        self.kept.pop(BODY, None)

    def _part_headers(self, call: Call) -> Iterator[Sequence[Field]]:
        """The headers that ``:mime`` looks at."""
        part = WHOLE if self.part is None else self.part
        numbers = [part]
        if call.tag("anychild"):
            self.charge(len(self.parts))
            numbers += within(self.parts, part)
        for number in numbers:
            yield self._part_header(number)

    def _part_header(self, number: int) -> Sequence[Field]:
        """The header of a part; read once a run."""
        if number == WHOLE:
            return self.header()
        known = self.kept.setdefault(MIME, {})
        assert isinstance(known, dict)
        found: Sequence[Field] | None = known.get(number)
        if found is None:
            part = self.parts[number]
            found = read_fields(self.octets[part.start : min(part.body, part.start + HEADER)])
            self.hold(part.body - part.start)
            self.charge(1 + len(found))
            known[number] = found
        return found

    def raw_of(self, call: Call, name: bytes) -> list[bytes]:
        """``raw_values``, of the part where a call says ``:mime``."""
        if not call.tag(MIME):
            return self.raw_values(name)
        name = name.lower()
        return [each.value for fields in self._part_headers(call) for each in fields if each.name == name]

    def mime_values(self, call: Call, name: bytes) -> list[bytes]:
        """What ``header :mime`` compares: the values, or pieces of them (RFC 5703 section 4.1)."""
        raw = self.raw_of(call, name)
        self.charge(1 + len(raw))
        option = call.tag(MIME_OPTION)
        if not option:
            return list(map(decoded, raw))
        found: list[bytes] = []
        for value in raw:
            head, given = parameters.parse(value)
            if option == "param":
                names = [each.lower() for each in call.tag_strings(MIME_OPTION)]
                texts = [parameters.text_of(given, each) for each in names if _has(given, each)]
                found += [text.encode("utf-8", "replace") for text in texts]
            else:
                found.append(element(option, name.lower(), head))
        return found

    def replace(self, part: int, replacement: Replacement) -> None:
        """Something else in the place of a part."""
        self._pieces[part] = replacement
        self._whole = None
        self._settle()

    def enclose(self, enclosure: Enclosure) -> None:
        """A mail around the mail. Errors: RunFailed."""
        if self._enclosed >= ENCLOSED:
            raise RunFailed(f"more than {ENCLOSED} of enclose")
        if not self._enclosed and (self._is_other or self._changed):
            self._open = self._changed_octets()
        self._enclosed += 1
        self._enclosures.append(enclosure)
        self._whole = None
        self._settle()

    @property
    def _is_other(self) -> bool:
        """Is more changed than the header?"""
        return self._base is not None or bool(self._pieces or self._enclosures)

    def changed(self, action: A) -> A:
        """An action with the mail as the script has changed it. A redirect is not of the enclosing mail."""
        if self._enclosed and isinstance(action, Redirect):
            return action if self._open is None else structs.replace(action, octets=self._open)
        if self._is_other:
            return structs.replace(action, octets=self._changed_octets())
        header = self.changed_header
        return action if header is None else structs.replace(action, header=header)

    def _changed_octets(self) -> bytes:
        if self._whole is None:
            mail = self.mail
            fields = (*self.header(), *self._unseen)
            whole = replaced(self.octets, self.parts, fields, self._pieces)
            host = mail.environment("host") or b"localhost"
            owner = mail.environment(OWNER) or b"postmaster@" + host
            for enclosure in self._enclosures:
                whole = enclosed(whole, enclosure, mail.now, host, owner)
            self._whole = whole
        return self._whole

    def piece(self, piece: bytes | str | int) -> bytes:
        """Part of a string: octets, the value of a variable, or of a match variable (RFC 5229 section 3)."""
        if isinstance(piece, bytes):
            return piece
        if isinstance(piece, str):
            return self.variable(piece)
        return self.matched[piece] if piece < len(self.matched) else b""

    def variable(self, name: str) -> bytes:
        """The value of a variable, lower case; empty where it has none."""
        home, key = self._home(name)
        return home.get(key, b"")

    def set_variable(self, name: str, value: bytes) -> None:
        """Give it a value, cut at the limit (RFC 5229 section 6). Errors: RunFailed for too many."""
        home, key = self._home(name)
        value = _cut(value)
        self.hold(len(value))
        if key not in home and len(home) >= VARIABLES:
            raise RunFailed(f"more than {VARIABLES} variables")
        home[key] = value

    def _home(self, name: str) -> tuple[dict[str, bytes], str]:
        """Where a variable is: among those of this script, or of all (RFC 6609 section 3.4)."""
        key = name.removeprefix(GLOBAL)
        return (self.shared if key != name or key in self.declared else self.variables), key

    def match(self, parts: tuple[bytes, ...]) -> None:
        """What a match has found, the whole first (RFC 5229 section 3.2)."""
        self.matched = parts[:MATCHES]

    def act(self, action: Action) -> None:
        """Want something done; the same twice is once (RFC 5228 section 2.10.3)."""
        if action.cancels and not (isinstance(action, FileInto | Redirect) and action.copy):
            self.implicit_keep = False
        for place, other in enumerate(self.actions):
            if _same(action, other):
                self.actions[place] = _merged(other, action)
                return
        if len(self.actions) >= self.limits.actions:
            raise RunFailed(f"more than {self.limits.actions} actions")
        self._agree(action)
        self.actions.append(action)

    def _agree(self, action: Action) -> None:
        """Errors: RunFailed, where two actions cannot both be taken, or not so many."""
        most = _most(action, self.limits)
        if most is not None and sum(each.word == action.word for each in self.actions) >= most:
            raise RunFailed(f"more than {most} of {action.word}")
        if action.once and any(type(each) is type(action) for each in self.actions):
            raise RunFailed(f"a second {action.word}")
        rejected = isinstance(action, Reject) or any(isinstance(each, Reject) for each in self.actions)
        if rejected and (action.delivers or any(each.delivers for each in self.actions)):
            raise RunFailed("a mail that is rejected is neither delivered nor answered")

    def step(self, at: tuple[int, int], word: str, result: bool | None, text: str) -> None:
        """For the trace, where there is one."""
        if self.trace is not None and len(self.trace) < TRACE:
            self.trace.append(Step(*at, word, result, text))


def _same(one: Action, other: Action) -> bool:
    """Do both put the mail into the same place? What they do to it besides is not looked at."""
    if isinstance(one, FileInto) and isinstance(other, FileInto):
        where = (one.mailbox, one.special_use, one.mailbox_id)
        return where == (other.mailbox, other.special_use, other.mailbox_id)
    if isinstance(one, Redirect) and isinstance(other, Redirect):
        return one.address == other.address
    return type(one) is type(other) and (one.word == "keep" or one == other) and not one.once


def _most(action: Action, limits: Limits) -> int | None:
    """How many of a kind a run may want."""
    if isinstance(action, Redirect):
        return limits.redirects
    return limits.notifications if isinstance(action, Notify) else None


def _has(given: parameters.Parameters, name: bytes) -> bool:
    return any(each == name or each.startswith(name + b"*") for each, _ in given)


def _header_of(octets: bytes) -> bytes:
    return octets[: header_end(octets, 0, len(octets))]


def _cut(value: bytes) -> bytes:
    """Up to the limit, never within a character."""
    end = VARIABLE
    while len(value) > end and value[end] & 0xC0 == 0x80 and end > VARIABLE - 4:
        end -= 1
    return value[:end]


def _merged(first: Action, again: Action) -> Action:
    """The first of two that are the same, with the flags of the last (RFC 5232 section 3)."""
    if isinstance(first, Keep | FileInto) and isinstance(again, Keep | FileInto):
        return structs.replace(first, flags=again.flags)
    return first


def decoded(value: bytes) -> bytes:
    """A field's value as UTF-8. One without encoded words stays as it is, tabs and all."""
    if b"=?" not in value and value.isascii():
        return value.strip()
    return decode_words(value).strip().encode()


def _bounded(fields: Sequence[Field]) -> int:
    """How many of them are within the limits."""
    octets = 0
    for count, field in enumerate(fields):
        octets += len(field.octets)
        if octets > HEADER or count >= FIELDS:
            return count
    return len(fields)
