"""Explains why a user may do something or not: the policy rule, the user's roles, and each limit with its verdict.

The sources are those of the service: roles from Keystone, rules and limits from the operator's files, objects from the
store. Nothing is changed. Keystone has to answer; of the service only the database is needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from jeroboam.api.bays.policies import RULES as BAYS
from jeroboam.api.container.policies import RULES as CONTAINER
from jeroboam.api.container_infra.policies import RULES as CONTAINER_INFRA
from jeroboam.api.policy import Policy
from jeroboam.bootstrap.database import open_store
from jeroboam.bootstrap.limits import read_limits
from jeroboam.bootstrap.policy import check_policy
from jeroboam.bootstrap.state import StateFolder
from jeroboam.clients.keystone import KeystoneAdmin, RoleAssignment
from jeroboam.domain.caller import Caller
from jeroboam.domain.clusters import DEFAULT_FLAVOR, Cluster, NodeGroup, Template, TemplateSpec
from jeroboam.domain.limits import (
    Limit,
    LimitOwner,
    LimitVerdict,
    RequestedSize,
    build_requested_size,
    judge_request,
    select_limits,
)
from jeroboam.settings import Settings
from jeroboam.store import Store

_WISHES = ("template", "name", "node_count", "master_count", "flavor", "master_flavor", "coe", "provider")
_LABEL = "label."
# The actions that limits bound. Reads, and actions that only reduce, are not among them.
_BOUNDED = frozenset(
    f"{kind}:{verb}"
    for kind, verbs in {
        "cluster": ("create", "update", "resize", "upgrade"),
        "nodegroup": ("create", "update"),
        "clustertemplate": ("create", "update"),
    }.items()
    for verb in verbs
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """The explanation, line by line."""

    lines: tuple[str, ...]
    is_allowed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Subject:
    """The object of the action."""

    title: str
    size: RequestedSize
    owner: str | None = None
    """The project that owns the object; None if the action would create the object."""
    creator: str | None = None


async def explain(settings: Settings, user: str, action: str, target: str | None, project: str | None) -> Explanation:
    """Explain the action. Raises `ValueError` for an unknown user, project, action or object."""
    # The API of bays has its own rules `container:…`. For those names, the rules of the container API count here.
    rules = next((family for family in (CONTAINER_INFRA, CONTAINER, BAYS) if action in family), None)
    if rules is None:
        matches = get_close_matches(action, sorted(CONTAINER_INFRA | CONTAINER | BAYS), n=5)
        hint = f"; do you mean {', '.join(matches)}?" if matches else "; docs/routes.md names them all"
        raise ValueError(f"there is no action {action}{hint}")
    limits = read_limits(settings.api.limits_file)
    check_policy(settings.api.policy_file)
    policy = Policy(rules, settings.api.policy_file or None)
    async with _connect_keystone(settings) as keystone:
        user_id, name = await keystone.find_user(user)
        caller, owner = _as_caller(user_id, name, await keystone.assignments(user_id), project)
        subject = None if target is None else await _look_up(settings, target, caller.project_id)
        if subject is not None and subject.owner not in {None, owner.project_id}:
            owner = await keystone.project(subject.owner or "")
    lines = [f"user {caller.user_name} ({caller.user_id}) in project {caller.project_name} ({caller.project_id})"]
    lines.append(f"roles: {', '.join(sorted(caller.roles)) or 'none'}")
    if subject is not None:
        lines.append(f"object: {subject.title}")
    passes = _check_rules(policy, rules, action, caller, subject, lines)
    within = True
    if subject is not None and action in _BOUNDED:
        within = _check_limits(select_limits(limits, owner), subject.size, owner, lines)
    lines.append("allowed" if passes and within else "not allowed")
    return Explanation(lines=tuple(lines), is_allowed=passes and within)


def _connect_keystone(settings: Settings) -> KeystoneAdmin:
    folder = StateFolder(settings.state)
    folder.check_exists()
    url = folder.addresses().get("keystone")
    if url is None:
        raise ValueError("the service has not been started yet: its Keystone knows no users")
    return KeystoneAdmin(url, password=folder.passwords().admin)


def _as_caller(
    user_id: str, name: str, assignments: list[RoleAssignment], project: str | None
) -> tuple[Caller, LimitOwner]:
    """Return the user in the named project, or in the only one. Raises `ValueError` if there is no single project."""
    owners = {assignment.owner.project_id: assignment.owner for assignment in assignments}
    if project is not None:
        owners = {uuid: owner for uuid, owner in owners.items() if project in {uuid, owner.project_name}}
    if len(owners) != 1:
        names = ", ".join(sorted({assignment.owner.project_name for assignment in assignments})) or "none"
        raise ValueError(f"name one of the projects in which {name} has a role: {names}")
    [owner] = owners.values()
    caller = Caller(
        user_id=user_id,
        project_id=owner.project_id,
        roles=frozenset(assignment.role.lower() for assignment in assignments if assignment.owner == owner),
        user_name=name,
        project_name=owner.project_name,
        project_domain_id=owner.domain_id,
    )
    return caller, owner


def _check_rules(
    policy: Policy, rules: Mapping[str, str], action: str, caller: Caller, subject: _Subject | None, lines: list[str]
) -> bool:
    """Check the rule. For another project's object, also check the rule that allows such objects."""
    is_foreign = subject is not None and subject.owner is not None and subject.owner != caller.project_id
    rule_names = [action]
    if is_foreign:
        names = (f"{action}_all_projects", f"{action.replace(':get', ':get_one')}_all_projects")
        beyond = next((name for name in names if name in rules), None)
        if beyond is None:
            lines.append("the object is in another project, and no rule lets anybody do that there")
            return False
        rule_names.append(beyond)
    good = True
    for rule in rule_names:
        is_own = subject is not None and not is_foreign
        passes = policy.allows(rule, caller, user_id=subject.creator if subject is not None and is_own else None)
        lines.append(f"rule {rule}: {policy.check_of(rule)}: {'passes' if passes else 'does not pass'}")
        good = good and passes
    return good


def _check_limits(limits: tuple[Limit, ...], size: RequestedSize, owner: LimitOwner, lines: list[str]) -> bool:
    if not limits:
        lines.append(f"limits: none concerns project {owner.project_name or owner.project_id}")
        return True
    good = True
    for limit in limits:
        verdicts: list[LimitVerdict] = list(judge_request((limit,), size))
        if not verdicts:
            lines.append(f"limit {limit.name}: does not apply to this request")
        for verdict in verdicts:
            lines.append(f"limit {limit.name}: {'within' if verdict.is_allowed else 'BEYOND'}: {verdict.text}")
            good = good and verdict.is_allowed
    return good


# ------------------------------------------------------------------------------------------------------- objects


async def _look_up(settings: Settings, target: str, project_id: str) -> _Subject:
    async with open_store(settings) as store:
        if "=" in target:
            return await _read_wish(store, target, project_id)
        async with store.read() as tx:
            clusters = await tx.clusters.find(target)
            clusters = [cluster for cluster in clusters if cluster.project_id == project_id] or clusters
            if len(clusters) == 1:
                groups = (await tx.nodegroups.groups_of(clusters[0].uuid))[clusters[0].uuid]
                return _describe_cluster(clusters[0], groups, await tx.templates.get(clusters[0].template_id))
            templates = await tx.templates.find(target)
        if len(clusters) > 1 or len(templates) > 1:
            raise ValueError(f"there are several {target}; name one by its uuid")
        if not templates:
            raise ValueError(f"there is no cluster and no template {target}")
        return _describe_template(templates[0])


def _describe_cluster(cluster: Cluster, groups: list[NodeGroup], template: Template | None) -> _Subject:
    title = f"cluster {cluster.name} ({cluster.uuid}), {cluster.status}"
    size = build_requested_size(cluster, groups, template)
    return _Subject(title=title, size=size, owner=cluster.project_id, creator=cluster.user_id)


def _describe_template(template: Template) -> _Subject:
    spec = template.spec
    size = RequestedSize(
        template=(template.uuid, template.name),
        coe=spec.coe,
        provider=spec.driver,
        flavors=[flavor for flavor in (spec.flavor_id, spec.master_flavor_id) if flavor],
        labels=spec.labels,
    )
    owner = None if template.public else template.project_id
    return _Subject(title=f"template {template.name} ({template.uuid})", size=size, owner=owner)


async def _read_wish(store: Store, target: str, project_id: str) -> _Subject:
    """Return the object of `template=swarm,node_count=5,label.team=a`: a cluster that does not exist yet."""
    fields = dict(part.strip().partition("=")[::2] for part in target.split(",") if part.strip())
    for key in fields:
        if key not in _WISHES and not key.startswith(_LABEL):
            raise ValueError(f"{key} is not a known field; the fields are {', '.join(_WISHES)}, {_LABEL}KEY")
    labels = {key.removeprefix(_LABEL): value for key, value in fields.items() if key.startswith(_LABEL)}
    masters, workers = (_read_integer(fields, key) for key in ("master_count", "node_count"))
    async with store.read() as tx:
        _, before = await tx.clusters.totals(project_id)
        templates = await tx.templates.find(fields["template"]) if "template" in fields else []
    if "template" in fields and len(templates) != 1:
        raise ValueError(f"there is no template {fields['template']}, or there are several")
    base = _describe_template(templates[0]).size if templates else RequestedSize()
    nodes = masters + workers
    size = replace(
        base,
        cluster_name=fields.get("name"),
        coe=fields.get("coe", base.coe),
        provider=fields.get("provider", base.provider),
        flavors=_flavors(fields, templates[0].spec if templates else TemplateSpec(coe="", image_id="")),
        labels=labels or base.labels or {},
        labels_complete=True,
        cluster_nodes=nodes,
        project_nodes=before + nodes,
    )
    title = f"a cluster with {_count(masters, 'master')} and {_count(workers, 'worker')}"
    return _Subject(title=title, size=size)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _flavors(fields: Mapping[str, str], template_spec: TemplateSpec) -> tuple[str, str]:
    """Return the flavours of masters and of workers."""
    workers = fields.get("flavor") or template_spec.flavor_id or DEFAULT_FLAVOR
    return fields.get("master_flavor") or template_spec.master_flavor_id or workers, workers


def _read_integer(fields: dict[str, str], key: str) -> int:
    value = fields.get(key, "1")
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"{key} has to be a whole number, not {value}")
    return int(value)
