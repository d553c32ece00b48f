"""What stands between a user and the Docker Engine, in a sentence or two with what to do about it.

Neighbours: `jeroboam.clients.docker_faults` has the types; `terminal` and `doctor` show the sentences.
"""

import getpass
import grp
import os
import shlex
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from jeroboam.clients.docker_faults import (
    OLDEST_ENGINE,
    EngineAccessDenied,
    EngineAddressInvalid,
    EngineNotRunning,
    EngineSilent,
    EngineSocketMissing,
    EngineTooOld,
    EngineUnreachable,
)
from jeroboam.domain.errors import DriverError

GROUP = "docker"
_START = "sudo systemctl start docker"


@dataclass(frozen=True, kw_only=True, slots=True)
class UserContext:
    """The user of a command, as far as it matters for an Engine."""

    name: str
    is_root: bool
    groups: Collection[str]
    """The groups of this login."""
    members: Collection[str] | None
    """The members of the group `docker`; None if there is no such group."""
    docker_host: str
    """DOCKER_HOST; empty if it is not set."""
    has_engine: bool
    """Whether the program of an Engine is installed."""

    @classmethod
    def read(cls) -> Self:
        """Return the present one."""
        groups = {entry.gr_name: entry for entry in grp.getgrall()}
        ids = {os.getegid(), *os.getgroups()}
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = str(os.geteuid())
        return cls(
            name=name,
            is_root=os.geteuid() == 0,
            groups=[entry.gr_name for entry in groups.values() if entry.gr_gid in ids],
            members=groups[GROUP].gr_mem if GROUP in groups else None,
            docker_host=os.environ.get("DOCKER_HOST", ""),
            has_engine=shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin") is not None,
        )


def describe_engine_fault(error: DriverError, user: UserContext | None = None) -> str | None:
    """Return what is wrong and what to do, in one or two lines; None for an error of another kind."""
    if not isinstance(error, EngineUnreachable | EngineTooOld):
        return None
    user = user or UserContext.read()
    match error:
        case EngineAccessDenied():
            return _describe_denied(error.address, user)
        case EngineTooOld():
            what = f"the Docker Engine is version {error.version} (API {error.api_version}), which is too old"
            return f"{what}.\nInstall Docker {OLDEST_ENGINE} or later: sudo apt-get install docker.io"
        case EngineAddressInvalid():
            return _describe_address(error, user)
        case EngineSilent():
            what = f"the Docker Engine at {_show(error.address)} takes connections and does not answer"
            return f"{what}.\nLook at its log (journalctl -u docker), or start it again: sudo systemctl restart docker"
        case EngineSocketMissing() | EngineNotRunning():
            return _describe_stopped(error, user)
    return None


def describe_other_engine(docker_host: str) -> str:
    """Return what to do about a DOCKER_HOST that names another Engine than this machine's."""
    return f"DOCKER_HOST={docker_host} is not this installation's Engine; unset DOCKER_HOST"


def _describe_denied(address: str, user: UserContext) -> str:
    what = f"permission denied on {_show(address)}: the user {user.name} may not use the Docker Engine"
    if user.members is not None and user.name in user.members and GROUP not in user.groups:
        remedy = f"You are in the group {GROUP} since this login: log out and in again, or run: newgrp {GROUP}"
    elif GROUP in user.groups or user.members is None or user.is_root:
        remedy = f"Only the owner and the group of that socket may: see `ls -l {_show(address)}`"
    else:
        remedy = f"Run: sudo usermod -aG {GROUP} {shlex.quote(user.name)}   then log out and in again"
    return f"{what}.\n{remedy}"


def _describe_stopped(error: EngineUnreachable, user: UserContext) -> str:
    place = _show(error.address)
    if _is_named(error.address, user):
        what = f"no Docker Engine runs at {place}, which DOCKER_HOST names"
        return f"{what}.\nStart it there, or take the local one: unset DOCKER_HOST"
    if place and isinstance(error, EngineSocketMissing):
        what = f"there is no socket {place}, which [docker] url or the context of `docker` names"
        return f"{what}.\nCorrect it, or start the Engine that listens there"
    if error.address.startswith("tcp://"):
        return f"no Docker Engine runs at {place}.\nStart it there, or name another one: [docker] url, DOCKER_HOST"
    if not user.has_engine:
        return "no Docker Engine is installed on this machine.\nInstall one: sudo apt-get install docker.io"
    where = f" (nothing listens on {place})" if place else ""
    return f"the Docker Engine is installed and does not run{where}.\nStart it: {_START}"


def _describe_address(error: EngineAddressInvalid, user: UserContext) -> str:
    if error.has_tls and _is_named(error.address, user):
        # `openstack coe cluster config` sets it for a Swarm.
        return f"{describe_other_engine(user.docker_host)} (it speaks TLS, as a cluster's does)"
    if error.has_tls:
        what = f"the Docker Engine at {error.address} speaks TLS only"
        return f"{what}.\nName its socket: [docker] url; or set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"
    source = "DOCKER_HOST" if _is_named(error.address, user) else "[docker] url, DOCKER_HOST or the context of `docker`"
    what = f"{error.address or 'what is configured'} is not the address of a Docker Engine"
    return f"{what}.\nCorrect {source}; it looks like unix:///var/run/docker.sock or tcp://HOST:2375"


def _is_named(address: str, user: UserContext) -> bool:
    """Whether DOCKER_HOST names that address."""
    return bool(user.docker_host) and (not address or _show(address) in user.docker_host)


def _show(address: str) -> str:
    return address.removeprefix("unix://")
