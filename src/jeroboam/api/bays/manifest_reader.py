"""Reads manifests: one document of YAML or JSON that describes one Kubernetes object.

The text comes from an untrusted user. It becomes plain JSON only, without references inside it, and its size and depth
are limited. Whether Kubernetes accepts the object is checked by the bay.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from jeroboam.domain.bay_manifests import KIND_NAMES, BayManifestKind
from jeroboam.domain.errors import Invalid
from jeroboam.domain.owner_labels import is_reserved

MOST_OCTETS = 64 << 10
_MOST_DEPTH = 40
_API_VERSION = "v1"
_NAMESPACE = "default"
_RESERVED_NAMES = frozenset({"detail"})
_LONGEST_NAME = {BayManifestKind.POD: 253, BayManifestKind.SERVICE: 63, BayManifestKind.RC: 253}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
# Members whose keys are labels, annotations or selectors.
_LABEL_KEYS = frozenset({"labels", "annotations", "selector", "matchLabels"})
# Members of metadata that Kubernetes or this service sets.
_SERVER_FIELDS = frozenset(
    "uid resourceVersion generation creationTimestamp managedFields ownerReferences selfLink".split()
)
_LARGEST = 2**63

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    """Scalars become JSON types. A date stays a string, as in Kubernetes."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (the class attribute that the base reads)
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in _BASE.yaml_implicit_resolvers.items()
    }


def read_manifest(kind: BayManifestKind, text: str, field: str = "manifest") -> dict[str, Any]:
    """The manifest as a JSON object. Raises `Invalid` that names the field of the body."""
    document = _parse_manifest(text, field)
    if not isinstance(document, dict):
        raise _invalid(field, "it has to be an object with apiVersion, kind, metadata and spec")
    kind_name = KIND_NAMES[kind]
    if document.get("kind") != kind_name:
        raise _invalid(field, f"its kind is {_quote(document.get('kind'))}, and has to be {kind_name}")
    if document.get("apiVersion") != _API_VERSION:
        raise _invalid(field, f"its apiVersion is {_quote(document.get('apiVersion'))}, and has to be {_API_VERSION}")
    if not isinstance(document.get("spec"), dict):
        raise _invalid(field, "its spec has to be an object")
    _check_metadata(kind, document.get("metadata"), field)
    template = document["spec"].get("template")
    inner = template.get("metadata") if isinstance(template, dict) else None
    _check_labels(inner.get("labels") if isinstance(inner, dict) else None, "spec.template.metadata.labels", field)
    _check_names(document, "", field)
    # The status is an observation of the cluster and not part of the wish.
    document.pop("status", None)
    return document


def name_of(manifest: dict[str, Any]) -> str:
    """The name of the object in a manifest that was read."""
    return str(manifest["metadata"]["name"])


# ------------------------------------------------------------------------------------------------------- content


def _check_metadata(kind: BayManifestKind, meta: Any, field: str) -> None:
    if meta is not None and not isinstance(meta, dict):
        raise _invalid(field, "its metadata has to be an object")
    if meta is None or meta.get("name") in (None, ""):
        raise Invalid("Field metadata['name'] can't be empty in manifest.", field=field)
    name, longest = meta["name"], _LONGEST_NAME[kind]
    if not isinstance(name, str) or len(name) > longest or _NAME.fullmatch(name) is None:
        rule = f"small letters, digits, '-' and '.', at most {longest} of them, a letter or digit at both ends"
        raise _invalid(field, f"metadata.name {_quote(name)} is not a valid name: it takes {rule}")
    if name in _RESERVED_NAMES:
        raise _invalid(field, f"metadata.name {_quote(name)} is a word of the API's paths and cannot be used as a name")
    if meta.get("namespace") not in (None, _NAMESPACE):
        raise _invalid(field, f"metadata.namespace has to be {_NAMESPACE}, or absent")
    if reserved_keys := sorted(_SERVER_FIELDS & meta.keys()):
        raise _invalid(field, f"metadata.{reserved_keys[0]} cannot be set by users")
    _check_labels(meta.get("labels"), "metadata.labels", field)


def _check_labels(labels: Any, where: str, field: str) -> None:
    if labels is None:
        return
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise _invalid(field, f"{where} has to be an object of strings")


def _check_names(part: Any, where: str, field: str) -> None:
    """Raise `Invalid` for a reserved name among labels, annotations and selectors, at any depth of the manifest."""
    members = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in members:
        place = f"{where}.{key}" if where else str(key)
        if key in _LABEL_KEYS and isinstance(value, dict):
            reserved_name = next((name for name in value if is_reserved(str(name))), None)
            if reserved_name is not None:
                raise _invalid(
                    field, f"{place} must not have {_quote(reserved_name)}: names like it are the service's own"
                )
        _check_names(value, place, field)


# -------------------------------------------------------------------------------------------------------- syntax


def _parse_manifest(text: str, field: str) -> Any:
    """The text as plain JSON."""
    if len(text.encode(errors="replace")) > MOST_OCTETS:
        raise _invalid(field, f"it has more than {MOST_OCTETS} octets")
    try:
        document = _load_text(text)
    except _UnsupportedYaml as error:
        raise _invalid(field, str(error)) from error
    except yaml.YAMLError as error:
        raise _invalid(field, f"it is not YAML: {_describe_yaml_error(error)}") from error
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        # A value that is not of the type of its tag (`!!bool x`) is one of these, by the type.
        raise _invalid(field, "it is neither JSON nor plain YAML") from error
    if (reason := next(_list_non_json(document), None)) is not None:
        raise _invalid(field, reason)
    return document


class _UnsupportedYaml(Exception):
    """Valid YAML that is not supported."""


def _load_text(text: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            # YAML's flow mappings look much like JSON.
            pass
    _check_events(text)
    return yaml.load(text, Loader=_Loader)  # noqa: S506  # nosec B506  (a safe loader, made safer)


def _check_events(text: str) -> None:
    """Parse the text without building objects, so that a small text cannot become a large object."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_BASE):
        if isinstance(event, yaml.AliasEvent):
            raise _UnsupportedYaml("it refers to a part of itself (an alias), which is not supported")
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            raise _UnsupportedYaml("it holds more than one document, but only one is accepted")
        if depth > _MOST_DEPTH:
            raise _UnsupportedYaml("it is nested too deeply")


def _list_non_json(value: Any, depth: int = 0) -> Iterator[str]:
    """Describe each part of the value that JSON does not have."""
    if depth > _MOST_DEPTH:
        yield "it is nested too deeply"
    elif isinstance(value, dict):
        yield from (f"a key has to be a string, and {_quote(key)} is not" for key in value if not isinstance(key, str))
        for member in (*value, *value.values()):
            yield from _list_non_json(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            yield from _list_non_json(member, depth + 1)
    elif (reason := _describe_non_json(value)) is not None:
        yield reason


def _describe_non_json(value: Any) -> str | None:
    """Describe a scalar that JSON does not have; None for any other."""
    match value:
        case None | bool():
            return None
        case str():
            odd = "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)
            return "it holds a character that is not allowed" if odd else None
        case int():
            return "it holds a number that is too large" if abs(value) >= _LARGEST else None
        case float():
            return None if math.isfinite(value) else "it holds a number that is not finite"
    return f"it holds a value that JSON does not support: {_quote(value)}"


def _describe_yaml_error(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    message = str(problem or getattr(error, "reason", None) or "it cannot be read")
    return message if mark is None else f"{message} in line {mark.line + 1}"


def _quote(value: Any) -> str:
    return "missing" if value is None else f"'{str(value)[:80]}'"


def _invalid(field: str, reason: str) -> Invalid:
    return Invalid(f"Invalid input for field '{field}': {reason}.", field=field)
