"""A cluster gets another certificate authority, nobody who holds what was handed out last is cut off, whatever dies."""

from dataclasses import dataclass, replace

import pytest

from jeroboam.coes.base import Authority
from jeroboam.coes.fake.coe import SHOWN, TRUSTED
from jeroboam.conductor.clusters.rotation import list_given_authorities, list_trusted_authorities
from jeroboam.domain import states
from jeroboam.domain.clusters import FORMER, MAIN, NEXT, READY, Operation
from jeroboam.domain.errors import Permanent, Temporary
from tests.clock import until


@dataclass(frozen=True)
class Client:
    """Whose certificate it shows and whom it trusts."""

    issuer: str
    trusts: str

    def reaches(self, node) -> bool:
        files = {file.path: file.content.decode() for file in node.files}
        return files[SHOWN] in self.trusts and self.issuer in files[TRUSTED]


class Witness:
    """Looks at a rotation as clients see it: what is handed out, and whether nodes take it."""

    def __init__(self, rig, uuid) -> None:
        self.rig = rig
        self.uuid = uuid
        self.first: Client | None = None
        self.handed: set[Client] = set()
        """Since every node accepts the new authority."""
        self.stages: list[frozenset[str]] = []
        self.authorities: set[str] = set()

    async def look(self) -> bool:
        """What there is now; whether the cluster's wish has ended."""
        async with self.rig.store.read() as tx:
            known = {each.kind: each.pem for each in await tx.certificates.select({"cluster_id": self.uuid})}
            cluster = await tx.clusters.get(self.uuid)
        nodes = list(self.rig.scripts(self.uuid).values())
        self.authorities |= set(known.values())
        if not self.stages or self.stages[-1] != frozenset(known):
            self.stages.append(frozenset(known))
        order = [known[kind] for kind in (READY, MAIN, NEXT, FORMER) if kind in known]
        client = Client(order[0], "".join(order))
        self.first = self.first or client
        assert all(client.reaches(node) for node in nodes), f"handed out and refused: {sorted(known)}"
        if READY in known or FORMER in known:
            self.handed.add(client)
        assert all(each.reaches(node) for each in self.handed for node in nodes)
        if FORMER not in known and not self.handed:
            assert all(self.first.reaches(node) for node in nodes)
        return not states.is_in_progress(cluster)

    async def until(self, condition=lambda: False) -> None:
        await until(self.rig.clock, self.look, lambda ended: ended or condition(), looks=lambda: 10)

    async def at(self, *kinds) -> None:
        await self.until(lambda: self.stages[-1] == frozenset(kinds))

    async def done(self, status="UPDATE_COMPLETE") -> None:
        """It has ended: only the new authority counts, and there were two in all."""
        await self.until()
        await self.look()
        cluster = await self.rig.get(self.uuid)
        assert (cluster.status, cluster.status_reason) == (status, None)
        assert cluster.observed.ca_generation == cluster.spec.ca_generation == 1
        assert self.stages[-1] == {MAIN}
        assert len(self.authorities) == 2
        for node in self.rig.scripts(self.uuid).values():
            assert not self.first.reaches(node)
            assert all(client.reaches(node) for client in self.handed)


async def rotate(rig, uuid) -> None:
    async with rig.store.write() as tx:
        cluster = states.ask_cluster(await tx.clusters.get(uuid), Operation.UPDATE, now=rig.clock.now(), minutes=60)
        await tx.clusters.update(replace(cluster, spec=replace(cluster.spec, ca_generation=1)))
        tx.hint("cluster", uuid)


@pytest.fixture
async def witness(rig):
    made = await rig.create(workers=2)
    await rig.settled(made.uuid)
    witness = Witness(rig, made.uuid)
    await witness.look()
    return witness


async def test_old_and_new_overlap_and_then_the_new_one_is_alone(rig, witness):
    before = rig.clock.monotonic()
    await rotate(rig, witness.uuid)
    await witness.done()
    assert witness.stages == [{MAIN}, {MAIN, NEXT}, {MAIN, READY}, {MAIN, FORMER}, {MAIN}]
    assert rig.clock.monotonic() - before >= 5
    assert sorted(rig.cloud.renewals) == sorted(rig.names(witness.uuid) * 2), "each node twice, and no more"
    assert len(rig.cloud.boots) == 3
    assert {len(trusted.split("BEGIN")) - 1 for trusted in rig.coe.clusters[witness.uuid].announced_bundles} == {2}
    async with rig.store.read() as tx:
        [left] = await tx.certificates.select({"cluster_id": witness.uuid})
    assert rig.sealer.open(left.sealed_key, context=f"certificate/{witness.uuid}/main").startswith(b"-----BEGIN")


async def test_during_the_overlap_the_status_says_so(rig, witness):
    await rotate(rig, witness.uuid)
    await witness.at(MAIN, READY)
    said = await rig.until(witness.uuid, lambda c: "old and new" in (c.status_reason or ""))
    assert said.status == "UPDATE_IN_PROGRESS"


@pytest.mark.parametrize("stage", ["stale", "renew", "renewed", "join"])
@pytest.mark.parametrize("kinds", [(MAIN, NEXT), (MAIN, READY), (MAIN, FORMER)], ids=["told", "overlap", "parting"])
async def test_a_kill_at_any_moment_changes_nothing(rig, witness, kinds, stage):
    await rotate(rig, witness.uuid)
    await witness.at(*kinds)
    faulty = rig.coe if stage in {"stale", "join"} else rig.provider
    faulty.faults.hold(stage)
    faulty.faults.event_for(stage).clear()
    await witness.until(lambda: faulty.faults.event_for(stage).is_set())
    await rig.restart()
    await witness.done()


@pytest.mark.parametrize("kinds", [(MAIN, NEXT), (MAIN, READY), (MAIN, FORMER)], ids=["told", "overlap", "parting"])
async def test_a_node_that_is_lost_meanwhile_comes_back_with_what_counts(rig, witness, kinds):
    await rotate(rig, witness.uuid)
    await witness.at(*kinds)
    node = (await rig.groups(witness.uuid))[1].desired[0]
    rig.cloud.lose(witness.uuid, node.uuid)
    del rig.cloud.clusters[witness.uuid].scripts[node.uuid]
    await witness.done()
    assert node.name in rig.names(witness.uuid)


@pytest.mark.parametrize("kinds", [(MAIN, NEXT), (MAIN, READY), (MAIN, FORMER)], ids=["told", "overlap", "parting"])
async def test_another_wish_meanwhile_is_carried_out_too(rig, witness, kinds):
    await rotate(rig, witness.uuid)
    await witness.at(*kinds)
    await rig.ask(witness.uuid, Operation.UPDATE, workers=4)
    await witness.done()
    assert len(rig.names(witness.uuid)) == 5


@pytest.mark.parametrize("kinds", [(MAIN, NEXT), (MAIN, FORMER)], ids=["told", "parting"])
async def test_a_fault_is_told_and_a_new_wish_goes_on_where_it_stopped(rig, witness, kinds):
    await rotate(rig, witness.uuid)
    await witness.at(*kinds)
    rig.provider.faults.fail("renew", Permanent("the node's disk is full"))
    await witness.until()
    failed = await rig.get(witness.uuid)
    assert (failed.status, failed.status_reason) == ("UPDATE_FAILED", "the node's disk is full")
    rig.provider.faults.mend("renew")
    await rig.ask(witness.uuid, Operation.UPDATE)
    await witness.done()


async def test_a_passing_fault_is_waited_out(rig, witness):
    rig.provider.faults.fail("renew", Temporary("the engine is busy"), times=2)
    await rotate(rig, witness.uuid)
    await witness.done()


async def test_a_delete_overtakes_a_rotation(rig, witness):
    await rotate(rig, witness.uuid)
    await witness.at(MAIN, READY)
    await rig.ask(witness.uuid, Operation.DELETE)
    assert await rig.settled(witness.uuid) is None
    async with rig.store.read() as tx:
        assert await tx.certificates.select() == []


async def test_certificates_that_end_soon_are_renewed_one_node_after_the_other(rig, witness):
    scripts = rig.scripts(witness.uuid)
    master, worker, _ = rig.names(witness.uuid)
    nodes = {node.name: node.uuid for node in rig.cloud.clusters[witness.uuid].nodes.values()}
    members = rig.coe.clusters[witness.uuid]
    members.due = {nodes[name]: scripts[nodes[name]] for name in (master, worker)}
    await rig.ask(witness.uuid, Operation.UPDATE)
    await rig.settled(witness.uuid)
    assert sorted(rig.cloud.renewals) == [master, worker]
    assert set(rig.cloud.boots) == {master, worker, *rig.names(witness.uuid)}
    assert len(rig.cloud.boots) == 3, "nothing was restarted by anybody else"


def named(*kinds: str) -> dict[str, Authority]:
    return {kind: Authority(pem=f"<{kind}>", key=b"") for kind in kinds}


def together(authorities: dict[str, Authority]) -> dict[str, str]:
    return {kind: each.trust_bundle for kind, each in authorities.items()}


@pytest.mark.parametrize(
    ("kinds", "speaking", "nodes"),
    [
        (("main", "etcd"), ("<main>", "<etcd>"), ("<main>", "<etcd>")),
        (
            ("main", "etcd", "next", "etcd-next"),
            ("<main><next>", "<etcd><etcd-next>"),
            ("<main><next>", "<etcd><etcd-next>"),
        ),
        (
            ("main", "etcd", "ready", "etcd-ready"),
            ("<main><ready>", "<etcd><etcd-ready>"),
            # What only nodes know of each other turns first.
            ("<main><ready>", "<etcd-ready><etcd>"),
        ),
        (("main", "etcd", "former", "etcd-former"), ("<main><former>", "<etcd><etcd-former>"), ("<main>", "<etcd>")),
    ],
    ids=["none", "told", "overlap", "parting"],
)
def test_what_nodes_are_given_of_several_authorities(kinds, speaking, nodes):
    stored = named(*kinds)
    assert together(list_trusted_authorities(stored)) == {"main": speaking[0], "etcd": speaking[1]}
    assert together(list_given_authorities(stored)) == {"main": nodes[0], "etcd": nodes[1]}
