"""What every COE that holds single containers must do: one suite, passed by the fake and by a real Swarm."""

import asyncio
import io
import subprocess
import uuid as uuids
from dataclasses import replace

import pytest

from jeroboam.clients.docker import connect, translate_errors
from jeroboam.coes.base import BayContainerState, DesiredContainer, SupportsContainers
from jeroboam.coes.swarm.containers import WORKLOAD_LABEL, read_state
from jeroboam.coes.swarm.engines import SwarmEngines
from jeroboam.domain.bay_containers import ContainerAction
from jeroboam.domain.containers import RuntimeState
from jeroboam.domain.errors import Permanent, Temporary
from tests.contract.rigs import CLOCK, fake_coe_rig, swarm_rig

# The first process of a container takes no heed of a signal that it has no handler for.
SLEEP = ("sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait")
SWARM = pytest.param("swarm", marks=pytest.mark.docker)


@pytest.fixture(params=["fake", SWARM])
async def rig(request, busybox):
    made = await fake_coe_rig() if request.param == "fake" else await swarm_rig()
    try:
        await made.boot(made.nodes(1, 1))
        await made.coe.join(made.plan())
        if request.param == "swarm":
            await load(made, busybox)
        yield made
    finally:
        await made.infra.close()


def fleet(rig) -> SwarmEngines:
    return SwarmEngines(authority=rig.authority, port=2376, clock=CLOCK)


async def load(rig, image: str) -> None:
    """Bring the image to the first master: there is no registry."""
    saved = subprocess.run(["docker", "image", "save", image], capture_output=True, check=True).stdout
    async with fleet(rig) as engines:
        await engines.client_of(rig.members[0].address).images.import_image(io.BytesIO(saved))


def want(**changes) -> DesiredContainer:
    given = {"uuid": str(uuids.uuid4()), "name": "box", "image": "busybox:latest", "command": SLEEP}
    return DesiredContainer(**{**given, **changes})


async def test_life(rig):
    coe, plan, box = rig.coe, rig.plan(), want()
    assert isinstance(coe, SupportsContainers)
    assert await coe.inspect(plan, box.uuid) is None
    made = await coe.create(plan, box)
    assert (made.state, made.started_at) == (RuntimeState.CREATED, None)
    assert await coe.create(plan, box) == made, "one that exists is left as it is"
    assert await coe.list_owned(plan) == [box.uuid]
    started = await coe.act(plan, box.uuid, ContainerAction.START)
    assert started.state is RuntimeState.RUNNING
    assert await coe.act(plan, box.uuid, ContainerAction.START) == started, "what is so already is no error"
    assert await coe.inspect(plan, box.uuid) == started
    for _ in range(2):
        assert (await coe.act(plan, box.uuid, ContainerAction.PAUSE)).state is RuntimeState.PAUSED
    for _ in range(2):
        assert (await coe.act(plan, box.uuid, ContainerAction.UNPAUSE)).state is RuntimeState.RUNNING
    again = await coe.act(plan, box.uuid, ContainerAction.REBOOT)
    assert again.state is RuntimeState.RUNNING
    assert again.started_at is not None
    assert started.started_at is not None
    assert again.started_at > started.started_at
    for _ in range(2):
        assert (await coe.act(plan, box.uuid, ContainerAction.STOP)).state is RuntimeState.EXITED
    for _ in range(2):
        await coe.remove(plan, box.uuid)
        assert await coe.inspect(plan, box.uuid) is None
    assert await coe.list_owned(plan) == []


async def test_what_is_gone(rig):
    coe, plan, uuid = rig.coe, rig.plan(), str(uuids.uuid4())
    assert await coe.logs(plan, uuid) is None
    assert await coe.execute(plan, uuid, ["true"], limit=5) is None
    with pytest.raises(Permanent, match="gone"):
        await coe.act(plan, uuid, ContainerAction.STOP)


async def test_what_the_state_forbids(rig):
    coe, plan, box = rig.coe, rig.plan(), want()
    await coe.create(plan, box)
    for act in (ContainerAction.PAUSE, ContainerAction.UNPAUSE):
        with pytest.raises(Permanent):
            await coe.act(plan, box.uuid, act)
    with pytest.raises(Permanent):
        await coe.execute(plan, box.uuid, ["true"], limit=5)


async def test_a_running_one_is_removed_too(rig):
    coe, plan, box = rig.coe, rig.plan(), want()
    await coe.create(plan, box)
    await coe.act(plan, box.uuid, ContainerAction.START)
    await coe.act(plan, box.uuid, ContainerAction.PAUSE)
    await coe.remove(plan, box.uuid)
    assert await coe.inspect(plan, box.uuid) is None


async def test_two_at_once_are_one(rig):
    coe, plan, box = rig.coe, rig.plan(), want()
    for answer in await asyncio.gather(*(coe.create(plan, box) for _ in range(4)), return_exceptions=True):
        # One may come amid another's work, and has to ask again.
        assert isinstance(answer, BayContainerState | Temporary), answer
    await coe.create(plan, box)
    assert await coe.list_owned(plan) == [box.uuid]


# --------------------------------------------------------------------------------------------- on a real Swarm only


@pytest.mark.docker
async def test_one_that_is_listed_and_not_there_is_asked_for_again():
    """The Engine lists a container before it shows it, and after: nothing is wrong with the wish for it."""
    async with connect() as docker:
        with pytest.raises(Temporary, match="the Engine lists container 000000000000 and does not show it"):
            await read_state(docker.containers.container("0" * 64))


@pytest.fixture
async def swarm(busybox):
    made = await swarm_rig()
    try:
        await made.boot(made.nodes(1, 0))
        await made.coe.join(made.plan())
        await load(made, busybox)
        yield made
    finally:
        await made.infra.close()


@pytest.mark.docker
async def test_what_it_prints_and_answers_is_real(swarm):
    coe, plan = swarm.coe, swarm.plan()
    box = want(command=("sh", "-c", "echo out; echo err >&2; sleep 600"), memory=64 << 20)
    await coe.create(plan, box)
    await coe.act(plan, box.uuid, ContainerAction.START)
    async with asyncio.timeout(10):
        # Two pipes: the Engine may hear of either first.
        while (text := await coe.logs(plan, box.uuid)) not in {"out\nerr\n", "err\nout\n"}:
            assert text in {"", "out\n", "err\n"}
    answer = await coe.execute(plan, box.uuid, ["sh", "-c", "hostname; exit 3"], limit=5)
    assert (answer.output, answer.exit_code) == (f"{box.uuid}\n", 3)
    with pytest.raises(Permanent, match="did not end within"):
        await coe.execute(plan, box.uuid, ["sleep", "60"], limit=0.5)
    async with fleet(swarm) as engines:
        shown = await engines.client_of(swarm.members[0].address).containers.get(f"jeroboam-{box.uuid}")
    assert shown["HostConfig"]["Memory"] == shown["HostConfig"]["MemorySwap"] == 64 << 20


@pytest.mark.docker
async def test_only_what_carries_our_label_is_touched(swarm):
    coe, plan, box = swarm.coe, swarm.plan(), want()
    async with fleet(swarm) as engines:
        engine = engines.client_of(swarm.members[0].address)
        with translate_errors("making somebody's container"):
            await engine.containers.create({"Image": "busybox:latest"}, name="somebodys")
            await engine.containers.create({"Image": "busybox:latest"}, name=f"jeroboam-{box.uuid}")
        with pytest.raises(Permanent, match="taken by another's"):
            await coe.create(plan, box)
        await coe.remove(plan, box.uuid)
        assert await coe.list_owned(plan) == []
        assert len(await engine.containers.list(all=1)) == 2
        assert not [each for each in await engine.containers.list(all=1) if WORKLOAD_LABEL in each["Labels"]]


@pytest.mark.docker
async def test_the_engines_words_come_through(swarm):
    coe, plan = swarm.coe, swarm.plan()
    with pytest.raises(Permanent, match="not the name of an image"):
        await coe.create(plan, want(image="../x"))
    with pytest.raises((Permanent, Temporary), match="pulling image nobody/has-this"):
        await coe.create(plan, want(image="nobody/has-this"))
    with pytest.raises(Permanent, match=r"[Mm]emory limit"):
        await coe.create(plan, want(memory=1024))
    box = want(command=("no-such-program",))
    await coe.create(plan, box)
    with pytest.raises(Permanent, match="no-such-program"):
        await coe.act(plan, box.uuid, ContainerAction.START)


@pytest.mark.docker
async def test_a_master_that_does_not_answer_is_no_word_on_what_exists(swarm):
    coe, plan, box = swarm.coe, swarm.plan(), want()
    await coe.create(plan, box)
    await swarm.infra.kill(swarm.cluster_id, swarm.members[0].uuid)
    for question in (
        coe.inspect(plan, box.uuid),
        coe.create(plan, box),
        coe.remove(plan, box.uuid),
        coe.list_owned(plan),
    ):
        with pytest.raises(Temporary):
            await question
    await swarm.start_all()
    async with asyncio.timeout(30):
        while True:
            try:
                assert (await coe.inspect(plan, box.uuid)).state is RuntimeState.CREATED
            except Temporary:
                continue
            break


@pytest.mark.docker
async def test_a_master_that_is_made_anew_keeps_its_containers(swarm):
    coe, plan, box = swarm.coe, swarm.plan(), want()
    await coe.create(plan, box)
    await coe.act(plan, box.uuid, ContainerAction.START)
    [node] = swarm.wanted
    other = swarm.want([replace(node, build=1)])
    await swarm.provider.rebuild(other, node.uuid, swarm.scripts()[node.uuid])
    await coe.join(plan)
    assert (await coe.inspect(plan, box.uuid)).state is RuntimeState.EXITED
    assert (await coe.act(plan, box.uuid, ContainerAction.START)).state is RuntimeState.RUNNING
