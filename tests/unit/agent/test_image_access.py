"""Images behind a login, on a host that several projects share."""

import asyncio

import pytest
from msgspec.structs import replace

from jeroboam.agent.image_access import ImageAccess
from jeroboam.agent.journal import Journal
from jeroboam.domain.containers import OpKind, RuntimeState
from jeroboam.domain.errors import Permanent
from jeroboam.domain.registries import RegistryLogin
from jeroboam.protocol import SearchImagesAnswer, SearchImagesRequest
from jeroboam.runtimes.base import ImageRegistryUnreachable
from jeroboam.runtimes.fake import FakeRuntime, InjectedFault
from tests.agent_rig import CREATE, Rig, assignment, op
from tests.clock import settle

SECRET = "r.example:5000/team/secret:1"
OPEN = "r.example:5000/open/app:1"
LOGIN = RegistryLogin(registry_username="anna", registry_password="geheim-Wort!7")
POLICIES = (None, "ifnotpresent", "never", "always")


@pytest.fixture
def runtime():
    made = FakeRuntime()
    made.registry.logins["r.example:5000/team/"] = ("anna", "geheim-Wort!7")
    return made


class Host:
    """What projects do on one host. `restart` begins a new life of its agent."""

    def __init__(self, runtime, folder) -> None:
        self.runtime = runtime
        self.path = folder / "agent.db"
        self.restart()

    def restart(self) -> None:
        self.access = ImageAccess(runtime=self.runtime, journal=Journal(self.path))

    async def get(self, image, *, project="p1", login=None, policy=None) -> None:
        await self.access.provide(image, policy, project=project, login=login)


@pytest.fixture
def host(runtime, tmp_path):
    return Host(runtime, tmp_path)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("restarts", [False, True])
async def test_what_one_project_pulled_with_a_login_is_not_for_another(host, policy, restarts):
    await host.get(SECRET, login=LOGIN)
    if restarts:
        host.restart()
    with pytest.raises(Permanent, match="private"):
        await host.get(SECRET, project="p2", policy=policy)
    await host.get(SECRET, project="p2", policy=policy, login=LOGIN)
    await host.get(SECRET, project="p2", policy="never")


@pytest.mark.parametrize("policy", POLICIES)
async def test_nor_while_the_registry_is_away(host, policy):
    await host.get(SECRET, login=LOGIN)
    host.runtime.registry.is_away = True
    with pytest.raises(ImageRegistryUnreachable):
        await host.get(SECRET, project="p2", policy=policy, login=LOGIN)
    await host.get(SECRET, policy=policy)


async def test_nor_by_its_id(host):
    await host.get(SECRET, login=LOGIN)
    image_id = host.runtime.registry.local[SECRET].image_id
    with pytest.raises(Permanent, match="name it by its repository"):
        await host.get(image_id, project="p2")
    await host.get(image_id)


async def test_nor_another_tag_of_its_repository(host):
    await host.get(SECRET, login=LOGIN)
    await host.get("r.example:5000/team/secret:2", login=LOGIN)
    with pytest.raises(Permanent, match="private"):
        await host.get("r.example:5000/team/secret:2", project="p2")


@pytest.mark.parametrize("stage", ["pull", "create"])
async def test_a_kill_in_a_pull_leaves_no_image_for_everybody(rig: Rig, stage):
    rig.runtime.registry.logins["r.example:5000/team/"] = ("anna", "geheim-Wort!7")
    await rig.start()
    rig.hold(stage, after=True)
    await rig.assign(replace(assignment(CREATE, image=SECRET), login=LOGIN))
    assert SECRET in rig.runtime.registry.local
    rig.assigned.clear()
    await rig.restart()
    rig.runtime.behave(stage)
    other = "c0ffee00-0000-4000-8000-000000000002"
    await rig.assign(replace(assignment(CREATE, uuid=other, image=SECRET), project_id="p2"))
    assert (rig.last(other).failed_op, rig.last(other).state) == (OpKind.CREATE, RuntimeState.ABSENT)


async def test_a_pull_of_another_project_at_the_same_moment_opens_nothing(host):
    """The other one's image arrives between the look at this host and the pull."""
    gate = asyncio.Event()
    host.runtime.misbehave("pull", InjectedFault(gate=gate, times=1))
    theirs = asyncio.ensure_future(host.get(SECRET, project="p2"))
    await settle()
    await host.get(SECRET, login=LOGIN)
    gate.set()
    with pytest.raises(Permanent, match="private"):
        await theirs


async def test_what_a_registry_gives_to_everybody_is_nobodys(host):
    """A project cannot take an image away from the others by pulling it with a login that is not needed."""
    await host.get(OPEN, login=LOGIN)
    host.runtime.registry.is_away = True
    for policy in POLICIES:
        await host.get(OPEN, project="p2", policy=policy)


async def test_what_lay_here_already_stays_everybodys_while_its_registry_is_away(host):
    await host.get(OPEN)
    host.runtime.registry.is_away = True
    await host.get(OPEN, login=LOGIN, policy="always")
    await host.get(OPEN, project="p2")
    with pytest.raises(ImageRegistryUnreachable):
        await host.get(SECRET, login=LOGIN)


async def test_a_wrong_login_opens_nothing(host):
    wrong = RegistryLogin(registry_username="anna", registry_password="x")
    for _ in range(2):
        with pytest.raises(Permanent, match="private"):
            await host.get(SECRET, login=wrong)
    assert SECRET not in host.runtime.registry.local
    await host.get(SECRET, login=LOGIN)
    with pytest.raises(Permanent, match="private"):
        await host.get(SECRET, project="p2", login=wrong)


async def test_one_image_has_several_names_for_one_repository(host):
    host.runtime.registry.logins["docker.io/library/secret"] = ("anna", "geheim-Wort!7")
    await host.get("docker.io/library/secret:1", login=LOGIN)
    host.runtime.registry.is_away = True
    for name in ("secret:1", "index.docker.io/library/secret:1", "docker.io/secret:2"):
        with pytest.raises(ImageRegistryUnreachable):
            await host.get(name, project="p2", policy="never", login=LOGIN)


async def test_a_container_gets_its_image_with_the_login_of_its_assignment(rig: Rig):
    rig.runtime.registry.logins["r.example:5000/"] = ("anna", "geheim-Wort!7")
    await rig.start()
    fields = {"image": "team/secret:1", "registry_domain": "r.example:5000"}
    await rig.assign(assignment(CREATE, **fields))
    assert "private" in (rig.last().error or "")
    await rig.assign(replace(assignment(op(2, OpKind.START), done=1, **fields), login=LOGIN))
    assert rig.last().error is None
    assert SECRET in rig.runtime.registry.local
    assert ("pull", SECRET) in rig.runtime.calls


def test_no_text_of_a_login_shows_it():
    text = f"{replace(assignment(CREATE), login=LOGIN)!r} {LOGIN}"
    assert "geheim" not in text
    assert "anna" not in text


@pytest.mark.parametrize(
    ("name", "exact", "project", "references"),
    [
        ("secret", False, "p1", (SECRET,)),
        ("secret", False, "p2", ()),
        ("app", False, "p2", (OPEN,)),
        ("open/app", True, "p2", (OPEN,)),
        ("r.example:5000/open/app", True, "p2", (OPEN,)),
        ("ap", True, "p2", ()),
        ("team", False, "p1", (SECRET,)),
    ],
)
async def test_a_search_shows_what_the_project_may_use(rig: Rig, name, exact, project, references):
    rig.runtime.registry.logins["r.example:5000/team/"] = ("anna", "geheim-Wort!7")
    await rig.start()
    journal = Journal(rig._journal_path)
    access = ImageAccess(runtime=rig.runtime, journal=journal)
    await access.provide(SECRET, None, project="p1", login=LOGIN)
    await access.provide(OPEN, None, project="p1", login=None)
    journal.close()
    await rig.restart()
    answer = await rig.ask(SearchImagesRequest(name=name, exact=exact, project_id=project), uuid="")
    assert answer == SearchImagesAnswer(references=references)
