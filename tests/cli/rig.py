"""The whole service in the test's loop, on fake nodes and hosts, behind a real HTTP server; and who types commands."""

import asyncio
import contextlib
import json
import os
import pathlib
import shlex
import sys
from dataclasses import dataclass, field, replace

from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from jeroboam.api.app import create_app
from jeroboam.api.parts import ApiParts
from jeroboam.bootstrap import seeds
from jeroboam.bootstrap.agent import start_agent
from jeroboam.bootstrap.api_options import build_api_options
from jeroboam.bootstrap.conductor import ConductorParts, build_conductor_gateway, start_conductor
from jeroboam.bootstrap.context import ProcessContext
from jeroboam.bootstrap.dispatch import start_dispatch
from jeroboam.cli import app
from jeroboam.coes.fake.coe import FakeCoe
from jeroboam.conductor.bays.connector import ClusterConnector
from jeroboam.conductor.loop import report
from jeroboam.conductor.metrics import LoopMetrics
from jeroboam.dispatch.gateway import SessionGateway
from jeroboam.kit.bus import MemoryBus
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.ids import RandomIds
from jeroboam.kit.tasks import Tasks
from jeroboam.protocol.memory import session_pair
from jeroboam.providers.fake import FakeCloud, FakeProvider, Image
from jeroboam.runtimes.fake import FakeRuntime
from jeroboam.secrets.keyfile import KeyFileSealer
from jeroboam.settings import Settings, load
from jeroboam.storage.fake import FakeStorage
from jeroboam.store import Store
from tests import builders
from tests.api.server import serving
from tests.ports import AllProjects, KnownTokens

HOST = "h1"
SHELL = pathlib.Path(__file__).parents[1] / "clients" / "shell.py"
# The published clients take no notice of an overridden endpoint, so there is a cloud for each API.
_CLOUDS = """
clouds:
  container-infra: &cloud
    auth_type: admin_token
    auth: {{endpoint: "{url}/container-infra/v1", token: {token}}}
    container_endpoint_override: "{url}/container/v1"
  container:
    <<: *cloud
    auth: {{endpoint: "{url}/container/v1", token: {token}}}
"""


@dataclass
class Service:
    """The service's fakes, to break things with."""

    folder: pathlib.Path
    store: Store
    cloud: FakeCloud
    provider: FakeProvider
    coe: FakeCoe
    runtime: FakeRuntime
    url: str = ""

    def environment(self, token: str = "member") -> dict[str, str]:
        """The environment of somebody who has a clouds.yaml."""
        clouds = self.folder / f"clouds-{token}.yaml"
        clouds.write_text(_CLOUDS.format(url=self.url, token=token))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "KUBECONFIG", "DOCKER_"))}
        return kept | {
            "OS_CLIENT_CONFIG_FILE": str(clouds),
            "OS_CLOUD": "container-infra",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "COLUMNS": "80",
            "SHELL": "/bin/sh",  # python-magnumclient needs one, and a service that runs the tests has none
        }


@contextlib.asynccontextmanager
async def running(folder: pathlib.Path, database: pathlib.Path):
    """The service on that database file; it ends with the context."""
    settings = load(None, state=str(folder / "state"))
    settings = replace(settings, host=HOST, clusters=replace(settings.clusters, default_provider="fake"))
    sealer = KeyFileSealer(folder / "key")
    context = _make_context(settings, f"sqlite+aiosqlite:///{database}", sealer)
    store, clock, tasks = context.store, context.clock, context.tasks
    cloud = FakeCloud()
    cloud.offers.images["kubernetes-node"] = Image(
        id="kubernetes-node", name="kubernetes-node", os_distro="jeroboam", version="v1.36.3"
    )
    provider = FakeProvider(installation="i", clock=clock, cloud=cloud)
    coe = FakeCoe(clock=clock)
    coes = {"kubernetes": coe, "swarm": coe}
    runtime = FakeRuntime(clock=clock)
    parts = ConductorParts(
        providers={"fake": provider},
        coes=coes,
        connector=ClusterConnector(store=store, coes=coes, sealer=sealer),
        projects=AllProjects(),
        publish=_publish,
        sealer=sealer,
    )
    dispatcher = start_dispatch(context)

    async def open_session():
        agent_end, server_end = session_pair()
        tasks.start("session", dispatcher.serve(server_end))
        return agent_end

    start_agent(
        context, runtime=runtime, storage=FakeStorage(), journal_file=folder / "agent.db", open_session=open_session
    )
    start_conductor(context, parts)
    api = ApiParts(
        store=store,
        tokens=KnownTokens(),
        projects=AllProjects(),
        conductor=build_conductor_gateway(context, parts),
        gateway=SessionGateway(dispatcher),
        clock=clock,
        ids=context.ids,
        options=build_api_options(settings, auth_uri="http://127.0.0.1:5000/v3"),
        limits=(),
    )
    service = Service(folder=folder, store=store, cloud=cloud, provider=provider, coe=coe, runtime=runtime)
    try:
        async with serving(create_app(api)) as url:
            service.url = url
            yield service
    finally:
        await tasks.close()
        await store.close()


def _make_context(settings: Settings, url: str, sealer: KeyFileSealer) -> ProcessContext:
    clock, bus, counters = SystemClock(), MemoryBus(), CollectorRegistry()
    return ProcessContext(
        settings=settings,
        store=Store(url, clock=clock, bus=bus, sealer=sealer),
        bus=bus,
        clock=clock,
        ids=RandomIds(),
        tasks=Tasks(report),
        limits=(),
        counters=counters,
        meter=LoopMetrics(counters),
        name="only",
    )


async def _publish(message) -> None:
    del message


async def seed_templates(store: Store) -> None:
    """The templates of a new installation, on fake nodes; with the storage that python-magnumclient always names."""
    async with store.write() as tx:
        for name, spec in seeds.SPECS.items():
            fields = {
                "name": name,
                "spec": replace(spec, driver="fake", docker_storage_driver="overlay2"),
                "project_id": "p0",
                "public": True,
            }
            await tx.templates.insert(replace(builders.template(), **fields))


@dataclass
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


@dataclass
class Typist:
    """Somebody who types commands."""

    environment: dict[str, str]
    _shells: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def run(self, line: str) -> Done:
        """Type a command line of `jeroboam`."""
        words = shlex.split(line)
        invoked = await asyncio.to_thread(CliRunner().invoke, app, words, env=self.environment, prog_name="jeroboam")
        unexpected = invoked.exception
        if unexpected is not None and not isinstance(unexpected, SystemExit):
            raise unexpected
        return Done(invoked.exit_code, invoked.stdout, invoked.stderr)

    async def __call__(self, line: str) -> str:
        """What a command prints that has to succeed."""
        done = await self.run(line)
        assert (done.status, done.err) == (0, ""), done
        return done.out

    async def refused(self, line: str) -> str:
        """What a command says on stderr that has to fail: one line, and nothing on stdout."""
        done = await self.run(line)
        assert done.status != 0, done
        assert done.out == "", done
        assert done.err.count("\n") == 1, done
        return done.err.rstrip("\n")

    async def openstack(self, line: str) -> str:
        """What a line printed by --show-api does, run by the published client."""
        words = shlex.split(line)
        assert words[0] == "openstack"
        shell = await self._open_shell("container" if words[1] == "appcontainer" else "container-infra")
        shell.stdin.write(json.dumps(words[1:]).encode() + b"\n")
        done = json.loads(await shell.stdout.readline())
        assert done["status"] == 0, done
        return done["out"]

    async def _open_shell(self, cloud: str) -> asyncio.subprocess.Process:
        """The published client for that cloud, which takes one line after another: starting it takes longer."""
        if cloud not in self._shells:
            self._shells[cloud] = await asyncio.create_subprocess_exec(
                *(sys.executable, SHELL),
                env=self.environment | {"OS_CLOUD": cloud},
                cwd=self.environment["HOME"],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=1 << 20,
            )
        return self._shells[cloud]

    async def aclose(self) -> None:
        """End the clients."""
        for shell in self._shells.values():
            shell.stdin.close()
            await shell.wait()
