"""Registries of Debian's package on this machine's Engine: open, behind a password, and over TLS."""

import asyncio
import base64
import io
import json
import tarfile
import time

import pytest
from structlog.testing import capture_logs

from jeroboam.agent.image_access import ImageAccess
from jeroboam.agent.journal import Journal
from jeroboam.domain.errors import Permanent
from jeroboam.domain.registries import RegistryLogin
from jeroboam.runtimes.base import ImageRegistryUnreachable, RuntimeOptions
from tests.contract.rigs import docker_runtime
from tests.docker_registry import ALLOWED, LOGIN, own_address, push, running_registry, trusted

pytestmark = [
    pytest.mark.docker,
]

WRONG = RegistryLogin(registry_username="anna", registry_password="falsches-Wort!7")
MOST_SECONDS = 30.0
TLS_HELLO = b"\x16"


def layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add("/bin/busybox", "busybox")
    return out.getvalue()


@pytest.fixture
async def runtime():
    async with docker_runtime(options=RuntimeOptions(registry_networks=ALLOWED)) as made:
        yield made


class Hosting:
    """What projects do with images on one host. All that is pulled is removed in the end."""

    def __init__(self, runtime) -> None:
        self.runtime = runtime
        self.journal = Journal()
        self.access = ImageAccess(runtime=runtime, journal=self.journal)
        self.images: set[str] = set()

    async def get(self, image, *, project="p1", login=None, policy=None) -> None:
        self.images.add(image)
        await self.access.provide(image, policy, project=project, login=login)

    async def has(self, image) -> bool:
        return await self.runtime.find_image(image) is not None


@pytest.fixture
async def hosting(runtime):
    made = Hosting(runtime)
    yield made
    for image in made.images:
        await runtime.remove_image(image)


@pytest.fixture
async def locked(tmp_path):
    """A registry that wants a login."""
    async with running_registry(tmp_path, login=True) as registry:
        yield registry


@pytest.fixture
async def secret(locked, docker):
    """An image in it, and none on this machine."""
    return await push(docker, locked.domain, layer(), login=LOGIN)


async def test_an_open_registry_needs_no_login(hosting, docker, tmp_path):
    async with running_registry(tmp_path) as registry:
        image = await push(docker, registry.domain, layer())
        await hosting.get(image)
        assert await hosting.has(image)
        # With a login that it does not ask for, it stays everybody's.
        await hosting.get(image, login=LOGIN, policy="always")
        await hosting.get(image, project="p2", policy="never")
        with pytest.raises(Permanent, match="its registry has no such image"):
            await hosting.get(f"{registry.domain}/no/such:1", login=LOGIN)


async def test_a_login_opens_a_registry(hosting, secret):
    with pytest.raises(Permanent, match="keeps it private"):
        await hosting.get(secret)
    began = time.monotonic()
    with capture_logs() as logs, pytest.raises(Permanent, match="keeps it private") as caught:
        await hosting.get(secret, login=WRONG)
    assert time.monotonic() - began < MOST_SECONDS
    assert not await hosting.has(secret)
    await hosting.get(secret, login=LOGIN)
    assert await hosting.has(secret)
    texts = f"{logs} {caught.value.reason} {hosting.journal._db.execute('SELECT * FROM private_image').fetchall()}"
    for login in (LOGIN, WRONG):
        assert str(login.registry_password) not in texts


@pytest.mark.parametrize("policy", [None, "ifnotpresent", "never", "always"])
async def test_an_image_behind_a_login_is_not_for_other_projects(hosting, secret, policy):
    await hosting.get(secret, login=LOGIN)
    with pytest.raises(Permanent, match="keeps it private"):
        await hosting.get(secret, project="p2", policy=policy)
    with pytest.raises(Permanent, match="keeps it private"):
        await hosting.get(secret, project="p2", policy=policy, login=WRONG)
    # Another project has it once it shows a login. After that, and for the first one, no other look is needed.
    await hosting.get(secret, project="p2", policy=policy, login=LOGIN)
    for project in ("p1", "p2"):
        await hosting.get(secret, project=project, policy=policy, login=LOGIN if policy == "always" else None)


async def test_an_image_behind_a_login_is_not_for_other_projects_by_its_id_or_digest(hosting, secret):
    await hosting.get(secret, login=LOGIN)
    local = await hosting.runtime.find_image(secret)
    short = local.image_id.removeprefix("sha256:")[:12]
    for name in (local.image_id, local.image_id.removeprefix("sha256:"), short):
        with pytest.raises(Permanent, match="is private: name it by its repository"):
            await hosting.access.provide(name, None, project="p2", login=None)
        await hosting.access.provide(name, None, project="p1", login=None)
    [digest] = [name for name in local.names if "@" in name]
    with pytest.raises(Permanent, match="keeps it private"):
        await hosting.access.provide(digest, None, project="p2", login=None)
    for name, exact in ((secret.partition("/")[2][:-3], False), (secret.partition("/")[2][:-2], True)):
        assert await hosting.access.search(name, exact=exact, project="p2") == []
        assert await hosting.access.search(name, exact=exact, project="p1") == [secret]


async def test_an_image_behind_a_login_is_not_for_others_while_its_registry_is_away(hosting, docker, tmp_path):
    async with running_registry(tmp_path, login=True) as registry:
        image = await push(docker, registry.domain, layer(), login=LOGIN)
        await hosting.get(image, login=LOGIN)
    for policy in (None, "never", "always"):
        with pytest.raises(ImageRegistryUnreachable):
            await hosting.get(image, project="p2", policy=policy, login=LOGIN)
    await hosting.get(image, policy="always")


async def test_a_registry_over_tls_is_trusted_by_its_own_authority_only(hosting, docker, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "registry").mkdir()
    async with (
        running_registry(tmp_path / "registry", login=True, tls=True) as registry,
        running_registry(tmp_path / "other", tls=True) as other,
    ):
        with trusted(registry, registry.authority):
            image = await push(docker, registry.domain, layer(), login=LOGIN)
            await hosting.get(image, login=LOGIN)
            await hosting.runtime.remove_image(image)
        for ask in (lambda: hosting.get(image, login=LOGIN), lambda: hosting.get(image, policy="always")):
            began = time.monotonic()
            with pytest.raises(Permanent, match="no certificate that this host trusts"):
                await ask()
            assert time.monotonic() - began < MOST_SECONDS
        with (
            trusted(registry, other.authority),
            pytest.raises(Permanent, match="no certificate that this host trusts"),
        ):
            await hosting.get(image, login=LOGIN)


async def test_a_registry_without_tls_where_the_engine_wants_it_is_a_refusal(hosting, tmp_path):
    async def answer(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", 0)
    image = f"{own_address()}:{server.sockets[0].getsockname()[1]}/a/b:1"
    with pytest.raises(Permanent, match="no certificate that this host trusts"):
        await hosting.get(image)
    server.close()


async def test_what_a_registry_repeats_of_a_login_is_in_no_log(hosting):
    """The answer of a registry is in the operator's log; a registry may put there what it was sent."""
    heard: list[str] = []

    async def answer(reader, writer):
        if await reader.readexactly(1) == TLS_HELLO:
            # The Engine tries TLS first; on loopback it goes on without.
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()
            return
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        sent = next((line.partition(" ")[2] for line in head.splitlines() if line.startswith("Authorization")), "")
        plain = base64.b64decode(sent.partition(" ")[2]).decode() if sent else ""
        heard.append(plain)
        body = json.dumps({"errors": [{"code": "DENIED", "message": f"denied: {sent} {plain}"}]})
        status = "403 Forbidden" if sent else "401 Unauthorized"
        fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
        challenge = 'WWW-Authenticate: Basic realm="x"\r\nDocker-Distribution-Api-Version: registry/2.0'
        writer.write(f"HTTP/1.1 {status}\r\n{challenge}\r\n{fields}\r\n\r\n{body}".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    image = f"127.0.0.1:{server.sockets[0].getsockname()[1]}/a/b:1"
    with capture_logs() as logs:
        for begin in (
            lambda: hosting.runtime.check_image(image, LOGIN),
            lambda: hosting.runtime.pull(image, None, login=LOGIN),
        ):
            with pytest.raises((Permanent, ImageRegistryUnreachable)) as caught:
                await begin()
            assert "geheim" not in caught.value.reason
    server.close()
    pair = f"{LOGIN.registry_username}:{LOGIN.registry_password}"
    assert pair in heard
    assert "denied" in str(logs)
    assert "geheim" not in str(logs)
    assert base64.b64encode(pair.encode()).decode() not in str(logs)


async def test_an_image_is_looked_at_and_removed(hosting, docker, tmp_path):
    async with running_registry(tmp_path) as registry:
        image = await push(docker, registry.domain, layer())
        reports: list[str] = []
        await hosting.access.provide(image, None, project="p1", login=None, report=reports.append)
    local = await hosting.runtime.find_image(image)
    assert local.size > 100_000
    assert image in local.names
    assert local.image_id in {listed.image_id for listed in await hosting.runtime.list_images()}
    container = await docker.containers.create({"Image": image, "Cmd": ["/busybox"]})
    try:
        with pytest.raises(Permanent, match="a container uses it"):
            await hosting.runtime.remove_image(image)
    finally:
        await container.delete(force=True)
    await hosting.runtime.remove_image(image)
    await hosting.runtime.remove_image(image)
    assert await hosting.runtime.find_image(image) is None
    assert await hosting.runtime.find_image(local.image_id) is None
