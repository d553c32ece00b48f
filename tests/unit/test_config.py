"""The configuration file: what does not exist is refused with the nearest name, a sample, values with their sources."""

import json
import pathlib
import re
import sqlite3

import pytest
from typer.testing import CliRunner

from jeroboam.bootstrap.drivers import load_provider
from jeroboam.cli import app
from jeroboam.settings import GROUPS, list_effective_options, list_faults, load, name_database, read_options
from jeroboam.settings.database import check_database_url, mask_passwords
from jeroboam.settings.describe import build_sample

# Where oslo.config looks by itself.
PLACES = ("jeroboam.conf", "jeroboam.conf.d/a.conf")


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "jeroboam.conf"


def run(*words: str | pathlib.Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[api]\npolcy_file = x", "[api] polcy_file: there is no such option; do you mean policy_file?"),
        ("[API]\npolcy_file = x", "[api] polcy_file: there is no such option; do you mean policy_file?"),
        ("[DEFAULT]\nlog-level = info", "[DEFAULT] log-level: there is no such option; do you mean log_level?"),
        (
            "[DEFAULT]\nlisten = 127.0.0.1:1",
            "[DEFAULT] listen: there is no such option; do you mean [api] listen or [keystone] listen?",
        ),
        (
            "[clusters]\nexecute_secnds = 3",
            "[clusters] execute_secnds: there is no such option; do you mean [containers] execute_seconds?",
        ),
        ("[docker]\nzzz = 3", "[docker] zzz: there is no such option; there are url"),
        ("[cluster]\nproviders = local", "[cluster]: there is no such section; do you mean [clusters]?"),
        ("[images]\nmirror = x", "[images]: there is no such section; do you mean [node_images]?"),
        ("[default]\nstate = x", "[default]: there is no such section; do you mean [DEFAULT]?"),
        (
            "[zzz]\n",
            f"[zzz]: there is no such section; there are {', '.join(f'[{group}]' for group in GROUPS)}",
        ),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest_name(config: pathlib.Path, text: str, fault: str) -> None:
    config.write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        load(config)


def test_a_file_that_cannot_be_parsed_is_named_with_the_line(config: pathlib.Path) -> None:
    config.write_text("[api]\nlisten\n")
    with pytest.raises(ValueError, match=r"jeroboam\.conf.*:2, No ':' or '='"):
        load(config)


def test_all_faults_are_listed_and_a_start_names_the_first(config: pathlib.Path) -> None:
    config.write_text("[api]\nmax_limt = 1\nmax_limit = zero\n[conductor]\nresync_seconds = 0\n")
    faults = list_faults(read_options(config), config)
    assert [fault.partition(":")[0] for fault in faults] == [
        "[api] max_limt",
        "[api] max_limit",
        "[conductor] resync_seconds",
    ]
    with pytest.raises(ValueError, match=r"max_limit\? \(2 more: see `jeroboam config check`\)$"):
        load(config)


@pytest.mark.security
@pytest.mark.parametrize("place", [f"{folder}{name}" for folder in (".jeroboam/", "") for name in PLACES])
def test_no_file_counts_but_the_one_that_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("[api]\nmax_limit = 7\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["jeroboam"])
    assert load(None).api.max_limit == 1000


@pytest.mark.parametrize("option", ["api", "keystone"])
def test_an_address_is_read_before_anything_starts(config: pathlib.Path, option: str) -> None:
    config.write_text(f"[{option}]\nlisten = somewhere\n")
    with pytest.raises(ValueError, match=rf"^\[{option}\] listen: 'somewhere' is not ADDRESS:PORT$"):
        load(config)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://user:pa%40ss/w:rd@host:5432/name",
        "postgresql+asyncpg://user@[::1]:5432/name",
        "postgresql+asyncpg:///name?host=/run/postgresql&ssl=require",
        "sqlite+aiosqlite:////var/lib/jeroboam.db",
        "sqlite+aiosqlite:///here.db",
    ],
)
def test_supported_databases(url: str) -> None:
    check_database_url(url)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("mysql+pymysql://u:hidden@h/n", "mysql+pymysql is not supported; write postgresql+asyncpg://"),
        ("postgresql://u:hidden@h/n", "postgresql is not supported; write postgresql+asyncpg://"),
        ("sqlite:////x.db", "sqlite is not supported"),
        ("u:hidden@h/n", "this is no URL of a database"),
        ("postgresql+asyncpg://u:hidden@h:port/n", "postgresql+asyncpg://u:***@h:port/n is malformed"),
        ("postgresql+asyncpg://u:hid@den@h/n", "postgresql+asyncpg://u:***@h/n is malformed"),
        ("postgresql+asyncpg://u:hidden@h", "postgresql+asyncpg://u:***@h is malformed"),
        ("sqlite+aiosqlite://", "is malformed"),
        ("sqlite+aiosqlite:///:memory:", "is malformed"),
        ("postgresql+asyncpg://u:hidden@h/n?sslmode=require", "write ssl=MODE instead of sslmode=MODE"),
    ],
)
def test_other_databases_are_refused_in_one_line_without_the_password(
    config: pathlib.Path, url: str, fault: str
) -> None:
    config.write_text(f"[database]\nconnection = {url}\n")
    status, output = run("up", "--config", config)
    assert status == 1
    assert output.count("\n") == 1
    assert output.startswith("jeroboam: [database] connection: ")
    assert fault in output
    assert "hidden" not in output
    assert "den@" not in output


def test_a_dollar_in_a_value_is_explained_without_the_value(config: pathlib.Path) -> None:
    config.write_text("[database]\nconnection = postgresql+asyncpg://u:pa$hidden@h/n\n")
    with pytest.raises(ValueError, match=r"^\[database\] connection: a \$ stands for another option; write \$\$"):
        load(config)
    config.write_text("[database]\nconnection = postgresql+asyncpg://u:pa$$word@h/n\n")
    assert load(config).database_url == "postgresql+asyncpg://u:pa$word@h/n"


@pytest.mark.parametrize("command", ["check", "show"])
@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("max_limit = ${max_limit}", {"max_limit"}),
        ("policy_file = $limits_file\nlimits_file = x${api.policy_file}", {"policy_file", "limits_file"}),
    ],
)
def test_a_value_that_refers_to_itself_is_named(
    config: pathlib.Path, command: str, text: str, options: set[str]
) -> None:
    config.write_text(f"[api]\n{text}\n")
    status, output = run("config", command, "--config", config)
    assert status == 1
    reason = "a $ stands for another option, and this one refers to itself"
    lines = [line.removeprefix("jeroboam: ") for line in output.splitlines()]
    assert lines[0].startswith("[api] ")
    assert all(reason in line for line in lines)
    if command == "check":
        assert {line.partition(":")[0] for line in lines} == {f"[api] {option}" for option in options}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[api]\nmax_limit = zero", "[api] max_limit: it has to be a whole number, not 'zero'"),
        ("[api]\nmax_limit = 1.5", "[api] max_limit: it has to be a whole number, not '1.5'"),
        ("[api]\nmax_limit =", "[api] max_limit: it has to be a whole number, not ''"),
        ("[conductor]\nresync_seconds = soon", "[conductor] resync_seconds: it has to be a number, not 'soon'"),
        ("[conductor]\nresync_seconds = nan", "[conductor] resync_seconds: it has to be a number, not 'nan'"),
        ("[conductor]\nresync_seconds = 1e999", "[conductor] resync_seconds: it has to be a number, not 'inf'"),
    ],
)
def test_a_number_is_asked_for_in_words(config: pathlib.Path, text: str, fault: str) -> None:
    config.write_text(text + "\n")
    assert list_faults(read_options(config), config) == [fault]


@pytest.mark.security
def test_what_a_terminal_would_obey_is_shown_as_an_escape(config: pathlib.Path) -> None:
    config.write_text("[api]\nx\x1b[2J\u202e = 1\n[\x1b[2J]\ny = 1\n")
    _, output = run("config", "check", "--config", config)
    assert all(line.isprintable() for line in output.split("\n"))
    assert r"[api] x\x1b[2J\u202e: there is no such option" in output
    config.write_text("[docker]\nurl = \x1b[2J\u202e\n")
    _, output = run("config", "show", "--config", config)
    assert all(line.isprintable() for line in output.split("\n"))
    assert r"[docker] url = \x1b[2J\u202e" in output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+asyncpg://u:a:b@c@h/n", "postgresql+asyncpg://u:***@h/n"),
        ("postgresql+asyncpg://u@h/n?password=x&ssl=require", "postgresql+asyncpg://u@h/n?password=***&ssl=require"),
        ("https://h:8443/path", "https://h:8443/path"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert mask_passwords(url) == shown


def test_messages_name_the_file_of_an_sqlite() -> None:
    assert name_database("sqlite+aiosqlite:////var/lib/jeroboam.db?timeout=5") == "/var/lib/jeroboam.db"


def test_the_sample_has_every_option_with_its_default(config: pathlib.Path) -> None:
    status, sample = run("config", "sample")
    assert status == 0
    assert sample == build_sample(GROUPS)
    for option in (option for members in GROUPS.values() for option in members):
        assert re.search(rf"^#{option.name} =", sample, re.MULTILINE)
    config.write_text(re.sub(r"^#(?=\w+ =)", "", sample, flags=re.MULTILINE))
    assert list_faults(read_options(config), config) == []
    assert load(config) == load(None)
    assert max(map(len, sample.splitlines())) <= 110


def test_values_are_shown_with_their_sources(config: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_API__MAX_LIMIT", "7")
    monkeypatch.setenv("DOCKER_HOST", "tcp://u:hidden@engine:2376")
    config.write_text(
        "[database]\nconnection = postgresql+asyncpg://u:hidden@h/n\n[clusters]\nproviders = fake,local\n"
    )
    entries = {(entry.group, entry.name): entry for entry in list_effective_options(config, state="/srv/state")}
    assert set(entries) == {(group, option.name) for group, members in GROUPS.items() for option in members}
    expected = {
        ("DEFAULT", "state"): ("/srv/state", "command line"),
        ("DEFAULT", "log_level"): ("info", "default"),
        ("api", "max_limit"): ("7", "environment OS_API__MAX_LIMIT"),
        ("database", "connection"): ("postgresql+asyncpg://u:***@h/n", str(config)),
        ("clusters", "providers"): ("fake,local", str(config)),
        ("docker", "url"): ("tcp://u:***@engine:2376", "environment DOCKER_HOST"),
    }
    assert {key: (entries[key].value, entries[key].source) for key in expected} == expected
    status, output = run("config", "show", "--config", config)
    assert status == 0
    assert "[api] max_limit = 7 (environment OS_API__MAX_LIMIT)\n" in output
    status, output = run("config", "show", "--config", config, "--output", "json")
    assert json.loads(output)[0].keys() == {"group", "name", "value", "source"}
    assert "hidden" not in output


def test_the_check_has_a_line_for_each_fault_also_of_files_and_drivers(config: pathlib.Path) -> None:
    policy, limits = config.with_name("policy.yaml"), config.with_name("limits.yaml")
    policy.write_text('"cluster:creat": "role:admin"\n"cluster:get": "role:reader"\n"cluster:delete": "admin"\n')
    limits.write_text("limits: [{name: a, max_nodes: 3}]")
    config.write_text(
        f"[api]\npolicy_file = {policy}\nlimits_file = {limits}\nmax_limt = 1\n"
        "[clusters]\nproviders = lokal\ndefault_provider = lokal\n"
    )
    status, output = run("config", "check", "--config", config)
    assert status == 1
    assert [line.partition(";")[0] for line in output.splitlines()] == [
        "[api] max_limt: there is no such option",
        f"policy file {policy}: rule \"cluster:delete\": 'admin' is no check",
        f'policy file {policy}: rule "cluster:creat": nothing asks for a rule of that name',
        f"limits file {limits}: Object contains unknown field `max_nodes` - at `$.limits[0]`",
        "[clusters] providers: there is no 'lokal'",
    ]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[clusters]\nproviders = heat", ["[clusters] providers: there is no 'heat'; there is local"]),
        (
            "[clusters]\nproviders = local\ndefault_provider = lokal",
            ["default_provider: there is no 'lokal'; there is local"],
        ),
        ("[clusters]\nproviders = fake", ["default_provider: there is no 'local'; there is fake"]),
        ("[clusters]\nproviders = fake\ndefault_provider = fake\ncoes = fake\n[containers]\nruntime = fake", []),
        ("[clusters]\ncoes = mesos", ["[clusters] coes: there is no 'mesos'; there is kubernetes, swarm"]),
        ("[containers]\nruntime = podman", ["[containers] runtime: there is no 'podman'; there is docker"]),
    ],
)
def test_one_mistake_is_one_fault_and_no_fake_is_offered(config: pathlib.Path, text: str, faults: list[str]) -> None:
    config.write_text(text + "\n")
    _, output = run("config", "check", "--config", config)
    lines = output.splitlines() if faults else []
    assert len(lines) == len(faults)
    assert all(line.endswith(fault) for line, fault in zip(lines, faults, strict=True)), output


def test_a_start_offers_no_fake() -> None:
    with pytest.raises(ValueError, match=r"^providers: there is no driver 'heat'; there are: local$"):
        load_provider("heat")


def test_the_check_of_a_sound_configuration(config: pathlib.Path) -> None:
    config.write_text(build_sample(GROUPS))
    assert run("config", "check", "--config", config) == (0, f"{config}: nothing is wrong\n")
    status, _ = run("config", "check")
    assert status == 0


@pytest.fixture
def state(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "installation").touch()
    return folder


def test_a_command_names_the_database_that_does_not_answer(config: pathlib.Path, state: pathlib.Path) -> None:
    config.write_text("[database]\nconnection = postgresql+asyncpg://u:hidden@127.0.0.1:1/n\n")
    assert run("status", "--state", state, "--config", config) == (
        1,
        "jeroboam: postgresql+asyncpg://u:***@127.0.0.1:1/n: the database does not work: it does not answer\n",
    )


def test_a_command_names_the_database_that_is_empty_damaged_or_of_another_version(state: pathlib.Path) -> None:
    file = state / "jeroboam.db"
    status, output = run("status", "--state", state)
    assert (status, output.partition(":")[0]) == (1, "jeroboam")
    assert f"{file}: there is nothing in the database" in output
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    database.close()
    status, output = run("status", "--state", state)
    assert (status, f"{file}: the database has version 9999" in output) == (1, True)
    for leftover in state.glob("jeroboam.db-*"):
        leftover.unlink()
    file.write_bytes(b"junk" * 1000)
    assert run("status", "--state", state) == (
        1,
        f"jeroboam: {file}: the database does not work: its file is damaged\n",
    )
