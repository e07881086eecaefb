"""Foo/set (RFC 8620 section 5.3): creates, then updates, then destroys; every record for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import eq
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from a3mailer.edge.http.jmap.limits import MAX_OBJECTS_IN_SET
from a3mailer.edge.http.jmap.method import Call
from a3mailer.edge.http.jmap.records import NEEDED, By, Property, Record, Settable, Update
from a3mailer.edge.http.jmap.replies import set_error
from a3mailer.edge.http.jmap.standard.get import too_many
from a3mailer.edge.http.jmap.standard.of_type import ChangingType
from a3mailer.mail.errors import MailError
from a3mailer.wire.jmap import patch as patches
from a3mailer.wire.jmap.errors import MethodError, SetError, Taken, invalid_properties
from a3mailer.wire.jmap.values import Id, Ref, is_id

SLICE: Final = 64
"""Records that are checked before others get a turn on the loop."""
NOT_FOUND: Final = SetError("notFound")
FINAL: Final = ("invalidPatch", "willDestroy")
"""Errors of an update that no other record's fate changes."""

T = TypeVar("T")


class SetArguments(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Types with further arguments inherit from it."""

    account_id: Id
    if_in_state: str | None = None
    create: dict[Id, dict[str, Any]] | None = None
    update: dict[Ref, dict[str, Any]] | None = None
    destroy: tuple[Ref, ...] | None = None


@dataclass(frozen=True, slots=True)
class Set(ChangingType[Settable]):
    """The method of a type."""

    verb: ClassVar = "/set"
    form: type[msgspec.Struct] = SetArguments

    async def run(self, call: Call, arguments: SetArguments) -> dict[str, object]:
        done = await change(self.records, call, arguments)
        return done.response(call.account.key)


@dataclass(slots=True)
class Done:
    """What became of everything in one /set."""

    old_state: str
    new_state: str
    created: dict[str, Record]
    updated: dict[str, Record | None]
    destroyed: list[str]
    not_created: dict[str, SetError]
    not_updated: dict[str, SetError]
    not_destroyed: dict[str, SetError]

    def response(self, account: str) -> dict[str, object]:
        """The arguments of the response."""
        return {
            "accountId": account,
            "oldState": self.old_state,
            "newState": self.new_state,
            "created": self.created or None,
            "updated": self.updated or None,
            "destroyed": self.destroyed or None,
            "notCreated": told(self.not_created),
            "notUpdated": told(self.not_updated),
            "notDestroyed": told(self.not_destroyed),
        }


def told(errors: Mapping[str, SetError]) -> dict[str, object] | None:
    """SetErrors as they are answered."""
    return {each: error.answer() for each, error in errors.items()} or None


async def change(records: Settable, call: Call, arguments: SetArguments) -> Done:
    """Do what a /set asks. Errors: MethodError (``requestTooLarge``, ``stateMismatch``)."""
    create, update, destroy = arguments.create or {}, arguments.update or {}, arguments.destroy or ()
    if len(create) + len(update) + len(destroy) > MAX_OBJECTS_IN_SET:
        raise too_many(MAX_OBJECTS_IN_SET)
    state = await records.state(call)
    if arguments.if_in_state is not None and arguments.if_in_state != state:
        raise MethodError("stateMismatch", f"the state is {state}")
    done = Done(state, state, {}, {}, [], {}, {}, {})
    await _each(records, call, create, update, destroy, done)
    if done.updated or done.destroyed:
        await _again(records, call, arguments, done)
    done.new_state = await records.state(call)
    return done


async def _again(records: Settable, call: Call, arguments: SetArguments, done: Done) -> None:
    """Create what wanted something that others have given up since, and do what waited for it: a final state
    that is valid is allowed, in whatever order the server comes to it."""
    refused = {key: each for key, each in (arguments.create or {}).items() if key in done.not_created}
    taken = {key for key in refused if isinstance(done.not_created[key], Taken)}
    if not taken:
        return
    create = {
        key: each for key, each in refused.items() if key in taken or _refers_to(records, each, refused, key)
    }
    real = call.exchange.real
    update: dict[str, Record] = {}
    for key, patch in (arguments.update or {}).items():
        error = done.not_updated.get(key) or done.not_updated.get(real(key) or key)
        if error is not None and error.type not in FINAL:
            update[key] = patch
    destroy = [key for key in arguments.destroy or () if {key, real(key)} & done.not_destroyed.keys()]
    for errors, keys in (
        (done.not_created, create),
        (done.not_updated, update),
        (done.not_destroyed, destroy),
    ):
        for key in keys:
            errors.pop(key, None)
            errors.pop(real(key) or key, None)
    await _each(records, call, create, update, destroy, done)


async def _each(
    records: Settable,
    call: Call,
    create: Mapping[str, Record],
    update: Mapping[str, Record],
    destroy: Sequence[str],
    done: Done,
) -> None:
    await _create(records, call, create, done)
    doomed = {call.exchange.real(each) for each in destroy}
    await _update(records, call, update, doomed, done)
    await _destroy(records, call, destroy, done)


async def refusing(
    records: Settable, call: Call, arguments: SetArguments, error: SetError, *, updates: bool = False
) -> dict[str, object]:
    """The response of a type whose records nobody creates - nor updates, where ``updates`` says so -, be what
    is given as it may. Errors: as of ``change``."""
    create, update = arguments.create or {}, (arguments.update or {}) if updates else {}
    if len(create) + len(arguments.update or {}) + len(arguments.destroy or ()) > MAX_OBJECTS_IN_SET:
        raise too_many(MAX_OBJECTS_IN_SET)
    left = None if updates else arguments.update
    done = await change(records, call, msgspec.structs.replace(arguments, create=None, update=left))
    done.not_created = dict.fromkeys(create, error)
    done.not_updated |= dict.fromkeys(update, error)
    return done.response(call.account.key)


async def settled(
    work: Awaitable[Mapping[str, T | SetError]], keys: Iterable[str]
) -> Mapping[str, T | SetError]:
    """What a type answers; where it cannot at all, that becomes the answer about every record."""
    try:
        return await work
    except MailError as error:
        return dict.fromkeys(keys, set_error(error))


# --- create ------------------------------------------------------------------------------------------


async def _create(records: Settable, call: Call, wanted: Mapping[str, Record], done: Done) -> None:
    """In waves: who refers to another of the same call comes after it."""
    if records.singleton:
        done.not_created.update(dict.fromkeys(wanted, SetError("singleton")))
        return
    waiting = dict(wanted)
    while waiting:
        wave = {key: each for key, each in waiting.items() if not _refers_to(records, each, waiting, key)}
        if not wave:  # they wait for each other: nobody's reference will ever be one
            wave = dict(waiting)
        for key in wave:
            del waiting[key]
        await _create_wave(records, call, wave, done)


async def _create_wave(records: Settable, call: Call, wave: Mapping[str, Record], done: Done) -> None:
    ready: dict[str, Record] = {}
    for number, (key, given) in enumerate(wave.items()):
        if number % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        try:
            ready[key] = _complete(records, call, given)
        except SetError as error:
            done.not_created[key] = error
    results = await settled(records.create(call, ready), ready)
    for key, made in results.items():
        if isinstance(made, SetError):
            done.not_created[key] = made
            continue
        defaults = {
            name: value
            for name, value in ready[key].items()
            if records.properties[name].told and name not in wave[key] and name not in made
        }
        done.created[key] = {**defaults, **made}
        call.exchange.created_ids[key] = made["id"]


def _refers_to(records: Settable, record: Record, others: Mapping[str, Record], own: str) -> bool:
    """Whether a record refers to another of ``others``."""
    for name, value in record.items():
        known = records.properties.get(name)
        if known is not None and known.refers:
            found = value if isinstance(value, dict | list) else (value,)
            for each in found:
                if isinstance(each, str) and each.startswith("#") and each[1:] in others and each[1:] != own:
                    return True
    return False


def _complete(records: Settable, call: Call, given: Record) -> Record:
    """A record to be created, with its defaults. Errors: SetError (``invalidProperties``)."""
    made: Record = {}
    wrong: list[str] = []
    for name, value in given.items():
        known = records.properties.get(name)
        if known is None or known.by is By.SERVER or not _put(call, made, known, value):
            wrong.append(name)
    for name, known in records.properties.items():
        if name in given or known.by is By.SERVER:
            continue
        if known.default is NEEDED:
            wrong.append(name)
        else:
            made[name] = known.default
    if wrong:
        raise invalid_properties(*wrong)
    return made


def _put(call: Call, record: Record, known: Property, value: object) -> bool:
    """Set a property after its check; False where it does not pass."""
    if known.refers:
        value = _real(call, value)
        if value is _UNKNOWN:
            return False
    try:
        msgspec.convert(value, known.form)
    except msgspec.ValidationError:
        return False
    record[known.name] = value
    return True


_UNKNOWN: Final = object()


def _real(call: Call, value: object) -> object:
    """A value whose references to records of this request are their ids; _UNKNOWN where one is to none."""
    real = call.exchange.real
    if isinstance(value, str):
        found: object = real(value)
        return _UNKNOWN if found is None else found
    if isinstance(value, list):
        made = [real(each) if isinstance(each, str) else each for each in value]
        return _UNKNOWN if None in made else made
    if isinstance(value, dict):
        named = {real(each): inner for each, inner in value.items()}
        return _UNKNOWN if None in named else named
    return value


# --- update ------------------------------------------------------------------------------------------


async def _update(
    records: Settable, call: Call, wanted: Mapping[str, Record], doomed: set[str | None], done: Done
) -> None:
    ids = _meant(call, wanted, doomed, done)
    if not ids:
        return
    everything = frozenset(records.properties).union(*map(_named, wanted.values()))
    found = await records.read(call, tuple(dict.fromkeys(ids.values())), everything)
    ready: dict[str, Update] = {}
    for number, (key, real) in enumerate(ids.items()):
        if number % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        try:
            if real in ready:
                done.not_updated[key] = SetError("invalidPatch", "the record is named twice")
            elif real not in found:
                done.not_updated[key] = NOT_FOUND
            else:
                ready[real] = Update(found[real], _checked(records, call, found[real], wanted[key]))
        except SetError as error:
            done.not_updated[key] = error
    results = await settled(records.update(call, ready), ready)
    for real, result in results.items():
        if isinstance(result, SetError):
            done.not_updated[real] = result
        else:
            done.updated[real] = result or None


def _named(patch: Record) -> set[str]:
    """The properties that a patch may name: who sends back a whole record is told if something is another."""
    return {path.partition("/")[0] for path in patch}


def _meant(call: Call, wanted: Mapping[str, Record], doomed: set[str | None], done: Done) -> dict[str, str]:
    """The ids of what is to be updated, by what the client calls it."""
    ids: dict[str, str] = {}
    for key in wanted:
        real = call.exchange.real(key)
        if real is None:
            done.not_updated[key] = NOT_FOUND
        elif real in doomed:
            done.not_updated[key] = SetError("willDestroy")
        else:
            ids[key] = real
    return ids


def _checked(records: Settable, call: Call, record: Record, given: Record) -> Record:
    """The properties as they will be. Errors: SetError (``invalidPatch``, ``invalidProperties``)."""
    paths = patches.paths(given)
    known = records.properties
    wrong = [name for name in {path[0]: None for path in paths} if name not in known]
    if wrong:
        raise invalid_properties(*wrong)
    defaults = {name: each.default for name, each in known.items() if each.default is not NEEDED}
    real_paths = {_real_path(call, known[path[0]], path): value for path, value in paths.items()}
    after = patches.patched(record, real_paths, defaults)
    changed: Record = {}
    for name, value in after.items():
        each = known[name]
        if each.by is not By.CLIENT:
            if not each.same(value, record.get(name)):
                wrong += _differing(name, value, record.get(name)) if each.same is eq else [name]
        elif not _put(call, changed, each, value):
            wrong.append(name)
    if wrong:
        raise invalid_properties(*wrong)
    return changed


def _differing(name: str, value: object, known: object) -> list[str]:
    """The paths at which a property is another."""
    if not (isinstance(value, dict) and isinstance(known, dict)):
        return [name]
    names = [each for each in {**known, **value} if value.get(each) != known.get(each)]
    return [f"{name}/{each[:100]}" for each in names if each in known] or [name]


def _real_path(call: Call, known: Property, path: tuple[str, ...]) -> tuple[str, ...]:
    if not known.refers or len(path) < 2 or not path[1].startswith("#"):
        return path
    real = call.exchange.real(path[1])
    if real is None:
        raise invalid_properties(known.name, because=f"{path[1][:100]} stands for no record")
    return (path[0], real, *path[2:])


# --- destroy -----------------------------------------------------------------------------------------


async def _destroy(records: Settable, call: Call, wanted: Sequence[str], done: Done) -> None:
    ids: list[str] = []
    for key in dict.fromkeys(wanted):
        real = call.exchange.real(key)
        if records.singleton:
            done.not_destroyed[key] = SetError("singleton")
        elif real is None or not is_id(real):
            done.not_destroyed[key] = NOT_FOUND
        elif real not in ids:
            ids.append(real)
    results = await settled(records.destroy(call, ids), ids)
    for real, result in results.items():
        if result is None:
            done.destroyed.append(real)
        else:
            done.not_destroyed[real] = result
