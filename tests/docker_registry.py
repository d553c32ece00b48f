"""A real registry of images (Debian's `docker-registry`) as a process of a test."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import pathlib
import shutil
import socket
import uuid
from dataclasses import dataclass

import aiodocker

from jeroboam.clients.docker_images import import_image
from jeroboam.domain.registries import RegistryLogin
from jeroboam.kit.x509 import SERVER, issue, make_ca

PROGRAM = shutil.which("docker-registry", path="/usr/bin:/usr/local/bin")
SECONDS = 20.0
LOGIN = RegistryLogin(registry_username="anna", registry_password="geheim-Wort!7")
# The same as the registry reads it (bcrypt).
_PASSWORDS = "anna:$2y$05$MY.B04Gpdjbacb/JyQd6kuaowKEzLn5Ufx/C4BAqnKrAfxt5VqVeG\n"
ALLOWED = tuple(ipaddress.ip_network(network) for network in ("127.0.0.0/8", "0.0.0.0/1", "128.0.0.0/1"))
"""For `registry_networks`: every address of this machine."""
CERTIFICATES = pathlib.Path("/etc/docker/certs.d")


@dataclass(frozen=True)
class RunningRegistry:
    """Where it listens, and the file with its authority."""

    domain: str
    authority: pathlib.Path | None


def own_address() -> str:
    """An address of this machine that is no loopback one, from which the Engine would take plain HTTP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def _certify(folder: pathlib.Path, host: str) -> str:
    """Write a certificate for the host and its authority; return that part of the configuration."""
    now = dt.datetime.now(dt.UTC)
    ca = make_ca(common_name="registry", now=now)
    pair = issue(ca=ca, common_name=host, now=now, usages=(SERVER,), ips=(host,))
    for name, content in (("ca.crt", ca.pem), ("server.crt", pair.pem), ("server.key", pair.key.decode())):
        (folder / name).write_text(content)
    return f"  tls: {{certificate: {folder}/server.crt, key: {folder}/server.key}}\n"


@contextlib.asynccontextmanager
async def running_registry(folder: pathlib.Path, *, login: bool = False, tls: bool = False):
    """Start one: on loopback, or over TLS on another address of this machine."""
    host = own_address() if tls else "127.0.0.1"
    domain = f"{host}:{_free_port(host)}"
    text = f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
    text += f"http:\n  addr: {domain}\n"
    if tls:
        text += _certify(folder, host)
    if login:
        (folder / "passwords").write_text(_PASSWORDS)
        text += f"auth: {{htpasswd: {{realm: test, path: {folder}/passwords}}}}\n"
    (folder / "registry.yml").write_text(text)
    assert PROGRAM is not None, "docker-registry is missing: `jeroboam setup --tests` installs it"
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        "serve",
        str(folder / "registry.yml"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _wait_until_open(domain)
        yield RunningRegistry(domain=domain, authority=folder / "ca.crt" if tls else None)
    finally:
        process.kill()
        await process.wait()


async def _wait_until_open(domain: str) -> None:
    host, port = domain.split(":")
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@contextlib.contextmanager
def trusted(registry: RunningRegistry, authority: pathlib.Path):
    """Let the Engine of this machine trust that authority for that registry."""
    folder = CERTIFICATES / registry.domain
    folder.mkdir(parents=True)
    try:
        shutil.copy(authority, folder / "ca.crt")
        yield
    finally:
        shutil.rmtree(folder)


async def push(docker: aiodocker.Docker, domain: str, layer: bytes, *, login: RegistryLogin | None = None) -> str:
    """Push an image of one layer that nobody else has, and leave none on this machine. Return its name."""
    repository = f"{domain}/test-{uuid.uuid4().hex[:8]}"

    async def content():
        yield layer

    await import_image(docker, content(), repository=repository, tag="1", changes=['CMD ["/busybox", "sleep", "600"]'])
    auth = None if login is None else {"username": login.registry_username, "password": login.registry_password}
    try:
        lines = await docker.images.push(f"{repository}:1", auth=auth)
    finally:
        await docker.images.delete(f"{repository}:1", force=True)
    assert not [line for line in lines if "error" in line], lines
    return f"{repository}:1"
