"""Verbs of the table as routes of the API: one line each. What a verb shows or does is what the asker may.

GET takes a verb's arguments from path and query, POST those that are not in the path from a JSON object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from a3mailer.app.verbs.office import Office
from a3mailer.app.verbs.table import BY_NAME, StoreVerb
from a3mailer.edge.http.api.json import answer, read
from a3mailer.edge.http.exchange import BadRequest, Request, Response
from a3mailer.edge.http.routes import Route
from a3mailer.mail.errors import BadName

MAX_BODY: Final = 16 * 1024
LONGEST_NUMBER: Final = 18
"""Digits: what the store can count."""
STATUS: Final = {"GET": 400, "POST": 422}
"""Where arguments do not fit: those of an address, those of a body."""
PAGE: Final = {"limit": "100"}
"""Of lists without an end, unless the asker says otherwise."""
MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Exposed:
    """One line."""

    method: str
    path: str
    verb: str
    about: str
    given: Mapping[str, str] = field(default_factory=dict)
    """Arguments that stand where the asker gives none."""


EXPOSED: Final = (
    Exposed(
        "GET", "/api/v1/queue", "queue list", "Mail that waits to leave, by number; after= goes on.", PAGE
    ),
    Exposed("GET", "/api/v1/queue/{queue}", "queue show", "One entry with its recipients."),
    Exposed("POST", "/api/v1/queue/{queue}", "queue change", "Act on it: hold, release, retry or fail."),
    Exposed(
        "GET",
        "/api/v1/reports/{kind}",
        "report list",
        "What others reported, by number; after= goes on.",
        PAGE,
    ),
    Exposed("GET", "/api/v1/reports/{kind}/summary", "report summary", "The same, added up into advice."),
    Exposed("GET", "/api/v1/reports/{kind}/{report}", "report show", "One report."),
    Exposed(
        "GET", "/api/v1/bimi/{domain}", "message indicator", "The picture beside mail of a proved author."
    ),
    Exposed("GET", "/api/v1/accounts", "account list", "People."),
    Exposed("GET", "/api/v1/domains", "domain list", "The domains mail is received for."),
    Exposed("GET", "/api/v1/domains/{name}/check", "domain last", "What its DNS lacks, as last seen."),
    Exposed("GET", "/api/v1/domains/{name}/dkim", "dkim list", "Its keys, their states and their records."),
)


def exposed(office: Callable[[], Office]) -> tuple[Route, ...]:
    """The lines as routes; ``office`` gives the surroundings of a verb."""
    return tuple(_route(line, BY_NAME[line.verb], office) for line in EXPOSED)


def _route(line: Exposed, verb: StoreVerb, office: Callable[[], Office]) -> Route:
    known = verb.form.__struct_fields__
    given = {name: value for name, value in line.given.items() if name in known}

    async def handle(request: Request) -> Response:
        arguments: dict[str, object] = {**given, **request.query, **request.parameters}
        if line.method == "POST":
            body, _ = await read(request, dict[str, str | int | bool])
            arguments = {**body, **request.parameters}
        asker = replace(office(), subject=request.principal)
        try:
            return answer(await perform(verb, asker, arguments))
        except BadName as error:
            raise BadRequest(STATUS[line.method], str(error)) from error

    if line.method == "POST":
        return Route(
            ("POST",), line.path, handle, verb.action, body=MAX_BODY, form=verb.form, about=line.about
        )
    return Route((line.method,), line.path, handle, verb.action, query=verb.form, about=line.about)


async def perform(verb: StoreVerb, office: Office, arguments: Mapping[str, object]) -> object:
    """Errors: BadName (which argument does not fit), and those of the verb."""
    try:
        form = msgspec.convert(dict(arguments), verb.form, strict=False)
    except msgspec.ValidationError as error:
        raise BadName(str(error)) from error
    for name in verb.form.__struct_fields__:
        value = getattr(form, name)
        if isinstance(value, int) and len(str(abs(value))) > LONGEST_NUMBER:
            raise BadName(f"{name} is too large a number")
    if getattr(form, "limit", 1) not in range(1, MOST + 1):
        raise BadName(f"limit is 1 to {MOST}")
    return await verb.run(office, form)
