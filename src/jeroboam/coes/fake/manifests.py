"""Objects from manifests inside a fake cluster.

Neighbours: `coe`, whose `FakeCoe` has one and holds what the clusters' own APIs would know. Faults can be injected at
stages: the contract's methods (`manifest.have`), and the moments between the effect and the answer (`manifest.had`,
`manifest.removed`).
"""

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from jeroboam.coes.base import CoePlan, DesiredManifest, ManifestClient
from jeroboam.domain.bay_manifests import KIND_NAMES, BayManifestKind, BayManifestStatus, ManifestState, build_facts
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.faults import Faults

REFUSED = "refused"
"""An object with this name is always refused."""


@dataclass(slots=True)
class FakeObject:
    """An object and the number of times that it was applied."""

    want: DesiredManifest
    status: BayManifestStatus = BayManifestStatus.RUNNING
    reason: str | None = None
    apply_count: int = 1
    lingers: int = 0
    """The number of deletes that it survives."""

    @property
    def state(self) -> ManifestState:
        """The state that the cluster shows."""
        return ManifestState(
            status=self.status, reason=self.reason, facts=build_facts(self.want.kind, self.want.manifest)
        )


Objects = dict[str, FakeObject]
"""By uuid."""


@final
class FakeManifests(ManifestClient):
    """The contract `ManifestClient` without a Kubernetes."""

    def __init__(self, *, faults: Faults, objects_of: Callable[[CoePlan], Awaitable[Objects]]) -> None:
        """`objects_of` returns a cluster's objects. It raises `Temporary` when the cluster's API does not answer."""
        self._faults = faults
        self._objects_of = objects_of

    async def check(self, plan: CoePlan, want: DesiredManifest) -> None:
        await self._faults.meet("manifest.check")
        _check_admission(await self._objects_of(plan), want)

    async def apply(self, plan: CoePlan, want: DesiredManifest) -> ManifestState:
        await self._faults.meet("manifest.have")
        objects = await self._objects_of(plan)
        _check_admission(objects, want)
        want = copy.deepcopy(want)
        if (known_object := objects.get(want.uuid)) is None:
            objects[want.uuid] = FakeObject(want)
        elif known_object.want != want:
            known_object.want, known_object.apply_count = want, known_object.apply_count + 1
        await self._faults.meet("manifest.had")
        return objects[want.uuid].state

    async def inspect(self, plan: CoePlan) -> Mapping[str, ManifestState]:
        await self._faults.meet("manifest.look")
        return {uuid: item.state for uuid, item in (await self._objects_of(plan)).items()}

    async def list_owned(self, plan: CoePlan) -> Sequence[str]:
        await self._faults.meet("manifest.owned")
        return list(await self._objects_of(plan))

    async def remove(self, plan: CoePlan, uuid: str) -> None:
        await self._faults.meet("manifest.remove")
        objects = await self._objects_of(plan)
        if (known_object := objects.get(uuid)) is not None and known_object.lingers > 0:
            known_object.lingers -= 1
            raise Temporary("it is going away")
        objects.pop(uuid, None)
        await self._faults.meet("manifest.removed")


def _check_admission(objects: Objects, want: DesiredManifest) -> None:
    title = KIND_NAMES[want.kind]
    if want.name == REFUSED:
        raise Permanent(f'{title} "{want.name}" is invalid: spec: it cannot be so')
    namesakes = [
        candidate
        for candidate in objects.values()
        if (candidate.want.kind, candidate.want.name) == (want.kind, want.name)
    ]
    if any(namesake.want.uuid != want.uuid for namesake in namesakes):
        raise Permanent(f"there is another {title} called {want.name} in the cluster")
    old = objects.get(want.uuid)
    if old is not None and want.kind is BayManifestKind.POD and _commands_of(old.want) != _commands_of(want):
        raise Permanent(f'Pod "{want.name}" is invalid: spec: Forbidden: pod updates may not change its command')


def _commands_of(want: DesiredManifest) -> list[object]:
    return [container.get("command") for container in want.manifest["spec"].get("containers", ())]
