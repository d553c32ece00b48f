"""Every option that an operator can set is read by somebody, and a value that cannot be is refused by name."""

import ast
import dataclasses
import pathlib
import re

import pytest

import jeroboam
from jeroboam.settings import GROUPS, load, parse_networks

SOURCE = pathlib.Path(jeroboam.__file__).parent


def read_names() -> set[str]:
    """The attributes that settings itself and those who may read it ask for."""
    files = [path for folder in ("settings", "cli", "bootstrap") for path in (SOURCE / folder).glob("*.py")]
    trees = [ast.walk(ast.parse(path.read_text())) for path in files]
    return {node.attr for tree in trees for node in tree if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("option", [option.name for members in GROUPS.values() for option in members])
def test_an_option_is_read(option: str) -> None:
    assert option in read_names()


def test_the_environment_sets_options_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_API__LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("OS_KEYSTONE__LISTEN", "127.0.0.1:2")
    settings = load(None, keystone__listen="127.0.0.1:3")
    assert (settings.api.listen, settings.keystone.listen) == ("127.0.0.1:1", "127.0.0.1:3")


def test_networks_are_read_before_anything_starts(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "jeroboam.conf"
    config.write_text("[clusters]\nmanifest_networks = 10.0.0.0/8,fd00::/8\n")
    assert [str(each) for each in parse_networks(load(config).clusters.manifest_networks, "x")] == [
        "10.0.0.0/8",
        "fd00::/8",
    ]
    config.write_text("[clusters]\nmanifest_networks = everywhere\n")
    with pytest.raises(ValueError, match="manifest_networks: 'everywhere'"):
        load(config)


def test_a_value_that_cannot_be_names_its_option(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "jeroboam.conf"
    config.write_text("[api]\nmax_limit = zero\n")
    with pytest.raises(ValueError, match="max_limit"):
        load(config)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "minimum_cpu = 4\nmaximum_cpu = 2",
            "[containers] minimum_cpu: 4 is more than maximum_cpu, which is 2",
        ),
        (
            "minimum_memory = 1024\nmaximum_memory = 64",
            "[containers] minimum_memory: 1024 is more than maximum_memory, which is 64",
        ),
        ("maximum_cpu = 0.5", "[containers] default_cpu: 1 is not from minimum_cpu to maximum_cpu, 0.1 to 0.5"),
        ("default_cpu = 0.05", "[containers] default_cpu: 0.05 is not from minimum_cpu to maximum_cpu, 0.1 to 16"),
        (
            "maximum_memory = 256",
            "[containers] default_memory: 512 is not from minimum_memory to maximum_memory, 4 to 256",
        ),
        (
            "minimum_memory = 600",
            "[containers] default_memory: 512 is not from minimum_memory to maximum_memory, 600 to 8192",
        ),
    ],
)
def test_bounds_of_containers_fit_each_other(tmp_path: pathlib.Path, lines: str, message: str) -> None:
    config = tmp_path / "jeroboam.conf"
    config.write_text(f"[containers]\n{lines}\n")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load(config)


def test_a_default_may_be_a_bound(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "jeroboam.conf"
    config.write_text("[containers]\nminimum_cpu = 2\ndefault_cpu = 2\nmaximum_cpu = 2\nmaximum_memory = 512\n")
    assert load(config).containers.default_cpu == 2


@pytest.mark.parametrize("group", ["api", "keystone", "conductor", "clusters", "x509", "containers"])
def test_a_group_has_a_field_for_each_option(group: str) -> None:
    values = getattr(load(None), group)
    assert {field.name for field in dataclasses.fields(values)} == {option.name for option in GROUPS[group]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("many", "[conductor] parallel_clusters: it has to be a whole number, not 'many'"),
        ("0", "[conductor] parallel_clusters: Should be greater than or equal to 1"),
    ],
)
def test_an_invalid_value_is_named_with_its_group_and_nothing_of_the_library(
    tmp_path: pathlib.Path, value: str, message: str
) -> None:
    config = tmp_path / "jeroboam.conf"
    config.write_text(f"[conductor]\nparallel_clusters = {value}\n")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load(config)
