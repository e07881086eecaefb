"""What a filter of JMAP looks for."""

import pytest

from a3mailer.access.texts import needles


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("  ", []),
        ("Quick fox", ["quick", "fox"]),
        ('quick "Brown  fox" jumps', ["quick", "brown fox", "jumps"]),
        ("'it is' o'clock", ["it is", "o'clock"]),
        (r'"a \"b\" c\\" d', ['a "b" c\\', "d"]),
        ('"open end', ["open", "end"]),
        ("'til dawn", ["til", "dawn"]),
        ("a ' b \" c", ["a", "b", "c"]),
        ("\"a 'b\" c' d", ["a 'b", "c'", "d"]),
        ('"a\\', ["a\\"]),
        ('""', []),
        ('say "hi"there', ["say", "hi", "there"]),
        (r"a\b", [r"a\b"]),
        ("GRÜSSE 会议", ["grüsse", "会议"]),
    ],
)
def test_words_and_phrases(text: str, found: list[str]) -> None:
    assert needles(text) == found
