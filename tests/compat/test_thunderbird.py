"""Thunderbird sets itself up from an address and a password; later it is started again, for a day's work."""

from __future__ import annotations

import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import default
from typing import Any, Final

import pytest

from tests import thunderbird
from tests.certificates import authority, certified
from tests.compat.post import without_trace
from tests.island import Island
from tests.rig import Rig

HOST, CONFIG = "mail.example.test", "autoconfig.example.test"
ADDRESS, PASSWORD = "alice@example.test", "secret-a"
PROGRAM_SECONDS: Final = 120
SUBJECTS: Final = ("seen", "starred", "tagged", "answered", "moved", "copied", "trashed", "ended", "named")
"""Of the mails that a day begins with: each says what becomes of it."""
LETTER: Final = "Gr\u00fc\u00dfe!\n\nFrom here on\n.\n..and dots\n"
PRELUDE = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const until = async found => {
  for (;;) {
    const value = found();
    if (value) { return value; }
    await new Promise(resolve => window.setTimeout(resolve, 50));
  }
};
const textOf = (folder, header) => new Promise((resolve, reject) => {
  const uri = folder.getUriForMsg(header);
  let whole = "";
  MailServices.messageServiceFromURI(uri).streamMessage(uri, {
    QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
    onStartRequest() {},
    onStopRequest(request, status) { status ? reject(new Error(status)) : resolve(whole); },
    onDataAvailable(request, stream, offset, count) {
      const reader = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(Ci.nsIScriptableInputStream);
      reader.init(stream);
      whole += reader.readBytes(count);
    },
  }, window.msgWindow, null, false, "", false);
});
"""
"""What both scripts begin with."""
SETUP = """
const [address, password, root] = arguments;
const load = name => ChromeUtils.importESModule(`resource:///modules/accountcreation/${name}.sys.mjs`)[name];
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
database.addCertFromBase64(root, "CT,CT,");
const asked = [];
const watch = { observe(subject) { asked.push(subject.QueryInterface(Ci.nsIHttpChannel).URI.spec); } };
Services.obs.addObserver(watch, "http-on-modify-request");
const search = load("FindConfig").parallelAutoDiscovery(
  address.split("@")[1], address, new AbortController().signal, "");
let step;
do { step = await search.next(); } while (!step.done);
const config = step.value;
const source = config.subSource;
load("AccountConfig").replaceVariables(config, "Alice", address, password);
const { ConfigVerifier } = ChromeUtils.importESModule(
  "resource:///modules/accountcreation/ConfigVerifier.sys.mjs");
await new ConfigVerifier(window.msgWindow, new AbortController().signal).verifyConfig(config, false);
config.rememberPassword = true;
const account = await load("CreateInBackend").createAccountInBackend(config);
const server = account.incomingServer;
server.performExpand(window.msgWindow);
const inbox = await until(() => server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
inbox.updateFolder(window.msgWindow);
const header = await until(() => [...inbox.messages][0]);
const text = await textOf(inbox, header);
Services.obs.removeObserver(watch, "http-on-modify-request");
return { source, asked, subject: header.subject, text, server: server.key };
"""
DAY = """
const [subjects, letter, path] = arguments;
const account = MailServices.accounts.accounts.find(one => one.incomingServer.type == "imap");
const server = account.incomingServer, root = server.rootFolder;
const flags = Ci.nsMsgFolderFlags;
server.performExpand(window.msgWindow);
const [inbox, archive] = await until(() => {
  const all = [flags.Inbox, flags.Archive, flags.Trash, flags.SentMail, flags.Drafts].map(
    flag => root.getFolderWithFlags(flag));
  return all.every(one => one) && all;
});
const settled = begin => new Promise((resolve, reject) => begin({
  QueryInterface: ChromeUtils.generateQI(
    ["nsIMsgCopyServiceListener", "nsIUrlListener", "nsIMsgSendListener"]),
  onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() {}, OnStartRunningUrl() {},
  onStartSending() {}, onSendProgress() {}, onStatus() {}, onGetDraftFolderURI() {},
  onTransportSecurityError() {},
  onSendNotPerformed(id, status) { reject(new Error(`not sent: ${status}`)); },
  onStopSending(id, status, text) { if (status) { reject(new Error(`not sent: ${status} ${text}`)); } },
  onStopCopy(status) { status ? reject(new Error(`not copied: ${status}`)) : resolve(); },
  OnStopRunningUrl(url, status) { status ? reject(new Error(`${url.spec}: ${status}`)) : resolve(); },
}));
window.step = "the mails of the day";
let looks = 0;
const headers = await until(() => {
  if (looks++ % 20 == 0) { inbox.updateFolder(window.msgWindow); } // it does nothing while it is busy
  const found = subjects.map(subject => [...inbox.messages].find(one => one.subject == subject));
  return found.every(one => one) && found;
});
const [seen, starred, tagged, answered, moved, copied, trashed, ended, named] = headers;
window.step = "flags";
inbox.markMessagesRead([seen], true);
// over several connections at once: what is done to one message has to commute
inbox.markMessagesFlagged([starred], true);
inbox.addKeywordsToMessages([tagged], "$label1 todo");
inbox.addMessageDispositionState(answered, inbox.nsMsgDispositionState_Replied);
inbox.markMessagesRead([answered], true);
// without undo: else it acts later, when it has nothing else to do
const put = (header, target, move) => settled(heard =>
  MailServices.copy.copyMessages(inbox, [header], target, move, heard, window.msgWindow, false));
window.step = "move";
await put(moved, archive, true);
await put(copied, archive, false);
window.step = "a new folder";
root.createSubfolder("Entw\u00fcrfe & Pl\u00e4ne", window.msgWindow);
const plans = await until(() => root.subFolders.find(one => one.localizedName.startsWith("Entw\u00fcrfe")));
await put(named, plans, true);
window.step = "delete";
await settled(heard => inbox.deleteMessages([trashed], window.msgWindow, false, false, heard, false));
inbox.deleteMessages([ended], window.msgWindow, true, false, null, false);
window.step = "expunge";
inbox.QueryInterface(Ci.nsIMsgImapMailFolder);
await settled(heard => inbox.expunge(heard, window.msgWindow));
const searched = (attribute, text) => new Promise((resolve, reject) => {
  const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
  session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, inbox);
  const term = session.createTerm();
  const value = term.value;
  value.attrib = term.attrib = attribute;
  value.str = text;
  term.value = value;
  term.op = Ci.nsMsgSearchOp.Contains;
  session.appendTerm(term);
  const hits = [];
  session.registerListener({
    onSearchHit(header) { hits.push(header.mime2DecodedSubject); },
    onSearchDone(status) { status ? reject(new Error(`no search: ${status}`)) : resolve(hits.sort()); },
    onNewSearch() {},
  }, Ci.nsIMsgSearchSession.allNotifications);
  session.search(null);
});
window.step = "search";
const bodies = await searched(Ci.nsMsgSearchAttrib.Body, "N\u00e4del");
const senders = await searched(Ci.nsMsgSearchAttrib.Sender, "carol");
const written = async (subject, mode) => {
  const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
  Object.assign(fields, { from: "Alice <alice@example.test>", to: "bob@example.test", subject,
    cc: "alice@example.test" });
  const attachment = Cc["@mozilla.org/messengercompose/attachment;1"].createInstance(Ci.nsIMsgAttachment);
  const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
  file.initWithPath(path);
  attachment.url = Services.io.newFileURI(file).spec;
  attachment.name = file.leafName;
  attachment.contentType = "application/octet-stream";
  fields.addAttachment(attachment);
  const send = Cc["@mozilla.org/messengercompose/send;1"].createInstance(Ci.nsIMsgSend);
  await settled(heard => send.createAndSendMessage(null, account.defaultIdentity, account.key, fields, false,
    false, mode, null, "text/plain", letter, null, null, heard, "", "", Ci.nsIMsgCompType.New));
};
window.step = "send";
await written("\u4e00\u5929", Ci.nsIMsgCompDeliverMode.Now);
window.step = "draft";
await written("Sp\u00e4ter", Ci.nsIMsgCompDeliverMode.SaveAsDraft);
// nobody asks: the server tells it (IDLE)
window.step = "news";
const arrived = await until(() => [...inbox.messages].find(one => one.mime2DecodedSubject == "\u4e00\u5929"));
window.step = "read";
const text = await textOf(inbox, arrived);
return { bodies, senders, text };
"""
MAIL = "From: bob@example.test\r\nTo: alice@example.test\r\nSubject: \u6b22\u8fce\r\n\r\nYou are set up.\r\n"
SEND = """
import json, smtplib, sys
there = smtplib.SMTP('mail.example.test', 25)
for mail in json.load(sys.stdin):
    there.sendmail('bob@example.test', ['alice@example.test'], mail.encode())
"""
HELD = """
import base64, imaplib, json, re, ssl, sys
held = {}
for user, password in json.load(sys.stdin):
    there = imaplib.IMAP4_SSL('mail.example.test', ssl_context=ssl.create_default_context(cafile=sys.argv[1]))
    there.login(user, password)
    for line in there.list()[1]:
        name = line.decode().partition('"/" ')[2].strip('"')
        there.select('"%s"' % name, readonly=True)
        parts = [part for part in there.uid('FETCH', '1:*', '(FLAGS BODY.PEEK[])')[1]
                 if isinstance(part, tuple)]
        held.setdefault(user, {})[name] = [
            (re.search(rb'FLAGS .([^)]*)', head)[1].decode().split(), base64.b64encode(octets).decode())
            for head, octets in parts]
    there.logout()
json.dump(held, sys.stdout)
"""
"""Python's own IMAP client reads all there is."""


def preferences(profile: pathlib.Path) -> dict[str, object]:
    """What Thunderbird keeps of its settings."""
    lines = re.findall(r'^user_pref\(("[^"]+"), (.*)\);$', (profile / "prefs.js").read_text(), re.MULTILINE)
    return {json.loads(name): json.loads(value) for name, value in lines}


def post(number: int) -> str:
    """A mail; every third has the word that is searched, every second is from Carol."""
    sender = "carol" if number % 2 else "bob"
    word = "Eine N\u00e4del im Heu." if number % 3 == 0 else "Nur Heu."
    return (
        f"From: {sender}@example.test\r\nTo: {ADDRESS}\r\nSubject: {SUBJECTS[number]}\r\n"
        f"Message-ID: <{number}@example.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        f"\r\n{word}\r\n.hidden dot\r\n"
    )


@dataclass
class Desk:
    """A Thunderbird that has set itself up, and the server it did so with."""

    island: Island
    rig: Rig
    folder: pathlib.Path
    found: dict[str, Any] = field(default_factory=dict)
    """What it told of that."""

    def inside(self, *command: str, given: object) -> bytes:
        """What a program prints where the names resolve; it reads JSON."""
        done = subprocess.run(
            [*self.island.inside, sys.executable, *command],
            input=json.dumps(given).encode(),
            capture_output=True,
            timeout=PROGRAM_SECONDS,
        )
        assert done.returncode == 0, done.stderr.decode() + self.rig.log_tail()
        return done.stdout

    def thunderbird(self, script: str, *arguments: object) -> Any:
        """What a script returns."""
        given = {"script": PRELUDE + script, "arguments": arguments}
        return json.loads(self.inside(thunderbird.__file__, str(self.folder / "profile"), given=given))

    def held(self) -> dict[str, dict[str, list[tuple[list[str], bytes]]]]:
        """Flags, without \\Recent, and octets of all mails by user and mailbox."""
        found = json.loads(self.inside("-c", HELD, str(self.folder / "root.pem"), given=self.rig.accounts))
        return {
            user: {
                name: [(sorted(set(flags) - {"\\Recent"}), base64.b64decode(mail)) for flags, mail in mails]
                for name, mails in boxes.items()
            }
            for user, boxes in found.items()
        }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """An address and a password are all that it is given."""
    if shutil.which("thunderbird") is None:
        pytest.skip("absent: thunderbird")
    folder = tmp_path_factory.mktemp("thunderbird")
    root = authority()
    (folder / "profile").mkdir()
    (folder / "root.pem").write_bytes(root.pem)
    with Island(folder, HOST, CONFIG, "autodiscover.example.test") as island:
        rig = Rig(folder, extra=("--port-base", "0"), wrapper=island.around, workers=1, plaintext=False)
        rig.init()
        names = [certified(name, root) for name in (HOST, CONFIG)]
        for each in names:
            (folder / "shown.pem").write_bytes(each.key_pem + each.pem + root.pem)
            rig.verb("cert", "import", str(folder / "shown.pem"))
        with rig:
            made = Desk(island, rig, folder)
            made.inside("-c", SEND, given=[MAIL])
            certificate = "".join(root.pem.decode().splitlines()[1:-1])
            made.found = made.thunderbird(SETUP, ADDRESS, PASSWORD, certificate)
            yield made


def test_thunderbird_sets_itself_up_from_an_address(desk: Desk) -> None:
    found = desk.found
    assert found["source"] == "xml-from-isp-https"
    assert f"https://{CONFIG}/mail/config-v1.1.xml?emailaddress=alice%40example.test" in found["asked"]
    assert found["subject"] == "\u6b22\u8fce" and "You are set up." in found["text"]
    kept = preferences(desk.folder / "profile")
    server = f"mail.server.{found['server']}"
    assert (kept[f"{server}.type"], kept[f"{server}.hostname"]) == ("imap", HOST)
    assert (kept[f"{server}.port"], kept[f"{server}.socketType"]) == (993, 3)
    assert kept[f"{server}.userName"] == ADDRESS
    outgoing = f"mail.smtpserver.{kept['mail.smtpservers']}"
    assert (kept[f"{outgoing}.hostname"], kept[f"{outgoing}.username"]) == (HOST, ADDRESS)
    assert (kept[f"{outgoing}.port"], kept[f"{outgoing}.try_ssl"]) == (465, 3)


def test_thunderbird_works_for_a_day(desk: Desk) -> None:
    """It marks, moves, searches on the server, deletes, sends and is told of new mail."""
    mails = {SUBJECTS[number]: post(number) for number in range(len(SUBJECTS))}
    desk.inside("-c", SEND, given=list(mails.values()))
    attached = desk.folder / "\u9644\u4ef6.bin"
    attached.write_bytes(bytes(range(256)) * 300)
    found = desk.thunderbird(DAY, SUBJECTS, LETTER, str(attached))
    assert (found["bodies"], found["senders"]) == (["answered", "seen"], ["answered", "copied", "starred"])
    held = desk.held()
    alice = held[ADDRESS]
    letter = held["bob@example.test"]["INBOX"][0][1]
    flags = [mail[0] for mail in alice["INBOX"]]
    assert flags == [[], ["\\Seen"], ["\\Flagged"], ["$label1", "todo"], ["\\Answered", "\\Seen"], [], []]
    kept = {
        "INBOX": ["seen", "starred", "tagged", "answered", "copied"],
        "Archive": ["moved", "copied"],
        "Entw&APw-rfe &- Pl&AOQ-ne": ["named"],
        "Trash": ["trashed"],
    }
    for name, subjects in kept.items():
        octets = [mail for _, mail in alice[name]][name == "INBOX" :][: len(subjects)]
        assert [without_trace(mail) for mail in octets] == [mails[one].encode() for one in subjects]
    assert alice["INBOX"][-1][1] == letter == found["text"].encode("latin-1"), (
        "one mail for both, as it read it"
    )
    ((sent_flags, sent),) = alice["Sent"]
    assert (sent_flags, without_trace(letter)) == (["\\Seen"], sent), "the copy is what was sent"
    ((draft_flags, draft),) = alice["Drafts"]
    parser = BytesParser(policy=default)
    assert (draft_flags, parser.parsebytes(draft)["Subject"]) == (["\\Draft"], "Sp\u00e4ter")
    whole = parser.parsebytes(sent)
    text, binary = whole.iter_parts()
    assert text.get_content().splitlines() == LETTER.splitlines()
    assert (binary.get_filename(), binary.get_content()) == (attached.name, attached.read_bytes())
    empty = {name for name, mails in alice.items() if not mails}
    assert set(alice) - empty == {*kept, "Sent", "Drafts"}
