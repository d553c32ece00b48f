"""Reads what a Docker Engine says of itself, and finds out why it does not. Neighbours: `docker`; `docker_faults`."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiodocker

from jeroboam.clients.docker import build_url, connect, translate_errors
from jeroboam.clients.docker_faults import (
    OLDEST_API,
    OLDEST_ENGINE,
    EngineAddressInvalid,
    EngineSilent,
    EngineTooOld,
    EngineUnreachable,
    speaks_tls,
)
from jeroboam.domain.errors import Temporary

_ACTION = "asking the Docker Engine for its version"
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineFacts:
    """What an Engine says of itself and of its machine; empty or 0 where it says nothing."""

    address: str
    version: str
    api_version: str
    host: str
    data_root: str
    storage_driver: str
    cgroup_version: str
    cgroup_driver: str
    system_time: str
    """The clock of its machine, in RFC 3339."""

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine, so that its data folder can be looked at."""
        return self.host == os.uname().nodename and Path(self.data_root).is_dir()


async def read_engine(url: str | None, *, answer_seconds: float) -> EngineFacts:
    """Return the facts of the Engine at that URL (None: the environment's, else the local socket).

    Raises one of the errors in `docker_faults`, or `Temporary` for any other trouble.
    """
    docker = connect(url, answer_seconds=answer_seconds)
    address = docker._connection_info  # noqa: SLF001  (the library has no public name for it)
    try:
        with translate_errors(_ACTION):
            version = await _read_version(docker, address)
            info = await _read_info(docker, address)
    except EngineUnreachable as error:
        error.address = error.address or address
        raise
    except Temporary as error:
        if isinstance(error.__cause__, TimeoutError):
            raise EngineSilent(error.reason, address) from error
        raise
    finally:
        await docker.close()
    return EngineFacts(
        address=address,
        version=str(version.get("Version", "")),
        api_version=str(version["ApiVersion"]),
        host=str(info.get("Name", "")),
        data_root=str(info.get("DockerRootDir", "")),
        storage_driver=str(info.get("Driver", "")),
        # Engines say so from 20.10 on, and those of cgroup v1 may leave it out.
        cgroup_version=str(info.get("CgroupVersion", "")),
        cgroup_driver=str(info.get("CgroupDriver", "")),
        system_time=str(info.get("SystemTime", "")),
    )


async def _read_info(docker: aiodocker.Docker, address: str) -> Mapping[str, Any]:
    try:
        info: object = await docker.system.info()
    except ValueError:
        info = None
    if not isinstance(info, dict):
        raise EngineAddressInvalid(f"{_ACTION}: what answers is no Docker Engine", address)
    return info


async def _read_version(docker: aiodocker.Docker, address: str) -> Mapping[str, Any]:
    """Return the answer to `/version`. Raises `EngineTooOld`, or `EngineAddressInvalid` if no Engine answers."""
    async with docker.session.get(build_url(docker, "version")) as response:
        if not response.ok:
            text = f"{_ACTION}: what answers is no Docker Engine"
            raise EngineAddressInvalid(text, address, has_tls=speaks_tls(await response.text()))
        try:
            version = json.loads(await response.read())
        except ValueError:
            version = None
    numbers = _VERSION.fullmatch(str(version.get("ApiVersion"))) if isinstance(version, dict) else None
    if not isinstance(version, dict) or numbers is None:
        raise EngineAddressInvalid(f"{_ACTION}: what answers is no Docker Engine", address)
    if (int(numbers[1]), int(numbers[2])) < OLDEST_API:
        name, api = str(version.get("Version", "unknown")), numbers[0]
        text = f"the Docker Engine {name} (API {api}) is too old: {OLDEST_ENGINE} or later is needed"
        raise EngineTooOld(text, version=name, api_version=api)
    return version
