"""The facts of an Engine's host. Neighbours: `spec`, which reads the Engine's JSON; `runtime`."""

import asyncio
import shutil

from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.domain.hosts import HostFacts
from jeroboam.runtimes.base import RuntimeOptions
from jeroboam.runtimes.docker.spec import read_facts


async def ask_facts(engine: DockerClient, options: RuntimeOptions) -> HostFacts:
    """Return the facts, with the cores that the operator has set aside."""
    with translate_errors("asking the Engine for its facts"):
        info = await engine.system.info()
    disk_bytes = await asyncio.to_thread(_read_disk_size, info.get("DockerRootDir", ""))
    return read_facts(info, disk_bytes, options.dedicated_cpus)


def _read_disk_size(folder: str) -> int:
    """Return the size of the disk with the Engine's folder; 0 when the folder is not on this machine."""
    try:
        return shutil.disk_usage(folder).total if folder else 0
    except OSError:
        return 0
