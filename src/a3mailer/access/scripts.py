"""The Sieve scripts of an account: what ManageSieve (RFC 5804), JMAP (RFC 9661) and verbs offer of them.

An account has a roll (which scripts there are, which one is active) and the scripts themselves, all of them
documents that are sealed at rest. The roll's name is its generation: a change replaces the roll that it has
read, so of two at the same time one is made again, and no two scripts are ever active.

What delivery asks for, ``active``, is remembered in each worker, that there is none as well, until a Change
says that it is no longer so; compiled scripts are remembered by their octets.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec
from msgspec import structs

from a3mailer.access.vacation import Away, Response, away
from a3mailer.config.tree import Settings
from a3mailer.mail.changes import EVERYTHING, SCRIPTS, Change
from a3mailer.mail.errors import (
    AlreadyExists,
    BadName,
    BadScript,
    Conflict,
    NoSuchThing,
    OverQuota,
    ScriptInUse,
    TooLarge,
    TooMany,
)
from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import Operation, PutDocument, RemoveDocument
from a3mailer.store.ports import DocumentReader, Store, Transaction
from a3mailer.store.rows import SCRIPT, SCRIPT_ROLL
from a3mailer.wire.sieve.compile import Program, compile_script
from a3mailer.wire.sieve.errors import ScriptError, UnknownCapability
from a3mailer.wire.sieve.extensions import USERS

NAME: Final = 512
"""Octets of a name (RFC 5804 section 1.6)."""
TRIES: Final = 8
"""How often a change is made again, as another one was quicker."""
REMEMBERED: Final = 50_000
"""Accounts of which a worker knows what is active."""
COMPILED: Final = 500
"""Programs it keeps."""
_NOT_IN_NAMES: Final = frozenset("\u2028\u2029")
_ORDER_MARK: Final = "\ufeff"


class Script(msgspec.Struct, frozen=True):
    """One script of an account, without its octets."""

    id: str
    """It stays when the name changes."""
    name: str
    size: int
    digest: str
    """SHA-256 of its octets, in hexadecimal digits: the same script has the same one."""
    changed: int
    """When its octets were put there, seconds since the epoch."""


class Roll(msgspec.Struct, frozen=True):
    """All scripts of an account, by name."""

    scripts: tuple[Script, ...] = ()
    active: str = ""
    """The id of the one that runs; empty: none does."""
    last: int = 0
    """The number of the last id that was given."""
    generation: int = 0
    """Grows with each change: what has the same one is the same."""
    vacation: Response = Response()
    vacations: int = 0
    """How many of the changes were of ``vacation`` alone: its state in JMAP."""

    @property
    def changes(self) -> int:
        """How many were of the scripts: their state in JMAP."""
        return self.generation - self.vacations

    def named(self, name: str) -> Script | None:
        """The script of a name."""
        return next((each for each in self.scripts if each.name == name), None)

    def script(self, ident: str) -> Script:
        """The script of an id. Errors: NoSuchThing."""
        for each in self.scripts:
            if each.id == ident:
                return each
        raise NoSuchThing(f"no script {ident[:60]}")

    def called(self, name: str) -> Script:
        """The script of a name that has to be there. Errors: NoSuchThing."""
        found = self.named(name)
        if found is None:
            raise NoSuchThing(f'there is no script "{name[:60]}"')
        return found


class Running(NamedTuple):
    """What happens to the mail of an account; one where nothing does has none."""

    script: Active | None
    away: Away | None


class Active(NamedTuple):
    """What runs for each mail of an account. Without a ``program`` it is broken, and ``error`` says how."""

    id: str
    name: str
    digest: str
    program: Program | None
    error: BadScript | None = None


Edit = Callable[[Roll], tuple[Roll, tuple[Operation, ...]]]
"""What a change makes of a roll, and what is done besides. Errors: MailError."""
_ROLL: Final = msgspec.json.Decoder(Roll)


def checked(octets: bytes) -> Program:
    """The program of a user's script. Errors: BadScript."""
    try:
        octets.decode()
    except UnicodeDecodeError as error:
        before = octets[: error.start]
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        raise BadScript("it is not UTF-8", before.count(b"\n") + 1, column) from error
    try:
        return compile_script(octets, USERS)
    except ScriptError as error:
        unknown = isinstance(error, UnknownCapability)
        raise BadScript(error.text, error.line, error.column, unknown_capability=unknown) from error


def check_name(name: str) -> str:
    """The name in the form it is kept in (RFC 5198: NFC, no mark of an order of octets). Errors: BadName."""
    name = unicodedata.normalize("NFC", name)
    bad = name.startswith(_ORDER_MARK) or any(
        unicodedata.category(each) in ("Cc", "Cs") or each in _NOT_IN_NAMES for each in name
    )
    if bad or not 0 < len(name.encode("utf-8", "replace")) <= NAME:
        raise BadName(f"a script's name has 1 to {NAME} octets and no control characters")
    return name


class Scripts:
    """One object a process serves all accounts of its store."""

    __slots__ = ("_active", "_compiled", "_forget", "_heard_of", "_language", "_settings", "_store")

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings.sieve
        self._language = settings.queue.language
        self._active: dict[int, Running | None] = {}
        self._compiled: dict[str, Program | BadScript] = {}
        self._heard_of = 0
        """How many changes were heard of, so that what is read while one comes is not remembered."""
        self._forget = store.watch(self._heard)

    def reconfigure(self, settings: Settings) -> None:
        """Take the settings of a new snapshot."""
        self._settings = settings.sieve
        if settings.queue.language != self._language:
            self._language = settings.queue.language
            self._forget_all()

    def close(self) -> None:
        """Hear no more."""
        self._forget()

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What a user's script may require (RFC 5804 section 1.7)."""
        return USERS.capabilities

    @property
    def largest(self) -> int:
        """Octets of a script, as an operator has set them."""
        return self._settings.size

    @property
    def most(self) -> int:
        """Scripts of an account."""
        return self._settings.scripts

    @property
    def redirects(self) -> int:
        """Of one run."""
        return self._settings.redirects

    # --- reading -----------------------------------------------------------------------------------

    async def roll(self, account: AccountId) -> Roll:
        """All scripts of an account."""
        return await roll_of(self._store, account)

    async def octets(self, account: AccountId, ident: str) -> bytes:
        """A script as it was put there. Errors: NoSuchThing."""
        found = await self._store.document(account, SCRIPT, ident)
        if found is None:
            raise NoSuchThing(f"no script {ident[:60]}")
        return found.value.encode()

    async def get(self, account: AccountId, name: str) -> bytes:
        """The same by its name (GETSCRIPT). Errors: NoSuchThing."""
        return await self.octets(account, (await self.roll(account)).called(name).id)

    # --- changing ----------------------------------------------------------------------------------

    async def check_space(self, account: AccountId, name: str, size: int) -> None:
        """Would a script of this size and name be taken (HAVESPACE)? Errors: TooLarge, TooMany, OverQuota."""
        self._check_space(await self.roll(account), check_name(name), size)

    def _check_space(self, roll: Roll, name: str, size: int) -> None:
        others = [each for each in roll.scripts if each.name != name]
        if size > self._settings.size:
            raise TooLarge(f"a script has at most {self._settings.size} octets")
        if len(others) >= self._settings.scripts:
            raise TooMany(f"an account has at most {self._settings.scripts} scripts")
        if sum(each.size for each in others) + size > self._settings.octets:
            raise OverQuota(f"the scripts of an account have at most {self._settings.octets} octets")

    async def put(
        self,
        account: AccountId,
        name: str,
        octets: bytes,
        now: int,
        *,
        only_new: bool = False,
        beside: tuple[Operation, ...] = (),
    ) -> Script:
        """Keep a script under a name, in the place of what is there (PUTSCRIPT). ``beside`` is done with it.

        Errors: BadName, BadScript, TooLarge, TooMany, OverQuota; with ``only_new`` AlreadyExists."""
        name = check_name(name)
        self._check_space(Roll(), name, len(octets))
        checked(octets)
        made: list[Script] = []

        def edit(roll: Roll) -> tuple[Roll, tuple[Operation, ...]]:
            before = roll.named(name)
            if before is not None and only_new:
                raise AlreadyExists(before.id)
            self._check_space(roll, name, len(octets))
            number = roll.last + (before is None)
            ident = before.id if before is not None else f"s{number}"
            made[:] = [Script(ident, name, len(octets), _digest(octets), now)]
            roll = structs.replace(_with(roll, made[0]), last=number)
            return roll, (PutDocument(account, SCRIPT, ident, octets.decode()), *beside)

        await self._change(account, edit)
        return made[0]

    async def alter(
        self, account: AccountId, ident: str, octets: bytes | None, now: int, name: str | None = None
    ) -> Script:
        """Other octets, another name, or both, for the script of an id; None: as it is.

        Errors: as ``put``, and NoSuchThing, AlreadyExists."""
        name = None if name is None else check_name(name)
        if octets is not None:
            self._check_space(Roll(), "", len(octets))
            checked(octets)
        made: list[Script] = []

        def edit(roll: Roll) -> tuple[Roll, tuple[Operation, ...]]:
            before = roll.script(ident)
            after = before
            operations: tuple[Operation, ...] = ()
            if name is not None:
                after = _renamed(roll, before, name)
            if octets is not None:
                self._check_space(roll, before.name, len(octets))
                after = structs.replace(after, size=len(octets), digest=_digest(octets), changed=now)
                operations = (PutDocument(account, SCRIPT, ident, octets.decode()),)
            made[:] = [after]
            return _with(roll, after), operations

        await self._change(account, edit)
        return made[0]

    async def rename(self, account: AccountId, old: str, new: str) -> None:
        """RENAMESCRIPT; an active one stays active. Errors: BadName, NoSuchThing, AlreadyExists."""
        new = check_name(new)

        def edit(roll: Roll) -> tuple[Roll, tuple[Operation, ...]]:
            script = roll.called(old)
            if new == script.name:
                raise AlreadyExists(script.id)
            return _with(roll, _renamed(roll, script, new)), ()

        await self._change(account, edit)

    async def delete(self, account: AccountId, name: str, beside: tuple[Operation, ...] = ()) -> None:
        """DELETESCRIPT. Errors: NoSuchThing, ScriptInUse."""
        await self._delete(account, lambda roll: roll.called(name), beside)

    async def remove(self, account: AccountId, ident: str) -> None:
        """The same by its id. Errors: NoSuchThing, ScriptInUse."""
        await self._delete(account, lambda roll: roll.script(ident), ())

    async def _delete(
        self, account: AccountId, found: Callable[[Roll], Script], beside: tuple[Operation, ...]
    ) -> None:
        def edit(roll: Roll) -> tuple[Roll, tuple[Operation, ...]]:
            gone = found(roll)
            if gone.id == roll.active:
                raise ScriptInUse(f'the script "{gone.name[:60]}" is the active one')
            left = tuple(each for each in roll.scripts if each != gone)
            return structs.replace(roll, scripts=left), (RemoveDocument(account, SCRIPT, gone.id), *beside)

        await self._change(account, edit)

    async def activate(self, account: AccountId, name: str, beside: tuple[Operation, ...] = ()) -> None:
        """SETACTIVE: this one alone runs; empty: none does. Errors: NoSuchThing, BadScript.

        One that was good when it was put there may have lost what it requires meanwhile."""
        ident = (await self.roll(account)).called(name).id if name else ""
        await self.run(account, ident, beside)

    async def run(self, account: AccountId, ident: str, beside: tuple[Operation, ...] = ()) -> None:
        """The same by its id. Errors: NoSuchThing, BadScript."""
        if ident:
            checked(await self.octets(account, (await self.roll(account)).script(ident).id))

        def edit(roll: Roll) -> tuple[Roll, tuple[Operation, ...]]:
            if ident:
                roll.script(ident)
            return structs.replace(roll, active=ident), beside

        await self._change(account, edit)

    async def set_vacation(
        self, account: AccountId, edit: Callable[[Response], Response], beside: tuple[Operation, ...] = ()
    ) -> Response:
        """What is answered while the owner is away, as it is after the change. Errors: those of ``edit``."""
        made: list[Response] = []

        def turn(roll: Roll) -> tuple[Roll, tuple[Operation, ...]]:
            made[:] = [edit(roll.vacation)]
            if made[0] == roll.vacation:
                return roll, beside
            return structs.replace(roll, vacation=made[0], vacations=roll.vacations + 1), beside

        await self._change(account, turn)
        return made[0]

    async def _change(self, account: AccountId, edit: Edit) -> None:
        """Errors: those of ``edit``, Conflict."""
        for _ in range(TRIES):
            roll = await self.roll(account)
            made, operations = edit(roll)
            if made == roll and not operations:
                return
            made = structs.replace(made, generation=roll.generation + 1)
            value = msgspec.json.encode(made).decode()
            turn: tuple[Operation, ...] = (
                PutDocument(account, SCRIPT_ROLL, _name(made), value, only_new=True),
            )
            if roll.generation:
                turn = (RemoveDocument(account, SCRIPT_ROLL, _name(roll)), *turn)
            try:
                await self._store.commit(Transaction((*turn, *operations)))
            except (NoSuchThing, AlreadyExists):  # another one was quicker
                continue
            self._forget_one(account)
            return
        raise Conflict("the scripts are being changed all the time")

    # --- what runs ---------------------------------------------------------------------------------

    def is_idle(self, account: AccountId) -> bool:
        """Is it known that an account has no active script, and nobody who is away?"""
        return self._active.get(account, self) is None

    async def active(self, account: AccountId) -> Active | None:
        """The script that runs for each mail of an account."""
        found = await self.running(account)
        return None if found is None else found.script

    async def running(self, account: AccountId) -> Running | None:
        """What happens to each mail of an account."""
        try:
            return self._active[account]
        except KeyError:
            pass
        heard_of = self._heard_of
        roll = await self.roll(account)
        script, gone = await self._script(account, roll), away(roll.vacation, self._language)
        found = None if script is None and gone is None else Running(script, gone)
        if heard_of == self._heard_of:
            if len(self._active) >= REMEMBERED:
                self._active.clear()
            self._active[account] = found
        return found

    async def _script(self, account: AccountId, roll: Roll) -> Active | None:
        if not roll.active:
            return None
        return await self._runs(account, roll.script(roll.active))

    async def _runs(self, account: AccountId, script: Script) -> Active:
        made = await self._program(account, script)
        if isinstance(made, BadScript):
            return Active(script.id, script.name, script.digest, None, made)
        return Active(script.id, script.name, script.digest, made)

    async def called(self, account: AccountId, name: str) -> Active | None:
        """A script by its name, be it the active one or not; None where there is none."""
        script = (await self.roll(account)).named(unicodedata.normalize("NFC", name))
        return None if script is None else await self._runs(account, script)

    async def included(self, account: AccountId, name: str) -> Program | None:
        """The program of a personal script (RFC 6609 section 3.2). Errors: BadScript."""
        script = (await self.roll(account)).named(unicodedata.normalize("NFC", name))
        made = None if script is None else await self._program(account, script)
        if isinstance(made, BadScript):
            raise made
        return made

    async def _program(self, account: AccountId, script: Script) -> Program | BadScript:
        known = self._compiled.get(script.digest)
        if known is not None:
            return known
        try:
            made: Program | BadScript = checked(await self.octets(account, script.id))
        except NoSuchThing:
            return BadScript("its octets are damaged")
        except BadScript as error:
            made = error
        if len(self._compiled) >= COMPILED:
            self._compiled.clear()
        self._compiled[script.digest] = made
        return made

    def _forget_one(self, account: AccountId) -> None:
        self._heard_of += 1
        self._active.pop(account, None)

    def _forget_all(self) -> None:
        self._heard_of += 1
        self._active.clear()

    def _heard(self, change: Change) -> None:
        if change.mailbox == SCRIPTS:
            self._forget_one(change.account)
        elif change == EVERYTHING or (change.account == 0 and change.mailbox == 0):
            self._forget_all()


def _renamed(roll: Roll, script: Script, name: str) -> Script:
    """Errors: AlreadyExists."""
    there = roll.named(name)
    if there is not None and there.id != script.id:
        raise AlreadyExists(there.id)
    return structs.replace(script, name=name)


async def roll_of(reader: DocumentReader, account: AccountId) -> Roll:
    """All scripts of an account."""
    found = await reader.documents(account, SCRIPT_ROLL)
    return _ROLL.decode(found[-1].value) if found else Roll()


def _name(roll: Roll) -> str:
    """Of the document."""
    return f"{roll.generation:010d}"


def _digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def _with(roll: Roll, script: Script) -> Roll:
    """The roll with a script that is new or changed."""
    others = (each for each in roll.scripts if each.id != script.id)
    return structs.replace(roll, scripts=tuple(sorted((*others, script), key=lambda each: each.name)))
