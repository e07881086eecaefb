"""The numbers of the milter protocol, version 6 (sendmail, include/libmilter/mfdef.h)."""

from __future__ import annotations

from enum import Enum, IntFlag
from typing import Final

VERSION: Final = 6
LEAST_VERSION: Final = 2
CHUNK: Final = 65_535
"""Octets of body in one packet."""


class Command(bytes, Enum):
    """What we say."""

    NEGOTIATE = b"O"
    MACROS = b"D"
    CONNECT = b"C"
    HELO = b"H"
    MAIL = b"M"
    RCPT = b"R"
    DATA = b"T"
    HEADER = b"L"
    END_OF_HEADER = b"N"
    BODY = b"B"
    END_OF_BODY = b"E"
    UNKNOWN = b"U"
    ABORT = b"A"
    QUIT = b"Q"
    QUIT_NEW_CONNECTION = b"K"


class Action(IntFlag):
    """What a filter may do to a mail (SMFIF)."""

    ADD_HEADERS = 0x001
    CHANGE_BODY = 0x002
    ADD_RECIPIENTS = 0x004
    DELETE_RECIPIENTS = 0x008
    CHANGE_HEADERS = 0x010
    QUARANTINE = 0x020
    CHANGE_SENDER = 0x040
    ADD_RECIPIENTS_WITH_PARAMETERS = 0x080
    SET_MACROS = 0x100


class Step(IntFlag):
    """What a filter does not want to hear, does not answer, or understands (SMFIP)."""

    NO_CONNECT = 0x000001
    NO_HELO = 0x000002
    NO_MAIL = 0x000004
    NO_RCPT = 0x000008
    NO_BODY = 0x000010
    NO_HEADERS = 0x000020
    NO_END_OF_HEADER = 0x000040
    SILENT_HEADER = 0x000080
    NO_UNKNOWN = 0x000100
    NO_DATA = 0x000200
    SKIP = 0x000400
    REFUSED_RECIPIENTS = 0x000800
    SILENT_CONNECT = 0x001000
    SILENT_HELO = 0x002000
    SILENT_MAIL = 0x004000
    SILENT_RCPT = 0x008000
    SILENT_DATA = 0x010000
    SILENT_UNKNOWN = 0x020000
    SILENT_END_OF_HEADER = 0x040000
    SILENT_BODY = 0x080000
    LEADING_SPACE = 0x100000


ACTIONS: Final = Action(0x1FF)
"""All of them are understood."""
STEPS: Final = Step(0x1FFFFF) & ~Step.REFUSED_RECIPIENTS
"""Offered; recipients that were refused are no longer known when a mail is whole."""
WANTS: Final[dict[Command, tuple[Step, Step]]] = {
    Command.CONNECT: (Step.NO_CONNECT, Step.SILENT_CONNECT),
    Command.HELO: (Step.NO_HELO, Step.SILENT_HELO),
    Command.MAIL: (Step.NO_MAIL, Step.SILENT_MAIL),
    Command.RCPT: (Step.NO_RCPT, Step.SILENT_RCPT),
    Command.DATA: (Step.NO_DATA, Step.SILENT_DATA),
    Command.UNKNOWN: (Step.NO_UNKNOWN, Step.SILENT_UNKNOWN),
    Command.HEADER: (Step.NO_HEADERS, Step.SILENT_HEADER),
    Command.END_OF_HEADER: (Step.NO_END_OF_HEADER, Step.SILENT_END_OF_HEADER),
    Command.BODY: (Step.NO_BODY, Step.SILENT_BODY),
}
"""Command -> (flag: it is not sent, flag: it is not answered); any other command has neither."""
MACRO_STAGES: Final = (
    Command.CONNECT,
    Command.HELO,
    Command.MAIL,
    Command.RCPT,
    Command.DATA,
    Command.END_OF_BODY,
    Command.END_OF_HEADER,
)
"""By the stage number of a filter's list of macros (SMFIM)."""
