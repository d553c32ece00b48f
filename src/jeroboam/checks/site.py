"""The context of the checks: a namespace of their own in a cluster, with a small server on every node.

Neighbours: `manifests` defines the objects; the checks create and ask; `runner` opens and closes the context.
"""

import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from jeroboam.checks.manifests import MARK, PLURALS, PORT, SLOW, Json, daemon_set, namespace, server
from jeroboam.clients.kubernetes import KubernetesApi, ObjectNotFound
from jeroboam.clients.kubernetes_streams import CommandResult, run
from jeroboam.domain.errors import Temporary
from jeroboam.kit.clock import Clock

T = TypeVar("T")

WEB = "web"
"""The name of the server on every node, and the value of its label `app`."""

_POLL_SECONDS = 0.2
_RUN_SECONDS = 20.0
_TRIES = 4
_AGAIN_SECONDS = 1.0
_NO_WORK = frozenset({"NoSchedule", "NoExecute"})
# The taints that the cluster puts on a node that boots, and removes a moment after the node is ready.
# A cordoned node is recognised by another field.
_PASSING = frozenset(
    f"node.kubernetes.io/{why}" for why in ("not-ready", "unreachable", "network-unavailable", "unschedulable")
)


class CheckFailed(Exception):
    """The cluster does not do what it must."""


class CheckSkipped(Exception):
    """The cluster lacks what the check needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedNode:
    """A node of the cluster."""

    name: str
    address: str
    is_ready: bool
    serves: bool
    """Whether pods of a DaemonSet without tolerations run on the node. They also run on a cordoned node."""
    takes_work: bool
    """Whether other pods may run on the node."""
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningPod:
    """A pod that runs."""

    name: str
    node: str
    address: str


@dataclass(frozen=True, kw_only=True)
class CheckContext:
    """One namespace. All objects carry its label, so that they can be removed."""

    api: KubernetesApi
    bearer: Callable[[str], KubernetesApi]
    """Returns a connection as the user of a token, and as nobody else."""
    clock: Clock
    namespace: str
    nodes: Sequence[CheckedNode]
    image: str
    seconds: float
    """The time limit of each wait of a check."""
    _elsewhere: list[str] = field(default_factory=list)
    """The paths of the objects outside the namespace."""

    @property
    def workers(self) -> list[CheckedNode]:
        """The nodes that take work."""
        return [node for node in self.nodes if node.takes_work]

    @property
    def servers(self) -> list[CheckedNode]:
        """The nodes on which the server runs."""
        return [node for node in self.nodes if node.serves]

    def path(self, kind: str, name: str = "") -> str:
        """Return the path of that kind, or of one object."""
        collection = PLURALS[kind].format(namespace=self.namespace)
        return f"/{collection}/{name}" if name else f"/{collection}"

    async def apply(self, manifest: Json) -> Json:
        """Apply the object and return it."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        manifest["metadata"].setdefault("labels", {})[MARK] = self.namespace
        path = self.path(kind, name)
        if "{namespace}" not in PLURALS[kind]:
            self._elsewhere.append(path)
        await self.call_with_retries(lambda: self.api.apply(path, manifest, f"making {kind} {name}"))
        return manifest

    async def get(self, kind: str, name: str) -> Json:
        """Return the object. Raises `ObjectNotFound` if there is none."""
        return await self.call_with_retries(lambda: self.api.get(self.path(kind, name), f"asking for {kind} {name}"))

    async def pods(self, app: str) -> list[RunningPod]:
        """Return the ready pods with that label `app`."""
        return [parse_pod(each) for each in await self.list_objects("Pod", app) if is_ready(each)]

    async def list_objects(self, kind: str, app: str) -> list[Json]:
        """Return the objects of a kind with that label `app`."""
        query = f"{self.path(kind)}?labelSelector=app%3D{app}"
        listing = await self.call_with_retries(lambda: self.api.get(query, f"asking for the {kind}s of {app}"))
        return list(listing["items"])

    async def call_with_retries(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `ask`. Retry a few times while the API does not answer: no check tests that."""
        for _ in range(_TRIES - 1):
            try:
                return await ask()
            except Temporary:
                await self.clock.sleep(_AGAIN_SECONDS)
        return await ask()

    async def until(self, description: str, look: Callable[[], Awaitable[T]], good: Callable[[T], object]) -> T:
        """Return a good result of `look`; wait for missing objects. Raises `CheckFailed` with the last result."""
        end = self.clock.monotonic() + self.seconds
        while True:
            try:
                current: object = await look()
                if good(current):  # type: ignore[arg-type]
                    return current  # type: ignore[return-value]
            except (Temporary, ObjectNotFound) as error:
                current = error.reason
            if self.clock.monotonic() >= end:
                raise CheckFailed(
                    f"{description}: not after {self.seconds:g} s; the last thing seen: {_short(current)}"
                )
            await self.clock.sleep(_POLL_SECONDS)

    async def list_web_pods(self) -> list[RunningPod]:
        """Return the server's pods once all are ready: one for each node on which the server runs."""
        await self.until("a pod on every node", lambda: self.pods(WEB), lambda pods: len(pods) == len(self.servers))
        return sorted(await self.pods(WEB), key=lambda pod: pod.node)

    async def run(self, where: RunningPod | str, *command: str, stdin: str | None = None) -> CommandResult:
        """Run a command in a pod."""
        name = where if isinstance(where, str) else where.name
        return await run(self.api, name, command, namespace=self.namespace, stdin=stdin, seconds=_RUN_SECONDS)

    async def ask(self, where: RunningPod, host: str, port: int = PORT, *, times: int = 1) -> list[str]:
        """Return the server's answers to `times` requests from a pod. A request without an answer adds nothing.

        The pod asks with `nc`: the `wget` of a statically linked busybox crashes at some look-ups of names.
        """
        one = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {shlex.quote(host)} {port} | tail -n 1; echo"
        loop = f"i=0; while [ $i -lt {times} ]; do {one}; i=$((i + 1)); done"
        result = await self.run(where, "sh", "-c", loop)
        return result.stdout.split()

    async def open(self) -> None:
        """Start a server on every node that may have one."""
        await self.apply(daemon_set(WEB, server(self.image)))

    async def close(self) -> None:
        """Remove all objects. Workloads have ended when this returns; the cluster removes the empty namespace later.

        Slow kinds are removed first: the cluster checks a namespace that is not empty again only after a quarter of a
        minute.
        """
        try:
            for kind in SLOW:
                await self._remove(f"{self.path(kind)}?propagationPolicy=Background")
            await self.until("what the checks made gone", self._list_remaining, lambda names: not names)
        finally:
            for path in (f"/api/v1/namespaces/{self.namespace}", *self._elsewhere):
                await self._remove(path)
        for path in self._elsewhere:
            await self.until(f"{path} gone", partial(self._is_gone, path), bool)

    async def _is_gone(self, path: str) -> bool:
        try:
            await self.api.get(path, f"looking for {path}")
        except ObjectNotFound:
            return True
        return False

    async def _remove(self, path: str) -> None:
        await self.call_with_retries(lambda: self.api.delete(path, f"removing {path.partition('?')[0]}"))

    async def _list_remaining(self) -> list[str]:
        listings = [await self.api.get(self.path(kind), "asking for what is left") for kind in SLOW]
        return [each["metadata"]["name"] for some in listings for each in some["items"]]


async def enter(
    api: KubernetesApi, bearer: Callable[[str], KubernetesApi], clock: Clock, *, image: str, seconds: float
) -> CheckContext:
    """Return a new namespace in that cluster. Raises `CheckFailed` if no node takes work."""
    listing = await api.get("/api/v1/nodes", "asking the cluster for its nodes")
    nodes = tuple(_parse_node(each) for each in listing["items"])
    if not any(node.takes_work for node in nodes):
        raise CheckFailed("no node of the cluster takes work: each is not ready, cordoned or tainted")
    created = await api.post("/api/v1/namespaces", namespace(), "making a namespace")
    name = created["metadata"]["name"]
    return CheckContext(api=api, bearer=bearer, clock=clock, namespace=name, nodes=nodes, image=image, seconds=seconds)


def _parse_node(node: Mapping[str, Any]) -> CheckedNode:
    conditions = {each["type"]: each["status"] for each in node["status"].get("conditions") or ()}
    taints = node["spec"].get("taints") or ()
    is_tainted = any(taint["effect"] in _NO_WORK and taint["key"] not in _PASSING for taint in taints)
    addresses = {each["type"]: each["address"] for each in node["status"].get("addresses") or ()}
    is_ready = conditions.get("Ready") == "True"
    return CheckedNode(
        name=node["metadata"]["name"],
        address=addresses.get("InternalIP", ""),
        is_ready=is_ready,
        serves=is_ready and not is_tainted,
        takes_work=is_ready and not is_tainted and not node["spec"].get("unschedulable"),
        version=node["status"]["nodeInfo"]["kubeletVersion"],
    )


def parse_pod(body: Mapping[str, Any]) -> RunningPod:
    """Return the pod of an API object."""
    return RunningPod(name=body["metadata"]["name"], node=body["spec"]["nodeName"], address=body["status"]["podIP"])


def is_ready(body: Mapping[str, Any]) -> bool:
    """Whether a pod is ready and is not being deleted."""
    conditions = {each["type"]: each["status"] for each in body["status"].get("conditions") or ()}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in body["metadata"]


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) < 300 else f"{text[:300]}…"  # noqa: PLR2004
