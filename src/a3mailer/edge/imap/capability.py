"""Capabilities by state (RFC 9051 section 6.1.1), each line with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from a3mailer.config.tree import Imap

REMEMBERED: Final = 64
"""Lists that are kept: few are ever different."""
BEFORE_LOGIN: Final = (b"IMAP4rev1", b"IMAP4rev2", b"LITERAL-", b"SASL-IR", b"ID", b"ENABLE")
AFTER_LOGIN: Final[Mapping[bytes, int]] = {
    b"IMAP4rev1": 3501,
    b"IMAP4rev2": 9051,
    b"LITERAL+": 7888,
    b"ID": 2971,
    b"ENABLE": 5161,
    b"NAMESPACE": 2342,
    b"CHILDREN": 3348,
    b"IDLE": 2177,
    b"UNSELECT": 3691,
    b"UIDPLUS": 4315,
    b"MOVE": 6851,
    b"MULTIAPPEND": 3502,
    b"BINARY": 3516,
    b"ESEARCH": 4731,
    b"SEARCHRES": 5182,
    b"CONDSTORE": 7162,
    b"QRESYNC": 7162,
    b"LIST-EXTENDED": 5258,
    b"LIST-STATUS": 5819,
    b"LIST-MYRIGHTS": 8440,
    b"SPECIAL-USE": 6154,
    b"CREATE-SPECIAL-USE": 6154,
    b"STATUS=SIZE": 8438,
    b"OBJECTID": 8474,
    b"SAVEDATE": 8514,
    b"PREVIEW": 8970,
    b"ACL": 4314,
    b"RIGHTS=kxte": 4314,
    b"METADATA": 5464,
    b"LIST-METADATA": 9590,
    b"NOTIFY": 5465,
    b"QUOTA": 9208,
    b"QUOTA=RES-STORAGE": 9208,
    b"QUOTA=RES-MESSAGE": 9208,
    b"SORT": 5256,
    b"SORT=DISPLAY": 5957,
    b"THREAD=ORDEREDSUBJECT": 5256,
    b"THREAD=REFERENCES": 5256,
    b"ESORT": 5267,
    b"CONTEXT=SEARCH": 5267,
    b"CONTEXT=SORT": 5267,
    b"COMPRESS=DEFLATE": 4978,
    b"REPLACE": 8508,
    b"UNAUTHENTICATE": 8437,
    b"UIDONLY": 9586,
    b"INPROGRESS": 9585,
    b"WITHIN": 5032,
    b"PARTIAL": 9394,
    b"MULTISEARCH": 7377,
    b"FILTERS": 5466,
    b"SEARCH=FUZZY": 6203,
}
"""Each with the number of its RFC."""
CONDITIONAL: Final[Mapping[bytes, int]] = {
    b"LITERAL-": 7888,
    b"SASL-IR": 4959,
    b"STARTTLS": 9051,
    b"LOGINDISABLED": 9051,
    b"UTF8=ACCEPT": 6855,
    b"JMAPACCESS": 9698,
    b"IMAPSIEVE": 6785,
    b"MESSAGELIMIT": 9738,
    b"APPENDLIMIT": 7889,
}
"""Those of one state or of some settings; AUTH= names what SASL offers."""
ENABLEABLE: Final = frozenset(
    (b"CONDSTORE", b"QRESYNC", b"IMAP4REV2", b"UIDONLY", b"UTF8=ACCEPT", b"METADATA")
)


@lru_cache(REMEMBERED)
def before_login(*, start_tls: bool, mechanisms: tuple[str, ...], login: bool) -> bytes:
    """What a stranger is told: STARTTLS where there is TLS to start, LOGINDISABLED where LOGIN is refused."""
    words = list(BEFORE_LOGIN)
    if start_tls:
        words.append(b"STARTTLS")
    words += (b"AUTH=" + name.encode("ascii") for name in mechanisms)
    if not login:
        words.append(b"LOGINDISABLED")
    return b" ".join(words)


def after_login(settings: Imap, *, jmap: bool = False, sieve: str = "") -> bytes:
    """What a user is told. ``jmap``: the same mail is there by JMAP (RFC 9698); ``sieve``: scripts hear of
    what is done to mail, and are kept there (RFC 6785)."""
    return _after_login(settings.utf8_accept, settings.message_limit, settings.append_size, jmap, sieve)


# capability =/ "IMAPSIEVE=" sieveurl-server
@lru_cache(REMEMBERED)
def _after_login(utf8_accept: bool, message_limit: int, append_size: int, jmap: bool, sieve: str) -> bytes:
    words = list(AFTER_LOGIN)
    if utf8_accept:
        words.append(b"UTF8=ACCEPT")
    if jmap:
        words.append(b"JMAPACCESS")
    if sieve:
        words.append(b"IMAPSIEVE=" + sieve.encode("ascii"))
    words.append(b"MESSAGELIMIT=%d" % message_limit)
    words.append(b"APPENDLIMIT=%d" % append_size)
    return b" ".join(words)
