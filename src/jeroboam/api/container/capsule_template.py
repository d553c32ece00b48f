"""Makes the spec of a capsule of its checked template (contract: section 4).

What can only be seen across fields is checked here: ports by name, mounts and volumes, secrets. Neighbours:
`capsule_fields`, whose checks come first; `capsules`, which stores the result.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jeroboam.api.container.capsule_checks import Variables
from jeroboam.api.container.capsule_fields import build_template_check
from jeroboam.api.container.refusals import SchemaError
from jeroboam.api.fields import InvalidField
from jeroboam.api.options import ContainerBounds
from jeroboam.domain.capsules import EMPTY_DIR, CapsuleSpec, MemberSpec, Probe, RestartRule
from jeroboam.domain.containers import ContainerSpec, RestartPolicy
from jeroboam.kit.ids import Ids

INIT_RETRIES = 10
_PROBES = {"livenessProbe": "liveness_probe", "readinessProbe": "readiness_probe", "startupProbe": "startup_probe"}
RUNTIME_POLICIES = {
    RestartRule.ALWAYS: RestartPolicy(name="always"),
    RestartRule.ON_FAILURE: RestartPolicy(name="on-failure"),
    RestartRule.NEVER: RestartPolicy(name="no"),
}
"""The restart policies of a capsule in the words for containers, as they are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CapsuleWish:
    """What a template asks for. Without a name the service makes one up."""

    name: str
    spec: CapsuleSpec


def read_template(body: Mapping[str, Any], bounds: ContainerBounds, ids: Ids, *, uses_pull_policy: bool) -> CapsuleWish:
    """The wish in the body of a create. Raises `InvalidField` that names the path of what is wrong."""
    for key in body:
        if key != "template":
            raise SchemaError(f"Additional properties are not allowed ('{key[:80]}' was unexpected).", field=key)
    template = build_template_check(bounds)("template", _decode(body.get("template")))
    return _Builder(template, bounds, ids, uses_pull_policy=uses_pull_policy).build()


def _decode(template: Any) -> Any:
    if template is None:
        raise InvalidField("template", None, "it is required.")
    if not isinstance(template, str):
        return template
    try:
        content = json.loads(template)
    except (ValueError, RecursionError) as error:
        raise InvalidField("template", "(not shown)", "it has to be an object, or JSON that holds one.") from error
    if "\\u0000" in json.dumps(content):
        raise InvalidField("template", "(not shown)", "it holds a NUL character.")
    return content


class _Builder:
    """The template while its spec is made."""

    def __init__(
        self, template: Mapping[str, Any], bounds: ContainerBounds, ids: Ids, *, uses_pull_policy: bool
    ) -> None:
        self._template = template
        self._content = template["spec"]
        self._bounds = bounds
        self._ids = ids
        self._uses_pull_policy = uses_pull_policy
        self._names: set[str] = set()
        self._mounted: set[str] = set()

    def build(self) -> CapsuleWish:
        metadata, content = self._template["metadata"], self._content
        name = metadata.get("name") or self._ids.name("capsule")
        rule = self._read_restart_rule()
        volumes, secrets = self._read_volumes(), self._read_secrets()

        def build_members(key: str) -> tuple[MemberSpec, ...]:
            return tuple(
                self._build_member(name, f"template/spec/{key}/{number}", values, secrets, rule, volumes)
                for number, values in enumerate(content.get(key, ()))
            )

        times = {
            attribute: content[key]
            for key, attribute in (
                ("activeDeadlineSeconds", "active_deadline_seconds"),
                ("terminationGracePeriodSeconds", "termination_grace_period_seconds"),
            )
            if key in content
        }
        spec = CapsuleSpec(
            init_containers=build_members("initContainers"),
            containers=build_members("containers"),
            restart_policy=rule,
            labels=metadata.get("labels", {}),
            annotations=metadata.get("annotations", {}),
            availability_zone=self._template.get("availabilityZone"),
            hostname=content.get("hostname"),
            volumes=tuple(volumes),
            **times,
        )
        for number, volume in enumerate(volumes):
            if volume not in self._mounted:
                raise InvalidField(f"template/spec/volumes/{number}/name", volume, "no container mounts it.")
        return CapsuleWish(name=name, spec=spec)

    def _read_restart_rule(self) -> RestartRule:
        former, present = self._template.get("restartPolicy"), self._content.get("restartPolicy")
        if former is not None and present is not None and former != present:
            raise InvalidField("template/restartPolicy", former, f"template/spec/restartPolicy says {present}.")
        return RestartRule(present or former or RestartRule.ALWAYS)

    def _read_volumes(self) -> list[str]:
        names: list[str] = []
        for number, volume in enumerate(self._content.get("volumes", ())):
            path = f"template/spec/volumes/{number}"
            if "emptyDir" not in volume:
                raise InvalidField(path, volume["name"], "it has to say what it is: emptyDir.")
            if volume["name"] in names:
                raise InvalidField(f"{path}/name", volume["name"], "another volume has this name.")
            names.append(volume["name"])
        return names

    def _read_secrets(self) -> dict[str, dict[str, str]]:
        secrets: dict[str, dict[str, str]] = {}
        for number, secret in enumerate(self._content.get("secrets", ())):
            if secret["name"] in secrets:
                path = f"template/spec/secrets/{number}/name"
                raise InvalidField(path, secret["name"], "another secret has this name.")
            secrets[secret["name"]] = secret["stringData"]
        return secrets

    def _build_member(
        self,
        capsule_name: str,
        path: str,
        values: Mapping[str, Any],
        secrets: Mapping[str, Mapping[str, str]],
        rule: RestartRule,
        volumes: list[str],
    ) -> MemberSpec:
        is_init = "/initContainers/" in path
        variables: Variables = values.get("env", Variables(plain={}, secrets={}))
        policy = RUNTIME_POLICIES[rule]
        if is_init and rule is RestartRule.ALWAYS:
            policy = RestartPolicy(name="on-failure", maximum_retry_count=INIT_RETRIES)
        words = (*values.get("command", ()), *values.get("args", ()))
        amounts = values.get("resources", {})
        pull_policy = values.get("imagePullPolicy") if self._uses_pull_policy else None
        container = ContainerSpec(
            image=values["image"],
            command=words or None,
            entrypoint=values.get("entrypoint") or None,
            cpu=amounts.get("cpu", self._bounds.default_cpu),
            memory=amounts.get("memory", self._bounds.default_memory),
            workdir=values.get("workDir") or None,
            image_pull_policy=pull_policy.lower() if pull_policy else None,
            environment=variables.plain,
            restart_policy=policy,
            interactive=values.get("stdin", False),
            tty=values.get("tty", False),
            exposed_ports={_name_port(port): {} for port in values.get("ports", ())},
            mounts=self._read_mounts(path, values, volumes),
        )
        return MemberSpec(
            uuid=self._ids.uuid(),
            name=self._make_name(capsule_name),
            container=container,
            secret_environment=_resolve_secrets(path, variables, secrets),
            **self._read_probes(path, values, is_init=is_init),
        )

    def _read_mounts(self, path: str, values: Mapping[str, Any], volumes: list[str]) -> tuple[dict[str, str], ...]:
        mounts: list[dict[str, str]] = []
        for number, mount in enumerate(values.get("volumeMounts", ())):
            at = f"{path}/volumeMounts/{number}"
            if mount["name"] not in volumes:
                rule = f"the volumes of the template are: {', '.join(volumes) or 'none'}."
                raise InvalidField(f"{at}/name", mount["name"], rule)
            if any(other["destination"] == mount["mountPath"] for other in mounts):
                raise InvalidField(f"{at}/mountPath", mount["mountPath"], "another volume is mounted there.")
            self._mounted.add(mount["name"])
            mounts.append({"type": EMPTY_DIR, "source": mount["name"], "destination": mount["mountPath"]})
            if mount.get("readOnly"):
                mounts[-1]["readonly"] = "true"
        return tuple(mounts)

    def _read_probes(self, path: str, values: Mapping[str, Any], *, is_init: bool) -> dict[str, Probe]:
        ports = {port["name"]: port["containerPort"] for port in values.get("ports", ()) if "name" in port}
        probes = {key: values[key] for key in _PROBES if key in values}
        if is_init and probes:
            key = next(iter(probes))
            raise InvalidField(f"{path}/{key}", "(not shown)", "init containers run to their end and have no probes.")
        return {_PROBES[key]: probe.build(f"{path}/{key}", ports) for key, probe in probes.items()}

    def _make_name(self, capsule_name: str) -> str:
        """A name as Zun's members have it: `capsule-NAME-alpha-7`, once in each capsule."""
        while True:
            name = f"capsule-{capsule_name}-{self._ids.name('member').removesuffix('-member')}"
            if name not in self._names:
                self._names.add(name)
                return name


def _name_port(port: Mapping[str, Any]) -> str:
    return f"{port['containerPort']}/{port.get('protocol', 'TCP').lower()}"


def _resolve_secrets(path: str, variables: Variables, secrets: Mapping[str, Mapping[str, str]]) -> str | None:
    """The variables with secrets as JSON text; None if there are none."""
    resolved = {}
    for variable, reference in variables.secrets.items():
        if reference.key not in secrets.get(reference.name, {}):
            shown = f"{reference.name}/{reference.key}"
            rule = "the template has no such secret with that key in spec/secrets."
            raise InvalidField(f"{path}/env/{variable}", shown, rule)
        resolved[variable] = secrets[reference.name][reference.key]
    return json.dumps(resolved) if resolved else None
