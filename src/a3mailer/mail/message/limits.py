"""Every limit of the message index. A limit that was met is named in ``MessageIndex.truncated``.

A mail that meets a limit is delivered all the same: only what the index says about it is cut, and the
octets are kept and served as they came (attack rows 20 to 23). Sizes are octets unless said otherwise.
"""

from typing import Final

DEPTH: Final = 50  # "depth": nested multiparts and messages; a container below is shown as one opaque part
PARTS: Final = 1_000  # "parts": body parts, containers included
DELIMITERS: Final = (
    20_000  # "delimiters": lines that begin like one but are none; lines looked at for deep ones
)
BOUNDARY: Final = 250  # "boundary": RFC 2046 allows 70; a longer one is not honoured
PADDING: Final = 256  # white space after a boundary delimiter (RFC 2046 transport-padding)
HEADER_OCTETS: Final = 65_536  # "header": the structure of one header is read from its first octets
ALL_HEADER_OCTETS: Final = 1_048_576  # "headers": the same for all headers of the mail together
ADDRESSES: Final = 1_000  # "addresses": entries of one address field
ALL_ADDRESSES: Final = 5_000  # "addresses": entries of all fragments together
SMALL_HEADER: Final = 320  # the header of a part inside another that is remembered from mail to mail
REMEMBERED: Final = 512  # headers, descriptions, address fields and days that are remembered, of each
PARAMETERS: Final = 200  # "parameters": of one Content-Type or Content-Disposition field
LANGUAGES: Final = 20  # tags of one Content-Language field
REFERENCES: Final = 100  # message identifiers of one References or In-Reply-To field
THREAD_KEYS: Final = 20
TOKEN: Final = 255  # media types, encodings, charsets, as kept in a Part
FILENAME: Final = 255  # characters
BASE_SUBJECT: Final = 16_384  # characters of a Subject that are read for its base subject
QUOTED: Final = 4_096  # a longer string is sent as a literal
PREVIEW: Final = 200  # characters; RFC 8970 allows 256
PREVIEW_OCTETS: Final = 16_384  # how much of a text part is looked at for its preview
SEARCHED: Final = 8_388_608  # how much of a mail is searched
TEXT: Final = 16_777_216  # how much of a part is decoded for SEARCH
ENCODED_SEGMENTS: Final = 1_000  # base64 texts set one after the other in one part
