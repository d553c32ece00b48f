"""The checks of single fields of a capsule's template (contract: section 4). Neighbour: `capsule_fields`, the tables.

Names are those of the published template and, where it has none, of Kubernetes' pods.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from jeroboam.api.container import field_checks as checks
from jeroboam.api.fields import (
    FieldCheck,
    InvalidField,
    Schema,
    body_of,
    choice,
    integer,
    list_of,
    object_of,
    strict_flag,
    text,
)
from jeroboam.api.options import ContainerBounds
from jeroboam.domain.capsules import HttpGet, Probe

_MILLI_CORES = re.compile(r"[0-9]{1,9}m", re.ASCII)
_OCTETS = re.compile(r"([0-9]{1,12})(Ki|Mi|Gi|K|M|G)", re.ASCII)
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "K": 10**3, "M": 10**6, "G": 10**9}
_MIB = 1 << 20
_LONGEST_TIME = 365 * 24 * 3600
_HIDDEN = "(not shown)"

VOLUME_NAME = text(
    high=63, pattern=r"\A[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z", rule="it has to be small letters, digits and - within."
)
HOSTNAME = text(
    high=63,
    pattern=r"\A[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\Z",
    rule="it has to be letters, digits and - within.",
)
SECONDS = integer(low=0, high=_LONGEST_TIME)
SOME_SECONDS = integer(low=1, high=_LONGEST_TIME)


def refuse_all(reason: str) -> FieldCheck:
    """A field that is not carried out: only a value that asks for nothing is accepted."""

    def run(name: str, value: Any) -> None:
        if value not in (None, False, "", [], {}):
            raise InvalidField(name, type(value).__name__, f"it cannot be carried out: {reason}.")

    return FieldCheck(run, {"enum": [None, False, "", [], {}]})


def cpu_quantity(bounds: ContainerBounds) -> FieldCheck:
    """Cores, also in thousandths: `500m`."""
    number = checks.cpu(bounds)

    def run(name: str, value: Any) -> Any:
        if isinstance(value, str) and _MILLI_CORES.fullmatch(value):
            return number(name, int(value[:-1]) / 1000)
        return number(name, value)

    return FieldCheck(run, {"anyOf": [number.schema, {"type": "string", "pattern": f"^{_MILLI_CORES.pattern}$"}]})


def memory_quantity(bounds: ContainerBounds) -> FieldCheck:
    """MiB, also with a unit: `64Mi`, `1Gi`."""
    number = checks.digits(bounds.minimum_memory, bounds.maximum_memory)

    def run(name: str, value: Any) -> Any:
        match = _OCTETS.fullmatch(value) if isinstance(value, str) else None
        return number(name, value if match is None else math.ceil(int(match[1]) * _UNITS[match[2]] / _MIB))

    return FieldCheck(run, {"anyOf": [number.schema, {"type": "string", "pattern": f"^{_OCTETS.pattern}$"}]})


def resources(bounds: ContainerBounds) -> FieldCheck:
    """What a container may use: limits, or what it requests where there is no limit."""
    amounts = object_of({"cpu": cpu_quantity(bounds), "memory": memory_quantity(bounds)})
    shape = object_of({"requests": amounts, "limits": amounts})

    def run(name: str, value: Any) -> dict[str, Any]:
        parts = shape(name, value)
        requests, limits = parts.get("requests", {}), parts.get("limits", {})
        for key in requests.keys() & limits.keys():
            if requests[key] > limits[key]:
                raise InvalidField(f"{name}/requests/{key}", requests[key], f"its limit is {limits[key]:g}.")
        return {**requests, **limits}

    return FieldCheck(run, shape.schema)


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretReference:
    """A variable whose value is a part of a secret of the template."""

    name: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Variables:
    """The environment of a container: plain values, and references to secrets."""

    plain: dict[str, str]
    secrets: dict[str, SecretReference]


_KEY_OF_SECRET = object_of({"name": VOLUME_NAME, "key": text(high=253)}, "name", "key")
_VALUE_FROM = object_of({"secretKeyRef": _KEY_OF_SECRET}, "secretKeyRef")
_FROM_SECRET = object_of({"valueFrom": _VALUE_FROM}, "valueFrom")
_VARIABLE = object_of({"name": text(), "value": text(low=0, high=1 << 17), "valueFrom": _VALUE_FROM}, "name")


def _read_env(name: str, value: Any) -> Variables:
    members = _list_variables(name, value) if isinstance(value, list) else value
    if not isinstance(members, dict):
        raise InvalidField(name, type(value).__name__, "it has to be an object, or a list of name and value.")
    plain, references = {}, {}
    for variable, content in members.items():
        if isinstance(content, dict):
            found = _FROM_SECRET(f"{name}/{variable}", content)["valueFrom"]["secretKeyRef"]
            references[variable] = SecretReference(name=found["name"], key=found["key"])
        else:
            plain[variable] = content
    # Names of both are checked together; the values of secrets are not here yet.
    checks.ENVIRONMENT(name, {**plain, **dict.fromkeys(references, "")})
    return Variables(plain=plain, secrets=references)


def _list_variables(name: str, value: list[Any]) -> dict[str, Any]:
    variables: dict[str, Any] = {}
    for number, member in enumerate(value):
        variable = _VARIABLE(f"{name}/{number}", member)
        if "value" in variable and "valueFrom" in variable:
            raise InvalidField(f"{name}/{number}/value", _HIDDEN, "it cannot be used together with valueFrom.")
        if variable["name"] in variables:
            raise InvalidField(f"{name}/{number}/name", variable["name"], "the list has it twice.")
        is_secret = "valueFrom" in variable
        content = {"valueFrom": member["valueFrom"]} if is_secret else variable.get("value", "")
        variables[variable["name"]] = content
    return variables


ENV = FieldCheck(
    _read_env,
    {
        "anyOf": [
            {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, _FROM_SECRET.schema]}},
            {"type": "array", "items": _VARIABLE.schema},
        ]
    },
)


def _read_secret_data(name: str, value: Any) -> dict[str, str]:
    """Texts by key. No refusal shows one."""
    if not isinstance(value, dict) or not all(
        isinstance(member, str) and "\0" not in member for member in value.values()
    ):
        raise InvalidField(name, _HIDDEN, "it has to be an object of strings.")
    return dict(value)


_TEXTS = FieldCheck(_read_secret_data, {"type": "object", "additionalProperties": {"type": "string"}})
SECRETS = list_of(object_of({"name": VOLUME_NAME, "stringData": _TEXTS}, "name", "stringData"))

PORTS = list_of(
    object_of(
        {
            "containerPort": integer(low=1, high=65535),
            "hostPort": integer(low=0, high=65535),
            "name": text(high=63),
            "protocol": choice("TCP", "UDP"),
        },
        "containerPort",
    )
)
_PATH = text(
    high=4095,
    pattern=r"\A/(?!.*/\.\.?(/|\Z)).*[^/]\Z",
    rule="it has to be the absolute path of a folder, without . and ..",
)
VOLUME_MOUNTS = list_of(
    object_of({"name": VOLUME_NAME, "mountPath": _PATH, "readOnly": strict_flag}, "name", "mountPath")
)

_CINDER = object_of(
    {
        "volumeID": text(low=36, high=36),
        "size": integer(low=1),
        "autoRemove": strict_flag,
    }
)
NO_CINDER = "volumes of Cinder cannot be mounted yet: only emptyDir"


def _read_cinder(name: str, value: Any) -> None:
    """Refuse a volume of Cinder, a wrong one by what is wrong with it. Volumes come in here once there are some."""
    volume = _CINDER(name, value)
    if ("volumeID" in volume) == ("size" in volume):
        raise InvalidField(name, sorted(volume), "it has to name either volumeID or size.")
    raise InvalidField(name, sorted(volume), f"{NO_CINDER}.")


_EMPTY_DIR = object_of(
    {
        "medium": refuse_all("the folder is on the disk of the host"),
        "sizeLimit": refuse_all("nothing limits the size of a folder"),
    }
)
VOLUMES = list_of(
    object_of({"name": VOLUME_NAME, "emptyDir": _EMPTY_DIR, "cinder": FieldCheck(_read_cinder, _CINDER.schema)}, "name")
)

_PORT: Schema = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "maxLength": 63}]}


def _read_port(name: str, value: Any) -> int | str:
    if isinstance(value, str) and not value.isdigit():
        return str(text(high=63)(name, value))
    return int(integer(low=1, high=65535)(name, value))


PORT = FieldCheck(_read_port, _PORT)
_HEADER_NAME = text(high=128, pattern=r"\A[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z", rule="it has to be a name of a header.")
_HEADER_VALUE = text(low=0, high=1024, pattern=r"\A[\x20-\x7e]*\Z", rule="it has to be of printable ASCII characters.")
_HTTP_PATH = text(
    high=2048, pattern=r"\A/[\x21-\x7e]*\Z", rule="it has to begin with a slash, without spaces: %20 stands for one."
)
_OWN_ADDRESS = refuse_all("a probe goes to the capsule's own address")
_HTTP_GET = object_of(
    {
        "path": _HTTP_PATH,
        "port": PORT,
        "scheme": choice("HTTP", "HTTPS"),
        "host": _OWN_ADDRESS,
        "httpHeaders": list_of(object_of({"name": _HEADER_NAME, "value": _HEADER_VALUE}, "name", "value"), high=16),
    },
    "port",
)
_NO_COMMAND = text(low=1, high=65536)
_HANDLERS = {
    "exec": object_of({"command": list_of(_NO_COMMAND, low=1, high=256)}, "command"),
    "httpGet": _HTTP_GET,
    "tcpSocket": object_of({"port": PORT, "host": _OWN_ADDRESS}, "port"),
}
_TIMES = {
    "initialDelaySeconds": integer(low=0, high=_LONGEST_TIME),
    "periodSeconds": SOME_SECONDS,
    "timeoutSeconds": SOME_SECONDS,
    "successThreshold": integer(low=1, high=1000),
    "failureThreshold": integer(low=1, high=1000),
}
_PROBE = {
    **_HANDLERS,
    **_TIMES,
    "grpc": refuse_all("probes are exec, httpGet and tcpSocket"),
    "terminationGracePeriodSeconds": refuse_all("the capsule's holds for all"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeValues:
    """A probe before the names of its ports are known."""

    handler: str
    values: dict[str, Any]
    times: dict[str, int]

    def build(self, name: str, ports: dict[str, int]) -> Probe:
        """Return the probe. Raises `InvalidField` for a port that no container of the capsule calls so."""
        times: dict[str, Any] = {_snake(key): value for key, value in self.times.items()}
        if self.handler == "exec":
            return Probe(command=self.values["command"], **times)
        port = self.values["port"]
        if isinstance(port, str):
            if port not in ports:
                rule = f"the ports of this container have the names: {', '.join(sorted(ports)) or 'none'}."
                raise InvalidField(f"{name}/{self.handler}/port", port, rule)
            port = ports[port]
        if self.handler == "tcpSocket":
            return Probe(tcp_port=port, **times)
        headers = {header["name"]: header["value"] for header in self.values.get("httpHeaders", ())}
        target = {key: self.values[key] for key in ("path", "scheme") if key in self.values}
        return Probe(http_get=HttpGet(port=port, headers=headers, **target), **times)


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def probe(*, once: bool) -> FieldCheck:
    """A probe. With `once` its first success counts, as Kubernetes wants it of all but readiness probes."""
    shape = object_of(_PROBE)

    def run(name: str, value: Any) -> ProbeValues:
        values = shape(name, value)
        handlers = [key for key in _HANDLERS if key in values]
        if len(handlers) != 1:
            raise InvalidField(name, handlers, f"it has to have one of: {', '.join(_HANDLERS)}.")
        times = {key: values[key] for key in _TIMES if key in values}
        if once and times.get("successThreshold", 1) != 1:
            raise InvalidField(f"{name}/successThreshold", times["successThreshold"], "it has to be 1 here.")
        return ProbeValues(handler=handlers[0], values=values[handlers[0]], times=times)

    return FieldCheck(run, {**body_of(_PROBE), "minProperties": 1})
