"""Exit codes of every verb, a promise to scripts (docs/en/operate.md), and the one table of errors."""

from __future__ import annotations

from typing import Final

OK: Final = 0
NO: Final = 1
USAGE: Final = 2
ABSENT: Final = 3
EXISTS: Final = 4
REFUSED: Final = 5
BUSY: Final = 6
NOT_RUNNING: Final = 7
LATER: Final = 8
CONFIG: Final = 9
UNUSABLE: Final = 10
BUG: Final = 70
INTERRUPTED: Final = 130

MEANINGS: Final = {
    OK: "done",
    NO: "the answer is no: not ready, or problems were found",
    USAGE: "a wrong command line, or a value that cannot be",
    ABSENT: "what was named does not exist, or may not be seen",
    EXISTS: "the name is taken, reserved, or still in use",
    REFUSED: "not allowed",
    BUSY: "another process holds the data directory, or a port",
    NOT_RUNNING: "the server is not running",
    LATER: "not now: the disk is full or the server too busy; nothing was changed",
    CONFIG: "the settings cannot be used",
    UNUSABLE: "the data directory cannot be used: missing, foreign, or of a newer version",
    BUG: "a bug",
    INTERRUPTED: "interrupted",
}

ERRORS: Final = {
    "NoSuchAccount": ABSENT,
    "NoSuchDomain": ABSENT,
    "NoSuchMailbox": ABSENT,
    "NoSuchMessage": ABSENT,
    "NoSuchThing": ABSENT,
    "AlreadyExists": EXISTS,
    "AddressReserved": EXISTS,
    "Conflict": EXISTS,
    "BadName": USAGE,
    "Unprepared": USAGE,
    "TooMany": USAGE,
    "TooLarge": USAGE,
    "NotAllowed": REFUSED,
    "NotPermitted": REFUSED,
    "Refused": REFUSED,
    "AuthenticationFailed": REFUSED,
    "OverQuota": LATER,
    "FullForLong": LATER,
    "TryLater": LATER,
    "StoreFull": LATER,
    "Uncertain": LATER,
    "TooCostly": LATER,
    "DamagedContent": NO,
    "MailLoop": NO,
    "BadScript": NO,
    "ScriptInUse": EXISTS,
}
"""Exit code by the name of a ``mail.errors`` class, also when it comes over the control socket."""


class Failed(Exception):
    """A verb ends with one line on stderr and an exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def failure(error: str, text: str) -> Failed:
    """An error by its name, as ``Failed``."""
    return Failed(ERRORS.get(error, BUG), text or MEANINGS[ERRORS.get(error, BUG)])
