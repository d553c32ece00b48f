"""Every option that an operator can set is read by somebody, and a value that cannot be is refused by name."""

import ast
import dataclasses
import pathlib

import pytest

import jeroboam
from jeroboam.settings import GROUPS, load, parse_networks

SOURCE = pathlib.Path(jeroboam.__file__).parent


def read_names() -> set[str]:
    """The attributes that settings itself and those who may read it ask for."""
    files = [SOURCE / "settings.py", *(SOURCE / "cli").glob("*.py"), *(SOURCE / "bootstrap").glob("*.py")]
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


@pytest.mark.parametrize("group", ["api", "keystone", "conductor", "clusters", "x509", "containers"])
def test_a_group_has_a_field_for_each_option(group: str) -> None:
    values = getattr(load(None), group)
    assert {field.name for field in dataclasses.fields(values)} == {option.name for option in GROUPS[group]}
