"""The checks of single fields of a container (contract: section 2). Neighbour: `fields`, the table that uses them."""

import base64
import re
import shlex
from typing import Any

from jeroboam.api.container.fitting import LABEL_HINT
from jeroboam.api.fields import (
    LARGEST,
    FieldCheck,
    InvalidField,
    Schema,
    body_of,
    choice,
    integer,
    mapping,
    optional,
    strings,
    text,
    without_reserved,
)
from jeroboam.api.options import ContainerBounds
from jeroboam.domain.containers import BIND, RESTARTING, HealthCheck, RestartPolicy
from jeroboam.domain.images import is_reference

_CPU = re.compile(r"[0-9]{0,9}(\.[0-9]{1,9})?", re.ASCII)
_PROTOCOLS = frozenset({"tcp", "udp"})
_PORT_MOST = 65535
_LONGEST_PATH, _LONGEST_NAME = 4095, 255
_KERNELS_OWN = frozenset({"proc", "sys", "dev"})
_NET_KEYS = frozenset({"network", "port", "v4-fixed-ip", "v6-fixed-ip"})
_MOUNT_KEYS = frozenset({"type", "source", "size", "destination", "read_only"})

NAME = text(
    low=2,
    pattern=r"\A[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z",
    rule="it has to be letters, digits and _.- with a letter or a digit first.",
)


def cpu(bounds: ContainerBounds) -> FieldCheck:
    """A number of cores, as a number or a string."""

    def run(name: str, value: Any) -> float:
        raw = str(value)
        if isinstance(value, bool) or not isinstance(value, int | float | str) or not raw or not _CPU.fullmatch(raw):
            raise InvalidField(name, value, "it has to be a number of cores, with at most 9 digits behind the point.")
        cores = float(raw)
        if not bounds.minimum_cpu <= cores <= bounds.maximum_cpu:
            raise InvalidField(
                name, value, f"it has to be from {bounds.minimum_cpu:.15g} to {bounds.maximum_cpu:.15g}."
            )
        return cores

    return FieldCheck(
        run, {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^{_CPU.pattern}$"}]}
    )


def digits(low: int, high: int) -> FieldCheck:
    """An integer, or a string of its digits."""
    return integer(low=low, high=high)


def split_command(name: str, line: str) -> tuple[str, ...]:
    """The words of a command line. Raises `InvalidField` if it cannot be split."""
    try:
        return tuple(shlex.split(line))
    except ValueError as error:
        raise InvalidField(name, line, f"it cannot be split into words: {error}.") from error


def _command(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, str):
        raise InvalidField(name, value, "it has to be a string.")
    return split_command(name, value)


COMMAND = FieldCheck(_command, {"type": "string"})
"""A command line."""


_POLICY_NAME = choice("no", "always", "on-failure", "unless-stopped")
_RETRIES = digits(0, LARGEST)


WORDS = strings(low=0, high=65536)


def _restart_policy(name: str, value: Any) -> RestartPolicy:
    if not isinstance(value, dict) or set(value) - {"Name", "MaximumRetryCount"}:
        raise InvalidField(name, value, "it has to be an object with Name and MaximumRetryCount.")
    word = _POLICY_NAME(f"{name}/Name", value.get("Name"))
    raw_count = value.get("MaximumRetryCount")
    count = 0 if raw_count is None else _RETRIES(f"{name}/MaximumRetryCount", raw_count)
    if count and word in RESTARTING:
        raise InvalidField(f"{name}/MaximumRetryCount", raw_count, f"it has to be 0 with {word}.")
    return RestartPolicy(name=word, maximum_retry_count=0 if word == "no" else count)


RESTART_POLICY = FieldCheck(
    _restart_policy,
    body_of({"Name": _POLICY_NAME, "MaximumRetryCount": optional(_RETRIES)}, "Name"),
)


_TEST = text(high=4096)
_TIME = optional(integer(low=0))


def _healthcheck(name: str, value: Any) -> HealthCheck:
    if not isinstance(value, dict) or set(value) - {"cmd", "interval", "retries", "timeout"}:
        raise InvalidField(name, value, "it has to be an object with cmd, interval, retries and timeout.")
    test = _TEST(f"{name}/cmd", value.get("cmd"))
    times = {key: _TIME(f"{name}/{key}", value.get(key)) for key in ("interval", "retries", "timeout")}
    return HealthCheck(test=test, **times)


HEALTHCHECK = FieldCheck(
    _healthcheck, body_of({"cmd": _TEST, "interval": _TIME, "retries": _TIME, "timeout": _TIME}, "cmd")
)


def _exposed_ports(name: str, value: Any) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict):
        raise InvalidField(name, value, 'it has to be an object like {"80/tcp": {}}.')
    ports: dict[str, dict[str, str]] = {}
    for key, member in value.items():
        port, _, protocol = key.partition("/")
        good = port.isascii() and port.isdigit() and len(port) <= len(str(_PORT_MOST)) and 0 < int(port) <= _PORT_MOST
        if not good or (protocol or "tcp") not in _PROTOCOLS or member:
            raise InvalidField(f"{name}/{key}", member, "it has to be a port, optionally with /tcp or /udp.")
        ports[f"{int(port)}/{protocol or 'tcp'}"] = {}
    return ports


EXPOSED_PORTS = FieldCheck(
    _exposed_ports, {"type": "object", "propertyNames": {"pattern": "^[0-9]{1,5}(/(tcp|udp)?)?$"}}
)


def _objects(name: str, value: Any, keys: frozenset[str]) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list):
        raise InvalidField(name, value, "it has to be a list of objects.")
    for member in value:
        if not isinstance(member, dict) or set(member) - keys:
            # A value may be a file's content.
            shown = sorted(map(str, member)) if isinstance(member, dict) else member
            raise InvalidField(name, shown, f"each has to be an object of: {', '.join(sorted(keys))}.")
    scalars = mapping(scalars=True)
    return tuple(scalars(name, {key: item for key, item in member.items() if item is not None}) for member in value)


def _list_of(keys: frozenset[str]) -> Schema:
    member = {"type": ["string", "number", "boolean", "null"]}
    shape = {"type": "object", "properties": dict.fromkeys(sorted(keys), member), "additionalProperties": False}
    return {"type": "array", "items": shape}


def _nets(name: str, value: Any) -> tuple[dict[str, str], ...]:
    networks = _objects(name, value, _NET_KEYS)
    for member in networks:
        if ("network" in member) == ("port" in member):
            raise InvalidField(name, member, "each has to name either a network or a port.")
    return networks


NETS = FieldCheck(_nets, _list_of(_NET_KEYS))


def _mounts(name: str, value: Any) -> tuple[dict[str, str], ...]:
    mounts = _objects(name, value, _MOUNT_KEYS)
    for member in mounts:
        choice("volume", "bind")(f"{name}/type", member.setdefault("type", "volume"))
        if not member.get("destination") or not (member.get("source") or member.get("size")):
            raise InvalidField(name, member, "each needs a destination, and a source or a size.")
        if "size" in member:
            integer(low=1)(f"{name}/size", member["size"])
        if member["type"] == BIND:
            _check_file(name, member)
        else:
            _check_volume(name, member)
    _check_apart(name, [member["destination"] for member in mounts])
    return mounts


def _check_apart(name: str, paths: list[str]) -> None:
    """Raise `InvalidField` where one file would be a folder of another, or is there twice."""
    files = set(paths)
    for path in paths:
        folders = (path[:end] for end, letter in enumerate(path) if letter == "/" and end)
        parent = next((folder for folder in folders if folder in files), None)
        if parent is not None or paths.count(path) > 1:
            raise InvalidField(f"{name}/destination", path, f"{parent or path} is a file of its own.")


def _check_volume(name: str, member: dict[str, str]) -> None:
    """Raise `InvalidField` for a mount that is no volume in a folder of its own."""
    if "source" in member and "size" in member:
        raise InvalidField(f"{name}/size", member["size"], "a volume that exists has its size already.")
    member["destination"] = path = member["destination"].rstrip("/")
    if not path:
        raise InvalidField(f"{name}/destination", "/", "a volume has a folder of its own.")
    check_path(name, path)
    if member.setdefault("read_only", "False") not in {"True", "False"}:
        raise InvalidField(f"{name}/read_only", member["read_only"], "it has to be true or false.")


def check_path(name: str, path: str) -> None:
    """Raise `InvalidField` for what cannot be the path of a mount."""
    parts = path.split("/")
    if not path.startswith("/") or path.endswith("/") or not {"", ".", ".."}.isdisjoint(parts[1:]):
        raise InvalidField(f"{name}/destination", path, "it has to be an absolute path.")
    if len(path.encode()) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        limits = f"{_LONGEST_PATH} bytes, and each of its names {_LONGEST_NAME}"
        raise InvalidField(f"{name}/destination", path[:80], f"it may have at most {limits}.")
    if not path.isprintable() or parts[1] in _KERNELS_OWN:
        raise InvalidField(f"{name}/destination", path, "nothing can be mounted there.")


def _check_file(name: str, member: dict[str, str]) -> None:
    """Raise `InvalidField` for a mount that is no file with its content in base64."""
    path = member["destination"]
    check_path(name, path)
    try:
        base64.b64decode(member.get("source", ""), validate=True)
    except ValueError as error:
        raise InvalidField(f"{name}/source", "(not shown)", "it has to be the file's content in base64.") from error
    if "source" not in member or "size" in member or "read_only" in member:
        raise InvalidField(name, path, "a file has its content as source, no size, and is not read-only.")


MOUNTS = FieldCheck(_mounts, _list_of(_MOUNT_KEYS))


def _hints(name: str, value: Any) -> dict[str, str]:
    hints: dict[str, str] = without_reserved(mapping())(name, value)
    for key, label_value in hints.items():
        if not key.startswith(LABEL_HINT) or key == LABEL_HINT:
            raise InvalidField(f"{name}/{key}", label_value, f"a hint is {LABEL_HINT}KEY, a label of a host's Engine.")
    return hints


HINTS = FieldCheck(
    _hints,
    {
        "type": "object",
        "propertyNames": {"pattern": f"^{LABEL_HINT}.+$"},
        "additionalProperties": {"type": "string"},
    },
)


def _labels(name: str, value: Any) -> dict[str, str]:
    labels: dict[str, str] = without_reserved(mapping())(name, value)
    for key, word in labels.items():
        if not word.isprintable():
            reason = "it must not contain a line break or another control character: labels are shown on terminals."
            raise InvalidField(f"{name}/{key}", repr(word), reason)
    return labels


LABELS = FieldCheck(_labels, mapping().schema)


def _environment(name: str, value: Any) -> dict[str, str]:
    variables: dict[str, str] = mapping()(name, value)
    for variable in variables:
        if "=" in variable:
            raise InvalidField(f"{name}/{variable}", variable, "the name of a variable must not hold '='.")
    return variables


ENVIRONMENT = FieldCheck(
    _environment, dict(mapping().schema) | {"propertyNames": {"minLength": 1, "pattern": "^[^=]+$"}}
)
_IMAGE_TEXT = text(low=2, pattern=r"[a-zA-Z0-9][a-zA-Z0-9_.-]", rule="it has to name an image.")


def _image(name: str, value: Any) -> str:
    reference: str = _IMAGE_TEXT(name, value)
    if not is_reference(reference):
        raise InvalidField(name, value, "it has to be a reference such as registry.example.org/team/app:1.2, or an id.")
    return reference


IMAGE = FieldCheck(_image, _IMAGE_TEXT.schema)


def _image_driver(name: str, value: Any) -> str | None:
    if isinstance(value, str) and value in {"None", ""}:
        return None
    driver = choice("docker", "glance")(name, value)
    if driver != "docker":
        raise InvalidField(name, value, "this service has: docker.")
    return str(driver)


IMAGE_DRIVER = FieldCheck(_image_driver, {"enum": ["docker", "glance", "None", ""]})
