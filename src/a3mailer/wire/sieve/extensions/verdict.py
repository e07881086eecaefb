"""vnd.a3.verdict and vnd.a3.explain: what was found of a mail, in the words of this server.

``verdict <keys>`` matches the class of a mail: "untested" where nobody has looked at it. ``verdict :score``
matches how bad it is, 0 to 100, and ``verdict :findings`` each finding, a sentence; of a mail that was not
tested there is neither. ``explain <field name>`` puts a header field of this name on top that says it all.
"""

from __future__ import annotations

from typing import Final

from a3mailer.mail.compose import field
from a3mailer.wire.sieve.door import Field
from a3mailer.wire.sieve.errors import BadCall, RunFailed
from a3mailer.wire.sieve.extensions.core import KEYS
from a3mailer.wire.sieve.extensions.editheader import KEPT, OURS, field_name
from a3mailer.wire.sieve.machine import Call, Machine
from a3mailer.wire.sieve.vocabulary import MATCHING, Extension, Kind, Parameter, Role, Tag, Word

WHAT: Final = "what"


def _verdict(machine: Machine, call: Call) -> bool:
    found = machine.mail.verdict
    values: tuple[bytes, ...]
    if call.tag(WHAT) == "score":
        values = () if found.spam is None else (b"%d" % found.spam,)
    elif call.tag(WHAT) == "findings":
        values = tuple(each.encode("utf-8", "replace") for each in found.findings)
    else:
        values = (found.kind.encode("utf-8", "replace"),)
    return call.matches(machine, values, call.strings(0))


def _explain(machine: Machine, call: Call) -> None:
    try:
        name = field_name(call)
    except BadCall as error:
        raise RunFailed(str(error)) from error
    found = machine.mail.verdict
    if name.lower() in KEPT or name.lower() in OURS:
        return
    words = [found.kind, *([] if found.spam is None else [f"({found.spam})"]), *found.findings]
    text = "".join(each if each.isprintable() else " " for each in " ".join(words))
    octets = field(name.decode(), text).encode()
    machine.hold(len(octets))
    value = octets[len(name) + 1 :].replace(b"\r\n", b"").strip()
    machine.change_header((Field(name.lower(), value, octets), *machine.header()))


def _check(call: Call) -> None:
    field_name(call)


VERDICT: Final = Extension(
    "vnd.a3.verdict",
    words=(
        Word(
            "verdict",
            Role.TEST,
            _verdict,
            (KEYS,),
            (Tag("score", group=WHAT), Tag("findings", group=WHAT)),
            MATCHING,
        ),
    ),
)
EXPLAIN: Final = Extension(
    "vnd.a3.explain",
    words=(Word("explain", Role.ACTION, _explain, (Parameter("field name", Kind.STRING),), check=_check),),
)
