"""The kubectl of a version of Kubernetes, for users without one: from the cache of programs, or from the node image.

Neighbours: `programs`, whose cache has it if the image was built here; `bootstrap.own_clusters`, which runs it.
"""

import asyncio
import os
import tarfile
import tempfile
from pathlib import Path

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.clients.docker_images import copy_file
from jeroboam.domain.errors import Permanent
from jeroboam.domain.nodes import image_name
from jeroboam.nodeimages.engine import find_image

_INSIDE = "usr/local/bin/kubectl"


def find_cached(cache: Path, version: str) -> Path | None:
    """Return the newest kubectl of that version in the cache; None without one."""
    paths = [path for path in cache.glob(f"kube*-{version}-*/kubectl") if not path.parent.name.endswith(".part")]
    return max(paths, key=lambda path: path.stat().st_mtime, default=None)


async def extract_kubectl(docker: DockerClient, cache: Path, version: str) -> Path:
    """Copy kubectl from the node image of that version into the cache. Raises `Permanent` without an image."""
    name = image_name(f"kubernetes-node:{version}")
    with translate_errors(f"looking for kubectl in {name}"):
        image = await find_image(docker, name)
        if image is None:
            text = f"there is no kubectl {version} here: `jeroboam node-image build kubernetes --version {version}`"
            raise Permanent(f"{text} brings it")
        folder = cache / f"kubectl-{version}-{image['Id'].removeprefix('sha256:')[:16]}"
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        with tempfile.TemporaryFile() as tar:
            await copy_file(docker, image["Id"], _INSIDE, tar)
            tar.seek(0)
            return await asyncio.to_thread(_unpack, tarfile.open(fileobj=tar), folder)


def _unpack(tar: tarfile.TarFile, folder: Path) -> Path:
    """Unpack the only file of the archive. The file appears complete or not at all."""
    handle, part = tempfile.mkstemp(dir=folder)
    with tar, os.fdopen(handle, "wb") as out:
        source = tar.extractfile(tar.getmembers()[0])
        assert source is not None
        while block := source.read(1 << 20):
            out.write(block)
    Path(part).chmod(0o755)
    return Path(part).rename(folder / "kubectl")
