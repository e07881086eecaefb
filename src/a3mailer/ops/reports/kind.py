"""The door for kinds of reports that others send us: one file of this folder and one line of its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from a3mailer.mail.message import MessageIndex
from a3mailer.store.rows import Report
from a3mailer.transfer.policy.reports import ReportFound, ReportMail

DAY = 86_400


class Summary(Protocol):
    """Reports added up. What comes out is plain values, as ``--json`` prints them."""

    def add(self, report: Report) -> None:
        """Take one more in. A content that cannot be read (of a version to come) is left out."""
        ...

    def domains(self) -> Sequence[Mapping[str, object]]:
        """One entry a domain of ours: ``domain``, ``reports``, the sums, and ``advice``, sentences."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. ``name`` is its word in ``report NAME list``."""

    name: str
    title: str
    read: Callable[[ReportMail, MessageIndex], Sequence[ReportFound]]
    """What a mail carries of it. Total; in a thread."""
    lines: Callable[[Report], Sequence[str]]
    """One report for people."""
    columns: Callable[[Report], Mapping[str, object]]
    """What a list of reports says of this one, by column; plain values."""
    summary: Callable[[], Summary]


def days(begins: int, ends: int) -> str:
    """How long a time is, in words."""
    number = max(1, round((ends - begins) / DAY))
    return "1 day" if number == 1 else f"{number} days"


def mails(number: int) -> str:
    """So many mails, in words."""
    return "1 mail" if number == 1 else f"{number:,} mails"
