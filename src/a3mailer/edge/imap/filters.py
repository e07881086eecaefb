"""Filters (RFC 5466): searches by name, kept as annotations of the server.

``/private/filters/values/NAME`` goes before ``/shared/filters/values/NAME``. A filter is asked for when a
search names it, and its value stands in the search as if the client had written it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from a3mailer.access.metadata import PRIVATE, SHARED, read
from a3mailer.edge.imap.replies import BadFilter, NoSuchFilter
from a3mailer.edge.imap.searching import unsave
from a3mailer.edge.imap.session import Session
from a3mailer.mail.errors import BadName, MailError
from a3mailer.wire.imap.errors import BadSyntax, UndefinedFilter
from a3mailer.wire.imap.parser import ATOM_CHARS
from a3mailer.wire.imap.search import FILTER_PASSES, SearchRequest, parse_filter, with_filters

VALUES: Final = ("filters/values/", "filters/descriptions/")
"""Behind ``/private/`` and ``/shared/``: what filters stand for, and what they are called."""
NAME_CHARS: Final = ATOM_CHARS.replace(b"/", b"")


async def expanded(session: Session, request: SearchRequest) -> SearchRequest:
    """The request with what its filters stand for in their places. Errors: BadSyntax; MailError, with what
    the search was to save empty."""
    if not request.filters:
        return request
    try:
        values: dict[bytes, bytes] = {}
        wanted: Iterable[bytes] = request.filters
        for _ in range(FILTER_PASSES):
            wanted = await _more(session, wanted, values)
        return with_filters(request, values)
    except UndefinedFilter as error:
        unsave(session, request)
        raise NoSuchFilter(error.name) from error
    except MailError:
        unsave(session, request)
        raise


async def _more(session: Session, wanted: Iterable[bytes], values: dict[bytes, bytes]) -> list[bytes]:
    """Get the values of filters that are not known yet; names of filters in these. Errors: MailError."""
    inside: list[bytes] = []
    for name in wanted:
        key = name.lower()
        if key in values:
            continue
        entries = [f"{root}{VALUES[0]}{key.decode('ascii')}" for root in (PRIVATE, SHARED)]
        found = await read(session.services.store, session.principal, None, entries)
        value = next((found[entry] for entry in entries if entry in found), None)
        if value is None:
            raise NoSuchFilter(name)
        try:
            inside += parse_filter(value)
        except BadSyntax as error:
            raise BadFilter from error
        values[key] = value
    return inside


def check_filters(values: Mapping[str, bytes | None]) -> None:
    """Annotations of the server that are to be changed, by their names. Errors: BadName, when the name or
    the value of a filter cannot be (section 3.2)."""
    for entry, value in values.items():
        kind, name = _filter(entry)
        if not kind or value is None:
            continue
        if not name or name.encode("ascii").translate(None, NAME_CHARS):
            raise BadName("a filter's name is an atom without /")
        if kind == VALUES[0]:
            try:
                value.decode()
                parse_filter(value)
            except (BadSyntax, UnicodeDecodeError) as error:
                raise BadName("the value of a filter is a whole search in UTF-8") from error


def _filter(entry: str) -> tuple[str, str]:
    """Which of the kinds an annotation is, and the name of its filter; empty for others."""
    for root in (PRIVATE, SHARED):
        for kind in VALUES:
            if entry.startswith(root + kind):
                return kind, entry[len(root) + len(kind) :]
    return "", ""
