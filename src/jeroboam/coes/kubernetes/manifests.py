"""Pods, services and replication controllers that the 2015 API creates inside a Kubernetes cluster.

They are in the namespace `default`, as in 2015, under the names in their manifests. An object is ours when it has a
label with our uuid that we have set ourselves; its name does not count. Objects of others with the same name or label
are not touched. An object is created with a create request, which cannot overwrite another one, and changed with a
server-side apply, which keeps the fields of others. Neighbours: the COE, which has one.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

from jeroboam.clients.kubernetes import MANAGER, KubernetesApi, ObjectNotFound
from jeroboam.coes.base import CoePlan, DesiredManifest, ManifestClient
from jeroboam.coes.kubernetes.api_access import connect_api
from jeroboam.domain.bay_manifests import KIND_NAMES, BayManifestKind, BayManifestStatus, ManifestState, build_facts
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.owner_labels import is_reserved
from jeroboam.kit.clock import Clock

LABEL = "jeroboam.io/workload"
NAMESPACE = "default"

_PLURALS = {
    BayManifestKind.POD: "pods",
    BayManifestKind.SERVICE: "services",
    BayManifestKind.RC: "replicationcontrollers",
}
# An unknown field is an error and is not dropped silently.
_STRICT = "&fieldValidation=Strict"
_TRIAL = "&dryRun=All"
# How long one call waits for an object that is being deleted.
_GOING_SECONDS = 3.0
_POLL_SECONDS = 0.2
# Reasons for waiting that are normal while a container starts.
_USUAL = frozenset({"ContainerCreating", "PodInitializing"})
_LONGEST_WORDS = 500

_S = BayManifestStatus


@final
class KubernetesManifests(ManifestClient):
    """The contract `ManifestClient` for Kubernetes."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def check(self, plan: CoePlan, want: DesiredManifest) -> None:
        async with connect_api(plan, self._clock) as api:
            await _apply_manifest(api, want, _TRIAL)

    async def apply(self, plan: CoePlan, want: DesiredManifest) -> ManifestState:
        async with connect_api(plan, self._clock) as api:
            return _state_of(want.kind, await _apply_manifest(api, want))

    async def inspect(self, plan: CoePlan) -> Mapping[str, ManifestState]:
        async with connect_api(plan, self._clock) as api:
            resources = await _list_labelled(api, LABEL)
        return {item["metadata"]["labels"][LABEL]: _state_of(kind, item) for kind, item in resources}

    async def list_owned(self, plan: CoePlan) -> Sequence[str]:
        return list(await self.inspect(plan))

    async def remove(self, plan: CoePlan, uuid: str) -> None:
        async with connect_api(plan, self._clock) as api:
            deadline = self._clock.monotonic() + _GOING_SECONDS
            while resources := await _list_labelled(api, f"{LABEL}%3D{uuid}"):
                await asyncio.gather(
                    *(_delete(api, kind, item) for kind, item in resources if not _is_terminating(item))
                )
                if self._clock.monotonic() >= deadline:
                    names = ", ".join(f"{KIND_NAMES[kind]} {item['metadata']['name']}" for kind, item in resources)
                    raise Temporary(f"the cluster is still terminating {names}")
                await self._clock.sleep(_POLL_SECONDS)


def _path(kind: BayManifestKind, name: str = "") -> str:
    path = f"/api/v1/namespaces/{NAMESPACE}/{_PLURALS[kind]}"
    return f"{path}/{name}" if name else path


async def _list_labelled(api: KubernetesApi, selector: str) -> list[tuple[BayManifestKind, dict[str, Any]]]:
    """Return our objects of all three kinds that match the label selector."""

    async def list_kind(kind: BayManifestKind) -> list[tuple[BayManifestKind, dict[str, Any]]]:
        path = f"{_path(kind)}?labelSelector={selector}"
        answer = await api.get(path, f"asking the cluster for its {_PLURALS[kind]}")
        return [(kind, item) for item in answer["items"] if _has_our_label(item)]

    return [entry for entries in await asyncio.gather(*map(list_kind, _PLURALS)) for entry in entries]


def _has_our_label(resource: Mapping[str, Any]) -> bool:
    """Whether we have set the object's label: the API records which manager set which field.

    So objects that somebody copied with their labels are not taken for ours. It does not protect against an
    administrator of the cluster, who can use any manager name, and who may change these objects anyway.
    """
    for entry in resource["metadata"].get("managedFields") or ():
        fields = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
        if entry.get("manager") == MANAGER and f"f:{LABEL}" in (fields.get("f:labels") or {}):
            return True
    return False


async def _apply_manifest(api: KubernetesApi, want: DesiredManifest, trial: str = "") -> dict[str, Any]:
    """Create or update the object and return it. With `trial` (dry run) nothing is stored."""
    title = f"{KIND_NAMES[want.kind]} {want.name}"
    path = _path(want.kind, want.name)
    try:
        resource = await api.get(path, f"looking for {title}")
    except ObjectNotFound:
        resource = None
    try:
        if resource is None:
            query = f"{_path(want.kind)}?fieldManager={MANAGER}{_STRICT}{trial}"
            return await api.post(query, _build_body(want), f"making {title}")
        if (resource["metadata"].get("labels") or {}).get(LABEL) != want.uuid or not _has_our_label(resource):
            raise Permanent(f"there is another {title} in the cluster, which was not made here")
        if _is_terminating(resource):
            raise Temporary(f"the former {title} is still being removed from the cluster")
        # The uid makes sure that this object is changed, even if somebody replaces it at this moment.
        body = _build_body(want, uid=resource["metadata"]["uid"])
        await _adopt_fields(api, path, resource, f"changing {title}")
        return await api.apply(path, body, f"changing {title}", also=_STRICT + trial)
    except Permanent as error:
        raise Permanent(_first_line(error.reason)) from error


def _build_body(want: DesiredManifest, *, uid: str | None = None) -> dict[str, Any]:
    meta: dict[str, Any] = {**want.manifest["metadata"], "namespace": NAMESPACE}
    meta["labels"] = {**(meta.get("labels") or {}), LABEL: want.uuid}
    if uid is not None:
        meta["uid"] = uid
    return {**want.manifest, "metadata": meta}


def _first_line(reason: str) -> str:
    """Return the first line. The others may show the whole object with the user's data."""
    return reason.partition("\n")[0][:_LONGEST_WORDS]


async def _adopt_fields(api: KubernetesApi, path: str, resource: Mapping[str, Any], action: str) -> None:
    """Mark the fields that our create request set as applied, so that an apply without one of them removes it.

    It changes only the recorded managers of fields. So a trial does it too, since its result would be wrong otherwise.
    """
    for number, entry in enumerate(resource["metadata"].get("managedFields") or ()):
        if (entry.get("manager"), entry.get("operation"), entry.get("subresource")) == (MANAGER, "Update", None):
            pointer = f"/metadata/managedFields/{number}"
            steps = [
                {"op": "test", "path": "/metadata/uid", "value": resource["metadata"]["uid"]},
                {"op": "test", "path": f"{pointer}/manager", "value": MANAGER},
                {"op": "replace", "path": f"{pointer}/operation", "value": "Apply"},
            ]
            try:
                await api.patch_json(path, steps, action)
            except Permanent as error:
                raise Temporary(f"{action}: it has changed meanwhile") from error
            return


async def _delete(api: KubernetesApi, kind: BayManifestKind, resource: Mapping[str, Any]) -> None:
    meta = resource["metadata"]
    # The pods of a controller are deleted first; the controller exists until they are gone.
    options = {"propagationPolicy": "Foreground", "preconditions": {"uid": meta["uid"]}}
    await api.delete(_path(kind, meta["name"]), f"removing {KIND_NAMES[kind]} {meta['name']}", options=options)


def _is_terminating(resource: Mapping[str, Any]) -> bool:
    return bool(resource["metadata"].get("deletionTimestamp"))


# ------------------------------------------------------------------------------------------------- states of objects


def _state_of(kind: BayManifestKind, resource: Mapping[str, Any]) -> ManifestState:
    status, reason = _STATES[kind](resource)
    if _is_terminating(resource):
        reason = "It was removed outside this service and is terminating."
    visible_resource = {
        **resource,
        "metadata": {**resource["metadata"], "labels": _user_labels(resource["metadata"].get("labels") or {})},
    }
    return ManifestState(status=status, reason=reason, facts=build_facts(kind, visible_resource))


def _user_labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if not is_reserved(key)}


def _pod_status(resource: Mapping[str, Any]) -> tuple[BayManifestStatus, str | None]:
    status = resource.get("status") or {}
    phase = status.get("phase", "Pending")
    pod_status = _S(phase) if phase in set(_S) else _S.UNKNOWN
    return pod_status, next((reason for reason in _pod_reasons(status) if reason), None)


def _pod_reasons(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield the reasons why the pod does not run, the most specific one first."""
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting_state = container.get("state", {}).get("waiting", {})
        if waiting_state and waiting_state.get("reason") not in _USUAL:
            yield _format_reason(f"{container['name']}: {waiting_state.get('reason')}", waiting_state.get("message"))
    if status.get("phase") == "Failed":
        for container in status.get("containerStatuses") or ():
            termination = container.get("state", {}).get("terminated", {})
            if termination.get("exitCode"):
                yield _format_reason(
                    f"{container['name']}: exit code {termination['exitCode']}", termination.get("reason")
                )
    yield _format_reason(status.get("reason") or "", status.get("message"))
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield _format_reason(condition.get("reason") or "", condition.get("message"))


def _format_reason(reason: str, message: str | None) -> str:
    return _first_line(f"{reason}: {message}" if reason and message else reason or message or "")


def _service_status(resource: Mapping[str, Any]) -> tuple[BayManifestStatus, str | None]:
    ingress = ((resource.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if resource["spec"].get("type") == "LoadBalancer" and not ingress:
        return _S.PENDING, "Its load balancer has no address yet."
    return _S.RUNNING, None


def _controller_status(resource: Mapping[str, Any]) -> tuple[BayManifestStatus, str | None]:
    status = resource.get("status") or {}
    replicas, ready = resource["spec"].get("replicas", 1), status.get("readyReplicas", 0)
    failure = next(
        (condition for condition in status.get("conditions") or () if condition.get("status") == "True"), None
    )
    if failure is not None:
        return _S.PENDING, _format_reason(failure.get("reason") or "", failure.get("message"))
    if ready < replicas:
        return _S.PENDING, f"{ready} of {replicas} pods are ready."
    return _S.RUNNING, None


_STATES = {
    BayManifestKind.POD: _pod_status,
    BayManifestKind.SERVICE: _service_status,
    BayManifestKind.RC: _controller_status,
}
