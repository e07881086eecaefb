"""Run a program over a mail: actions come out, nothing else happens (RFC 5228 section 2.10).

It always ends: there are no loops, and every run has its budget. An error undoes all actions and keeps the
mail as it came, and is told (RFC 5228 section 2.10.6).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from a3mailer.wire.sieve.actions import Action, Failure, Keep, Step
from a3mailer.wire.sieve.compile import Instruction, Op, Program
from a3mailer.wire.sieve.door import Mail
from a3mailer.wire.sieve.errors import RunFailed, Stopped
from a3mailer.wire.sieve.limits import STANDARD, TRACE_TEXT, Limits
from a3mailer.wire.sieve.machine import Call, Machine


class Result(NamedTuple):
    """What a script wants done, in its order. With an error the mail is kept and nothing else is done."""

    actions: tuple[Action, ...]
    error: Failure | None = None
    trace: tuple[Step, ...] = ()
    steps: int = 0
    """Of the budget, used."""


def run(program: Program, mail: Mail, limits: Limits = STANDARD, *, trace: bool = False) -> Result:
    """Run a program. Raises nothing but what the mail's own door raises."""
    machine = Machine(mail, limits, program.required, program.late, program.members, trace)
    error = None
    try:
        execute(program, machine)
    except Stopped:
        pass
    except RunFailed as failed:
        error = Failure(str(failed), *(failed.place or (1, 1)))
    return _result(machine, error)


def execute(program: Program, machine: Machine) -> None:
    """Take the steps of one program. Errors: RunFailed with its place, Stopped."""
    code = program.code
    at = 0
    flag = False
    while at < len(code):
        step = code[at]
        at += 1
        if step.op is Op.TEST or step.op is Op.ACT:
            flag = _placed(step, machine)
        elif step.op is Op.NOT:
            flag = not flag
        elif step.op is Op.STOP:
            raise Stopped
        elif step.op in _SPECIAL:
            at = _looped(step, machine, at)
        elif step.op is Op.JUMP or flag is (step.op is Op.WHEN):
            at = step.target


_SPECIAL: Final = frozenset((Op.FAIL, Op.LOOP, Op.NEXT, Op.BREAK))


def _looped(step: Instruction, machine: Machine, at: int) -> int:
    """Where a loop goes on (RFC 5703 section 3). Errors: RunFailed with its place."""
    if step.op is Op.FAIL:
        _placed(step, machine)
    try:
        machine.charge(1)
        if step.op is Op.LOOP:
            machine.begin_loop()
            return at
    except RunFailed as failed:
        failed.place = step.at
        raise
    if step.op is Op.BREAK:
        machine.end_loops(step.loops)
        return step.target
    if machine.next_part():
        return at
    machine.end_loops(1)
    return step.target


def _placed(step: Instruction, machine: Machine) -> bool:
    """Take a step that may fail. Errors: RunFailed with its place."""
    try:
        machine.charge(1)
        if step.op is Op.FAIL:
            _fail(step)
        return bool(_called(step, machine))
    except RunFailed as failed:
        failed.place = failed.place or step.at
        raise


def _fail(step: Instruction) -> None:
    raise RunFailed(step.word)


def _called(step: Instruction, machine: Machine) -> bool | None:
    """One test or command."""
    if not step.needs <= machine.enabled:
        lacking = ", ".join(sorted(step.needs - machine.enabled))
        raise RunFailed(f"{step.word} needs the capability {lacking}, which ihave has not switched on")
    call = step.call
    assert call is not None
    assert step.run is not None
    if step.dynamic is not None:
        call = step.dynamic.call(machine, call)
    result = step.run(machine, call)
    if machine.trace is not None:
        machine.step(step.at, step.word, result if step.op is Op.TEST else None, _told(call))
    return result


def _result(machine: Machine, error: Failure | None) -> Result:
    actions: list[Action] = list(machine.actions)
    if error is not None:
        actions = [Keep(implicit=True)]
    elif machine.implicit_keep:
        keep = machine.changed(Keep(implicit=True, flags=machine.flags))
        if not any(isinstance(each, Keep) for each in actions):
            actions.append(keep)
    trace = tuple(machine.trace or ())
    return Result(tuple(actions), error, trace, machine.steps)


def _told(call: Call) -> str:
    """The arguments of a call, for people."""
    words = []
    for tagged in call.tags.values():
        words += [f":{tagged.name}", *([_value(tagged.value)] if tagged.value != () else [])]
    words += [_value(value) for value in call.positional]
    return " ".join(words)[:TRACE_TEXT]


def _value(value: tuple[bytes, ...] | int) -> str:
    if isinstance(value, int):
        return str(value)
    texts = [f'"{text[:TRACE_TEXT].decode("utf-8", "replace")}"' for text in value[:TRACE_TEXT]]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
