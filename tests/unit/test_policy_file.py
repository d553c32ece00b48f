"""The operator's policy file: a rule that is broken, unknown or refers to none is named; sound ones pass."""

import logging
import os
import pathlib
import re

import pytest
import yaml
from typer.testing import CliRunner

from jeroboam.api.policy import Policy
from jeroboam.api.policy_file import find_broken_check, list_policy_faults, read_policy_file
from jeroboam.bootstrap.limits import read_limits
from jeroboam.bootstrap.policy import FAMILIES, check_policy, list_faults
from jeroboam.cli import app
from jeroboam.domain.caller import Caller


@pytest.mark.parametrize(
    "check",
    [
        *(check for family in FAMILIES for check in family.values()),
        "@",
        "!",
        "(!)",
        "",
        [],
        ["role:admin", ["role:member", "project_id:%(project_id)s"]],
        "not role:reader and 'abc':%(user_id)s",
        "is_admin:True",
        "((role:a and not (role:b)) OR user_id:%(user_id)s)",
    ],
)
def test_sound_checks(check: object) -> None:
    assert find_broken_check(check) is None


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("rolle:admin", "compares 'rolle', which no caller has; do you mean role?"),
        ("role:admin role:member", "cannot be parsed"),
        ("(role:admin", "cannot be parsed"),
        ("role:admin or", "cannot be parsed"),
        ("and role:admin", "cannot be parsed"),
        ("admin", "'admin' is no check"),
        ("role:", "'role:' has nothing after its colon"),
        ("role: admin", "'role:' has nothing after its colon"),
        (["role:admin", "project_id:"], "'project_id:' has nothing after its colon"),
        (["role:admin", "admin"], "'admin' is no check"),
        (["role:admin", 5], "a check has to be text"),
        (None, "a check has to be text"),
        ({"role": "admin"}, "a check has to be text"),
        ("tenant:%(project_id)s", "compares 'tenant', which no caller has"),
        ("http://authority/%(project_id)s", "asks another service at each request"),
        ("role:admin or https://authority/", "asks another service at each request"),
        ("not " * 3000 + "role:admin", "is nested more than 20 deep"),
        ("(" * 3000 + "role:admin" + ")" * 3000, "is nested more than 20 deep"),
        ("(" * 20000, "is nested more than 20 deep"),
        ("project_id:%(tenant_id)s", "has %(tenant_id)s, which no object has"),
    ],
)
def test_broken_checks(check: object, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert fault in str(find_broken_check(check))
    assert not caplog.records


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            '"cluster:creat": "role:admin"',
            ['rule "cluster:creat": nothing asks for a rule of that name; do you mean "cluster:create"?'],
        ),
        ('"admin": "role:admin"\n"cluster:create": "rule:admin"', []),
        ('"cluster:create": "rule:cluster:get"', []),
        (
            '"admins": "role:admin"\n"cluster:create": "rule:admin"',
            [
                'rule "cluster:create": there is no rule "admin"; do you mean "admins"?',
                'rule "admins": nothing asks for a rule of that name; docs/routes.md names them all',
            ],
        ),
        ('"a": "rule:b"\n"b": "rule:a"', ['rule "a": it refers to itself', 'rule "b": it refers to itself']),
        # A family sees its own defaults and the file, and not the defaults of the other family.
        (
            '"image:pull": "rule:cluster:create"',
            ['rule "image:pull": there is no rule "cluster:create"; do you mean "container:create"?'],
        ),
        ('5: "role:admin"', ['rule "5": the name of a rule has to be text']),
        ('"bay:create": "!"\n"container:start": "@"', []),
    ],
)
def test_rules_of_a_file(text: str, faults: list[str]) -> None:
    assert list_policy_faults(yaml.safe_load(text), FAMILIES) == faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "there is no policy file "),
        ("- a\n", 'it has to be lines of "rule": "check"'),
        ('"a: [', "while "),
        ('"cluster:create": "rolle:admin"\n"cluster:delete": "x"', "(1 more: see `jeroboam policy check`)"),
    ],
)
def test_a_start_ends_with_the_first_fault_in_one_line(tmp_path: pathlib.Path, text: str | None, fault: str) -> None:
    file = tmp_path / "policy.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match="policy file") as raised:
        check_policy(str(file))
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(file) in str(raised.value)


@pytest.mark.security
@pytest.mark.parametrize("place", ["policy.yaml", ".jeroboam/policy.yaml", ".jeroboam/policy.d/a.yaml", "policy.json"])
@pytest.mark.parametrize("is_named", [False, True])
def test_only_the_file_that_the_option_names_counts(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, place: str, *, is_named: bool
) -> None:
    home, file = tmp_path / "home", tmp_path / "mine.yaml"
    (home / place).parent.mkdir(parents=True)
    (home / place).write_text('"a": "!"')
    file.write_text("# nothing yet\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    assert Policy({"a": "role:admin"}, str(file) if is_named else None).check_of("a") == "role:admin"


def test_a_file_that_breaks_while_the_service_runs_changes_nothing(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"a": "role:chief"')
    policy = Policy({"a": "role:admin"}, str(file))
    file.write_text('"a: [')
    with caplog.at_level(logging.INFO):
        assert policy.allows("a", Caller(user_id="u", project_id="p", roles=frozenset({"chief"})))
    assert policy.check_of("a") == "role:chief"
    assert not caplog.records


@pytest.mark.parametrize("text", ['"a: [', "- a", "a: 2001-99-99", '"a": "("', '"a": 5', '"a": "http://h/"'])
def test_a_broken_file_never_becomes_a_policy(tmp_path: pathlib.Path, text: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"policy file {file}: ")):
        Policy({"a": "role:admin"}, str(file))


def test_the_deepest_check_that_a_file_may_have_is_asked(tmp_path: pathlib.Path) -> None:
    """oslo.policy asks by recursion, so a longer chain of rules would end in an error at each request."""
    deepest = f"{'(not ' * 10}rule:{{}}{')' * 10}"
    rules = {f"r{number}": deepest.format(f"r{number + 1}") for number in range(1, 10)}
    rules |= {"cluster:create": deepest.format("r1"), "r10": "@"}
    assert list_policy_faults(rules, FAMILIES) == []
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(rules))
    policy = Policy({"cluster:create": "!"}, str(file))
    assert policy.allows("cluster:create", Caller(user_id="u", project_id="p", roles=frozenset()))
    faults = list_policy_faults({**rules, "r10": "rule:r11", "r11": "@"}, FAMILIES)
    assert faults == [
        'rule "cluster:create": it refers to rules that refer to others, more than 10 in a row',
    ]


@pytest.mark.parametrize("lead", ["", "limits: "])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: \xff", "this is no text in UTF-8: line 1 has the octet 0xff"),
        (b"\n- 2001-99-99", "a value cannot be read: month must be in 1..12"),
        (b"\n- !!timestamp x", "a value cannot be read"),
        (b"\n- !!bool x", "a value cannot be read"),
        (b"[" * 20000, "it is nested too deeply"),
        (b"\n- {name: a, name: b}\n", 'the key "name" is there twice'),
        (b"\n- [\x1b]", "special characters are not allowed"),
        (b"#" * (1 << 20) + b"#", "the file is larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(
    tmp_path: pathlib.Path, lead: str, content: bytes, reason: str
) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(lead.encode() + content)
    done = CliRunner().invoke(app, ["policy", "check", str(file)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert f"file {file}: " in done.output
    assert reason in done.output
    for read in (read_policy_file, read_limits):
        with pytest.raises(ValueError, match=re.escape(reason)):
            read(str(file))


def test_a_rule_that_is_there_twice_is_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"cluster:create": "!"\n"cluster:get": "@"\ncluster:create: "@"\n')
    reason = 'the key "cluster:create" is there twice, for the second time in line 3, column 1: cluster:create: "@" ^'
    assert list_faults(str(file)) == [f"policy file {file}: {reason}"]


@pytest.mark.parametrize("command", [["policy", "check"], ["config", "check", "--config"]])
@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_what_is_no_regular_file_is_refused(tmp_path: pathlib.Path, command: list[str], kind: str) -> None:
    file = pathlib.Path("/dev/zero")
    if kind == "fifo":
        file = tmp_path / "fifo"
        os.mkfifo(file)
    done = CliRunner().invoke(app, [*command, str(file)])
    assert done.exit_code == 1
    assert done.output.endswith(f"{file}: this is no regular file\n")


HIDDEN = "\x1b[2J\u202e\x9b"
SHOWN = r"\x1b[2J\u202e\x9b"


@pytest.mark.security
@pytest.mark.parametrize(
    "value",
    [
        {HIDDEN: "@"},
        {"cluster:create": f"x{HIDDEN}"},
        {"cluster:create": f"rule:{HIDDEN}"},
        {"limits": [{"name": HIDDEN, "cluster_name": "["}]},
        {"limits": [{"name": HIDDEN, "max_nodes_per_cluster": 1}]},
        {"limits": [{"name": "a", HIDDEN: 1}]},
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(tmp_path: pathlib.Path, value: object) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump(value))
    output = CliRunner().invoke(app, ["policy", "check", str(file)]).output
    assert all(line.isprintable() for line in output.split("\n"))
    assert SHOWN in output


def test_each_fault_of_a_file_of_limits_has_a_line(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("limits: [{name: a, max_nodes: 3}, {name: b}]")
    done = CliRunner().invoke(app, ["policy", "check", str(file)])
    assert done.exit_code == 1
    assert [line.partition(";")[0] for line in done.output.splitlines()] == [
        f"limits file {file}: Object contains unknown field `max_nodes` - at `$.limits[0]`",
        f"limits file {file}: limit b: it bounds nothing",
    ]


def test_an_empty_file_changes_nothing(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("# nothing yet\n")
    check_policy(str(file))
    assert Policy({"a": "role:admin"}, str(file)).check_of("a") == "role:admin"


@pytest.mark.parametrize(
    ("text", "status", "line"),
    [
        ('"cluster:create": "role:admin"', 0, ": 1 rule: cluster:create\n"),
        ('"cluster:creat": "role:admin"', 1, 'rule "cluster:creat": nothing asks for'),
        ("limits: [{name: a, max_age_days: 3}]", 0, ": 1 limit: a\n"),
        ("limits: [{name: a, max_nodes: 3}]", 1, "unknown field `max_nodes`"),
    ],
)
def test_the_command_reads_policies_and_limits(tmp_path: pathlib.Path, text: str, status: int, line: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    done = CliRunner().invoke(app, ["policy", "check", str(file)])
    assert (done.exit_code, line in done.output) == (status, True), done.output
