"""What manifests make inside a fake cluster.

Neighbours: `fake`, which has one and holds what the clusters' own APIs would know. Stages that can be made to fail are
the contract's methods with `manifest.` before them, and the moments when the thing is done and nobody has been told
(`manifest.had`, `manifest.removed`).
"""

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from jeroboam.coes.base import CoePlan, DesiredManifest, ManifestClient
from jeroboam.domain.bay_manifests import CALLED, BayManifestKind, BayManifestStatus, ManifestState, facts_of
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.faults import Faults

REFUSED = "refused"
"""A name that no object can have here."""


@dataclass(slots=True)
class FakeObject:
    """An object, and how often it was applied."""

    want: DesiredManifest
    status: BayManifestStatus = BayManifestStatus.RUNNING
    reason: str | None = None
    applied: int = 1
    lingers: int = 0
    """How many deletes it outlives."""

    @property
    def seen(self) -> ManifestState:
        """As the cluster shows it."""
        return ManifestState(status=self.status, reason=self.reason, facts=facts_of(self.want.kind, self.want.manifest))


Objects = dict[str, FakeObject]
"""By uuid."""


@final
class FakeManifests(ManifestClient):
    """The contract `Manifests` without a Kubernetes."""

    def __init__(self, *, faults: Faults, of: Callable[[CoePlan], Awaitable[Objects]]) -> None:
        """`of` gives the objects of a cluster, and raises `Temporary` for one whose API does not answer."""
        self._met = faults
        self._of = of

    async def check(self, plan: CoePlan, want: DesiredManifest) -> None:
        await self._met.meet("manifest.check")
        _admit(await self._of(plan), want)

    async def have(self, plan: CoePlan, want: DesiredManifest) -> ManifestState:
        await self._met.meet("manifest.have")
        there = await self._of(plan)
        _admit(there, want)
        want = copy.deepcopy(want)
        if (found := there.get(want.uuid)) is None:
            there[want.uuid] = FakeObject(want)
        elif found.want != want:
            found.want, found.applied = want, found.applied + 1
        await self._met.meet("manifest.had")
        return there[want.uuid].seen

    async def look(self, plan: CoePlan) -> Mapping[str, ManifestState]:
        await self._met.meet("manifest.look")
        return {uuid: found.seen for uuid, found in (await self._of(plan)).items()}

    async def owned(self, plan: CoePlan) -> Sequence[str]:
        await self._met.meet("manifest.owned")
        return list(await self._of(plan))

    async def remove(self, plan: CoePlan, uuid: str) -> None:
        await self._met.meet("manifest.remove")
        there = await self._of(plan)
        if (found := there.get(uuid)) is not None and found.lingers > 0:
            found.lingers -= 1
            raise Temporary("it is going away")
        there.pop(uuid, None)
        await self._met.meet("manifest.removed")


def _admit(there: Objects, want: DesiredManifest) -> None:
    called = CALLED[want.kind]
    if want.name == REFUSED:
        raise Permanent(f'{called} "{want.name}" is invalid: spec: it cannot be so')
    others = [each for each in there.values() if (each.want.kind, each.want.name) == (want.kind, want.name)]
    if any(each.want.uuid != want.uuid for each in others):
        raise Permanent(f"there is another {called} called {want.name} in the cluster")
    old = there.get(want.uuid)
    if old is not None and want.kind is BayManifestKind.POD and _command(old.want) != _command(want):
        raise Permanent(f'Pod "{want.name}" is invalid: spec: Forbidden: pod updates may not change its command')


def _command(want: DesiredManifest) -> list[object]:
    return [each.get("command") for each in want.manifest["spec"].get("containers", ())]
