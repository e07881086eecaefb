"""vacation (RFC 5230, RFC 6131), enotify (RFC 5435, RFC 5436) and duplicate (RFC 7352)."""

from __future__ import annotations

import pytest

from a3mailer.mail.address import Address
from a3mailer.wire.sieve.actions import Notify, Remember, Vacation
from a3mailer.wire.sieve.errors import ScriptError
from tests.unit.wire.sieve.scripts import result, told, true

NEED = 'require ["vacation", "vacation-seconds", "variables", "enotify", "reject", "duplicate", "fileinto"]; '
DAY = 86_400


def vacation(script: str, mail: bytes = b"Subject: x\r\n\r\n") -> Vacation:
    done = result(NEED + script, mail)
    assert done.error is None, done.error
    (found,) = (each for each in done.actions if isinstance(each, Vacation))
    assert done.actions[-1].word == "keep"
    return found


def test_what_is_answered() -> None:
    found = vacation(
        'vacation :days 23 :addresses ["tjs@example.edu", "ts4z@landru.example.edu"]'
        ' :subject "Grüße\t\r\n zurück" :from "Jane <j@x.example>" :handle "h" "Away.\r\nBye";'
    )
    assert found == Vacation(
        "Away.\r\nBye",
        23 * DAY,
        b"=h",
        "Grüße zurück",
        "Jane <j@x.example>",
        ("tjs@example.edu", "ts4z@landru.example.edu"),
    )
    assert vacation("vacation :mime text:\nContent-Type: text/html\n\n<p>ü\n.\n;").mime


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [
        ("", 7 * DAY),
        (":days 0", DAY),
        (":days 1", DAY),
        (":days 9999", 365 * DAY),
        (":seconds 0", 0),
        (":seconds 1800", 1800),
        (":seconds 2147483648", 365 * DAY),
    ],
)
def test_how_long_a_sender_is_not_answered_again(interval: str, seconds: int) -> None:
    assert vacation(f'vacation {interval} "x";').seconds == seconds


def test_vacation_seconds_alone_gives_vacation() -> None:
    assert told('require "vacation-seconds"; vacation :seconds 5 "x";') == ["vacation", "implicit keep"]
    with pytest.raises(ScriptError, match='needs the capability "vacation-seconds"'):
        told('require "vacation"; vacation :seconds 5 "x";')


def test_what_counts_as_the_same_answer() -> None:
    """RFC 5230 section 4.2: what the script says, before variables are put in; not days and addresses."""
    one, other = b"Subject: a\r\n\r\n", b"Subject: b\r\n\r\n"
    script = 'if header :matches "subject" "*" { vacation :subject "Auto: ${1}" "I am away"; }'
    assert vacation(script, one).subject != vacation(script, other).subject
    assert vacation(script, one).handle == vacation(script, other).handle
    plain = vacation('vacation "x";').handle
    assert vacation('vacation :days 3 :addresses "a@b.example" "x";').handle == plain
    different = {
        vacation(f"vacation {how};").handle
        for how in ('"y"', ':subject "x" "x"', ':from "x@y.example" "x"', ':mime "x"', ':handle "x" "x"')
    }
    assert len(different | {plain}) == 6
    assert (
        vacation('vacation :handle "x" "y";').handle == vacation('vacation :handle "x" :days 2 "z";').handle
    )


@pytest.mark.parametrize(
    "script",
    [
        'vacation "a"; vacation "a";',
        'vacation "a"; reject "b";',
        'reject "b"; vacation "a";',
        'set "f" "nobody"; vacation :from "${f}" "a";',
    ],
)
def test_vacation_fails(script: str) -> None:
    assert told(NEED + script)[0].startswith("error: ")


@pytest.mark.parametrize(
    "script",
    [
        'vacation :days 1 :seconds 1 "a";',
        'vacation :seconds 2147483649 "a";',
        'vacation :from "nobody" "a";',
        "vacation :mime text:\nSubject: ü\n\nx\n.\n;",
        "vacation;",
        'vacation "a" "b";',
    ],
)
def test_vacation_is_refused(script: str) -> None:
    with pytest.raises(ScriptError):
        told(NEED + script)


def notified(uri: str) -> Notify:
    done = result(f'{NEED} notify :importance "1" :message "ü" :options ["a=b", "c.d="] "{uri}";')
    assert done.error is None
    found = done.actions[0]
    assert isinstance(found, Notify)
    assert done.actions[1].word == "keep"
    return found


def test_notify_is_a_mail() -> None:
    found = notified("MAILTO:alm@example.com?subject=Hi%20%0D%0Athere&to=e@f.example&From=x&X-A=1")
    assert found == Notify(
        (Address("alm", "example.com"), Address("e", "f.example")),
        fields=(("subject", "Hi there"), ("x-a", "1")),
        message="ü",
        importance=1,
        options=("a=b", "c.d="),
    )


WRONG_URIS = [
    "xmpp:a@b.example", "tel:+1", "", "mailto:", "mailto:nobody", "mailto:a@b.example?x",
    "mailto:a@b.example?x y=1",
    "mailto:a%zz@b.example", "mailto:a@b,c@d,e@f,g@h,i@j", "mailto:a%40b@c.example", "http://x.example/",
]  # fmt: skip


@pytest.mark.parametrize("uri", WRONG_URIS)
def test_a_method_that_is_none(uri: str) -> None:
    assert not true(f'valid_notify_method ["mailto:a@b.example", "{uri}"]', require='"enotify"')
    assert not true(f'notify_method_capability "{uri}" "online" "maybe"', require='"enotify"')
    if uri.startswith(("mailto", "nobody")) or not uri:
        with pytest.raises(ScriptError):
            told(NEED + f'notify "{uri}";')
    assert told(NEED + f'set "u" "{uri}"; notify "${{u}}";')[0].startswith("error: ")


def test_a_uri_that_is_read_again_and_again_is_charged_for() -> None:
    """Attack row 38: quotes that do not end are looked at once, and each reading costs steps."""
    uri = "mailto:" + "%22%5C" * 300
    steps = []
    for count in (1, 21):
        uris = ", ".join(['"${u}"'] * count)
        steps.append(result(f'{NEED} set "u" "{uri}"; if valid_notify_method [{uris}] {{ stop; }}').steps)
    once, often = steps
    assert often - once > 20 * len(uri) // 64


def test_another_method_is_an_error_of_the_run_alone() -> None:
    """RFC 5435 section 3.2, as a script may ask before; its example 5."""
    ask = 'if notify_method_capability "xmpp:tim@example.com?message" "Online" "yes"'
    script = f'{NEED} {ask} {{ notify "xmpp:tim@example.com?message"; }} else {{ discard; }}'
    assert told(script) == ["discard"]
    assert told(NEED + 'notify "tel:+14085551212";')[0].startswith("error: ")
    with pytest.raises(ScriptError):
        told(NEED + 'notify "nobody@example.com";')


@pytest.mark.parametrize(
    ("uri", "to", "cc"),
    [
        ("mailto:a@b.example%2Cc@d.example", ["a@b.example", "c@d.example"], []),
        ("mailto:a@b.example,c@d.example", ["a@b.example", "c@d.example"], []),
        ("mailto:%22a%2Cb%22@b.example", ["a,b@b.example"], []),
        ("mailto:?to=a@b.example&cc=c@d.example", ["a@b.example"], ["c@d.example"]),
        (
            "mailto:a@b.example?cc=c@d.example%2C%20a@b.example&to=a@b.example",
            ["a@b.example"],
            ["c@d.example"],
        ),
        ("mailto:a@b.example?bcc=c@d.example", ["a@b.example"], []),
    ],
)
def test_recipients_of_a_uri(uri: str, to: list[str], cc: list[str]) -> None:
    """RFC 5436 section 2.7: those of cc, too; each once."""
    found = notified(uri)
    assert ([f"{a.local_part}@{a.domain}" for a in found.recipients], [str(a) for a in found.cc]) == (to, cc)


def test_methods() -> None:
    assert true('valid_notify_method "mailto:a@b.example"', require='"enotify"')
    assert true('notify_method_capability "mailto:a@b.example" "ONLINE" "maybe"', require='"enotify"')
    assert not true('notify_method_capability "mailto:a@b.example" "frob" "maybe"', require='"enotify"')
    script = 'set :encodeurl "b" "Safe body&evil=ü"; notify "mailto:t@x.example?subject=${b}";'
    (found, _) = result(NEED + script).actions
    assert isinstance(found, Notify) and found.fields == (("subject", "Safe body&evil=ü"),)
    many = "".join(f'notify "mailto:a{n}@b.example";' for n in range(5))
    assert told(NEED + many)[0].endswith("more than 4 of notify")
    for bad in (':importance "4"', ':options "x"', ':from "nobody"'):
        with pytest.raises(ScriptError):
            told(NEED + f'notify {bad} "mailto:a@b.example";')


MAIL = b"Message-ID:\r\n <1@x>\r\nmessage-id: <2@x>\r\nX-Event: =?utf-8?q?h=C3=A4?=\r\n\r\n"


@pytest.mark.parametrize(
    ("test", "key"),
    [
        ("duplicate", (b"", b"<1@x>", 7 * DAY)),
        ('duplicate :header "message-id"', (b"", b"<1@x>", 7 * DAY)),
        ('duplicate :uniqueid "<1@x>" :seconds 60', (b"", b"<1@x>", 60)),
        ('duplicate :handle "h" :header "x-event"', (b"h", "hä".encode(), 7 * DAY)),
        ("duplicate :seconds 999999999 :last", (b"", b"<1@x>", 90 * DAY)),
    ],
)
def test_duplicate(test: str, key: tuple[bytes, bytes, int]) -> None:
    script = f"{NEED} if {test} {{ discard; }} if {test} {{ discard; }}"
    asked = []

    def memory(handle: bytes, value: bytes) -> bool:
        asked.append((handle, value))
        return seen

    seen = False
    assert result(script, MAIL, memory=memory).actions[0] == Remember(*key)
    assert result(script, MAIL, memory=memory).actions[1].word == "keep"
    assert set(asked) == {key[:2]}
    seen = True
    words = told(script, MAIL, memory=memory)
    assert words == (["remember", "discard"] if ":last" in test else ["discard"])


@pytest.mark.parametrize(
    "test", ['duplicate :header "x-none"', 'duplicate :header "x y:"', "duplicate :seconds 0"]
)
def test_what_has_no_id_is_no_duplicate(test: str) -> None:
    done = result(f"{NEED} if {test} {{ discard; }}", MAIL, memory=lambda handle, value: True)
    assert [each.word for each in done.actions] == ["keep"]


def test_nothing_is_remembered_of_a_run_that_failed() -> None:
    script = NEED + 'if duplicate { discard; } reject "a"; reject "b";'
    assert told(script, MAIL)[0].startswith("error: ")
    with pytest.raises(ScriptError, match="only one of them"):
        told(NEED + 'if duplicate :header "a" :uniqueid "b" { }')
