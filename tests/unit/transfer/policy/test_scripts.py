"""Sieve of the operator at the stages: what each action comes to, and an error, and who sees what."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from a3mailer.app.settings import load, problems
from a3mailer.config.checks import check
from a3mailer.config.fields import BadValue
from a3mailer.config.load import ConfigError
from a3mailer.config.scripts import STAGES
from a3mailer.config.tree import Dns, Policy, Settings
from a3mailer.mail.address import Address, ReversePath
from a3mailer.mail.authresults import AuthResults, MethodResult, encode
from a3mailer.mail.envelope import Client, Envelope, Recipient
from a3mailer.mail.errors import Refused
from a3mailer.mail.ids import DEFAULT_TENANT
from a3mailer.runtime.shared import SharedTable
from a3mailer.testing.check import CheckCompliance
from a3mailer.testing.clock import FakeClock
from a3mailer.testing.resolver import FakeResolver
from a3mailer.transfer.arrival import Arrival
from a3mailer.transfer.policy.judge import Judged, Judges
from a3mailer.transfer.policy.scripts import CHECKS, Scripts
from a3mailer.transfer.policy.stages import Facts, Stage, Stages
from a3mailer.transfer.receive import Receive
from a3mailer.transfer.route import Remote
from a3mailer.wire.sieve.compile import compile_script
from a3mailer.wire.sieve.extensions import OPERATORS
from a3mailer.wire.sieve.extensions.policy import STAGES as SAID
from tests.transcripts.smtp_world import example
from tests.unit.transfer.policy.test_judge import only_mail
from tests.unit.transfer.world import MAIL, SETTINGS, World

NEED = 'require ["vnd.a3.policy", "envelope", "editheader", "environment", "reject", "variables"]; '
CLIENT = Client("192.0.2.7", 40000, "mx.b.test")


def settings_of(**scripts: str) -> Settings:
    policy = Policy(scripts=tuple(f"{stage}={stage}.sieve" for stage in scripts))
    return structs.replace(SETTINGS, policy=policy, dns=Dns(servers=("127.0.0.1:53",)))


def scripts_in(folder: Path, **scripts: str) -> Scripts:
    for stage, text in scripts.items():
        (folder / f"{stage}.sieve").write_text(NEED + text)
    return Scripts(folder, settings_of(**scripts), FakeClock())


async def at(scripts: Scripts, stage: Stage, settings: Settings, **more: object) -> str:
    """The status of a refusal, or the notes."""
    tables = SharedTable(8, 1.0), SharedTable(8, 1.0)
    stages = Stages(scripts.checks(), FakeResolver(), FakeClock(), *tables, settings)
    client = more.pop("client", CLIENT)
    course = stages.course(client, "t")  # type: ignore[arg-type]
    try:
        await course.run(stage, Facts(client, **more))  # type: ignore[arg-type]
    except Refused as error:
        return f"{error.status} {error}"
    return "; ".join(course.notes)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('refuse "no";', "5.7.1 no"),
        ('refuse "554 5.7.25 no name";', "5.7.25 no name"),
        ('defer "later";', "4.7.1 later"),
        ('reject "no\\r\\nthanks";'.replace("\\r\\n", "\r\n"), "5.7.1 no thanks"),
        ('tag "one"; tag "two";', "script_rcpt=one, two"),
        ('tag "one"; quarantine "odd";', "script_rcpt=quarantine: odd, one"),
        ('accept; refuse "no";', ""),
        ("stop;", ""),
        ('tag "a;b\u00fc";', "script_rcpt=a?b?"),
        ('refuse "\u65e5\u672c";', "5.7.1 ??"),
    ],
)
async def test_what_an_action_comes_to(tmp_path: Path, script: str, said: str) -> None:
    scripts = scripts_in(tmp_path, rcpt=script)
    assert await at(scripts, Stage.RCPT, settings_of(rcpt="")) == said


@pytest.mark.parametrize(
    ("stage", "test"),
    [
        (Stage.CONNECT, 'allof (client "192.0.2.0/24", not helo :matches "*", not envelope "from" "")'),
        (Stage.EHLO, 'helo "mx.b.test"'),
        (Stage.AUTH, 'auth "alice@a.test"'),
        (Stage.MAIL, 'allof (envelope "from" "c@b.test", size :over 5K, not envelope :contains "to" "")'),
        (Stage.RCPT, 'allof (envelope "to" "eve@r.test", environment "vnd.a3.door" "smtp")'),
    ],
)
async def test_what_is_known_at_a_stage(tmp_path: Path, stage: Stage, test: str) -> None:
    text = f'if allof (stage "{stage.value}", {test}) {{ refuse "yes"; }}'
    scripts = scripts_in(tmp_path, **{stage.value: text})
    client = structs.replace(CLIENT, helo="" if stage is Stage.CONNECT else "mx.b.test")
    if stage is Stage.AUTH:
        client = structs.replace(client, account=1, login="alice@a.test", protocol="submission")
    envelope = Envelope(ReversePath(Address("c", "b.test")), size=9000)
    to = Address("eve", "r.test")
    more: dict[str, object] = {"client": client}
    if stage in (Stage.MAIL, Stage.RCPT):
        more["envelope"] = envelope
    if stage is Stage.RCPT:
        more |= {"recipient": Recipient(to), "routes": (Remote(to, DEFAULT_TENANT),)}
    assert await at(scripts, stage, settings_of(**{stage.value: ""}), **more) == "5.7.1 yes"


async def test_a_script_knows_the_time(tmp_path: Path) -> None:
    test = 'require "date"; if currentdate "iso8601" "2027-01-15T08:00:00Z" { refuse "at night"; }'
    scripts = scripts_in(tmp_path, rcpt=test, data=test)
    assert await at(scripts, Stage.RCPT, settings_of(rcpt="")) == "5.7.1 at night"
    with pytest.raises(Refused, match="at night"):
        await sent(tmp_path, test)


async def test_the_first_script_that_refuses_has_the_last_word(tmp_path: Path) -> None:
    for name, text in (("a", 'tag "a";'), ("b", 'refuse "b";'), ("c", 'defer "c";')):
        (tmp_path / f"{name}.sieve").write_text(NEED + text)
    settings = structs.replace(
        SETTINGS, policy=Policy(scripts=("mail=a.sieve", "mail=b.sieve", "mail=c.sieve"))
    )
    assert await at(Scripts(tmp_path, settings), Stage.MAIL, settings) == "5.7.1 b"


async def test_only_doors_that_are_named_are_looked_at(tmp_path: Path) -> None:
    scripts, settings = scripts_in(tmp_path, rcpt='refuse "no";'), settings_of(rcpt="")
    assert await at(scripts, Stage.RCPT, settings, client=structs.replace(CLIENT, protocol="LMTP")) == ""
    assert await at(scripts, Stage.RCPT, settings, client=structs.replace(CLIENT, protocol="submission"))


@given(st.integers(100, 4000), st.integers(1, 200))
def test_a_script_over_its_budget_refuses_nothing_and_is_noted(steps: int, size: int) -> None:
    """However long it is, and wherever it stops: it says all it wants, or nothing but that it has failed."""
    text = 'tag "seen"; ' + 'set "v" "${v}${v}x"; ' * size + 'refuse "no";'
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mail.sieve").write_text(NEED + text)
        policy = Policy(scripts=("mail=mail.sieve",), script_steps=steps)
        settings = structs.replace(SETTINGS, policy=policy)
        said = asyncio.run(at(Scripts(Path(folder), settings), Stage.MAIL, settings))
    assert said == "5.7.1 no" or (
        said.startswith("script_mail=failed in line 1: more than ") and "seen" not in said
    )


async def test_an_error_of_a_run_is_noted_with_its_line(tmp_path: Path) -> None:
    scripts = scripts_in(tmp_path, mail='\n\nif client "${x}" { refuse "no"; }')
    said = await at(scripts, Stage.MAIL, settings_of(mail=""))
    assert said.startswith("script_mail=failed in line 3: ")


# --- whole mails ---------------------------------------------------------------------------------------


def world_with(scripts: Scripts, settings: Settings) -> World:
    world = World()
    judges = Judges({"scripts": scripts})
    world.receive = Receive(world.store, world.directory, settings, world.clock, judges)
    return world


async def sent(folder: Path, script: str, octets: bytes = MAIL, box: str = "INBOX") -> bytes:
    """What is stored of it. Errors: the refusal."""
    world = world_with(scripts_in(folder, data=script), settings_of(data=""))
    (outcome,) = await world.send(octets, "alice@a.test")
    if outcome is not None:
        raise outcome
    return await only_mail(world, box=box)


async def test_a_whole_mail_is_refused_or_put_off(tmp_path: Path) -> None:
    for script, status in (('refuse "5.7.9 no";', "5.7.9"), ('defer "later";', "4.7.1")):
        with pytest.raises(Refused) as caught:
            await sent(tmp_path, f'if header :contains "Subject" "hello" {{ {script} }}')
        assert caught.value.status == status


async def test_header_fields_are_changed_and_the_body_is_not(tmp_path: Path) -> None:
    script = 'deleteheader "Subject"; addheader "X-A" "\u00fc"; addheader :last "X-B" "b"; tag "seen";'
    stored = await sent(tmp_path, script)
    head, _, rest = stored.partition(b"Received: ")
    assert b"X-A3-Checks: script_data=seen\r\n" in head
    assert b"Subject" not in stored and stored.count(b"X-A: ") == 1
    assert rest.endswith(b"X-B: b\r\n\r\nGood morning.\r\n") and b"From: <carol@b.test>\r\n" in rest


@pytest.mark.parametrize(
    "octets", [b"", b"\r\n", b"Subject: x", b"no field at all\r\n\r\nx", b"A: 1\r\nbad\r\n\r\nx\r\n"]
)
async def test_odd_mails_keep_what_no_script_changes(tmp_path: Path, octets: bytes) -> None:
    stored = await sent(tmp_path, 'addheader "X-A" "a";', octets)
    assert stored.endswith(b"X-A: a\r\n" + octets)


async def test_a_mail_is_put_apart_by_its_stage_or_as_a_whole(tmp_path: Path) -> None:
    assert b"Good morning." in await sent(tmp_path, 'quarantine "odd";', box="Junk")
    scripts = scripts_in(tmp_path, data="stop;")
    judged = Judged(await arrival_of(("script_mail=quarantine: odd",)))
    assert (await scripts.judge(judged, 1.0)).junk
    assert not (await scripts.judge(Judged(await arrival_of(("other=quarantine: odd",))), 1.0)).junk
    leaving = structs.replace(judged.arrival, routes=((Remote(Address("x", "b.test"), DEFAULT_TENANT),),))
    with pytest.raises(Refused):
        await scripts.judge(Judged(leaving), 1.0)


async def arrival_of(notes: tuple[str, ...] = ()) -> Arrival:
    world = World()
    envelope = Envelope(ReversePath(Address("c", "b.test")), (Recipient(Address("alice", "a.test")),))
    routes = await world.policy.lead(Address("alice", "a.test"))
    return Arrival(CLIENT, envelope, (routes,), MAIL, "t", notes)


@pytest.mark.parametrize(
    ("test", "wanted"),
    [
        ('environment "vnd.a3.dmarc" "fail"', True),
        ('environment "vnd.a3.dkim" "pass"', True),
        ('environment "vnd.a3.spf" "pass"', False),
        ('environment "vnd.a3.arc" ""', True),
        ('environment "vnd.a3.author" "b.test"', True),
        ('environment "host" "mail.a.test"', True),
    ],
)
async def test_what_was_found_of_the_mail_can_be_asked(tmp_path: Path, test: str, wanted: bool) -> None:
    results = (MethodResult("dkim", "fail"), MethodResult("dkim", "pass"), MethodResult("dmarc", "fail"))
    top = encode(AuthResults("mail.a.test", results))
    forged = b"Authentication-Results: mail.a.test; spf=pass\r\n" + MAIL
    judged = Judged(structs.replace(await arrival_of(), octets=forged), top, author="b.test")
    scripts = scripts_in(tmp_path, data=f'if {test} {{ refuse "yes"; }}')
    if wanted:
        with pytest.raises(Refused):
            await scripts.judge(judged, 1.0)
    else:
        assert await scripts.judge(judged, 1.0) == judged


async def test_a_failed_script_leaves_the_mail_as_it_came(tmp_path: Path) -> None:
    script = 'addheader "X-A" "a"; if client "${x}" { refuse "no"; }'
    stored = await sent(tmp_path, script)
    assert stored.endswith(MAIL) and b"X-A:" not in stored
    assert b"X-A3-Checks: script_data=failed in line 1: " in stored


async def test_who_has_no_script_is_not_looked_at(tmp_path: Path) -> None:
    arrival = await arrival_of()
    assert not scripts_in(tmp_path).wants(arrival)
    assert not scripts_in(tmp_path, rcpt="stop;").wants(arrival)
    assert scripts_in(tmp_path, data="stop;").wants(arrival)


# --- settings and files --------------------------------------------------------------------------------


def test_a_broken_script_is_named_with_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "bad.sieve").write_text('require "vnd.a3.policy";\n  fileinto "Junk";\n')
    (tmp_path / "good.sieve").write_text("stop;")
    policy = 'scripts = ["mail=bad.sieve", "rcpt=bad.sieve", "data=good.sieve", "ehlo=none.sieve"]\n'
    (tmp_path / "a3mailer.toml").write_text(f"[policy]\n{policy}")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {}, {})
    bad, none = caught.value.problems
    assert bad == "policy.scripts: bad.sieve:2:3: there is no fileinto"
    assert none == "policy.scripts: none.sieve: No such file or directory"
    assert problems(tmp_path, Settings()) == ()


async def test_the_old_script_stays_while_the_new_one_is_broken(tmp_path: Path) -> None:
    settings = settings_of(mail="")
    scripts = scripts_in(tmp_path, mail='refuse "one";')
    (tmp_path / "mail.sieve").write_text("nonsense")
    scripts.reconfigure(settings)
    assert await at(scripts, Stage.MAIL, settings) == "5.7.1 one"
    (tmp_path / "mail.sieve").write_text(NEED + 'refuse "two";')
    scripts.reconfigure(settings)
    assert await at(scripts, Stage.MAIL, settings) == "5.7.1 two"


@pytest.mark.parametrize(
    "text", ["", "rcpt", "rcpt=", "quit=a.sieve", "rcpt=/etc/a.sieve", "rcpt=../a.sieve"]
)
def test_what_is_no_stage_and_file_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        check("policy.scripts", (text,))


def test_a_stage_has_one_name_in_every_room() -> None:
    names = [stage.value for stage in Stage]
    assert sorted(STAGES) == sorted(names)
    assert {name.decode() for name in SAID} == set(names)


def test_the_examples_of_the_documents_are_scripts() -> None:
    english, chinese = example("en"), example("zh")
    assert english == chinese and all(f'stage "{stage}"' in english for stage in STAGES)
    compile_script(english.encode(), OPERATORS)


class _OfAll(CheckCompliance):
    settings = structs.replace(settings_of(**dict.fromkeys(STAGES, "")), policy=Policy(
        scripts=tuple(f"{stage}=all.sieve" for stage in STAGES), seconds=0.02))  # fmt: skip


def _compliance(number: int) -> type[CheckCompliance]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "all.sieve").write_text(example())
        assert _OfAll.settings is not None
        scripts = Scripts(Path(folder), _OfAll.settings)
    return type("TestOne", (_OfAll,), {"check": CHECKS[number](scripts)})


TestConnect, TestEhlo, TestAuth, TestMail, TestRcpt = map(_compliance, range(len(CHECKS)))
