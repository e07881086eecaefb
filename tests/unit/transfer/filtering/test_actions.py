"""What scripts do with mail that arrives."""

from pathlib import Path

import pytest

from a3mailer.mail.errors import NoSuchMailbox, Refused
from a3mailer.mail.flags import FLAGGED, SEEN
from a3mailer.mail.message import index
from a3mailer.mail.rights import of_account
from a3mailer.store import operations as op
from a3mailer.store.ports import Transaction
from a3mailer.transfer.filtering.filtering import Filtering
from tests.unit.transfer.filtering.town import LMTP, Town
from tests.unit.transfer.world import MAIL

PLAIN = b"From: carol@b.test\r\nTo: alice@a.test\r\nSubject: %b\r\nMessage-ID: <%b@b.test>\r\n\r\nHi.\r\n"


def mail(subject: bytes = b"hello", **fields: bytes) -> bytes:
    """One to alice."""
    top = b"".join(b"%b: %b\r\n" % (name.replace("_", "-").encode(), text) for name, text in fields.items())
    return top + PLAIN % (subject, subject.replace(b" ", b"."))


@pytest.fixture
def town() -> Town:
    return Town()


async def test_without_a_script_nothing_is_asked(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    await town.took(MAIL)
    for name in ("documents", "document", "mailboxes"):
        monkeypatch.delattr(type(town.store).__mro__[1], name)
    await town.took(MAIL)
    assert len(town.store.inbox(town.alice.id)) == 2


async def test_keep_and_discard(town: Town) -> None:
    await town.script('if header "subject" "bad" { discard; }')
    assert await town.took(mail()) == (None,)
    assert await town.took(mail(b"bad")) == (None,)
    assert await town.counts() == {"INBOX": 1}
    assert len(town.store._state.blobs) == 1, "what is discarded is not stored"


async def test_fileinto_flags_copy_create(town: Town) -> None:
    await town.make("Work")
    await town.script(
        'require ["fileinto", "copy", "imap4flags", "mailbox", "special-use", "mailboxid"];'
        'if header "subject" "work" { fileinto :flags ["\\\\Seen", "$Later"] "Work"; }'
        'elsif header "subject" "copy" { fileinto :copy "Work"; }'
        'elsif header "subject" "new" { fileinto :create "New/Deep"; }'
        'elsif header "subject" "use" { fileinto :specialuse "\\\\Archive" "nowhere"; }'
        'elsif header "subject" "twice" { fileinto "Work"; fileinto "work"; keep; fileinto "Inbox"; }'
        'elsif header "subject" "flag" { setflag "\\\\Flagged"; }'
    )
    for subject in (b"work", b"copy", b"new", b"new", b"use", b"flag"):
        assert await town.took(mail(subject)) == (None,)
    assert await town.counts() == {"Work": 2, "INBOX": 2, "New/Deep": 2, "Archive": 1}
    (row, _) = await town.mailbox("Work")
    assert (row.flags, row.keywords) == (SEEN, "$Later")
    assert [row.flags for row in await town.mailbox("INBOX")] == [0, FLAGGED]
    boxes = {box.name: box for box in await town.store.mailboxes(town.alice.id)}
    assert boxes["New/Deep"].subscribed
    await town.script(f'require ["fileinto", "mailboxid"]; fileinto :mailboxid "F{boxes["Work"].id}" "gone";')
    await town.took(mail())
    assert (await town.counts())["Work"] == 3


async def test_a_new_mailbox_comes_with_the_mail_in_one_transaction(town: Town) -> None:
    """However often it is named, also in another form; no mailbox is left behind by what fails."""
    await town.script(
        'require ["fileinto", "mailbox", "special-use", "imap4flags"]; fileinto :create "Neu/Entwu\u0308rfe";'
        'fileinto :create :specialuse "\\\\Flagged" :flags "\\\\Seen" "Neu/Entwürfe";'
    )
    before = len(town.store.transactions)
    await town.took(mail())
    assert len(town.store.transactions) == before + 1
    assert await town.counts() == {"Neu/Entwürfe": 1}
    await town.took(mail(b"again"))
    assert await town.counts() == {"Neu/Entwürfe": 2}
    boxes = {box.name: box for box in await town.store.mailboxes(town.alice.id)}
    assert boxes["Neu/Entwürfe"].subscribed and not boxes["Neu"].subscribed


async def test_what_a_new_mailbox_is_for(town: Town) -> None:
    """RFC 8579 section 4.1: what is no use here is passed over."""
    need = 'require ["fileinto", "mailbox", "special-use"];'
    junk = next(box for box in await town.store.mailboxes(town.alice.id) if box.special_use == "\\Junk")
    await town.store.commit(Transaction((op.DeleteMailbox(town.alice.id, junk.id),)))
    for use, name in (("\\\\Strange", "A"), ("\\\\flagged", "B"), ("\\\\jUNK", "C"), ("\\\\Junk", "D")):
        await town.script(f'{need} fileinto :create :specialuse "{use}" "{name}";')
        await town.took(mail(name.encode()))
    assert await town.counts() == {"A": 1, "B": 1, "C": 2}
    uses = {box.name: box.special_use for box in await town.store.mailboxes(town.alice.id)}
    assert (uses["A"], uses["B"], uses["C"]) == ("", "", "\\Junk")


async def test_of_several_mailboxes_of_one_use_the_named_one_takes_the_mail(town: Town) -> None:
    """RFC 8579 section 4."""
    other = await town.make("Old")
    await town.store.commit(Transaction((op.SetMailbox(town.alice.id, other, special_use="\\Archive"),)))
    await town.script('require ["fileinto", "special-use"]; fileinto :specialuse "\\\\Archive" "old";')
    await town.took(mail())
    await town.script('require ["fileinto", "special-use"]; fileinto :specialuse "\\\\Archive" "Old";')
    await town.took(mail(b"two"))
    assert await town.counts() == {"Archive": 1, "Old": 1}


async def test_names_are_found_in_any_form(town: Town) -> None:
    await town.make("INBOX/\u00e4")
    await town.script(
        'require ["fileinto", "mailbox"]; if mailboxexists "Inbox/a\u0308" { fileinto "inbox/a\u0308"; }'
    )
    await town.took(mail())
    assert await town.counts() == {"INBOX/\u00e4": 1}


async def test_a_mailbox_that_cannot_be_made_keeps_the_mail(town: Town) -> None:
    await town.script('require ["fileinto", "mailbox"]; fileinto :create "a//b";')
    await town.took(mail())
    kept, told = await town.octets("INBOX")
    assert b"a//b" in told and b"a//b" not in kept


async def test_a_mailbox_that_is_not_there_keeps_the_mail_and_is_told_once(town: Town) -> None:
    await town.script('require "fileinto"; fileinto "Nowhere";')
    for _ in range(3):
        assert await town.took(mail()) == (None,)
    rows = await town.octets("INBOX")
    told = [octets for octets in rows if b"MAILER-DAEMON" in octets]
    assert (len(rows), len(told)) == (4, 1)
    assert b'no mailbox "Nowhere"' in told[0] and b"Auto-Submitted: auto-generated" in told[0]
    town.clock.advance(8 * 86_400)
    await town.took(mail())
    assert len([octets for octets in await town.octets("INBOX") if b"MAILER-DAEMON" in octets]) == 2


async def test_an_error_keeps_the_mail_and_is_told(town: Town) -> None:
    await town.script('require ["fileinto", "ihave"];\r\nfileinto "Trash";\r\nerror "too bad";')
    await town.took(mail())
    await town.took(mail())
    kept, told, again = await town.octets("INBOX")
    assert b"line 3, column 1: too bad" in told and b"MAILER-DAEMON" not in kept + again
    assert await town.counts() == {"INBOX": 3}


async def test_the_header_is_edited_where_the_script_says_so(town: Town) -> None:
    await town.script(
        'require ["editheader", "fileinto", "copy"]; fileinto :copy "Archive"; addheader "X-Sorted" "yes";'
        'deleteheader "subject";'
    )
    await town.took(mail())
    ((kept,), (archived,)) = (await town.octets("INBOX"), await town.octets("Archive"))
    top = b"Return-Path: <carol@b.test>\r\nX-Sorted: yes\r\nReceived: "
    assert kept.startswith(top) and b"Subject:" not in kept and kept.count(b"Return-Path") == 1
    assert archived.startswith(b"Return-Path: <carol@b.test>") and b"Subject: hello" in archived
    assert kept.endswith(b"\r\n\r\nHi.\r\n")
    assert index(kept).subject == ""


async def test_redirect(town: Town) -> None:
    await town.script('require "copy"; redirect :copy "dave@c.test"; redirect "erin@d.test";')
    await town.took(mail())
    assert await town.counts() == {}
    first, second = town.store.entries
    assert [r.address for e in (first, second) for r in e.recipients] == ["dave@c.test", "erin@d.test"]
    assert first.reverse_path.startswith("SRS0=") and first.account == 0
    assert first.recipients[0].original == "rfc822;alice@a.test"
    octets = town.store.content(first)
    assert octets.startswith(b"Delivered-To: alice@a.test\r\nReceived: ")
    assert octets.endswith(mail()), "and nothing else is changed"


async def test_the_null_reverse_path_stays_null(town: Town) -> None:
    await town.script('redirect "dave@c.test";')
    await town.took(mail(), sender="")
    assert [entry.reverse_path for entry in town.store.entries] == [""]


async def test_a_mail_that_comes_back_is_kept(town: Town) -> None:
    await town.script('redirect "dave@c.test";')
    await town.took(mail(Delivered_To=b"<Alice@a.test>".strip(b"<>")))
    assert town.store.entries == []
    rows = await town.octets("INBOX")
    assert len(rows) == 2 and b"has come back" in rows[1]


async def test_two_who_redirect_to_each_other_end(town: Town) -> None:
    await town.script('redirect "bob@a.test";')
    await town.script('redirect "alice@a.test";', town.bob.id)
    octets, to = mail(), "alice@a.test"
    for _ in range(10):
        await town.took(octets, to)
        if not town.store.entries:
            break
        (entry,) = town.store.entries
        octets, to = town.store.content(entry), entry.recipients[0].address
        town.store._state.queue.clear()
    assert town.store.entries == []
    assert b"Delivered-To" in (await town.octets("INBOX"))[0]


async def test_at_most_four_redirects_a_mail_and_so_many_an_hour() -> None:
    town = Town(redirects=2, redirects_hour=3)
    await town.script("".join(f'redirect "a{n}@c.test";' for n in range(2)))
    await town.took(mail())
    assert len(town.store.entries) == 2 and await town.counts() == {}
    await town.took(mail())
    assert len(town.store.entries) == 3
    rows = await town.octets("INBOX")
    assert len(rows) == 2 and b"too many redirects in an hour" in rows[1]
    await town.script('redirect "b@c.test";', name="another one does not begin anew")
    await town.took(mail())
    assert len(town.store.entries) == 3
    town.clock.advance(7200)
    await town.took(mail())
    assert len(town.store.entries) == 4


async def test_notify(town: Town) -> None:
    await town.script(
        'require "enotify"; notify :message "you have mail" :importance "1"'
        ' "mailto:0123@sms.test?x-kind=mail&bcc=no@b.test&content-type=no";'
    )
    await town.took(mail())
    (entry,) = town.store.entries
    octets = town.store.content(entry)
    assert (entry.reverse_path, entry.account) == ("alice@a.test", town.alice.id)
    assert [r.address for r in entry.recipients] == ["0123@sms.test"]
    for line in (
        b"From: alice@a.test",
        b"To: 0123@sms.test",
        b"Subject: you have mail",
        b'Auto-Submitted: auto-notified; owner-email="alice@a.test"',
        b"Importance: high",
        b"X-Kind: mail",
    ):
        assert line + b"\r\n" in octets
    assert b"no@b.test" not in octets and octets.count(b"Content-Type") == 1
    await town.took(mail(Auto_Submitted=b"auto-replied"))
    assert len(town.store.entries) == 1, "programs trigger none"
    await town.took(mail(), sender="")
    assert [each.reverse_path for each in town.store.entries] == ["alice@a.test", ""]


async def test_a_notice_is_from_whom_the_script_says_and_to_all_of_its_uri(town: Town) -> None:
    """RFC 5436 section 2.7: also in the envelope; another's address is passed over."""
    method = '"mailto:a@sms.test%2Cb@sms.test?cc=c@sms.test"'
    await town.script(f'require "enotify"; notify :from "Al <ally@a.test>" {method};')
    await town.took(mail())
    await town.script(f'require "enotify"; notify :from "boss@a.test" {method};')
    await town.took(mail())
    first, second = town.store.entries
    assert (first.reverse_path, second.reverse_path) == ("ally@a.test", "alice@a.test")
    assert [r.address for r in first.recipients] == ["a@sms.test", "b@sms.test", "c@sms.test"]
    octets = town.store.content(first)
    for line in (b"From: Al <ally@a.test>", b"To: a@sms.test, b@sms.test", b"Cc: c@sms.test"):
        assert line + b"\r\n" in octets


async def test_so_many_notices_an_hour() -> None:
    town = Town(notices_hour=1)
    await town.script('require "enotify"; notify "mailto:0123@sms.test";')
    for _ in range(3):
        await town.took(mail())
    assert len(town.store.entries) == 1 and await town.counts() == {"INBOX": 3}


async def test_duplicate(town: Town) -> None:
    await town.script('require "duplicate"; if duplicate :seconds 60 { discard; }')
    for _ in range(3):
        await town.took(mail())
    await town.took(mail(b"other"))
    assert await town.counts() == {"INBOX": 2}
    town.clock.advance(61)
    await town.took(mail())
    assert await town.counts() == {"INBOX": 3}


async def test_the_last_one_seen_counts(town: Town) -> None:
    await town.script('require "duplicate"; if duplicate :seconds 60 :last { discard; }')
    for _ in range(3):
        await town.took(mail())
        town.clock.advance(50)
    assert await town.counts() == {"INBOX": 1}


async def test_of_two_at_once_one_is_the_duplicate(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    await town.script('require "duplicate"; if duplicate { discard; }')
    ask = Filtering._answer
    answered: list[object] = []

    async def late(self: Filtering, *about: object) -> object:
        found = await ask(self, *about)  # type: ignore[arg-type]
        answered.append(found)
        if len(answered) == 1:
            await town.took(mail())
        return found

    monkeypatch.setattr(Filtering, "_answer", late)
    await town.took(mail())
    assert answered == [False, False, True] and await town.counts() == {"INBOX": 1}


async def test_the_operators_scripts_run_around(tmp_path: Path) -> None:
    (tmp_path / "before").write_text(
        'require ["fileinto", "editheader"]; if header "subject" "spam" { fileinto "Junk"; stop; }'
        'addheader "X-Before" "1";'
    )
    (tmp_path / "after").write_text('require ["fileinto"]; if exists "x-before" { fileinto "Archive"; }')
    (tmp_path / "other").write_text("discard;")
    town = Town(tmp_path, before=("before", "b.test=other"), after=("a.test=after",))
    await town.took(mail(b"spam"))
    await town.took(mail())
    assert await town.counts() == {"Junk": 1, "Archive": 1}, "also without a script of one's own"
    await town.script('require "fileinto"; if header "subject" "mine" { fileinto "Drafts"; }')
    for subject in (b"mine", b"yours", b"spam"):
        await town.took(mail(subject))
    assert await town.counts() == {"Junk": 2, "Archive": 2, "Drafts": 1}
    (octets,) = await town.octets("Drafts")
    assert b"\r\nX-Before: 1\r\n" in octets


async def test_included_scripts(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text('require "fileinto"; if header "subject" "a" { fileinto "Archive"; }')
    town = Town(tmp_path, include=("lists=shared",))
    await town.scripts.put(town.alice.id, "own", b'if header "subject" "b" { discard; }', 0)
    await town.script('require "include"; include :global "lists"; include "own"; include :optional "none";')
    for subject in (b"a", b"b", b"c"):
        await town.took(mail(subject))
    assert await town.counts() == {"Archive": 1, "INBOX": 1}


async def test_a_script_that_runs_long_is_stopped_and_its_hour_is_used_up() -> None:
    town = Town(steps=5_000, steps_hour=9_000)
    lines = 'if header :matches "x" "*a?b*" { discard; }' * 40
    await town.script(lines)
    long = mail(X=b"a" * 900)
    for _ in range(3):
        await town.took(long)
    first, told, second, third, again = await town.octets("INBOX")
    assert b"more than 5000 steps" in told and b"used up their time" in again
    assert b"MAILER-DAEMON" not in first + second + third
    await town.script("discard;", name="another one does not begin anew")
    await town.took(mail())
    assert (await town.counts())["INBOX"] >= 6
    town.clock.advance(7200)
    before = await town.counts()
    await town.took(mail())
    assert await town.counts() == before


async def test_what_runs_long_leaves_the_loop(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = 'if header :matches "x" "*a?b*" { discard; }' * 40
    await town.script('require "duplicate";' + lines + "if duplicate { discard; }")
    for _ in range(2):
        assert await town.took(mail(X=b"a" * 300)) == (None,)
    assert await town.counts() == {"INBOX": 1}


async def test_each_of_several_has_his_own(town: Town) -> None:
    await town.script("discard;")
    await town.script('require "fileinto"; fileinto "Archive";', town.bob.id)
    assert await town.took(mail(), "sales@a.test") == (None,)
    assert await town.counts() == {} and await town.counts(town.bob.id) == {"Archive": 1}
    assert await town.took(mail(), "alice@a.test", "bob@a.test", "admin@a.test", client=LMTP) == (None,) * 3
    assert await town.counts(town.bob.id) == {"Archive": 2}
    assert await town.counts(town.admin.id) == {"INBOX": 1}


async def test_subaddress_and_environment(town: Town) -> None:
    await town.script(
        'require ["fileinto", "envelope", "subaddress", "environment", "variables", "mailbox"];'
        'if allof (envelope :detail :matches "to" "*", environment "location" "MDA",'
        ' environment "remote-ip" "192.0.2.7") { fileinto :create "${1}"; }'
    )
    await town.took(mail(), "alice+books@a.test")
    assert await town.counts() == {"books": 1}


async def test_a_mailbox_that_goes_away_meanwhile(town: Town) -> None:
    box = await town.make("Work")
    await town.script('require "fileinto"; fileinto "Work";')
    town.store.fail.append(NoSuchMailbox())
    town.store.put(op.DeleteMailbox(town.alice.id, box))
    assert await town.took(mail()) == (None,)
    assert (await town.counts())["INBOX"] == 2


async def test_a_mail_that_was_changed_is_kept_filed_and_sent_so(town: Town) -> None:
    await town.script(
        'require ["replace", "enclose", "fileinto", "copy", "editheader"]; fileinto :copy "Archive";'
        'replace "gone"; enclose "why"; addheader "X-Late" "1"; redirect :copy "dave@c.test";'
    )
    await town.took(mail())
    ((archived,), (kept,)) = (await town.octets("Archive"), await town.octets("INBOX"))
    assert b"Hi." in archived and b"gone" not in archived
    assert b"gone" in kept and b"why" in kept and b"Hi." not in kept and b"X-Late: 1" in kept
    (entry,) = town.store.entries
    assert b"Return-Path" not in town.store.content(entry).partition(b"\r\n\r\n")[0]
    assert b"gone" in town.store.content(entry) and len(town.store.transactions[-1].contents) == 3


async def test_mailboxes_of_others_take_mail_by_the_right_to_insert(town: Town) -> None:
    """Attack row 38: neither fileinto nor fcc get past rights, or tell that a mailbox is there."""
    bobs = await town.make("Team", town.bob.id)
    await town.script(
        'require ["fileinto", "mailbox", "imap4flags", "vacation", "fcc"];'
        'vacation :fcc "Other Users/bob/Team" "Gone.";'
        'if mailboxexists "Other Users/bob/Team" { addflag "\\\\Flagged"; fileinto "Other Users/bob/Team"; }'
        'else { fileinto :create "Other Users/bob/Team"; }'
    )
    await town.took(mail())
    assert await town.counts(town.bob.id) == {}
    rows = await town.octets("INBOX")
    assert len(rows) == 2 and b"Other Users" in rows[1]
    assert "Other Users/bob/Team" not in [box.name for box in await town.store.mailboxes(town.alice.id)]
    for letters, there in (("lrs", 0), ("i", 2)):
        grant = op.ChangeGrant(town.bob.id, bobs, of_account(town.alice.id), "=", letters)
        await town.store.commit(Transaction((grant,)))
        town.rights.forget()
        await town.took(mail(letters.encode()), sender=f"{letters}@b.test")
        assert (await town.counts(town.bob.id)).get("Team", 0) == there, letters
    assert [row.flags for row in await town.mailbox("Team", town.bob.id)] == [0, 0], "flags would be his"


@pytest.mark.parametrize("create", ["", ":create "])
async def test_mailboxexists_says_yes_where_fileinto_may_deliver_and_only_there(
    town: Town, create: str
) -> None:
    """RFC 5490 section 3.1: "each allows the user to deliver", which is the right i or p."""
    bobs = await town.make("Team", town.bob.id)
    await town.script(
        'require ["fileinto", "mailbox", "imap4flags", "copy"];'
        f'fileinto {create}:copy "Other Users/bob/Team";'
        'if mailboxexists "Other Users/bob/Team" { setflag "there"; }'
        'if mailboxexists ["INBOX", "Other Users/bob/Team"] { addflag "both"; }'
        "keep;"
    )
    stored = 0
    for letters in ("", "l", "r", "lrswkxteac", "i", "p", "ip", "lrswipkxteac"):
        grant = op.ChangeGrant(town.bob.id, bobs, of_account(town.alice.id), "=", letters)
        await town.store.commit(Transaction((grant,)))
        town.rights.forget()
        await town.took(mail(letters.encode()), sender=f"{letters or 'none'}@b.test")
        may = bool({"i", "p"}.intersection(letters))
        stored += may
        assert (await town.counts(town.bob.id)).get("Team", 0) == stored, letters
        assert set((await town.mailbox("INBOX"))[-1].keywords.split()) == (
            {"there", "both"} if may else set()
        ), letters


async def test_what_a_script_has_changed_leaves_unsigned_and_unsealed(town: Town) -> None:
    """Else a script would have the domain sign, or vouch for, whatever it puts into From."""
    await town.script(
        'require ["editheader", "copy"]; redirect :copy "x@c.test"; deleteheader "from";'
        'addheader "From" "boss@a.test"; redirect "y@c.test";'
    )
    octets = b"Authentication-Results: mail.a.test; dkim=pass\r\n" + mail().replace(b"carol@b", b"bob@a")
    await town.took(octets, sender="bob@a.test", client=town.submitter(town.bob.id))
    as_it_came, changed = town.store.entries
    assert (as_it_came.account, changed.account) == (town.bob.id, 0) and changed.hops
    assert b"boss@a.test" in town.store.content(changed)
    assert b"Authentication-Results" not in town.store.content(changed)


async def test_a_refused_mail_is_not_one_that_is_known(town: Town) -> None:
    """Else its repetition would be taken for one that was stored (ADR 0010)."""
    await town.script('require "ereject"; ereject "No";')
    octets = b"Received: from a; date\r\n" + mail()
    kept: list[bytes] = []
    (outcome,) = await town.send(octets, "alice@a.test", kept=kept.append)
    assert isinstance(outcome, Refused) and kept == []
    await town.scripts.activate(town.alice.id, "")
    assert await town.send(octets, "alice@a.test", kept=kept.append) == (None,)
    assert len(kept) == 1 and await town.counts() == {"INBOX": 1}
