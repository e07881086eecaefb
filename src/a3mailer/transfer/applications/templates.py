"""Templates of mails: ``{{name}}`` stands for a variable, and there is nothing else: no code, no loops.

In HTML a variable's value is escaped, also inside quoted attributes; in subject and text it stands as it is.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from a3mailer.mail.errors import BadName, NoSuchThing, TooMany
from a3mailer.mail.ids import AccountId
from a3mailer.store.operations import PutDocument, RemoveDocument
from a3mailer.store.ports import Store, Transaction

MAX_TEMPLATES: Final = 200
"""Of one account."""
MAX_RENDERED: Final = 4 << 20
"""Characters of one part with its variables filled in."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_PLACE: Final = re.compile(r"\{\{ ?([A-Za-z_][A-Za-z0-9_]{0,63}) ?\}\}")


class Template(msgspec.Struct, frozen=True):
    """The parts; None where a mail of it has none."""

    subject: str
    text: str | None = None
    html: str | None = None


_decode: Final = msgspec.json.Decoder(Template).decode


def document_name(text: str) -> str:
    """A name of something an account keeps. Errors: BadName."""
    if not _NAME.match(text):
        raise BadName("a name is up to 64 letters, digits, dots, hyphens and underscores")
    return text


def rendered(template: Template, variables: Mapping[str, str]) -> Template:
    """With every place filled in. Errors: BadName (a variable is missing, or the result is too large)."""
    escaped = {name: html.escape(value, quote=True) for name, value in variables.items()}
    return Template(
        _filled(template.subject, variables),
        None if template.text is None else _filled(template.text, variables),
        None if template.html is None else _filled(template.html, escaped),
    )


def _filled(text: str, variables: Mapping[str, str]) -> str:
    pieces = _PLACE.split(text)  # text, name, text, name, ... text: what was filled in is not looked at again
    for at in range(1, len(pieces), 2):
        if pieces[at] not in variables:
            raise BadName(f"the template wants a variable {pieces[at]}")
        pieces[at] = variables[pieces[at]]
    if sum(len(piece) for piece in pieces) > MAX_RENDERED:
        raise BadName(f"filled in, a part has more than {MAX_RENDERED} characters")
    return "".join(pieces)


async def put(store: Store, account: AccountId, name: str, template: Template) -> None:
    """Keep it under a name. Errors: BadName, TooMany."""
    document_name(name)
    kept = await store.documents(account, "template", limit=MAX_TEMPLATES)
    if len(kept) >= MAX_TEMPLATES and all(row.name != name for row in kept):
        raise TooMany(f"more than {MAX_TEMPLATES} templates")
    value = msgspec.json.encode(template).decode()
    await store.commit(Transaction((PutDocument(account, "template", name, value),)))


async def get(store: Store, account: AccountId, name: str) -> Template:
    """Errors: NoSuchThing."""
    row = await store.document(account, "template", name)
    if row is None:
        raise NoSuchThing(f"no template {name}")
    return _decode(row.value)


async def names(store: Store, account: AccountId) -> list[str]:
    """Of an account."""
    return [row.name for row in await store.documents(account, "template", limit=MAX_TEMPLATES)]


async def remove(store: Store, account: AccountId, name: str) -> None:
    """Errors: NoSuchThing."""
    await store.commit(Transaction((RemoveDocument(account, "template", name),)))
