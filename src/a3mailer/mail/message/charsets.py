"""Octets in a named charset to text (RFC 2978, RFC 6532), for any octets and any name.

Only charsets in this table are decoded by their name: a name out of a mail never reaches the codec registry
of Python, whose idna, punycode and escape codecs are no charsets. An unknown name is read as UTF-8. What
cannot be decoded becomes U+FFFD; the text never holds a lone surrogate. Nothing here raises.
"""

from encodings.aliases import aliases
from typing import Final

_NO_CHARSETS: Final = frozenset(
    (
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "quopri_codec",
        "rot_13",
        "uu_codec",
        "zlib_codec",
        "mbcs",
        "oem",
    )
)
_DECODERS: Final[dict[str, str]] = {
    **{alias: codec for alias, codec in aliases.items() if codec not in _NO_CHARSETS},
    **{codec: codec for codec in aliases.values() if codec not in _NO_CHARSETS},
    # what mail programs write, beside the registered names; the supersets are those of the WHATWG standard
    "us_ascii": "",
    "ascii": "",
    "": "",
    "iso_8859_1": "cp1252",
    "iso8859_1": "cp1252",
    "latin_1": "cp1252",
    "latin1": "cp1252",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x_gbk": "gb18030",
    "ks_c_5601_1987": "cp949",
    "euc_kr": "cp949",
    "ks_c_5601": "cp949",
    "shift_jis": "cp932",
    "x_sjis": "cp932",
    "windows_31j": "cp932",
    "iso_2022_jp": "iso2022_jp_ext",
    "cp_850": "cp850",
    "unicode_1_1_utf_7": "utf_7",
    "unicode_1_1_utf_8": "utf_8",
    "utf8mb4": "utf_8",
    "windows_874": "cp874",
    "tis_620": "cp874",
    "cp874": "cp874",
    "koi8_r": "koi8_r",
    "koi8_u": "koi8_u",
    "x_mac_roman": "mac_roman",
    "x_mac_cyrillic": "mac_cyrillic",
    "macintosh": "mac_roman",
}
_USUAL: Final = {
    b"": "",
    b"us-ascii": "",
    b"utf-8": "utf_8",
    b"iso-8859-1": "cp1252",
    b"windows-1252": "cp1252",
}
_SEPARATORS: Final = bytes.maketrans(b"- .:", b"____")
_LONGEST: Final = 60


def names() -> tuple[str, ...]:
    """Return every name that is decoded, as `decoder_of` looks it up."""
    return tuple(_DECODERS)


def decoder_of(charset: bytes) -> str | None:
    """Return the codec for a charset name, "" for US-ASCII or none, None when the name is unknown."""
    known = _USUAL.get(charset)
    if known is not None:
        return known
    name = charset[: _LONGEST + 1].strip(b" \t\"'").translate(_SEPARATORS).lower()
    return _DECODERS.get(name.decode("ascii", "replace"))


def decode(octets: bytes, charset: bytes = b"") -> str:
    """Return the text of octets in a charset. Without one: UTF-8 if they are, else windows-1252."""
    if not octets:
        return ""
    codec = decoder_of(charset)
    if codec == "":
        try:
            return octets.decode()
        except UnicodeDecodeError:
            codec = "cp1252"
    text = octets.decode(codec or "utf_8", "replace")
    if codec == "utf_7":  # the only one that lets lone surrogates through
        return text.encode("utf_16_le", "surrogatepass").decode("utf_16_le", "replace")
    return text


def is_text(octets: bytes, charset: bytes) -> bool:
    """Whether all of these octets are text in a charset that is known."""
    codec = decoder_of(charset)
    if not codec:
        return codec is not None and octets.isascii()
    try:
        octets.decode(codec).encode()
    except UnicodeError:
        return False
    return True
