"""Mail out of the queue to a scripted peer: what is said, what is recorded, who is told.

Each ``relay/*.transcript`` is one play. Options beside those of the peer::

    % to=a@b.test b@b.test;NOTIFY=SUCCESS    the recipients (default: one@b.test)
    % content=octets                          with escapes; default: a small mail
    % mx=mx1.b.test=192.0.2.1,2001:db8::1 mx2.b.test=192.0.2.2     best first (default: mx.b.test=192.0.2.1)
    % mails=2                                 the same mail so many times, one attempt each
    % pause=60                                seconds between them
    % lmtp, % smtputf8, % body=, % ret=, % envid=, % relay=        as they are called elsewhere
    % priority=3 % by=120;R                   MT-PRIORITY and BY (RFC 6710, RFC 2852)
    % outcomes=relayed 250 2.0.0; failed 550 5.1.1                 of the recipients, in order of record
    % told=failed b@b.test 5.1.1; relayed c@b.test 2.0.0           by notification; absent: nobody
    % remote=mx.b.test                        Remote-MTA of the one who is told of
    % dialled=192.0.2.1 192.0.2.2
"""

from pathlib import Path

import pytest

from a3mailer.config.tree import Queue
from a3mailer.runtime.resolver import Mx
from a3mailer.store.operations import QueueRecipient
from a3mailer.testing.peer import ScriptedPeer
from a3mailer.testing.transcript import MODES, Transcript, case_id, cases, unescape
from tests.unit.transfer.office import CONTENT, Office

FOLDER = Path(__file__).parent / "relay"


def recipients(text: str) -> list[QueueRecipient]:
    people = []
    for word in text.split():
        address, *parameters = word.split(";")
        given = dict(p.split("=", 1) for p in parameters)
        notify = tuple(given["NOTIFY"].split(",")) if "NOTIFY" in given else ()
        people.append(QueueRecipient(address, notify, given.get("ORCPT", "").replace(":", ";")))
    return people


def office(peer: ScriptedPeer, options: dict[str, str]) -> Office:
    queue = Queue(relay=options.get("relay", ""))
    made = Office(peer, queue, lmtp="lmtp" in options)
    hosts = options.get("mx", "mx.b.test=192.0.2.1").split()
    exchanges = []
    for preference, host in enumerate(hosts):
        name, _, addresses = host.partition("=")
        exchanges.append(Mx(preference, name))
        made.resolver.put(name, "A", *(a for a in addresses.split(",") if ":" not in a))
        made.resolver.put(name, "AAAA", *(a for a in addresses.split(",") if ":" in a))
    made.resolver.put("b.test", "MX", *exchanges)
    return made


@pytest.mark.parametrize(("path", "mode"), cases(FOLDER), ids=case_id)
async def test_relay_to_a_scripted_peer(path: Path, mode: str) -> None:
    peer = ScriptedPeer(path, MODES[mode])
    options = peer.transcript.options
    made = office(peer, options)
    content = unescape(options["content"].encode("latin-1")) if "content" in options else CONTENT
    for _ in range(int(options.get("mails", "1"))):
        await made.enqueue(
            *recipients(options.get("to", "one@b.test")),
            content=content,
            body=options.get("body", "8BITMIME"),
            smtputf8="smtputf8" in options,
            return_content=options.get("ret", ""),
            envelope_id=options.get("envid", ""),
            priority=int(options.get("priority", "0")),
            deliver_by=int(made.clock.now()) + int(options["by"].partition(";")[0]) if "by" in options else 0,
            by_mode=options.get("by", "").partition(";")[2],
        )
        await made.attempt()
        made.clock.advance(float(options.get("pause", "0")))
        made.relay.sweep()
    await made.relay.close()
    peer.finish()
    recorded = [f"{o.state} {o.code} {o.enhanced}" for o in made.outcomes]
    assert recorded == [word.strip() for word in options["outcomes"].split(";")]
    told = [f"{r.action.value} {r.final} {r.status}" for report in made.notices for r in report.recipients]
    assert told == [word.strip() for word in options.get("told", "").split(";") if word]
    if "remote" in options:
        assert [r.remote_mta for report in made.notices for r in report.recipients] == [options["remote"]]
    if "dialled" in options:
        assert [address for address, _ in peer.dialled] == options["dialled"].split()


def test_every_transcript_says_what_is_recorded() -> None:
    for path in FOLDER.glob("*.transcript"):
        assert "outcomes" in Transcript.load(path).options, path
