"""Pictures that are shown, and those that would move, run, or tell somebody that a mail is read."""

from __future__ import annotations

import pytest

from a3mailer.msgauth.bimi_svg import MAX_PICTURE, BadPicture, parse

HEAD = 'xmlns="http://www.w3.org/2000/svg" version="1.2" baseProfile="tiny-ps" viewBox="0 0 64 64"'


def picture(body: str = "", head: str = HEAD, title: str = "<title>A Test</title>") -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><svg {head}>{title}{body}</svg>'.encode()


GOOD = picture(
    '<desc>x</desc><defs><linearGradient id="g"><stop offset="0" stop-color="#fff"/></linearGradient></defs>'
    '<g><rect id="r" width="64" height="64" fill="url(#g)"/><use xlink:href="#r"/></g>'
)


def test_a_picture() -> None:
    found = parse(GOOD)
    assert (found.octets, found.title, found.square) == (GOOD, "A Test", True)
    assert not parse(picture(head=HEAD.replace("0 0 64 64", "0,0,64,32"))).square
    assert parse(picture(title="<title>\u54c1\n\u724c</title>")).title == "\u54c1 \u724c"


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        "<image href='https://evil.test/x.png'/>",
        "<a href='https://evil.test/'/>",
        "<foreignObject/>",
        "<animate attributeName='x'/>",
        "<style>*{}</style>",
        "<svg/>",
        "<x:script xmlns:x='http://www.w3.org/2000/svg'/>",
        "<rect onclick='x'/>",
        "<rect ONLOAD='x'/>",
        "<rect style='fill:url(https://evil.test/)'/>",
        "<rect fill='url(https://evil.test/x#y)'/>",
        "<rect fill='url( #a) URL(//evil.test)'/>",
        "<use href='https://evil.test/x.svg#a'/>",
        "<use xlink:href='data:image/svg+xml,x'/>",
        "<use y:href='//evil.test'/>",
        "<rect fill='java\tscript:x'/>",
        "<defs><g id='a'><use href='#b'/></g></defs>",
        "<g id='a'><g><use href='#b'/></g></g>",
        "<use href='#a'/>" * 65,
        "<?xml-stylesheet href='https://evil.test/x.css'?>",
        "<g>" * 40 + "</g>" * 40,
        "<g/>" * 5000,
        "&x;",
        "<path d='" + "M0 0" * MAX_PICTURE + "'/>",
    ],
)
def test_what_is_not_shown(body: str) -> None:
    with pytest.raises(BadPicture):
        parse(picture(body))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x89PNG",
        picture(title=""),
        picture(title=f"<title>{'x' * 65}</title>"),
        picture(title="<title> </title>"),
        picture(title="<g><title>x</title></g>"),
        picture(head=HEAD.replace("tiny-ps", "tiny")),
        picture(head=HEAD.replace("1.2", "1.1")),
        picture(head=HEAD.replace("w3.org", "w3.test")),
        picture(head=HEAD + ' x="0"'),
        picture(head=HEAD + ' onload="x"'),
        GOOD.replace(b"<svg", b"<!DOCTYPE svg [<!ENTITY x 'y'>]><svg"),
        GOOD.replace(b"svg", b"html"),
    ],
)
def test_what_is_no_picture(octets: bytes) -> None:
    with pytest.raises(BadPicture):
        parse(octets)
