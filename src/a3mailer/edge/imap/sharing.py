"""What the commands of RFC 4314 share: identifiers and rights, as they are read and written."""

from __future__ import annotations

from typing import Final

from a3mailer.edge.imap.session import Session
from a3mailer.identity.saslprep import Unprepared, saslprep
from a3mailer.mail.ids import AccountId
from a3mailer.mail.rights import ALL_RIGHTS, canonical
from a3mailer.wire.imap.encode import string
from a3mailer.wire.imap.errors import BadSyntax
from a3mailer.wire.imap.parser import ASTRING_CHARS, Parser

CREATE: Final = "kx"
"""What the old right ``c`` means (RFC 4314 section 2.1.1)."""
DELETE: Final = "et"
"""What the old right ``d`` means."""
_OLD: Final = {"c": CREATE, "d": DELETE}
_SIGNS: Final = ("+", "-")


# identifier = astring
def parse_identifier(p: Parser) -> str:
    """An identifier, prepared. Errors: BadSyntax."""
    try:
        text = saslprep(p.astring().decode())
    except (UnicodeDecodeError, Unprepared) as error:
        raise BadSyntax("that cannot be an identifier") from error
    if not text:
        raise BadSyntax("an empty identifier")
    return text


# mod-rights = astring      +rights to add, -rights to remove, rights to replace
def parse_mod_rights(p: Parser) -> tuple[str, str]:
    """Mode (``=``, ``+``, ``-``) and rights. Errors: BadSyntax, also for a right that is none."""
    text = p.astring().decode("latin-1")
    mode = "="
    if text.startswith(_SIGNS):
        mode, text = text[0], text[1:]
    rights = "".join(_OLD.get(right, right) for right in text)
    if not set(rights) <= set(ALL_RIGHTS):
        raise BadSyntax("there is no such right")
    return mode, canonical(rights)


def with_old(rights: str) -> str:
    """Rights with the old ones that contain some of them (RFC 4314 section 2.1.1)."""
    return rights + "".join(old for old, new in _OLD.items() if set(new) & set(rights))


def astring(text: str) -> bytes:
    """An identifier or rights, as an atom where it can be."""
    octets = text.encode()
    if octets and not octets.translate(None, ASTRING_CHARS) and octets.upper() != b"NIL":
        return octets
    return string(octets)


async def is_person(session: Session, account: AccountId) -> bool:
    """Whether somebody is the owner: then all rights are his, and stay his."""
    owner = await session.services.rights.owner(account)
    return owner is not None and not owner.shared
