"""The fields of a capsule's template, in tables: what a create takes, and what becomes of it (contract: section 4).

Checks, the OpenAPI schema and the table in the docs follow from them. Neighbours: `capsule_checks`, for single fields;
`capsule_template`, which makes a spec of what was checked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jeroboam.api.container import capsule_checks as capsule
from jeroboam.api.container import field_checks as checks
from jeroboam.api.container.fields import UNBOUNDED
from jeroboam.api.field_table import Field
from jeroboam.api.fields import (
    FieldCheck,
    Schema,
    body_of,
    choice,
    flag,
    list_of,
    mapping,
    no_effect,
    object_of,
    text,
    without_reserved,
)
from jeroboam.api.options import ContainerBounds
from jeroboam.domain.capsules import RestartRule
from jeroboam.domain.field_effects import DOCKER, SERVICE, FieldTable, Rules, docker, ignore, refuse, service


@dataclass(frozen=True, kw_only=True, slots=True)
class CapsuleField(Field):
    """One field of a template."""

    check: FieldCheck | Callable[[ContainerBounds], FieldCheck]

    def check_within(self, bounds: ContainerBounds) -> FieldCheck:
        """The check with these bounds."""
        return self.check if isinstance(self.check, FieldCheck) else self.check(bounds)


def _refused(names: str, reason: str) -> tuple[CapsuleField, ...]:
    effect: Rules = {DOCKER: refuse(reason)}
    return tuple(CapsuleField(name=name, check=capsule.refuse_all(reason), effect=effect) for name in names.split())


def _ignored(names: str, note: str) -> tuple[CapsuleField, ...]:
    effect: Rules = {SERVICE: ignore(note)}
    return tuple(CapsuleField(name=name, check=no_effect, effect=effect) for name in names.split())


_RESTART_POLICY = choice(*RestartRule)
_PROBED = docker("by the agent: `exec`, `httpGet`, `tcpSocket`")

CONTAINER_FIELDS = (
    CapsuleField(name="image", check=checks.IMAGE, effect=docker(), required=True),
    *_ignored("name", "as in Zun: members are named after the capsule"),
    CapsuleField(name="command", check=checks.WORDS, effect=docker("after the image's entrypoint, as in Zun")),
    CapsuleField(name="args", check=checks.WORDS, effect=docker("appended to `command`")),
    CapsuleField(
        name="entrypoint",
        check=checks.WORDS,
        effect=docker("ours: what a pod's `command` is, which replaces the image's"),
    ),
    CapsuleField(
        name="workDir", check=text(low=0, pattern=r"\A(/|\Z)", rule="it has to be an absolute path."), effect=docker()
    ),
    CapsuleField(
        name="env",
        check=capsule.ENV,
        effect=docker(
            "an object, or a list as Kubernetes has it; `valueFrom/secretKeyRef` names one of `spec/secrets`"
        ),
    ),
    CapsuleField(
        name="imagePullPolicy",
        check=choice("never", "always", "ifnotpresent", "Never", "Always", "IfNotPresent"),
        effect=docker("administrators only, by policy; without effect for others, as in Zun"),
    ),
    CapsuleField(name="stdin", check=flag, effect=docker()),
    CapsuleField(name="tty", check=flag, effect=docker()),
    CapsuleField(
        name="resources",
        check=capsule.resources,
        effect=docker("`limits`, or `requests` where there is none, are limits and what the host is chosen by"),
    ),
    CapsuleField(
        name="ports",
        check=capsule.PORTS,
        effect=docker("`containerPort`, `protocol`; `name` for probes; `hostPort` is without effect, as in Zun"),
    ),
    CapsuleField(name="volumeMounts", check=capsule.VOLUME_MOUNTS, effect=docker()),
    CapsuleField(name="livenessProbe", check=capsule.probe(once=True), effect=_PROBED),
    CapsuleField(name="readinessProbe", check=capsule.probe(once=False), effect=_PROBED),
    CapsuleField(name="startupProbe", check=capsule.probe(once=True), effect=_PROBED),
    *_refused("securityContext", "containers run as their images say"),
    *_refused("lifecycle", "no hook is run"),
    *_refused("envFrom", "name each variable in env"),
    *_refused("volumeDevices", "there are no block devices"),
    *_refused("restartPolicy", "there are no sidecars: the capsule's policy holds for all"),
)
_POD_IDENTITY = "capsules do not belong to a cluster"
SPEC_FIELDS = (
    CapsuleField(
        name="containers",
        check=lambda bounds: list_of(build_container_check(bounds), low=1, high=32),
        effect=docker("1 to 32"),
        required=True,
    ),
    CapsuleField(
        name="initContainers",
        check=lambda bounds: list_of(build_container_check(bounds), high=32),
        effect=docker("in order, each to its success; with `Always` ten retries, as in Zun. They have no probes"),
    ),
    CapsuleField(name="restartPolicy", check=_RESTART_POLICY, effect=docker("by the agent")),
    CapsuleField(name="volumes", check=capsule.VOLUMES, effect=docker("`emptyDir`; `cinder` is refused yet")),
    CapsuleField(name="activeDeadlineSeconds", check=capsule.SOME_SECONDS, effect=docker("by the agent")),
    CapsuleField(name="terminationGracePeriodSeconds", check=capsule.SECONDS, effect=docker("10 without it")),
    CapsuleField(name="hostname", check=capsule.HOSTNAME, effect=docker("made of the name without it")),
    CapsuleField(name="secrets", check=capsule.SECRETS, effect=service("ours: sealed at rest, never shown")),
    *_refused("hostNetwork hostPID hostIPC hostUsers", "a capsule has nothing of its host"),
    *_refused("shareProcessNamespace", "members have processes of their own"),
    *_refused("securityContext", "containers run as their images say"),
    *_refused("dnsConfig hostAliases subdomain", "names are those of the project's network"),
    *_refused("imagePullSecrets", "images come from registries without a login"),
    *_refused("ephemeralContainers", "run a command in a container instead"),
    *_refused("runtimeClassName overhead resourceClaims", "hosts have one runtime"),
    *_refused("nodeName nodeSelector affinity topologySpreadConstraints", "the host is chosen by the service"),
    *_ignored("serviceAccount serviceAccountName automountServiceAccountToken enableServiceLinks", _POD_IDENTITY),
    *_ignored("dnsPolicy schedulerName tolerations readinessGates schedulingGates", _POD_IDENTITY),
    *_ignored("priority priorityClassName preemptionPolicy os setHostnameAsFQDN", _POD_IDENTITY),
)
METADATA_FIELDS = (
    CapsuleField(name="name", check=checks.NAME, effect=service()),
    CapsuleField(name="labels", check=checks.LABELS, effect=service("stored for its users")),
    CapsuleField(name="annotations", check=without_reserved(mapping()), effect=service("stored for its users")),
)
TEMPLATE_FIELDS = (
    CapsuleField(name="kind", check=choice("capsule", "Capsule"), effect=service(), required=True),
    CapsuleField(name="capsuleVersion", check=choice("beta", "Beta"), effect=service(), required=True),
    CapsuleField(
        name="metadata",
        check=lambda bounds: _object(METADATA_FIELDS, bounds),
        effect=service(),
        required=True,
    ),
    CapsuleField(name="availabilityZone", check=text(), effect=docker("the zone of the host to be placed on")),
    CapsuleField(name="restartPolicy", check=_RESTART_POLICY, effect=docker("deprecated for `spec/restartPolicy`")),
    CapsuleField(
        name="spec",
        check=lambda bounds: _object(SPEC_FIELDS, bounds, tolerates_others=True),
        effect=service(),
        required=True,
    ),
)
OTHERS_OF_SPEC = "spec/(any other field)"
EFFECTS: FieldTable = {
    **{
        f"{prefix}{field.name}": field.effect or {}
        for prefix, fields in (
            ("", TEMPLATE_FIELDS),
            ("metadata/", METADATA_FIELDS),
            ("spec/", SPEC_FIELDS),
            ("spec/containers/", CONTAINER_FIELDS),
        )
        for field in fields
    },
    OTHERS_OF_SPEC: {SERVICE: ignore("taken, as in Zun")},
}
"""What becomes of each field of a template; init containers have those of containers."""


def _object(fields: tuple[CapsuleField, ...], bounds: ContainerBounds, *, tolerates_others: bool = False) -> FieldCheck:
    table = {field.name: field.check_within(bounds) for field in fields}
    required_names = [field.name for field in fields if field.required]
    return object_of(table, *required_names, tolerates_others=tolerates_others)


def build_container_check(bounds: ContainerBounds) -> FieldCheck:
    """The check of one container of a template."""
    return _object(CONTAINER_FIELDS, bounds)


def build_template_check(bounds: ContainerBounds) -> FieldCheck:
    """The check of a whole template."""
    return _object(TEMPLATE_FIELDS, bounds)


def create_schema() -> Schema:
    """The schema of a create: the template as an object or as the text of one."""
    template: dict[str, Any] = {"anyOf": [build_template_check(UNBOUNDED).schema, {"type": "string"}]}
    return body_of({"template": FieldCheck(lambda _name, value: value, template)}, "template")
