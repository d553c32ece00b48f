"""Objects for tests, with everything that a test does not care about filled in."""

import datetime as dt
import itertools
import uuid
from dataclasses import replace

from jeroboam.domain.bay_containers import BayContainer, BayContainerOp, BayContainerSpec, ContainerAction
from jeroboam.domain.bay_manifests import KIND_NAMES, BayManifest, BayManifestKind, BayManifestSpec
from jeroboam.domain.capsules import Capsule, CapsuleSpec, MemberSpec
from jeroboam.domain.clusters import Cluster, ClusterSpec, NodeGroup, NodeGroupSpec, Template, TemplateSpec
from jeroboam.domain.containers import Container, ContainerSpec, Op, OpKind
from jeroboam.domain.events import Event
from jeroboam.domain.hosts import Host, HostFacts

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
_numbers = itertools.count(1)


def new_uuid() -> str:
    return str(uuid.uuid4())


def template(**changes) -> Template:
    spec = TemplateSpec(coe="fake", image_id="swarm-node", flavor_id="m1.small", driver="fake")
    base = Template(
        uuid=new_uuid(), name=f"t{next(_numbers)}", project_id="p1", user_id="u1", spec=spec, created_at=NOW
    )
    return replace(base, **changes)


def cluster(of: Template, **changes) -> Cluster:
    base = Cluster(
        uuid=new_uuid(),
        name=f"c{next(_numbers)}",
        project_id="p1",
        user_id="u1",
        template_id=of.uuid,
        spec=ClusterSpec(template=of.spec),
        deadline_at=NOW + dt.timedelta(minutes=60),
        created_at=NOW,
    )
    return replace(base, **changes)


def groups(of: Cluster, masters: int = 1, workers: int = 1) -> list[NodeGroup]:
    return [
        NodeGroup(
            uuid=new_uuid(),
            name=f"default-{role}",
            cluster_id=of.uuid,
            project_id=of.project_id,
            spec=NodeGroupSpec(role=role, node_count=count, is_default=True),
            created_at=NOW,
        )
        for role, count in (("master", masters), ("worker", workers))
    ]


def event(of: Cluster, **changes) -> Event:
    base = Event(
        uuid=new_uuid(),
        cluster_id=of.uuid,
        cluster_name=of.name,
        project_id=of.project_id,
        event_type="cluster.status",
        status=of.status,
        created_at=NOW,
    )
    return replace(base, **changes)


def container(**changes) -> Container:
    base = Container(
        uuid=new_uuid(),
        name=f"k{next(_numbers)}",
        project_id="p1",
        user_id="u1",
        spec=ContainerSpec(image="busybox"),
        ops=(Op(seq=1, kind=OpKind.CREATE, params={"run": True}),),
        deadline_at=NOW + dt.timedelta(seconds=600),
        created_at=NOW,
    )
    return replace(base, **changes)


def capsule(**spec) -> Capsule:
    """A capsule with one container, unless the spec says otherwise."""
    member = MemberSpec(uuid=new_uuid(), name=f"m{next(_numbers)}", container=ContainerSpec(image="busybox"))
    return Capsule(
        uuid=new_uuid(),
        name=f"p{next(_numbers)}",
        project_id="p1",
        user_id="u1",
        spec=CapsuleSpec(**{"containers": (member,)} | spec),
        ops=(Op(seq=1, kind=OpKind.CREATE),),
        deadline_at=NOW + dt.timedelta(seconds=600),
        created_at=NOW,
    )


def host(**changes) -> Host:
    facts = HostFacts(hostname="h1", cpus=4, mem_total=8192, disk_total=100)
    base = Host(uuid=new_uuid(), hostname="h1", facts=facts, last_seen=NOW, created_at=NOW)
    return replace(base, **changes)


def workload(inside: Cluster, **changes) -> BayContainer:
    base = BayContainer(
        uuid=new_uuid(),
        name=f"w{next(_numbers)}",
        project_id=inside.project_id,
        user_id="u1",
        cluster_id=inside.uuid,
        spec=BayContainerSpec(image="busybox"),
        ops=(BayContainerOp(seq=1, act=ContainerAction.CREATE),),
        deadline_at=NOW + dt.timedelta(seconds=600),
        created_at=NOW,
    )
    return replace(base, **changes)


def manifest(kind: BayManifestKind = BayManifestKind.POD, name: str = "it", *, image: str = "busybox") -> dict:
    containers = [{"name": "it", "image": image, "command": ["sleep", "600"]}]
    spec = {
        BayManifestKind.POD: {"containers": containers},
        BayManifestKind.SERVICE: {"selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": "web"}]},
        BayManifestKind.RC: {
            "replicas": 2,
            "selector": {"app": "x"},
            "template": {"spec": {"containers": containers}},
        },
    }[kind]
    return {
        "apiVersion": "v1",
        "kind": KIND_NAMES[kind],
        "metadata": {"name": name, "labels": {"a": "b"}},
        "spec": spec,
    }


def orchestrated(inside: Cluster, **changes) -> BayManifest:
    kind, name = changes.get("kind", BayManifestKind.POD), changes.get("name", f"o{next(_numbers)}")
    base = BayManifest(
        uuid=new_uuid(),
        name=name,
        project_id=inside.project_id,
        user_id="u1",
        kind=kind,
        cluster_id=inside.uuid,
        spec=BayManifestSpec(manifest=manifest(kind, name), text="as it was written"),
        deadline_at=NOW + dt.timedelta(seconds=600),
        created_at=NOW,
    )
    return replace(base, **changes)
