"""What the sender hears: vacation, reject, ereject."""

import pytest
from msgspec import structs

from a3mailer.access.vacation import WORDS
from a3mailer.mail.address import ReversePath
from a3mailer.mail.envelope import Recipient
from a3mailer.mail.errors import MailError, Refused
from a3mailer.mail.flags import SEEN
from a3mailer.mail.ids import AccountId, TenantId
from a3mailer.store.operations import PutDocument
from a3mailer.store.ports import Transaction
from a3mailer.transfer.filtering import effects
from a3mailer.transfer.filtering.answering import why_not
from a3mailer.transfer.filtering.mail import Delivery
from a3mailer.transfer.route import Local
from a3mailer.wire.sieve.view import read_fields
from tests.unit.transfer.filtering.test_actions import mail
from tests.unit.transfer.filtering.town import LMTP, Town
from tests.unit.transfer.world import address

AWAY = 'require "vacation"; vacation :days 7 "I am away.";'


@pytest.fixture
def town() -> Town:
    return Town()


def answers(town: Town) -> list[bytes]:
    """What waits to leave."""
    return [town.store.content(entry) for entry in town.store.entries]


def refused(outcomes: tuple[MailError | None, ...]) -> list[str]:
    return [str(each) if isinstance(each, Refused) else "" for each in outcomes]


async def test_an_answer(town: Town) -> None:
    await town.script(AWAY)
    await town.took(mail())
    (entry,) = town.store.entries
    assert (entry.reverse_path, entry.account) == ("", 0)
    assert [(r.address, r.notify) for r in entry.recipients] == [("carol@b.test", ("NEVER",))]
    octets = town.store.content(entry)
    for line in (
        b"From: alice@a.test",
        b"To: carol@b.test",
        b"Subject: Auto: hello",
        b"In-Reply-To: <hello@b.test>",
        b"References: <hello@b.test>",
        b"Auto-Submitted: auto-replied",
    ):
        assert line + b"\r\n" in octets
    assert octets.endswith(b"\r\n\r\nI am away.\r\n")
    assert await town.counts() == {"INBOX": 1}


# --- who is away (RFC 8621 section 8) -----------------------------------------------------------------


async def away(town: Town, **fields: object) -> None:
    await town.scripts.set_vacation(
        town.alice.id, lambda old: structs.replace(old, **({"enabled": True} | fields))
    )


async def test_who_is_away_answers_without_a_script(town: Town) -> None:
    assert town.scripts.is_idle(town.alice.id) or not await town.scripts.running(town.alice.id)
    await away(town, subject="Away", text="I am away.")
    await town.took(mail())
    await town.took(mail())
    (octets,) = answers(town)
    assert b"\r\nSubject: Away\r\n" in octets and octets.endswith(b"\r\n\r\nI am away.\r\n")
    assert b"\r\nAuto-Submitted: auto-replied\r\n" in octets
    assert await town.counts() == {"INBOX": 2}
    await town.took(mail(), sender="")
    await town.took(mail(List_Id=b"<x.b.test>"), sender="dave@b.test")
    assert len(answers(town)) == 1, "with all the care of vacation"
    await away(town, text="I am away, still.")
    await town.took(mail())
    assert len(answers(town)) == 2, "what has changed is said anew"
    await away(town, enabled=False)
    await town.took(mail(), sender="erin@b.test")
    assert len(answers(town)) == 2 and await town.scripts.running(town.alice.id) is None


async def test_two_who_are_away_do_not_answer_each_other(town: Town) -> None:
    """The first mail is answered; the answer, which a program sends from nobody, is not."""
    for account in (town.alice.id, town.bob.id):
        await town.script('require "vacation"; vacation "I am away.";', account)
    octets, to, sender = mail(From=b"bob@a.test", To=b"alice@a.test"), "alice@a.test", "bob@a.test"
    answered = 0
    for _ in range(5):
        await town.took(octets, to, sender=sender)
        if not town.store.entries:
            break
        (entry,) = town.store.entries
        octets, to, sender = town.store.content(entry), entry.recipients[0].address, entry.reverse_path
        town.store._state.queue.clear()
        answered += 1
    assert answered == 1 and b"auto-replied" in (await town.octets("INBOX", town.bob.id))[0]
    await town.took(octets, to, sender="alice@a.test")
    assert town.store.entries == [], "Auto-Submitted alone does, too"


async def test_the_days_of_who_is_away(town: Town) -> None:
    now = int(town.clock.now())
    await away(town, since=now + 100, until=now + 200)
    for sender, seconds in (("a@b.test", 99), ("b@b.test", 1), ("c@b.test", 99), ("d@b.test", 1)):
        town.clock.advance(seconds)
        await town.took(mail(), sender=sender)
    assert [r.address for e in town.store.entries for r in e.recipients] == ["b@b.test", "c@b.test"]


@pytest.mark.parametrize(
    ("script", "answered"),
    [
        ("keep;", True),
        ('require "fileinto"; fileinto "Archive";', True),
        ("discard;", False),
        ('redirect "dave@a.test";', False),
        ('require "reject"; reject "no";', False),
        ('require "vacation"; vacation "from the script";', False),
        ('require "include"; include :personal "none";', True),
    ],
)
async def test_who_is_away_answers_what_the_script_leaves(town: Town, script: str, answered: bool) -> None:
    await town.script(script)
    await away(town, text="I am away.")
    await town.took(mail())
    said = [octets for octets in answers(town) if octets.endswith(b"\r\n\r\nI am away.\r\n")]
    assert len(said) == answered


async def test_who_is_away_in_html_and_in_words_of_the_server(town: Town) -> None:
    await away(town, html="<p>I am\n <b>away</b>.</p><p>Ask &amp; wait:<br>Bob\u00e9</p>", subject="a\nb")
    await town.took(mail())
    (octets,) = answers(town)
    assert b"Content-Type: multipart/alternative;" in octets and b"\r\nSubject: a b\r\n" in octets
    plain, html = octets.split(b"Content-Type: text/")[1:]
    assert b"\r\nI am away.\r\nAsk & wait:\r\nBob=C3=A9\r\n" in plain and b"<b>away</b>" in html
    await away(town, html=None)
    await town.took(mail())
    assert WORDS["en"].encode() in answers(town)[1]


async def test_the_same_sender_is_answered_once_a_while(town: Town) -> None:
    await town.script(AWAY)
    for _ in range(3):
        await town.took(mail())
    await town.took(mail(), sender="Dave@b.test")
    await town.took(mail(), sender="dave@b.test")
    assert len(answers(town)) == 2
    town.clock.advance(7 * 86_400 + 1)
    await town.took(mail())
    assert len(answers(town)) == 3


async def test_another_reason_is_another_answer_and_a_handle_makes_them_one(town: Town) -> None:
    await town.script(AWAY)
    await town.took(mail())
    await town.script(AWAY.replace("away", "still away"))
    await town.took(mail())
    assert len(answers(town)) == 2
    for text in ("one", "two"):
        await town.script(f'require "vacation"; vacation :handle "h" "{text}";')
        await town.took(mail())
    assert len(answers(town)) == 3


async def test_each_mail_is_answered_with_seconds_0(town: Town) -> None:
    await town.script('require ["vacation", "vacation-seconds"]; vacation :seconds 0 "x";')
    for _ in range(2):
        await town.took(mail())
    assert len(answers(town)) == 2


async def test_how_long_ago_an_answer_was_is_for_the_present_command(town: Town) -> None:
    """RFC 5230 section 4.2, RFC 6131 section 2: within the time that it names; 0 suppresses none."""
    need = 'require ["vacation", "vacation-seconds"]; vacation :handle "h"'
    count = 0
    for how, later, sent in (
        (":days 7", 0, 1),
        (":days 3", 86_400, 0),
        (":days 1", 86_400, 1),
        (":seconds 90000", 86_400, 0),
        (":seconds 0", 0, 1),
        (":days 3", 86_400, 0),
    ):
        town.clock.advance(later)
        await town.script(f'{need} {how} "x";')
        await town.took(mail())
        count += sent
        assert len(answers(town)) == count, (how, later)


@pytest.mark.parametrize(
    ("fields", "sender"),
    [
        ({}, ""),
        ({}, "alice@a.test"),
        ({}, "MAILER-DAEMON@b.test"),
        ({}, "owner-list@b.test"),
        ({}, "list-request@b.test"),
        ({}, "news-bounces@b.test"),
        ({}, "noreply@b.test"),
        ({}, "carol@localhost"),
        ({}, "carol@[10.0.0.1]"),
        ({"Auto_Submitted": b"auto-generated (by a cat)"}, "carol@b.test"),
        ({"List_Id": b"<x.b.test>"}, "carol@b.test"),
        ({"List_Unsubscribe": b"<https://x.test>"}, "carol@b.test"),
        ({"Precedence": b"Bulk"}, "carol@b.test"),
        ({"X_Auto_Response_Suppress": b"All"}, "carol@b.test"),
        ({"X_Auto_Response_Suppress": b"DR, oof, RN"}, "carol@b.test"),
    ],
)
async def test_who_is_not_answered(town: Town, fields: dict[str, bytes], sender: str) -> None:
    await town.script(AWAY)
    await town.took(mail(**fields), sender=sender)
    assert answers(town) == [] and await town.counts() == {"INBOX": 1}


@pytest.mark.parametrize(
    ("results", "junk", "why"),
    [
        (b"mail.a.test; spf=fail smtp.mailfrom=b.test", False, "the sender is forged"),
        (b"mail.a.test; dmarc=fail header.from=b.test", False, "the sender is forged"),
        (b"mail.a.test; spf=softfail smtp.mailfrom=b.test; dmarc=none", False, ""),
        (b"mail.b.test; spf=fail smtp.mailfrom=b.test", False, ""),
        (b"mail.a.test; spf=pass smtp.mailfrom=b.test", True, "junk"),
    ],
)
def test_forged_mail_and_junk_are_not_answered(results: bytes, junk: bool, why: str) -> None:
    octets = b"Authentication-Results: %b\r\nReceived: from x; y\r\n" % results + mail()
    delivery = Delivery(
        Local(AccountId(1), TenantId(1)),
        Recipient(address("alice@a.test")),
        octets,
        (),
        ReversePath(address("carol@b.test")),
        1,
        "t",
        0,
        junk=junk,
    )
    fields = read_fields(octets[: octets.index(b"\r\n\r\n") + 2])
    assert why_not(delivery, fields, {"alice@a.test"}, "mail.a.test") == why


async def test_only_mail_that_is_addressed_to_the_account_is_answered(town: Town) -> None:
    other = mail().replace(b"To: alice@a.test", b"To: undisclosed-recipients:;")
    await town.script(AWAY)
    await town.took(other)
    assert answers(town) == []
    await town.took(mail().replace(b"alice@a.test", b'"A" <ALLY@a.test>'), "ally@a.test")
    await town.took(
        other.replace(b"To: undisclosed-recipients:;", b"Cc: x@c.test, Alice.Smith@c.test"), sender="d@b.test"
    )
    assert len(answers(town)) == 1
    await town.script(AWAY.replace(":days 7", ':addresses "alice.smith@c.test"'))
    await town.took(
        other.replace(b"To: undisclosed-recipients:;", b"Cc: x@c.test, Alice.Smith@c.test"), sender="d@b.test"
    )
    assert len(answers(town)) == 2


async def test_an_answer_is_from_the_address_that_was_written_to(town: Town) -> None:
    """Erratum 2035 of RFC 5230; another's, and one that only the script names, is none of them."""
    await town.script(AWAY.replace(":days 7", ':addresses "alice@elsewhere.test"'))
    for to, wanted in (
        ("Ally <ally@a.test>", "ally@a.test"),
        ("bob@a.test, alice+news@a.test", "alice+news@a.test"),
        ("alice@elsewhere.test", "alice@a.test"),
    ):
        await town.took(mail().replace(b"alice@a.test", to.encode()), sender=f"{len(to)}@b.test")
        assert b"From: %b\r\n" % wanted.encode() in answers(town)[-1], to


async def test_from_is_the_accounts_own_or_passed_over(town: Town) -> None:
    script = 'require "vacation"; vacation :subject "Gr\u00fc\u00dfe" :from "%s" "x";'
    await town.script(script % "Alice <ally@a.test>")
    await town.took(mail())
    await town.script(script % "Boss <boss@a.test>")
    await town.took(mail())
    first, second = answers(town)
    assert b"From: Alice <ally@a.test>\r\n" in first and b"From: alice@a.test\r\n" in second
    assert b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n" in first


async def test_an_answer_that_is_a_mime_entity(town: Town) -> None:
    await town.script(
        'require "vacation"; vacation :mime text:\r\nContent-Type: text/html; charset=us-ascii\r\n'
        "Subject: forged\r\n folded\r\nContent-Language: en\r\n\r\n<p>Away</p>\r\n.\r\n;"
    )
    await town.took(mail())
    (octets,) = answers(town)
    head, _, body = octets.partition(b"\r\n\r\n")
    assert body == b"<p>Away</p>\r\n" and b"forged" not in octets and b"folded" not in octets
    assert head.count(b"Content-Type: text/html") == 1 and b"Content-Language: en" in head


async def test_octets_of_a_mime_entity_stay_as_they_are(town: Town) -> None:
    """RFC 5228 section 2.4.2: strings are octets, for arguments such as this one."""
    await town.script(
        'require ["vacation", "encoded-character"]; vacation :mime "Content-Type: text/plain; charset=latin1'
        '\r\n\r\nGr${hex:fc df}e \u00e4";'
    )
    await town.took(mail())
    (octets,) = answers(town)
    assert octets.endswith(b"\r\n\r\nGr\xfc\xdfe \xc3\xa4")


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"In_Reply_To": b"<1@x> <2@x>"}, b"<hello@b.test>"),
        ({"In_Reply_To": b"<1@x>"}, b"<1@x> <hello@b.test>"),
        ({"In_Reply_To": b"<1@x> <2@x>", "References": b"<0@x>"}, b"<0@x> <hello@b.test>"),
    ],
)
async def test_references_of_an_answer(town: Town, fields: dict[str, bytes], wanted: bytes) -> None:
    """RFC 5322 section 3.6.4: of an In-Reply-To with several identifiers nothing is taken."""
    await town.script(AWAY)
    await town.took(mail(**fields))
    (octets,) = answers(town)
    assert b"References: %b\r\n" % wanted in octets


async def test_so_many_answers_an_hour() -> None:
    town = Town(answers_hour=2)
    await town.script(AWAY)
    for number in range(4):
        await town.took(mail(), sender=f"c{number}@b.test")
    assert len(answers(town)) == 2 and await town.counts() == {"INBOX": 4}


async def test_a_refusal_is_said_at_once(town: Town) -> None:
    await town.script('require "reject"; reject "Not\r\nwanted";')
    outcomes = await town.took(mail())
    assert refused(outcomes) == ["Not\nwanted"] and not outcomes[0].transient  # type: ignore[union-attr]
    assert await town.counts() == {} and answers(town) == []


async def test_a_long_reason_is_said_in_lines_or_by_a_mail(town: Town) -> None:
    """RFC 5429 sections 2.2 and 2.5: no text is lost of it."""
    long = " ".join(f"word{number}" for number in range(200))
    await town.script(f'require "reject"; reject "One\r\n\r\n  {long}";')
    (said,) = refused(await town.took(mail()))
    assert said.split() == ["One", *long.split()] and max(map(len, said.split("\n"))) <= 400
    assert said.startswith("One\n\n") and answers(town) == []
    many = "\r\n".join(map(str, range(60)))
    await town.script(f'require "reject"; reject "{many}";')
    assert await town.took(mail()) == (None,)
    assert b"\r\n58\r\n59\r\n" in answers(town)[0]


async def test_of_several_each_is_told_by_lmtp(town: Town) -> None:
    await town.script('require "reject"; reject "No";')
    outcomes = await town.took(mail(), "alice@a.test", "bob@a.test", client=LMTP)
    assert refused(outcomes) == ["No", ""] and answers(town) == []
    assert await town.counts(town.bob.id) == {"INBOX": 1}


async def test_of_several_one_refuses_by_a_notification_of_disposition(town: Town) -> None:
    await town.script('require "reject"; reject "No, thank you.";')
    assert await town.took(mail(), "alice@a.test", "bob@a.test") == (None, None)
    (octets,) = answers(town)
    for line in (
        b"report-type=disposition-notification",
        b"Final-Recipient: rfc822; alice@a.test",
        b"Original-Message-ID: <hello@b.test>",
        b"Disposition: automatic-action/MDN-sent-automatically; deleted",
        b"No, thank you.",
        b"Subject: hello",
    ):
        assert line in octets
    assert town.store.entries[0].reverse_path == ""
    assert await town.counts() == {} and await town.counts(town.bob.id) == {"INBOX": 1}


async def test_a_forged_sender_is_not_told_of_a_refusal(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5429 section 2.2: the notice would go to somebody who has sent nothing."""
    monkeypatch.setattr(effects, "is_forged", lambda mail, hostname: hostname == "mail.a.test")
    await town.script('require "reject"; reject "No, thank you.";')
    assert await town.took(mail(), "alice@a.test", "bob@a.test") == (None, None)
    assert answers(town) == [] and await town.counts() == {}


async def test_ereject_of_one_of_several_is_a_failure_notice(town: Town) -> None:
    await town.script('require "ereject"; ereject "Nein,\r\nschon gar nicht für Sie.";')
    assert await town.took(mail(), "alice@a.test", "bob@a.test") == (None, None)
    (octets,) = answers(town)
    assert b"report-type=delivery-status" in octets and b"Status: 5.7.1" in octets
    assert "    Nein,\r\n    schon gar nicht für Sie.".encode() in octets


async def test_words_beyond_ascii(town: Town) -> None:
    await town.script('require "ereject"; ereject "für Sie nicht";')
    assert refused(await town.took(mail())) == ["für Sie nicht"], "said at once, by other words"
    await town.script('require "reject"; reject "für Sie nicht";')
    assert await town.took(mail()) == (None,)
    assert "für Sie nicht".encode() in answers(town)[0]
    assert await town.took(mail(), sender="") == (None,), "nobody can be told"
    assert len(answers(town)) == 1


async def test_one_behind_an_alias_refuses(town: Town) -> None:
    await town.script('require "ereject"; ereject "No";')
    assert await town.took(mail(), "sales@a.test") == (None,)
    assert await town.counts(town.bob.id) == {"INBOX": 1}
    (octets,) = answers(town)
    assert b"disposition-notification" in octets and b"sales@a.test" in octets
    await town.script('require "ereject"; ereject "No";', town.bob.id)
    assert refused(await town.took(mail(), "sales@a.test")) == ["No"]


async def test_never_wants_no_notice(town: Town) -> None:
    await town.script('require "ereject"; ereject "No";')
    quiet = Recipient(address("alice@a.test"), frozenset(("NEVER",)))
    assert await town.took(mail(), quiet, "bob@a.test") == (None, None)
    assert answers(town) == []


async def test_a_copy_of_an_answer_is_filed(town: Town) -> None:
    await town.script(
        'require ["vacation", "fcc", "imap4flags", "special-use", "mailbox"];'
        'vacation :fcc "None" :specialuse "\\\\Sent" :flags "\\\\Seen" "I am away.";'
    )
    for _ in range(2):
        await town.took(mail())
    (row,) = await town.mailbox("Sent")
    assert row.flags == SEEN
    (octets,) = await town.octets("Sent")
    assert octets == answers(town)[0] and len(town.store.transactions[-2].contents) == 2
    await town.script('require ["vacation", "fcc"]; vacation :fcc "None" "Gone.";')
    await town.took(mail())
    assert len(answers(town)) == 2, "without a copy it is sent all the same"
    assert b'no mailbox "None" for a copy' in (await town.octets("INBOX"))[-1]


async def test_a_redirect_with_wishes(town: Town) -> None:
    await town.script(
        'require ["redirect-dsn", "redirect-deliverby", "envelope", "envelope-dsn"];'
        'if envelope "notify" "SUCCESS" {'
        ' redirect :notify "FAILURE" :ret "HDRS" :bytimerelative 600 :bymode "return" "dave@c.test"; }'
    )
    await town.took(mail(), Recipient(address("alice@a.test"), frozenset(("SUCCESS",))))
    (entry,) = [each for each in town.store.entries if each.recipients[0].address == "dave@c.test"]
    assert entry.recipients[0].notify == ("FAILURE",) and entry.return_content == "HDRS"
    assert (entry.deliver_by, entry.by_mode) == (int(town.clock.now()) + 600, "R")
    assert entry.reverse_path == "alice@a.test", "the owner hears of it (RFC 6009 sections 6.1 and 7.1)"


async def test_a_redirect_with_wishes_of_nobody_stays_nobodys(town: Town) -> None:
    await town.script('require "redirect-dsn"; redirect :notify "NEVER" "dave@c.test";')
    await town.took(mail(), sender="")
    assert [entry.reverse_path for entry in town.store.entries] == [""]


async def test_what_a_script_is_told_of_deliver_by_and_of_the_client(town: Town) -> None:
    """RFC 6009 section 5: bytrace is there, and empty, where BY is; RFC 5183: remote-host is always known."""
    await town.script(
        'require ["envelope", "envelope-deliverby", "fileinto", "environment", "relational",'
        '"comparator-i;ascii-numeric"];'
        'if allof(envelope "bytrace" "", environment "remote-host" "", envelope :count "eq" "bytrace" "1")'
        '{ fileinto "Archive"; } elsif envelope "bytrace" "trace" { fileinto "Trash"; }'
    )
    for deliver_by, by_mode in ((0, ""), (900, "N"), (900, "RT")):
        at = int(town.clock.now()) + deliver_by if deliver_by else 0
        await town.send(mail(), "alice@a.test", deliver_by=at, by_mode=by_mode)
    assert await town.counts() == {"INBOX": 1, "Archive": 1, "Trash": 1}


async def test_an_internationalised_address_is_answered_by_smtputf8(town: Town) -> None:
    """RFC 6531 section 3.2, RFC 6532 section 3.2."""
    await town.script('require "vacation"; vacation "Gone.";')
    octets = mail().replace(b"carol@b.test", "p\u00e9ter@b.test".encode())
    for _ in range(2):
        assert await town.took(octets, sender="p\u00e9ter@b.test") == (None,)
    (entry,) = town.store.entries
    assert entry.smtputf8 and entry.reverse_path == ""
    assert [each.address for each in entry.recipients] == ["p\u00e9ter@b.test"]
    (answer,) = answers(town)
    assert "To: p\u00e9ter@b.test\r\n".encode() in answer and b"In-Reply-To: <" in answer
    await town.took(mail(), sender="carol@b.test")
    assert not town.store.entries[-1].smtputf8 and answers(town)[-1].isascii()


async def test_an_answer_is_to_the_header_as_the_script_has_made_it(town: Town) -> None:
    """RFC 5293 section 7: vacation sees the changes, and what was there before it."""
    await town.script(
        'require ["vacation", "editheader", "enotify"]; deleteheader "subject"; addheader "Subject" "new";'
        'vacation "Gone."; notify "mailto:n@c.test"; deleteheader "subject"; addheader "Subject" "newer";'
    )
    await town.took(mail())
    sent = b"".join(map(town.store.content, town.store.entries))
    assert sent.count(b"Subject: Auto: new\r\n") == 1
    assert sent.count(b"Subject: new\r\n") == 2, "the notice's own, and the one it shows"
    assert b"Subject: hello" not in sent and b"newer" not in sent
    assert b"Subject: newer" in (await town.octets("INBOX"))[0]


async def test_a_list_that_the_script_takes_for_none_is_answered(town: Town) -> None:
    octets = mail(List_Id=b"<x.b.test>")
    await town.script('require "vacation"; vacation "Gone.";')
    await town.took(octets)
    assert town.store.entries == []
    await town.script('require ["vacation", "editheader"]; deleteheader "list-id"; vacation "Gone.";')
    await town.took(octets)
    assert len(answers(town)) == 1


async def test_an_internationalised_address_is_refused(town: Town) -> None:
    await town.script('require "reject"; reject "N\u00f6.";')
    await town.took(mail(), sender="p\u00e9ter@b.test")
    (entry,) = town.store.entries
    assert entry.smtputf8 and "To: p\u00e9ter@b.test\r\n".encode() in town.store.content(entry)


async def test_a_list_of_the_account(town: Town) -> None:
    await town.store.commit(
        Transaction(
            (PutDocument(town.alice.id, "sieve-list", "tag:a.test,2026:friends", "Carol@b.test\nx@c.test"),)
        )
    )
    await town.script(
        'require ["extlists", "fileinto", "envelope"];'
        'if envelope :list "from" ["tag:a.test,2026:friends", ":addrbook:default"] { fileinto "Archive"; }'
    )
    await town.took(mail())
    await town.took(mail(), sender="eve@b.test")
    assert await town.counts() == {"Archive": 1, "INBOX": 1}
