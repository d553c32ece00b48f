"""The fields of a container, in one table: what a create takes, from which version on, what is shown and to whom.

Checks, the OpenAPI schemas, the view, the filters of lists and the table in the docs follow from it. A new field takes
an attribute of `ContainerSpec` and a row here. Neighbours: `field_checks`, `views`, `containers` (contract: section 2).
"""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from jeroboam.api.call import NEWEST, Call
from jeroboam.api.container import field_checks as checks
from jeroboam.api.container.field_row import ADDED_SINCE, ContainerField
from jeroboam.api.container.process_fields import PROCESS_FIELDS
from jeroboam.api.container.refusals import NeedsNewerVersion, SchemaError
from jeroboam.api.container.shapes import AddressShape, HealthCheckShape, RestartPolicyShape
from jeroboam.api.container.views import show_addresses, show_healthcheck, show_restart_policy, stamp, status_detail
from jeroboam.api.field_table import build_shape, compile_view
from jeroboam.api.fields import (
    LARGEST,
    FieldCheck,
    InvalidField,
    Schema,
    body_of,
    choice,
    flag,
    optional,
    read_fields,
    strict_flag,
    strings,
    text,
)
from jeroboam.api.options import ContainerBounds
from jeroboam.api.shapes import Link, NextPage, Uuid
from jeroboam.api.wire import links
from jeroboam.domain.containers import DEDICATED, RESTARTING, Container, ContainerSpec, Status
from jeroboam.domain.errors import Invalid
from jeroboam.domain.field_effects import DOCKER, FieldTable, docker, refuse, service

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


_TEXT = text(low=0)


def _command(bounds: ContainerBounds, version: int) -> FieldCheck:
    del bounds
    return checks.WORDS if version >= COMMAND_LIST else checks.COMMAND


FIELDS = (
    ContainerField(name="uuid", type=Uuid, show="uuid"),
    ContainerField(
        name="name",
        check=checks.NAME,
        effect=service(),
        updatable=True,
        type=str,
        show="name",
        filter=_TEXT,
    ),
    ContainerField(name="project_id", type=str, show="project_id", filter=_TEXT),
    ContainerField(name="user_id", type=str, show="user_id", filter=_TEXT),
    ContainerField(name="image", check=checks.IMAGE, effect=docker(), required=True, type=str, filter=_TEXT),
    ContainerField(
        name="cpu",
        check=lambda bounds, _: checks.cpu(bounds),
        effect=docker("a limit, in cores"),
        updatable=True,
        type=float,
    ),
    ContainerField(
        name="cpu_policy",
        check=choice("dedicated", "shared"),
        effect=docker("`dedicated`: whole cores of its own, where a host has some for that (`dedicated_cpus`)"),
        type=str,
    ),
    ContainerField(
        name="memory",
        check=lambda bounds, _: checks.digits(bounds.minimum_memory, bounds.maximum_memory),
        effect=docker("a limit, in MiB"),
        updatable=True,
        type=str,
        show=lambda container, _: str(container.spec.memory),
        filter=checks.digits(0, 2**31 - 1),
    ),
    ContainerField(
        name="command",
        check=_command,
        effect=docker(),
        type=tuple[str, ...],
        show=lambda container, _: container.spec.command or container.observed.command,
        sortable=False,
    ),
    ContainerField(name="status", type=Status, show="status", filter=_TEXT),
    ContainerField(name="status_reason", type=str | None, show="status_reason"),
    ContainerField(name="task_state", type=str | None, show="task_state", filter=_TEXT),
    ContainerField(name="environment", check=checks.ENVIRONMENT, effect=docker(), type=dict[str, str], sortable=False),
    ContainerField(
        name="workdir",
        check=text(low=0, pattern=r"\A(/|\Z)", rule="it has to be an absolute path."),
        effect=docker(),
        type=str | None,
    ),
    ContainerField(
        name="auto_remove",
        check=strict_flag,
        effect=docker("not together with the restart policy `always` or `unless-stopped`"),
        usable_since=3,
        type=bool,
        filter=flag,
    ),
    ContainerField(
        name="ports", type=tuple[int, ...], show=lambda container, _: container.observed.ports, sortable=False
    ),
    ContainerField(
        name="hostname",
        check=text(pattern=r"\A[a-zA-Z0-9._-]*\Z", high=63, rule="it has to be letters, digits and ._- only."),
        effect=docker(),
        usable_since=9,
        type=str | None,
        show=lambda container, _: container.observed.hostname or container.spec.hostname,
    ),
    ContainerField(
        name="labels",
        check=checks.LABELS,
        effect=docker("labels of the Engine's container"),
        type=dict[str, str],
        sortable=False,
    ),
    ContainerField(
        name="addresses",
        type=dict[str, list[AddressShape]],
        show=lambda container, _: show_addresses(container.observed.addresses),
        sortable=False,
    ),
    ContainerField(
        name="image_pull_policy",
        check=choice("never", "always", "ifnotpresent", "Never", "Always", "IfNotPresent"),
        effect=docker("`always`, `never`, `ifnotpresent`; administrators only, by policy"),
        type=str,
        show=lambda container, _: container.spec.image_pull_policy or "always",
        guarded=True,
    ),
    ContainerField(
        name="host",
        check=text(),
        effect=docker("the host to be placed on; administrators only, by policy"),
        since=39,
        type=str | None,
        show="host",
        guarded=True,
        filter=_TEXT,
    ),
    ContainerField(
        name="restart_policy",
        check=checks.RESTART_POLICY,
        effect=docker(),
        type=RestartPolicyShape | None,
        show=lambda container, _: show_restart_policy(container.spec.restart_policy),
        sortable=False,
    ),
    ContainerField(name="status_detail", type=str | None, show=status_detail, sortable=False),
    ContainerField(name="interactive", check=flag, effect=docker(), type=bool, sortable=False),
    ContainerField(name="tty", check=flag, effect=docker(), since=TTY_OF_ITS_OWN, type=bool, sortable=False),
    ContainerField(name="image_driver", check=checks.IMAGE_DRIVER, effect=docker(values=("docker",)), type=str),
    ContainerField(
        name="security_groups",
        check=strings(),
        effect={DOCKER: refuse("nothing filters traffic yet; `default` is what all have", carries=(("default",),))},
        type=tuple[str, ...],
        sortable=False,
    ),
    ContainerField(
        name="runtime",
        check=text(),
        effect=docker("a low-level runtime that a host has; administrators only, by policy"),
        usable_since=5,
        type=str | None,
        guarded=True,
        sortable=False,
    ),
    ContainerField(
        name="disk",
        check=lambda bounds, _: checks.digits(1, bounds.maximum_disk),
        effect=docker("a limit where the storage driver of a host can hold one; refused where no host's can"),
        type=int,
        show=lambda container, _: container.spec.disk or 0,
    ),
    ContainerField(
        name="auto_heal",
        check=flag,
        effect=docker("a container that is lost on its host is made anew, and started if it ran"),
        updatable=True,
        type=bool,
        sortable=False,
    ),
    ContainerField(
        name="privileged",
        check=flag,
        effect=docker("where the policy allows it, which by default is nowhere"),
        usable_since=21,
        type=bool,
        guarded=True,
        sortable=False,
    ),
    ContainerField(
        name="healthcheck",
        check=checks.HEALTHCHECK,
        effect=docker(),
        usable_since=22,
        type=HealthCheckShape,
        show=lambda container, _: show_healthcheck(container.spec.healthcheck),
        sortable=False,
    ),
    ContainerField(
        name="registry",
        check=text(low=2),
        effect=service("its login goes to the host for the pull; images without a registry come from there"),
        usable_since=31,
        attribute="registry_id",
    ),
    ContainerField(name="registry_id", type=str | None),
    ContainerField(
        name="entrypoint",
        check=checks.WORDS,
        effect=docker(),
        since=40,
        type=tuple[str, ...] | None,
        show=lambda container, _: container.spec.entrypoint or container.observed.entrypoint or None,
        sortable=False,
    ),
    ContainerField(
        name="hints",
        check=checks.HINTS,
        effect=docker("`label:KEY`: a label that the Engine of the host has; others are refused"),
    ),
    ContainerField(name="availability_zone", check=text(), effect=docker("the zone of the host to be placed on")),
    ContainerField(
        name="exposed_ports",
        check=checks.EXPOSED_PORTS,
        effect=docker("ports that the image or the user names; nothing filters others"),
        usable_since=24,
    ),
    ContainerField(
        name="nets",
        check=checks.NETS,
        effect={DOCKER: refuse("a container cannot be attached to a network that one names yet")},
    ),
    ContainerField(
        name="mounts",
        check=checks.MOUNTS,
        effect=docker("files with their content (`bind`); volumes by `source`, or new ones by `size`; `read_only`"),
        usable_since=11,
    ),
    *PROCESS_FIELDS,
    ContainerField(name="created_at", type=str | None, show=lambda container, _: stamp(container.created_at)),
    ContainerField(name="updated_at", type=str | None, show=lambda container, _: stamp(container.updated_at)),
)

ACCEPTED = {field.name: field for field in FIELDS if field.check is not None}
CONTAINERS: FieldTable = {field.name: field.effect or {} for field in ACCEPTED.values()}
"""What becomes of each field of a create, by driver."""
FILTERS = {field.name: field.filter for field in FIELDS if field.filter is not None}
HIDDEN = frozenset({"registry_domain", "hints", "exposed_ports", "nets", "mounts", "availability_zone"})
"""Attributes of the spec that the published API does not show. `host` is shown as it was chosen."""
GUARDED = tuple(field.name for field in FIELDS if field.guarded)

_view = compile_view(field for field in FIELDS if not field.is_added)
_view_added = compile_view(PROCESS_FIELDS)
if TYPE_CHECKING:
    ContainerShape = dict[str, Any]
else:
    ContainerShape = build_shape(
        "ContainerShape", "A container. Lists show it without links.", FIELDS, links=NotRequired[list[Link]]
    )


class ContainerList(TypedDict):
    """A page of containers."""

    containers: list[ContainerShape]
    next: NextPage | None


def hidden_from(call: Call) -> frozenset[str]:
    """The keys that this caller may not see."""
    return frozenset(key for key in GUARDED if not call.allows(f"container:get_one:{key}"))


def view(container: Container, hidden_keys: Collection[str], now: dt.datetime) -> dict[str, Any]:
    """A container as lists show it, without the keys that the caller may not see."""
    body = _view(container, now)
    for key in hidden_keys:
        del body[key]
    return body


def single(container: Container, call: Call) -> dict[str, Any]:
    """One container, with its links, and from the newest version on with the fields that Zun does not have."""
    now = call.parts.clock.now()
    body = view(container, hidden_from(call), now)
    if call.version >= ADDED_SINCE:
        body |= _view_added(container, now)
    return body | {"links": links(call.base, "containers", container.uuid)}


def create_table(bounds: ContainerBounds, version: int) -> dict[str, FieldCheck]:
    """The fields of a create at that version. Fields of later schemas are left out."""
    table = {field.name: field.check_at(bounds, version) for field in ACCEPTED.values()}
    return {
        name: check if ACCEPTED[name].required else optional(check)
        for name, check in table.items()
        if check is not None
    }


def update_table(bounds: ContainerBounds) -> dict[str, FieldCheck]:
    """The fields of an update."""
    table = {field.name: field.check_at(bounds, NEWEST) for field in ACCEPTED.values() if field.updatable}
    return {name: check for name, check in table.items() if check is not None}


def create_schema() -> Schema:
    """The schema of a create at the newest version. A command may also be a string, as in older versions."""
    table = create_table(UNBOUNDED, NEWEST)
    command = {"anyOf": [table["command"].schema, checks.COMMAND.schema]}
    return body_of(table | {"command": FieldCheck(checks.COMMAND, command)}, "image")


def read_create(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    """The checked fields of a create. A null counts as absent."""
    table = create_table(call.parts.options.container_bounds, call.version)
    refuse_unknown(body, table)
    for name, field in ACCEPTED.items():
        if field.required and body.get(name) is None:
            raise SchemaError(f"'{name}' is a required property.", field=name)
        if name in body and call.version < field.usable_since:
            raise NeedsNewerVersion(name, call.version, field.usable_since)
    return {name: value for name, value in read_fields(body, table).items() if value is not None}


def refuse_unknown(body: Mapping[str, Any], table: Mapping[str, FieldCheck]) -> None:
    """Raise for a key that the schema does not have."""
    for name in body:
        if name not in table:
            text = f"Additional properties are not allowed ('{name[:80]}' was unexpected)."
            raise SchemaError(text, field=name)


def build_spec(wish: Mapping[str, Any], bounds: ContainerBounds, version: int) -> ContainerSpec:
    """The spec with the checked fields."""
    policy_name = wish["restart_policy"].name if "restart_policy" in wish else "no"
    if wish.get("security_groups") and wish.get("exposed_ports"):
        raise Invalid("security_groups and exposed_ports cannot be used together.", field="exposed_ports")
    if wish.get("auto_remove") and policy_name in RESTARTING:
        reason = f"restart_policy {policy_name} starts the container again after it ends, so it would never be removed."
        raise InvalidField("auto_remove", wish["auto_remove"], reason)
    values = {ACCEPTED[name].spec_attribute: value for name, value in wish.items() if name != "name"}
    if "image_pull_policy" in wish:
        values["image_pull_policy"] = wish["image_pull_policy"].lower()
    if "security_groups" in wish:
        values["security_groups"] = tuple(dict.fromkeys(wish["security_groups"]))
    if wish.get("cpu_policy") == DEDICATED and not wish.get("cpu", bounds.default_cpu).is_integer():
        raise InvalidField("cpu", wish.get("cpu", bounds.default_cpu), "dedicated cores are whole ones.")
    paths = [mount["destination"] for mount in wish.get("mounts", ())]
    for path in wish.get("tmpfs", ()):
        if path in paths:
            raise InvalidField("tmpfs", path, "something else is mounted there.")
    if version < TTY_OF_ITS_OWN:
        values["tty"] = wish.get("interactive", False)
    return ContainerSpec(**{"cpu": bounds.default_cpu, "memory": bounds.default_memory, **values})
