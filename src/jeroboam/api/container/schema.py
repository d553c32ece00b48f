"""The body of a create, as a table of fields, their checks and the versions that have them (contract: section 2)."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from jeroboam.api.call import NEWEST, Call
from jeroboam.api.container.fitting import LABEL_HINT
from jeroboam.api.container.refusals import NeedsNewerVersion, SchemaError
from jeroboam.api.fields import (
    LARGEST,
    FieldCheck,
    InvalidField,
    Schema,
    body_of,
    choice,
    flag,
    mapping,
    optional,
    read,
    strict_flag,
    strings,
    text,
    unreserved,
    whole,
)
from jeroboam.api.options import ContainerBounds
from jeroboam.domain.containers import ContainerSpec, HealthCheck, RestartPolicy
from jeroboam.domain.errors import Invalid
from jeroboam.domain.images import is_reference

_CPU = re.compile(r"[0-9]{0,9}(\.[0-9]{1,9})?", re.ASCII)
_RESTARTING = ("always", "unless-stopped")
_PROTOCOLS = frozenset({"tcp", "udp"})
_PORT_MOST = 65535
_NET_KEYS = frozenset({"network", "port", "v4-fixed-ip", "v6-fixed-ip"})
_MOUNT_KEYS = frozenset({"type", "source", "size", "destination"})

# The first versions whose schema has the field …
_SCHEMA_SINCE = {"tty": 36, "host": 39, "entrypoint": 40}
# … and those that may use a field of the schema.
_USABLE_SINCE = {
    "auto_remove": 3,
    "runtime": 5,
    "hostname": 9,
    "mounts": 11,
    "privileged": 21,
    "healthcheck": 22,
    "exposed_ports": 24,
    "registry": 31,
}
COMMAND_LIST = 20
TTY_OF_ITS_OWN = 36
UNBOUNDED = ContainerBounds(
    default_cpu=0,
    default_memory=0,
    minimum_cpu=0,
    maximum_cpu=LARGEST,
    minimum_memory=0,
    maximum_memory=LARGEST,
    maximum_disk=LARGEST,
)
"""For schemas: without the bounds that an operator may set."""

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
            raise InvalidField(name, value, f"it has to be from {bounds.minimum_cpu} to {bounds.maximum_cpu}.")
        return cores

    return FieldCheck(
        run, {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^{_CPU.pattern}$"}]}
    )


def digits(low: int, high: int) -> FieldCheck:
    """An integer, or a string of its digits."""
    return whole(low=low, high=high)


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


_WORDS = strings(low=0, high=65536)


def _restart_policy(name: str, value: Any) -> RestartPolicy:
    if not isinstance(value, dict) or set(value) - {"Name", "MaximumRetryCount"}:
        raise InvalidField(name, value, "it has to be an object with Name and MaximumRetryCount.")
    word = _POLICY_NAME(f"{name}/Name", value.get("Name"))
    raw_count = value.get("MaximumRetryCount")
    count = 0 if raw_count is None else _RETRIES(f"{name}/MaximumRetryCount", raw_count)
    if count and word in _RESTARTING:
        raise InvalidField(f"{name}/MaximumRetryCount", raw_count, f"it has to be 0 with {word}.")
    return RestartPolicy(name=word, maximum_retry_count=0 if word == "no" else count)


_RESTART_POLICY = FieldCheck(
    _restart_policy,
    body_of({"Name": _POLICY_NAME, "MaximumRetryCount": optional(_RETRIES)}, "Name"),
)


_TEST = text(high=4096)
_TIME = optional(whole(low=0))


def _healthcheck(name: str, value: Any) -> HealthCheck:
    if not isinstance(value, dict) or set(value) - {"cmd", "interval", "retries", "timeout"}:
        raise InvalidField(name, value, "it has to be an object with cmd, interval, retries and timeout.")
    test = _TEST(f"{name}/cmd", value.get("cmd"))
    times = {key: _TIME(f"{name}/{key}", value.get(key)) for key in ("interval", "retries", "timeout")}
    return HealthCheck(test=test, **times)


_HEALTHCHECK = FieldCheck(
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


_EXPOSED_PORTS = FieldCheck(
    _exposed_ports, {"type": "object", "propertyNames": {"pattern": "^[0-9]{1,5}(/(tcp|udp)?)?$"}}
)


def _objects(name: str, value: Any, keys: frozenset[str]) -> tuple[dict[str, str], ...]:
    if not isinstance(value, list):
        raise InvalidField(name, value, "it has to be a list of objects.")
    for member in value:
        if not isinstance(member, dict) or set(member) - keys:
            raise InvalidField(name, member, f"each has to be an object of: {', '.join(sorted(keys))}.")
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


_NETS = FieldCheck(_nets, _list_of(_NET_KEYS))


def _mounts(name: str, value: Any) -> tuple[dict[str, str], ...]:
    mounts = _objects(name, value, _MOUNT_KEYS)
    for member in mounts:
        choice("volume", "bind")(f"{name}/type", member.setdefault("type", "volume"))
        if not member.get("destination") or not (member.get("source") or member.get("size")):
            raise InvalidField(name, member, "each needs a destination, and a source or a size.")
        if "size" in member:
            whole(low=1)(f"{name}/size", member["size"])
    return mounts


_MOUNTS = FieldCheck(_mounts, _list_of(_MOUNT_KEYS))


def _hints(name: str, value: Any) -> dict[str, str]:
    hints: dict[str, str] = unreserved(mapping())(name, value)
    for key, label_value in hints.items():
        if not key.startswith(LABEL_HINT) or key == LABEL_HINT:
            raise InvalidField(f"{name}/{key}", label_value, f"a hint is {LABEL_HINT}KEY, a label of a host's Engine.")
    return hints


_HINTS = FieldCheck(
    _hints,
    {
        "type": "object",
        "propertyNames": {"pattern": f"^{LABEL_HINT}.+$"},
        "additionalProperties": {"type": "string"},
    },
)


def _labels(name: str, value: Any) -> dict[str, str]:
    labels: dict[str, str] = unreserved(mapping())(name, value)
    for key, word in labels.items():
        if not word.isprintable():
            reason = "it has to hold no line break or other control character: labels are shown on terminals."
            raise InvalidField(f"{name}/{key}", repr(word), reason)
    return labels


_LABELS = FieldCheck(_labels, mapping().schema)


def _environment(name: str, value: Any) -> dict[str, str]:
    variables: dict[str, str] = mapping()(name, value)
    for variable in variables:
        if "=" in variable:
            raise InvalidField(f"{name}/{variable}", variable, "the name of a variable must not hold '='.")
    return variables


_ENVIRONMENT = FieldCheck(
    _environment, dict(mapping().schema) | {"propertyNames": {"minLength": 1, "pattern": "^[^=]+$"}}
)
_IMAGE_TEXT = text(low=2, pattern=r"[a-zA-Z0-9][a-zA-Z0-9_.-]", rule="it has to name an image.")


def _image(name: str, value: Any) -> str:
    reference: str = _IMAGE_TEXT(name, value)
    if not is_reference(reference):
        raise InvalidField(name, value, "it has to be a reference such as registry.example.org/team/app:1.2, or an id.")
    return reference


_IMAGE = FieldCheck(_image, _IMAGE_TEXT.schema)


def _image_driver(name: str, value: Any) -> str | None:
    if isinstance(value, str) and value in {"None", ""}:
        return None
    driver = choice("docker", "glance")(name, value)
    if driver != "docker":
        raise InvalidField(name, value, "this service has: docker.")
    return str(driver)


_IMAGE_DRIVER = FieldCheck(_image_driver, {"enum": ["docker", "glance", "None", ""]})


def create_table(bounds: ContainerBounds, version: int) -> dict[str, FieldCheck]:
    """The fields of a create at that version. Fields of later schemas are left out."""
    words = optional(_WORDS)
    table: dict[str, FieldCheck] = {
        "name": optional(NAME),
        "image": _IMAGE,
        "command": words if version >= COMMAND_LIST else optional(COMMAND),
        "entrypoint": words,
        "cpu": optional(cpu(bounds)),
        "cpu_policy": optional(choice("dedicated", "shared")),
        "memory": optional(digits(bounds.minimum_memory, bounds.maximum_memory)),
        "disk": optional(digits(1, bounds.maximum_disk)),
        "workdir": optional(text(low=0, pattern=r"\A(/|\Z)", rule="it has to be an absolute path.")),
        "auto_remove": optional(strict_flag),
        "image_pull_policy": optional(choice("never", "always", "ifnotpresent", "Never", "Always", "IfNotPresent")),
        "image_driver": optional(_IMAGE_DRIVER),
        "labels": optional(_LABELS),
        "hints": optional(_HINTS),
        "environment": optional(_ENVIRONMENT),
        "restart_policy": optional(_RESTART_POLICY),
        "interactive": optional(flag),
        "tty": optional(flag),
        "security_groups": optional(strings()),
        "exposed_ports": optional(_EXPOSED_PORTS),
        "nets": optional(_NETS),
        "mounts": optional(_MOUNTS),
        "runtime": optional(text()),
        "hostname": optional(
            text(pattern=r"\A[a-zA-Z0-9._-]*\Z", high=63, rule="it has to be letters, digits and ._- only.")
        ),
        "availability_zone": optional(text()),
        "auto_heal": optional(flag),
        "privileged": optional(flag),
        "healthcheck": optional(_HEALTHCHECK),
        "registry": optional(text(low=2)),
        "host": optional(text()),
    }
    return {name: check for name, check in table.items() if version >= _SCHEMA_SINCE.get(name, 1)}


def create_schema() -> Schema:
    """The schema of a create at the newest version. A command may also be a string, as in older versions."""
    table = create_table(UNBOUNDED, NEWEST)
    command = {"anyOf": [table["command"].schema, COMMAND.schema]}
    return body_of(table | {"command": FieldCheck(_command, command)}, "image")


def read_create(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    """The checked fields of a create. A null counts as absent."""
    table = create_table(call.parts.options.container_bounds, call.version)
    refuse_unknown(body, table)
    if body.get("image") is None:
        raise SchemaError("'image' is a required property.", field="image")
    for name, since in _USABLE_SINCE.items():
        if name in body and call.version < since:
            raise NeedsNewerVersion(name, call.version, since)
    return {name: value for name, value in read(body, table).items() if value is not None}


def refuse_unknown(body: Mapping[str, Any], table: Mapping[str, FieldCheck]) -> None:
    """Raise for a key that the schema does not have."""
    for name in body:
        if name not in table:
            text = f"Additional properties are not allowed ('{name[:80]}' was unexpected)."
            raise SchemaError(text, field=name)


def spec_of(wish: Mapping[str, Any], bounds: ContainerBounds, version: int) -> ContainerSpec:
    """The spec with the checked fields."""
    plain_fields = {name: wish[name] for name in _PLAIN_FIELDS if name in wish}
    policy = wish.get("image_pull_policy")
    groups = tuple(dict.fromkeys(wish.get("security_groups", ())))
    if groups and wish.get("exposed_ports"):
        raise Invalid("security_groups and exposed_ports cannot be used together.", field="exposed_ports")
    policy_name = wish["restart_policy"].name if "restart_policy" in wish else "no"
    if wish.get("auto_remove") and policy_name in _RESTARTING:
        reason = f"restart_policy {policy_name} starts the container again, so that its end never comes."
        raise InvalidField("auto_remove", wish["auto_remove"], reason)
    interactive = wish.get("interactive", False)
    return ContainerSpec(
        **plain_fields,
        cpu=wish.get("cpu", bounds.default_cpu),
        memory=wish.get("memory", bounds.default_memory),
        image_pull_policy=None if policy is None else policy.lower(),
        security_groups=groups,
        interactive=interactive,
        tty=wish.get("tty", False) if version >= TTY_OF_ITS_OWN else interactive,
    )


_PLAIN_FIELDS = (
    "image command entrypoint cpu_policy disk workdir auto_remove image_driver labels hints environment "
    "restart_policy exposed_ports nets mounts runtime hostname availability_zone auto_heal privileged healthcheck host"
).split()
