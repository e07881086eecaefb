"""The sending engine against scripted servers: C lines are ours, S lines are theirs.

Options: ``to`` (recipients, by spaces; several mails by ``|``), ``from``, ``content``, ``name=value`` of
TlsUse and Outgoing; ``outcomes`` is what each recipient must end with, ``ended`` what ends the session.
"""

import pathlib

import pytest

from a3mailer.mail.address import NULL_PATH, Address, ReversePath
from a3mailer.mail.envelope import Envelope, Recipient
from a3mailer.testing.transcript import MODES, Player, Transcript, case_id, cases
from a3mailer.wire.errors import RemoteProtocolError
from a3mailer.wire.smtp import client as cl
from a3mailer.wire.smtp.content import encode_data, survey

HERE = pathlib.Path(__file__).parent / "smtp_client"


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


class Sender:
    """Drives an engine as the relay does."""

    def __init__(self, options: dict[str, str]) -> None:
        self.options = options
        login = cl.Login("joe", "secret") if "login" in options else None
        self.engine = cl.ClientEngine(
            "mx.example.test", tls=cl.TlsUse(options.get("tls", "may")), lmtp="lmtp" in options, login=login
        )
        self.mails = [to.split() for to in options.get("to", "bob@example.com").split("|")]
        self.outcomes: list[str] = []
        self.ended = ""
        self.error = ""

    @property
    def closed(self) -> bool:
        return bool(self.ended)

    async def greeting(self) -> bytes:
        return b""

    async def feed(self, octets: bytes) -> bytes:
        engine, out = self.engine, b""
        engine.receive(octets)
        while True:
            try:
                event = engine.next_event()
            except RemoteProtocolError as error:
                self.error = str(error)
                continue
            out += engine.octets_to_send()
            match event:
                case None:
                    return out
                case cl.StartHandshake():
                    engine.secured()
                case cl.Ready():
                    self.ready()
                case cl.SendContent(binary):
                    content = self.content()
                    out += content if binary else b"".join(encode_data([content]))
                    engine.content_sent()
                case cl.Finished(outcomes):
                    self.outcomes += [f"{o.status.value} {o.reply}" for o in outcomes]
                case cl.Ended(reply):
                    self.ended = str(reply)
            out += engine.octets_to_send()

    def content(self) -> bytes:
        return (
            self.options.get("content", "Subject: x\\r\\n\\r\\n.x\\r\\n")
            .encode()
            .decode("unicode_escape")
            .encode("latin-1")
        )

    def ready(self) -> None:
        if not self.mails:
            if "wait" not in self.options:
                self.engine.quit()
            return
        sender = self.options.get("from", "alice@example.test")
        dsn = "notify" in self.options
        notify = frozenset({"FAILURE", "DELAY"} if dsn else ())
        recipients = tuple(
            Recipient(address(to), notify, f"rfc822;{to}" if dsn else "") for to in self.mails.pop(0)
        )
        envelope = Envelope(
            ReversePath(address(sender)) if sender else NULL_PATH,
            recipients,
            return_content="HDRS" if dsn else "",
            envelope_id="id+1" if dsn else "",
        )
        seen = survey(self.content(), len(self.content()))
        self.engine.send(
            cl.Outgoing(envelope, len(self.content()), seen.eight_bit, "utf8" in self.options, seen.nul)
        )


@pytest.mark.parametrize(("path", "mode"), cases(HERE), ids=case_id)
async def test_transcript(path: pathlib.Path, mode: str) -> None:
    options = Transcript.load(path).options
    sender = Sender(options)
    await Player(lambda _: sender, MODES[mode], tested="C").play(path)
    if "lost" in options:
        sender.engine.lost(options["lost"])
        assert await sender.feed(b"") == b""
    assert " | ".join(sender.outcomes) == options.get("outcomes", "")
    assert sender.ended == options.get("ended", "221 2.0.0 bye")
    assert sender.error == options.get("error", "")
