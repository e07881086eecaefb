"""Settings: every source over the ones before it, every value with its origin, every slip named."""

from __future__ import annotations

import os
import pathlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a3mailer.config import fields, load, sources, write
from a3mailer.config.checks import CHECKS
from a3mailer.config.fields import FIELDS, BadValue, NoSuchSetting, field, text_of, value_of
from a3mailer.config.load import ConfigError, diff
from a3mailer.config.syntax import host_port
from a3mailer.config.tree import Settings, Smtp


def problems(*args: object, **kwargs: object) -> str:
    with pytest.raises(ConfigError) as refused:
        load.load(*args, **kwargs)  # type: ignore[arg-type]
    return "\n".join(refused.value.problems)


def test_the_defaults_pass_their_own_checks() -> None:
    snapshot = load.load(None, {}, {})
    assert snapshot.settings == Settings()
    assert snapshot.origin("smtp.size").source == "default"


def test_every_setting_says_what_it_is() -> None:
    assert not [f.name for f in FIELDS.values() if len(f.description) < 10]
    assert set(fields.ALIASES.values()) <= set(FIELDS)
    assert not fields.RESTART - set(FIELDS)
    assert set(CHECKS) <= set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_every_default_survives_being_written_and_read(name: str, tmp_path: pathlib.Path) -> None:
    default = value_of(Settings(), name)
    assert FIELDS[name].parse(text_of(default)) == default
    (tmp_path / "a3mailer.toml").write_text(write.encode({name: default}))
    snapshot = load.load(tmp_path, {}, {})
    assert value_of(snapshot.settings, name) == default
    assert snapshot.origin(name).where == str(tmp_path / "a3mailer.toml")


def test_each_source_is_over_the_ones_before(tmp_path: pathlib.Path) -> None:
    main, extra, last = (
        tmp_path / "a3mailer.toml",
        tmp_path / "conf.d" / "10.toml",
        tmp_path / "conf.d" / "20.toml",
    )
    extra.parent.mkdir()
    secret = tmp_path / "secret"
    steps = [
        ("file", lambda: main.write_text("[smtp]\nsize = 10001\n")),
        ("file", lambda: extra.write_text("[smtp]\nsize = 10002\n")),
        ("file", lambda: last.write_text("[smtp]\nsize = 10003\n")),
        ("environment", lambda: variables.update(A3_SMTP__SIZE="10004")),
        ("secret", lambda: (secret.write_text("10005\n"), variables.update(A3_SMTP__SIZE_FILE=str(secret)))),
        ("store", lambda: stored.update({"smtp.size": "10006"})),
        ("command line", lambda: overrides.update({"smtp.size": "10007"})),
    ]
    variables: dict[str, str] = {}
    stored: dict[str, str] = {}
    overrides: dict[str, str] = {}
    for number, (source, act) in enumerate(steps, 10001):
        act()
        snapshot = load.load(tmp_path, overrides, variables, stored)
        assert snapshot.settings.smtp.size == number
        assert snapshot.origin("smtp.size").source == source


def test_systemd_credentials_are_secret_files(tmp_path: pathlib.Path) -> None:
    (tmp_path / "queue.relay").write_text("smart.example.test:25\n")
    (tmp_path / "unrelated").write_text("x")
    snapshot = load.load(None, {}, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert snapshot.settings.queue.relay == "smart.example.test:25"


def test_other_variables_are_left_alone() -> None:
    assert (
        load.load(None, {}, {"A3_DIR": "/x", "A3_SEED": "1", "A3__X": "1", "PATH": "/bin"}).settings
        == Settings()
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"smtp.sise": "1"}, "no such setting: smtp.sise (did you mean smtp.size?)"),
        ({"nothing": "1"}, "no such setting: nothing"),
        ({"smtp.size": "big"}, "--set smtp.size: smtp.size: 'big' is not an integer"),
        ({"smtp.size": "1"}, "--set smtp.size: smtp.size: expected int >= 1024"),
        ({"auth.scram": "maybe"}, "'maybe' is not an on/off"),
        ({"profile": "weird"}, "server.profile: 'weird' is none of: standard, plain"),
        ({"hostname": "a b"}, "is not a domain name"),
        ({"hostname": "1.2.3.4"}, "is not a domain name"),
        ({"listen": "127.0.0.1,localhost"}, "'localhost' is not an IPv4 or IPv6 address"),
        ({"listen": ""}, "no address to bind"),
        ({"relay": "host"}, "is not HOST:PORT"),
        ({"relay": "::1:25"}, "brackets"),
        ({"dns.servers": "dns.test:53"}, "is not an IPv4 or IPv6 address"),
        ({"server.proxy_from": "10.0.0.0/33"}, "is not a network"),
        ({"smtp.subaddress_separator": "ab"}, "one special character"),
        ({"queue.retry": ""}, "at least one pause"),
        ({"queue.retry": "0"}, "at least 1 second"),
        ({"queue.retry": "5,x"}, "is not a list of integers"),
        ({"limits.profile": "off", "listen": "0.0.0.0"}, "loopback listeners only"),
        ({"log.level": "loud"}, "none of: debug, info"),
        ({"dns.timeout": "nan"}, "not a number from 0 on"),
        ({"dns.timeout": "inf"}, "not a number from 0 on"),
        ({"auth.cache_seconds": "-1"}, "not a number from 0 on"),
    ],
)
def test_every_slip_is_named(overrides: dict[str, str], said: str) -> None:
    assert said in problems(None, overrides, {})


def test_all_problems_are_told_at_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a3mailer.toml").write_text("[smtp]\nsize = 'x'\nhop = 3\n[nosection]\nx = 1\n")
    said = problems(tmp_path, {"log.level": "loud"}, {"A3_IMAP__APPEND_SIZE": "-"})
    assert len(said.splitlines()) == 5
    assert (
        said.count(str(tmp_path / "a3mailer.toml")) == 3 and "A3_IMAP__APPEND_SIZE: imap.append_size" in said
    )


@pytest.mark.parametrize(
    "text", ["x", "x = ", "[smtp", "\xff", "x = 1\n", "[smtp]\nsize = true\n", "[smtp]\nsize = 2048.5\n"]
)
def test_broken_files_are_named(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "a3mailer.toml").write_bytes(text.encode("latin-1"))
    assert str(tmp_path / "a3mailer.toml") in problems(tmp_path, {}, {})


def test_unreadable_secrets_are_named(tmp_path: pathlib.Path) -> None:
    assert "No such file" in problems(None, {}, {"A3_QUEUE__RELAY_FILE": str(tmp_path / "none")})
    big = tmp_path / "big"
    big.write_bytes(b"x" * (sources.MAX_FILE + 1))
    assert "larger than" in problems(None, {}, {"A3_QUEUE__RELAY_FILE": str(big)})
    big.write_bytes(b"\xff")
    assert "not UTF-8" in problems(None, {}, {"A3_QUEUE__RELAY_FILE": str(big)})
    assert "Is a directory" in problems(None, {}, {"A3_QUEUE__RELAY_FILE": str(tmp_path)})


def test_what_the_store_needs_to_open_is_not_kept_in_it() -> None:
    assert "cannot be kept in it" in problems(None, {}, {}, {"store.encryption": "off"})
    assert load.load(None, {}, {}, {"smtp.hops": "9"}).settings.smtp.hops == 9


def test_config_set_keeps_its_file(tmp_path: pathlib.Path) -> None:
    path = write.set_in_file(tmp_path, "server.workers", 3)
    write.set_in_file(tmp_path, "server.hostname", 'a"b\\c\x7f')
    assert path.stat().st_mode & 0o777 == 0o600
    given = {g.name: g.value for g in sources.toml(path)}
    assert given == {"server.workers": 3, "server.hostname": 'a"b\\c\x7f'}
    write.set_in_file(tmp_path, "server.hostname", None)
    write.set_in_file(tmp_path, "server.hostname", None)
    assert load.load(tmp_path, {}, {}).settings.server.workers == 3
    assert sorted(p.name for p in path.parent.iterdir()) == [sources.SET_FILE]


def test_a_crash_while_writing_leaves_the_old_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write.set_in_file(tmp_path, "server.workers", 3)

    def broken(fd: int) -> None:
        raise OSError("injected")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="injected"):
        write.set_in_file(tmp_path, "server.workers", 4)
    monkeypatch.undo()
    assert load.load(tmp_path, {}, {}).settings.server.workers == 3
    write.set_in_file(tmp_path, "server.workers", 5)
    assert load.load(tmp_path, {}, {}).settings.server.workers == 5
    assert path.exists()


def test_a_difference_says_whether_a_reload_is_enough() -> None:
    before = Settings()
    after = msgspec.structs.replace(
        before,
        smtp=Smtp(size=4096),
        server=msgspec.structs.replace(before.server, port_base=100),
    )
    found = {d.name: (d.before, d.after, d.restart) for d in diff(before, after)}
    assert found == {"smtp.size": (str(50 << 20), "4096", False), "server.port_base": ("0", "100", True)}
    assert diff(before, before) == ()


def test_names_are_looked_up_with_help() -> None:
    assert field("profile").name == "server.profile"
    with pytest.raises(NoSuchSetting, match=r"did you mean imap\.idle_seconds"):
        field("imap.idle_second")


@pytest.mark.parametrize(
    ("text", "pair"),
    [("h.test:25", ("h.test", 25)), ("[::1]:53", ("::1", 53)), ("127.0.0.1:5353", ("127.0.0.1", 5353))],
)
def test_host_and_port(text: str, pair: tuple[str, int]) -> None:
    assert host_port(text) == pair


@pytest.mark.parametrize("text", ["", ":25", "h:", "h:0", "h:65536", "h:x", "[x]:1", "1.2.3:1", "h:\u0661"])
def test_bad_host_and_port(text: str) -> None:
    with pytest.raises(BadValue):
        host_port(text)


@given(st.dictionaries(st.sampled_from(list(FIELDS)), st.text(max_size=20)))
def test_any_text_is_taken_or_named(overrides: dict[str, str]) -> None:
    try:
        snapshot = load.load(None, overrides, {})
    except ConfigError as error:
        assert error.problems
        return
    again = {name: text_of(value_of(snapshot.settings, name)) for name in overrides}
    assert load.load(None, again, {}).settings == snapshot.settings
