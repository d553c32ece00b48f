"""What a user wants a cluster to be: from options, or from a file such as `cluster.yaml`.

The file has the words of the command's options. Each error names the file and the field. Neighbours: `create`, which
asks for it; `requests`, which turns it into the bodies of requests.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
import yaml

CoeName = Literal["kubernetes", "swarm"]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=242)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Version = Annotated[str, msgspec.Meta(pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+$")]
Labels = dict[str, Any]


class NodeGroupDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of workers beside the first one."""

    name: Name
    nodes: Count = 1
    flavor: str | None = None
    min_nodes: Count | None = None
    max_nodes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    labels: Labels = {}


class ClusterDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cluster."""

    name: Name | None = None
    coe: CoeName = "kubernetes"
    version: Version | None = None
    masters: Annotated[int, msgspec.Meta(ge=1)] = 1
    workers: Count = 1
    template: str | None = None
    flavor: str | None = None
    master_flavor: str | None = None
    labels: Labels = {}
    node_groups: tuple[NodeGroupDefinition, ...] = ()


_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
_NO_MEMBER = re.compile(r"Invalid enum value '(.*)'", re.DOTALL)


def read_definition(path: Path) -> ClusterDefinition:
    """Read a file. Raises `ValueError` that names the file and the field."""
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{path}: {place}{error.problem or 'no YAML'}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: this is no text of YAML") from error
    if not isinstance(content, dict):
        raise ValueError(  # noqa: TRY004  (it is the user's file)
            f"{path}: fields such as `name: dev` are expected"
        )
    if not all(isinstance(key, str) for key in content):
        raise ValueError(f"{path}: the name of each field has to be a text")
    try:
        return build_definition(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def build_definition(fields: Mapping[str, Any]) -> ClusterDefinition:
    """Return the definition with these fields. Raises `ValueError` that names the field that is wrong."""
    try:
        definition = msgspec.convert(fields, ClusterDefinition, from_attributes=True)
    except msgspec.ValidationError as error:
        raise ValueError(_describe(error)) from error
    _check_together(definition)
    return definition


def check_version(text: str) -> None:
    """Raise `ValueError` if that is no version of Kubernetes, in the words that a definition has for it."""
    build_definition({"version": text})


def _check_together(definition: ClusterDefinition) -> None:
    """Raise `ValueError` if the fields do not fit together."""
    if definition.version and definition.coe != "kubernetes":
        raise ValueError(f"version: nodes of {definition.coe} have the version of their image")
    if definition.version and "kube_tag" in definition.labels:
        raise ValueError("version: the label kube_tag says it too; name one of them")
    _check_labels("labels", definition.labels)
    names = [group.name for group in definition.node_groups]
    for index, group in enumerate(definition.node_groups):
        _check_labels(f"node_groups[{index}].labels", group.labels)
        if names.index(group.name) != index:
            raise ValueError(f"node_groups[{index}].name: there are two groups {group.name}")
        if group.max_nodes is not None and group.max_nodes < max(group.nodes, group.min_nodes or 0):
            raise ValueError(f"node_groups[{index}].max_nodes: it is less than nodes or min_nodes")


def _check_labels(field: str, labels: Labels) -> None:
    for key, value in labels.items():
        if not isinstance(value, str | int | float):
            raise ValueError(f"{field}.{key}: a text, a number, true or false is expected")  # noqa: TRY004


def _describe(error: msgspec.ValidationError) -> str:
    """Return the text with the field first: `workers: Expected int, got str`."""
    reason, _, place = str(error).partition(" - at `")
    field = place.removesuffix("`").removeprefix("$").removeprefix(".")
    unknown = _UNKNOWN.search(reason)
    if unknown is not None:
        shape = NodeGroupDefinition if field.startswith("node_groups") else ClusterDefinition
        path = f"{field}.{unknown[1]}" if field else unknown[1]
        return f"{path}: there is no such field; {_suggest(unknown[1], shape.__struct_fields__)}"
    value = _NO_MEMBER.search(reason)
    if value is not None:
        return f"{field}: there is no {value[1]}; {_suggest(value[1], get_args(CoeName))}"
    text = "a version is written as v1.36.3" if "regex" in reason else reason.replace("`", "")
    return f"{field}: {text}" if field else text


def _suggest(word: str, choices: Sequence[str]) -> str:
    matches = get_close_matches(word, choices, n=1, cutoff=0.7)
    return f"do you mean {matches[0]}?" if matches else f"possible are {', '.join(choices)}"
