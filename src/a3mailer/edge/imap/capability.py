"""Capabilities by state (RFC 9051 section 6.1.1), each line with where it comes from."""

from __future__ import annotations

from typing import Final

from a3mailer.config.tree import Imap

BEFORE_LOGIN: Final = (b"IMAP4rev1", b"IMAP4rev2", b"LITERAL-", b"SASL-IR", b"ID", b"ENABLE")
AFTER_LOGIN: Final = (
    b"IMAP4rev1",  # RFC 3501
    b"IMAP4rev2",  # RFC 9051
    b"LITERAL+",  # RFC 7888
    b"ID",  # RFC 2971
    b"ENABLE",  # RFC 5161
    b"NAMESPACE",  # RFC 2342
    b"CHILDREN",  # RFC 3348
    b"IDLE",  # RFC 2177
    b"UNSELECT",  # RFC 3691
    b"UIDPLUS",  # RFC 4315
    b"MOVE",  # RFC 6851
    b"MULTIAPPEND",  # RFC 3502
    b"BINARY",  # RFC 3516
    b"ESEARCH",  # RFC 4731
    b"SEARCHRES",  # RFC 5182
    b"CONDSTORE",  # RFC 7162
    b"QRESYNC",  # RFC 7162
    b"LIST-EXTENDED",  # RFC 5258
    b"LIST-STATUS",  # RFC 5819
    b"LIST-MYRIGHTS",  # RFC 8440
    b"SPECIAL-USE",  # RFC 6154
    b"CREATE-SPECIAL-USE",  # RFC 6154
    b"STATUS=SIZE",  # RFC 8438
    b"OBJECTID",  # RFC 8474
    b"SAVEDATE",  # RFC 8514
    b"PREVIEW",  # RFC 8970
    b"ACL",  # RFC 4314
    b"RIGHTS=kxte",
    b"METADATA",  # RFC 5464
    b"LIST-METADATA",  # RFC 9590
    b"NOTIFY",  # RFC 5465
    b"QUOTA",  # RFC 9208
    b"QUOTA=RES-STORAGE",
    b"QUOTA=RES-MESSAGE",
    b"SORT",  # RFC 5256
    b"SORT=DISPLAY",  # RFC 5957
    b"THREAD=ORDEREDSUBJECT",  # RFC 5256
    b"THREAD=REFERENCES",
    b"ESORT",  # RFC 5267
    b"CONTEXT=SEARCH",
    b"CONTEXT=SORT",
    b"COMPRESS=DEFLATE",  # RFC 4978
    b"REPLACE",  # RFC 8508
    b"UNAUTHENTICATE",  # RFC 8437
    b"UIDONLY",  # RFC 9586
    b"INPROGRESS",  # RFC 9585
    b"WITHIN",  # RFC 5032
    b"PARTIAL",  # RFC 9394
    b"MULTISEARCH",  # RFC 7377
    b"FILTERS",  # RFC 5466
    b"SEARCH=FUZZY",  # RFC 6203
)
ENABLEABLE: Final = frozenset(
    (b"CONDSTORE", b"QRESYNC", b"IMAP4REV2", b"UIDONLY", b"UTF8=ACCEPT", b"METADATA")
)


def before_login(*, start_tls: bool, mechanisms: tuple[str, ...], login: bool) -> bytes:
    """What a stranger is told: STARTTLS where there is TLS to start, LOGINDISABLED where LOGIN is refused."""
    words = list(BEFORE_LOGIN)
    if start_tls:
        words.append(b"STARTTLS")
    words += (b"AUTH=" + name.encode("ascii") for name in mechanisms)
    if not login:
        words.append(b"LOGINDISABLED")
    return b" ".join(words)


# capability =/ "IMAPSIEVE=" sieveurl-server
def after_login(settings: Imap, *, jmap: bool = False, sieve: str = "") -> bytes:
    """What a user is told. ``jmap``: the same mail is there by JMAP (RFC 9698); ``sieve``: scripts hear of
    what is done to mail, and are kept there (RFC 6785)."""
    words = list(AFTER_LOGIN)
    if settings.utf8_accept:
        words.append(b"UTF8=ACCEPT")  # RFC 6855
    if jmap:
        words.append(b"JMAPACCESS")
    if sieve:
        words.append(b"IMAPSIEVE=" + sieve.encode("ascii"))
    words.append(b"MESSAGELIMIT=%d" % settings.message_limit)  # RFC 9738
    words.append(b"APPENDLIMIT=%d" % settings.append_size)  # RFC 7889
    return b" ".join(words)
