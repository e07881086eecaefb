"""Thunderbird itself sets itself up: it is given an address and a password, and reads a mail."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests import thunderbird
from tests.certificates import authority, certified
from tests.island import Island
from tests.rig import Rig

HOST, CONFIG = "mail.example.test", "autoconfig.example.test"
ADDRESS, PASSWORD = "alice@example.test", "secret-a"
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
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const until = async found => {
  for (;;) {
    const value = found();
    if (value) { return value; }
    await new Promise(resolve => window.setTimeout(resolve, 50));
  }
};
server.performExpand(window.msgWindow);
const inbox = await until(() => server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
inbox.updateFolder(window.msgWindow);
const header = await until(() => [...inbox.messages][0]);
const uri = inbox.getUriForMsg(header);
const text = await new Promise((resolve, reject) => {
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
Services.obs.removeObserver(watch, "http-on-modify-request");
return { source, asked, subject: header.subject, text, server: server.key };
"""
MAIL = "From: bob@example.test\r\nTo: alice@example.test\r\nSubject: \u6b22\u8fce\r\n\r\nYou are set up.\r\n"
SEND = (
    "import smtplib, sys; "
    "smtplib.SMTP('mail.example.test', 25).sendmail('bob@example.test', ['alice@example.test'], "
    "sys.stdin.buffer.read())"
)


def preferences(profile: pathlib.Path) -> dict[str, object]:
    """What Thunderbird keeps of its settings."""
    lines = re.findall(r'^user_pref\(("[^"]+"), (.*)\);$', (profile / "prefs.js").read_text(), re.MULTILINE)
    return {json.loads(name): json.loads(value) for name, value in lines}


def test_thunderbird_sets_itself_up_from_an_address(tmp_path: pathlib.Path) -> None:
    if shutil.which("thunderbird") is None:
        pytest.skip("absent: thunderbird")
    root = authority()
    profile = tmp_path / "profile"
    profile.mkdir()
    with Island(tmp_path, HOST, CONFIG, "autodiscover.example.test") as island:
        rig = Rig(tmp_path, extra=("--port-base", "0"), wrapper=island.around, workers=1, plaintext=False)
        rig.init()
        names = [certified(name, root) for name in (HOST, CONFIG)]
        for each in names:
            (tmp_path / "shown.pem").write_bytes(each.key_pem + each.pem + root.pem)
            rig.verb("cert", "import", str(tmp_path / "shown.pem"))
        with rig:
            sent = [*island.inside, sys.executable, "-c", SEND]
            subprocess.run(sent, input=MAIL.encode(), check=True, timeout=60)
            certificate = "".join(root.pem.decode().splitlines()[1:-1])
            done = subprocess.run(
                [*island.inside, sys.executable, thunderbird.__file__, str(profile)],
                input=json.dumps({"script": SETUP, "arguments": [ADDRESS, PASSWORD, certificate]}).encode(),
                capture_output=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr.decode() + rig.log_tail()
            found = json.loads(done.stdout)
    assert found["source"] == "xml-from-isp-https"
    assert f"https://{CONFIG}/mail/config-v1.1.xml?emailaddress=alice%40example.test" in found["asked"]
    assert found["subject"] == "\u6b22\u8fce" and "You are set up." in found["text"]
    kept = preferences(profile)
    server = f"mail.server.{found['server']}"
    assert (kept[f"{server}.type"], kept[f"{server}.hostname"]) == ("imap", HOST)
    assert (kept[f"{server}.port"], kept[f"{server}.socketType"]) == (993, 3)
    assert kept[f"{server}.userName"] == ADDRESS
    outgoing = f"mail.smtpserver.{kept['mail.smtpservers']}"
    assert (kept[f"{outgoing}.hostname"], kept[f"{outgoing}.username"]) == (HOST, ADDRESS)
    assert (kept[f"{outgoing}.port"], kept[f"{outgoing}.try_ssl"]) == (465, 3)
