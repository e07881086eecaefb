"""jmapc, a JMAP library of others, has a session with a whole server; what it did is read by IMAP.

It is a program of its own: the packages are not those of the tests (``tests/wheels.py``), and it asks for
the certificate to be good.
"""

from __future__ import annotations

import json
import pathlib
import re
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import default
from typing import Any, Final

import pytest

from tests import wheels
from tests.certificates import authority, certified
from tests.compat.mailboxes import Far
from tests.compat.post import without_trace
from tests.rig import Rig

SECONDS: Final = 90
MAILS: Final = tuple(
    f"From: bob@example.test\r\nTo: alice@example.test\r\nSubject: {subject}\r\n"
    f"Message-ID: <{number}@x.test>\r\n{reference}X-Compat: {number}\r\n\r\n{text}\r\n".encode()
    for number, subject, reference, text in (
        (1, "Lunch", "", "At noon?"),
        (2, "Re: Lunch", "In-Reply-To: <1@x.test>\r\n", "Make it one."),
        (3, "Report", "", "The needle is in here."),
    )
)
ROLES: Final = ("sent", "drafts", "junk", "trash", "archive")
SESSION: Final = """
import json, pathlib, sys, threading, time
import jmapc as j
from jmapc import methods as m

host, folder = sys.argv[1], pathlib.Path(sys.argv[2])
client = j.Client.create_with_password(host, "alice@example.test", "secret-a")
told = {}

def ask(*calls):
    answers = [each.response for each in client.request(list(calls))]
    wrong = [each for each in answers if isinstance(each, j.errors.Error)]
    assert not wrong, (calls, wrong)
    return answers

# mailboxes
mailboxes, = ask(m.MailboxGet(ids=None))
told["roles"] = {one.role: [one.name, one.total_emails, one.unread_emails, one.total_threads]
                 for one in mailboxes.data if one.role}
role = {one.role: one.id for one in mailboxes.data}
made, = ask(m.MailboxSet(create={"p": j.Mailbox(name="Pl\\u00e4ne", parent_id=role["archive"])}))
plans = made.created["p"].id
found, named = ask(
    m.MailboxQuery(filter=j.MailboxQueryFilterCondition(name="Pl\\u00e4ne")),
    m.MailboxGet(ids=j.Ref("/ids")))
told["made"] = [found.ids == [plans], named.data[0].name, named.data[0].parent_id == role["archive"]]

# queries and what they refer to
newest, emails, threads = ask(
    m.EmailQuery(filter=j.EmailQueryFilterCondition(in_mailbox=role["inbox"]), collapse_threads=True,
                 sort=[j.Comparator(property="receivedAt", is_ascending=False)],
                 limit=10, calculate_total=True),
    m.EmailGet(ids=j.Ref("/ids"), properties=["subject", "threadId", "from", "keywords", "preview"]),
    m.ThreadGet(ids=j.Ref("/list/*/threadId")))
told["subjects"] = sorted(one.subject for one in emails.data)
told["threads"] = sorted(len(one) for one in threads.data)
told["total"] = newest.total
condition = j.EmailQueryFilterCondition(text="needle")
hits, texts, snippets = ask(
    m.EmailQuery(filter=condition),
    m.EmailGet(ids=j.Ref("/ids"), fetch_all_body_values=True,
               properties=["bodyValues", "textBody", "subject"]),
    m.SearchSnippetGet(ids=j.Ref("/ids", method=0), filter=condition))
report, = texts.data
text = report.body_values[report.text_body[0].part_id].value
told["needle"] = [report.subject, text, snippets.data[0].preview]

# keywords and mailboxes
began, = ask(m.EmailGet(ids=[]))
inbox, = ask(m.EmailQuery(filter=j.EmailQueryFilterCondition(in_mailbox=role["inbox"]), calculate_total=True))
changed, = ask(m.EmailSet(update={
    report.id: {"keywords/$seen": True, "keywords/work": True, "mailboxIds": {plans: True}}}))
told["updated"] = list(changed.updated) == [report.id]
changes, left = ask(
    m.EmailChanges(since_state=began.state),
    m.EmailQueryChanges(filter=j.EmailQueryFilterCondition(in_mailbox=role["inbox"]),
                        since_query_state=inbox.query_state, calculate_total=True))
told["changes"] = [changes.created, changes.updated == [report.id], changes.destroyed]
told["left"] = [left.removed == [report.id], left.added, left.total]

# the event source: somebody flags a mail until it is told
events = []
listening = threading.Thread(target=lambda: events.append(next(iter(client.events))), daemon=True)
listening.start()
first, deadline = sorted(inbox.ids)[0], time.monotonic() + 60
while listening.is_alive() and time.monotonic() < deadline:
    for value in (True, None):
        ask(m.EmailSet(update={first: {"keywords/$flagged": value}}))
    listening.join(0.1)
account = client.account_id
told["event"] = [list(events[0].data.changed) == [account], bool(events[0].data.changed[account].email)]

# a draft with an attachment is sent
blob = client.upload_blob(folder / "attached.bin")
identity, = ask(m.IdentityGet(ids=None))[0].data
draft, sent = ask(
    m.EmailSet(create={"draft": j.Email(
        mail_from=[j.EmailAddress(name="Alice", email=identity.email)],
        to=[j.EmailAddress(name="B\\u00f6b", email="bob@example.test")],
        subject="Gr\\u00fc\\u00dfe", keywords={"$draft": True, "$seen": True},
        mailbox_ids={role["drafts"]: True},
        body_values={"body": j.EmailBodyValue(value="H\\u00e4, by JMAP.\\n")},
        text_body=[j.EmailBodyPart(part_id="body", type="text/plain")],
        attachments=[j.EmailBodyPart(blob_id=blob.id, type="application/octet-stream", name="attached.bin",
                                         disposition="attachment")])}),
    m.EmailSubmissionSet(
        create={"send": j.EmailSubmission(
            email_id="#draft", identity_id=identity.id, envelope=j.Envelope(
                mail_from=j.Address(email=identity.email), rcpt_to=[j.Address(email="bob@example.test")]))},
        on_success_update_email={"#send": {
            "mailboxIds": {role["sent"]: True}, "keywords/$draft": None}}))[:2]
submitted, again = ask(
    m.EmailSubmissionGet(ids=[sent.created["send"].id]),
    m.EmailGet(ids=[draft.created["draft"].id], properties=["mailboxIds", "keywords", "attachments"]))
told["submitted"] = [submitted.data[0].undo_status.value,
                     submitted.data[0].email_id == draft.created["draft"].id]
told["sent"] = [again.data[0].mailbox_ids == {role["sent"]: True}, again.data[0].keywords]
client.download_attachment(again.data[0].attachments[0], folder / "back.bin")

# one thread less; what there is not is an error
lunch = [one for one in inbox.ids if one != report.id]
gone, = ask(m.EmailSet(destroy=lunch[:1]))
told["gone"] = gone.destroyed == lunch[:1]
refused = client.request(m.EmailGet(ids=["Mnone"]))
told["not found"] = refused.not_found
wrong = client.request(m.EmailChanges(since_state="no state"))
told["error"] = wrong.type
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("jmapc")
    root = authority()
    shown = certified("localhost", root)
    (folder / "shown.pem").write_bytes(shown.key_pem + shown.pem + root.pem)
    (folder / "root.pem").write_bytes(root.pem)
    rig = Rig(folder, hostname="localhost", workers=2)
    rig.init()
    rig.verb("cert", "import", str(folder / "shown.pem"))
    with rig:
        yield rig


def session(rig: Rig, folder: pathlib.Path) -> dict[str, Any]:
    """What the program was told."""
    done = subprocess.run(
        [sys.executable, "-c", SESSION, f"localhost:{rig.port('https')}", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={
            "PYTHONPATH": str(wheels.folder("jmapc")),
            "REQUESTS_CA_BUNDLE": str(rig.directory.parent / "root.pem"),
            "LC_ALL": "C.UTF-8",
        },
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr.decode() + rig.log_tail()
    return dict(json.loads(done.stdout))


def first(far: Far, mailbox: bytes) -> tuple[bytes, bytes]:
    """Flags and octets of the only mail of a mailbox."""
    far.imap.command(b"EXAMINE " + mailbox)
    answer = far.imap.command(b"FETCH 1:* (FLAGS BODY.PEEK[])", keep=True)
    found = re.match(rb"\* 1 FETCH \(FLAGS \(([^)]*)\) BODY\[\] \{(\d+)\}\r\n", answer)
    assert found is not None, answer[:200]
    end = found.end() + int(found[2])
    assert answer[end:].count(b"\r\n") == 2, "there is one"
    return found[1], answer[found.end() : end]


def test_jmapc_has_a_session(rig: Rig, tmp_path: pathlib.Path) -> None:
    attached = bytes(range(256)) * 500
    (tmp_path / "attached.bin").write_bytes(attached)
    with smtplib.SMTP("127.0.0.1", rig.port("smtp"), timeout=SECONDS) as smtp:
        for mail in MAILS:
            smtp.sendmail("bob@example.test", ["alice@example.test"], mail)
    told = session(rig, tmp_path)
    ending = told.pop("roles")
    assert ending.pop("inbox") == ["INBOX", 3, 3, 2]
    assert {role: counts[1:] for role, counts in ending.items()} == {role: [0, 0, 0] for role in ROLES}
    assert told == {
        "made": [True, "Pl\u00e4ne", True],
        "subjects": ["Re: Lunch", "Report"],
        "threads": [1, 2],
        "total": 2,
        "needle": ["Report", "The needle is in here.\n", "The <mark>needle</mark> is in here."],
        "updated": True,
        "changes": [[], True, []],
        "left": [True, [], 2],
        "event": [True, True],
        "submitted": ["final", True],
        "sent": [True, {"$seen": True}],
        "gone": True,
        "not found": ["Mnone"],
        "error": "cannotCalculateChanges",
    }
    assert (tmp_path / "back.bin").read_bytes() == attached
    with Far(rig.port("imap"), rig.credentials(0)) as alice, Far(rig.port("imap"), rig.credentials(1)) as bob:
        assert alice.held(b"Archive/Pl&AOQ-ne", without_trace) == {3: ("S", MAILS[2])}
        ((number, (flags, mail)),) = alice.held(b"INBOX", without_trace).items()
        assert flags.strip("F") == "" and mail == MAILS[number - 1]
        kept, sent = first(alice, b"Sent")
        _, letter = first(bob, b"INBOX")
    assert kept == b"\\Seen \\Recent" and without_trace(letter) == sent, "what arrived is what is kept"
    whole = BytesParser(policy=default).parsebytes(sent)
    text, binary = whole.iter_parts()
    assert (whole["Subject"], whole["To"]) == ("Gr\u00fc\u00dfe", "B\u00f6b <bob@example.test>")
    assert text.get_content() == "H\u00e4, by JMAP.\r\n"
    assert (binary.get_filename(), binary.get_content()) == ("attached.bin", attached)
