"""We as the filter before a Postfix: mail for its domain comes to us, and goes on as it came."""

from __future__ import annotations

import pathlib
import smtplib
from collections.abc import Iterator

import pytest

from a3mailer.msgauth.fields import read
from bench.peers.rig import PeerRig
from tests.compat.test_relay import Names, inbox, until, with_subject
from tests.peers import peer
from tests.rig import Rig

BOB = "bob@example.test"
KNOWN = {"virtual_mailbox_maps": "inline:{bob@example.test=x}"}
MAIL = "From: carol@origin.test\r\nTo: bob@example.test\r\nSubject: {}\r\n\r\nHello,\r\n.a dot\r\n"


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, PeerRig]]:
    with peer(settings=KNOWN, log=True) as postfix:
        folder = tmp_path_factory.mktemp("here")
        with before(folder, postfix) as here:
            yield here, postfix


def before(folder: pathlib.Path, postfix: PeerRig) -> Rig:
    """A server of ours that hands example.test on."""
    here = Rig(
        folder, hostname="mx.here.test", domain="here.test", workers=1,
        accounts=(("alice@here.test", "secret-a"),),
        settings=("limits.profile=off", "policy.verify=on", "msgauth.enabled=off"),
    )  # fmt: skip
    here.init()
    here.verb("domain", "add", "example.test", "--relay-to", f"127.0.0.1:{postfix.port('smtp')}")
    return here


def at_bobs(postfix: PeerRig, subject: str) -> list[bytes]:
    return with_subject(inbox(postfix, *postfix.accounts[1]), subject)  # type: ignore[arg-type]


def test_mail_goes_on_with_its_sender_and_its_octets(road: tuple[Rig, PeerRig]) -> None:
    here, postfix = road
    with smtplib.SMTP("127.0.0.1", here.port("smtp"), "mx.origin.test") as smtp:
        smtp.sendmail("carol@origin.test", [BOB], MAIL.format("onward").encode())
    until(lambda: at_bobs(postfix, "onward"), here)
    (mail,) = at_bobs(postfix, "onward")
    header = read(mail)
    assert header.all(b"return-path")[0].value.strip() == b"<carol@origin.test>"
    assert mail.endswith(b"Subject: onward\r\n\r\nHello,\r\n.a dot\r\n")
    assert {row["domain"]: row["relay_to"] for row in here.verb("domain", "list")} == {
        "here.test": "",
        "example.test": f"127.0.0.1:{postfix.port('smtp')}",
    }


def codes(here: Rig, *people: str) -> list[tuple[int, bytes]]:
    with smtplib.SMTP("127.0.0.1", here.port("smtp"), "mx.origin.test") as smtp:
        smtp.ehlo()
        smtp.mail("carol@origin.test")
        return [smtp.rcpt(address) for address in people]


def next_server(here: Rig) -> dict[str, list[str]]:
    """The section of that name of ``domain check``."""
    with Names() as names:
        checked = here.verb(
            "domain", "check", "example.test", "--dns", f"127.0.0.1:{names.port}", check=False
        )
    (found,) = [each for each in checked["sections"] if each["subject"] == "next server"]
    return dict(found)


def test_who_is_unknown_there_is_refused_here(road: tuple[Rig, PeerRig]) -> None:
    here, postfix = road
    for _ in range(2):
        known, unknown = codes(here, BOB, "eve@example.test")
        assert known[0] == 250 and unknown[0] == 550 and unknown[1].startswith(b"5.1.1 ")
    log = postfix.postfix.log.read_text()
    assert log.count("<eve@example.test>: Recipient address rejected") == 1  # asked once, then known
    found = next_server(here)
    assert not found["errors"] and not found["warnings"]


def test_a_server_that_takes_everybody_is_told_of(tmp_path: pathlib.Path) -> None:
    with peer() as postfix, before(tmp_path, postfix) as here:
        assert [code for code, _ in codes(here, BOB, "eve@example.test")] == [250, 250]
        assert "takes mail for everybody" in next_server(here)["warnings"][0]


def test_the_records_are_those_of_a_relayed_domain(road: tuple[Rig, PeerRig]) -> None:
    here, _ = road
    found = here.verb("domain", "dns", "example.test")
    assert [(r["kind"], r["data"]) for r in found if r["needed"]] == [("MX", "10 mx.here.test.")]
