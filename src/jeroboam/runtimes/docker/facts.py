"""The facts of an Engine's host. Neighbours: `spec`, which reads the Engine's JSON; `runtime`."""

import asyncio
import shutil

from jeroboam.clients.addresses import list_routes
from jeroboam.clients.docker import DockerClient, translate_errors
from jeroboam.domain.hosts import HostFacts
from jeroboam.runtimes.base import RuntimeOptions
from jeroboam.runtimes.docker.bridges import is_of_ports, is_ours, list_subnets_of
from jeroboam.runtimes.docker.spec import read_facts


async def ask_facts(engine: DockerClient, options: RuntimeOptions, installation: str) -> HostFacts:
    """Return the facts, with the cores that the operator has set aside.

    Its subnets are those that networks of projects may not overlap; the store knows their own.
    """
    with translate_errors("asking the Engine for its facts"):
        info = await engine.system.info()
        networks = await engine.networks.list()
    known_networks = [network for network in networks if is_ours(installation, network) and is_of_ports(network)]
    own_subnets = {subnet for network in known_networks for subnet in list_subnets_of(network)}
    other_networks = [network for network in networks if network not in known_networks]
    used_subnets = {subnet for network in other_networks for subnet in list_subnets_of(network)}
    used_subnets |= {route.network for route in list_routes() if not route.has_gateway} - own_subnets
    disk_bytes = await asyncio.to_thread(_read_disk_size, info.get("DockerRootDir", ""))
    return read_facts(info, disk_bytes, options.dedicated_cpus, used_subnets=tuple(sorted(map(str, used_subnets))))


def _read_disk_size(folder: str) -> int:
    """Return the size of the disk with the Engine's folder; 0 when the folder is not on this machine."""
    try:
        return shutil.disk_usage(folder).total if folder else 0
    except OSError:
        return 0
